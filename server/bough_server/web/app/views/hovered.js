/** What is under the pointer, wherever a trial is drawn: its values, how far it is, and how it ended. */
import { duration, number } from "../format.js";
import { html } from "../html.js";
import { jobFlag, Progress, State, Values } from "../parts.js";

export function Hovered({ trial, kpiName }) {
  if (!trial) return null;
  return html`<aside class="hovered" aria-hidden="true">
    <div class="heading"><strong>trial ${trial.number}</strong><${State} of=${trial.state} why=${trial.end_reason} flag=${jobFlag(trial)} /></div>
    <p><span class="best">${number(trial.kpi)}</span> <span class="quiet">${kpiName}</span></p>
    <p class="quiet"><${Progress} done=${trial.epochs} total=${trial.epochs_total} /> ${trial.agent || ""} ${duration(trial.duration_s)}</p>
    <${Values} of=${trial.values} /></aside>`;
}
