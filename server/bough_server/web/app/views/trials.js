/** The trials of an optimization as a table: sorted and paged by the coordinator, kept fresh by what comes live. */
import { useEffect, useState } from "preact/hooks";
import { get, query } from "../api.js";
import { duration, moment, number, value } from "../format.js";
import { html } from "../html.js";
import { jobFlag, jobLink, State, Trouble } from "../parts.js";

const PAGE = 50;
const FILTERS = ["", "RUNNING", "DONE", "FAILED", "ABORTED"];

/** `version` rises when the page shall be asked for anew; `latest` holds the newest state of each trial by its id. */
export function Trials({ optimization, fields, version, latest, kpiName, onHover }) {
  const sort = fields.sort || "number";
  const descending = fields.descending ? fields.descending === "true" : true;
  const offset = Number(fields.from || 0);
  const state = fields.state || "";
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState(null);

  useEffect(() => {
    let gone = false;
    get(`/optimizations/${optimization.id}/trials`, { sort, descending, state, limit: PAGE, offset }).then(
      (reply) => { if (!gone) { setFound(reply); setFailure(null); } },
      (error) => { if (!gone) setFailure(error); },
    );
    return () => { gone = true; };
  }, [optimization.id, sort, descending, state, offset, version]);

  const paths = optimization.space || [];
  const at = (changes) => `#/optimizations/${optimization.id}${query({ sort, descending, state, from: 0, ...changes })}`;
  const rows = found ? found.rows.map((row) => ({ ...row, ...latest.get(row.id) })) : [];
  return html`<section>
    <div class="heading"><h2>Trials</h2><nav class="filters" aria-label="Which trials">${FILTERS.map((one) => html`<a key=${one} href=${at({ state: one })} aria-current=${one === state ? "true" : null}>${one ? one.toLowerCase() : "all"}</a>`)}</nav></div>
    <${Trouble} failure=${failure} />
    <div class="scroll"><table>
      <thead><tr>
        ${[["number", "#"], ["state", "state"], ["kpi", kpiName]].map(([name, text]) => html`<${Sorted} key=${name} ...${{ name, text, sort, descending, at }} />`)}
        ${paths.map((path) => html`<${Sorted} key=${path} ...${{ name: `p.${path}`, text: path, sort, descending, at }} />`)}
        <th class="n">epochs</th>
        ${[["duration", "time"], ["started", "started"]].map(([name, text]) => html`<${Sorted} key=${name} ...${{ name, text, sort, descending, at }} />`)}
        <th>agent</th>
      </tr></thead>
      <tbody>${rows.map((job) => html`<${Row} key=${job.id} job=${job} paths=${paths} best=${optimization.best?.id === job.id} onHover=${onHover} />`)}</tbody>
    </table></div>
    ${found && found.rows.length === 0 ? html`<p class="quiet">No trial is ${state.toLowerCase()}.</p>` : null}
    ${found && found.total > PAGE ? html`<p class="pages">
      ${offset > 0 ? html`<a href=${at({ from: Math.max(0, offset - PAGE) })}>back</a>` : null}
      <span>${offset + 1}–${Math.min(found.total, offset + PAGE)} of ${found.total}</span>
      ${offset + PAGE < found.total ? html`<a href=${at({ from: offset + PAGE })}>on</a>` : null}</p>` : null}
  </section>`;
}

function Sorted({ name, text, sort, descending, at }) {
  const here = sort === name;
  const arrow = here ? (descending ? " ↓" : " ↑") : "";
  return html`<th aria-sort=${here ? (descending ? "descending" : "ascending") : null} class=${name === "state" || name === "started" ? "" : "n"}>
    <a href=${at({ sort: name, descending: here ? !descending : true })}>${text}${arrow}</a></th>`;
}

function Row({ job, paths, best, onHover }) {
  return html`<tr class=${best ? "is-best" : ""} onMouseEnter=${() => onHover?.(job)} onMouseLeave=${() => onHover?.(null)} onFocusIn=${() => onHover?.(job)} onFocusOut=${() => onHover?.(null)}>
    <td class="n"><a href=${jobLink(job.id)} aria-label=${`trial ${job.number}`}>${job.number}</a></td>
    <td><${State} of=${job.state} why=${job.end_reason} flag=${jobFlag(job)} /></td>
    <td class="n ${best ? "best" : ""}">${number(job.kpi)}</td>
    ${paths.map((path) => html`<td key=${path} class="n">${path in job.values ? value(job.values[path]) : ""}</td>`)}
    <td class="n">${number(job.epochs)}${job.epochs_total ? html`<span class="quiet">/${job.epochs_total}</span>` : null}</td>
    <td class="n">${duration(job.duration_s)}</td>
    <td>${moment(job.started_at)}</td>
    <td>${job.agent || "–"}</td>
  </tr>`;
}
