import assert from "node:assert/strict";
import { test } from "node:test";
import { optionsOf, titleOf, withOptions } from "../../../server/bough_server/web/app/axes.js";
import { dateFormat, numberFormat } from "../../../server/bough_server/web/app/d3format.js";

const axis = { type: "value", name: "x", axisLabel: { color: "grey" } };

test("numbers are written as d3-format says", () => {
  // The values are those of https://d3js.org/d3-format and of its tests.
  const cases = [[".0%", 0.123, "12%"], ["($.2f", -3.5, "($3.50)"], ["+20", 42, "                 +42"], [".^20", 42, ".........42........."],
    [".2s", 42e6, "42M"], ["x", 48879, "beef"], [",.2r", 4223, "4,200"], ["s", 1500, "1.50000k"], ["~s", 1500, "1.5k"], [".3s", 0.00042, "420µ"],
    [",", 1234567, "1,234,567"], [".2f", -0.001, "0.00"], ["08.2f", -3.14159, "−0003.14"], [".1e", 12345, "1.2e+4"], ["d", 4.6, "5"], [".3~f", 1.5, "1.5"], ["", 0.1, "0.1"], ["~s", 100, "100"], [".0f", 100, "100"]];

  for (const [text, value, written] of cases) assert.equal(numberFormat(text)(value), written, text);
});

test("what is no format is none", () => {
  for (const text of [null, 3, "%H", ".2q", "<b>", {}]) assert.equal(numberFormat(text), null);
  assert.equal(dateFormat(".2f"), null);
});

test("dates are written in UTC, as d3-time-format says", () => {
  const at = Date.UTC(2026, 0, 5, 13, 4, 9, 7);

  assert.equal(dateFormat("%Y-%m-%d %H:%M:%S.%L")(at), "2026-01-05 13:04:09.007");
  assert.equal(dateFormat("%a %e %b %I %p %j %y %%")(at), "Mon  5 Jan 01 PM 005 26 %");
});

test("title, range, ticks and format are the axis's", () => {
  const made = withOptions(axis, { title: { text: "<b>share</b><br>of all" }, range: [0, 1], dtick: 0.25, tickformat: ".0%" });

  assert.deepEqual([made.name, made.min, made.max, made.interval], ["share of all", 0, 1, 0.25]);
  assert.equal(made.axisLabel.formatter(0.5), "50%");
  assert.equal(made.axisLabel.color, "grey");
});

test("the range of a logarithmic axis is given in powers of ten", () => {
  const made = withOptions(axis, { type: "log", range: [-3, 2], dtick: 1 });

  assert.deepEqual([made.type, made.min, made.max, made.interval], ["log", 0.001, 100, 1]);
});

test("a range from high to low turns the axis round", () => {
  const made = withOptions(axis, { range: [10, 0] });

  assert.deepEqual([made.min, made.max, made.inverse], [0, 10, true]);
  assert.equal(withOptions(axis, { autorange: "reversed" }).inverse, true);
});

test("the range of dates is read as UTC", () => {
  const made = withOptions(axis, { type: "date", range: ["2026-01-01", "2026-01-02 12:00"], tickformat: "%d" });

  assert.deepEqual([made.type, made.min, made.max], ["time", Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 2, 12)]);
  assert.equal(made.axisLabel.formatter(made.min), "01");
});

test("ticks without number are left out, and whatever makes no sense", () => {
  assert.equal(withOptions(axis, { range: [0, 1e9], dtick: 1 }).interval, undefined);
  assert.equal(withOptions(axis, { dtick: 1 }, [0, 1e9]).interval, undefined);
  assert.equal(withOptions(axis, { dtick: 0.5 }, [0, 3]).interval, 0.5);
  assert.equal(withOptions(axis, { dtick: -1, range: "wide", title: 7, tickformat: [] , type: "moon" }, [0, 3]).type, "value");
  assert.equal(titleOf({ text: 5 }), null);
  assert.deepEqual(optionsOf({ xaxis: null, yaxis: [], layout: "none" }), { xaxis: {}, yaxis: {}, title: null });
  assert.deepEqual(optionsOf({ xaxis: { type: "log" }, layout: { title: "a", xaxis: { type: "date", dtick: 2 } } }), { xaxis: { type: "log", dtick: 2 }, yaxis: {}, title: "a" });
});
