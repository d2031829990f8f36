/**
 * The axis options that a script gave to `create_channel`, as plotly means them, in the words of ECharts.
 *
 * plotly.com/javascript/reference/layout/xaxis/ says what title, type, range, autorange, dtick, tick0 and
 * tickformat mean. Whatever else is given, or makes no sense, is left out: a chart is drawn in any case.
 */
import { dateFormat, numberFormat } from "./d3format.js";

const isNumber = (one) => typeof one === "number" && Number.isFinite(one);
const isMapping = (one) => one !== null && typeof one === "object" && !Array.isArray(one);
const MONTH_MS = 2629800000; // a mean month: ECharts has no other

/** The options of a channel: its xaxis and yaxis, over those of its layout. */
export function optionsOf(channel) {
  const layout = isMapping(channel.layout) ? channel.layout : {};
  const merged = (name) => ({ ...(isMapping(layout[name]) ? layout[name] : {}), ...(isMapping(channel[name]) ? channel[name] : {}) });
  return { xaxis: merged("xaxis"), yaxis: merged("yaxis"), title: titleOf(layout.title) };
}

/** "loss" or {text: "loss"}, as text without its <b> and <i>. */
export function titleOf(title) {
  const text = isMapping(title) ? title.text : title;
  return typeof text === "string" ? text.replace(/<br\s*\/?>/gi, " ").replace(/<\/?(b|i|em|sub|sup|span|a)\b[^<>]*>/gi, "").slice(0, 200) : null;
}

/** `axis`, an ECharts axis, with what `given` says; `values` are those along it: ticks that would be too many for them are left out. */
export function withOptions(axis, given, values = []) {
  const kind = { log: "log", date: "time", category: "category", linear: "value" }[given.type] || axis.type;
  const made = { ...axis, type: kind, name: titleOf(given.title) ?? axis.name };
  const [low, high] = rangeOf(given, kind);
  if (low !== null) made.min = low;
  if (high !== null) made.max = high;
  if (isReversed(given)) made.inverse = true;
  const step = stepOf(given.dtick, kind, low ?? lowest(values, kind), high ?? highest(values, kind));
  if (step !== null) Object.assign(made, { interval: step, minInterval: 0, showMinLabel: null });
  const format = (kind === "time" ? dateFormat(given.tickformat) : numberFormat(given.tickformat)) || null;
  if (format) made.axisLabel = { ...axis.axisLabel, formatter: (one) => format(one) };
  else if (kind === "time") made.axisLabel = { ...axis.axisLabel, formatter: undefined };
  return made;
}

const isReversed = ({ range, autorange }) => autorange === "reversed" || (Array.isArray(range) && range.length === 2 && toNumber(range[0]) > toNumber(range[1]));

const toNumber = (one) => (isNumber(one) ? one : typeof one === "string" ? Date.parse(one.replace(" ", "T") + (/T|\s/.test(one) ? "Z" : "")) : NaN);

/** [low, high] in the axis's own units; plotly gives those of a log axis as exponents of ten. */
function rangeOf({ range }, kind) {
  if (!Array.isArray(range) || range.length !== 2 || kind === "category") return [null, null];
  const read = (one) => {
    const value = kind === "time" ? toNumber(one) : isNumber(one) ? one : NaN;
    return Number.isNaN(value) ? null : kind === "log" ? 10 ** value : value;
  };
  const [one, other] = range.map(read);
  return one !== null && other !== null && one > other ? [other, one] : [one, other];
}

const drawn = (values, kind) => values.filter((one) => isNumber(one) && (kind !== "log" || one > 0));
const lowest = (values, kind) => drawn(values, kind).reduce((least, one) => Math.min(least, one), Infinity);
const highest = (values, kind) => drawn(values, kind).reduce((most, one) => Math.max(most, one), -Infinity);

/** Distance of the ticks, or null where plotly's has no like here, or would draw thousands. */
function stepOf(dtick, kind, low, high) {
  let step = null;
  if (isNumber(dtick)) step = dtick;
  else if (kind === "time" && /^M\d+$/.test(dtick)) step = MONTH_MS * Number(dtick.slice(1));
  if (step === null || step <= 0 || kind === "category") return null;
  const length = kind === "log" ? Math.log10(high / low) : high - low;
  return length / step < 200 ? step : null;
}
