/** What can be done with a job: stop it, hold it, let it go on, run it once more. */
import { post } from "../api.js";
import { isEnded } from "../format.js";
import { html } from "../html.js";
import { Sure, useSending } from "../steering.js";

const RUNS = ["RUNNING", "PREPARING"];

export function JobSteering({ job, changed }) {
  const [send, trouble, busy] = useSending(changed);
  const go = (step, body) => send(post(`/jobs/${job.id}/${step}`, body));
  const ended = isEnded(job.state);
  return html`
    ${RUNS.includes(job.state) ? html`<button type="button" disabled=${busy} onClick=${() => go("pause")}>pause</button>` : null}
    ${job.state === "PAUSED" ? html`<button type="button" disabled=${busy} onClick=${() => go("continue")}>continue</button>` : null}
    ${ended ? null : html`<${Sure} word="stop" disabled=${busy} question="stop: its script gets an interrupt and may finish cleanly" go=${() => go("stop")} />
      <${Sure} word="stop now" disabled=${busy} question="stop now: its processes are killed" go=${() => go("stop", { now: true })} />`}
    ${job.state === "FAILED" ? html`<${Sure} word="run again" disabled=${busy} question="run again with the same values: this attempt stays to be seen" go=${() => go("retry")} />` : null}
    ${trouble}`;
}
