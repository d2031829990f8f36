/** The actions that a running script offers: a button each, with fields for its arguments; and what the calls answered. */
import { useEffect, useState } from "preact/hooks";
import { get, post } from "../api.js";
import { isEnded, moment } from "../format.js";
import { html } from "../html.js";
import { Trouble } from "../parts.js";
import { useSending } from "../steering.js";

const LAST = 10;

/** `news` rises when there may be an answer. */
export function Actions({ job, news }) {
  const [found, setFound] = useState({ actions: [], calls: [] });
  const [failure, setFailure] = useState(null);
  const load = () => get(`/jobs/${job.id}/actions`).then((reply) => { setFound(reply); setFailure(null); }, setFailure);
  useEffect(() => { load(); }, [job.id, job.attempt, news]);
  const offered = isEnded(job.state) ? [] : found.actions;
  if (!offered.length && !found.calls.length && !failure) return null;
  return html`<section><h2>Actions</h2><${Trouble} failure=${failure} />
    ${offered.map((one) => html`<${Action} key=${one.name} job=${job} action=${one} called=${load} />`)}
    ${found.calls.length ? html`<${Calls} calls=${found.calls} />` : null}</section>`;
}

function Action({ job, action, called }) {
  const [send, trouble, busy] = useSending(called);
  function submit(event) {
    event.preventDefault();
    const fields = new FormData(event.target);
    const args = {};
    for (const { name, type, default: usual } of action.args || []) {
      const text = fields.get(name);
      if (type === "boolean") args[name] = text !== null;
      else if (text !== "" && text !== null) args[name] = typed(text, type);
      else if (usual === undefined && text !== null && type === "string") args[name] = "";
    }
    send(post(`/jobs/${job.id}/actions/${encodeURIComponent(action.name)}`, { args }));
  }
  return html`<form class="fields action" onSubmit=${submit}>
    ${(action.args || []).map((one) => html`<label key=${one.name}>${one.name} ${one.type === "boolean"
      ? html`<input type="checkbox" name=${one.name} defaultChecked=${one.default === true} />`
      : html`<input name=${one.name} size="12" required=${one.required && one.type !== "string"} inputmode=${one.type === "integer" || one.type === "number" ? "decimal" : "text"} placeholder=${one.default === undefined || one.default === null ? "" : String(one.default)} />`}</label>`)}
    <button type="submit" disabled=${busy}>${action.label || action.name}</button>
    ${action.description ? html`<span class="quiet">${action.description}</span>` : null}${trouble}</form>`;
}

/** What cannot be read as its type goes as it is: the coordinator or the script says what is wrong with it. */
function typed(text, type) {
  if (type === "integer" || type === "number") return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  return text;
}

function Calls({ calls }) {
  return html`<div class="scroll"><table><thead><tr><th>asked</th><th>action</th><th>with</th><th>answer</th></tr></thead>
    <tbody>${[...calls].sort((a, b) => b.asked_at - a.asked_at).slice(0, LAST).map((one) => html`<tr key=${one.id}><td>${moment(one.asked_at)}</td><td>${one.name}</td><td class="wrap"><code>${JSON.stringify(one.args)}</code></td>
      <td class="wrap">${one.answer === null ? html`<span class="quiet">not yet</span>` : "error" in one.answer ? html`<span class="wrong">${String(one.answer.error)}</span>` : html`<code>${JSON.stringify(one.answer.value)}</code>`}</td></tr>`)}</tbody></table></div>`;
}
