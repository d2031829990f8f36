import assert from "node:assert/strict";
import { test } from "node:test";
import { bestSoFar, channelChart, isMinimized, kpiChart } from "../../../server/bough_server/web/app/charts.js";

const colours = { series: ["a", "b"], best: "green", accent: "blue" };
const job = (number, kpi, state = "DONE") => ({ id: `k${number}`, number, kpi, state });

test("the best so far only ever gets better, in the direction of the KPI", () => {
  const ended = [job(1, 0.5), job(2, 0.4), job(3, 0.7)];

  assert.deepEqual(bestSoFar(ended, false), [[1, 0.5], [2, 0.5], [3, 0.7]]);
  assert.deepEqual(bestSoFar(ended, true), [[1, 0.5], [2, 0.4], [3, 0.4]]);
});

test("where only the script declares the direction, the best trial tells it", () => {
  const ended = [job(1, 0.5), job(2, 0.4), job(3, 0.7)];

  assert.equal(isMinimized({ kpi: { direction: null }, best: ended[1] }, ended), true);
  assert.equal(isMinimized({ kpi: { direction: null }, best: ended[2] }, ended), false);
  assert.equal(isMinimized({ kpi: { direction: "minimize" }, best: null }, []), true);
});

test("the KPI chart shows ended trials with a finite KPI, by number", () => {
  const trials = [job(3, 0.7), job(1, 0.5), job(2, null, "FAILED"), job(4, "nan"), job(5, 0.9, "RUNNING")];

  const [points, , stair] = kpiChart({ kpi: { direction: "maximize" } }, trials)(colours).series;

  assert.deepEqual(points.data.map((one) => one.value), [[1, 0.5], [3, 0.7]]);
  assert.deepEqual(stair.data, [[1, 0.5], [3, 0.7]]);
});

test("points after the stop are a dashed line of their own, and what is no number is a gap", () => {
  const channel = { traces: ["loss"], x: [1, 2, 3], y: [["nan", 0.5, 0.4]], cut: 2 };

  const [before, after] = channelChart(channel)(colours).series;

  assert.deepEqual(before.data, [[1, null], [2, 0.5]]);
  assert.deepEqual(after.data, [[2, 0.5], [3, 0.4]]);
  assert.equal(after.lineStyle.type, "dashed");
});

