import assert from "node:assert/strict";
import { test } from "node:test";
import { searchLog } from "../../../server/bough_server/web/app/searchlog.js";

/** A log that is handed out in pieces of `size` bytes. */
function inPieces(text, size) {
  const all = new TextEncoder().encode(text);
  return async (offset) => ({ bytes: all.slice(offset, offset + size), total: all.length });
}

async function search(text, words, size, most = Infinity) {
  const hits = [];
  await searchLog(inPieces(text, size), words, { found: (lines) => hits.push(...lines) < most, progress: () => {} });
  return hits;
}

test("every line with the words is found once, wherever a piece ends", async () => {
  const text = "Épée one\ntwo\nONE more\n\nlast one";

  for (let size = 1; size < 40; size += 1) {
    const hits = await search(text, "one", size);
    assert.deepEqual(hits.map((one) => [one.number, one.text]), [[1, "Épée one"], [3, "ONE more"], [5, "last one"]], `pieces of ${size}`);
    assert.deepEqual(hits.map((one) => one.at), [0, 15, 25], `pieces of ${size}`);
  }
});

test("an empty log has no line with the words, and a search ends when it has enough", async () => {
  assert.deepEqual(await search("", "one", 10), []);
  assert.equal((await search("one\n".repeat(100), "one", 8, 5)).length, 6);
});
