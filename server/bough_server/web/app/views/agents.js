/** The machines that run trials: how they are, what they run, how busy they are; how they are held back, and how one is added. */
import { useEffect, useState } from "preact/hooks";
import { write } from "../address.js";
import { get, post } from "../api.js";
import { moment, number } from "../format.js";
import { html } from "../html.js";
import { useLive, useThrottled } from "../live.js";
import { Empty, jobLink, Notes, State, Trouble } from "../parts.js";
import { Sure, useSending } from "../steering.js";
import { AddAgent } from "./addagent.js";
import { size } from "./files.js";
import { Usage } from "./usage.js";

const HISTORY_MS = 10000; // a new point of the utilization comes every ten seconds
const HELD = ["PREPARING", "RUNNING", "STOPPING", "PAUSED", "DRAINING"];

export function Agents({ tell }) {
  const [agents, setAgents] = useState(null);
  const [why, setWhy] = useState([]);
  const [jobs, setJobs] = useState([]);
  const [isAdding, setAdding] = useState(false);
  const again = useThrottled(() => load().catch(() => {}), 3000);
  const { state, failure } = useLive(["agents", "optimizations"], load, again);
  useEffect(() => tell(state), [state]);

  async function load() {
    const [reply, reasons, running] = await Promise.all([get("/agents"), get("/why"), get("/jobs", { state: HELD.join(","), limit: 200 })]);
    setAgents(rowsOf(reply));
    setWhy(reasons.reasons);
    setJobs(running.rows);
  }

  document.title = "Agents · bough";
  return html`<div class="heading"><h1>Agents</h1>
      ${agents?.length ? html`<span class="steering"><button type="button" class="button-main" aria-expanded=${isAdding ? "true" : "false"} onClick=${() => setAdding(!isAdding)}>add an agent</button></span>` : null}</div>
    <${Trouble} failure=${failure} />
    ${isAdding && agents?.length ? html`<${AddAgent} />` : null}
    <${Notes} title="Why nothing more is running" of=${why} />
    ${agents && agents.length === 0 ? html`<${Empty} title="No agent yet"><p>An agent runs the trials of a machine. On this one, <code>bough up</code> starts one beside the coordinator. On another:</p><${AddAgent} /><//>` : null}
    ${agents?.map((agent) => html`<${Agent} key=${agent.id} agent=${agent} jobs=${jobs.filter((job) => job.agent === agent.name)} changed=${again} />`)}`;
}

/** The agents of a reply. */
export const rowsOf = (reply) => (Array.isArray(reply) ? reply : reply.rows || reply.agents || []);

const stateOf = (agent) => (!agent.online ? "SILENT" : agent.quarantine ? "QUARANTINE" : agent.drain ? "DRAINING" : "ONLINE");

function Agent({ agent, jobs, changed }) {
  const [send, trouble, busy] = useSending(changed);
  const go = (step, body) => send(post(`/agents/${encodeURIComponent(agent.id)}/${step}`, body));
  const { offers = {}, system = {} } = agent;
  const gpus = offers.gpus || [];
  return html`<section aria-label=${`agent ${agent.name}`}>
    <div class="heading"><h2 class="name">${agent.name}</h2><${State} of=${stateOf(agent)} />
      ${(agent.labels || []).map((label) => html`<span class="chip chip-plain" key=${label}>${label}</span>`)}
      <span class="steering">
        <${Slots} agent=${agent} go=${go} busy=${busy} />
        ${agent.drain ? html`<button type="button" disabled=${busy} onClick=${() => go("undrain")}>undrain</button>` : html`<${Sure} word="drain" disabled=${busy} question=${`drain ${agent.name}: it gets nothing new, what runs there goes on`} go=${() => go("drain")} />`}
        ${agent.quarantine ? html`<button type="button" class="button-main" disabled=${busy} onClick=${() => go("release")}>release</button>` : null}
      </span></div>
    ${trouble}
    ${agent.quarantine ? html`<div class="note note-bad" role="alert"><strong>In quarantine:</strong> ${agent.quarantine} Release it once that is mended.</div>` : null}
    ${!agent.online ? html`<div class="note">Not heard of since ${moment(agent.seen_at)}. ${agent.running > 0 ? "What it runs may go on there: it is shown as silent, and queued again if the agent does not come back." : "Start it again there with the command it was started with."}</div>` : null}
    <div class="columns">
      <dl class="facts">
        <div><dt>runs</dt><dd>${agent.running} of ${number(agent.slots)}: ${jobs.length ? jobs.map((job, i) => html`${i ? ", " : ""}<a key=${job.id} href=${jobLink(job.id)}>${job.number === null ? `job ${job.id}` : `${job.model} trial ${job.number}`}</a>`) : html`<span class="quiet">nothing</span>`}</dd></div>
        <div><dt>host</dt><dd>${agent.host || "–"}${system?.platform ? html` <span class="quiet">${system.platform}</span>` : null}</dd></div>
        <div><dt>has</dt><dd>${[offers.cpus && `${number(offers.cpus)} CPUs`, offers.memory_bytes && size(offers.memory_bytes), ...gpus.map((gpu) => `${gpu.name} ${size(gpu.memory_bytes)}`)].filter(Boolean).join(", ") || "–"}</dd></div>
        ${offers.data?.length ? html`<div><dt>data</dt><dd>${offers.data.join(", ")}</dd></div>` : null}
        ${offers.allow?.length ? html`<div><dt>runs only</dt><dd>${offers.allow.join(", ")}</dd></div>` : null}
        ${offers.confinement ? html`<div><dt>confines by</dt><dd>${offers.confinement}</dd></div>` : null}
        <div><dt>last heard</dt><dd>${moment(agent.seen_at)}</dd></div>
        <div><dt>version</dt><dd>bough ${agent.version || "–"}${system?.python ? `, Python ${system.python}` : ""}</dd></div>
      </dl>
      <${Usage} id=${agent.id} every=${HISTORY_MS} now=${agent.online ? agent.usage : null} />
    </div>
    <p class="quiet"><a href=${write("jobs", "", { where: [["agent", "=", agent.name]] })}>all jobs that ran there</a></p>
  </section>`;
}

/** How many jobs it runs at a time; with fewer, what runs is left to end. */
function Slots({ agent, go, busy }) {
  const [typed, setTyped] = useState(null);
  function submit(event) {
    event.preventDefault();
    if (typed !== null) go("slots", { slots: Number(typed) }).then(() => setTyped(null));
  }
  return html`<form class="slots" onSubmit=${submit}><label>slots <input type="number" min="1" max="10000" size="3" value=${typed ?? agent.slots} aria-label=${`slots of ${agent.name}`} onInput=${(event) => setTyped(event.target.value)} /></label>
    ${typed !== null && Number(typed) !== agent.slots ? html`<button type="submit" disabled=${busy}>set</button>` : null}</form>`;
}
