"""What a replay compares, what is noted for it, and a space in the words of hyperopt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hyperopt import hp
from hyperopt.pyll import stochastic

from bough.definition import Space, parse
from bough.definition.outline import outline, words
from bough_server.optimizers import description
from bough_server.optimizers.hyperopt_space import hyperopt_space
from bough_server.optimizers.replay import first_difference
from bough_server.service.provenance import entry, noted

HYPERPARAMETERS = {
    "lr": 0.1,
    "layers": 2,
    "name": "a",
    "activation": {"type": "choice_string", "choices": ["relu", "tanh", "gelu"]},
    "dense": {"type": "group", "optional": True, "children": {"neurons": 64, "dropout": 0.2}},
    "plain": {"depth": 3, "wide": False},
    "optimizer": {
        "type": "choice_group",
        "choices": {
            "sgd": {"lr": 0.1, "kind": {"type": "choice_group", "choices": {"nesterov": {"m": 0.5}, "heavy": {}}}},
            "adam": {"beta": 0.9},
            "rms": {"rho": 0.9},
        },
    },
}
SPACE = {
    "lr": "loguniform(0.0001, 1)",
    "layers": "randint(5)",
    "activation": "pchoice(relu=0.7, gelu=0.3)",
    "dense": "on_off",
    "dense.dropout": "qnormal(0, 1, 0.5)",
    "plain.depth": "range(2, 10, 2)",
    "plain.wide": "on_off",
    "optimizer": "choice(sgd, adam)",
    "optimizer.sgd.lr": "qloguniform(1, 100, 2)",
    "optimizer.sgd.kind": "choice",
    "optimizer.sgd.kind.nesterov.m": "uniform(0, 1)",
    "optimizer.adam.beta": "lognormal(0, 1)",
}


def space() -> Space:
    section = {"space": SPACE}
    return parse({"model": "a/b", "command": "x", "hyperparameters": HYPERPARAMETERS, "optimization": section}).space


@pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning")
def test_the_expression_as_text_is_the_space_that_is_searched() -> None:
    text = description.expression(space())

    again = eval(text, {"hp": hp})
    for seed in range(20):
        drawn = [stochastic.sample(one, np.random.default_rng(seed)) for one in (again, hyperopt_space(space()))]
        assert drawn[0] == drawn[1]
    assert max(len(line) for line in text.splitlines()) <= 110


def test_the_samples_of_a_seed_are_always_the_same_and_those_of_random_search() -> None:
    drawn = description.samples(space(), 3, 10)

    assert drawn == description.samples(space(), 3, 10)
    assert drawn[:5] == description.samples(space(), 3, 5)
    assert drawn != description.samples(space(), 4, 10)
    assert {one["optimizer"] for one in drawn} == {"sgd", "adam"}


def nodes(tree: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for node in tree:
        found[node["path"]] = node
        for branch in node["branches"]:
            found.update(nodes(branch["children"]))
    return found


def test_the_tree_shows_what_is_searched_fixed_left_alone_and_never_there() -> None:
    fixed = space().fix("optimizer.sgd.kind", "heavy")

    tree = nodes(outline(fixed))

    assert list(tree) == [
        "lr", "layers", "name", "activation", "dense", "dense.neurons", "dense.dropout", "plain", "plain.depth",
        "plain.wide", "optimizer", "optimizer.sgd.lr", "optimizer.sgd.kind", "optimizer.sgd.kind.nesterov.m",
        "optimizer.adam.beta", "optimizer.rms.rho",
    ]  # fmt: skip
    searched = {path: node["search"] for path, node in tree.items() if node["search"]}
    assert searched == {
        **{path: written for path, written in SPACE.items() if not path.startswith("optimizer.sgd.kind")},
        "layers": "randint(0, 5)",
    }
    assert (tree["optimizer.sgd.kind"]["fixed"], tree["optimizer.sgd.kind"]["default"]) == ("heavy", "nesterov")
    assert [path for path, node in tree.items() if not node["active"]] == [
        "optimizer.sgd.kind.nesterov.m",
        "optimizer.rms.rho",
    ]
    assert [(one["name"], one["active"]) for one in tree["optimizer"]["branches"]] == [
        ("sgd", True),
        ("adam", True),
        ("rms", False),
    ]
    assert (tree["layers"]["integer"], tree["lr"]["default"], tree["plain"]["default"]) == (True, 0.1, None)


def test_an_expression_is_written_as_it_can_be_read() -> None:
    for path, expression in space().searched.items():
        section = {"space": {**SPACE, path: words(expression)}}
        whole = {"model": "a/b", "command": "x", "hyperparameters": HYPERPARAMETERS, "optimization": section}
        assert parse(whole).space.searched[path] == expression


def test_values_are_the_same_only_to_the_last_bit_and_type() -> None:
    assert first_difference({"a": 1, "b": 0.1}, {"b": 0.1, "a": 1}) is None
    assert first_difference({"a": 1, "b": 0.3}, {"a": 1, "b": 0.1 + 0.2}) == "b"
    assert first_difference({"a": 1}, {"a": 1.0}) == "a"
    assert first_difference({"a": 1}, {"a": True}) == "a"
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) == "b"


def test_what_asks_were_made_with_is_noted_when_it_changes() -> None:
    row = {"algorithm": "tpe", "seed": 1, "initial_random": 20, "space_version": 1}
    old, new = {"numpy": "1.26.4"}, {"numpy": "2.4.6"}

    entries = noted([], entry(row, 0, old))
    assert noted(entries, entry(row, 1, old)) == entries
    later = noted(entries, entry(row, 7, new))
    assert [(one["from_ask"], one["versions"]["numpy"]) for one in later] == [(0, "1.26.4"), (7, "2.4.6")]
    assert noted(later, entry(row, 7, old)) == entries, "ask 7 was thrown away and made anew with the old one"
    edited = noted(later, entry({**row, "space_version": 2}, 9, new))
    assert [one["space_version"] for one in edited] == [1, 1, 2]
