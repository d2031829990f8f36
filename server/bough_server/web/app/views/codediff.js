/** What differs between the code of two jobs, as git says it: files with their lines, each folded. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../api.js";
import { html } from "../html.js";
import { Trouble } from "../parts.js";

const OPEN = 5; // so many files are unfolded at first

/** `jobs` are those that are compared; two of them are chosen, at first the first and the last whose commits differ. */
export function CodeDiff({ jobs }) {
  const [pair, setPair] = useState([null, null]);
  const from = jobs.find((job) => job.id === pair[0]) || jobs[0];
  const to = jobs.find((job) => job.id === pair[1]) || [...jobs].reverse().find((job) => job.commit !== from?.commit) || jobs[jobs.length - 1];
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState(null);
  const isSame = from?.commit === to?.commit;
  useEffect(() => {
    setFound(null);
    setFailure(null);
    if (!from || !to || isSame) return undefined;
    let gone = false;
    get(`/jobs/${from.id}/diff`, { to: to.id }).then((reply) => gone || setFound(reply), (told) => gone || setFailure(told));
    return () => { gone = true; };
  }, [from?.id, to?.id, isSame]);
  if (jobs.length < 2) return null;
  const commits = new Set(jobs.map((job) => job.commit)).size;
  return html`<section><div class="heading"><h2>Code</h2>${commits === 1 ? null : html`
      <${Which} label="from the code of" jobs=${jobs} value=${from.id} choose=${(id) => setPair([id, to.id])} /> → <${Which} label="to the code of" jobs=${jobs} value=${to.id} choose=${(id) => setPair([from.id, id])} />`}</div>
    ${isSame ? html`<p class="quiet">${commits === 1 ? "All" : "These two"} ran the same commit, <span class="id">${(from.commit || "–").slice(0, 10)}</span>.</p>` : null}
    <${Trouble} failure=${failure} />
    ${found ? html`<${Files} found=${found} />` : !isSame && !failure ? html`<p class="quiet">being compared …</p>` : null}</section>`;
}

const Which = ({ label, jobs, value, choose }) => html`<select aria-label=${label} value=${value} onChange=${(event) => choose(event.target.value)}>${jobs.map((job) => html`<option key=${job.id} value=${job.id} selected=${job.id === value}>${job.number ? `trial ${job.number}` : job.id}: ${(job.commit || "–").slice(0, 10)}</option>`)}</select>`;

function Files({ found }) {
  const moved = found.from.folder !== found.to.folder ? html`<p class="quiet">They ran in other folders: ${found.from.folder || "the top"} and ${found.to.folder || "the top"}.</p>` : null;
  if (found.total === 0) return html`${moved}<p class="quiet">The commits differ, their files do not.</p>`;
  return html`${moved}<p class="quiet">${found.total} ${found.total === 1 ? "file differs" : "files differ"}${found.total > found.files.length ? `; the first ${found.files.length} are listed` : ""}.</p>
    ${found.files.map((file, i) => html`<${File} key=${file.path} file=${file} isOpen=${i < OPEN} />`)}`;
}

function File({ file, isOpen }) {
  const [open, setOpen] = useState(isOpen);
  const name = file.old_path ? `${file.old_path} → ${file.path}` : file.path;
  return html`<details class="file" open=${open} onToggle=${(event) => setOpen(event.target.open)}><summary><span class="id">${name}</span> ${file.added === null ? html`<span class="quiet">no text, or too large to be shown</span>` : html`<span class="added">+${file.added}</span> <span class="removed">−${file.removed}</span>`}</summary>
    ${!open ? null : file.patch ? html`<pre class="diff" tabindex="0" aria-label=${`what differs in ${file.path}`}>${linesOf(file.patch).map((line, i) => html`<span key=${i} class=${kindOf(line)}>${line}${"\n"}</span>`)}</pre>` : html`<p class="quiet">${file.added === 0 && file.removed === 0 ? "Its lines are the same." : "Not shown: together these changes are too long. git shows them: bough job diff."}</p>`}</details>`;
}

/** Without git's own header lines, which say what stands above. */
function linesOf(patch) {
  const lines = patch.replace(/\n$/, "").split("\n");
  const first = lines.findIndex((line) => line.startsWith("@@"));
  return first < 0 ? lines : lines.slice(first);
}

const kindOf = (line) => ({ "+": "added", "-": "removed", "@": "hunk" })[line[0]] || null;
