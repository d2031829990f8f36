/** Charts of a whole search: many curves, parallel coordinates, slices, contours, importance, the time line. Pure functions. */
import { base, plain } from "./charts.js";
import { duration, isEnded, number, value as shown } from "./format.js";
import { axisOf, scored, smoothed } from "./trials.js";

/** What a trial is called in a tooltip. */
const named = (trial) => `trial ${trial.number}: ${trial.kpi === null ? trial.state.toLowerCase() : number(trial.kpi)}`;

/** Colours of good and bad: `[from, to]` of the KPI, the better end in the colour of the best. */
function scale(colours, trials, minimize, extra = {}) {
  const kpis = scored(trials).map((trial) => trial.kpi).sort((a, b) => a - b);
  if (kpis.length === 0) return undefined;
  // The worst tenth would take all the colour: it begins above it.
  const low = minimize ? kpis[0] : kpis[Math.floor(kpis.length / 10)];
  const high = minimize ? kpis[Math.ceil(kpis.length * 0.9) - 1] : kpis[kpis.length - 1];
  const range = [colours.line, colours.accent, colours.best];
  return { type: "continuous", min: low, max: high > low ? high : low + 1e-9, calculable: false, inRange: { color: minimize ? [...range].reverse() : range }, show: false, ...extra };
}

/** Curves of many trials. `looks`: {logX, logY, smooth}. */
export function manyCurves(curves, trials, best, name, looks) {
  const lines = [...curves].filter((one) => trials.has(one.id)).sort((a, b) => (a.id === best) - (b.id === best) || a.number - b.number);
  return (colours) => {
    const option = base(colours, { x: "epoch", y: name, log: looks.logY });
    const kept = (y) => (looks.logY && y <= 0 ? null : plain(y));
    return {
      ...option,
      xAxis: { ...option.xAxis, type: looks.logX ? "log" : "value", nameGap: 22 },
      dataZoom: [{ type: "inside", filterMode: "none" }, { type: "slider", height: 14, bottom: 2, filterMode: "none", showDetail: false, brushSelect: true }],
      grid: { ...option.grid, bottom: 48 },
      series: lines.map((curve) => {
        const trial = trials.get(curve.id);
        const front = curve.id === best;
        const look = { opacity: front || !isEnded(trial.state) ? 1 : 0.4, ...(front ? { color: colours.best } : {}) };
        const ys = smoothed(curve.y, looks.smooth);
        return {
          type: "line", name: `trial ${curve.number}`, showSymbol: curve.x.length < 3, symbolSize: 5, z: front ? 5 : 2, cursor: "pointer", triggerLineEvent: true,
          emphasis: { focus: "series", lineStyle: { width: 3, opacity: 1 } }, blur: { lineStyle: { opacity: 0.08 } },
          lineStyle: { width: front ? 3 : 1.5, ...look }, itemStyle: look, id: curve.id,
          data: curve.x.map((x, i) => ({ id: curve.id, value: [looks.logX && x <= 0 ? null : plain(x), kept(ys[i])] })),
          tooltip: { formatter: ({ data }) => `trial ${curve.number}${front ? " (best)" : ""}\n${number(data.value[0])}: ${number(data.value[1])}` },
        };
      }),
    };
  };
}

/** One axis per hyperparameter and one for the KPI; a trial that does not have one passes it by. */
export function parallelChart(trials, paths, kpiName, minimize) {
  const all = scored(trials);
  const axes = paths.map((path) => axisOf(all, path));
  return (colours) => ({
    animation: false,
    parallel: { left: 46, right: 70, top: 40, bottom: 22 },
    parallelAxis: [...axes.map((axis, dim) => ({
      dim, name: axis.path, nameGap: 12, nameTextStyle: { color: colours.text, fontSize: 10, width: 90, overflow: "truncate" }, ...(axis.isNumber
        ? { type: axis.isLog ? "log" : "value", min: axis.low, max: axis.high > axis.low ? axis.high : axis.low + 1 }
        : { type: "category", data: axis.names }),
      ...lookOf(colours),
    })), { dim: axes.length, name: kpiName, type: "value", scale: true, nameTextStyle: { color: colours.best, fontSize: 10 }, ...lookOf(colours) }],
    visualMap: scale(colours, trials, minimize, { dimension: axes.length }),
    tooltip: { renderMode: "richText", confine: true, backgroundColor: colours.paper, borderColor: colours.line, textStyle: { color: colours.ink, fontSize: 12 } },
    series: [{
      type: "parallel", lineStyle: { width: 1.4, opacity: 0.55 }, inactiveOpacity: 0.04, activeOpacity: 0.9, emphasis: { lineStyle: { width: 3, opacity: 1 } }, progressive: 500,
      tooltip: { formatter: ({ data }) => data.label },
      data: all.map((trial) => ({ id: trial.id, label: named(trial), value: [...axes.map((axis) => onAxis(axis, trial)), trial.kpi] })),
    }],
  });
}

