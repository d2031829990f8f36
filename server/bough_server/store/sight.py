"""Whose rows a request may see. Set once at the door, and kept to by everything that finds or lists rows.

It is a property of the request, not an argument of each function between the door and the store: a function that
forgot to hand it on would show everything. It reaches the threads of `Database.read`, not the writer, which works for
nobody in particular.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from sqlalchemy import ColumnElement, true

_owner: ContextVar[str | None] = ContextVar("owner", default=None)


def see_only(owner: str | None) -> None:
    """From now on this request sees what belongs to models of ``owner``; None: everything."""
    _owner.set(owner)


def is_visible(model: str) -> bool:
    """Return whether this request may see what belongs to ``model`` (owner/name)."""
    owner = _owner.get()
    return owner is None or model.startswith(f"{owner}/")


def visible(model: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that selects what this request may see; ``model`` is the column that names the model."""
    owner = _owner.get()
    return true() if owner is None else model.startswith(f"{owner}/", autoescape=True)
