/** Values that were fixed when a search was started (`-p`, or the form): shown, and freed one by one. */
import { html } from "../html.js";

/** `fixed`: {path: value}; `freed`: the paths that are not to stay so; `change` gets the new list of these. */
export function Fixed({ fixed, freed, change }) {
  const entries = Object.entries(fixed);
  if (entries.length === 0) return null;
  const toggle = (path, isFixed) => change(isFixed ? freed.filter((one) => one !== path) : [...freed, path]);
  return html`<fieldset class="fixed"><legend>Fixed for this search, whatever the space says; without the tick it is free again</legend>
    ${entries.map(([path, value]) => html`<label key=${path}><input type="checkbox" checked=${!freed.includes(path)} onChange=${(event) => toggle(path, event.target.checked)} /> ${path} = ${String(value)}</label>`)}</fieldset>`;
}

/** What stays fixed. */
export const kept = (fixed, freed) => Object.fromEntries(Object.entries(fixed).filter(([path]) => !freed.includes(path)));
