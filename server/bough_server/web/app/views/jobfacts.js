/** What is known of a job besides its curves: how far it is and how fast, where it came from, its attempts and why. */
import { write } from "../address.js";
import { duration, isEnded, moment, number, reason } from "../format.js";
import { html } from "../html.js";
import { Notes, Progress } from "../parts.js";

export function Facts({ job }) {
  return html`<section><h2>So far</h2>
    <p class="headline"><span class="best">${number(job.kpi)}</span> <span class="quiet">KPI${job.kpi_best !== null && job.kpi_best !== job.kpi ? `, best ${number(job.kpi_best)} at ${number(job.kpi_best_x)}` : ""}</span></p>
    <dl class="facts">
      <div><dt>epochs</dt><dd><${Progress} done=${job.epochs} total=${job.epochs_total} /></dd></div>
      ${isEnded(job.state) ? null : Object.entries(job.steps || {}).map(([name, step]) => html`<${Step} key=${name} name=${name} step=${step} />`)}
      ${job.status ? html`<div><dt>says</dt><dd>${job.status}</dd></div>` : null}
      <div><dt>started</dt><dd>${moment(job.started_at)}${job.ended_at ? `, ended ${moment(job.ended_at)}` : ""}</dd></div>
      <div><dt>time</dt><dd>${duration(job.duration_s)}</dd></div>
      <div><dt>limits</dt><dd>${[job.max_epochs && `${number(job.max_epochs)} epochs`, job.max_time_s && duration(job.max_time_s)].filter(Boolean).join(", ") || "none"}</dd></div>
      <div><dt>agent</dt><dd>${job.agent ? html`<a href=${write("agents")}>${job.agent}</a>` : "–"}${job.attempt > 1 ? `, attempt ${job.attempt}` : ""}</dd></div>
      <div><dt>exit code</dt><dd>${number(job.exit_code)}</dd></div>
    </dl></section>`;
}

/** How fast, and how long still. */
function Step({ name, step }) {
  if (step === null || typeof step !== "object") return null;
  const speed = typeof step.speed === "number" ? `${number(step.speed, 3)} ${String(step.speed_label || "/s").toLowerCase()}` : null;
  const left = typeof step.eta_s === "number" ? `${duration(step.eta_s)} to go` : null;
  return html`<div><dt>${name === "epoch" ? "speed" : name || "in the epoch"}</dt><dd>
    ${name === "epoch" ? null : html`<${Progress} done=${step.step} total=${step.steps} /> `}${[speed, left].filter(Boolean).join(", ")}</dd></div>`;
}

export function Provenance({ job }) {
  const { source, environment } = job;
  const from = source && [source.url, source.branch && `branch ${source.branch}`, source.dirty && "with changes that were not committed"].filter(Boolean).join(", ");
  const infos = Object.entries(job.infos || {});
  const hosts = [...new Set((job.history || []).map((one) => one.agent).filter(Boolean))].join(", ");
  const python = environment ? [environment.implementation, environment.python].filter(Boolean).join(" ") : null;
  const last = (job.history || []).at(-1);
  return html`<section><h2>Where it came from</h2><dl class="facts">
      <div><dt>code</dt><dd class="id">${job.commit || "–"}${job.folder ? ` in ${job.folder}` : ""}</dd></div>
      ${from ? html`<div><dt>source</dt><dd>${from}</dd></div>` : null}
      <div><dt>definition</dt><dd><a href=${write("models", job.model)}>${job.model}</a>, revision ${number(job.revision)}</dd></div>
      <div><dt>record</dt><dd class="id">${job.record || "–"}</dd></div>
      <div><dt>ran on</dt><dd>${hosts || "–"}${environment?.system ? `, ${environment.system} ${environment.machine || ""}` : ""}</dd></div>
      <div><dt>python</dt><dd>${[python, environment?.executable || last?.python].filter(Boolean).join(", ") || "–"}</dd></div>
      ${infos.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${typeof value === "object" ? JSON.stringify(value) : String(value)}</dd></div>`)}
      ${facts(job).map(([name, value]) => html`<div key=${`s ${name}`}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>
    ${environment?.packages && Object.keys(environment.packages).length ? html`<details><summary>${Object.keys(environment.packages).length} packages</summary>
      <ul class="packages">${Object.entries(environment.packages).map(([name, version]) => html`<li key=${name}>${name} <span class="quiet">${String(version)}</span></li>`)}</ul></details>` : null}
  </section>`;
}

const facts = (job) => (job.documents?.system || []).map(({ name, value }) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]);

/** Every attempt with its machine, how it ended and why. */
export function Attempts({ job }) {
  const history = job.history || [];
  if (history.length < 2 && !history.some((one) => one.exit?.signal || one.message)) return null;
  return html`<section><h2>Attempts</h2><div class="scroll"><table>
    <thead><tr><th class="n">#</th><th>agent</th><th>started</th><th>time</th><th>exit</th><th>why it ended</th></tr></thead>
    <tbody>${history.map((one) => html`<tr key=${one.attempt}><td class="n">${one.attempt}</td><td>${one.agent || "–"}</td><td>${moment(one.started_at ?? one.claimed_at)}</td><td>${duration(one.exit?.duration_s)}</td>
      <td>${one.exit?.signal || number(one.exit?.exit_code)}</td><td class="wrap">${[reason(one.exit?.cause), one.exit?.error, one.message].filter(Boolean).join(": ") || one.state.replace("_", " ")}</td></tr>`)}</tbody></table></div></section>`;
}

/** What is doubtful about its data. */
export function Doubts({ job }) {
  const { bad_lines: bad = 0, lost_lines: lost = 0 } = job.journal || {};
  return html`<${Notes} title="Worth a look" of=${[
    bad > 0 && `${bad} lines of its journal could not be read: something else wrote into it, or a write was torn.`,
    lost > 0 && `${lost} lines of its journal are lost: its disk was full.`,
    job.partial && "Not all of what it reported has arrived: its agent lost some of it.",
    job.unreachable && `Agent ${job.agent || ""} is silent. The job may still run; it goes on here once the agent is heard of again, and is queued again if it is not.`,
    job.reused_from && `It did not run: its values are those of job ${job.reused_from}, whose result it took.`,
  ].filter(Boolean)} />`;
}
