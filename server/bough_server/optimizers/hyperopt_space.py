"""The search space in hyperopt's words, and values in both directions.

A label is the full path of a hyperparameter. The expression is what one would write by hand: a dict per group by short
name, `hp.choice` over the groups of a choice group, `hp.choice` over off and on for an optional group. What hyperopt
stores for a choice is an index and for a `range` the position on the grid; outside this module there are only values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hyperopt import hp

from bough.definition import ChoiceGroup, Expression, Group, Parameter, Space
from bough_server.optimizers.base import Value

Node = Parameter | Group | ChoiceGroup


def hyperopt_space(space: Space, words: Any = hp) -> dict[str, Any]:
    """Return the space as an expression that `hyperopt.fmin` takes; `words` may stand for `hp`, to write it down."""
    return _children(space, space.root, words)


def _children(space: Space, group: Group, words: Any) -> dict[str, Any]:
    built = {name: _node(space, child, words) for name, child in group.children.items()}
    return {name: expression for name, expression in built.items() if expression is not None}


def _node(space: Space, node: Node, words: Any) -> Any:
    expression = space.searched.get(node.path)
    if expression is None:
        return _unsearched(space, node, words)
    if expression.options is None:
        return _number(node.path, expression, words)
    branches = [_branch(space, node, option, words) for option in expression.options]
    if expression.weights is not None:
        return words.pchoice(node.path, list(zip(expression.weights, branches, strict=True)))
    return words.choice(node.path, branches)


def _unsearched(space: Space, node: Node, words: Any) -> Any:
    """Return the searched part below a node that itself stays as it is; None when there is none."""
    if isinstance(node, Parameter):
        return None
    option = space.fixed.get(node.path, node.default) if node.path else True
    below = _branch(space, node, option, words)
    return below if isinstance(below, dict) and below else None


def _branch(space: Space, node: Node, option: Value, words: Any) -> Any:
    if isinstance(node, ChoiceGroup):
        return _children(space, node.choices[str(option)], words)
    if isinstance(node, Group):
        return _children(space, node, words) if option else {}
    return option


def _number(label: str, expression: Expression, words: Any) -> Any:
    name, args = expression.name, expression.args
    if name == "range":
        assert expression.count is not None
        return words.quniform(label, -0.5, expression.count - 0.5, 1)
    if name == "randint":
        return words.randint(label, args["low"], args["high"]) if args["low"] else words.randint(label, args["high"])
    if name in ("loguniform", "qloguniform"):
        args = {**args, "low": math.log(args["low"]), "high": math.log(args["high"])}
    return getattr(words, name)(label, *args.values())


# -- values ---------------------------------------------------------------------------------------------------
def value_of(expression: Expression, drawn: Any) -> Value:
    """Return the value that a number drawn by hyperopt stands for."""
    drawn = drawn.item() if hasattr(drawn, "item") else drawn
    if expression.options is not None:
        return expression.options[int(drawn)]
    if expression.name == "range":
        assert expression.count is not None
        return expression.at(min(max(round(drawn), 0), expression.count - 1))
    return expression.number(drawn)


def drawn_of(expression: Expression, value: Value) -> int | float:
    """Return what hyperopt would have drawn for a value that the expression contains."""
    if expression.options is not None or expression.name == "range":
        index = expression.index(value)
        assert index is not None, f"{value!r} is not in {expression!r}"
        return index if expression.options is not None else float(index)
    assert not isinstance(value, str)
    return int(value) if expression.name == "randint" else float(value)


def found_in(space: Space, vals: Mapping[str, Any]) -> dict[str, Value]:
    """Return the values in the `vals` of a hyperopt document: label → list of at most one drawn number."""
    return {path: value_of(expr, vals[path][0]) for path, expr in space.searched.items() if len(vals.get(path, ()))}


def drawn_in(space: Space, values: Mapping[str, Value]) -> dict[str, list[int | float]] | None:
    """Return the `vals` of a hyperopt document for values that were tried, perhaps in an earlier version of the space.

    Every label of this space is there, with an empty list where it is not active. What the earlier space did not have
    takes its fixed or default value; a choice is mapped by what was chosen, whatever its index was.

    Args:
        space: The space as it is now.
        values: Flat, complete and active, as a trial has them.

    Returns:
        None when this space could not have drawn them (`Space.misfit` says why): a bound or a choice has moved, or
        something that is fixed now was such that what is searched was not active.
    """
    drawn, misfit = space.drawn(values)
    if misfit is not None:
        return None
    searched = space.searched.items()
    return {path: [drawn_of(expression, drawn[path])] if path in drawn else [] for path, expression in searched}
