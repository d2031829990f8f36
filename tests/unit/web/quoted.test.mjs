import assert from "node:assert/strict";
import { test } from "node:test";
import { quoted } from "../../../server/bough_server/web/app/quoted.js";

test("a name is one word of a shell, whatever it holds", () => {
  assert.equal(quoted("gpu-1.lab"), "gpu-1.lab");
  assert.equal(quoted("a b; rm $HOME"), "'a b; rm $HOME'");
  assert.equal(quoted("it's"), "'it'\\''s'");
});
