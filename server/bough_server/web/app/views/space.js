/** What is searched: for each hyperparameter its default, or an expression with its fields; and what it would draw. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { post, query } from "../api.js";
import { Chart } from "../chart.js";
import { histogram } from "../charts.js";
import { fitting, guess, parseExpression, put, searchable, SIGNATURES, writeExpression } from "../definition.js";
import { errorAt } from "../editor.js";
import { value as shown } from "../format.js";
import { html } from "../html.js";
import { Trouble } from "../parts.js";
import { Wrong } from "./tree.js";

const SAMPLES = 100; // for the histograms; ten of them are listed
const LISTED = 10;
const SPACE = ["optimization", "space"];

export function Space({ raw, change, error, checked }) {
  const [drawn, failure] = useSamples(raw, checked && !error);
  const all = searchable(raw.hyperparameters);
  const space = raw.optimization?.space || {};
  const set = (path, written) => change(put(raw, [...SPACE, path], written));
  return html`<section><h2>What is searched</h2>
    ${all.length === 0 ? html`<p class="quiet">There are no hyperparameters yet.</p>` : null}
    <ol class="space">${all.map((one) => html`<${Line} key=${one.path} one=${one} written=${space[one.path]} set=${(written) => set(one.path, written)}
        error=${errorAt(error, [...SPACE, one.path])} samples=${drawn?.samples || []} />`)}</ol>
    <${Trouble} failure=${failure} />
    <${Samples} drawn=${drawn} />
  </section>`;
}

/** A hundred values of the space as it stands, drawn by the coordinator as random search would. */
function useSamples(raw, isWhole) {
  const [drawn, setDrawn] = useState(null);
  const [failure, setFailure] = useState(null);
  const turn = useRef(0);
  const text = isWhole ? JSON.stringify(raw) : null;
  useEffect(() => {
    if (text === null || !raw.optimization?.space) return;
    const mine = (turn.current += 1);
    post("/space" + query({ samples: SAMPLES }), { definition: raw }).then(
      (reply) => { if (mine === turn.current) { setDrawn(reply); setFailure(null); } },
      (told) => mine === turn.current && setFailure(told.status === 400 ? null : told), // what is wrong with it stands beside its field
    );
  }, [text]);
  return [drawn, failure];
}

function Line({ one, written, set, error, samples }) {
  const isAuto = written !== undefined;
  const names = fitting(one);
  const depth = one.path.split(".").length - 1;
  const drawn = samples.map((sample) => sample[one.path]).filter((value) => value !== undefined);
  return html`<li class="depth-${Math.min(depth, 6)} ${error ? "is-wrong" : ""}">
    <div class="node">
      <label class="auto"><input type="checkbox" checked=${isAuto} aria-label=${`search ${one.path}`} onChange=${(event) => set(event.target.checked ? writeExpression(guess(names[0], one)) : undefined)} /> <span class="id">${one.path}</span></label>
      ${isAuto ? html`<${Expression} one=${one} written=${written} set=${set} names=${names} />` : html`<span class="quiet">fixed: ${shown(defaultOf(one))}</span>`}
      ${isAuto && drawn.length > 1 ? html`<${Histogram} path=${one.path} values=${drawn} log=${/log/.test(JSON.stringify(written))} of=${samples.length} />` : null}
    </div>
    ${error ? html`<${Wrong} error=${error} />` : null}
  </li>`;
}

const defaultOf = ({ type, node }) => {
  if (type === "group") return node.default === false ? "off" : "on";
  if (node.default !== undefined) return node.default;
  return Array.isArray(node.choices) ? node.choices[0] : Object.keys(node.choices || {})[0];
};

function Expression({ one, written, set, names }) {
  const parsed = parseExpression(written);
  const name = parsed.name || names[0];
  const offered = names.includes(name) ? names : [name, ...names];
  const argument = (key, text) => set(writeExpression({ ...parsed, args: { ...parsed.args, [key]: text } }));
  return html`<span class="expression">
    <select aria-label=${`expression of ${one.path}`} value=${name} onChange=${(event) => set(writeExpression(guess(event.target.value, one)))}>${offered.map((each) => html`<option key=${each} selected=${each === name}>${each}</option>`)}</select>
    ${(SIGNATURES[name] || []).map((key) => html`<label key=${key}>${key} <input inputmode="decimal" size="7" aria-label=${`${key} of ${one.path}`} value=${parsed.args?.[key] ?? ""} onChange=${(event) => argument(key, event.target.value.trim())} /></label>`)}
    ${name === "choice" ? html`<${Subset} one=${one} parsed=${parsed} set=${set} />` : null}
    ${name === "pchoice" ? parsed.options?.map(([option, weight], i) => html`<label key=${option}>${option} <input inputmode="decimal" size="4" aria-label=${`weight of ${option}`} value=${weight}
        onChange=${(event) => set(writeExpression({ ...parsed, options: parsed.options.map((pair, k) => (k === i ? [option, event.target.value] : pair)) }))} /></label>`) : null}
  </span>`;
}

/** Which of the declared choices; none chosen means all of them. Plain numbers and texts have no list: they are typed. */
function Subset({ one, parsed, set }) {
  const declared = Array.isArray(one.node.choices) ? one.node.choices.map(String) : Object.keys(one.node.choices || {});
  const chosen = (parsed.options || []).map(([option]) => option);
  const write = (options) => set(writeExpression({ name: "choice", options: options.map((option) => [option, null]) }));
  if (declared.length === 0) {
    return html`<label>of <input aria-label=${`choices of ${one.path}`} value=${chosen.join(", ")} onChange=${(event) => write(event.target.value.split(",").map((part) => part.trim()).filter(Boolean))} /></label>`;
  }
  const toggle = (option) => {
    const now = chosen.length ? chosen : declared;
    const next = declared.filter((each) => (each === option ? !now.includes(each) : now.includes(each)));
    write(next.length === declared.length ? [] : next);
  };
  return html`${declared.map((option) => html`<label key=${option}><input type="checkbox" checked=${chosen.length === 0 || chosen.includes(option)} onChange=${() => toggle(option)} /> ${option}</label>`)}`;
}

function Histogram({ path, values, log, of }) {
  const draw = useMemo(() => histogram(values, log), [JSON.stringify(values), log]);
  return html`<span class="histogram"><${Chart} draw=${draw} size="chart-tiny" label=${`${path}: ${values.length} of ${of} samples`} /></span>`;
}

function Samples({ drawn }) {
  if (!drawn || drawn.samples.length === 0) return null;
  const paths = [...new Set(drawn.samples.flatMap((sample) => Object.keys(sample)))];
  return html`<details open><summary>Ten samples, as random search would try them first</summary>
    <div class="scroll"><table><thead><tr>${paths.map((path) => html`<th key=${path} class="n">${path}</th>`)}</tr></thead>
      <tbody>${drawn.samples.slice(0, LISTED).map((sample, i) => html`<tr key=${i}>${paths.map((path) => html`<td key=${path} class="n">${path in sample ? shown(sample[path]) : ""}</td>`)}</tr>`)}</tbody></table></div>
    <details><summary>as hyperopt sees it</summary><pre><code>${drawn.hyperopt}</code></pre></details>
  </details>`;
}
