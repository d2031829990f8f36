import assert from "node:assert/strict";
import { test } from "node:test";
import { counts, duration, moment, number, reason, value } from "../../../server/bough_server/web/app/format.js";

test("numbers are short, and never show binary noise", () => {
  assert.equal(number(0.1 + 0.2), "0.3");
  assert.equal(number(0.947081234), "0.94708");
  assert.equal(number(3), "3");
  assert.equal(number(0), "0");
  assert.equal(number(0.00001234), "1.234e-5");
  assert.equal(number(-12345678901.5), "-1.2346e+10");
});

test("what is missing is a dash, and what is not finite is shown as it came", () => {
  assert.equal(number(null), "–");
  assert.equal(number(undefined), "–");
  assert.equal(number("nan"), "nan");
  assert.equal(duration(null), "–");
  assert.equal(moment(null), "–");
});

test("durations read as people say them, also at their edges", () => {
  assert.equal(duration(0.84), "0.8 s");
  assert.equal(duration(12.4), "12 s");
  assert.equal(duration(185), "3:05 min");
  assert.equal(duration(3599.9), "60:00 min");
  assert.equal(duration(7800), "2:10 h");
});

test("a moment of today is a time, another one has its day", () => {
  const noon = new Date(2026, 10, 20, 12, 5, 9);
  assert.equal(moment(noon / 1000, noon), "12:05:09");
  assert.equal(moment(noon / 1000, new Date(2026, 10, 21)), "2026-11-20 12:05");
});

test("counts come in the order of a job's life, without the zero ones", () => {
  assert.deepEqual(counts({ FAILED: 1, CREATED: 0, RUNNING: 2 }), [{ state: "RUNNING", count: 2 }, { state: "FAILED", count: 1 }]);
});

test("booleans are words, and a reason from a newer coordinator is shown as it is", () => {
  assert.equal(value(true), "yes");
  assert.equal(value("relu"), "relu");
  assert.equal(reason("max_epochs"), "epoch limit");
  assert.equal(reason("eaten_by_a_bear"), "eaten_by_a_bear");
});
