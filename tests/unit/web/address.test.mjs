import assert from "node:assert/strict";
import { test } from "node:test";
import { list, read, write } from "../../../server/bough_server/web/app/address.js";

test("an address is read back as it was written", () => {
  const written = write("models", "me/digits", { where: [["p.lr", ">", 0.1]], sort: "-kpi", empty: "", none: null, list: [] });

  const { name, id, fields } = read(written);

  assert.equal(name, "models");
  assert.equal(id, "me/digits");
  assert.deepEqual(list(fields.where), [["p.lr", ">", 0.1]]);
  assert.deepEqual(Object.keys(fields), ["where", "sort"]);
});

test("an address that somebody mended by hand names no view, and breaks none", () => {
  assert.deepEqual(read("#/jobs/%zz?where={"), { name: "jobs", id: "%zz", fields: { where: "{" } });
  assert.deepEqual(list("{"), []);
  assert.deepEqual(list('{"a": 1}'), []);
  assert.deepEqual(read(""), { name: "", id: "", fields: {} });
});
