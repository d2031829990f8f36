/**
 * A definition as JavaScript can hold it. JSON's `0.0` and `0` are one number here, and to a definition they are not: the
 * first is a decimal hyperparameter, the second a whole one. So the first becomes `{type: "number", integer: false, default: 0}`.
 */
import { isMapping } from "./definition.js";

const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+\.0+(?![\d.eE])/g; // texts, so that no number inside one is seen, and decimals that are whole
const MARK = "\u0000decimal";

/** The JSON text as a value; `names` are the keys whose values are definitions. */
export function readExactly(text, names = ["definition"]) {
  const marked = text.replace(TOKENS, (token) => (token[0] === '"' ? token : `{${JSON.stringify(MARK)}:${token}}`));
  return settled(JSON.parse(marked), names);
}

const isMarked = (one) => isMapping(one) && typeof one[MARK] === "number";

/** Without marks: in hyperparameters they say what they meant, elsewhere they are the number. */
function settled(value, names) {
  if (isMarked(value)) return value[MARK];
  if (Array.isArray(value)) return value.map((one) => settled(one, names));
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, names.includes(key) && isMapping(one?.hyperparameters)
    ? { ...settled(one, names), hyperparameters: explicit(one.hyperparameters) } : settled(one, names)]));
}

/** The children of a group. */
function explicit(group) {
  return Object.fromEntries(Object.entries(group).map(([name, written]) => [name, node(written)]));
}

function node(written) {
  if (isMarked(written)) return { type: "number", integer: false, default: written[MARK] };
  if (!isMapping(written)) return written;
  if (typeof written.type !== "string") return explicit(written);
  const made = settled(written, []);
  if (made.type === "number" && isMarked(written.default) && made.integer === undefined) made.integer = false;
  if (isMapping(written.children)) made.children = explicit(written.children);
  if (made.type === "choice_group" && isMapping(written.choices)) made.choices = Object.fromEntries(Object.entries(written.choices).map(([choice, one]) => [choice, isMapping(one) ? node(one) : one]));
  return made;
}
