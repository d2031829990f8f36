/** Views that one keeps under a name, to come back to. */
import { useEffect, useState } from "preact/hooks";
import { del, get, post } from "../api.js";
import { html } from "../html.js";
import { Trouble } from "../parts.js";

export function KeptViews({ address }) {
  const [views, setViews] = useState([]);
  const [name, setName] = useState("");
  const [failure, setFailure] = useState(null);
  const load = () => get("/views").then((reply) => setViews(reply.rows), setFailure);
  useEffect(() => { load(); }, []);
  function keep(event) {
    event.preventDefault();
    post("/views", { name, address }).then(() => setName(""), setFailure).then(load);
  }
  return html`<details class="menu"><summary class="button">views</summary><div class="panel">
    ${views.length === 0 ? html`<p class="quiet">None kept yet.</p>` : null}
    <ul class="plain">${views.map((view) => html`<li key=${view.id}><a href=${view.address}>${view.name}</a>
      <button type="button" aria-label=${`delete the view ${view.name}`} onClick=${() => del(`/views/${view.id}`).then(load, setFailure)}>×</button></li>`)}</ul>
    <form onSubmit=${keep}><input aria-label="name of this view" placeholder="keep this view as …" maxlength="100" value=${name} onInput=${(event) => setName(event.target.value)} /> <button type="submit" disabled=${!name.trim()}>keep</button></form>
    <${Trouble} failure=${failure} />
  </div></details>`;
}
