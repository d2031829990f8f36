/** A few jobs side by side: what differs in their values, how they ended, and their curves over each other. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { list, write } from "../address.js";
import { get } from "../api.js";
import { Chart } from "../chart.js";
import { overlayChart } from "../charts.js";
import { duration, number, value } from "../format.js";
import { html } from "../html.js";
import { useLive, useThrottled } from "../live.js";
import { Empty, jobLink, State, Trouble } from "../parts.js";
import { CodeDiff } from "./codediff.js";
import { Missing } from "./missing.js";

const MOST = 20;
const POINTS = 1000;

export function Compare({ fields, tell }) {
  const ids = list(fields.jobs).slice(0, MOST);
  const [jobs, setJobs] = useState([]);
  const [all, setAll] = useState(false);
  const { state, failure } = useLive(ids.length ? ids.map((id) => `job:${id}`) : ["optimizations"], load, (kind) => kind === "points" ? moreCurves() : kind === "job" && again());
  const again = useThrottled(() => load().catch(() => {}), 2000);
  const moreCurves = useThrottled(() => setGrown((was) => was + 1), 2000);
  const [grown, setGrown] = useState(0);
  useEffect(() => tell(state), [state]);
  async function load() {
    setJobs(await Promise.all(ids.map((id) => get(`/jobs/${id}`))));
  }
  document.title = "Compare · bough";
  if (failure?.status === 404) return html`<${Missing} failure=${failure} what="job" />`;
  if (ids.length === 0) return html`<${Empty} isPage title="Nothing to compare"><p>Choose two or more jobs in <a href="#/jobs">the job browser</a>, then press compare.</p><//>`;
  const paths = [...new Set(jobs.flatMap((job) => Object.keys(job.values)))];
  const shown = all ? paths : paths.filter((path) => new Set(jobs.map((job) => JSON.stringify(job.values[path]))).size > 1);
  const channels = [...new Map(jobs.flatMap((job) => job.channels || []).filter((one) => one.type !== "text").map((one) => [one.name, one])).values()]
    .sort((a, b) => b.kpi - a.kpi || b.main - a.main || (a.name < b.name ? -1 : 1));
  const overlay = (channel) => html`<${Overlay} key=${channel.name} name=${channel.name} jobs=${jobs} grown=${grown} />`;
  return html`<p class="crumbs"><a href="#/jobs">Jobs</a></p><div class="heading"><h1>Compare ${ids.length} jobs</h1>
      <label class="steering"><input type="checkbox" checked=${all} onChange=${(event) => setAll(event.target.checked)} /> also what is the same</label></div>
    <${Trouble} failure=${failure} />
    <div class="scroll"><table>
      <thead><tr><td></td>${jobs.map((job) => html`<th key=${job.id}><a href=${jobLink(job.id)}>${job.number ? `trial ${job.number}` : job.id}</a></th>`)}</tr></thead>
      <tbody>
        <${Line} name="state" jobs=${jobs} cell=${(job) => html`<${State} of=${job.state} why=${job.end_reason} />`} />
        <${Line} name="KPI" jobs=${jobs} cell=${(job) => number(job.kpi)} />
        <${Line} name="time" jobs=${jobs} cell=${(job) => duration(job.duration_s)} />
        <${Line} name="epochs" jobs=${jobs} cell=${(job) => number(job.epochs)} />
        <${Line} name="agent" jobs=${jobs} cell=${(job) => job.agent || "–"} />
        <${Line} name="code" jobs=${jobs} cell=${(job) => html`<span class="id">${(job.commit || "–").slice(0, 10)}</span>`} />
        ${shown.map((path) => html`<${Line} key=${path} name=${path} jobs=${jobs} cell=${(job) => (path in job.values ? value(job.values[path]) : "")} />`)}
      </tbody></table></div>
    ${jobs.length > 0 && shown.length === 0 ? html`<p class="quiet">Their values are all the same.</p>` : null}
    <div class="columns">${channels.filter((one) => !one.system).map(overlay)}</div>
    <${CodeDiff} jobs=${jobs} />
    ${channels.some((one) => one.system) ? html`<${Measured}>${() => channels.filter((one) => one.system).map(overlay)}<//>` : null}`;
}

/** What the machines measured; drawn once it is opened. */
function Measured({ children }) {
  const [open, setOpen] = useState(false);
  return html`<details onToggle=${(event) => setOpen(event.target.open)}><summary>CPU, memory and disk while they ran</summary>${open ? html`<div class="columns">${children()}</div>` : null}</details>`;
}

const Line = ({ name, jobs, cell }) => html`<tr><th scope="row">${name}</th>${jobs.map((job) => html`<td key=${job.id}>${cell(job)}</td>`)}</tr>`;

function Overlay({ name, jobs, grown }) {
  const [curves, setCurves] = useState([]);
  const having = jobs.filter((job) => job.channels.some((one) => one.name === name));
  useEffect(() => {
    const one = (job) => get(`/jobs/${job.id}/points`, { channel: name, most: POINTS }).then(({ channels: [channel] }) => ({ id: job.id, label: job.number ? `trial ${job.number}` : job.id, ...channel }));
    Promise.all(having.map(one)).then(setCurves, () => {});
  }, [name, jobs.map((job) => job.id).join(" "), grown]);
  const draw = useMemo(() => overlayChart(curves), [curves]);
  const pick = (datum) => datum?.id && (location.hash = write("jobs", datum.id));
  return html`<section><h2>${name}</h2><${Chart} draw=${draw} onPick=${pick} size="chart-small" label=${`${name} of ${having.length} jobs`} /></section>`;
}
