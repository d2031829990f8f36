/** The trials of an optimization as the charts need them: made of the coordinator's columns, kept fresh by events. */
import { isFinite } from "./format.js";

const COLUMNS = ["id", "number", "state", "end_reason", "kpi", "epochs", "epochs_total", "duration_s", "unreachable", "created_at", "started_at", "ended_at", "agent"];

/** The reply of `/optimizations/{id}/overview` as one mapping of trials by id, in the order of their numbers. */
export function fromColumns(columns) {
  const paths = Object.keys(columns.values);
  return new Map(columns.id.map((id, i) => {
    const trial = Object.fromEntries(COLUMNS.map((name) => [name, columns[name][i]]));
    trial.values = Object.fromEntries(paths.filter((path) => columns.values[path][i] !== null).map((path) => [path, columns.values[path][i]]));
    return [id, trial];
  }));
}

/** What a trial's values can be drawn on: numbers, or names in their order of appearance. */
export function axisOf(trials, path) {
  const values = trials.map((trial) => trial.values[path]).filter((one) => one !== undefined);
  const isNumber = values.length > 0 && values.every((one) => typeof one === "number");
  const names = isNumber ? [] : [...new Set(values.map(String))];
  const positive = isNumber && values.every((one) => one > 0);
  const isLog = positive && Math.max(...values) / Math.min(...values) > 100;
  return { path, isNumber, isLog, names, low: isNumber ? Math.min(...values) : 0, high: isNumber ? Math.max(...values) : names.length - 1 };
}

/** Those that count: done, with a KPI that is a number. What failed or was stopped says nothing about its values. */
export const scored = (trials) => trials.filter((trial) => trial.state === "DONE" && isFinite(trial.kpi));

/** Every path that takes more than one value, the usual ones first. */
export function varying(trials, searched = []) {
  const seen = new Map();
  for (const trial of trials) {
    for (const [path, value] of Object.entries(trial.values)) {
      if (!seen.has(path)) seen.set(path, new Set());
      if (seen.get(path).size < 2) seen.get(path).add(value);
    }
  }
  const some = [...seen].filter(([path, values]) => values.size > 1 || searched.includes(path)).map(([path]) => path);
  return [...searched.filter((path) => some.includes(path)), ...some.filter((path) => !searched.includes(path))];
}

/** Exponential smoothing; `weight` 0 leaves the curve as it is, close to 1 is very smooth. Gaps stay gaps. Bias of the beginning is corrected. */
export function smoothed(ys, weight) {
  if (!weight) return ys;
  let sum = 0;
  let share = 0;
  return ys.map((y) => {
    if (!isFinite(y)) return y;
    sum = weight * sum + (1 - weight) * y;
    share = weight * share + (1 - weight);
    return sum / share;
  });
}

/**
 * The reply of `/optimizations/{id}/curves` with what `points` events brought since; null where it has to be asked for
 * again: a curve has become longer than `most`, or is not there.
 */
export function grown(found, events, most) {
  const curves = new Map(found.curves.map((curve) => [curve.id, curve]));
  for (const { job, channel, x, y } of events) {
    if (channel !== found.of) continue;
    const curve = curves.get(job);
    if (!curve || !y[found.trace]) return null;
    const last = curve.x.length ? curve.x[curve.x.length - 1] : -Infinity;
    const fresh = x.map((_, i) => i).filter((i) => x[i] > last); // an earlier reply may have held them
    if (curve.x.length + fresh.length > most) return null;
    curves.set(job, { ...curve, x: curve.x.concat(fresh.map((i) => x[i])), y: curve.y.concat(fresh.map((i) => y[found.trace][i])) });
  }
  return { ...found, curves: [...curves.values()] };
}
