/** An optimization that is changed while it runs, or begun anew: the same form as a new one, with what would change beside it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { go } from "../address.js";
import { get, getExactly, post } from "../api.js";
import { useDefinition } from "../editor.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { optimizationLink, Trouble } from "../parts.js";
import { Sure, useSending } from "../steering.js";
import { Fixed, kept } from "./fixed.js";
import { Missing } from "./missing.js";
import { Form } from "./new.js";

export function Edit({ id, tell }) {
  const [first, setFirst] = useState(null);
  // What is written here stays when others change it: the coordinator refuses an edit of what is no longer so.
  const { state, failure } = useLive([`optimization:${id}`], async () => first || setFirst(await beginning(id)), () => {});
  useEffect(() => tell(state), [state]);
  document.title = "Edit · bough";
  return first && failure?.status !== 404 ? html`<${Written} first=${first} />` : html`<${Missing} failure=${failure} what="optimization" />`;
}

async function beginning(id) {
  const optimization = await get(`/optimizations/${id}`);
  const [now, model] = await Promise.all([getExactly(`/optimizations/${optimization.id}/definition`), get(`/models/${optimization.model}`)]);
  return { optimization, ...now, commits: model.commits };
}

function Written({ first }) {
  const { optimization } = first;
  const definition = useDefinition(first.definition);
  const [freed, setFreed] = useState([]);
  const free = Object.fromEntries(freed.map((path) => [path, null]));
  const [plan, failure] = usePlan(first, definition, free);
  const [send, trouble, busy] = useSending();
  const back = (made) => made && go(optimizationLink(optimization.id));
  const ready = definition.checked && !definition.error && !busy;
  const apply = () => send(post(`/optimizations/${optimization.id}/edit`, { definition: definition.raw, fixed: free, space_version: first.space_version })).then(back);
  return html`<p class="crumbs"><a href="#/optimizations">Optimizations</a> / <a href=${optimizationLink(optimization.id)}>${optimization.model} ${optimization.id}</a></p>
    <div class="heading"><h1>Edit ${optimization.model} <span class="id">${optimization.id}</span></h1></div>
    <${Fixed} fixed=${first.fixed} freed=${freed} change=${setFreed} />
    <${Form} definition=${definition}>
      <${Plan} plan=${plan} failure=${failure} />
      <div class="start">
        <button type="button" class="button-main" disabled=${!ready || !plan?.changes.length || Boolean(failure)} onClick=${apply}>apply from the next trial on</button>
        <${Restart} first=${first} raw=${definition.raw} fixed=${kept(first.fixed, freed)} ready=${ready} send=${send} back=${back} />
        ${trouble}</div>
    <//>`;
}

/** What the coordinator says that the edit would change; asked whenever the form is whole. */
function usePlan(first, definition, free) {
  const [plan, setPlan] = useState(null);
  const [failure, setFailure] = useState(null);
  const turn = useRef(0);
  const text = definition.checked && !definition.error ? JSON.stringify([definition.raw, free]) : null;
  useEffect(() => {
    const mine = (turn.current += 1);
    if (text === null) return;
    const body = { definition: definition.raw, fixed: free, space_version: first.space_version, dry_run: true };
    post(`/optimizations/${first.id}/edit`, body).then(
      (reply) => { if (mine === turn.current) { setPlan(reply.edit); setFailure(null); } },
      (told) => { if (mine === turn.current) { setPlan(null); setFailure(told); } },
    );
  }, [text]);
  return [plan, failure];
}

function Plan({ plan, failure }) {
  if (failure) return html`<${Trouble} failure=${failure} />`;
  if (!plan) return null;
  if (plan.changes.length === 0) return html`<p class="quiet" role="status">Nothing is changed yet.</p>`;
  return html`<div role="status"><strong>What would change</strong><ul class="changes">${plan.changes.map((line) => html`<li key=${line}><code>${line}</code></li>`)}</ul>
    ${plan.kept === null ? null : html`<p class="quiet">Of the trials that have ended, ${plan.kept} still fit the space and stay in what the search learns from, ${plan.left_out} do not${plan.first_left_out ? ` (${plan.first_left_out})` : ""}. All stay to be seen.</p>`}</div>`;
}

/** The next generation: from the first trial on, with this definition, and another commit if one likes. */
function Restart({ first: { optimization, commits }, raw, fixed, ready, send, back }) {
  const [chosen, setChosen] = useState(-1);
  const code = commits[chosen];
  const begin = () => send(post(`/optimizations/${optimization.id}/restart`, { definition: raw, fixed, ...(code ? { commit: code.commit, folder: code.folder, source: code.source } : {}) })).then(back);
  return html`<label>code of a restart <select onChange=${(event) => setChosen(Number(event.target.value))}><option value="-1">as now</option>${commits.map((one, i) => html`<option key=${i} value=${i}>${one.commit.slice(0, 10)} ${one.source?.branch || ""} ${one.folder ? `in ${one.folder}` : ""}</option>`)}</select></label>
    <${Sure} word="restart" disabled=${!ready} question="restart: it begins anew with trial 1, what runs is stopped, and what ran stays as an earlier generation" go=${begin} />`;
}
