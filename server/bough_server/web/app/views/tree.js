/** The hyperparameters as a tree that is edited in place: name, type, default, choices; added, taken away, dragged into another order. */
import { useState } from "preact/hooks";
import { numberOf } from "../decimal.js";
import { as, at, childrenOf, fresh, full, move, put, rename, short, TYPES } from "../definition.js";
import { errorAt, errorHere } from "../editor.js";
import { html } from "../html.js";

const NAMES = { string: "text", number: "number", boolean: "yes or no", choice_string: "choice of texts", choice_number: "choice of numbers", group: "group", choice_group: "choice of groups" };
const ROOT = ["hyperparameters"];

export function Tree({ raw, change, error }) {
  return html`<div class="tree" role="group" aria-label="Hyperparameters">
    <${Level} raw=${raw} change=${change} error=${error} path=${ROOT} />
  </div>`;
}

/** The children of a group, or of one choice of a choice group; `path` names the mapping that holds them. */
function Level({ raw, change, error, path }) {
  const mapping = at(raw, path) || {};
  const add = () => change(put(raw, [...path, fresh(mapping, "parameter")], 0.1));
  return html`<ol>${Object.keys(mapping).map((name, i) => html`<${Node} key=${name} raw=${raw} change=${change} error=${error} path=${[...path, name]} index=${i} last=${i === Object.keys(mapping).length - 1} />`)}
    <li><button type="button" onClick=${add}>add a hyperparameter</button></li></ol>`;
}

function Node({ raw, change, error, path, index, last }) {
  const name = path[path.length - 1];
  const written = at(raw, path);
  const node = full(written);
  const wrong = errorAt(error, path);
  const set = (changes) => change(put(raw, path, short({ ...node, ...changes })));
  const shift = (to) => change(move(raw, path, to));
  const drop = (event) => {
    event.preventDefault();
    event.stopPropagation();
    const from = JSON.parse(event.dataTransfer.getData("application/x-bough-path") || "[]");
    if (from.slice(0, -1).join("\n") === path.slice(0, -1).join("\n")) change(move(raw, from, index));
  };
  const here = errorHere(error, path) || (wrong && !childrenOf(written) && node.type !== "choice_group" ? wrong : null);
  return html`<li class=${wrong ? "is-wrong" : ""} onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
    <div class="node">
      <span class="grip" draggable=${true} title="drag to another place" aria-hidden="true" onDragStart=${(event) => event.dataTransfer.setData("application/x-bough-path", JSON.stringify(path))}>⠿</span>
      <${Named} name=${name} rename=${(to) => change(rename(raw, path, to))} />
      <select aria-label=${`type of ${name}`} value=${node.type} onChange=${(event) => change(put(raw, path, short(as(written, event.target.value))))}>
        ${TYPES.map((type) => html`<option key=${type} value=${type} selected=${type === node.type}>${NAMES[type]}</option>`)}</select>
      <${Default} name=${name} node=${node} set=${set} />
      <span class="node-ends">
        <button type="button" aria-label=${`move ${name} up`} disabled=${index === 0} onClick=${() => shift(index - 1)}>↑</button>
        <button type="button" aria-label=${`move ${name} down`} disabled=${last} onClick=${() => shift(index + 1)}>↓</button>
        <button type="button" aria-label=${`remove ${name}`} onClick=${() => change(put(raw, path, undefined))}>×</button>
      </span>
    </div>
    ${here ? html`<${Wrong} error=${here} />` : null}
    ${node.type === "group" ? html`<${Level} raw=${raw} change=${change} error=${error} path=${[...path, ...(childrenOf(written) || [])]} />` : null}
    ${node.type === "choice_group" ? html`<${Choices} raw=${raw} change=${change} error=${error} path=${path} node=${node} />` : null}
  </li>`;
}

export const Wrong = ({ error }) => html`<p class="wrong" role="alert">${error.what} ${error.remedy}</p>`;

/** The name, changed when one leaves the field: a name half typed would be another hyperparameter. */
function Named({ name, rename: renamed }) {
  return html`<input class="name" aria-label=${`name of ${name}`} value=${name} size=${Math.max(8, name.length)} maxlength="100" onChange=${(event) => renamed(event.target.value.trim())} />`;
}

