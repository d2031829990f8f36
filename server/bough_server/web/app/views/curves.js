/** Learning curves of many trials: any channel, log axes, smoothed, zoomed; live. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get } from "../api.js";
import { Chart } from "../chart.js";
import { isEnded, isFinite } from "../format.js";
import { html } from "../html.js";
import { useThrottled } from "../live.js";
import { Trouble } from "../parts.js";
import { manyCurves } from "../searchcharts.js";
import { grown } from "../trials.js";

const POINTS = 300; // of a curve: a screen has no more
const WHICH = { best: "the best 20", newest: "the newest 20", running: "what runs", all: "all (500)" };
const LONG = 3 * POINTS; // then it is thinned anew
const SOME = 20;

/** `heard` is a ref that gets what is to be done with points that came; `chosen` are ids that are shown whatever is selected here (those brushed elsewhere). */
export function Curves({ optimization, trials, heard, chosen, onPick, onHover, minimize }) {
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState(null);
  const [channel, setChannel] = useState("");
  const [which, setWhich] = useState("best");
  const [looks, setLooks] = useState({ logX: false, logY: false, smooth: 0 });
  const numbers = chosen ? [...trials.values()].filter((trial) => chosen.has(trial.id)).map((trial) => trial.number) : select(which, [...trials.values()], minimize);
  const asked = numbers.slice(0, 500).join(",");
  const load = () => get(`/optimizations/${optimization.id}/curves`, { channel, trials: asked, most: POINTS }).then((reply) => { setFound(reply); setFailure(null); }, setFailure);
  const soon = useThrottled(load, 700);
  useEffect(() => { if (asked || which === "all") soon(); }, [asked, channel]);
  const coming = useRef([]);
  const apply = useThrottled(() => {
    const made = found && grown(found, coming.current, LONG);
    coming.current = [];
    if (made) setFound(made);
    else soon();
  }, 300);
  heard.current = (points) => {
    if (found && points.channel !== found.of) return;
    coming.current.push(points);
    apply();
  };
  const draw = useMemo(() => manyCurves(found?.curves || [], trials, optimization.best?.id, found?.channel || "", looks), [found, trials, optimization.best?.id, looks]);
  const look = (name, value) => setLooks((was) => ({ ...was, [name]: value }));
  return html`<section><div class="heading"><h2>Learning curves</h2>
      <select aria-label="channel" value=${channel || found?.channel} onChange=${(event) => setChannel(event.target.value)}>${(found?.channels || []).map((one) => html`<option key=${one} selected=${one === (channel || found?.channel)}>${one}</option>`)}</select>
      ${chosen ? html`<span class="quiet">${chosen.size} selected below</span>` : html`<select aria-label="which trials" value=${which} onChange=${(event) => setWhich(event.target.value)}>${Object.entries(WHICH).map(([name, text]) => html`<option key=${name} value=${name} selected=${name === which}>${text}</option>`)}</select>`}
      <label><input type="checkbox" checked=${looks.logX} onChange=${(event) => look("logX", event.target.checked)} /> log x</label>
      <label><input type="checkbox" checked=${looks.logY} onChange=${(event) => look("logY", event.target.checked)} /> log y</label>
      <label>smooth <input type="range" min="0" max="0.98" step="0.02" value=${looks.smooth} onInput=${(event) => look("smooth", Number(event.target.value))} /></label>
    </div>
    <${Trouble} failure=${failure} />
    <${Chart} draw=${draw} onPick=${onPick} onHover=${onHover} label=${`${found?.channel || "KPI"} over epochs, ${found?.curves.length || 0} trials`} />
  </section>`;
}

function select(which, trials, minimize) {
  const live = trials.filter((trial) => !isEnded(trial.state) && trial.started_at !== null);
  const ended = trials.filter((trial) => isEnded(trial.state) && trial.started_at !== null);
  const better = (a, b) => (isFinite(b.kpi) - isFinite(a.kpi)) || (minimize ? a.kpi - b.kpi : b.kpi - a.kpi);
  const some = { running: [], best: [...ended].sort(better).slice(0, SOME), newest: [...ended].sort((a, b) => b.number - a.number).slice(0, SOME), all: ended }[which];
  return [...live, ...some].map((trial) => trial.number);
}
