/** Numbers, times and states as people read them. Every function takes null and answers "–". */
import { Decimal } from "./decimal.js";

const NONE = "–";

/** A number with at most `digits` significant digits, never 0.30000000000000004. */
export function number(value, digits = 5) {
  if (value === null || value === undefined) return NONE;
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const short = Number(value.toPrecision(digits));
  const size = Math.abs(short);
  return size !== 0 && (size < 1e-4 || size >= 1e9) ? short.toExponential() : String(short);
}

/** The value of a hyperparameter. */
export function value(one) {
  if (one instanceof Decimal) return String(one);
  if (one === true) return "yes";
  if (one === false) return "no";
  return number(one, 4);
}

/** Seconds as "0.8 s", "12 s", "3:05 min", "2:10 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const [whole, unit] = seconds < 3600 ? [Math.round(seconds), "min"] : [Math.round(seconds / 60), "h"];
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} ${unit}`;
}

/** A moment, by the reader's clock: the time today, else the day and the time. */
export function moment(epoch, now = Date.now()) {
  if (epoch === null || epoch === undefined) return NONE;
  const then = new Date(epoch * 1000);
  const two = (part) => String(part).padStart(2, "0");
  const clock = `${two(then.getHours())}:${two(then.getMinutes())}`;
  if (new Date(now).toDateString() === then.toDateString()) return `${clock}:${two(then.getSeconds())}`;
  return `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())} ${clock}`;
}

/** "3 running", "1 running": counts with a word, the zero ones left out. */
export function counts(states) {
  const order = ["RUNNING", "PREPARING", "STOPPING", "DRAINING", "QUEUED", "PAUSED", "CREATED", "DONE", "FAILED", "ABORTED"];
  return order.filter((state) => states[state] > 0).map((state) => ({ state, count: states[state] }));
}

export const isFinite = (one) => typeof one === "number" && Number.isFinite(one);

export const isEnded = (state) => state === "DONE" || state === "FAILED" || state === "ABORTED";

const REASONS = {
  finished: "finished", max_epochs: "epoch limit", max_time: "time limit", pruned: "pruned", user: "stopped by a user", error: "error",
  checkout: "no checkout", no_kpi: "no KPI", nan_kpi: "KPI not a number", lost: "lost", supervisor_lost: "supervisor lost",
  host_reboot: "host rebooted", journal: "journal unreadable",
};

export const reason = (one) => REASONS[one] || one || "";
