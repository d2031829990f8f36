"""What `quality.py` searches: five objectives with their spaces, and the same spaces for Optuna used directly.

Each loss is lower the better. branin, hartmann6 and ackley10 are as in Surjanovic & Bingham, "Virtual Library of
Simulation Experiments" (sfu.ca/~ssurjano), with their known minima 0.397887, -3.32237 and 0.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bough.definition import Space, parse

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """An objective over flat values, its hyperparameters and its space as in bough.yml."""

    name: str
    hyperparameters: dict[str, Any]
    lines: dict[str, str]
    loss: Callable[[Values], float]

    def space(self, algorithm: str = "random") -> Space:
        """Return what bough searches; a `DefinitionError` says what that algorithm cannot."""
        optimization = {"space": self.lines, "algorithm": algorithm}
        told = {"hyperparameters": self.hyperparameters, "optimization": optimization}
        return parse({"model": "bench/quality", "command": "x", **told}).space


def branin(v: Values) -> float:
    """Return the Branin-Hoo function; three minima of 0.397887."""
    x, y = v["x"], v["y"]
    a = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(a**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(v: Values) -> float:
    """Return the six-dimensional Hartmann function; minimum -3.32237."""
    x = np.array([v[f"x{i}"] for i in range(6)])
    return -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-(_A * (x - _P) ** 2).sum(axis=1)))


def ackley10(v: Values) -> float:
    """Return the ten-dimensional Ackley function; minimum 0."""
    x = np.array([v[f"x{i}"] for i in range(10)])
    hill = -20 * math.exp(-0.2 * math.sqrt(float((x**2).mean())))
    return hill - math.exp(float(np.cos(2 * math.pi * x).mean())) + 20 + math.e


def conditional(v: Values) -> float:
    """Return an invented loss of a network whose optimizer and optional layer have settings of their own; minimum 0."""
    if v["optimizer"] == "sgd":
        found = (
            0.02 + 0.15 * abs(math.log10(v["optimizer.sgd.lr"]) + 1.2) + 0.4 * (v["optimizer.sgd.momentum"] - 0.9) ** 2
        )
    else:
        found = 0.25 * abs(math.log10(v["optimizer.adam.lr"]) + 3) + 0.3 * (v["optimizer.adam.beta"] - 0.95) ** 2
    found += 0.3 * (v["dense.dropout"] - 0.2) ** 2 + abs(v["dense.neurons"] - 96) / 800 if v["dense"] else 0.1
    return float(found + 0.05 * (math.log2(v["batch"]) - 6) ** 2)


def svr(v: Values) -> float:
    """Return the cross-validated error of a support vector regression on scikit-learn's diabetes data."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.svm import SVR

    data, target = _diabetes()
    kernel = v["kernel"]
    more = {
        name: v[f"kernel.{kernel}.{name}"] for name in ("gamma", "degree", "coef0") if f"kernel.{kernel}.{name}" in v
    }
    model = SVR(kernel=kernel, C=v["c"], epsilon=v["epsilon"], max_iter=20000, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        folds = KFold(3, shuffle=True, random_state=0)
        scores = cross_val_score(model, data, target, cv=folds, scoring="neg_root_mean_squared_error")
    return -float(scores.mean())


@cache
def _diabetes() -> tuple[Any, Any]:
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import StandardScaler

    data, target = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(data), target


_KERNELS = {"rbf": {"gamma": 0.1}, "poly": {"gamma": 0.1, "degree": 2, "coef0": 0.0}, "linear": {}}
_OPTIMIZERS = {"sgd": {"lr": 0.1, "momentum": 0.5}, "adam": {"lr": 0.01, "beta": 0.9}}
_CHILDREN = {"neurons": 64, "dropout": 0.1}

PROBLEMS = [
    Problem("branin", {"x": 0.5, "y": 0.5}, {"x": "uniform(-5, 10)", "y": "uniform(0, 15)"}, branin),
    Problem("hartmann6", {f"x{i}": 0.5 for i in range(6)}, {f"x{i}": "uniform(0, 1)" for i in range(6)}, hartmann6),
    Problem(
        "ackley10",
        {f"x{i}": 0.5 for i in range(10)},
        {f"x{i}": "uniform(-32.768, 32.768)" for i in range(10)},
        ackley10,
    ),
    Problem(
        "conditional",
        {
            "batch": 32,
            "optimizer": {"type": "choice_group", "default": "sgd", "choices": _OPTIMIZERS},
            "dense": {"type": "group", "optional": True, "children": _CHILDREN},
        },
        {
            "batch": "range(16, 128, 16)",
            "optimizer": "choice",
            "optimizer.sgd.lr": "loguniform(1e-4, 1)",
            "optimizer.sgd.momentum": "uniform(0, 0.99)",
            "optimizer.adam.lr": "loguniform(1e-5, 0.1)",
            "optimizer.adam.beta": "uniform(0.5, 0.999)",
            "dense": "on_off",
            "dense.neurons": "range(16, 256, 16)",
            "dense.dropout": "uniform(0, 0.5)",
        },
        conditional,
    ),
    Problem(
        "svr",
        {"c": 1.0, "epsilon": 0.1, "kernel": {"type": "choice_group", "default": "rbf", "choices": _KERNELS}},
        {
            "c": "loguniform(0.01, 10000)",
            "epsilon": "loguniform(0.01, 100)",
            "kernel": "choice",
            "kernel.rbf.gamma": "loguniform(0.0001, 10)",
            "kernel.poly.gamma": "loguniform(0.0001, 1)",
            "kernel.poly.degree": "range(2, 4, 1)",
            "kernel.poly.coef0": "uniform(0, 2)",
        },
        svr,
    ),
]
