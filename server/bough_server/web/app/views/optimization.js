/** One optimization: how far it is, its best trial, what it has found out, its trials as a table; and how it is steered. */
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { write } from "../address.js";
import { exportUrl, get } from "../api.js";
import { isMinimized, kpiChart } from "../charts.js";
import { Chart } from "../chart.js";
import { duration, isEnded, moment, number } from "../format.js";
import { html } from "../html.js";
import { useLive, useThrottled } from "../live.js";
import { Counts, Empty, jobLink, Notes, Progress, State, Trouble, Values } from "../parts.js";
import { fromColumns } from "../trials.js";
import { Curves } from "./curves.js";
import { Deleting } from "./deleting.js";
import { Hovered } from "./hovered.js";
import { Insight } from "./insight.js";
import { Life } from "./life.js";
import { Missing } from "./missing.js";
import { Past } from "./past.js";
import { Trials } from "./trials.js";

export function Optimization({ id, fields, tell }) {
  const [leaving, setLeaving] = useState(null); // what goes with it: it is deleted once nothing here asks for it any more
  if (leaving) return html`<${Deleting} id=${leaving.id} records=${leaving.records} back=${() => setLeaving(null)} />`;
  return html`<${Live} id=${id} fields=${fields} tell=${tell} leave=${setLeaving} />`;
}

