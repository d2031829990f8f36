"""Importance against decompositions of the variance that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from bough.definition import Space, parse
from bough_server.optimizers import random_search
from bough_server.optimizers.base import Outcome
from bough_server.optimizers.forest import Boxes
from bough_server.optimizers.importance import importance
from bough_server.optimizers.seeds import seed_of_ask
from bough_server.optimizers.unit_scale import cells, place

Loss = Callable[[Mapping[str, Any]], float | None]
XYZ = {"x": 0.5, "y": 0.5, "z": 0.5}
BRANCHES = {"o": {"type": "choice_group", "choices": {"a": {"u": 0.5}, "b": {"w": 0.5}}}, "z": 0.5}


def space_of(hyperparameters: dict[str, Any], lines: dict[str, str]) -> Space:
    told = {"hyperparameters": hyperparameters, "optimization": {"space": lines}}
    return parse({"model": "a/b", "command": "x", **told}).space


def history_of(space: Space, loss: Loss, count: int) -> list[Outcome]:
    optimizer = random_search.make(space, 0)
    drawn = [space.complete(optimizer.ask((), i, seed_of_ask(1, i))) for i in range(count)]
    return [Outcome(i, values, loss(values)) for i, values in enumerate(drawn)]


def shares(found: dict[str, Any]) -> dict[str, float]:
    return {one["path"]: one["importance"] for one in found["parameters"]}


def pairs(found: dict[str, Any]) -> dict[frozenset[str], float]:
    return {frozenset(one["paths"]): one["importance"] for one in found["interactions"]}


def test_an_additive_function() -> None:
    """4x + 2y + z over the unit cube: shares 16, 4 and 1 of 21, and no interaction."""
    space = space_of(XYZ, dict.fromkeys("xyz", "uniform(0, 1)"))

    found = importance(space, history_of(space, lambda v: 4 * v["x"] + 2 * v["y"] + v["z"], 500))

    assert shares(found) == pytest.approx({"x": 16 / 21, "y": 4 / 21, "z": 1 / 21}, abs=0.04)
    assert [one["path"] for one in found["parameters"]] == ["x", "y", "z"]
    assert max(pairs(found).values()) < 0.03
    assert found["explained"] > 0.9
    assert found["warnings"] == []


def test_a_product_has_an_interaction() -> None:
    """x·y over the unit square: 3/7 each, and 1/7 together."""
    space = space_of({"x": 0.5, "y": 0.5}, dict.fromkeys("xy", "uniform(0, 1)"))

    found = importance(space, history_of(space, lambda v: v["x"] * v["y"], 500))

    assert shares(found) == pytest.approx({"x": 3 / 7, "y": 3 / 7}, abs=0.04)
    assert pairs(found)[frozenset("xy")] == pytest.approx(1 / 7, abs=0.04)


def test_the_ishigami_function() -> None:
    """Ishigami & Homma 1990, a = 7, b = 0.1: 0.3139, 0.4424, 0; x and z together 0.2437. A forest smooths the waves."""
    space = space_of(XYZ, dict.fromkeys("xyz", f"uniform({-math.pi}, {math.pi})"))

    def loss(v: Mapping[str, Any]) -> float:
        return float(math.sin(v["x"]) * (1 + 0.1 * v["z"] ** 4) + 7 * math.sin(v["y"]) ** 2)

    found = importance(space, history_of(space, loss, 2000))

    assert shares(found) == pytest.approx({"x": 0.3139, "y": 0.4424, "z": 0.0}, abs=0.09)
    assert pairs(found)[frozenset("xz")] == pytest.approx(0.2437, abs=0.04)
    assert max(one for pair, one in pairs(found).items() if pair != frozenset("xz")) < 0.06


def test_the_measure_is_that_of_the_space() -> None:
    """log10 of a loguniform is uniform, a range has equal cells, and a category counts as often as it is drawn."""
    hyperparameters = {"lr": 0.1, "n": 1, "act": {"type": "choice_string", "choices": ["a", "b"]}}
    lines = {"lr": "loguniform(0.0001, 1)", "n": "range(0, 9, 1)", "act": "pchoice(a=0.9, b=0.1)"}
    space = space_of(hyperparameters, lines)

    def loss(v: Mapping[str, Any]) -> float:
        return float(math.log10(v["lr"]) + 0.4 * v["n"] + 5 * (v["act"] == "b"))

    variances = {"lr": 16 / 12, "n": 0.16 * 99 / 12, "act": 25 * 0.09}
    whole = sum(variances.values())
    found = importance(space, history_of(space, loss, 800))

    assert shares(found) == pytest.approx({path: one / whole for path, one in variances.items()}, abs=0.05)


def test_a_conditional_hyperparameter_counts_where_it_is_active_and_its_group_keeps_the_choice() -> None:
    """2u in one branch, 1 + 4w in the other: Var(2u)/2, Var(4w)/2, and the choice the difference of the means."""
    space = space_of(BRANCHES, {"o": "choice", **dict.fromkeys(["o.a.u", "o.b.w", "z"], "uniform(0, 1)")})

    def loss(v: Mapping[str, Any]) -> float:
        return float(2 * v["o.a.u"] if v["o"] == "a" else 1 + 4 * v["o.b.w"])

    variances = {"o.a.u": 4 / 12 / 2, "o.b.w": 16 / 12 / 2, "o": 0.25 * (3 - 1) ** 2, "z": 0.0}
    whole = sum(variances.values())
    found = importance(space, history_of(space, loss, 500))

    assert shares(found) == pytest.approx({path: one / whole for path, one in variances.items()}, abs=0.04)
    given = {one["path"]: one["given"] for one in found["parameters"]}
    assert given == {"o": [], "o.a.u": ["o"], "o.b.w": ["o"], "z": []}


def test_what_is_never_looked_at_has_no_importance_even_if_seldom_active() -> None:
    """The child of a group that is off half of the time must not inherit the importance of the group."""
    hyperparameters = {"d": {"type": "group", "optional": True, "children": {"p": 0.5}}, "x": 0.5}
    space = space_of(hyperparameters, {"d": "on_off", "d.p": "uniform(0, 1)", "x": "uniform(0, 1)"})

    found = importance(space, history_of(space, lambda v: 3.0 * v["d"] + v["x"], 400))

    whole = 9 / 4 + 1 / 12
    assert shares(found) == pytest.approx({"d": 9 / 4 / whole, "x": 1 / 12 / whole, "d.p": 0.0}, abs=0.02)


def test_failures_are_left_out_and_the_figures_are_the_same_each_time() -> None:
    space = space_of(XYZ, dict.fromkeys("xyz", "uniform(0, 1)"))

    history = history_of(space, lambda v: None if v["z"] > 0.8 else math.nan if v["z"] > 0.7 else v["x"], 200)
    found = importance(space, history)

    assert found["failed"] == sum(one.loss is None or math.isnan(one.loss) for one in history) > 20
    assert found["trials"] == 200 - found["failed"]
    assert shares(found)["x"] > 0.9
    assert importance(space, history) == found


@pytest.mark.parametrize(
    ("lines", "loss", "count", "reason"),
    [
        ({"x": "uniform(0, 1)"}, 1.0, 9, "9 trials have a result, and importance takes at least 10."),
        ({"x": "uniform(0, 1)"}, 1.0, 1, "1 trial has a result, and importance takes at least 10."),
        ({"x": "uniform(0, 1)"}, 1.0, 20, "all 20 trials have the same KPI: nothing makes a difference."),
        ({"x": "choice(1.0)"}, None, 20, "the space has one point: nothing can make a difference."),
        ({"x": "uniform(0, 1)"}, math.inf, 20, "0 trials have a result, and importance takes at least 10."),
    ],
    ids=["nine", "one", "constant", "one-point", "infinite"],
)
def test_where_nothing_can_be_said_it_is_said_why(
    lines: dict[str, str], loss: float | None, count: int, reason: str
) -> None:
    space = space_of({"x": 0.5}, lines)
    values = space.complete({"x": 1.0})

    found = importance(space, [Outcome(i, values, float(i) if loss is None else loss) for i in range(count)])

    assert found["reason"] == reason
    assert (found["parameters"], found["interactions"], found["explained"]) == ([], [], None)


def test_few_trials_and_noise_are_warned_of() -> None:
    space = space_of(XYZ, dict.fromkeys("xyz", "uniform(0, 1)"))
    rng = np.random.default_rng(3)

    found = importance(space, history_of(space, lambda v: float(rng.normal()), 12))

    assert found["warnings"][0] == "12 trials are few for 3 hyperparameters: take the figures as hints."
    assert "of the variance between trials: the figures are rough." in found["warnings"][1]


def test_trials_that_do_not_fit_the_space_any_more_are_left_out() -> None:
    old = space_of(XYZ, dict.fromkeys("xyz", "uniform(0, 1)"))
    new = space_of(XYZ, {"x": "uniform(0, 0.5)", "y": "uniform(0, 1)"})

    found = importance(new, history_of(old, lambda v: v["x"], 100))

    assert found["left_out"] > 30
    assert found["trials"] + found["left_out"] == 100


def test_the_variance_of_a_marginal_is_that_of_the_definition() -> None:
    """Two boxes over the square, cut at x = 1/4: the marginal over x is the function itself, over y it is flat."""
    two = Boxes(np.array([[0.0, 0.0], [0.25, 0.0]]), np.array([[0.25, 1.0], [1.0, 1.0]]), np.array([4.0, 0.0]))

    assert two.mean == 1.0
    assert two.variance == 0.25 * 9 + 0.75 * 1
    assert two.closed_variance([0]) == two.variance == two.closed_variance([0, 1]) == two.closed_variance([1, 0])
    assert two.closed_variance([1]) == 0.0


@pytest.mark.parametrize(
    ("written", "value", "where"),
    [
        ("uniform(2, 4)", 2.5, 0.25),
        ("loguniform(0.01, 1)", 0.1, 0.5),
        ("normal(3, 2)", 3.0, 0.5),
        ("lognormal(0, 1)", 1.0, 0.5),
        ("quniform(0, 10, 1)", 5.0, 0.5),
        ("qloguniform(1, 100, 1)", 10.0, 0.5),
        ("range(1, 4, 1)", 1.0, 0.125),
        ("choice(1, 2)", 2, 0.75),
    ],
)
def test_places_on_the_unit_scale(written: str, value: float, where: float) -> None:
    expression = space_of({"x": 0.5}, {"x": written}).searched["x"]

    assert place(expression, value) == pytest.approx(where, abs=0.001)
    edges = cells(expression)
    assert (edges is None) == (expression.count is None)
