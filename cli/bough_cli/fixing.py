"""Turns ``-p name=value`` into typed values by what bough.yml declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bough.definition import Definition


def fixed_values(definition: Definition, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the given values in their declared types, also those under a choice that is not the default one.

    Raises:
        UsageError: A name is unknown, or a value is of another type or no choice.
    """
    values = definition.values(dict(given))
    return {name: values[name] if name in values else _under_its_choice(definition, name, given) for name in given}


def _under_its_choice(definition: Definition, name: str, given: Mapping[str, object]) -> Any:
    """Take the choices that lead to ``name``, so that it is active, and read it there."""
    from bough.definition.tree import walk

    path: dict[str, object] = {}
    for node in walk(definition.hyperparameters):
        if name.startswith(node.path + "."):
            rest = name[len(node.path) + 1 :]
            path[node.path] = rest.split(".")[0] if node.kind == "choice_group" else True
    return definition.values({**path, name: given[name]})[name]
