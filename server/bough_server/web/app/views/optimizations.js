/** All optimizations, newest first, and what keeps them from going on. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../api.js";
import { moment, number } from "../format.js";
import { html } from "../html.js";
import { useLive, useThrottled } from "../live.js";
import { Counts, Empty, Notes, optimizationLink, Progress, State, Trouble } from "../parts.js";
import { rowsOf } from "./agents.js";

const PAGE = 50;

export function Optimizations({ fields, tell }) {
  const offset = Number(fields.offset || 0);
  const [found, setFound] = useState(null);
  const [agents, setAgents] = useState([]);
  const [why, setWhy] = useState([]);
  const { state, failure } = useLive(["optimizations", "agents"], load, told);
  const again = useThrottled(() => load().catch(() => {}), 1000);
  const machines = useThrottled(() => load().catch(() => {}), 5000);
  useEffect(() => tell(state), [state]);

  async function load() {
    const [some, machines, reasons] = await Promise.all([get("/optimizations", { limit: PAGE, offset }), get("/agents"), get("/why")]);
    setFound(some);
    setAgents(rowsOf(machines));
    setWhy(reasons.reasons);
  }

  function told(kind, data) {
    if (kind === "agent") machines();
    if (kind !== "optimization") return;
    if (found?.rows.some((row) => row.id === data.id)) {
      setFound((was) => ({ ...was, rows: was.rows.map((row) => (row.id === data.id ? data : row)) }));
    } else {
      again();
    }
  }

  document.title = "Optimizations · bough";
  return html`<h1>Optimizations</h1>
    <${Trouble} failure=${failure} />
    <${Notes} title="Why nothing more is running" of=${why} />
    ${found ? html`<p class="quiet"><${Machines} agents=${agents} /></p>` : null}
    ${found && found.total === 0 ? html`<${NoOptimization} />` : null}
    ${found && found.total > 0 ? html`<${Table} rows=${found.rows} /><${Pages} offset=${offset} total=${found.total} />` : null}`;
}

function Machines({ agents }) {
  const there = agents.filter((agent) => agent.online);
  if (there.length === 0) return html`No agent is connected. <a href="#/agents">How to start one</a>`;
  const slots = there.reduce((sum, agent) => sum + agent.slots, 0);
  const running = there.reduce((sum, agent) => sum + agent.running, 0);
  return html`<a href="#/agents">${there.length} ${there.length === 1 ? "agent" : "agents"}</a>: ${there.map((agent) => agent.name).join(", ")}; ${running} of
    ${" "}${slots} ${slots === 1 ? "slot" : "slots"} busy`;
}

function NoOptimization() {
  return html`<${Empty} title="Nothing here yet">
    <p>An optimization starts from a folder with a <code>bough.yml</code>, in a git repository:</p>
    <pre><code>bough init        # writes the bough.yml
bough optimize .  # starts; it appears here at once</code></pre>
  <//>`;
}

export function Table({ rows }) {
  return html`<div class="scroll"><table>
    <thead><tr><th>model</th><th>id</th><th>state</th><th>progress</th><th>trials</th><th class="n">best</th><th>KPI</th><th>algorithm</th><th>started</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.id}>
      <td><a href=${optimizationLink(row.id)}>${row.model}</a></td>
      <td class="id">${row.id}</td>
      <td><${State} of=${row.state} /></td>
      <td><${Progress} done=${row.finished} total=${row.max_trials} /></td>
      <td><${Counts} of=${row.counts} /></td>
      <td class="n best">${number(row.best?.kpi)}</td>
      <td>${row.kpi?.channel || "–"}</td>
      <td>${row.algorithm}</td>
      <td>${moment(row.created_at)}</td>
    </tr>`)}</tbody></table></div>`;
}

function Pages({ offset, total }) {
  if (total <= PAGE) return null;
  const at = (start) => `#/optimizations?offset=${start}`;
  return html`<p class="pages">${offset > 0 ? html`<a href=${at(Math.max(0, offset - PAGE))}>newer</a>` : null}
    <span>${offset + 1}–${Math.min(total, offset + PAGE)} of ${total}</span>
    ${offset + PAGE < total ? html`<a href=${at(offset + PAGE)}>older</a>` : null}</p>`;
}
