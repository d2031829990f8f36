"""Each searched hyperparameter on a scale of its own from 0 to 1 on which the space draws evenly.

There a space is a cube with independent, uniform coordinates, whatever its expressions are: what is said of parts of
the cube holds under the very distribution that is searched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bough.definition import Expression, Space
from bough_server.optimizers.base import Value

Array = NDArray[np.float64]


def place(expression: Expression, value: Value) -> float:
    """Return where a value is, 0 to 1: the share of draws below it, and of draws equal to it one half."""
    if expression.count is not None:
        edges, index = cells(expression), expression.index(value)
        assert edges is not None
        assert index is not None, f"{value!r} is not in {expression!r}"
        return float(edges[index] + edges[index + 1]) / 2
    assert not isinstance(value, str)
    half = expression.args["q"] / 2 if "q" in expression.args else 0.0
    return (_share_below(expression, value - half) + _share_below(expression, value + half)) / 2


def cells(expression: Expression) -> Array | None:
    """Return the edges of the cells of a finite expression's values, from 0 to 1, rising; None: there is no end."""
    if expression.count is None:
        return None
    weights = expression.weights if expression.weights is not None else [1.0] * expression.count
    shares: Any = np.concatenate([[0.0], np.cumsum(weights)])
    found: Array = shares / shares[-1]
    return found


def _share_below(expression: Expression, value: float) -> float:
    args, is_log = expression.args, "log" in expression.name
    if is_log:
        value = math.log(value) if value > 0 else -math.inf
    if "mu" in args:
        return float(ndtr((value - args["mu"]) / args["sigma"]))
    low, high = (math.log(args[name]) if is_log else args[name] for name in ("low", "high"))
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5


def places(space: Space, history: list[Mapping[str, Value]]) -> Array:
    """Return where the values of trials are, shape (trials, searched); nan where a hyperparameter is not active.

    Values that the space could not have drawn must not be among them (`Space.misfit`).
    """
    found = np.full((len(history), len(space.searched)), np.nan)
    for row, values in enumerate(history):
        for column, (path, expression) in enumerate(space.searched.items()):
            if path in values:
                found[row, column] = place(expression, values[path])
    return found
