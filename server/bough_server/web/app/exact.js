/**
 * A definition as JavaScript can hold it. JSON's `0.0` and `0` are one number here, and to a definition they are not: the
 * first is a decimal hyperparameter, the second a whole one. So the first becomes `{type: "number", integer: false, default: 0}`,
 * and a `Decimal` wherever else it stands: among choices, in expressions, in `env`.
 */
import { Decimal } from "./decimal.js";
import { isMapping } from "./definition.js";

const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.0+(?![\d.eE])|(?:\.\d+)?[eE][-+]?\d+)/g; // texts, so that no number inside one is seen, and decimals
const MARK = "\u0000decimal";

/** The JSON text as a value; `names` are the keys whose values are definitions. */
export function readExactly(text, names = ["definition"]) {
  const marked = text.replace(TOKENS, (token) => (token[0] === '"' || !Number.isInteger(Number(token)) ? token : `{${JSON.stringify(MARK)}:"${token}"}`));
  return settled(JSON.parse(marked), names);
}

const isMarked = (one) => isMapping(one) && typeof one[MARK] === "string";

/** Without marks: in a definition they are decimals, elsewhere they are the number. */
function settled(value, names, isInside = false) {
  if (isMarked(value)) return isInside ? new Decimal(value[MARK]) : Number(value[MARK]);
  if (Array.isArray(value)) return value.map((one) => settled(one, names, isInside));
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, names.includes(key) && isMapping(one?.hyperparameters)
    ? { ...settled(one, [], true), hyperparameters: explicit(one.hyperparameters) } : settled(one, names, isInside || key === "fixed")]));
}

/** The children of a group. */
function explicit(group) {
  return Object.fromEntries(Object.entries(group).map(([name, written]) => [name, node(written)]));
}

function node(written) {
  if (isMarked(written)) return { type: "number", integer: false, default: Number(written[MARK]) };
  if (!isMapping(written)) return written;
  if (typeof written.type !== "string") return explicit(written);
  const made = settled(written, [], true);
  if (made.type === "number" && isMarked(written.default)) {
    made.default = Number(written.default[MARK]);
    made.integer ??= false;
  }
  if (isMapping(written.children)) made.children = explicit(written.children);
  if (made.type === "choice_group" && isMapping(written.choices)) made.choices = Object.fromEntries(Object.entries(written.choices).map(([choice, one]) => [choice, isMapping(one) ? node(one) : one]));
  return made;
}
