/** One job: its values, its channels as charts, its log as it grows, and how it ended. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { exportUrl, get, post } from "../api.js";
import { Chart } from "../chart.js";
import { channelChart } from "../charts.js";
import { duration, isEnded, moment, number } from "../format.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { jobFlag, optimizationLink, Progress, State, Trouble, Values } from "../parts.js";
import { Log } from "./log.js";

export function Job({ id, tell }) {
  const [job, setJob] = useState(null);
  const [channels, setChannels] = useState([]);
  const [grown, setGrown] = useState(0); // rises when there is more log to read
  const { state, failure } = useLive([`job:${id}`], load, told);
  useEffect(() => tell(state), [state]);

  async function load() {
    // One after the other: when there is no such job, that is what has to be said, not that it has no points.
    const one = await get(`/jobs/${id}`);
    const points = await get(`/jobs/${id}/points`);
    setJob(one);
    setChannels(points.channels);
    setGrown((was) => was + 1);
  }

  function told(kind, data) {
    if (kind === "job" && data.id === job?.id) setJob((was) => ({ ...was, ...data }));
    if (kind === "log") setGrown((was) => was + 1);
    if (kind !== "points") return;
    if (channels.some((channel) => channel.name === data.channel)) setChannels((was) => was.map((one) => grow(one, data)));
    else load().catch(() => {}); // a new channel: its traces and type are in the reply
  }

  const title = job && (job.number === null ? `job ${job.id}` : `trial ${job.number}`);
  document.title = job ? `${title} of ${job.model} · bough` : "bough";
  if (!job) return html`<${Trouble} failure=${failure} />`;
  return html`<p class="crumbs"><a href="#/optimizations">Optimizations</a>${job.optimization ? html` / <a href=${optimizationLink(job.optimization)}>${job.model} ${job.optimization}</a>` : null}</p>
    <div class="heading">
      <h1>${title} <span class="id">${job.id}</span></h1>
      <${State} of=${job.state} why=${job.end_reason} flag=${jobFlag(job)} />
      <${Stop} job=${job} changed=${setJob} />
      <a class="button" href=${exportUrl("jobs", job.id) + "&points=true"} download>CSV</a>
    </div>
    <${Trouble} failure=${failure} />
    ${job.message ? html`<div class="note ${job.state === "FAILED" ? "note-bad" : ""}">${job.message}</div>` : null}
    <div class="columns">
      <section><h2>Values</h2><${Values} of=${job.values} /></section>
      <${Facts} job=${job} />
    </div>
    <${Channels} channels=${channels} job=${job} />
    <${Log} id=${id} attempt=${job.attempt} grown=${grown} />`;
}

function Stop({ job, changed }) {
  const [failure, setFailure] = useState(null);
  const [sure, setSure] = useState(false);
  if (isEnded(job.state)) return null;
  const go = () => (sure ? post(`/jobs/${job.id}/stop`).then(changed, setFailure).then(() => setSure(false)) : setSure(true));
  return html`<span class="steering" onMouseLeave=${() => setSure(false)}><button type="button" onClick=${go}>${sure ? "really stop?" : "stop"}</button><${Trouble} failure=${failure} /></span>`;
}

function Facts({ job }) {
  return html`<section><h2>So far</h2>
    <p class="headline"><span class="best">${number(job.kpi)}</span> <span class="quiet">KPI${job.kpi_best !== null && job.kpi_best !== job.kpi ? `, best ${number(job.kpi_best)} at ${number(job.kpi_best_x)}` : ""}</span></p>
    <dl class="facts">
      <div><dt>epochs</dt><dd><${Progress} done=${job.epochs} total=${job.epochs_total} /></dd></div>
      ${job.status ? html`<div><dt>says</dt><dd>${job.status}</dd></div>` : null}
      <div><dt>started</dt><dd>${moment(job.started_at)}${job.ended_at ? `, ended ${moment(job.ended_at)}` : ""}</dd></div>
      <div><dt>time</dt><dd>${duration(job.duration_s)}</dd></div>
      <div><dt>agent</dt><dd>${job.agent || "–"}${job.attempt > 1 ? `, attempt ${job.attempt}` : ""}</dd></div>
      <div><dt>exit code</dt><dd>${number(job.exit_code)}</dd></div>
      <div><dt>code</dt><dd class="id">${(job.commit || "–").slice(0, 10)}</dd></div>
      <div><dt>record</dt><dd class="id">${job.record || "–"}</dd></div>
    </dl></section>`;
}

/** New points behind those that are here; what an earlier reply already held is skipped. */
function grow(channel, { channel: name, x, y, t }) {
  if (channel.name !== name) return channel;
  const last = channel.t.length ? channel.t[channel.t.length - 1] : -Infinity;
  const fresh = t.map((time, i) => i).filter((i) => t[i] > last);
  const added = (old, values) => old.concat(fresh.map((i) => values[i]));
  return { ...channel, x: added(channel.x, x), y: channel.y.map((one, k) => added(one, y[k])), t: added(channel.t, t) };
}

function Channels({ channels, job }) {
  if (channels.length === 0) {
    const next = isEnded(job.state) ? "It ended without sending a point." : "Charts appear with the first point it sends.";
    return html`<section><h2>Channels</h2><p class="quiet">${next}</p></section>`;
  }
  const sorted = [...channels].sort((a, b) => b.kpi - a.kpi || b.main - a.main || (a.name < b.name ? -1 : 1));
  return html`<div class="columns">${sorted.map((channel) => (channel.type === "text"
    ? html`<${Words} key=${channel.name} channel=${channel} />`
    : html`<${Curve} key=${channel.name} channel=${channel} />`))}</div>`;
}

function Curve({ channel }) {
  const draw = useMemo(() => channelChart(channel), [channel]);
  return html`<section><h2>${channel.name}${channel.kpi ? html` <span class="tag">KPI</span>` : null}</h2>
    <${Chart} draw=${draw} size="chart-small" label=${`Channel ${channel.name}: ${channel.x.length} points`} /></section>`;
}

function Words({ channel }) {
  const from = Math.max(0, channel.x.length - 20);
  return html`<section><h2>${channel.name}</h2><dl class="facts">${channel.x.slice(from).map((x, i) => html`<div key=${from + i}><dt>${number(x)}</dt><dd>${channel.y.map((one) => one[from + i]).join(", ")}</dd></div>`)}</dl></section>`;
}