const lookOf = (colours) => ({
  axisLine: { lineStyle: { color: colours.line } }, axisLabel: { color: colours.text, fontSize: 10, formatter: (one) => number(one, 3) }, axisTick: { show: false },
  areaSelectStyle: { width: 16, borderColor: colours.accent, color: colours.accent, opacity: 0.25 }, minorTick: { show: false },
});

function onAxis(axis, trial) {
  const one = trial.values[axis.path];
  if (one === undefined) return "-"; // how ECharts writes that there is none
  return axis.isNumber ? one : String(one);
}

/** The KPI over one hyperparameter. */
export function sliceChart(trials, path, kpiName, best) {
  const all = scored(trials).filter((trial) => path in trial.values);
  const axis = axisOf(all, path);
  return (colours) => {
    const option = base(colours, { x: path, y: kpiName });
    const x = axis.isNumber ? { ...option.xAxis, type: axis.isLog ? "log" : "value" } : { ...option.xAxis, type: "category", data: axis.names, axisLabel: { color: colours.text } };
    return {
      ...option, xAxis: x,
      series: [{
        type: "scatter", symbolSize: (_, { data }) => (data.id === best ? 12 : 7), cursor: "pointer",
        data: all.map((trial) => ({ id: trial.id, value: [onAxis(axis, trial), trial.kpi], itemStyle: { color: trial.id === best ? colours.best : colours.accent, opacity: trial.id === best ? 1 : 0.65 } })),
        tooltip: { formatter: ({ data }) => `${path} = ${shown(axis.isNumber ? data.value[0] : data.value[0])}\n${kpiName} ${number(data.value[1])}` },
      }],
    };
  };
}

const CELLS = 36;

/** The KPI over two hyperparameters: trials as points, and between them the mean of what is near, weighted by 1/distance² (Shepard 1968). */
export function contourChart(trials, [pathX, pathY], kpiName, minimize) {
  const all = scored(trials).filter((trial) => pathX in trial.values && pathY in trial.values);
  const [x, y] = [axisOf(all, pathX), axisOf(all, pathY)];
  const points = all.map((trial) => ({ trial, u: share(x, trial), v: share(y, trial) }));
  const cells = [];
  const columns = x.isNumber ? CELLS : Math.max(1, x.names.length);
  const rows = y.isNumber ? CELLS : Math.max(1, y.names.length);
  for (let i = 0; i < columns; i += 1) {
    for (let k = 0; k < rows; k += 1) cells.push([i, k, near(points, (i + 0.5) / columns, (k + 0.5) / rows)]);
  }
  return (colours) => {
    const label = (axis, count) => Array.from({ length: count }, (_, i) => (axis.isNumber ? number(back(axis, (i + 0.5) / count), 3) : axis.names[i]));
    const look = { axisLabel: { color: colours.text, hideOverlap: true }, axisTick: { show: false }, axisLine: { lineStyle: { color: colours.line } }, nameTextStyle: { color: colours.text }, nameLocation: "middle" };
    const [low, high] = cells.reduce(([a, b], [, , c]) => [Math.min(a, c), Math.max(b, c)], [Infinity, -Infinity]);
    const colour = [colours.paper, colours.accent, colours.best];
    return {
      animation: false, grid: { left: 12, right: 70, top: 12, bottom: 30, containLabel: true },
      xAxis: [{ type: "category", data: label(x, columns), name: pathX, nameGap: 26, ...look }, { type: "value", min: 0, max: 1, show: false }],
      yAxis: [{ type: "category", data: label(y, rows), name: pathY, nameGap: 44, ...look }, { type: "value", min: 0, max: 1, show: false }],
      visualMap: { type: "continuous", min: low, max: high > low ? high : low + 1e-9, seriesIndex: 0, orient: "vertical", right: 0, top: "middle", itemHeight: 120, itemWidth: 12, textStyle: { color: colours.text }, formatter: (one) => number(one, 3), inRange: { color: minimize ? colour.reverse() : colour } },
      tooltip: { renderMode: "richText", confine: true, backgroundColor: colours.paper, borderColor: colours.line, textStyle: { color: colours.ink, fontSize: 12 } },
      series: [
        { type: "heatmap", data: cells, silent: true, progressive: 0 },
        {
          type: "scatter", xAxisIndex: 1, yAxisIndex: 1, symbolSize: 6, cursor: "pointer", itemStyle: { color: colours.ink, opacity: 0.75, borderColor: colours.paper, borderWidth: 1 },
          data: points.map(({ trial, u, v }) => ({ id: trial.id, value: [u, v], label_: `${named(trial)}\n${pathX} ${shown(trial.values[pathX])}\n${pathY} ${shown(trial.values[pathY])}` })),
          tooltip: { formatter: ({ data }) => data.label_ },
        },
      ],
    };
  };
}

