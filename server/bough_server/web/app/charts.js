/** What the charts show: from trials and points to ECharts options. Pure functions, tested without a browser. */
import { optionsOf, withOptions } from "./axes.js";
import { isEnded, isFinite, number } from "./format.js";

/** What all charts have in common; `x` and `y` are the names of the axes. */
export function base(colours, { x, y, integer = false, log = false }) {
  const axis = {
    nameTextStyle: { color: colours.text }, axisLabel: { color: colours.text, formatter: (one) => number(one, 4), hideOverlap: true },
    axisLine: { lineStyle: { color: colours.line } }, splitLine: { lineStyle: { color: colours.line, opacity: 0.6 } }, scale: true,
  };
  return {
    animation: false, color: colours.series, textStyle: { fontFamily: "system-ui, sans-serif" },
    grid: { left: 8, right: 16, top: 34, bottom: 26, containLabel: true },
    xAxis: { ...axis, type: "value", name: x, nameLocation: "middle", nameGap: 26, splitLine: { show: false }, minInterval: integer ? 1 : 0 },
    yAxis: { ...axis, type: log ? "log" : "value", name: y, nameTextStyle: { color: colours.text, align: "left" } },
    tooltip: {
      trigger: "item", renderMode: "richText", confine: true, backgroundColor: colours.paper, borderColor: colours.line,
      textStyle: { color: colours.ink, fontSize: 12 },
    },
  };
}

/** KPI over the trials' numbers, with the best so far as a stair; `name` is the KPI's. Returns what `Chart` draws. */
export function kpiChart(optimization, trials, name) {
  const ended = trials.filter((job) => isEnded(job.state) && isFinite(job.kpi)).sort((a, b) => a.number - b.number);
  const counted = ended.filter((job) => job.state === "DONE");
  const others = ended.filter((job) => job.state !== "DONE");
  const stair = bestSoFar(counted, isMinimized(optimization, counted));
  return (colours) => ({
    ...base(colours, { x: "trial", y: name, integer: true }),
    series: [
      {
        type: "scatter", name: "trial", symbolSize: 8, itemStyle: { color: colours.accent, opacity: 0.8 }, cursor: "pointer",
        data: counted.map((job) => ({ id: job.id, value: [job.number, job.kpi] })),
        tooltip: { formatter: ({ data }) => `trial ${data.value[0]}: ${number(data.value[1])}` },
      },
      {
        type: "scatter", name: "does not count", symbol: "circle", symbolSize: 7, itemStyle: { color: "transparent", borderColor: colours.bad, borderWidth: 1.5 }, cursor: "pointer",
        data: others.map((job) => ({ id: job.id, value: [job.number, job.kpi], state: job.state })),
        tooltip: { formatter: ({ data }) => `trial ${data.value[0]}: ${number(data.value[1])}, ${data.state.toLowerCase()}` },
      },
      { type: "line", name: "best so far", step: "end", showSymbol: false, silent: true, lineStyle: { color: colours.best, width: 2 }, data: stair },
    ],
    legend: { type: "scroll", left: 90, right: 8, top: 0, align: "left", textStyle: { color: colours.text }, data: ["trial", ...(others.length ? ["does not count"] : []), "best so far"], selectedMode: false },
  });
}

/** Whether lower is better. Where only the script says so, the best trial tells: nothing beats it. */
export function isMinimized(optimization, ended) {
  const direction = optimization?.kpi?.direction;
  if (direction) return direction === "minimize";
  const best = optimization?.best?.kpi;
  return isFinite(best) && ended.some((job) => job.kpi > best);
}

/** `[[number, best], …]`, one pair per trial that ended with a KPI. */
export function bestSoFar(ended, minimize) {
  let best = null;
  return ended.map((job) => {
    if (best === null || (minimize ? job.kpi < best : job.kpi > best)) best = job.kpi;
    return [job.number, best];
  });
}

/** The traces of one channel of a job, its axes as the script wants them; what came after the stop is drawn faint. */
export function channelChart(channel) {
  const { xaxis, yaxis, title } = optionsOf(channel);
  const cut = channel.cut ?? channel.x.length;
  const isLong = channel.x.length > 200; // worth a slider
  return (colours) => {
    const option = base(colours, { x: "x", y: channel.traces.length > 1 ? "" : channel.traces[0] });
    return {
      ...option, xAxis: withOptions(option.xAxis, xaxis, channel.x), yAxis: withOptions(option.yAxis, yaxis, channel.y.flat()),
      dataZoom: xaxis.type === "category" ? [] : [{ type: "inside", filterMode: "none", zoomOnMouseWheel: "shift" }, ...(isLong ? [{ type: "slider", height: 12, bottom: 2, filterMode: "none", showDetail: false, brushSelect: true }] : [])],
      grid: { ...option.grid, bottom: isLong ? 42 : option.grid.bottom },
      title: title ? { text: title, left: "center", textStyle: { color: colours.ink, fontSize: 12 } } : undefined,
      legend: channel.traces.length > 1 ? { right: 8, top: 0, data: channel.traces, textStyle: { color: colours.text } } : undefined,
      series: channel.traces.flatMap((trace, k) => {
        const pairs = channel.x.map((x, i) => [along(x, xaxis.type), along(channel.y[k][i], yaxis.type)]);
        const line = {
          type: "line", name: trace, symbol: "circle", symbolSize: 5, showSymbol: pairs.length < 60, color: colours.series[k % 8], clip: true,
          data: pairs.slice(0, cut), tooltip: { formatter: ({ data }) => `${trace}\n${number(data[0])}: ${number(data[1])}` },
        };
        if (cut >= pairs.length) return [line];
        return [line, { ...line, name: `${trace}, after the stop`, data: pairs.slice(Math.max(0, cut - 1)), lineStyle: { type: "dashed", opacity: 0.5 }, itemStyle: { opacity: 0.5 } }];
      }),
    };
  };
}

