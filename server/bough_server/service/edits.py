"""What was done to an optimization while it lived: noted in the transaction that does it, and shown in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from bough_server.store.schema import edits


def note(
    tx: Connection,
    optimization: Mapping[str, Any],
    kind: str,
    changes: Sequence[str],
    now: float,
    key_id: str,
    *,
    space_version: int | None = None,
    kept: int | None = None,
    left_out: int | None = None,
) -> None:
    """Note what was changed.

    Args:
        tx: A writing connection.
        optimization: Its row; an edit holds from its next ask on.
        kind: edit, retry or restart.
        changes: Lines for people.
        now: The time.
        key_id: Who did it.
        space_version: Of the space after it; None: it has not changed.
        kept: How many ended trials stay in the optimizer's history; None: the space has not changed.
        left_out: How many do not.
    """
    mine = edits.c.optimization == optimization["id"]
    number = (tx.execute(select(func.max(edits.c.number)).where(mine)).scalar_one() or 0) + 1
    row = {"optimization": optimization["id"], "number": number, "at": now, "by": key_id, "kind": kind}
    row |= {"generation": optimization["generation"], "from_ask": optimization["asks"], "changes": list(changes)}
    row |= {"space_version": space_version or optimization["space_version"], "kept": kept, "left_out": left_out}
    tx.execute(insert(edits), row)


def of_optimization(tx: Connection, optimization_id: str) -> list[dict[str, Any]]:
    """Return all notes of an optimization as the API shows them, the oldest first."""
    names = "number at kind generation from_ask space_version changes kept left_out"
    columns = [edits.c[name] for name in names.split()]
    found = select(*columns).where(edits.c.optimization == optimization_id).order_by(edits.c.number)
    return [dict(row) for row in tx.execute(found).mappings()]
