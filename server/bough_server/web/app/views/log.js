/** A job's log: its end first, then whatever comes. An event only rings; the bytes are read by their offset, so none is missed or doubled. */
import { useEffect, useRef, useState } from "preact/hooks";
import { log } from "../api.js";
import { html } from "../html.js";
import { throttled } from "../live.js";
import { Trouble } from "../parts.js";

const FIRST = 64 * 1024; // bytes of the end that are shown at once
const CHUNK = 256 * 1024;
const KEPT = 1_000_000; // characters on the page; the rest is in the log itself

export function Log({ id, attempt, grown }) {
  const [text, setText] = useState("");
  const [from, setFrom] = useState(0);
  const [failure, setFailure] = useState(null);
  const [follow, setFollow] = useState(true);
  const box = useRef(null);
  const reader = useRef(null);

  useEffect(() => {
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
    return () => { mine.gone = true; };
  }, [id, attempt]);

  useEffect(() => reader.current?.(), [grown]);
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text, follow]);

  return html`<section>
    <div class="heading"><h2>Log</h2>
      <label><input type="checkbox" checked=${follow} onChange=${(event) => setFollow(event.target.checked)} /> follow</label>
      ${from > 0 ? html`<span class="quiet">the first ${from} bytes are left out: <code>bough job log ${id}</code> has them</span>` : null}
    </div>
    <${Trouble} failure=${failure} />
    ${text === "" ? html`<p class="quiet">Nothing was written to stdout or stderr yet.</p>` : html`<pre class="log" ref=${box} tabindex="0" aria-label="Log">${text}</pre>`}
  </section>`;
}
