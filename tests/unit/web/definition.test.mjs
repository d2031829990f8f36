import assert from "node:assert/strict";
import { test } from "node:test";
import { as, fitting, fresh, full, guess, move, parseExpression, put, rename, searchable, short, SIGNATURES, writeExpression } from "../../../server/bough_server/web/app/definition.js";

const RAW = { model: "me/x", hyperparameters: { lr: 0.1, dense: { type: "group", optional: true, children: { neurons: 64 } }, optimizer: { type: "choice_group", choices: { sgd: { lr: 0.01 }, adam: { lr: 0.001 } } } } };

test("putting a value leaves the old data alone and the order of keys as it is", () => {
  const made = put(RAW, ["hyperparameters", "lr"], 0.2);

  assert.deepEqual(Object.keys(made.hyperparameters), ["lr", "dense", "optimizer"]);
  assert.equal(made.hyperparameters.lr, 0.2);
  assert.equal(RAW.hyperparameters.lr, 0.1);
  assert.deepEqual(put(RAW, ["optimization", "space", "lr"], "uniform(0, 1)").optimization, { space: { lr: "uniform(0, 1)" } });
  assert.deepEqual(Object.keys(put(RAW, ["hyperparameters", "lr"], undefined).hyperparameters), ["dense", "optimizer"]);
});

test("a key is renamed and moved at its place, and never onto a name that is taken", () => {
  assert.deepEqual(Object.keys(rename(RAW, ["hyperparameters", "lr"], "rate").hyperparameters), ["rate", "dense", "optimizer"]);
  assert.equal(rename(RAW, ["hyperparameters", "lr"], "dense"), RAW);
  assert.equal(rename(RAW, ["hyperparameters", "lr"], ""), RAW);
  assert.deepEqual(Object.keys(move(RAW, ["hyperparameters", "optimizer"], 0).hyperparameters), ["optimizer", "lr", "dense"]);
  assert.equal(fresh({ a: 1, a2: 1 }, "a"), "a3");
});

test("the short form and the long one say the same", () => {
  for (const node of [0.1, 3, true, "text", { a: 1 }]) assert.deepEqual(short(full(node)), node);
  assert.deepEqual(full({ a: 1 }), { type: "group", children: { a: 1 } });
  assert.deepEqual(short({ type: "number", default: 3, integer: false }), { type: "number", default: 3, integer: false });
});

test("another type keeps what it has room for", () => {
  assert.deepEqual(as({ type: "choice_string", choices: ["1", "2"] }, "choice_number"), { type: "choice_number", choices: [1, 2] });
  assert.deepEqual(as({ a: 1 }, "choice_group"), { type: "choice_group", choices: { a: { a: 1 } } });
  assert.deepEqual(as({ type: "number", default: 0.5, description: "rate" }, "string"), { type: "string", default: "0.5", description: "rate" });
});

test("everything that can be searched is named by its full path", () => {
  assert.deepEqual(searchable(RAW.hyperparameters).map(({ path }) => path), ["lr", "dense", "dense.neurons", "optimizer", "optimizer.sgd.lr", "optimizer.adam.lr"]);
});

test("an expression is read and written back as it was", () => {
  for (const text of ["loguniform(1e-4, 1)", "range(16, 128, 16)", "choice", "choice(relu, gelu)", "pchoice(relu=0.7, gelu=0.3)", "on_off", "normal(0, 1)", 'choice("a b", c)']) {
    const again = writeExpression(parseExpression(text));
    assert.equal(again.replace("0.0001", "1e-4"), text);
  }
  assert.equal(writeExpression(parseExpression({ loguniform: { low: 0.1, high: 1 } })), "loguniform(0.1, 1)");
  assert.equal(writeExpression(parseExpression({ uniform: [0, 1] })), "uniform(0, 1)");
  assert.equal(writeExpression(parseExpression("randint(10)")), "randint(high=10)");
  assert.equal(parseExpression("what is this").text, "what is this");
});

test("a first guess has every argument of its expression, for every expression", () => {
  for (const name of Object.keys(SIGNATURES)) {
    const one = { type: "number", node: { default: 32 } };
    const made = guess(name, one);
    assert.deepEqual(Object.keys(made.args), SIGNATURES[name]);
    assert.ok(Object.values(made.args).every(Number.isFinite), name);
  }
  assert.ok(fitting({ type: "number", node: { default: 32 } }).includes("uniformint"));
  assert.ok(!fitting({ type: "number", node: { default: 32 } }).includes("uniform"));
  assert.deepEqual(fitting({ type: "boolean", node: {} }), ["on_off"]);
});
