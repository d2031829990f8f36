/** The exact command that starts an agent on another machine, with a key of its own that is made when asked for. */
import { useState } from "preact/hooks";
import { get, post } from "../api.js";
import { html } from "../html.js";
import { quoted } from "../quoted.js";
import { Secret, useSending } from "../steering.js";

export function AddAgent() {
  const [made, setMade] = useState(null);
  const [send, trouble, busy] = useSending();
  function make(event) {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    send(post("/keys", { name: fields.name, scope: "agent" }).then(async (key) => ({ ...fields, key: key.key, version: (await get("/health")).version }))).then((one) => one && setMade(one));
  }
  const wheel = (version) => `${location.origin}/wheel/bough-${version}-py3-none-any.whl`;
  const command = ({ key, name, slots }) => `bough agent server --coordinator ${location.origin} --secure-key ${key} --name ${quoted(name)} --slots ${slots}`;
  return html`<section class="add"><h2>Add an agent</h2>
    <form class="fields" onSubmit=${make}>
      <label>name of the machine <input name="name" required maxlength="100" pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" title="letters, digits, dot, dash and underscore" /></label>
      <label>slots <input type="number" name="slots" min="1" max="10000" value="1" /></label>
      <button type="submit" class="button-main" disabled=${busy}>make a key and the command</button></form>
    ${trouble}
    ${made ? html`<p class="quiet">On that machine, with Python 3.11 or newer:</p><pre><code>pip install ${wheel(made.version)}</code></pre>
      <${Secret} label="Then start it, with its key" text=${command(made)} />
      <p class="quiet">It appears here as soon as it has connected. ${["localhost", "127.0.0.1", "[::1]"].includes(location.hostname) ? "This page was opened by an address that only this machine knows: another one needs the coordinator's name in its place." : ""}</p>` : null}
  </section>`;
}
