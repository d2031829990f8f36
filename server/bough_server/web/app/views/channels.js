/** The channels of a job as charts and words, live. A long one comes thinned, so that a million points are a picture of some thousand. */
import { useMemo, useRef, useState } from "preact/hooks";
import { get } from "../api.js";
import { Chart } from "../chart.js";
import { channelChart } from "../charts.js";
import { isEnded, number } from "../format.js";
import { html } from "../html.js";
import { useThrottled } from "../live.js";

export const MOST = 2000; // points of a channel that are asked for
const WORDS = 20;

/** The channels of the API: points, with the axis options and marks that only the job itself has. */
export const joined = (points, job) => points.map((one) => ({ ...(job.channels || []).find((each) => each.name === one.name), ...one }));

/** New points behind those that are here; what an earlier reply already held is skipped. */
export function grow(channel, { channel: name, x, y, t }) {
  if (channel.name !== name) return channel;
  const last = channel.t.length ? channel.t[channel.t.length - 1] : -Infinity;
  const fresh = t.map((time, i) => i).filter((i) => t[i] > last);
  const added = (old, values) => old.concat(fresh.map((i) => values[i]));
  return { ...channel, x: added(channel.x, x), y: channel.y.map((one, k) => added(one, y[k])), t: added(channel.t, t), points: (channel.points || 0) + fresh.length };
}

/** Whether so much has been added that it is better asked for again. */
export const isLong = (channel) => channel.type !== "text" && channel.x.length > 3 * MOST * channel.traces.length;

export function Channels({ channels, job }) {
  const own = channels.filter((channel) => !channel.system);
  const sorted = own.sort((a, b) => b.kpi - a.kpi || b.main - a.main || (a.name < b.name ? -1 : 1));
  const next = isEnded(job.state) ? "It ended without sending a point." : "Charts appear with the first point it sends.";
  return own.length === 0
    ? html`<section><h2>Channels</h2><p class="quiet">${next}</p></section>`
    : html`<div class="columns">${sorted.map((channel) => html`<${One} key=${channel.name} channel=${channel} job=${job} />`)}</div>`;
}

/** What the machine measured of it: CPU, memory, what it read and wrote, its GPUs. */
export function SystemChannels({ channels, job }) {
  const measured = channels.filter((channel) => channel.system);
  if (measured.length === 0) return null;
  return html`<details><summary>CPU, memory and disk while it ran</summary><div class="columns">${measured.map((channel) => html`<${One} key=${channel.name} channel=${channel} job=${job} />`)}</div></details>`;
}

const One = ({ channel, job }) => (channel.type === "text" ? html`<${Words} channel=${channel} />` : html`<${Curve} channel=${channel} job=${job} />`);

/** The points of the stretch that is looked at in the place of those that were there; x must rise. */
export function refined(channel, fine) {
  if (!fine || fine.x.length === 0) return channel;
  const [low, high] = [fine.x[0], fine.x[fine.x.length - 1]];
  const before = channel.x.findIndex((x) => x >= low);
  const behind = channel.x.findIndex((x) => x > high);
  const joined = (old, part) => [...old.slice(0, before < 0 ? old.length : before), ...part, ...(behind < 0 ? [] : old.slice(behind))];
  const x = joined(channel.x, fine.x);
  const cut = channel.cut === null || channel.cut === undefined ? channel.cut : x.findIndex((one) => one >= channel.x[channel.cut]);
  return { ...channel, x, y: channel.y.map((trace, k) => joined(trace, fine.y[k])), t: joined(channel.t, fine.t), cut: cut < 0 ? null : cut };
}

const rises = (xs) => xs.every((x, i) => i === 0 || x > xs[i - 1]);

function Curve({ channel, job }) {
  const [fine, setFine] = useState(null);
  const wanted = useRef(null);
  const look = useThrottled(() => {
    const stretch = wanted.current;
    if (stretch === null) return setFine(null);
    const same = (reply) => stretch === wanted.current && setFine(reply.channels[0]);
    return get(`/jobs/${job.id}/points`, { channel: channel.name, most: MOST, ...stretch }).then(same, () => {});
  }, 200);
  const isThinned = (channel.points ?? 0) > channel.x.length && rises(channel.x);
  function zoomed(low, high) {
    wanted.current = low === null || !isThinned ? null : { low, high };
    if (isThinned || fine) look();
  }
  const draw = useMemo(() => channelChart(refined(channel, fine)), [channel, fine]);
  const all = channel.points ?? channel.x.length;
  return html`<section><h2>${channel.name}${channel.kpi ? html` <span class="tag">KPI</span>` : null}</h2>
    <${Chart} draw=${draw} onZoom=${zoomed} size="chart-small" label=${`Channel ${channel.name}: ${all} points`} />
    ${all > channel.x.length ? html`<p class="quiet">${all} points: the first, lowest, highest and last of each stretch are drawn.${isThinned ? " Zoom in, and you see the others." : ""}</p>` : null}</section>`;
}

function Words({ channel }) {
  const from = Math.max(0, channel.x.length - WORDS);
  const lines = channel.x.slice(from).map((x, i) => ({ at: from + i, x, words: channel.y.map((one) => one[from + i]).join(", ") })).reverse();
  return html`<section><h2>${channel.name}</h2><dl class="facts words">${lines.map(({ at, x, words }) => html`<div key=${at}><dt>${number(x)}</dt><dd>${words}</dd></div>`)}</dl>
    ${from > 0 ? html`<p class="quiet">the last ${WORDS} of ${channel.x.length}</p>` : null}</section>`;
}
