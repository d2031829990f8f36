/** The small pieces that every view is made of. */
import { html } from "./html.js";
import { counts, number, reason, value } from "./format.js";

/** A state as a word with a coloured dot: the word says it, the colour only helps. */
export function State({ of, why, flag }) {
  return html`<span class="state state-${of.toLowerCase()}">${of.toLowerCase()}${why && why !== "finished" ? html` <span class="why">${reason(why)}</span>` : null}${flag
    ? html` <span class="flag">${flag}</span>`
    : null}</span>`;
}

export const jobFlag = (job) => (job.unreachable ? "agent silent" : job.partial ? "data missing" : null);

/** finished of max, as a bar and as words. */
export function Progress({ done, total }) {
  const known = total > 0;
  return html`<span class="progress">
    ${known ? html`<progress max=${total} value=${Math.min(done, total)} aria-label="progress"></progress>` : null}
    <span>${number(done)}${known ? ` of ${total}` : ""}</span>
  </span>`;
}

export function Counts({ of }) {
  const shown = counts(of || {});
  if (shown.length === 0) return html`<span class="quiet">no trial yet</span>`;
  return html`<ul class="counts">${shown.map(({ state, count }) => html`<li key=${state}><span class="state state-${state.toLowerCase()}">${count} ${state.toLowerCase()}</span></li>`)}</ul>`;
}

/** Hyperparameters and their values, in the order of their paths. */
export function Values({ of }) {
  const paths = Object.keys(of || {}).sort();
  if (paths.length === 0) return html`<p class="quiet">No values yet: they are chosen when an agent takes the trial.</p>`;
  return html`<dl class="values">${paths.map((path) => html`<div key=${path}><dt>${path}</dt><dd>${value(of[path])}</dd></div>`)}</dl>`;
}

/** Something went wrong: what, and what to do. */
export function Trouble({ failure }) {
  if (!failure) return null;
  return html`<div class="note note-bad" role="alert"><strong>${failure.what || failure.message}</strong> ${failure.remedy || ""}</div>`;
}

/** Nothing here yet: why, and the next step. `isPage`: there is nothing else on the page. */
export function Empty({ title, children, isPage = false }) {
  return html`<div class="empty">${isPage ? html`<h1>${title}</h1>` : html`<h2>${title}</h2>`}${children}</div>`;
}

/** Sentences of the coordinator: why nothing runs, warnings. */
export function Notes({ title, of }) {
  if (!of || of.length === 0) return null;
  return html`<div class="note"><strong>${title}</strong><ul>${of.map((text) => html`<li key=${text}>${text}</li>`)}</ul></div>`;
}

export const optimizationLink = (id) => `#/optimizations/${encodeURIComponent(id)}`;
export const jobLink = (id) => `#/jobs/${encodeURIComponent(id)}`;
