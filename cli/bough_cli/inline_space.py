"""A search space written in Python: each hyperparameter's type and default follow from its expression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bough.definition import parse
from bough.definition.expression_text import read_expression, split_expression
from bough.definition.expressions import Expression
from bough.definition.place import Place
from bough.definition.tree import read_tree
from bough.errors import DefinitionError, UsageError

SECTIONS = ("hyperparameters", "space")
_WHOLE = ("randint", "uniformint")


def sections(space: Any) -> dict[str, Any]:
    """Return the sections ``hyperparameters`` and ``space`` of a bough.yml for a space written in Python.

    Args:
        space: Name → expression (text or mapping with one key), or → dict of such, a group; or both sections.

    Raises:
        UsageError: It is empty, or no mapping.
        DefinitionError: An expression is wrong.
    """
    given: object = space
    if not isinstance(given, Mapping) or not space:
        raise UsageError("the space is empty, or no dict.", 'Give one such as {"lr": "loguniform(1e-4, 1)"}.')
    if set(SECTIONS) <= set(space):
        more = [str(name) for name in space if name not in SECTIONS]
        if more:
            raise UsageError(f"the space has {', '.join(more)} beside hyperparameters and space.", "Take it out.")
        return {name: dict(space[name]) for name in SECTIONS}
    lines: dict[str, Any] = {}
    return {"hyperparameters": _group(space, "", lines), "space": lines}


def _group(space: Mapping[str, Any], path: str, lines: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, written in space.items():
        full = f"{path}{name}"
        if isinstance(written, Mapping) and not _is_expression(written):
            found[name] = _group(written, f"{full}.", lines)
        else:
            found[name] = _declared(full, written)
            lines[full] = written
    return found


def _is_expression(written: Mapping[str, Any]) -> bool:
    """Tell ``{"uniform": {"low": 0, "high": 1}}`` from a group that has one child."""
    if len(written) != 1:
        return False
    ((name, arguments),) = written.items()
    return name in _NAMES and not isinstance(arguments, str)


_NAMES = {
    "range", "uniform", "quniform", "loguniform", "qloguniform", "normal", "qnormal", "lognormal", "qlognormal",
    "randint", "uniformint", "choice", "pchoice",
}  # fmt: skip


def _declared(path: str, written: Any) -> Any:
    """Return how a hyperparameter with this expression is declared."""
    tries: list[Any] = [1, 0.5, False]  # of whole numbers, of others, on or off
    for tried in tries:
        found = _read(path, written, tried)
        if found is None:
            continue
        if isinstance(tried, int) and not isinstance(tried, bool) and not _is_whole(found):
            continue
        return tried if found.options is None or isinstance(tried, bool) else _choice(found.options)
    texts = _texts(path, written)
    return _choice(texts)


def _is_whole(found: Expression) -> bool:
    """Tell whether all values are integers as written: range(1, 9, 2), not range(1.0, 9, 2)."""
    numbers = found.options if found.options is not None else list(found.args.values())
    return found.name in (*_WHOLE, "range", "choice", "pchoice") and all(type(one) is int for one in numbers)


def _choice(options: list[Any]) -> dict[str, Any]:
    kind = "choice_string" if isinstance(options[0], str) else "choice_number"
    return {"type": kind, "choices": list(options), "default": options[0]}


def _read(path: str, written: Any, default: Any) -> Expression | None:
    name = path.rpartition(".")[2]
    try:
        node = read_tree({name: default}, Place()).children[name]
        return read_expression(written, node, Place())
    except DefinitionError:
        return None


def _texts(path: str, written: Any) -> list[str]:
    """Return the names that a choice between texts has: read by giving it each name as it comes."""
    name = path.rpartition(".")[2]
    node = read_tree({name: 0.5}, Place()).children[name]
    kind, positional, named = split_expression(written, node, Place())
    if kind == "choice" and positional:
        return [str(one) for one in positional]
    if kind == "pchoice" and (named or positional):
        return [str(one) for one in named] or [str(pair[0]) for pair in positional]
    read_expression(written, node, Place())  # says what is wrong with it
    raise UsageError(f"the values of {path} cannot be told from {written!r}.", "Declare it under hyperparameters.")


def definition(sections: Mapping[str, Any], model: str, settings: Mapping[str, Any]) -> Any:
    """Return the whole definition, checked.

    Raises:
        DefinitionError: Something in it is wrong.
    """
    optimization = {**settings, "space": sections["space"]}
    told = {"model": model, "command": "python objective.py", "hyperparameters": sections["hyperparameters"]}
    return parse({**told, "optimization": optimization})
