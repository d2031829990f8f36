/** An address that names no view. */
import { useEffect } from "preact/hooks";
import { html } from "../html.js";
import { Empty } from "../parts.js";

export function NoSuchView({ tell }) {
  useEffect(() => tell("live"), []);
  document.title = "Not found · bough";
  return html`<${Empty} isPage title="There is no such page"><p>The address may be mistyped, or from another version. Begin at <a href="#/optimizations">the optimizations</a> or at <a href="#/models">the models</a>.</p><//>`;
}
