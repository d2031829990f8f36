/** A view whose subject did not come: the reason as a page, with the way on. Nothing while it is still coming. */
import { html } from "../html.js";
import { Empty, Trouble } from "../parts.js";

/** `what` is "job", "optimization" or "model". */
export function Missing({ failure, what }) {
  if (!failure) return null;
  if (failure.status !== 404) return html`<${Trouble} failure=${failure} />`;
  document.title = "Not found · bough";
  return html`<${Empty} isPage title=${`There is no such ${what}`}><p role="alert">${failure.what} ${failure.remedy}</p>
    <p>It may have been deleted, or belongs to somebody else, or the address is mistyped. Go on at <a href="#/optimizations">the optimizations</a>, <a href="#/jobs">the jobs</a> or <a href="#/models">the models</a>.</p><//>`;
}
