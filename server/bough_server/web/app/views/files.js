/** What a job handed in: files to be saved, its pictures shown, its confusion matrices as tables. Nothing of it becomes markup. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../api.js";
import { moment, number } from "../format.js";
import { html } from "../html.js";
import { Trouble } from "../parts.js";

const FEW = 30; // files that are listed at first
const IS_PICTURE = /\.(png|jpe?g)$/i; // the coordinator serves these as pictures, everything else to be saved

/** `news` rises when there may be more. */
export function Handed({ job, news }) {
  const [files, setFiles] = useState([]);
  const [documents, setDocuments] = useState([]);
  const [failure, setFailure] = useState(null);
  useEffect(() => {
    let gone = false;
    const kinds = ["image", "confusion_matrix"];
    Promise.all([get(`/jobs/${job.id}/files`), ...kinds.map((kind) => get(`/jobs/${job.id}/documents`, { kind }))]).then(([found, ...of]) => {
      if (gone) return;
      setFiles(found.rows);
      setDocuments(of.flatMap((one) => one.rows));
      setFailure(null);
    }, (told) => !gone && setFailure(told));
    return () => { gone = true; };
  }, [job.id, job.attempt, news]);
  const here = new Set(files.filter((one) => one.state === "here").map((one) => one.path));
  const images = documents.filter((one) => one.kind === "image" && typeof one.value?.file === "string");
  const matrices = documents.filter((one) => one.kind === "confusion_matrix" && Array.isArray(one.value?.rows));
  return html`<${Trouble} failure=${failure} />
    ${images.length ? html`<${Images} job=${job} images=${images} here=${here} />` : null}
    ${matrices.length ? html`<${Matrices} matrices=${matrices} />` : null}
    ${files.length ? html`<${Files} job=${job} files=${files} />` : null}`;
}

const fileUrl = (job, path) => `/api/v1/jobs/${encodeURIComponent(job.id)}/files/${path.split("/").map(encodeURIComponent).join("/")}`;
const titleOf = (path) => path.split("/").at(-1);

/** The x along which something was handed in, and which one is looked at: the newest until one is chosen. */
function useAlong(found) {
  const xs = [...new Set(found.map((one) => one.value.x))].sort((a, b) => a - b);
  const [chosen, setChosen] = useState(null);
  const at = chosen !== null && xs.includes(chosen) ? chosen : xs.at(-1);
  const slider = xs.length < 2 ? html`<span class="quiet">at ${number(at)}</span>` : html`<label>at <input type="range" min="0" max=${xs.length - 1} value=${xs.indexOf(at)} aria-valuetext=${number(at)}
    onInput=${(event) => setChosen(Number(event.target.value) === xs.length - 1 ? null : xs[Number(event.target.value)])} /> ${number(at)}</label>`;
  return [found.filter((one) => one.value.x === at), slider];
}

function Images({ job, images, here }) {
  const [shown, slider] = useAlong(images);
  return html`<section><div class="heading"><h2>Images</h2>${slider}</div><div class="images">${shown.map(({ name, value }) => html`<figure key=${name}>
    ${here.has(value.file) && IS_PICTURE.test(value.file) ? html`<a href=${fileUrl(job, value.file)} target="_blank" rel="noreferrer"><img src=${fileUrl(job, value.file)} alt=${value.label || value.id || titleOf(value.file)} loading="lazy" /></a>` : html`<span class="quiet">on its way</span>`}
    <figcaption>${value.label || value.id}</figcaption></figure>`)}</div></section>`;
}

function Matrices({ matrices }) {
  const [shown, slider] = useAlong(matrices);
  return html`<section><div class="heading"><h2>Confusion</h2>${slider}</div>${shown.map(({ name, value }) => html`<${Matrix} key=${name} layer=${value.layer} rows=${value.rows.filter(Array.isArray)} />`)}</section>`;
}

/** Rows are what it is, columns what it was taken for; the shade is the share of its row. */
function Matrix({ layer, rows }) {
  return html`<div class="scroll"><table class="matrix"><caption>${layer || "what it is, by what it was taken for"}</caption>
    <thead><tr><td></td>${(rows[0] || []).map((_, k) => html`<th key=${k} class="n" scope="col">${k}</th>`)}</tr></thead>
    <tbody>${rows.map((row, i) => {
      const sum = row.reduce((all, one) => all + (typeof one === "number" ? one : 0), 0);
      return html`<tr key=${i}><th class="n" scope="row">${i}</th>${row.map((one, k) => html`<td key=${k} class="n shade-${sum > 0 && one > 0 ? Math.max(1, Math.min(9, Math.ceil((9 * one) / sum))) : 0}">${number(one, 4)}</td>`)}</tr>`;
    })}</tbody></table></div>`;
}

const STATES = { coming: "on its way", lost: "lost", refused: "refused" };

function Files({ job, files }) {
  const [all, setAll] = useState(false);
  const shown = all ? files : files.slice(0, FEW);
  return html`<section><h2>Files</h2><div class="scroll"><table><thead><tr><th>file</th><th class="n">size</th><th>handed in</th><th>sha256</th></tr></thead>
    <tbody>${shown.map((one) => html`<tr key=${one.path}><td>
      ${one.state !== "here" ? one.path : IS_PICTURE.test(one.path) ? html`<a href=${fileUrl(job, one.path)} target="_blank" rel="noreferrer">${one.path}</a>` : html`<a href=${fileUrl(job, one.path)} download=${titleOf(one.path)}>${one.path}</a>`}
      ${one.title ? html` <span class="quiet">${one.title}</span>` : null}${one.state !== "here" ? html` <span class="flag">${STATES[one.state] || one.state}${one.reason ? `: ${one.reason}` : ""}</span>` : null}</td>
      <td class="n">${size(one.bytes)}</td><td>${moment(one.at)}</td><td class="id">${(one.sha256 || "").slice(0, 12)}</td></tr>`)}</tbody></table></div>
    ${files.length > FEW && !all ? html`<p><button type="button" onClick=${() => setAll(true)}>all ${files.length}</button></p>` : null}</section>`;
}

/** Bytes as people read them. */
export function size(bytes) {
  if (typeof bytes !== "number") return "–";
  const power = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${number(bytes / 1024 ** power, 3)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}
