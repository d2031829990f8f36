/** What was done to an optimization while it lived, its earlier generations, and the bough.yml that it runs now. */
import { useEffect, useState } from "preact/hooks";
import { write } from "../address.js";
import { get, getExactly, post } from "../api.js";
import { moment, number } from "../format.js";
import { html } from "../html.js";
import { jobLink, State, Trouble } from "../parts.js";

const MOST = 100;

export function Past({ optimization }) {
  const [edits, setEdits] = useState([]);
  useEffect(() => { get(`/optimizations/${optimization.id}/edits`).then((reply) => setEdits(reply.rows), () => {}); }, [optimization.id, optimization.space_version, optimization.generation, optimization.finished]);
  const earlier = Array.from({ length: optimization.generation - 1 }, (_, i) => optimization.generation - 1 - i);
  return html`<${Definition} optimization=${optimization} />
    ${edits.length ? html`<details><summary>${edits.length} ${edits.length === 1 ? "change" : "changes"} while it lived</summary><ol class="plain history">${[...edits].reverse().map((one) => html`<li key=${one.number}>
      <div><strong>${one.kind}</strong> <span class="quiet">${moment(one.at)}${optimization.generation > 1 ? `, generation ${one.generation}` : ""}${one.kept === null ? "" : `, ${one.kept} trials kept, ${one.left_out} left out`}</span>
      <ul class="changes">${one.changes.map((line) => html`<li key=${line}><code>${line}</code></li>`)}</ul></div></li>`)}</ol></details>` : null}
    ${earlier.map((generation) => html`<${Generation} key=${generation} optimization=${optimization} generation=${generation} />`)}`;
}

/** The trials of an earlier generation, read when they are asked for. */
function Generation({ optimization, generation }) {
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState(null);
  const open = (event) => event.target.open && get(`/optimizations/${optimization.id}/trials`, { generation, limit: MOST }).then(setFound, setFailure);
  return html`<details onToggle=${open}><summary>generation ${generation}</summary><${Trouble} failure=${failure} />
    ${found ? html`<p class="quiet">${found.total > MOST ? `the first ${MOST} of ${found.total}; ` : ""}<a href=${write("jobs", "", { optimization: optimization.id, where: [["generation", "=", generation]] })}>in the job browser</a>, <a href=${`/api/v1/optimizations/${encodeURIComponent(optimization.id)}/export?format=csv&generation=${generation}`} download>CSV of all</a></p>
      <div class="scroll"><table><thead><tr><th class="n">#</th><th>state</th><th class="n">KPI</th><th>started</th></tr></thead><tbody>${found.rows.map((job) => html`<tr key=${job.id}><td class="n"><a href=${jobLink(job.id)}>${job.number}</a></td><td><${State} of=${job.state} why=${job.end_reason} /></td><td class="n">${number(job.kpi)}</td><td>${moment(job.started_at)}</td></tr>`)}</tbody></table></div>` : null}</details>`;
}

/** The definition as it is now, as the text that a bough.yml would have. */
function Definition({ optimization }) {
  const [text, setText] = useState(null);
  const [failure, setFailure] = useState(null);
  const read = async () => {
    const now = await getExactly(`/optimizations/${optimization.id}/definition`);
    const fixed = Object.entries(now.fixed).map(([path, value]) => `# fixed: ${path} = ${value}\n`).join("");
    return fixed + (await post("/definition", { definition: now.definition })).text;
  };
  const open = (event) => event.target.open && read().then(setText, setFailure);
  useEffect(() => setText(null), [optimization.id, optimization.space_version]);
  return html`<details onToggle=${open}><summary>code and settings it runs: <span class="id">${(optimization.commit || "not resolved yet").slice(0, 10)}</span>${optimization.folder ? ` in ${optimization.folder}` : ""}${optimization.source?.branch ? `, branch ${optimization.source.branch}` : ""}${optimization.source?.dirty ? ", with changes that were not committed" : ""}</summary>
    <${Trouble} failure=${failure} />${optimization.source?.url ? html`<p class="quiet">${optimization.source.url}</p>` : null}<pre class="log" tabindex="0" aria-label="The bough.yml that it runs">${text ?? "…"}</pre></details>`;
}
