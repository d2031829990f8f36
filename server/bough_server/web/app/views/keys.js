/** Keys: who may do what. A secret is shown once, right after it was made. */
import { useEffect, useState } from "preact/hooks";
import { del, get, post } from "../api.js";
import { moment } from "../format.js";
import { html } from "../html.js";
import { useLive, useThrottled } from "../live.js";
import { Trouble } from "../parts.js";
import { Secret, Sure } from "../steering.js";

const KEYS_MS = 15000;
const SCOPES = { admin: "everything", user: "own models: start, steer, look", agent: "run jobs on a machine", read: "look" };

export function Keys({ tell }) {
  const [found, setFound] = useState(null);
  const load = async () => setFound((await get("/keys")).rows);
  const { state, failure } = useLive(["agents"], load, useThrottled(() => load().catch(() => {}), KEYS_MS)); // when each was last used
  useEffect(() => tell(state), [state]);
  document.title = "Keys · bough";
  return html`<h1>Keys</h1>
    <${Trouble} failure=${failure} />
    ${found ? html`<${NewKey} made=${load} />` : null}
    ${found ? html`<div class="scroll"><table>
      <thead><tr><th>name</th><th>may</th><th>user</th><th>made</th><th>last used</th><th>expires</th><th><span class="hidden">revoke</span></th></tr></thead>
      <tbody>${found.map((key) => html`<${Row} key=${key.id} of=${key} changed=${load} />`)}</tbody></table></div>` : null}`;
}

function Row({ of: key, changed }) {
  const [failure, setFailure] = useState(null);
  const state = key.revoked_at ? `revoked ${moment(key.revoked_at)}` : null;
  return html`<tr class=${state ? "quiet" : ""}><td>${key.name}</td><td>${key.scope}: ${SCOPES[key.scope] || ""}</td><td>${key.user || "–"}</td>
    <td>${moment(key.created_at)}</td><td>${moment(key.last_used_at)}</td><td>${key.expires_at ? moment(key.expires_at) : "never"}</td>
    <td>${state || html`<${Sure} word="revoke" question=${`revoke ${key.name}: whatever uses it stops working`} go=${() => del(`/keys/${key.id}`).then(changed, setFailure)} />`}<${Trouble} failure=${failure} /></td></tr>`;
}

function NewKey({ made }) {
  const [secret, setSecret] = useState(null);
  const [failure, setFailure] = useState(null);
  function create(event) {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    post("/keys", { name: fields.name, scope: fields.scope, user: fields.user || undefined }).then((reply) => { setSecret(reply); setFailure(null); made(); }, setFailure);
  }
  return html`<section><h2>New key</h2>
    <form class="fields" onSubmit=${create}>
      <label>name <input name="name" required maxlength="100" /></label>
      <label>may <select name="scope">${Object.entries(SCOPES).map(([scope, what]) => html`<option key=${scope} value=${scope} selected=${scope === "user"}>${scope}: ${what}</option>`)}</select></label>
      <label>user <input name="user" maxlength="60" placeholder="owner of models" /></label>
      <button type="submit">make</button>
    </form>
    <${Trouble} failure=${failure} />
    ${secret ? html`<${Secret} label=${`The key ${secret.name}`} text=${secret.key} />` : null}
  </section>`;
}
