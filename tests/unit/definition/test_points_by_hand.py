"""Points set by hand, and whether a space could have drawn values."""

from __future__ import annotations

from typing import Any

import pytest

from bough.definition import Space, parse

TREE = {
    "lr": 0.1,
    "act": {"type": "choice_string", "choices": ["relu", "tanh", "gelu"], "default": "relu"},
    "dense": {"type": "group", "optional": True, "children": {"rate": 0.5}},
    "opt": {"type": "choice_group", "default": "sgd", "choices": {"sgd": {"m": 0.9}, "adam": {}}},
}


def space_of(**searched: Any) -> Space:
    written = {"model": "a/b", "command": "x", "hyperparameters": TREE, "optimization": {"space": searched}}
    return parse(written).space


def test_a_point_is_completed_by_what_is_fixed_and_by_defaults() -> None:
    space = space_of(lr="uniform(0, 1)", opt="choice").fix("dense", False)

    assert space.point({"lr": "0.3"}) == {"lr": 0.3, "act": "relu", "dense": False, "opt": "sgd", "opt.sgd.m": 0.9}
    assert space.point({"dense": "true"})["dense.rate"] == 0.5


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"lr": 0.3, "act": "gelu"}, None),
        ({}, None),  # what an earlier version did not have is as the default
        ({"lr": 3, "act": "gelu"}, "lr = 3 is not in uniform(0, 1)"),
        ({"act": "tanh"}, "act = tanh is not in choice(relu, gelu)"),
        ({"opt": "rmsprop"}, "there is no choice rmsprop any more"),
        ({"dense": True, "dense.rate": 0.7}, "dense.rate = 0.7 is not in range(0.25, 0.5, 0.25)"),
        ({"dense": False, "dense.rate": 0.7}, None),  # not active
        ({"opt": "adam", "gone": 1}, None),  # not searched here
    ],
)
def test_why_a_space_could_not_have_drawn_values(values: dict[str, Any], why: str | None) -> None:
    searched = {"lr": "uniform(0, 1)", "act": "choice(relu, gelu)", "dense": "on_off"}
    space = space_of(**searched, **{"dense.rate": "range(0.25, 0.5, 0.25)"})

    assert space.misfit(values) == why
