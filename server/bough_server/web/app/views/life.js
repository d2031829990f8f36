/** What can be done with an optimization: pause, stop, resume, extend, edit, a point by hand, failed trials again; archive and delete. */
import { useState } from "preact/hooks";
import { write } from "../address.js";
import { get, post } from "../api.js";
import { searchable } from "../definition.js";
import { value } from "../format.js";
import { html } from "../html.js";
import { Dialog, Sure, useSending } from "../steering.js";

const IS_ALIVE = ["RUNNING", "PAUSED"];
const LIVE = ["PREPARING", "RUNNING", "STOPPING", "PAUSED", "DRAINING"];

export function Life({ optimization, changed, reload, leave }) {
  const [open, setOpen] = useState(null);
  const [send, trouble, busy] = useSending(changed);
  const go = (step, body) => send(post(`/optimizations/${optimization.id}/${step}`, body)).then(() => reload().catch(() => {}));
  const { state } = optimization;
  const close = () => setOpen(null);
  return html`
    ${state === "RUNNING" ? html`<button type="button" disabled=${busy} onClick=${() => go("pause")}>pause</button>` : null}
    ${state === "PAUSED" || state === "STOPPED" ? html`<button type="button" disabled=${busy} onClick=${() => go("resume")}>resume</button>` : null}
    ${IS_ALIVE.includes(state) ? html`<${Sure} word="stop" disabled=${busy} question="stop: nothing new starts, what runs may finish" go=${() => go("stop")} />` : null}
    ${IS_ALIVE.includes(state) || state === "STOPPING" ? html`<${Sure} word="stop now" disabled=${busy} question="stop now: what runs is stopped as well" go=${() => go("stop", { now: true })} />` : null}
    ${state !== "ARCHIVED" ? html`<button type="button" disabled=${busy} onClick=${() => setOpen("extend")}>extend</button>` : null}
    ${IS_ALIVE.includes(state) ? html`<button type="button" disabled=${busy} onClick=${() => setOpen("enqueue")}>add a point</button>` : null}
    ${state !== "ARCHIVED" ? html`<a class="button" href=${write("edit", optimization.id)}>edit</a>` : null}
    <${More} optimization=${optimization} go=${go} busy=${busy} remove=${() => setOpen("delete")} />
    ${open === "delete" ? html`<${Delete} optimization=${optimization} close=${close} leave=${leave} />` : null}
    ${open === "extend" ? html`<${Extend} optimization=${optimization} go=${(most) => go("extend", { max_trials: most }).then(close)} close=${close} />` : null}
    ${open === "enqueue" ? html`<${Enqueue} optimization=${optimization} close=${close} reload=${reload} />` : null}
    ${trouble}`;
}

/** What is wanted now and then. */
function More({ optimization, go, busy, remove }) {
  const { state, counts = {} } = optimization;
  const running = Object.entries(counts).some(([name, count]) => count > 0 && LIVE.includes(name));
  return html`<details class="menu"><summary class="button">more</summary><div class="panel">
    ${counts.FAILED > 0 && state !== "ARCHIVED" ? html`<${Sure} word="retry failed" disabled=${busy} question=${`run the ${counts.FAILED} failed trials again, with the same values`} go=${() => go("retry", { failed: true, lost: true })} />
      <button type="button" disabled=${busy} onClick=${() => go("retry", { lost: true })}>retry only what was lost</button>` : null}
    ${state === "RUNNING" ? html`<${Sure} word="pause and give back" disabled=${busy} question="pause, stop what runs, and queue it again unburnt" go=${() => go("pause", { release: true })} />` : null}
    ${state === "ARCHIVED" ? html`<button type="button" disabled=${busy} onClick=${() => go("unarchive")}>take out of the archive</button>`
      : html`<${Sure} word="archive" disabled=${busy || running} question="archive: it is no longer in the lists" go=${() => go("archive")} />`}
    <button type="button" class="button-bad" disabled=${busy} onClick=${remove}>delete …</button></div></details>`;
}

/** Everything of it goes: its whole id is typed first. */
function Delete({ optimization, close, leave }) {
  const [typed, setTyped] = useState("");
  const [records, setRecords] = useState(false);
  function submit(event) {
    event.preventDefault();
    leave({ id: optimization.id, records });
  }
  return html`<${Dialog} title=${`Delete ${optimization.id}`} close=${close}><form class="fields" onSubmit=${submit}>
    <p>Its trials, their curves, logs and files go for ever. Its records in git stay, unless you say so.</p>
    <label>type its id, ${optimization.id} <input value=${typed} autocomplete="off" onInput=${(event) => setTyped(event.target.value)} /></label>
    <label class="auto"><input type="checkbox" checked=${records} onChange=${(event) => setRecords(event.target.checked)} /> also its records in git</label>
    <button type="submit" class="button-bad" disabled=${typed.trim() !== optimization.id}>delete</button></form><//>`;
}

function Extend({ optimization, go, close }) {
  const [more, setMore] = useState(20);
  function submit(event) {
    event.preventDefault();
    go(optimization.max_trials + Number(more));
  }
  return html`<${Dialog} title="Extend" close=${close}><form class="fields" onSubmit=${submit}>
    <label>trials more <input type="number" min="1" value=${more} onInput=${(event) => setMore(event.target.value)} /></label>
    <span class="quiet">${optimization.max_trials + Number(more)} in all</span> <button type="submit" class="button-main">extend</button></form><//>`;
}

/** A point of one's own: it is the next trial. What is left empty stays as usual. */
function Enqueue({ optimization, close, reload }) {
  const [definition, setDefinition] = useState(null);
  const [values, setValues] = useState(optimization.best?.values || {});
  const [send, trouble, busy] = useSending();
  if (definition === null) get(`/optimizations/${optimization.id}/definition`).then((reply) => setDefinition(reply.definition), () => setDefinition({}));
  const set = (path, text) => setValues((was) => { const { [path]: _, ...rest } = was; return text === "" ? rest : { ...rest, [path]: text }; });
  function submit(event) {
    event.preventDefault();
    send(post(`/optimizations/${optimization.id}/enqueue`, { values })).then((job) => { if (job) { close(); reload().catch(() => {}); } });
  }
  return html`<${Dialog} title="A point of your own" close=${close}><form class="fields" onSubmit=${submit}>
    <p class="quiet">The values of the best trial, to begin with. Groups that are not chosen keep no values.</p>
    ${searchable(definition?.hyperparameters || {}).map(({ path }) => html`<label key=${path}>${path} <input size="12" value=${path in values ? (typeof values[path] === "string" ? values[path] : value(values[path])) : ""} onInput=${(event) => set(path, event.target.value.trim())} /></label>`)}
    <button type="submit" class="button-main" disabled=${busy}>run it next</button> ${trouble}</form><//>`;
}
