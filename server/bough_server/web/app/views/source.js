/** What is run: the model's name, its command, where the code comes from, and what else a job needs. */
import { put } from "../definition.js";
import { errorAt } from "../editor.js";
import { html } from "../html.js";
import { Commands, Needs } from "./needs.js";
import { Wrong } from "./tree.js";

/** [path, name, what it means] */
const FIELDS = [
  [["model"], "model", "owner/name"],
  [["command"], "command", "without a shell; {{lr}} becomes a value, {{args}} all of them; several run in order, one a line"],
  [["git", "url"], "git address", "https, ssh, or empty: what `bough optimize` pushed"],
  [["git", "branch"], "branch or tag", ""],
  [["git", "folder"], "folder", "of the model in the repository"],
  [["working_dir"], "working folder", "below the model's"],
  [["priority"], "priority", "higher starts first"],
];

export function Source({ raw, change, error }) {
  const git = typeof raw.git === "string" ? { url: raw.git } : raw.git || {};
  const shown = (path) => (path[0] === "git" ? git[path[1]] : raw[path[0]]);
  function set(path, value) {
    const base = path[0] === "git" ? { ...raw, git } : raw;
    const made = put(base, path, value === "" ? undefined : value);
    const empty = made.git && Object.keys(made.git).length === 0;
    change(empty ? put(made, ["git"], undefined) : made);
  }
  return html`<section><h2>What is run</h2><div class="settings">
    ${FIELDS.map(([path, name, meaning]) => html`<${Field} key=${path.join(".")} path=${path} name=${name} meaning=${meaning} value=${shown(path)} set=${(value) => set(path, value)} error=${errorAt(error, path)} />`)}
  </div><${Environment} raw=${raw} change=${change} error=${error} /><${Needs} raw=${raw} change=${change} error=${error} /></section>`;
}

function Field({ path, name, meaning, value, set, error }) {
  const isText = value === undefined || value === null || typeof value === "string" || typeof value === "number";
  const typed = (event) => set(path[0] === "priority" && /^-?\d+$/.test(event.target.value.trim()) ? Number(event.target.value) : event.target.value.trim());
  return html`<div class=${error ? "is-wrong" : ""}><label><span>${name}</span>
    ${path[0] === "command" ? html`<${Commands} value=${value} set=${set} />` : isText ? html`<input size="34" value=${value ?? ""} onChange=${typed} />` : html`<code>several: change them in the text</code>`}</label>
    <span class="quiet">${meaning}</span>${error ? html`<${Wrong} error=${error} />` : null}</div>`;
}

/** Variables of the environment as lines `NAME=value`. */
function Environment({ raw, change, error }) {
  const lines = Object.entries(raw.env || {}).map(([name, value]) => `${name}=${value}`).join("\n");
  const wrong = errorAt(error, ["env"]);
  function read(event) {
    const pairs = event.target.value.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => [line.split("=")[0].trim(), line.slice(line.indexOf("=") + 1)])
      .map(([name, text]) => [name, String(raw.env?.[name]) === text ? raw.env[name] : text]); // a number that was left alone stays one
    change(put(raw, ["env"], pairs.length ? Object.fromEntries(pairs) : undefined));
  }
  return html`<details open=${lines !== "" || Boolean(wrong)}><summary>environment variables</summary><textarea rows="3" cols="40" aria-label="environment variables, one NAME=value a line" onChange=${read}>${lines}</textarea>${wrong ? html`<${Wrong} error=${wrong} />` : null}</details>`;
}
