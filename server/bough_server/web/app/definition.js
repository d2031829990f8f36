/**
 * A bough.yml as data, changed by hand: pure functions, each returns new data and leaves the old alone.
 *
 * A path is a list of keys from the top, as in the coordinator's errors. Keys keep their order, which is the order of the file.
 */

import { Decimal } from "./decimal.js";

export const TYPES = ["string", "number", "boolean", "choice_string", "choice_number", "group", "choice_group"];

/** What stands at `path`, or undefined. */
export const at = (data, path) => path.reduce((found, key) => found?.[key], data);

/** `data` with `value` at `path`; undefined takes the key away. Mappings on the way that are not there are made. */
export function put(data, path, value) {
  if (path.length === 0) return value;
  const [key, ...rest] = path;
  if (Array.isArray(data)) return data.map((one, i) => (i === key ? put(one, rest, value) : one));
  const old = isMapping(data) ? data : {};
  const made = put(old[key], rest, value);
  const { [key]: _, ...others } = old;
  if (made === undefined) return others;
  return key in old ? Object.fromEntries(Object.entries(old).map(([name, one]) => [name, name === key ? made : one])) : { ...old, [key]: made };
}

/** The key at `path` under another name, at the same place. Unchanged where the name is taken or empty. */
export function rename(data, path, name) {
  const above = path.slice(0, -1);
  const key = path[path.length - 1];
  const mapping = at(data, above);
  if (!name || name === key || name in mapping) return data;
  return put(data, above, Object.fromEntries(Object.entries(mapping).map(([one, value]) => [one === key ? name : one, value])));
}

/** The key at `path` moved so that it stands at index `to` among its neighbours. */
export function move(data, path, to) {
  const above = path.slice(0, -1);
  const key = path[path.length - 1];
  const entries = Object.entries(at(data, above));
  const from = entries.findIndex(([name]) => name === key);
  const [entry] = entries.splice(from, 1);
  entries.splice(Math.max(0, Math.min(entries.length, to)), 0, entry);
  return put(data, above, Object.fromEntries(entries));
}

export const isMapping = (one) => one !== null && typeof one === "object" && !Array.isArray(one) && !(one instanceof Decimal);

/** A hyperparameter as `{type, default, choices, children, optional, …}`, whichever form it is written in. */
export function full(node) {
  if (typeof node === "boolean") return { type: "boolean", default: node };
  if (typeof node === "number" || node instanceof Decimal) return { type: "number", default: node };
  if (!isMapping(node)) return { type: "string", default: node ?? "" };
  return typeof node.type === "string" ? node : { type: "group", children: node };
}

/** The short form where it says the same. */
export function short(node) {
  const keys = Object.keys(node).filter((key) => node[key] !== undefined && key !== "type");
  const only = (key) => keys.length === 1 && keys[0] === key;
  if (["string", "number", "boolean"].includes(node.type) && only("default")) return node.default;
  if (node.type === "group" && only("children") && !("type" in node.children)) return node.children;
  return node;
}

/** The same hyperparameter as another type; what the new type has no room for is let go. */
export function as(node, type) {
  const old = full(node);
  const description = old.description === undefined ? {} : { description: old.description };
  const text = String(old.default ?? "");
  const made = {
    string: () => ({ type, default: text }),
    number: () => ({ type, default: Number(old.default) || 0 }),
    boolean: () => ({ type, default: old.default === true || text === "true" }),
    choice_string: () => ({ type, choices: (old.choices && Array.isArray(old.choices) ? old.choices.map(String) : [text || "a"]) }),
    choice_number: () => ({ type, choices: (Array.isArray(old.choices) ? old.choices.map(Number).filter(Number.isFinite) : [Number(old.default) || 0]) }),
    group: () => ({ type, children: old.children || {} }),
    choice_group: () => ({ type, choices: isMapping(old.choices) ? old.choices : { a: old.children || {} } }),
  };
  return { ...made[type](), ...description };
}

/** The key under which a node's children stand, or null: `["children"]`, `[]` for the short form of a group. */
export function childrenOf(node) {
  if (!isMapping(node)) return null;
  if (typeof node.type !== "string") return [];
  return node.type === "group" ? ["children"] : null;
}

/** A name that is not taken yet: `lr`, `lr2`, … */
export function fresh(mapping, name) {
  let found = name;
  for (let n = 2; found in (mapping || {}); n += 1) found = `${name}${n}`;
  return found;
}

/** Every hyperparameter that can be searched: `{path, type, node}`, by full path as in `space:`. */
export function searchable(hyperparameters, above = "") {
  return Object.entries(hyperparameters || {}).flatMap(([name, written]) => {
    const node = full(written);
    const path = above ? `${above}.${name}` : name;
    if (node.type === "group") {
      const own = node.optional ? [{ path, type: "group", node }] : [];
      return [...own, ...searchable(node.children, path)];
    }
    if (node.type !== "choice_group") return [{ path, type: node.type, node }];
    const branches = Object.entries(node.choices || {}).flatMap(([choice, group]) => searchable(full(group).children ?? group, `${path}.${choice}`));
    return [{ path, type: node.type, node }, ...branches];
  });
}

/** The arguments of each expression, in their order; the same as `SIGNATURES` of bough.definition. */
export const SIGNATURES = {
  range: ["low", "high", "step"], uniform: ["low", "high"], quniform: ["low", "high", "q"], loguniform: ["low", "high"], qloguniform: ["low", "high", "q"],
  normal: ["mu", "sigma"], qnormal: ["mu", "sigma", "q"], lognormal: ["mu", "sigma"], qlognormal: ["mu", "sigma", "q"],
  randint: ["low", "high"], uniformint: ["low", "high"], choice: [], pchoice: [], on_off: [],
};