function Default({ name, node, set }) {
  if (node.type === "boolean") return html`<label><input type="checkbox" checked=${node.default === true} onChange=${(event) => set({ default: event.target.checked })} /> default: on</label>`;
  if (node.type === "number") return html`<${Number_} name=${name} node=${node} set=${set} />`;
  if (node.type === "string") return html`<label>default <input value=${node.default} onChange=${(event) => set({ default: event.target.value })} /></label>`;
  if (node.type === "group") return html`<${Optional} node=${node} set=${set} />`;
  if (node.type === "choice_group") return html`<label>default <select value=${node.default ?? ""} onChange=${(event) => set({ default: event.target.value || undefined })}><option value="">the first</option>${Object.keys(node.choices || {}).map((one) => html`<option key=${one} value=${one} selected=${one === node.default}>${one}</option>`)}</select></label>`;
  return html`<${ChoiceList} name=${name} node=${node} set=${set} />`;
}

function Number_({ name, node, set }) {
  const isWhole = node.integer ?? Number.isInteger(node.default);
  function typed(event) {
    const found = numberOf(event.target.value);
    // A decimal one stays decimal when 2 is typed; what is no number is kept: the coordinator says what is wrong with it.
    set({ default: Number.isNaN(Number(found)) ? event.target.value : Number(found), ...(!isWhole && Number.isInteger(Number(found)) ? { integer: false } : {}) });
  }
  return html`<label>default <input inputmode="decimal" size="8" value=${node.default} onChange=${typed} /></label>
    <label><input type="checkbox" checked=${isWhole} aria-label=${`${name} is a whole number`} onChange=${(event) => set({ integer: event.target.checked })} /> whole</label>`;
}

function Optional({ node, set }) {
  return html`<label><input type="checkbox" checked=${node.optional === true} onChange=${(event) => set({ optional: event.target.checked || undefined, default: undefined, type: "group", children: node.children })} /> optional</label>
    ${node.optional ? html`<label><input type="checkbox" checked=${node.default !== false} onChange=${(event) => set({ default: event.target.checked })} /> default: on</label>` : null}`;
}

function ChoiceList({ name, node, set }) {
  const read = (text) => text.split(",").map((one) => one.trim()).filter(Boolean).map((one) => (node.type === "choice_number" && Number.isFinite(Number(one)) ? numberOf(one) : one));
  return html`<label>choices <input aria-label=${`choices of ${name}`} value=${(node.choices || []).join(", ")} onChange=${(event) => set({ choices: read(event.target.value) })} /></label>
    <label>default <select value=${String(node.default ?? "")} onChange=${(event) => set({ default: (node.choices || []).find((one) => String(one) === event.target.value) })}><option value="">the first</option>
      ${(node.choices || []).map((one) => html`<option key=${one} value=${String(one)} selected=${String(one) === String(node.default ?? "")}>${String(one)}</option>`)}</select></label>`;
}

/** The groups of a choice group, each with its own hyperparameters. */
function Choices({ raw, change, error, path, node }) {
  const [name, setName] = useState("");
  const choices = node.choices || {};
  const add = () => { change(put(raw, [...path, "choices", fresh(choices, name.trim() || "choice")], {})); setName(""); };
  return html`<ul class="choices">${Object.keys(choices).map((choice) => {
    const own = [...path, "choices", choice];
    return html`<li key=${choice}><div class="node"><span class="quiet">if</span> <${Named} name=${choice} rename=${(to) => change(rename(raw, own, to))} />
        <span class="node-ends"><button type="button" aria-label=${`remove the choice ${choice}`} onClick=${() => change(put(raw, own, undefined))}>×</button></span></div>
      <${Level} raw=${raw} change=${change} error=${error} path=${own} /></li>`;
  })}
    <li><div class="node"><input aria-label="name of a new choice" size="10" value=${name} onInput=${(event) => setName(event.target.value)} /> <button type="button" onClick=${add}>add a choice</button></div></li></ul>`;
}
