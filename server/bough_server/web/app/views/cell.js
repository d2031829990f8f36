/** One cell of the table of jobs, and the name of a column as people say it. */
import { duration, moment, number, value as shown } from "../format.js";
import { html } from "../html.js";
import { optimizationLink, State } from "../parts.js";

const WORDS = { number: "#", job_id: "job", duration_s: "time", kpi: "KPI", kpi_last: "KPI, last", kpi_best: "KPI, best", kpi_best_x: "best at", exit_code: "exit", epochs_total: "of epochs", end_reason: "end" };

export const label = (name) => WORDS[name] || name.replace(/^(p|channel|info)\./, "");

/** `link` makes the cell the way to its job; `name` is what a screen reader says for it. */
export function Cell({ column, value, link, name }) {
  const text = html`<${Value} column=${column} value=${value} />`;
  return html`<td class=${column.kind === "number" || typeof value === "number" ? "n" : ""}>${link ? html`<a href=${link} aria-label=${name}>${text}</a>` : text}</td>`;
}

function Value({ column, value }) {
  const kind = column.name;
  if (value === null || value === undefined) return html`<span class="quiet">–</span>`;
  if (kind === "state") return html`<${State} of=${value} />`;
  if (kind === "duration_s") return duration(value);
  if (column.kind === "time") return moment(value);
  if (kind === "optimization") return html`<a href=${optimizationLink(value)} class="id">${value}</a>`;
  if (kind === "commit" || kind === "record" || kind === "job_id") return html`<span class="id">${kind === "commit" ? value.slice(0, 10) : value}</span>`;
  if (kind === "star") return value ? "★" : "";
  if (kind === "tags") return html`<span class="tags">${value.map((tag) => html`<span class="chip" key=${tag}>${tag}</span>`)}</span>`;
  if (typeof value === "object") return html`<code>${JSON.stringify(value)}</code>`;
  if (typeof value === "number" || typeof value === "boolean") return kind.startsWith("p.") ? shown(value) : typeof value === "boolean" ? String(value) : number(value);
  return html`<span class="clip" title=${value}>${value}</span>`;
}
