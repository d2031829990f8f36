"""The grid is every combination once, conditional ones not multiplied by what is not active."""

from __future__ import annotations

import pytest

from bough.definition import Definition, parse
from bough_server.optimizers.base import OptimizerFailed
from bough_server.optimizers.registry import ALGORITHMS


def definition() -> Definition:
    return parse(
        {
            "model": "a/b",
            "command": "x",
            "hyperparameters": {
                "n": 3,
                "o": {"type": "choice_group", "choices": {"s": {"lr": 0.5, "m": 1}, "a": {"lr": 0.5}, "l": {}}},
                "d": {"type": "group", "optional": True, "children": {"p": 0.5}},
                "still": 7,
            },
            "optimization": {
                "algorithm": "grid",
                "max_trials": 1000,
                "space": {
                    "n": "uniformint(1, 2)",
                    "o": "choice",
                    "o.s.lr": "range(0.1, 0.3, 0.1)",
                    "o.s.m": "randint(2)",
                    "o.a.lr": "choice(0.5, 0.25)",
                    "d": "on_off",
                    "d.p": "range(0.5, 1, 0.5)",
                },
            },
        }
    )


def test_every_combination_comes_once_and_the_last_varies_fastest() -> None:
    space = definition().space
    optimizer = ALGORITHMS["grid"](space, 0)

    points = [optimizer.ask([], number, 0) for number in range(54)]

    assert len({tuple(sorted(point.items())) for point in points}) == 54  # 2 n, (3 * 2 + 2 + 1) o, (1 + 2) d
    assert points[0] == {"n": 1, "o": "s", "o.s.lr": 0.1, "o.s.m": 0, "d": False}
    assert points[1] == {"n": 1, "o": "s", "o.s.lr": 0.1, "o.s.m": 0, "d": True, "d.p": 0.5}
    assert points[-1] == {"n": 2, "o": "l", "d": True, "d.p": 1.0}
    with pytest.raises(OptimizerFailed, match=r"^the grid has 54 points, and all of them were tried\.$"):
        optimizer.ask([], 54, 0)


def test_the_optimization_ends_with_the_grid() -> None:
    whole = definition()
    fixed = definition()
    fixed.fix({"o": "a", "n": "2"})

    assert whole.settings.max_trials == 54
    assert fixed.settings.max_trials == 2 * 3
    assert whole.with_overrides({"max_trials": 10}).settings.max_trials == 10
