/** Which columns a table shows, and in which order. */
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { label } from "./cell.js";

const GROUPS = [["p.", "Hyperparameters"], ["channel.", "Channels"], ["info.", "Infos"]];

export function Columns({ known, shown, choose }) {
  const [sought, setSought] = useState("");
  const fits = (name) => name.toLowerCase().includes(sought.toLowerCase());
  const toggle = (name) => choose(shown.includes(name) ? shown.filter((one) => one !== name) : [...shown, name]);
  const groups = [["Job", known.filter(({ name }) => !GROUPS.some(([prefix]) => name.startsWith(prefix)))]];
  for (const [prefix, title] of GROUPS) groups.push([title, known.filter(({ name }) => name.startsWith(prefix))]);
  return html`<details class="menu"><summary class="button">columns</summary><div class="panel">
    <input type="search" placeholder="find a column" aria-label="find a column" value=${sought} onInput=${(event) => setSought(event.target.value)} />
    <${Order} shown=${shown} choose=${choose} />
    ${groups.map(([title, columns]) => html`<${Group} key=${title} title=${title} columns=${columns.filter(({ name }) => fits(name))} shown=${shown} toggle=${toggle} />`)}
    <button type="button" onClick=${() => choose([])}>the usual ones</button>
  </div></details>`;
}

function Group({ title, columns, shown, toggle }) {
  if (columns.length === 0) return null;
  return html`<fieldset><legend>${title}</legend>${columns.map(({ name }) => html`<label key=${name}><input type="checkbox" checked=${shown.includes(name)} onChange=${() => toggle(name)} /> ${label(name) === "#" ? "number" : label(name)}</label>`)}</fieldset>`;
}

/** The shown ones in their order: dragged, or moved by the arrows. */
function Order({ shown, choose }) {
  const move = (name, to) => {
    const rest = shown.filter((one) => one !== name);
    rest.splice(Math.max(0, Math.min(rest.length, to)), 0, name);
    choose(rest);
  };
  return html`<ol class="order" aria-label="shown columns">${shown.map((name, i) => html`<li key=${name} draggable=${true}
      onDragStart=${(event) => event.dataTransfer.setData("text/plain", name)} onDragOver=${(event) => event.preventDefault()}
      onDrop=${(event) => { event.preventDefault(); move(event.dataTransfer.getData("text/plain"), i); }}>
    <span>${label(name)}</span>
    <button type="button" aria-label=${`move ${label(name)} left`} disabled=${i === 0} onClick=${() => move(name, i - 1)}>↑</button>
    <button type="button" aria-label=${`move ${label(name)} right`} disabled=${i === shown.length - 1} onClick=${() => move(name, i + 1)}>↓</button>
    <button type="button" aria-label=${`hide ${label(name)}`} onClick=${() => choose(shown.filter((one) => one !== name))}>×</button>
  </li>`)}</ol>`;
}
