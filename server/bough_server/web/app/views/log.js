/** A job's log: its end first, then whatever comes. An event only rings; the bytes are read by their offset, so none is missed or doubled. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { log } from "../api.js";
import { html } from "../html.js";
import { throttled } from "../live.js";
import { Trouble } from "../parts.js";
import { LogSearch } from "./logsearch.js";

const FIRST = 64 * 1024; // bytes of the end that are shown at once
const CHUNK = 256 * 1024;
const KEPT = 1_000_000; // characters on the page; the rest is in the log itself

export function Log({ id, attempt, grown }) {
  const [text, setText] = useState("");
  const [from, setFrom] = useState(0);
  const [failure, setFailure] = useState(null);
  const [follow, setFollow] = useState(true);
  const [passage, setPassage] = useState(null); // {at, text}: another part of it than the end
  const box = useRef(null);
  const reader = useRef(null);

  useLayoutEffect(() => {
    const mine = { offset: null, decoder: new TextDecoder(), busy: false, again: false, gone: false };
    const read = async () => {
      if (mine.busy) { mine.again = true; return; }
      mine.busy = true;
      try {
        do {
          mine.again = false;
          await readOn(mine);
        } while (mine.again && !mine.gone);
        setFailure(null);
      } catch (error) {
        if (!mine.gone) setFailure(error);
      } finally {
        mine.busy = false;
      }
    };
    async function readOn() {
      if (mine.offset === null) {
        const { total } = await log(id, 0, 1);
        mine.offset = Math.max(0, total - FIRST);
        setFrom(mine.offset);
        setText("");
      }
      for (;;) {
        const { bytes, total } = await log(id, mine.offset, CHUNK);
        if (mine.gone) return;
        mine.offset += bytes.length;
        const more = mine.decoder.decode(bytes, { stream: true });
        if (more) setText((was) => (was + more).slice(-KEPT));
        if (bytes.length === 0 || mine.offset >= total) return;
      }
    }
    reader.current = throttled(read, 300);
    reader.current();
    setPassage(null);
    return () => {
      mine.gone = true;
      reader.current.end();
    };
  }, [id, attempt]);

  useEffect(() => reader.current?.(), [grown]);
  useEffect(() => {
    if (follow && passage === null && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text, follow, passage]);
  useEffect(() => {
    if (passage && box.current) box.current.scrollTop = 0;
  }, [passage]);

  /** Show the log from this byte on, which is where a line begins. */
  const open = (at) => log(id, at, FIRST).then(({ bytes }) => setPassage({ at, text: new TextDecoder().decode(bytes) }), setFailure);

  return html`<section>
    <div class="heading"><h2>Log</h2>
      ${passage ? html`<button type="button" onClick=${() => setPassage(null)}>back to its end</button>` : html`<label><input type="checkbox" checked=${follow} onChange=${(event) => setFollow(event.target.checked)} /> follow</label>`}
      ${from > 0 && !passage ? html`<span class="quiet">the first ${from} bytes are above: <button type="button" onClick=${() => open(0)}>from its begin</button></span>` : null}
      <a class="button steering" href=${`/api/v1/jobs/${encodeURIComponent(id)}/log?whole=true`} download=${`${id}.log`}>save</a>
    </div>
    <${LogSearch} id=${id} open=${open} />
    <${Trouble} failure=${failure} />
    ${text === "" ? html`<p class="quiet">Nothing was written to stdout or stderr yet.</p>` : html`<pre class="log" ref=${box} tabindex="0" aria-label="Log">${passage ? passage.text : text}</pre>`}
  </section>`;
}
