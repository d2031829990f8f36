/** The job browser: jobs of a model, of an optimization, or all of them, with the columns, filter and order one chooses; all of it in the address. */
import { useEffect, useState } from "preact/hooks";
import { list, write } from "../address.js";
import { get, query } from "../api.js";
import { html } from "../html.js";
import { useLive, useThrottled } from "../live.js";
import { Star } from "../marks.js";
import { Empty, jobLink, Trouble } from "../parts.js";
import { Cell, label } from "./cell.js";
import { Columns } from "./columns.js";
import { Conditions } from "./conditions.js";
import { KeptViews } from "./keptviews.js";

const PAGE = 100;
const TABLE_MS = 2000; // a table of thousands is sorted and filtered anew each time
const COLUMNS_MS = 15000;

export function Browser({ fields, tell }) {
  const [found, setFound] = useState(null);
  const [columns, setColumns] = useState([]);
  const scope = { optimization: fields.optimization, model: fields.model, manual: fields.manual };
  const asked = { ...scope, columns: fields.columns, where: fields.where, sort: fields.sort || (fields.optimization ? "-number" : undefined) };
  const from = Math.max(0, Number(fields.from) || 0);
  const topics = [fields.optimization ? `optimization:${fields.optimization}` : "optimizations"];
  const { state, failure } = useLive(topics, () => { known(); return load(); }, (kind) => {
    if (kind !== "job" && kind !== "optimization") return;
    soon();
    alsoColumns();
  });
  const soon = useThrottled(() => load().catch(() => {}), TABLE_MS);
  const [refused, setRefused] = useState(null);
  useEffect(() => tell(state), [state]);
  useEffect(() => { if (found) load().catch(() => {}); }, [JSON.stringify(asked), from]);
  useEffect(() => { if (found) known(); }, [JSON.stringify(scope)]);

  async function load() {
    try {
      const table = await get("/table", { ...asked, limit: PAGE, offset: from });
      setFound(table);
      setRefused(null);
    } catch (error) {
      if (error.status !== 400) throw error;
      setRefused(error); // a filter that cannot be: said beside it, and the table stays
    }
  }
  /** Which columns there are changes seldom, and is looked for through all jobs. */
  const known = () => get("/table/columns", scope).then((reply) => setColumns(reply.columns), () => {});
  const alsoColumns = useThrottled(known, COLUMNS_MS);

  /** The address of this view with some of its fields changed. */
  const at = (changes) => write("jobs", "", { ...fields, from: null, ...changes });
  const sort = asked.sort?.startsWith("[") ? list(asked.sort) : asked.sort ? [asked.sort] : [];
  const chosen = list(fields.chosen);
  const shown = (found?.columns || []).map((column) => column.name);
  document.title = "Jobs · bough";
  return html`<${Where} fields=${fields} />
    <div class="heading">
      <h1>Jobs</h1>
      <span class="quiet">${found ? `${found.total}` : ""}</span>
      <span class="steering">
        ${chosen.length > 1 ? html`<a class="button button-main" href=${write("compare", "", { jobs: chosen })}>compare ${chosen.length}</a>` : html`<span class="quiet">choose some to compare</span>`}
        <${Columns} known=${columns} shown=${shown} choose=${(names) => (location.hash = at({ columns: names }))} />
        <${KeptViews} address=${at({ from: fields.from, chosen: null })} />
        <a class="button" href=${"/api/v1/table/export" + query({ ...asked, columns: JSON.stringify(shown) })} download>CSV</a>
      </span>
    </div>
    <${Trouble} failure=${failure} />
    <${Conditions} known=${columns} where=${list(fields.where)} choose=${(where) => (location.hash = at({ where }))} failure=${refused} />
    ${found && found.total === 0
      ? html`<${Nothing} fields=${fields} at=${at} />`
      : html`<div class="scroll"><table>
        <thead><tr><th><span class="hidden">chosen</span></th><th><span class="hidden">star</span></th>
          ${(found?.columns || []).map((column) => html`<${Head} key=${column.name} column=${column} sort=${sort} at=${at} />`)}</tr></thead>
        <tbody>${(found?.rows || []).map((row) => html`<${Row} key=${row.id} row=${row} columns=${found.columns} chosen=${chosen} at=${at} changed=${soon} />`)}</tbody>
      </table></div>`}
    ${found && found.total > PAGE ? html`<${Pages} from=${from} total=${found.total} at=${at} />` : null}`;
}

function Where({ fields }) {
  if (!fields.optimization && !fields.model) return null;
  return html`<p class="crumbs">${fields.optimization
    ? html`<a href=${write("optimizations", fields.optimization)}>optimization ${fields.optimization}</a>`
    : html`<a href=${write("models", fields.model)}>${fields.model}</a>`} · <a href="#/jobs">all jobs</a></p>`;
}

function Nothing({ fields, at }) {
  if (fields.where) return html`<${Empty} title="No job fits"><p><a href=${at({ where: null })}>Take the filter away</a></p><//>`;
  return html`<${Empty} title="No job yet"><p>One by hand: <code>bough run</code>. Many: <code>bough optimize</code>, or <a href="#/models">a model</a> of the page.</p><//>`;
}

/** A press sorts by this column, another one the other way round; with Shift it comes behind those that are there. */
function Head({ column, sort, at }) {
  const place = sort.findIndex((one) => one.replace(/^-/, "") === column.name);
  const falling = place >= 0 && sort[place].startsWith("-");
  const next = (place < 0 || !falling ? "-" : "") + column.name;
  const further = (event) => {
    if (!event.shiftKey) return;
    event.preventDefault();
    location.hash = at({ sort: [...sort.filter((one) => one.replace(/^-/, "") !== column.name), next] });
  };
  const rank = sort.length > 1 && place >= 0 ? html`<sup>${place + 1}</sup>` : null;
  return html`<th class=${column.kind === "number" ? "n" : ""} aria-sort=${place < 0 ? null : falling ? "descending" : "ascending"}>
    <a href=${at({ sort: [next] })} onClick=${further} title="Shift: sort by this as well">${label(column.name)}${place < 0 ? "" : falling ? " ↓" : " ↑"}${rank}</a></th>`;
}

function Row({ row, columns, chosen, at, changed }) {
  const is = chosen.includes(row.id);
  const toggle = () => (location.hash = at({ chosen: is ? chosen.filter((one) => one !== row.id) : [...chosen, row.id] }));
  const cell = (name) => row.cells[columns.findIndex((column) => column.name === name)];
  const name = cell("number") ? `trial ${cell("number")}` : `job ${row.id}`;
  return html`<tr class=${is ? "is-chosen" : ""}>
    <td><input type="checkbox" checked=${is} onChange=${toggle} aria-label=${`choose ${name}`} /></td>
    <td><${Star} job=${row.id} on=${row.star} label=${name} changed=${changed} /></td>
    ${columns.map((column, i) => html`<${Cell} key=${column.name} column=${column} value=${row.cells[i]} link=${i === 0 ? jobLink(row.id) : null} name=${i === 0 ? name : null} />`)}
  </tr>`;
}

function Pages({ from, total, at }) {
  return html`<p class="pages">
    ${from > 0 ? html`<a href=${at({ from: Math.max(0, from - PAGE) || null })}>back</a>` : null}
    <span>${from + 1}–${Math.min(total, from + PAGE)} of ${total}</span>
    ${from + PAGE < total ? html`<a href=${at({ from: from + PAGE })}>on</a>` : null}</p>`;
}
