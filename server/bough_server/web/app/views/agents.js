/** The machines that run trials, and why nothing runs where that is so. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../api.js";
import { moment, number } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { Empty, Notes, State, Trouble } from "../parts.js";

export function Agents({ tell }) {
  const [agents, setAgents] = useState(null);
  const [why, setWhy] = useState([]);
  const { state, failure } = useLive(["agents"], load, load);
  useEffect(() => tell(state), [state]);

  async function load() {
    const [reply, reasons] = await Promise.all([get("/agents"), get("/why")]);
    setAgents(rowsOf(reply));
    setWhy(reasons.reasons);
  }

  document.title = "Agents · bough";
  return html`<h1>Agents</h1>
    <${Trouble} failure=${failure} />
    <${Notes} title="Why nothing more is running" of=${why} />
    ${agents && agents.length === 0 ? html`<${NoAgent} />` : null}
    ${agents && agents.length > 0 ? html`<${Table} agents=${agents} />` : null}`;
}

/** The agents of a reply. */
export const rowsOf = (reply) => (Array.isArray(reply) ? reply : reply.rows || reply.agents || []);

const stateOf = (agent) => (!agent.online ? "SILENT" : agent.drain ? "DRAINING" : "ONLINE");

function NoAgent() {
  return html`<${Empty} title="No agent yet">
    <p>An agent runs the trials of a machine. On this one, <code>bough up</code> starts one beside the coordinator. On another:</p>
    <pre><code>pip install ${location.origin}/wheel/…   # the address is listed at ${location.origin}/wheel/
bough agent server --coordinator ${location.origin} --secure-key KEY</code></pre>
    <p>A key for agents: <code>bough key create --scope agent NAME</code></p>
  <//>`;
}

function Table({ agents }) {
  return html`<div class="scroll"><table>
    <thead><tr><th>name</th><th>state</th><th class="n">slots</th><th class="n">running</th><th>host</th><th>last heard</th><th>version</th></tr></thead>
    <tbody>${agents.map((agent) => html`<tr key=${agent.id}>
      <td>${agent.name}</td>
      <td><${State} of=${stateOf(agent)} /></td>
      <td class="n">${number(agent.slots)}</td>
      <td class="n">${number(agent.running)}</td>
      <td>${agent.host || "–"}</td>
      <td>${moment(agent.seen_at)}</td>
      <td>${agent.version || "–"}</td>
    </tr>`)}</tbody></table></div>`;
}
