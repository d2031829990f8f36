"""Archiving, which hides an optimization, and deleting, after which nothing of it is left in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, select

from bough.errors import Conflict, UsageError
from bough_server.service import optimizations as lifecycle
from bough_server.service import states
from bough_server.service.changes import Changes
from bough_server.service.states import ARCHIVED, OPTIMIZATION_STATES, WITH_AGENT
from bough_server.store import reads, schema
from bough_server.store.schema import jobs, optimizations


def archive(tx: Connection, optimization_id: str, now: float, changes: Changes) -> str:
    """Hide an optimization from lists; trials that never started get their end, and so a record. Returns the full id.

    Raises:
        Conflict: Trials of it are running.
    """
    row = reads.optimization(tx, optimization_id)
    if row["state"] == ARCHIVED:
        return str(row["id"])
    _check_idle(tx, row, "archived")
    lifecycle.end_for_good(tx, row["id"], now, changes, "its optimization was archived.")
    values = {} if row["ended_at"] is not None else {"ended_at": now, "stopped_by": lifecycle.USER}
    states.move_optimization(tx, row["id"], "archive", **values)
    changes.optimizations.add(row["id"])
    return str(row["id"])


def unarchive(tx: Connection, optimization_id: str, changes: Changes) -> str:
    """Show an archived optimization again, as DONE or STOPPED as it was. Returns the full id.

    Raises:
        Conflict: It is not archived.
    """
    row = reads.optimization(tx, optimization_id)
    move = "show_stopped" if row["stopped_by"] == lifecycle.USER else "show_done"
    if not states.move_optimization(tx, row["id"], move):
        raise Conflict(f"optimization {row['id']} is {row['state']}, not archived.", "There is nothing to bring back.")
    changes.optimizations.add(row["id"])
    return str(row["id"])


def listed(state: str | None, model: str | None, archived: bool) -> list[ColumnElement[bool]]:
    """Select optimizations for a list: of a state (several by commas) and a model; archived ones only when asked for.

    Raises:
        UsageError: There is no such state.
    """
    wanted = [name.strip().upper() for name in state.split(",")] if state else []
    for name in wanted:
        if name not in OPTIMIZATION_STATES:
            raise UsageError(f"there is no state {name}.", f"There are: {', '.join(OPTIMIZATION_STATES)}.")
    where = [] if model is None else [optimizations.c.model == model]
    if wanted:
        return [*where, optimizations.c.state.in_(wanted)]
    return where if archived else [*where, optimizations.c.state != ARCHIVED]


def check_confirmed(row: Mapping[str, Any], confirm: Any) -> None:
    """Raise `UsageError` unless ``confirm`` is the full id of what is to be deleted."""
    if confirm != row["id"]:
        raise UsageError(
            f"optimization {row['id']} is deleted only by someone who repeats its id.", f"Send confirm={row['id']}."
        )


def prepare(tx: Connection, optimization_id: str, confirm: Any, now: float, changes: Changes) -> None:
    """End what waits of an optimization that is about to be deleted, so that its record is written before.

    Raises:
        UsageError: ``confirm`` is not its full id.
        Conflict: Trials of it are running.
    """
    row = reads.optimization(tx, optimization_id)
    check_confirmed(row, confirm)
    _check_idle(tx, row, "deleted")
    lifecycle.end_for_good(tx, row["id"], now, changes, "its optimization was deleted.")
    states.move_optimization(tx, row["id"], "archive")  # nothing more of it starts
    changes.optimizations.add(row["id"])


def remove(tx: Connection, optimization_id: str, confirm: Any, changes: Changes) -> dict[str, Any]:
    """Delete an optimization with all its trials; return the row it had.

    Trials that a later optimization began with stay in the history of that one.

    Raises:
        UsageError: ``confirm`` is not its full id.
        Conflict: Trials of it are running.
    """
    row = reads.optimization(tx, optimization_id)
    check_confirmed(row, confirm)
    _check_idle(tx, row, "deleted")
    mine = select(jobs.c.id).where(jobs.c.optimization == row["id"]).scalar_subquery()
    channels = select(schema.channels.c.id).where(schema.channels.c.job.in_(mine)).scalar_subquery()
    for table in (schema.point_chunks, schema.channel_last):
        tx.execute(delete(table).where(table.c.channel.in_(channels)))
    for table in _of_jobs():
        tx.execute(delete(table).where(table.c.job.in_(mine)))
    for table in _of_optimizations():
        tx.execute(delete(table).where(table.c.optimization == row["id"]))
    tx.execute(delete(optimizations).where(optimizations.c.id == row["id"]))
    changes.optimizations.add(row["id"])
    return row


def _of_jobs() -> list[Table]:
    """Return the tables that hold something of jobs, those that refer to others first."""
    names = {column.table.name for column in _columns_to("jobs", "attempts") if column.name == "job"}
    return [table for table in reversed(schema.metadata.sorted_tables) if table.name in names]


def _of_optimizations() -> list[Table]:
    """Return the tables that hold something of optimizations, those that refer to others first."""
    names = {column.table.name for column in _columns_to("optimizations") if column.name == "optimization"}
    return [table for table in reversed(schema.metadata.sorted_tables) if table.name in names]


def _columns_to(*names: str) -> list[Any]:
    """Return the columns whose foreign keys lead into these tables."""
    found = [key for table in schema.metadata.sorted_tables for key in table.foreign_keys]
    return [key.parent for key in found if key.column.table.name in names]


def _check_idle(tx: Connection, row: Mapping[str, Any], verb: str) -> None:
    running = select(jobs.c.id).where(jobs.c.optimization == row["id"], jobs.c.state.in_(WITH_AGENT))
    n = len(tx.execute(running).all())
    if n:
        are = "1 trial of it is" if n == 1 else f"{n} trials of it are"
        raise Conflict(
            f"optimization {row['id']} cannot be {verb}: {are} running.",
            f"Stop it first: bough optimization stop {row['id']} --now.",
        )