const WHOLE = ["range", "uniformint", "randint", "quniform", "qloguniform", "qnormal", "qlognormal", "choice"];
const DECIMAL = ["uniform", "loguniform", "range", "quniform", "qloguniform", "normal", "lognormal", "qnormal", "qlognormal", "choice"];

/** The expressions that fit a hyperparameter, the most usual first. */
export function fitting({ type, node }) {
  if (type === "group" || type === "boolean") return ["on_off"];
  if (type === "number") return node.integer ?? Number.isInteger(node.default) ? WHOLE : DECIMAL;
  return ["choice", "pchoice"];
}

/** `loguniform(1e-4, 1)` or its mapping → {name, args: {low, high}, options: [[text, weight]]}. What cannot be read has `text` alone. */
export function parseExpression(written) {
  if (isMapping(written)) {
    const [name, args] = Object.entries(written)[0] || [];
    const names = SIGNATURES[name];
    if (!names) return { text: JSON.stringify(written) };
    if (name === "pchoice" && isMapping(args)) return { name, args: {}, options: Object.entries(args) };
    if (name === "choice") return { name, args: {}, options: (Array.isArray(args) ? args : []).map((one) => [String(one), null]) };
    if (Array.isArray(args)) return { name, args: Object.fromEntries(args.map((one, i) => [names[i], one])), options: [] };
    return { name, args: isMapping(args) ? args : {}, options: [] };
  }
  const text = String(written ?? "");
  const found = /^\s*([a-z_]+)\s*(?:\(([\s\S]*)\))?\s*$/.exec(text);
  if (!found || !SIGNATURES[found[1]]) return { text };
  const [, name, inside = ""] = found;
  if (name === "choice" || name === "pchoice") {
    const options = optionsOf(inside, name === "pchoice");
    return options ? { name, args: {}, options } : { name, args: {}, options: [], text }; // what cannot be read stays as it was written
  }
  const parts = inside.split(",").map((part) => part.trim()).filter(Boolean);
  const names = SIGNATURES[name].length === 2 && name === "randint" && parts.length === 1 ? ["high"] : SIGNATURES[name];
  const args = {};
  parts.forEach((part, i) => {
    const [left, right] = part.split("=").map((one) => one.trim());
    args[right === undefined ? names[i] : left] = Number(right === undefined ? left : right);
  });
  return { name, args, options: [] };
}

const OPTION = /\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)'|([^\s,="']+))\s*(?:=\s*([^,\s]+)\s*)?(,|$)/y;

/** `relu, "a, b"=0.2` → [[name, weight or null]], or null where it is something else. */
function optionsOf(inside, isWeighted) {
  const found = [];
  OPTION.lastIndex = 0;
  while (OPTION.lastIndex < inside.length) {
    const part = OPTION.exec(inside);
    if (!part || isWeighted !== (part[4] !== undefined)) return null;
    const [, double, single, bare, weight] = part;
    found.push([double !== undefined ? JSON.parse(`"${double}"`) : single !== undefined ? single.replaceAll("''", "'") : bare, isWeighted ? Number(weight) : null]);
  }
  return found;
}

/** The other way round, as the file writes it. */
export function writeExpression({ name, args = {}, options = [], text }) {
  if (!name || (text && options.length === 0 && (name === "choice" || name === "pchoice"))) return text || "";
  if (name === "on_off") return name;
  if (name === "choice") return options.length ? `choice(${options.map(([one]) => quoted(one)).join(", ")})` : "choice";
  if (name === "pchoice") return `pchoice(${options.map(([one, weight]) => `${quoted(one)}=${weight}`).join(", ")})`;
  const given = SIGNATURES[name].filter((one) => args[one] !== undefined && args[one] !== "");
  const isWhole = given.every((one, i) => one === SIGNATURES[name][i]);
  return `${name}(${given.map((one) => (isWhole ? args[one] : `${one}=${args[one]}`)).join(", ")})`;
}

const quoted = (text) => (/^[\w.+-]+$/.test(text) ? text : JSON.stringify(text));

/** A first guess of an expression for a hyperparameter, around its default. */
export function guess(name, { node }) {
  const value = Number(node.default);
  const size = Math.abs(value) || 1;
  if (name === "choice" || name === "on_off") return { name, args: {}, options: [] };
  if (name === "pchoice") {
    const names = Array.isArray(node.choices) ? node.choices.map(String) : Object.keys(node.choices || {});
    const share = Math.floor(100 / (names.length || 1)) / 100;
    return { name, args: {}, options: names.map((one, i) => [one, i ? share : Math.round((1 - share * (names.length - 1)) * 100) / 100]) };
  }
  const isWhole = node.integer ?? Number.isInteger(node.default);
  const tidy = (one) => (isWhole ? Math.round(one) : Number(one.toPrecision(3)));
  const low = name.includes("log") ? tidy(size / 10) || 1 : isWhole ? Math.min(1, value) : Math.min(0, value);
  const high = name.includes("log") ? tidy(size * 10) : Math.max(tidy(size * 2), isWhole ? low + 1 : low + 0.1);
  const all = { low, high, mu: name.startsWith("log") || name.startsWith("qlog") ? tidy(Math.log(size)) : value, sigma: tidy(size / 4) || 1, q: isWhole ? 1 : tidy(size / 10) || 0.1, step: isWhole ? 1 : tidy((high - low) / 10) };
  return { name, args: Object.fromEntries(SIGNATURES[name].map((one) => [one, all[one]])), options: [] };
}
