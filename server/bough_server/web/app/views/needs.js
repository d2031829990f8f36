/** What a job needs of its agent and leaves behind: `resources`, `data`, `setup`, `output`, `agents`, `on_end`; and commands in a row. */
import { numberOf } from "../decimal.js";
import { isMapping, put } from "../definition.js";
import { errorAt } from "../editor.js";
import { html } from "../html.js";
import { Wrong } from "./tree.js";

/** [path, name, how it is typed, what it means] */
const NEEDS = [
  [["resources", "cpu"], "CPUs", "number", "that must be free"],
  [["resources", "memory"], "memory", "text", "such as 4GB"],
  [["resources", "gpu"], "GPUs", "number", "whole ones, or a share: 0.5"],
  [["resources", "gpu_memory"], "GPU memory", "text", "such as 10GiB"],
  [["data"], "data", "names", "data sets that the agent must have, with commas"],
  [["agents"], "agents", "names", "names, or label:gpu=a100, with commas (all)"],
  [["setup", "requirements"], "requirements", "text", "a file of which an environment is made"],
  [["setup", "python"], "Python of it", "text", "such as python3.12"],
  [["setup", "commands"], "commands of it", "lines", "one a line"],
  [["setup", "files"], "files of it", "names", "it is made anew when they change"],
  [["output"], "files to hand in", "names", "patterns, with commas: *.pt"],
  [["on_end"], "when it ends", "line", "a command for alerts, on the agent"],
];

export function Needs({ raw, change, error }) {
  const setup = setupOf(raw.setup);
  const shown = (path) => (path[0] === "setup" ? setup[path[1]] : path.reduce((found, key) => found?.[key], raw));
  function set(path, value) {
    const kept = value === "" || (Array.isArray(value) && value.length === 0) ? undefined : value;
    if (path[0] === "setup") return change(put(raw, ["setup"], shortSetup({ ...setup, [path[1]]: kept })));
    const made = put(raw, path, kept);
    const left = made[path[0]];
    return change(isMapping(left) && Object.keys(left).length === 0 ? put(made, [path[0]], undefined) : made);
  }
  const isSaid = NEEDS.some(([path]) => shown(path) !== undefined) || NEEDS.some(([[top]]) => errorAt(error, [top]));
  return html`<details open=${isSaid}><summary>what a job needs, and what it leaves behind</summary><div class="settings">
    ${NEEDS.map(([path, name, kind, meaning]) => html`<${Need} key=${path.join(".")} name=${name} kind=${kind} meaning=${meaning} value=${shown(path)} set=${(value) => set(path, value)} error=${errorAt(error, path) || (path.length > 1 && error?.at?.length === 1 ? errorAt(error, path.slice(0, 1)) : null)} />`)}</div></details>`;
}

/** `setup` as a mapping, whichever form it is written in: a text is a requirements file, a list are commands. */
function setupOf(written) {
  if (typeof written === "string") return { requirements: written };
  if (Array.isArray(written)) return { commands: written };
  return isMapping(written) ? written : {};
}

function shortSetup(setup) {
  const said = Object.entries(setup).filter(([, value]) => value !== undefined);
  if (said.length === 0) return undefined;
  if (said.length === 1 && said[0][0] === "requirements") return setup.requirements;
  if (said.length === 1 && said[0][0] === "commands") return setup.commands;
  return Object.fromEntries(said);
}

const names = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);
const lines = (text) => text.split("\n").map((one) => one.trim()).filter(Boolean);

function Need({ name, kind, meaning, value, set, error }) {
  const typed = (text) => {
    if (kind === "names") return names(text);
    if (kind === "lines") return lines(text);
    if (kind === "number") return Number.isNaN(Number(numberOf(text))) ? text : numberOf(text);
    return text;
  };
  const change = (event) => set(typed(event.target.value.trim()));
  return html`<div class=${error ? "is-wrong" : ""}><label><span>${name}</span>${field(name, kind, value, change)}</label><span class="quiet">${meaning}</span>${error ? html`<${Wrong} error=${error} />` : null}</div>`;
}

function field(name, kind, value, change) {
  const isList = Array.isArray(value);
  if (isList && !value.every((one) => typeof one === "string")) return html`<code>change it in the text</code>`;
  if (kind === "line" && isList) return html`<code>change it in the text</code>`; // its arguments one by one
  if (kind === "lines") return html`<textarea aria-label=${name} rows="2" cols="28" onChange=${change}>${isList ? value.join("\n") : value ?? ""}</textarea>`;
  return html`<input size="22" value=${isList ? value.join(", ") : String(value ?? "")} onChange=${change} />`;
}

/** One command, or several that run in order: one a line, with `name: ` before it where they have names. */
export function Commands({ value, set }) {
  const isText = value === undefined || typeof value === "string";
  if (isText) {
    return html`<input size="34" aria-label="command" value=${value ?? ""} onChange=${(event) => set(event.target.value.trim())} />
      <button type="button" onClick=${() => set([value || "true"])}>several …</button>`;
  }
  const isNamed = isMapping(value);
  const all = isNamed ? Object.entries(value) : value.map((one) => [null, one]);
  if (!all.every(([, one]) => typeof one === "string")) return html`<code>change it in the text</code>`;
  function read(event) {
    const typed = lines(event.target.value);
    if (!isNamed) return set(typed.length ? typed : "");
    return set(Object.fromEntries(typed.map((line, i) => [line.includes(": ") ? line.slice(0, line.indexOf(": ")).trim() : `${i + 1}`, line.slice(line.indexOf(": ") + 1).trim()])));
  }
  return html`<textarea aria-label="command" rows=${Math.max(2, all.length)} cols="34" onChange=${read}>${all.map(([name, one]) => (name === null ? one : `${name}: ${one}`)).join("\n")}</textarea>`;
}
