/** How it is searched: every setting of `optimization:` with its meaning. What is empty stays at its default. */
import { jsonOf } from "../decimal.js";
import { isMapping, put } from "../definition.js";
import { errorAt } from "../editor.js";
import { html } from "../html.js";
import { Wrong } from "./tree.js";

const RULES = { median: { min_trials: 5, min_epochs: 1 }, asha: { reduction: 3, min_epochs: 1 } }; // with their defaults
const NUMBERS = { min_trials: "so many trials must have ended", min_epochs: "and so many epochs be done", reduction: "one of so many goes on" };
const ALGORITHMS = ["tpe", "random", "annealing", "grid", "optuna-tpe", "optuna-gp", "optuna-cmaes"];

/** [path below optimization, name, kind, what it means] */
const SETTINGS = [
  [["algorithm"], "algorithm", ALGORITHMS, "tpe learns from what has ended; random, annealing and grid as their names say; the others are Optuna's"],
  [["max_trials"], "trials", "whole", "so many are started; failed ones count (100)"],
  [["initial_random"], "random first", "whole", "trials at random before tpe begins to learn (20)"],
  [["max_parallel"], "at the same time", "whole", "trials that run at once (all slots)"],
  [["max_epochs"], "epochs of a trial", "whole", "then it is stopped, and its KPI counts (no limit)"],
  [["max_time"], "time of a trial", "text", "such as 10m or 1h30m (no limit)"],
  [["total_time"], "time in all", "text", "of the whole optimization (no limit)"],
  [["kpi", "channel"], "KPI", "text", "a channel's name (what the script declares)"],
  [["kpi", "direction"], "is to be", ["", "maximize", "minimize"], "(what the script declares)"],
  [["kpi", "reduce"], "which value counts", "text", "last, best or mean(5) (last)"],
  [["seed"], "seed", "whole", "the same seed gives the same search (drawn)"],
  [["on_failure", "retry"], "tries more", "whole", "for a trial that failed (0)"],
  [["on_failure", "stop_after"], "pause after", "whole", "so many failures in a row, or never (5)"],
  [["duplicates"], "tried before", ["", "allow", "resample", "reuse"], "allow runs the point again, resample asks for another one, reuse takes the earlier result (allow)"],
  [["grace"], "grace", "text", "how long a stopped trial has after SIGINT (30s)"],
  [["term"], "term", "text", "how long after SIGTERM, before it is killed (10s)"],
  [["follow_branch"], "newest commit", "boolean", "each trial runs the newest commit of the branch instead of the pinned one"],
];

export function Settings({ raw, change, error }) {
  const section = ["optimization"];
  const written = raw.optimization || {};
  const below = (path) => path.reduce((found, key) => (found !== null && typeof found === "object" ? found[key] : undefined), written);
  /** `kpi: accuracy` is short for its channel. */
  const shown = (path) => (path[0] === "kpi" && typeof written.kpi === "string" ? (path[1] === "channel" ? written.kpi : undefined) : below(path));
  function set(path, value) {
    const base = path[0] === "kpi" && typeof written.kpi === "string" ? put(raw, [...section, "kpi"], { channel: written.kpi }) : raw;
    const made = put(base, [...section, ...path], value === "" ? undefined : value);
    const left = made.optimization?.[path[0]];
    change(left && typeof left === "object" && Object.keys(left).length === 0 ? put(made, [...section, path[0]], undefined) : made);
  }
  return html`<section><h2>How it is searched</h2><div class="settings">
    ${SETTINGS.map(([path, name, kind, meaning]) => html`<${Setting} key=${path.join(".")} name=${name} kind=${kind} meaning=${meaning} value=${shown(path)} set=${(value) => set(path, value)} error=${errorAt(error, [...section, ...path])} />`)}
    <${Pruning} written=${written.pruning} set=${(value) => set(["pruning"], value)} error=${error} />
    <${Setting} name="agents" kind="text" meaning="names, with commas (all)" value=${[].concat(written.agents ?? []).join(", ")} error=${errorAt(error, [...section, "agents"])}
      set=${(text) => set(["agents"], text.split(",").map((one) => one.trim()).filter(Boolean).reduce((all, one) => [...all, one], []).length ? text.split(",").map((one) => one.trim()).filter(Boolean) : "")} />
  </div></section>`;
}

/** A rule, and its numbers where they are not the usual ones. */
function Pruning({ written, set, error }) {
  const rule = isMapping(written) ? Object.keys(written)[0] : written || "";
  const numbers = (isMapping(written) && written[rule]) || {};
  function number(name, typed) {
    const made = put(numbers, [name], typed === "" ? undefined : typed);
    set(Object.keys(made).length ? { [rule]: made } : rule);
  }
  return html`<${Setting} name="pruning" kind=${["", "median", "asha"]} meaning="stops trials that fall behind while they run (none)" value=${rule} set=${set} error=${errorAt(error, ["optimization", "pruning"])} />
    ${Object.entries(RULES[rule] || {}).map(([name, usual]) => html`<${Setting} key=${name} name=${`${rule}: ${name}`} kind="whole" meaning=${`${NUMBERS[name]} (${usual})`} value=${numbers[name]} set=${(typed) => number(name, typed)} error=${null} />`)}`;
}

function Setting({ name, kind, meaning, value, set, error }) {
  return html`<div class=${error ? "is-wrong" : ""}><label><span>${name}</span><${Field} kind=${kind} value=${value} set=${set} /></label><span class="quiet">${meaning}</span>${error ? html`<${Wrong} error=${error} />` : null}</div>`;
}

function Field({ kind, value, set }) {
  if (Array.isArray(kind)) {
    const known = value === undefined || kind.includes(value) ? kind : [value, ...kind]; // a rule with its numbers is kept as it is
    return html`<select onChange=${(event) => set(event.target.value)}>${known.map((one) => html`<option key=${text(one)} value=${text(one)} selected=${one === (value ?? kind[0])}>${text(one) || "–"}</option>`)}</select>`;
  }
  if (kind === "boolean") return html`<input type="checkbox" checked=${value === true} onChange=${(event) => set(event.target.checked || "")} />`;
  const typed = (event) => set(event.target.value.trim() === "never" ? null : kind === "whole" && /^\d+$/.test(event.target.value.trim()) ? Number(event.target.value) : event.target.value.trim());
  return html`<input size="12" inputmode=${kind === "whole" ? "numeric" : "text"} value=${value === null ? "never" : text(value ?? "")} onChange=${typed} />`;
}

const text = (one) => (isMapping(one) || Array.isArray(one) ? jsonOf(one) : String(one));
