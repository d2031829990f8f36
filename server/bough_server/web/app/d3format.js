/**
 * Numbers and dates by the format texts that plotly takes: those of d3-format and d3-time-format. Pure functions.
 *
 * d3js.org/d3-format#locale_format and d3js.org/d3-time-format#locale_format say what they mean; what
 * is no such text is null, and the caller shows the number as usual.
 */
const NUMBER = /^(?:(.)?([<>=^]))?([+\-( ])?([$#])?(0)?(\d+)?(,)?(\.\d+)?(~)?([a-z%])?$/i;
const PREFIXES = ["y", "z", "a", "f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E", "Z", "Y"];
const WIDEST = 100; // characters; a format text comes from a script

/** ".1%" → (0.5 → "50.0%"), or null. */
export function numberFormat(text) {
  const found = typeof text === "string" && NUMBER.exec(text);
  if (!found) return null;
  const [, fill = " ", align = ">", sign = "-", symbol = "", zero, width = 0, comma, dot, tilde, type = ""] = found;
  const digits = dot === undefined ? null : Math.min(20, Number(dot.slice(1)));
  const write = WRITERS[type];
  if (!write) return null;
  return (value) => {
    let body = write(Math.abs(value), digits);
    if (tilde || type === "") body = trimmed(body);
    if (comma || type === "n") body = body.replace(/^\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
    const isBelow = value < 0 && /[1-9a-f]/i.test(body);
    const before = isBelow ? (sign === "(" ? "(" : "−") : sign === "+" || sign === " " ? sign : "";
    const whole = before + (symbol === "$" ? "$" : "") + body + (isBelow && sign === "(" ? ")" : "");
    return padded(whole, zero ? "0" : fill, zero ? "=" : align, Math.min(Number(width), WIDEST), before.length);
  };
}

const WRITERS = {
  "": (one, digits) => (digits === null ? String(one) : precise(one, digits)),
  e: (one, digits) => one.toExponential(digits ?? 6).replace("e-", "e−"),
  f: (one, digits) => one.toFixed(digits ?? 6),
  g: (one, digits) => precise(one, digits ?? 6),
  n: (one, digits) => precise(one, digits ?? 6),
  r: (one, digits) => (one === 0 ? "0" : rounded(one, digits ?? 6)),
  "%": (one, digits) => (100 * one).toFixed(digits ?? 6) + "%",
  p: (one, digits) => rounded(100 * one, digits ?? 6) + "%",
  s: (one, digits) => withPrefix(one, digits ?? 6),
  d: (one) => String(Math.round(one)),
  b: (one) => Math.round(one).toString(2),
  o: (one) => Math.round(one).toString(8),
  x: (one) => Math.round(one).toString(16),
  X: (one) => Math.round(one).toString(16).toUpperCase(),
};

const precise = (one, digits) => one.toPrecision(Math.max(1, digits)).replace("e-", "e−");

/** Significant digits, never an exponent. */
function rounded(one, digits) {
  if (one === 0) return "0";
  const after = Math.max(0, digits - 1 - Math.floor(Math.log10(one)));
  return Number(one.toPrecision(Math.max(1, digits))).toFixed(Math.min(20, after));
}

function withPrefix(one, digits) {
  if (one === 0) return precise(0, digits);
  const power = Math.max(-8, Math.min(8, Math.floor(Math.log10(one) / 3)));
  return precise(one / 10 ** (3 * power), digits) + PREFIXES[power + 8];
}

const trimmed = (text) => text.replace(/(\.\d*?)0+(?=\D*$)/, "$1").replace(/\.(?=\D*$)/, "");

function padded(text, fill, align, width, signs) {
  const missing = Math.max(0, width - text.length);
  if (align === "<") return text + fill.repeat(missing);
  if (align === "^") return fill.repeat(Math.floor(missing / 2)) + text + fill.repeat(Math.ceil(missing / 2));
  if (align === "=") return text.slice(0, signs) + fill.repeat(missing) + text.slice(signs);
  return fill.repeat(missing) + text;
}

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const two = (one) => String(one).padStart(2, "0");
const DATES = {
  Y: (at) => String(at.getUTCFullYear()), y: (at) => two(at.getUTCFullYear() % 100), m: (at) => two(at.getUTCMonth() + 1), d: (at) => two(at.getUTCDate()),
  e: (at) => String(at.getUTCDate()).padStart(2), H: (at) => two(at.getUTCHours()), I: (at) => two(at.getUTCHours() % 12 || 12), M: (at) => two(at.getUTCMinutes()),
  S: (at) => two(at.getUTCSeconds()), L: (at) => String(at.getUTCMilliseconds()).padStart(3, "0"), f: (at) => String(1000 * at.getUTCMilliseconds()).padStart(6, "0"),
  p: (at) => (at.getUTCHours() < 12 ? "AM" : "PM"), b: (at) => MONTHS[at.getUTCMonth()].slice(0, 3), B: (at) => MONTHS[at.getUTCMonth()],
  a: (at) => DAYS[at.getUTCDay()].slice(0, 3), A: (at) => DAYS[at.getUTCDay()], s: (at) => String(Math.floor(at / 1000)), Q: (at) => String(Number(at)), "%": () => "%",
  j: (at) => String(1 + Math.floor((at - Date.UTC(at.getUTCFullYear(), 0, 1)) / 86400000)).padStart(3, "0"),
};

/** "%H:%M" → (milliseconds since the epoch → "13:05", UTC as plotly has it), or null. */
export function dateFormat(text) {
  if (typeof text !== "string" || !text.includes("%")) return null;
  return (value) => text.replace(/%[-_0]?(\d?)([a-zA-Z%])/g, (all, digits, letter) => DATES[letter]?.(new Date(value)) ?? all);
}
