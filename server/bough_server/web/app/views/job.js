/** One job: its values, its channels as charts, its log as it grows, what it handed in, where it came from, and how it ended. */
import { useEffect, useState } from "preact/hooks";
import { write } from "../address.js";
import { exportUrl, get } from "../api.js";
import { isEnded } from "../format.js";
import { html } from "../html.js";
import { useLive, useThrottled } from "../live.js";
import { Note, Star, Tags } from "../marks.js";
import { jobFlag, optimizationLink, State, Trouble, Values } from "../parts.js";
import { Actions } from "./actions.js";
import { Channels, grow, isLong, joined, MOST, SystemChannels } from "./channels.js";
import { Handed } from "./files.js";
import { Attempts, Doubts, Facts, Provenance } from "./jobfacts.js";
import { JobSteering } from "./jobsteering.js";
import { Log } from "./log.js";
import { Missing } from "./missing.js";

const AGAIN_MS = 2000; // at most so often is everything but the points read again
const RECORD_LOOKS = 15;

export function Job({ id, tell }) {
  const [job, setJob] = useState(null);
  const [channels, setChannels] = useState([]);
  const [grown, setGrown] = useState(0); // rises when there is more log to read
  const [news, setNews] = useState(0); // rises when there may be files, documents or answers
  const { state, failure } = useLive([`job:${id}`], load, told);
  useEffect(() => tell(state), [state]);
  const again = useThrottled(() => read().catch(() => {}), AGAIN_MS);
  const whole = useThrottled(() => load().catch(() => {}), AGAIN_MS);

  const isGone = failure?.status === 404;
  const isAwaited = !isGone && job !== null && isEnded(job.state) && !job.record;
  useEffect(() => {
    // Its record is written a moment after its end, and nothing tells of it.
    if (!isAwaited) return undefined;
    let left = RECORD_LOOKS;
    const timer = setInterval(() => (left-- > 0 ? again() : clearInterval(timer)), AGAIN_MS);
    return () => clearInterval(timer);
  }, [isAwaited]);

  async function read() {
    const one = await get(`/jobs/${id}`);
    setJob(one);
    setNews((was) => was + 1);
    return one;
  }

  async function load() {
    // One after the other: when there is no such job, that is what has to be said, not that it has no points.
    const one = await read();
    if (one.id !== id) return location.replace(write("jobs", one.id)); // the beginning of an id was given: its events have all of it
    const points = await get(`/jobs/${one.id}/points`, { most: MOST });
    setChannels(joined(points.channels, one));
    setGrown((was) => was + 1);
  }

  function told(kind, data) {
    if (kind === "job" && data.id === job?.id) {
      if (data.attempt !== job.attempt || isEnded(data.state)) whole(); // other points, or a record and an exit
      else again();
      setJob((was) => ({ ...was, ...data }));
    }
    if (kind === "log") setGrown((was) => was + 1);
    if (kind !== "points") return;
    const known = channels.find((channel) => channel.name === data.channel);
    if (!known || isLong(known)) whole(); // a new channel: its traces, type and axes are in the reply
    else setChannels((was) => was.map((one) => grow(one, data)));
    again();
  }

  const title = job && (job.number === null ? `job ${job.id}` : `trial ${job.number}`);
  document.title = job ? `${title} of ${job.model} · bough` : "bough";
  if (!job || isGone) return html`<${Missing} failure=${failure} what="job" />`;
  return html`<p class="crumbs">${job.optimization ? html`<a href="#/optimizations">Optimizations</a> / <a href=${optimizationLink(job.optimization)}>${job.model} ${job.optimization}</a>` : html`<a href=${write("models", job.model)}>${job.model}</a>`}</p>
    <div class="heading">
      <h1>${title} <span class="id">${job.id}</span></h1>
      <${State} of=${job.state} why=${job.end_reason} flag=${jobFlag(job)} />
      <span class="steering"><${JobSteering} job=${job} changed=${(one) => { setJob((was) => ({ ...was, ...one })); again(); }} />
        <a class="button" href=${exportUrl("jobs", job.id) + "&points=true"} download>CSV</a></span>
    </div>
    <${Trouble} failure=${failure} />
    ${job.message ? html`<div class="note ${job.state === "FAILED" ? "note-bad" : ""}">${job.message}</div>` : null}
    <${Doubts} job=${job} />
    <div class="columns">
      <section><h2>Values</h2><${Values} of=${job.values} /><${Marks} id=${job.id} title=${title} /></section>
      <${Facts} job=${job} />
    </div>
    <${Channels} channels=${channels} job=${job} />
    <${Actions} job=${job} news=${news} />
    <${Handed} job=${job} news=${news} />
    <${Log} id=${job.id} attempt=${job.attempt} grown=${grown} />
    <${SystemChannels} channels=${channels} job=${job} />
    <div class="columns"><${Provenance} job=${job} /><${Attempts} job=${job} /></div>`;
}

/** Star, tags and note of the job. */
function Marks({ id, title }) {
  const [marks, setMarks] = useState(null);
  useEffect(() => { get(`/jobs/${id}/marks`).then(setMarks, () => setMarks(null)); }, [id]);
  if (!marks) return null;
  return html`<div class="marks"><${Star} job=${id} on=${marks.star} label=${title} changed=${setMarks} />
    <${Tags} job=${id} tags=${marks.tags} changed=${setMarks} onFilter=${(tag) => write("jobs", "", { where: [["tags", "contains", tag]] })} />
    <${Note} job=${id} note=${marks.note} changed=${setMarks} /></div>`;
}
