import assert from "node:assert/strict";
import { test } from "node:test";
import { contourChart, importanceChart, manyCurves, parallelChart, sliceChart, timeLine } from "../../../server/bough_server/web/app/searchcharts.js";
import { axisOf, fromColumns, grown, smoothed, varying } from "../../../server/bough_server/web/app/trials.js";

const colours = { series: ["a", "b"], best: "green", accent: "blue", line: "grey", paper: "white", ink: "black", text: "grey", bad: "red" };
const trial = (number, kpi, values, more = {}) => ({ id: `k${number}`, number, kpi, values, state: "DONE", agent: "gpu1", started_at: number, ended_at: number + 1, ...more });
const TRIALS = [trial(1, 0.5, { lr: 0.001, act: "relu" }), trial(2, 0.9, { lr: 1, act: "tanh", depth: 3 }), trial(3, "nan", { lr: 0.1, act: "relu" }), trial(4, null, { lr: 0.2 }, { state: "RUNNING", ended_at: null })];

test("columns become trials with the values they have", () => {
  const columns = { values: { lr: [0.1, null] } };
  for (const name of ["id", "number", "state", "end_reason", "kpi", "epochs", "epochs_total", "duration_s", "unreachable", "created_at", "started_at", "ended_at", "agent"]) columns[name] = [`${name}1`, `${name}2`];

  const found = fromColumns(columns);

  assert.deepEqual([...found.keys()], ["id1", "id2"]);
  assert.deepEqual(found.get("id1").values, { lr: 0.1 });
  assert.deepEqual(found.get("id2").values, {});
});

test("an axis is logarithmic where values span decades, and has names where they are no numbers", () => {
  assert.equal(axisOf(TRIALS, "lr").isLog, true);
  assert.deepEqual(axisOf(TRIALS, "act").names, ["relu", "tanh"]);
  assert.deepEqual(varying(TRIALS, ["depth"]), ["depth", "lr", "act"]);
});

test("smoothing keeps gaps and does not begin at zero", () => {
  assert.deepEqual(smoothed([1, 1, "nan", 1], 0.9).map((y) => (typeof y === "number" ? Math.round(y * 1e6) / 1e6 : y)), [1, 1, "nan", 1]);
  assert.deepEqual(smoothed([1, 2], 0), [1, 2]);
});

test("a trial without a hyperparameter, or without a KPI that is a number, breaks no chart", () => {
  const parallel = parallelChart(TRIALS, ["lr", "act", "depth"], "accuracy", false)(colours);
  assert.deepEqual(parallel.series[0].data.map((one) => one.value), [[0.001, "relu", "-", 0.5], [1, "tanh", 3, 0.9]]);
  assert.deepEqual(sliceChart(TRIALS, "depth", "accuracy", "k2")(colours).series[0].data.map((one) => one.value), [[3, 0.9]]);
  const contour = contourChart(TRIALS, ["lr", "act"], "accuracy", false)(colours);
  assert.ok(contour.series[0].data.every(([, , one]) => one >= 0.5 && one <= 0.9));
  assert.equal(contour.series[1].data.length, 2);
  assert.deepEqual(importanceChart([{ path: "a", importance: 0.2 }, { path: "b", importance: 0.7 }])(colours).yAxis.data, ["a", "b"]);
});

test("trials that run at once have a lane each, one after the other share one", () => {
  const all = [trial(1, 1, {}), trial(2, 1, {}), trial(3, 1, {}, { started_at: 2.5, ended_at: null, state: "RUNNING" })];
  const shown = timeLine(all, 10)(colours);
  assert.deepEqual(shown.yAxis.data, ["gpu1 1", "gpu1 2"]);
  assert.deepEqual(shown.series[0].data.map((one) => one.value[0]), [0, 0, 1]);
  assert.equal(shown.series[0].data[2].value[2], 10_000);
});

test("a logarithmic axis leaves out what it cannot show", () => {
  const trials = new Map([["k1", TRIALS[0]]]);
  const { series } = manyCurves([{ id: "k1", number: 1, x: [0, 1, 2], y: [1, 0, 5] }], trials, "k1", "loss", { logX: true, logY: true, smooth: 0 })(colours);
  assert.deepEqual(series[0].data.map((one) => one.value), [[null, 1], [1, null], [2, 5]]);
});

test("curves grow by what comes, and are asked for again where that is not enough", () => {
  const found = { of: "loss", trace: 1, curves: [{ id: "k1", x: [1, 2], y: [5, 4] }] };
  const event = (more) => ({ job: "k1", channel: "loss", x: [2, 3], y: [[0, 0], [4, 3]], ...more });

  assert.deepEqual(grown(found, [event(), event({ channel: "other" })], 3).curves, [{ id: "k1", x: [1, 2, 3], y: [5, 4, 3] }]);
  assert.equal(grown(found, [event({ job: "k2" })], 3), null);
  assert.equal(grown(found, [event()], 2), null);
});
