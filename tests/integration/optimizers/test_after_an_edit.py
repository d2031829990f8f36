"""A space is edited while it is searched: the asks that follow are those of `fmin` over the new space, told the old
trials by value."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.optimizers.by_fmin import algorithms, values_of_fmin

from bough.definition import Space, parse
from bough_server.optimizers.base import Outcome, Value
from bough_server.optimizers.hyperopt_space import drawn_in
from bough_server.optimizers.registry import ALGORITHMS
from bough_server.optimizers.seeds import seed_of_ask

pytestmark = pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning")
SEED, INITIAL_RANDOM, BEFORE, AFTER = 11, 8, 24, 20
HYPERPARAMETERS: dict[str, Any] = {
    "rate": 0.1,
    "steps": 5,
    "spare": 0.5,
    "act": {"type": "choice_string", "choices": ["new", "relu", "tanh", "gelu"], "default": "relu"},
    "dense": {"type": "group", "optional": True, "children": {"dropout": 0.2}},
    "opt": {
        "type": "choice_group",
        "default": "sgd",
        "choices": {"lion": {"beta": 0.9}, "sgd": {"lr": 0.01}, "adam": {"lr": 0.001}},
    },
}
LINES = {
    "rate": "uniform(0, 1)",
    "steps": "range(1, 9, 2)",
    "act": "choice(relu, tanh)",
    "dense": "on_off",
    "dense.dropout": "uniform(0, 0.5)",
    "opt": "choice(sgd, adam)",
    "opt.sgd.lr": "loguniform(1e-4, 1)",
    "opt.adam.lr": "loguniform(1e-5, 0.1)",
}
# What changes in the lines of the space, what is fixed, and how many of the 24 trials before still fit at most.
EDITS: dict[str, tuple[dict[str, str | None], dict[str, Any], int]] = {
    "wider bounds": ({"rate": "uniform(-1, 2)", "steps": "range(1, 21, 2)"}, {}, 24),
    "narrower bounds": ({"rate": "uniform(0.2, 0.8)", "opt.sgd.lr": "loguniform(1e-3, 1)"}, {}, 20),
    "a new category in front": ({"act": "choice(new, relu, tanh)"}, {}, 24),
    "a category gone": ({"act": "choice(tanh)"}, {}, 20),
    "a new branch": ({"opt": "choice(lion, sgd, adam)", "opt.lion.beta": "uniform(0.5, 1)"}, {}, 24),
    "a new parameter": ({"spare": "uniform(0, 1)"}, {}, 24),
    "a parameter dropped": ({"steps": None}, {}, 24),
    "a parameter freed": ({"spare": "quniform(0, 1, 0.25)", "steps": "range(1, 9, 1)"}, {}, 24),
    "a parameter fixed": ({}, {"rate": 0.25}, 24),
    "a choice fixed": ({}, {"opt": "adam"}, 20),
    "a group fixed": ({}, {"dense": True}, 20),
}


def space_of(changes: dict[str, str | None], fixed: dict[str, Any]) -> Space:
    lines = {path: line for path, line in {**LINES, **changes}.items() if line is not None}
    told = {"hyperparameters": HYPERPARAMETERS, "optimization": {"space": lines}}
    space = parse({"model": "a/b", "command": "x", **told}).space
    return space.fix_all(fixed) if fixed else space


def loss(values: Any) -> float | None:
    if values["steps"] == 5:
        return None
    lr = values.get("opt.sgd.lr") or values.get("opt.adam.lr") or 0.5
    return float((values["rate"] - 0.3) ** 2 + lr + values.get("dense.dropout", 0.3) + (values["act"] == "relu"))


def asked(algorithm: str, space: Space, history: list[Outcome], count: int) -> list[Outcome]:
    """Return the history with ``count`` more outcomes; the optimizer is made anew before each."""
    history = list(history)
    for number in range(len(history), len(history) + count):
        optimizer = ALGORITHMS[algorithm](space, INITIAL_RANDOM)
        values = space.complete(optimizer.ask(history, number, seed_of_ask(SEED, number)))
        history.append(Outcome(number, values, loss(values)))
    return history


@pytest.mark.parametrize("algorithm", ["random", "tpe", "annealing"])
@pytest.mark.parametrize("edit", EDITS)
def test_twenty_asks_after_an_edit_are_those_of_fmin(edit: str, algorithm: str) -> None:
    changes, fixed, most = EDITS[edit]
    before = asked(algorithm, space_of({}, {}), [], BEFORE)
    space = space_of(changes, fixed)
    fitting = sum(drawn_in(space, outcome.values) is not None for outcome in before)
    assert 3 <= fitting <= most
    assert fitting == BEFORE or most < BEFORE

    after = asked(algorithm, space, before, AFTER)[BEFORE:]

    expected = values_of_fmin(space, algorithms(0)[algorithm], loss, SEED, AFTER, before)
    assert [outcome.values for outcome in after] == expected


def test_what_fits_no_more_says_why() -> None:
    """The very rule by which a trial stays in the history or not."""
    values: dict[str, Value] = {"rate": 0.5, "steps": 3, "spare": 0.5, "act": "relu", "dense": False}
    values |= {"opt": "sgd", "opt.sgd.lr": 0.01}

    assert space_of({}, {}).misfit(values) is None
    assert space_of({}, {"rate": 0.25}).misfit(values) is None
    assert space_of({"rate": "uniform(0.6, 1)"}, {}).misfit(values) == "rate = 0.5 is not in uniform(0.6, 1)"
    assert space_of({"act": "choice(tanh)"}, {}).misfit(values) == "act = relu is not in choice(tanh)"
    assert space_of({}, {"opt": "adam"}).misfit(values) == "opt.adam.lr is not active in it"
    assert space_of({}, {"dense": True}).misfit(values) == "dense.dropout is not active in it"
