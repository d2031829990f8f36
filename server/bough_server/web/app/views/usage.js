/** How busy a machine was, the last day: a small curve each for what is measured there. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { get } from "../api.js";
import { Chart } from "../chart.js";
import { sparkline } from "../charts.js";
import { number } from "../format.js";
import { html } from "../html.js";

/** `every`: milliseconds between two looks; `now`: what the agent said last, or null. */
export function Usage({ id, every, now }) {
  const [channels, setChannels] = useState([]);
  useEffect(() => {
    const look = () => get(`/agents/${encodeURIComponent(id)}/usage`).then((reply) => setChannels(reply.channels), () => {});
    look();
    const timer = setInterval(() => document.hidden || look(), every);
    return () => clearInterval(timer);
  }, [id]);
  const newest = { cpu: now?.cpu_percent, memory: now?.memory_percent };
  if (channels.length === 0) return html`<p class="quiet">How busy it is appears here after some seconds.</p>`;
  return html`<div class="sparks">${channels.map((channel) => html`<${Spark} key=${channel.name} channel=${channel} now=${newest[channel.name]} />`)}</div>`;
}

function Spark({ channel, now }) {
  const draw = useMemo(() => sparkline(channel), [channel]);
  const words = `${channel.name.replace(/_/g, " ")} ${number(now ?? channel.y.at(-1), 3)} ${channel.unit}`;
  return html`<div class="spark"><span>${words}</span><${Chart} draw=${draw} size="chart-tiny" label=${`${words}, the last day`} /></div>`;
}
