/** What a search has found out: parallel coordinates, importance, slices, a contour, and when each trial ran. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { write } from "../address.js";
import { get } from "../api.js";
import { Chart } from "../chart.js";
import { number } from "../format.js";
import { html } from "../html.js";
import { contourChart, importanceChart, parallelChart, sliceChart, timeLine } from "../searchcharts.js";
import { scored, varying } from "../trials.js";

const MOST_AXES = 14;

/** `choose` gets the ids of the trials that are brushed, or null for all. */
export function Insight({ optimization, trials, kpiName, minimize, onPick, onHover, choose, chosen }) {
  const all = useMemo(() => [...trials.values()], [trials]);
  const paths = useMemo(() => varying(scored(all), optimization.space || []), [all, optimization.space]);
  if (scored(all).length < 2) return null;
  return html`<${Parallel} ...${{ optimization, all, paths, kpiName, minimize, onPick, onHover, choose, chosen }} />
    <div class="columns">
      <${Importance} optimization=${optimization} count=${scored(all).length} />
      <${Slice} ...${{ optimization, all, paths, kpiName, onPick, onHover }} />
      ${paths.length > 1 ? html`<${Contour} ...${{ all, paths, kpiName, minimize, onPick, onHover }} />` : null}
      <${Times} all=${all} onPick=${onPick} onHover=${onHover} />
    </div>`;
}

function Parallel({ optimization, all, paths, kpiName, minimize, onPick, onHover, choose, chosen }) {
  const axes = paths.slice(0, MOST_AXES);
  const draw = useMemo(() => parallelChart(all, axes, kpiName, minimize), [all, axes.join("\n"), kpiName, minimize]);
  function brushed(chart) {
    const series = chart.getModel().getSeries()[0];
    const active = series.getRawIndicesByActiveState("active");
    const data = series.option.data;
    const isAll = chart.getOption().parallelAxis.every((axis) => !axis.areaSelectStyle || !(axis.activeIntervals || []).length) && active.length === 0;
    choose(isAll || active.length === 0 ? null : new Set(active.map((i) => data[i].id)));
  }
  const ids = chosen && all.filter((trial) => chosen.has(trial.id)).map((trial) => trial.number);
  return html`<section><div class="heading"><h2>Values and KPI</h2><span class="quiet">draw along an axis to select</span>
      ${chosen ? html`<span class="steering"><a class="button" href=${write("jobs", "", { optimization: optimization.id, where: [["number", "in", ids]] })}>${chosen.size} in the job browser</a><button type="button" onClick=${() => choose(null)}>all again</button></span>` : null}
      ${paths.length > axes.length ? html`<span class="quiet">the first ${axes.length} of ${paths.length} hyperparameters</span>` : null}</div>
    <${Chart} draw=${draw} onPick=${onPick} onHover=${onHover} onBrush=${brushed} label=${`Parallel coordinates of ${scored(all).length} trials over ${axes.join(", ")} and the KPI`} /></section>`;
}

function Importance({ optimization, count }) {
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState(null);
  const step = Math.floor(count / 5); // anew with every fifth result
  useEffect(() => { get(`/optimizations/${optimization.id}/importance`).then((reply) => { setFound(reply); setFailure(null); }, setFailure); }, [optimization.id, step]);
  const parts = found?.parameters || [];
  const draw = useMemo(() => importanceChart(parts), [found]);
  const together = (found?.interactions || []).filter((one) => one.importance >= 0.01).slice(0, 3);
  return html`<section><h2>Importance</h2>${!found && !failure ? html`<p class="quiet">being reckoned …</p>` : null}${failure ? html`<p class="quiet">${failure.what} ${failure.remedy}</p>` : null}
    ${parts.length ? html`<${Chart} draw=${draw} size="chart-small" label=${parts.map((one) => `${one.path} ${number(100 * one.importance, 2)} %`).join(", ")} />` : null}
    ${together.length ? html`<p class="quiet">Together: ${together.map((one) => `${one.paths.join(" and ")} ${number(100 * one.importance, 2)} %`).join(", ")}.</p>` : null}
    ${parts.length ? html`<p class="quiet">Shares of the variance of the KPI over the space, from ${found.trials} trials.</p>` : null}
    ${[found?.reason, ...(found?.warnings || [])].filter(Boolean).map((text) => html`<p class="quiet" key=${text}>${text}</p>`)}</section>`;
}

function Slice({ optimization, all, paths, kpiName, onPick, onHover }) {
  const [path, setPath] = useState(null);
  const shown = path && paths.includes(path) ? path : paths[0];
  const draw = useMemo(() => sliceChart(all, shown, kpiName, optimization.best?.id), [all, shown, kpiName, optimization.best?.id]);
  if (!shown) return null;
  return html`<section><div class="heading"><h2>KPI over</h2><${Paths} paths=${paths} value=${shown} choose=${setPath} label="hyperparameter of the slice" /></div>
    <${Chart} draw=${draw} onPick=${onPick} onHover=${onHover} size="chart-small" label=${`KPI over ${shown}`} /></section>`;
}

function Contour({ all, paths, kpiName, minimize, onPick, onHover }) {
  const [pair, setPair] = useState([null, null]);
  const x = paths.includes(pair[0]) ? pair[0] : paths[0];
  const y = paths.includes(pair[1]) && pair[1] !== x ? pair[1] : paths.find((one) => one !== x);
  const both = scored(all).filter((trial) => x in trial.values && y in trial.values).length;
  const draw = useMemo(() => contourChart(all, [x, y], kpiName, minimize), [all, x, y, kpiName, minimize]);
  return html`<section><div class="heading"><h2>Two of them</h2><${Paths} paths=${paths} value=${x} choose=${(one) => setPair([one, y])} label="first hyperparameter" /><${Paths} paths=${paths.filter((one) => one !== x)} value=${y} choose=${(one) => setPair([x, one])} label="second hyperparameter" /></div>
    ${both > 2 ? html`<${Chart} draw=${draw} onPick=${onPick} onHover=${onHover} size="chart-small" label=${`The KPI over ${x} and ${y}, ${both} trials`} />` : html`<p class="quiet">Fewer than three trials have both.</p>`}</section>`;
}

const Paths = ({ paths, value, choose, label }) => html`<select aria-label=${label} value=${value} onChange=${(event) => choose(event.target.value)}>${paths.map((path) => html`<option key=${path} selected=${path === value}>${path}</option>`)}</select>`;

function Times({ all, onPick, onHover }) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => { setNow(Date.now() / 1000); }, [all]);
  const draw = useMemo(() => timeLine(all, now), [all, now]);
  return html`<section><h2>When and where</h2><${Chart} draw=${draw} onPick=${onPick} onHover=${onHover} size="chart-small" label="When each trial ran, on which agent" /></section>`;
}
