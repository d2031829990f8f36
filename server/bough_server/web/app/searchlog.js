/** Looking for words in a log that comes in pieces: pure, tested without a browser. */
const LONGEST = 2 * 1024 * 1024; // bytes of a line; a longer one is looked at in parts
const NEWLINE = 10;

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
    const end = isLast || piece.length > LONGEST ? piece.length : piece.lastIndexOf(NEWLINE) + 1;
    const lines = [];
    for (let begin = 0; begin < end; ) {
      const next = piece.indexOf(NEWLINE, begin);
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
