/** One optimization: how far it is, its best trial, its KPI over the trials, learning curves, and the trials as a table. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { exportUrl, get, post } from "../api.js";
import { curvesChart, kpiChart, kpiCurve } from "../charts.js";
import { Chart } from "../chart.js";
import { duration, isEnded, moment, number } from "../format.js";
import { html } from "../html.js";
import { throttled, useLive } from "../live.js";
import { Counts, Empty, jobLink, Notes, Progress, State, Trouble, Values } from "../parts.js";
import { Trials } from "./trials.js";

const CHUNK = 500;
const CURVES = 12; // learning curves: the running trials, the best, then the newest

export function Optimization({ id, fields, tell }) {
  const [optimization, setOptimization] = useState(null);
  const [trials, setTrials] = useState(new Map());
  const [curves, setCurves] = useState(new Map());
  const [why, setWhy] = useState([]);
  const [version, setVersion] = useState(0); // rises with every change: the table asks for its page again
  const { state, failure } = useLive([`optimization:${id}`], load, told);
  useEffect(() => tell(state), [state]);
  const bump = useRef(throttled(() => setVersion((was) => was + 1), 1000)).current;
  const missed = useCurves(optimization, trials, curves, setCurves);
  const kpiName = optimization?.kpi?.channel || [...curves.values()][0]?.name || "KPI";
  const drawKpi = useMemo(() => kpiChart(optimization, [...trials.values()], kpiName), [optimization, trials, kpiName]);
  const drawCurves = useMemo(() => curvesChart(optimization, curves, trials, kpiName), [optimization, curves, trials, kpiName]);

  async function load() {
    const [one, reasons] = await Promise.all([get(`/optimizations/${id}`), get("/why")]);
    setOptimization(one);
    setWhy(reasons.reasons);
    setTrials(await allTrials(id));
    setCurves(new Map());
    bump();
  }

  function told(kind, data) {
    if (kind === "optimization") setOptimization(data);
    if (kind === "job") setTrials((was) => new Map(was).set(data.id, data));
    if (kind === "points") setCurves((was) => withPoints(was, data));
    if (kind === "points" && !curves.has(data.job)) missed();
    if (kind === "job") bump();
  }

  document.title = optimization ? `${optimization.model} ${optimization.id} · bough` : "bough";
  if (!optimization) return html`<${Trouble} failure=${failure} />`;
  const pick = (datum) => datum?.id && (location.hash = jobLink(datum.id));
  const running = Object.entries(optimization.counts || {}).some(([name, count]) => count > 0 && !isEnded(name) && name !== "CREATED" && name !== "QUEUED");
  return html`<${Heading} optimization=${optimization} changed=${setOptimization} />
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
          <section><h2>KPI over trials</h2><${Chart} draw=${drawKpi} onPick=${pick} label=${kpiLabel(optimization, trials, kpiName)} /></section>
          <section><h2>Learning curves</h2><${Chart} draw=${drawCurves} onPick=${pick} label="The KPI over epochs, for each of the running, the best and the newest trials" /></section>
        </div>
        <${Trials} optimization=${optimization} fields=${fields} version=${version} latest=${trials} kpiName=${kpiName} />`}`;
}

const kpiLabel = (optimization, trials, kpiName) =>
  `The KPI ${kpiName} of ${trials.size} trials, and the best so far: ${number(optimization.best?.kpi)}`;

/** Every trial, in chunks: the chart shows them all. */
async function allTrials(id) {
  const found = new Map();
  for (let offset = 0; ; offset += CHUNK) {
    const { rows, total } = await get(`/optimizations/${id}/trials`, { sort: "number", limit: CHUNK, offset });
    for (const row of rows) found.set(row.id, row);
    if (offset + CHUNK >= total || rows.length === 0) return found;
  }
}

/**
 * Read the learning curves of those trials whose curves are wanted and not here yet.
 *
 * Returns the function to call when a point came of a trial without a curve: it had none when it was asked.
 */
function useCurves(optimization, trials, curves, setCurves) {
  const wanted = useMemo(() => (optimization ? chosen(optimization, trials) : []), [optimization, trials]);
  const asked = useRef(new Set());
  const [again, setAgain] = useState(0);
  const missed = useRef(throttled(() => setAgain((was) => was + 1), 500)).current;
  useEffect(() => {
    if (curves.size === 0) asked.current.clear();
    for (const id of wanted) {
      if (asked.current.has(id)) continue;
      asked.current.add(id);
      get(`/jobs/${id}/points`)
        .then(({ channels }) => {
          const curve = kpiCurve(channels, optimization.kpi?.channel);
          if (curve) setCurves((was) => new Map(was).set(id, curve));
          else asked.current.delete(id); // it has sent nothing yet
        })
        .catch(() => asked.current.delete(id)); // shown again with the next change
    }
  }, [wanted.join(" "), curves.size === 0, again]);
  return missed;
}

function chosen(optimization, trials) {
  const all = [...trials.values()];
  const running = all.filter((job) => job.state === "RUNNING" || job.state === "STOPPING");
  const newest = all.filter((job) => isEnded(job.state) && job.kpi !== null).sort((a, b) => b.number - a.number);
  const best = optimization.best && trials.has(optimization.best.id) ? [optimization.best] : [];
  return [...new Set([...running, ...best, ...newest].map((job) => job.id))].slice(0, CURVES);
}

/** Points of one event behind those that are here; what an earlier reply already held is skipped. */
function withPoints(curves, { job, channel, x, y, t }) {
  const had = curves.get(job);
  if (!had || had.channel !== channel) return curves;
  const last = had.t.length ? had.t[had.t.length - 1] : -Infinity;
  const fresh = t.map((time, i) => i).filter((i) => t[i] > last);
  if (fresh.length === 0) return curves;
  const added = (old, values) => old.concat(fresh.map((i) => values[i]));
  return new Map(curves).set(job, { ...had, x: added(had.x, x), y: added(had.y, y[had.trace]), t: added(had.t, t) });
}

function Heading({ optimization, changed }) {
  return html`<p class="crumbs"><a href="#/optimizations">Optimizations</a></p>
    <div class="heading">
      <h1>${optimization.model} <span class="id">${optimization.id}</span></h1>
      <${State} of=${optimization.state} />
      <${Steering} optimization=${optimization} changed=${changed} />
      <a class="button" href=${exportUrl("optimizations", optimization.id)} download>CSV</a>
    </div>
    ${optimization.reason ? html`<p class="quiet">${optimization.reason}</p>` : null}`;
}

const STEPS = { RUNNING: ["pause", "stop"], PAUSED: ["resume", "stop"], STOPPED: ["resume"] };

function Steering({ optimization, changed }) {
  const [failure, setFailure] = useState(null);
  const [sure, setSure] = useState(null);
  const go = (step) => {
    if (step === "stop" && sure !== step) return setSure(step);
    setSure(null);
    return post(`/optimizations/${optimization.id}/${step}`).then((one) => { changed(one); setFailure(null); }, setFailure);
  };
  return html`<span class="steering" onMouseLeave=${() => setSure(null)}>
    ${(STEPS[optimization.state] || []).map((step) => html`<button key=${step} type="button" onClick=${() => go(step)}>${sure === step ? `really ${step}?` : step}</button>`)}
    <${Trouble} failure=${failure} />
  </span>`;
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