/** A logarithm has no place for zero and below. */
const along = (one, type) => (type === "log" && !(one > 0) ? null : plain(one));

/** The curves of one channel of several jobs over each other; `curves` are channels with `id` and `label`. */
export function overlayChart(curves) {
  return (colours) => ({
    ...base(colours, { x: "x", y: "" }),
    legend: { type: "scroll", icon: "roundRect", itemHeight: 3, top: 0, right: 8, left: 60, textStyle: { color: colours.text } },
    series: curves.flatMap((curve, i) => curve.traces.map((trace, k) => ({
      type: "line", name: curve.traces.length > 1 ? `${curve.label} ${trace}` : curve.label, showSymbol: curve.x.length < 60, symbolSize: 5, color: colours.series[i % 8],
      lineStyle: { width: 1.5, type: ["solid", "dashed", "dotted"][k % 3] }, cursor: "pointer", emphasis: { focus: "series" },
      data: curve.x.map((x, n) => ({ id: curve.id, value: [plain(x), plain(curve.y[k][n])] })),
      tooltip: { formatter: ({ data, seriesName }) => `${seriesName}\n${number(data.value[0])}: ${number(data.value[1])}` },
    }))),
  });
}

/** A channel of a machine's usage, small and without axes; x are seconds since the epoch. */
export function sparkline({ x, y, unit }) {
  return (colours) => ({
    animation: false, grid: { left: 0, right: 0, top: 2, bottom: 2 },
    xAxis: { type: "value", show: false, min: "dataMin", max: "dataMax" },
    yAxis: { type: "value", show: false, min: 0, max: unit === "%" ? 100 : undefined },
    series: [{ type: "line", showSymbol: false, silent: true, sampling: "minmax", lineStyle: { width: 1.5, color: colours.accent }, areaStyle: { color: colours.accent, opacity: 0.15 }, data: x.map((at, i) => [at, plain(y[i])]) }],
  });
}

const BINS = 16;

/** How often values were drawn: numbers in bins (of their logarithm where asked), everything else by value. */
export function histogram(values, log = false) {
  const numbers = values.every((one) => typeof one === "number");
  const distinct = [...new Set(values)];
  const bars = numbers && distinct.length > BINS ? binned(values, log) : counted(values, numbers);
  return (colours) => ({
    animation: false, grid: { left: 2, right: 2, top: 2, bottom: 14 },
    xAxis: { type: "category", data: bars.map(([name]) => name), axisTick: { show: false }, axisLine: { lineStyle: { color: colours.line } }, axisLabel: { color: colours.text, fontSize: 9, margin: 2, showMinLabel: true, showMaxLabel: true, hideOverlap: true } },
    yAxis: { type: "value", show: false },
    series: [{ type: "bar", barCategoryGap: "10%", itemStyle: { color: colours.accent }, data: bars.map(([, count]) => count), silent: true }],
  });
}

function counted(values, numbers) {
  const counts = new Map();
  for (const one of values) counts.set(one, (counts.get(one) || 0) + 1);
  const sorted = [...counts].sort(([a], [b]) => (numbers ? a - b : String(a) < String(b) ? -1 : 1));
  return sorted.map(([one, count]) => [typeof one === "number" ? number(one, 3) : String(one), count]);
}

function binned(values, log) {
  const on = log && values.every((one) => one > 0) ? Math.log : (one) => one;
  const back = on === Math.log ? Math.exp : (one) => one;
  const low = on(Math.min(...values));
  const width = (on(Math.max(...values)) - low) / BINS || 1;
  const counts = Array(BINS).fill(0);
  for (const one of values) counts[Math.min(BINS - 1, Math.floor((on(one) - low) / width))] += 1;
  return counts.map((count, i) => [number(back(low + (i + 0.5) * width), 3), count]);
}

/** A number that a chart can draw; "nan" and "inf" become a gap. */
export const plain = (one) => (isFinite(one) ? one : null);
