/** All models: what can be optimized here. */
import { useEffect, useState } from "preact/hooks";
import { write } from "../address.js";
import { get } from "../api.js";
import { moment, number } from "../format.js";
import { html } from "../html.js";
import { useLive, useThrottled } from "../live.js";
import { Empty, Trouble } from "../parts.js";

export function Models({ tell }) {
  const [found, setFound] = useState(null);
  const load = async () => setFound(await get("/models", { limit: 1000 }));
  const { state, failure } = useLive(["optimizations"], load, (kind) => kind === "optimization" && again());
  const again = useThrottled(() => load().catch(() => {}), 5000);
  useEffect(() => tell(state), [state]);
  document.title = "Models · bough";
  return html`<div class="heading"><h1>Models</h1><span class="steering"><a class="button button-main" href="#/new">new model</a></span></div>
    <${Trouble} failure=${failure} />
    ${found && found.total === 0 ? html`<${NoModel} />` : null}
    ${found && found.total > 0 ? html`<${Table} rows=${found.rows} />` : null}`;
}

function NoModel() {
  return html`<${Empty} title="No model yet">
    <p>A model is a git repository (or a folder in one), a command, and its hyperparameters.</p>
    <p>Write one here: <a href="#/new">new model</a>. Or in the folder of the code:</p>
    <pre><code>bough init        # writes the bough.yml
bough optimize .  # starts; the model appears here at once</code></pre><//>`;
}

function Table({ rows }) {
  return html`<div class="scroll"><table>
    <thead><tr><th>model</th><th class="n">revision</th><th class="n">optimizations</th><th class="n">jobs</th><th>last job</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.id}>
      <td><a href=${write("models", row.id)}>${row.id}</a></td>
      <td class="n">${number(row.revision)}</td>
      <td class="n">${row.optimizations}</td>
      <td class="n"><a href=${write("jobs", "", { model: row.id })}>${row.jobs}</a></td>
      <td>${moment(row.last_job_at)}</td>
    </tr>`)}</tbody></table></div>`;
}
