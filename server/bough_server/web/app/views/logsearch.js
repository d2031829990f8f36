/** Looking for words in all of a job's log: it is read in pieces, from its begin, and only the lines that match are kept. */
import { useRef, useState } from "preact/hooks";
import { log } from "../api.js";
import { html } from "../html.js";
import { number } from "../format.js";
import { Trouble } from "../parts.js";

const CHUNK = 1024 * 1024;
const MOST = 200; // lines that are listed

/**
 * Every line of the log with these words, upper and lower case alike.
 *
 * @param {(offset: number) => Promise<{bytes: Uint8Array, total: number}>} read a piece of the log
 * @param {string} words what is looked for
 * @param {{found: (lines: {at: number, number: number, text: string}[]) => boolean, progress: (part: number) => void}} told
 *   `found` gets lines as they are found, `at` being the byte where each begins, and says whether to go on
 */
export async function searchLog(read, words, { found, progress }) {
  const wanted = words.toLowerCase();
  const decoder = new TextDecoder();
  let offset = 0;
  let rest = new Uint8Array(0); // the begin of a line whose end is not here yet
  let line = 0;
  for (;;) {
    const { bytes, total } = await read(offset);
    const piece = new Uint8Array(rest.length + bytes.length);
    piece.set(rest);
    piece.set(bytes, rest.length);
    const isLast = bytes.length === 0 || offset + bytes.length >= total;
    const end = isLast || piece.length > 2 * CHUNK ? piece.length : piece.lastIndexOf(10) + 1;
    const lines = [];
    for (let begin = 0; begin < end; ) {
      const next = piece.indexOf(10, begin);
      const stop = next < 0 || next >= end ? end : next;
      line += 1;
      const text = decoder.decode(piece.subarray(begin, stop));
      if (text.toLowerCase().includes(wanted)) lines.push({ at: offset - rest.length + begin, number: line, text });
      begin = stop + 1;
    }
    rest = piece.slice(end);
    offset += bytes.length;
    progress(total > 0 ? offset / total : 1);
    if (!found(lines) || isLast) return;
  }
}

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
