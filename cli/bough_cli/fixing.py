"""Turns ``-p name=value`` into typed values by what bough.yml declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bough.definition import Definition


def typed(definition: Definition, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the given values in their declared types, whether their branch is the chosen one or not.

    That is what an optimization fixes: the values of a branch that the search may choose.

    Raises:
        UsageError: A name is unknown, or a value is of another type or no choice.
    """
    from bough.definition.values import convert

    return dict(convert(definition.hyperparameters, given))


def chosen(definition: Definition, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the given values in their declared types; each must matter to a job that runs with them.

    Raises:
        UsageError: As `typed`; or a value belongs to a branch that is not chosen.
    """
    values = definition.values(given)
    return {name: values[name] for name in given}
