"""The JSON schema says the same as `parse`, as far as a schema can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bough.definition import model, parse, schema, settings, tree
from bough.definition.expressions import SIGNATURES
from bough.errors import DefinitionError

jsonschema = pytest.importorskip("jsonschema")

GOOD: list[dict[str, Any]] = [
    {
        "model": "me/digits",
        "command": ["make", ["python", "train.py"]],
        "env": {"A": 1},
        "git": {"url": "x", "branch": "main"},
        "hyperparameters": {
            "batch_size": 32,
            "activation": {"type": "choice_string", "choices": ["relu", "tanh"], "default": "relu"},
            "dense": {"type": "group", "optional": True, "children": {"neurons": 64, "inner": {"x": 0.5}}},
            "optimizer": {"type": "choice_group", "choices": {"sgd": {"lr": 0.01}, "none": None}},
        },
        "optimization": {
            "algorithm": "tpe",
            "kpi": {"channel": "accuracy", "reduce": "mean(5)"},
            "max_time": "1h30m",
            "agents": "gpu1",
            "on_failure": {"stop_after": None},
            "pruning": {"asha": {"reduction": 4}},
            "space": {"batch_size": "range(16, 128, 16)", "dense.inner.x": {"uniform": {"low": 0, "high": 1}}},
        },
    },
    {"model": "a/b", "command": {"first": "x", "second": "y"}, "hyperparameters": None},
]
BAD: list[dict[str, Any]] = [
    {"command": "x"},
    {"model": "b", "command": "x"},
    {"model": "a/b", "command": []},
    {"model": "a/b", "command": "x", "hyperparametrs": {}},
    {"model": "a/b", "command": "x", "hyperparameters": {"a": {"type": "nummer", "default": 1}}},
    {"model": "a/b", "command": "x", "hyperparameters": {"a": {"type": "number"}}},
    {"model": "a/b", "command": "x", "hyperparameters": {"a.b": 1}},
    {"model": "a/b", "command": "x", "hyperparameters": {"a": [1]}},
    {"model": "a/b", "command": "x", "optimization": {"space": {}}},
    {
        "model": "a/b",
        "command": "x",
        "hyperparameters": {"a": 0.5},
        "optimization": {"space": {"a": "uniformly(0, 1)"}},
    },
    *(
        {
            "model": "a/b",
            "command": "x",
            "hyperparameters": {"a": 0.5},
            "optimization": {"space": {"a": "uniform(0, 1)"}, **wrong},
        }
        for wrong in (
            {"max_time": 10},
            {"max_time": "10"},
            {"max_trials": 0},
            {"algorithm": "tpa"},
            {"kpi": {"reduce": "mean"}},
            {"pruning": "mean"},
            {"pruning": {"median": {"min_trials": 0}}},
            {"pruning": 1},
        )
    ),
]


@pytest.mark.parametrize("definition", GOOD)
def test_what_parses_fits_the_schema(definition: dict[str, Any]) -> None:
    parse(definition)

    jsonschema.Draft202012Validator(schema()).validate(definition)


@pytest.mark.parametrize("definition", BAD)
def test_what_the_schema_refuses_is_refused_by_parse_as_well(definition: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(schema()).is_valid(definition)
    with pytest.raises(DefinitionError):
        parse(definition)


def test_schema_and_parse_know_the_same_keys() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(schema())))
    top = schema()["properties"]

    assert set(top) == set(model.KEYS)
    assert set(top["optimization"]["anyOf"][1]["properties"]) == set(settings.KEYS)
    forms = schema()["$defs"]["hyperparameter"]["anyOf"][2:]
    assert {form["properties"]["type"]["const"]: set(form["properties"]) for form in forms} == {
        kind: set(keys) for kind, keys in tree.KEYS.items()
    }
    expression = top["optimization"]["anyOf"][1]["properties"]["space"]["additionalProperties"]["anyOf"][1]
    assert set(expression["properties"]) == set(SIGNATURES)
