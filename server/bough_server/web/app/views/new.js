/** A model or an optimization that is being written: the form and the bough.yml beside it, each follows the other. */
import { useEffect, useState } from "preact/hooks";
import { go, write } from "../address.js";
import { get, getExactly, post } from "../api.js";
import { at, put } from "../definition.js";
import { useDefinition } from "../editor.js";
import { html } from "../html.js";
import { useLive } from "../live.js";
import { Trouble } from "../parts.js";
import { useSending } from "../steering.js";
import { Fixed, kept } from "./fixed.js";
import { Missing } from "./missing.js";
import { Settings } from "./settings.js";
import { Source } from "./source.js";
import { Space } from "./space.js";
import { Tree, Wrong } from "./tree.js";

const BLANK = {
  model: "me/model",
  command: "python train.py",
  hyperparameters: { lr: 0.01 },
  optimization: { algorithm: "tpe", max_trials: 50, space: { lr: "loguniform(0.0001, 1)" } },
};

/** `model`: begin with its newest revision; `from`: with what an optimization was made of. */
export function NewOptimization({ fields, tell }) {
  const [first, setFirst] = useState(null);
  const { state, failure } = useLive(["agents"], async () => first || setFirst(await beginning(fields)), () => {});
  useEffect(() => tell(state), [state]);
  document.title = "New · bough";
  if (!first && failure?.status === 404) return html`<${Missing} failure=${failure} what=${fields.from ? "optimization" : "model"} />`;
  if (!first) return html`<${Trouble} failure=${failure} />`;
  return html`<${Written} first=${first} />`;
}

/** `{raw, commits}`: the definition to begin with, and the commits that may be run. */
async function beginning({ model, from }) {
  const optimization = from && (await get(`/optimizations/${from}`));
  const name = optimization?.model || model;
  if (!name) return { raw: BLANK, commits: [], name: null, fixed: {} };
  const known = await getExactly(`/models/${name}`);
  const revision = optimization ? await getExactly(`/optimizations/${optimization.id}/definition`) : known.newest; // with what was edited since
  const mine = optimization ? [{ commit: optimization.commit, folder: optimization.folder, source: optimization.source }] : [];
  const others = known.commits.filter((one) => !mine.some((each) => each.commit === one.commit && each.folder === one.folder));
  return { raw: revision.definition, commits: [...mine, ...others], name, fixed: revision.fixed || {} };
}

function Written({ first }) {
  const definition = useDefinition(first.raw);
  const [freed, setFreed] = useState([]);
  return html`<p class="crumbs"><a href="#/models">Models</a>${first.name ? html` / <a href=${write("models", first.name)}>${first.name}</a>` : null}</p>
    <div class="heading"><h1>${first.name ? "New optimization" : "New model"}</h1></div>
    <${Fixed} fixed=${first.fixed} freed=${freed} change=${setFreed} />
    <${Form} definition=${definition}><${Start} raw=${definition.raw} fixed=${kept(first.fixed, freed)} ready=${definition.checked && !definition.error} commits=${first.commits} /><//>`;
}

const SECTIONS = ["model", "command", "git", "hyperparameters", "optimization", "env", "working_dir", "priority", "resources", "data", "agents", "setup", "output", "on_end"];

/** The form and the bough.yml beside it; `definition` is of `useDefinition`, the children stand below the text. */
export function Form({ definition, children }) {
  const { raw, text, error, failure, checked, change, write: type } = definition;
  const outside = error && !SECTIONS.includes(error.at?.[0]) ? error : null;
  return html`<${Trouble} failure=${failure} />
    ${outside ? html`<${Wrong} error=${outside} />` : null}
    <div class="beside">
      <div class="form">
        <${Source} raw=${raw} change=${change} error=${error} />
        <section><h2>Hyperparameters</h2><${Tree} raw=${raw} change=${change} error=${error} /></section>
        <${Space} raw=${raw} change=${change} error=${error} checked=${checked} />
        <${Settings} raw=${raw} change=${change} error=${error} />
      </div>
      <section class="text"><h2>bough.yml</h2>
        <textarea class="yaml" spellcheck=${false} aria-label="The bough.yml" value=${text} onInput=${(event) => type(event.target.value)}></textarea>
        ${error ? html`<p class="wrong" role="status">${error.line ? `line ${error.line}: ` : ""}${error.what} ${error.remedy}</p>` : html`<p class="quiet" role="status">${checked ? "The coordinator understands it." : "…"}</p>`}
        ${children}
      </section>
    </div>`;
}

/** Keep it as a revision of the model, or start. */
function Start({ raw, fixed, ready, commits }) {
  const [chosen, setChosen] = useState(0);
  const [send, trouble, busy] = useSending();
  const url = typeof raw.git === "string" ? raw.git : raw.git?.url;
  const code = commits[chosen];
  const keep = () => send(post("/models", { definition: raw })).then((model) => model && go(write("models", model.id)));
  const start = () => send(post("/optimizations", url ? { definition: raw, commit: null, folder: at(raw, ["git", "folder"]) || "", source: { url, branch: at(raw, ["git", "branch"]) ?? null, dirty: false }, fixed } : { definition: raw, commit: code.commit, folder: code.folder, source: code.source, fixed }))
    .then((made) => made && go(write("optimizations", made.id)));
  return html`<div class="start">
    ${!url && commits.length > 0 ? html`<label>code <select onChange=${(event) => setChosen(Number(event.target.value))}>${commits.map((one, i) => html`<option key=${i} value=${i}>${one.commit.slice(0, 10)} ${one.source?.branch || ""} ${one.folder ? `in ${one.folder}` : ""}</option>`)}</select></label>` : null}
    ${!url && commits.length === 0 ? html`<p class="quiet">Without a git address there is no code to run yet: give one, or start it once with <code>bough optimize</code> where the code is.</p>` : null}
    <button type="button" disabled=${!ready || busy} onClick=${keep}>keep as a revision</button>
    <button type="button" class="button-main" disabled=${!ready || busy || !raw.optimization || (!url && !code)} onClick=${start}>start the optimization</button>
    ${trouble}
  </div>`;
}
