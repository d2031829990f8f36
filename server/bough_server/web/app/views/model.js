/** One model: where its code comes from, its hyperparameters, its optimizations and jobs; start one of either. */
import { useEffect, useState } from "preact/hooks";
import { go, write } from "../address.js";
import { get, getExactly, post } from "../api.js";
import { full, searchable } from "../definition.js";
import { moment, value } from "../format.js";
import { html } from "../html.js";
import { useLive, useThrottled } from "../live.js";
import { Trouble } from "../parts.js";
import { useSending } from "../steering.js";
import { rowsOf } from "./agents.js";
import { Missing } from "./missing.js";
import { Table as Optimizations } from "./optimizations.js";

export function Model({ id, tell }) {
  const [model, setModel] = useState(null);
  const [searches, setSearches] = useState([]);
  const { state, failure } = useLive(["optimizations"], load, (kind) => kind === "optimization" && again());
  const again = useThrottled(() => load().catch(() => {}), 5000);
  useEffect(() => tell(state), [state]);
  async function load() {
    setModel(await getExactly(`/models/${id}`));
    setSearches((await get("/optimizations", { model: id, limit: 50 })).rows.filter((one) => one.model === id));
  }
  document.title = `${id} · bough`;
  if (!model) return html`<${Missing} failure=${failure} what="model" />`;
  return html`<p class="crumbs"><a href="#/models">Models</a></p>
    <div class="heading"><h1>${id}</h1><span class="quiet">revision ${model.revision}</span>
      <span class="steering"><a class="button" href=${write("jobs", "", { model: id })}>${model.jobs} jobs</a><a class="button button-main" href=${write("new", "", { model: id })}>new optimization</a></span></div>
    <${Trouble} failure=${failure} />
    <div class="columns">
      <${Hyperparameters} model=${model} />
      <${Code} model=${model} />
    </div>
    <${StartJob} model=${model} />
    <section><h2>Optimizations</h2>${searches.length ? html`<${Optimizations} rows=${searches} />` : html`<p class="quiet">None yet. <a href=${write("new", "", { model: id })}>Start one</a></p>`}</section>`;
}

function Hyperparameters({ model }) {
  return html`<section><div class="heading"><h2>Hyperparameters</h2><a class="button steering" href=${write("new", "", { model: model.id })}>edit</a></div>
    <${Outline} of=${model.newest?.definition.hyperparameters || {}} /></section>`;
}

/** The tree as it is read: names, types, defaults. */
function Outline({ of }) {
  return html`<ul class="outline">${Object.entries(of).map(([name, written]) => {
    const node = full(written);
    return html`<li key=${name}><span class="id">${name}</span> <span class="quiet">${describe(node)}</span>
      ${node.type === "group" ? html`<${Outline} of=${node.children || {}} />` : null}
      ${node.type === "choice_group" ? html`<ul class="outline">${Object.entries(node.choices || {}).map(([choice, group]) => html`<li key=${choice}><span class="quiet">if</span> ${choice}<${Outline} of=${group || {}} /></li>`)}</ul>` : null}</li>`;
  })}</ul>`;
}

function describe(node) {
  if (node.type === "group") return node.optional ? `optional, ${node.default === false ? "off" : "on"}` : "";
  if (node.type === "choice_group") return `one of these, ${node.default || Object.keys(node.choices || {})[0]} if not said`;
  const choices = Array.isArray(node.choices) ? ` of ${node.choices.join(", ")}` : "";
  return `${value(node.default ?? node.choices?.[0])}${choices}${node.description ? `: ${node.description}` : ""}`;
}

function Code({ model }) {
  const git = model.newest?.definition.git;
  const url = typeof git === "string" ? git : git?.url;
  const [shown, setShown] = useState(null);
  const show = (number) => get(`/models/${model.id}/revisions/${number}`).then(setShown);
  return html`<section><h2>Code</h2>
    <dl class="facts">
      <div><dt>command</dt><dd><code>${JSON.stringify(model.newest?.definition.command).replace(/^"|"$/g, "")}</code></dd></div>
      ${url ? html`<div><dt>git</dt><dd>${url} ${git.branch || ""}</dd></div>` : null}
      <div><dt>clone</dt><dd><code>git clone -c credential.helper='!bough git-credential' ${location.origin}${model.repository}</code></dd></div>
    </dl>
    <h2>Commits that ran</h2>
    ${model.commits.length === 0 ? html`<p class="quiet">None yet.</p>` : html`<ul class="plain">${model.commits.slice(0, 8).map((one) => html`<li key=${one.commit + one.folder}><span class="id">${one.commit.slice(0, 10)}</span> ${one.source?.branch || ""} ${one.source?.dirty ? "with changes" : ""} <a href=${write("jobs", "", { model: model.id, where: [["commit", "=", one.commit]] })}>${one.jobs} jobs</a> <span class="quiet">${moment(one.used_at)}</span></li>`)}</ul>`}
    <h2>Revisions</h2>
    <p>${model.revisions.slice(0, 20).map(({ number, created_at: at }) => html`<button type="button" key=${number} title=${moment(at)} onClick=${() => show(number)}>${number}</button> `)}</p>
    ${shown ? html`<pre class="log">${shown.text}</pre>` : null}
  </section>`;
}

/** One job with values of one's own. */
function StartJob({ model }) {
  const [agents, setAgents] = useState([]);
  const [values, setValues] = useState({});
  const [send, trouble, busy] = useSending();
  useEffect(() => { get("/agents").then((reply) => setAgents(rowsOf(reply)), () => {}); }, []);
  const code = model.commits[0];
  function start(event) {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    const body = { definition: model.newest.definition, commit: code.commit, folder: code.folder, source: code.source, values, agent: fields.agent || null };
    if (fields.max_epochs) body.max_epochs = Number(fields.max_epochs);
    send(post("/jobs", body)).then((job) => job && go(write("jobs", job.id)));
  }
  if (!code) return html`<section><h2>Start a job</h2><p class="quiet">No commit has run yet: <code>bough run</code> where the code is, or <a href=${write("new", "", { model: model.id })}>give a git address</a>.</p></section>`;
  return html`<details><summary>Start a job with values of your own</summary><form class="fields" onSubmit=${start}>
    ${searchable(model.newest.definition.hyperparameters).map((one) => html`<${ValueField} key=${one.path} one=${one} set=${(text) => setValues((was) => { const { [one.path]: _, ...rest } = was; return text === "" ? rest : { ...rest, [one.path]: text }; })} />`)}
    <label>epochs, at most <input name="max_epochs" inputmode="numeric" size="6" /></label>
    <label>agent <select name="agent"><option value="">any</option>${agents.map((agent) => html`<option key=${agent.id}>${agent.name}</option>`)}</select></label>
    <button type="submit" class="button-main" disabled=${busy}>start</button>
    ${trouble}
  </form></details>`;
}

function ValueField({ one: { path, type, node }, set }) {
  const choices = type === "boolean" || type === "group" ? ["true", "false"] : Array.isArray(node.choices) ? node.choices.map(String) : type === "choice_group" ? Object.keys(node.choices || {}) : null;
  const usual = describe(node).split(" of ")[0];
  return html`<label>${path} ${choices
    ? html`<select onChange=${(event) => set(event.target.value)}><option value="">${`as usual: ${usual}`}</option>${choices.map((choice) => html`<option key=${choice}>${choice}</option>`)}</select>`
    : html`<input size="12" placeholder=${usual} onInput=${(event) => set(event.target.value.trim())} />`}</label>`;
}
