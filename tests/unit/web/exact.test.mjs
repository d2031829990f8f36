import assert from "node:assert/strict";
import { test } from "node:test";
import { Decimal, jsonOf, numberOf } from "../../../server/bough_server/web/app/decimal.js";
import { readExactly } from "../../../server/bough_server/web/app/exact.js";

const decimal = (value) => ({ type: "number", integer: false, default: value });

test("a decimal hyperparameter stays one although its default is whole", () => {
  const text = `{"id": "a 1.0", "at": 3.0, "definition": {"model": "me/x", "hyperparameters": {"x": 0.0, "y": 3, "z": -2.00, "w": 1.5, "s": "1.0\\" 2.0",
    "g": {"a": 1.0, "b": {"type": "number", "default": 2.0, "description": "d"}, "c": {"type": "number", "default": 4.0, "integer": true}},
    "o": {"type": "group", "optional": true, "children": {"d": 5.0}},
    "p": {"type": "choice_group", "choices": {"sgd": {"lr": 1.0}, "adam": {"type": "group", "children": {"beta": 1.0}}, "none": null}},
    "q": {"type": "choice_number", "choices": [1.0, 2.5]}}, "optimization": {"max_epochs": 10.0, "space": {"x": "uniform(0.0, 1.0)"}}}}`;

  const { id, at, definition } = readExactly(text);

  assert.deepEqual([id, at], ["a 1.0", 3]);
  assert.deepEqual(definition.hyperparameters, {
    x: decimal(0), y: 3, z: decimal(-2), w: 1.5, s: '1.0" 2.0',
    g: { a: decimal(1), b: { ...decimal(2), description: "d" }, c: { type: "number", default: 4, integer: true } },
    o: { type: "group", optional: true, children: { d: decimal(5) } },
    p: { type: "choice_group", choices: { sgd: { lr: decimal(1) }, adam: { type: "group", children: { beta: decimal(1) } }, none: null } },
    q: { type: "choice_number", choices: [new Decimal("1.0"), 2.5] },
  });
  assert.deepEqual(definition.optimization, { max_epochs: new Decimal("10.0"), space: { x: "uniform(0.0, 1.0)" } });
});

test("what is no definition is read as any JSON", () => {
  for (const text of ["null", "[1.0, 2]", '{"definition": null}', '{"a": {"b": [1.0e3, 1.05, "x"]}}']) assert.deepEqual(readExactly(text), JSON.parse(text));
});

test("a definition is sent as it came, whatever of it is a decimal", () => {
  const text = '{"definition":{"env":{"A":1.0,"B":2},"hyperparameters":{"q":{"type":"choice_number","choices":[1.0,2.5,-3.0,4,1e16],"default":1.0}},"optimization":{"pruning":{"asha":{"eta":3.0}},"space":{"q":{"pchoice":[1.0]}}}},"fixed":{"q":1.0}}';

  assert.equal(jsonOf(readExactly(text)), text);
});

test("what is typed is the number that it looks like", () => {
  assert.equal(jsonOf(["1.0", "2.", "3", "1e3", "0.5", "-4.0"].map(numberOf)), "[1.0,2.0,3,1000,0.5,-4.0]");
  assert.ok([numberOf(""), numberOf("x")].every(Number.isNaN));
});