function Live({ id, fields, tell, leave }) {
  const [optimization, setOptimization] = useState(null);
  const [trials, setTrials] = useState(new Map());
  const [why, setWhy] = useState([]);
  const [version, setVersion] = useState(0); // rises with every change: the table asks for its page again
  const heard = useRef(null); // what the curves do with points that came
  const [hovered, setHovered] = useState(null);
  const [chosen, setChosen] = useState(null); // ids of the brushed trials
  const { state, failure } = useLive([`optimization:${id}`], load, told);
  useEffect(() => tell(state), [state]);
  const bump = useThrottled(() => setVersion((was) => was + 1), 1000);
  const fresh = useRef(new Map()); // trials that changed since the last drawing
  const apply = useThrottled(() => {
    const changed = fresh.current;
    fresh.current = new Map();
    setTrials((was) => new Map([...was, ...changed]));
  }, 300);
  const kpiName = optimization?.kpi?.channel || "KPI";
  const minimize = useMemo(() => isMinimized(optimization, [...trials.values()].filter((trial) => isEnded(trial.state))), [optimization, trials]);
  const drawKpi = useMemo(() => kpiChart(optimization, [...trials.values()], kpiName), [optimization, trials, kpiName]);
  const pick = useCallback((datum) => datum?.id && (location.hash = jobLink(datum.id)), []);
  const hover = useCallback((datum) => setHovered(datum?.id || null), []);

  async function load() {
    const [one, reasons] = await Promise.all([get(`/optimizations/${id}`), get("/why")]);
    if (one.id !== id) return location.replace(write("optimizations", one.id, fields)); // only the beginning of its id was given
    setOptimization(one);
    setWhy(reasons.reasons);
    setTrials(fromColumns(await get(`/optimizations/${id}/overview`)));
    bump();
  }

  function told(kind, data) {
    if (kind === "optimization") setOptimization(data);
    if (kind === "points") heard.current?.(data);
    if (kind !== "job") return;
    fresh.current.set(data.id, data);
    apply();
    bump();
  }

  document.title = optimization ? `${optimization.model} ${optimization.id} · bough` : "bough";
  if (!optimization || failure?.status === 404) return html`<${Missing} failure=${failure} what="optimization" />`;
  const running = Object.entries(optimization.counts || {}).some(([name, count]) => count > 0 && !isEnded(name) && name !== "CREATED" && name !== "QUEUED");
  return html`<${Heading} optimization=${optimization} changed=${setOptimization} reload=${load} leave=${leave} />
    <${Trouble} failure=${failure} />
    ${optimization.state === "RUNNING" && !running ? html`<${Notes} title="Why nothing is running" of=${why} />` : null}
    <${Notes} title="Worth a look" of=${optimization.warnings} />
    <div class="columns">
      <${Summary} optimization=${optimization} />
      <${Best} best=${optimization.best} kpiName=${kpiName} />
    </div>
    ${trials.size === 0
      ? html`<${Empty} title="No trial yet"><p>Trials appear here when an agent takes them. <a href="#/agents">Agents</a></p><//>`
      : html`<div class="columns">
          <section><h2>KPI over trials</h2><${Chart} draw=${drawKpi} onPick=${pick} onHover=${hover} label=${kpiLabel(optimization, trials, kpiName)} /></section>
          <${Curves} optimization=${optimization} trials=${trials} heard=${heard} chosen=${chosen} onPick=${pick} onHover=${hover} minimize=${minimize} />
        </div>
        <${Insight} ...${{ optimization, trials, kpiName, minimize, onPick: pick, onHover: hover, choose: setChosen, chosen }} />
        <${Trials} optimization=${optimization} fields=${fields} version=${version} latest=${trials} kpiName=${kpiName} onHover=${hover} />`}
    <${Past} optimization=${optimization} />
    <${Hovered} trial=${hovered && trials.get(hovered)} kpiName=${kpiName} />`;
}

const kpiLabel = (optimization, trials, kpiName) =>
  `The KPI ${kpiName} of ${trials.size} trials, and the best so far: ${number(optimization.best?.kpi)}`;

function Heading({ optimization, changed, reload, leave }) {
  return html`<p class="crumbs"><a href="#/optimizations">Optimizations</a> / <a href=${write("models", optimization.model)}>${optimization.model}</a></p>
    <div class="heading">
      <h1>${optimization.model} <span class="id">${optimization.id}</span>${optimization.generation > 1 ? html` <span class="quiet">generation ${optimization.generation}</span>` : null}</h1>
      <${State} of=${optimization.state} />
      <span class="steering">
        <${Life} optimization=${optimization} changed=${changed} reload=${reload} leave=${leave} />
        <a class="button" href=${write("jobs", "", { optimization: optimization.id })}>job browser</a>
        <a class="button" href=${write("new", "", { from: optimization.id })}>new from this one</a>
        <${Export} id=${optimization.id} />
      </span>
    </div>
    ${optimization.reason ? html`<p class="quiet">${optimization.reason}</p>` : null}`;
}

function Export({ id }) {
  const at = (more) => `/api/v1/optimizations/${encodeURIComponent(id)}/export?${more}`;
  return html`<details class="menu"><summary class="button">export</summary><div class="panel"><ul class="plain">
    <li><a href=${exportUrl("optimizations", id)} download>CSV: every trial</a></li>
    <li><a href=${at("format=csv&points=true")} download>CSV: every point</a></li>
    <li><a href=${at("format=csv&all_attempts=true")} download>CSV: every attempt</a></li>
    <li><a href=${at("format=jsonl")} download>JSON lines: every trial</a></li>
    <li><a href=${at("format=jsonl&points=true")} download>JSON lines: every point</a></li></ul></div></details>`;
}

function Summary({ optimization }) {
  const { counts, finished, max_trials: total, kpi, algorithm, seed, commit, folder, space } = optimization;
  const limits = [optimization.max_epochs && `${optimization.max_epochs} epochs`, optimization.max_time_s && duration(optimization.max_time_s)].filter(Boolean);
  return html`<section><h2>Progress</h2>
    <p><${Progress} done=${finished} total=${total} /></p>
    <${Counts} of=${counts} />
    <dl class="facts">
      <div><dt>KPI</dt><dd>${kpi?.channel || "as the script declares"}${kpi?.direction ? `, ${kpi.direction}` : ""}${kpi?.reduce ? `, ${kpi.reduce}` : ""}</dd></div>
      <div><dt>algorithm</dt><dd>${algorithm}, seed ${seed}${optimization.initial_random ? `, ${optimization.initial_random} random first` : ""}</dd></div>
      <div><dt>at once</dt><dd>${number(optimization.max_parallel)}</dd></div>
      <div><dt>limits of a trial</dt><dd>${limits.join(", ") || "none"}</dd></div>
      <div><dt>code</dt><dd><span class="id">${(commit || "").slice(0, 10)}</span>${folder ? ` in ${folder}` : ""}</dd></div>
      <div><dt>searched</dt><dd>${(space || []).join(", ") || "–"}</dd></div>
      <div><dt>started</dt><dd>${moment(optimization.created_at)}${optimization.ended_at ? `, ended ${moment(optimization.ended_at)}` : ""}</dd></div>
    </dl>
  </section>`;
}

function Best({ best, kpiName }) {
  if (!best) return html`<section><h2>Best so far</h2><p class="quiet">No trial has ended with a KPI yet.</p></section>`;
  return html`<section><h2>Best so far</h2>
    <p class="headline"><span class="best">${number(best.kpi)}</span> <span class="quiet">${kpiName}</span> <a href=${jobLink(best.id)}>trial ${best.number}</a></p>
    <${Values} of=${best.values} />
  </section>`;
}