/** Where a trial lies between the ends of an axis, from 0 to 1. */
function share(axis, trial) {
  const one = trial.values[axis.path];
  if (!axis.isNumber) return (axis.names.indexOf(String(one)) + 0.5) / axis.names.length;
  if (axis.high === axis.low) return 0.5;
  return axis.isLog ? Math.log(one / axis.low) / Math.log(axis.high / axis.low) : (one - axis.low) / (axis.high - axis.low);
}

const back = (axis, part) => (axis.isLog ? axis.low * (axis.high / axis.low) ** part : axis.low + part * (axis.high - axis.low));

function near(points, u, v) {
  let sum = 0;
  let weights = 0;
  for (const point of points) {
    const weight = 1 / ((point.u - u) ** 2 + (point.v - v) ** 2 + 1e-4);
    sum += weight * point.trial.kpi;
    weights += weight;
  }
  return sum / weights;
}

/** `parameters` of the API: `[{path, importance}]`, the most important on top. */
export function importanceChart(parts) {
  const rising = [...parts].sort((a, b) => a.importance - b.importance);
  return (colours) => {
    const option = base(colours, { x: "share of the variance", y: "" });
    return {
      ...option, grid: { ...option.grid, top: 8, right: 40 },
      xAxis: { ...option.xAxis, min: 0, scale: false },
      yAxis: { type: "category", data: rising.map((one) => one.path), axisLabel: { color: colours.ink, width: 190, overflow: "truncate" }, axisTick: { show: false }, axisLine: { lineStyle: { color: colours.line } } },
      series: [{ type: "bar", barMaxWidth: 18, itemStyle: { color: colours.accent }, label: { show: true, position: "right", color: colours.text, formatter: ({ value }) => number(value, 2) }, data: rising.map((one) => one.importance), tooltip: { formatter: ({ name, value }) => `${name}: ${number(100 * value, 3)} %` } }],
    };
  };
}

/** When each trial ran, and on which agent: one lane per slot that was used. */
export function timeLine(trials, now) {
  const ran = trials.filter((trial) => trial.started_at !== null).sort((a, b) => a.started_at - b.started_at);
  const lanes = lanesOf(ran, now);
  return (colours) => {
    const tint = { DONE: colours.best, FAILED: colours.bad, ABORTED: colours.text };
    const option = base(colours, { x: "", y: "" });
    return {
      ...option, grid: { ...option.grid, top: 10, bottom: 44 },
      xAxis: { type: "time", axisLabel: { color: colours.text, hideOverlap: true }, axisLine: { lineStyle: { color: colours.line } }, splitLine: { show: false }, min: ran.length ? ran[0].started_at * 1000 : undefined },
      yAxis: { type: "category", data: lanes.names, axisLabel: { color: colours.text }, axisTick: { show: false }, axisLine: { lineStyle: { color: colours.line } }, inverse: true },
      dataZoom: [{ type: "inside", filterMode: "weakFilter" }, { type: "slider", height: 14, bottom: 2, showDetail: false, filterMode: "weakFilter" }],
      series: [{
        type: "custom", cursor: "pointer", renderItem: bar, encode: { x: [1, 2], y: 0 }, clip: true,
        data: ran.map((trial, i) => ({ id: trial.id, value: [lanes.of[i], trial.started_at * 1000, (trial.ended_at ?? now) * 1000], itemStyle: { color: tint[trial.state] || colours.accent, opacity: trial.ended_at ? 0.75 : 1 }, trial })),
        tooltip: { formatter: ({ data }) => `${named(data.trial)}\n${data.trial.agent}, ${duration((data.trial.ended_at ?? now) - data.trial.started_at)}` },
      }],
    };
  };
}

function bar(params, api) {
  const [x, y] = api.coord([api.value(1), api.value(0)]);
  const end = api.coord([api.value(2), api.value(0)])[0];
  const height = api.size([0, 1])[1] * 0.7;
  return { type: "rect", shape: { x, y: y - height / 2, width: Math.max(2, end - x), height, r: 2 }, style: api.style() };
}

/** The first lane of its agent that is free when a trial starts. */
function lanesOf(ran, now) {
  const free = new Map(); // agent → when each of its lanes is free again
  const placed = ran.map((trial) => {
    const ends = free.get(trial.agent) || [];
    const found = ends.findIndex((end) => end <= trial.started_at + 0.001);
    const lane = found < 0 ? ends.length : found;
    ends[lane] = trial.ended_at ?? now;
    free.set(trial.agent, ends);
    return `${trial.agent} ${lane + 1}`;
  });
  const names = [...free].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)).flatMap(([agent, ends]) => ends.map((_, i) => `${agent} ${i + 1}`));
  return { names, of: placed.map((name) => names.indexOf(name)) };
}
