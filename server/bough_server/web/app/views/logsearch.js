/** Looking for words in all of a job's log: it is read in pieces, from its begin, and only the lines that match are kept. */
import { useRef, useState } from "preact/hooks";
import { log } from "../api.js";
import { html } from "../html.js";
import { number } from "../format.js";
import { Trouble } from "../parts.js";
import { searchLog } from "../searchlog.js";

const CHUNK = 1024 * 1024;
const MOST = 200; // lines that are listed

/** The field, and what was found; `open` gets the byte of a line that is to be seen among its neighbours. */
export function LogSearch({ id, open }) {
  const [hits, setHits] = useState(null);
  const [part, setPart] = useState(1);
  const [failure, setFailure] = useState(null);
  const turn = useRef(0);

  function search(event) {
    event.preventDefault();
    const words = new FormData(event.target).get("words");
    const mine = (turn.current += 1);
    setHits(null);
    if (!words) return;
    const all = [];
    const found = (lines) => {
      if (mine !== turn.current) return false;
      all.push(...lines);
      setHits({ words, lines: all.slice(0, MOST), isFull: all.length >= MOST });
      return all.length < MOST;
    };
    searchLog((offset) => log(id, offset, CHUNK), words, { found, progress: (now) => mine === turn.current && setPart(now) }).then(() => mine === turn.current && (setPart(1), setFailure(null)), setFailure);
  }

  function clear() {
    turn.current += 1;
    setHits(null);
  }

  return html`<form class="start" role="search" onSubmit=${search}><input type="search" name="words" size="24" aria-label="words to look for in the log" placeholder="in all of the log" onInput=${(event) => event.target.value === "" && clear()} /><button type="submit">search</button>
      ${part < 1 ? html`<progress max="1" value=${part} aria-label="searched"></progress>` : null}</form>
    <${Trouble} failure=${failure} />
    ${hits ? html`<div class="hits" role="status"><p class="quiet">${hits.lines.length === 0 ? `No line has “${hits.words}”${part < 1 ? " so far" : ""}.` : `${number(hits.lines.length)} ${hits.lines.length === 1 ? "line" : "lines"}${hits.isFull ? ", the first ones: look for more words" : ""}`}</p>
      <ul class="plain">${hits.lines.map((one) => html`<li key=${one.at}><button type="button" onClick=${() => open(one.at)} aria-label=${`show line ${one.number}`}>${one.number}</button><code>${one.text.slice(0, 400)}</code></li>`)}</ul></div>` : null}`;
}
