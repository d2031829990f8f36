/** What can be done with an optimization by now: pause, stop, resume, extend, a point by hand. */
import { useState } from "preact/hooks";
import { get, post } from "../api.js";
import { searchable } from "../definition.js";
import { value } from "../format.js";
import { html } from "../html.js";
import { Dialog, Sure, useSending } from "../steering.js";

const IS_ALIVE = ["RUNNING", "PAUSED"];

export function Life({ optimization, changed, reload }) {
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
    ${open === "extend" ? html`<${Extend} optimization=${optimization} go=${(most) => go("extend", { max_trials: most }).then(close)} close=${close} />` : null}
    ${open === "enqueue" ? html`<${Enqueue} optimization=${optimization} close=${close} reload=${reload} />` : null}
    ${trouble}`;
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
  if (definition === null) get(`/models/${optimization.model}/revisions/${optimization.revision}`).then((reply) => setDefinition(reply.definition), () => setDefinition({}));
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
