/** A filter: conditions as words that can be taken away, and a line to add one. */
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { Trouble } from "../parts.js";
import { label } from "./cell.js";

const NUMBERS = ["=", "!=", "<", "<=", ">", ">=", "given", "empty"];
const TEXTS = ["=", "!=", "contains", "lacks", "in", "given", "empty"];
const ALONE = ["given", "empty"];

const operators = (kind) => (kind === "number" || kind === "time" ? NUMBERS : kind === "any" ? [...NUMBERS, "contains", "lacks", "in"] : TEXTS);

export function Conditions({ known, where, choose, failure }) {
  const [name, setName] = useState("state");
  const [operator, setOperator] = useState("=");
  const [value, setValue] = useState("");
  const kind = known.find((column) => column.name === name)?.kind || "text";
  const offered = operators(kind);
  const used = offered.includes(operator) ? operator : offered[0];
  function add(event) {
    event.preventDefault();
    choose([...where, ALONE.includes(used) ? [name, used] : [name, used, typed(value, kind)]]);
    setValue("");
  }
  return html`<form class="conditions" onSubmit=${add} aria-label="Filter">
    ${where.map((one, i) => html`<span class="chip" key=${JSON.stringify(one)}>${label(one[0])} ${one[1]} ${one.length > 2 ? String(one[2]) : ""}
      <button type="button" aria-label=${`remove the condition ${one.join(" ")}`} onClick=${() => choose(where.filter((_, k) => k !== i))}>×</button></span>`)}
    <select aria-label="column" value=${name} onChange=${(event) => setName(event.target.value)}>${known.map((column) => html`<option key=${column.name} value=${column.name}>${column.name}</option>`)}</select>
    <select aria-label="operator" value=${used} onChange=${(event) => setOperator(event.target.value)}>${offered.map((one) => html`<option key=${one}>${one}</option>`)}</select>
    ${ALONE.includes(used) ? null : html`<input aria-label="value" size="12" value=${value} onInput=${(event) => setValue(event.target.value)} list=${name === "state" ? "states" : null} />`}
    <datalist id="states">${["RUNNING", "DONE", "FAILED", "ABORTED", "QUEUED", "CREATED"].map((one) => html`<option key=${one} value=${one} />`)}</datalist>
    <button type="submit">filter</button>
    <${Trouble} failure=${failure} />
  </form>`;
}

const typed = (text, kind) => (kind !== "text" && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text);
