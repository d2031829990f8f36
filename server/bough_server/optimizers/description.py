"""A space as a person checks it: the hyperopt expression that it becomes, as text, and samples of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from bough.definition import Space
from bough.definition.outline import outline
from bough_server.optimizers import random_search
from bough_server.optimizers.base import Value
from bough_server.optimizers.hyperopt_space import hyperopt_space
from bough_server.optimizers.seeds import seed_of_ask

_WIDTH = 100


@dataclass(frozen=True)
class Call:
    """A call that is written down instead of made."""

    name: str
    args: tuple[Any, ...]


class _Words:
    """Stands for `hyperopt.hp`: each of its functions gives a `Call`."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: Call(f"hp.{name}", args)


def describe(space: Space, seed: int, count: int) -> dict[str, Any]:
    """Return ``{"tree", "hyperopt", "seed", "samples"}``: `outline`, `expression` and `samples` of a space."""
    shown = {"tree": outline(space), "hyperopt": expression(space)}
    return {**shown, "seed": seed, "samples": samples(space, seed, count)}


def expression(space: Space) -> str:
    """Return Python text that, with ``from hyperopt import hp``, is the very space that the optimizers search."""
    return written(hyperopt_space(space, _Words()))


def samples(space: Space, seed: int, count: int) -> list[dict[str, Value]]:
    """Return complete flat values: the first ``count`` that random search would try with ``seed``."""
    optimizer = random_search.make(space, 0)
    return [space.complete(optimizer.ask((), number, seed_of_ask(seed, number))) for number in range(count)]


def written(value: Any, indent: int = 0) -> str:
    """Return calls, mappings, lists, pairs and plain values as Python text, broken into lines where it is long."""
    short = _text(value, indent, is_broken=False)
    return short if indent + len(short) <= _WIDTH else _text(value, indent, is_broken=True)


def _text(value: Any, indent: int, is_broken: bool) -> str:
    inner = partial(written, indent=indent + 4) if is_broken else partial(_text, indent=0, is_broken=False)
    if isinstance(value, Call):
        return f"{value.name}({', '.join(_text(one, indent, is_broken) for one in value.args)})"
    if isinstance(value, tuple):
        return f"({', '.join(inner(one) for one in value)})"
    if isinstance(value, dict):
        return _bracketed("{}", [f"{name!r}: {inner(one)}" for name, one in value.items()], indent, is_broken)
    if isinstance(value, list):
        return _bracketed("[]", [inner(one) for one in value], indent, is_broken)
    return repr(value)


def _bracketed(brackets: str, items: list[str], indent: int, is_broken: bool) -> str:
    if not is_broken or not items:
        return brackets[0] + ", ".join(items) + brackets[1]
    lines = "".join(f"{' ' * (indent + 4)}{item},\n" for item in items)
    return f"{brackets[0]}\n{lines}{' ' * indent}{brackets[1]}"
