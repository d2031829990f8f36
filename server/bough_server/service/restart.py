"""A restart: a new generation of an optimization, with another commit, new numbers, new asks and no history.

What ran before is kept as an earlier generation. It is all one transaction; where trials still run, they are told to
stop, and the first new one waits until they have ended (`dispatch`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, update

from bough.definition import Definition
from bough.errors import UsageError
from bough_server.service import definitions, editing, edits, pausing
from bough_server.service import optimizations as lifecycle
from bough_server.service.changes import Changes
from bough_server.service.states import ARCHIVED, RUNNING
from bough_server.store import reads
from bough_server.store.schema import generations, optimizations, space_versions


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_KEPT = _words(
    "generation begun_at state reason algorithm max_trials initial_random max_parallel max_epochs max_time_s "
    "total_time_s seed agents kpi_channel kpi_direction kpi_reduce kpi_channel_seen kpi_direction_seen retry "
    "stop_after pruning duplicates commit folder source commands env working_dir revision space_version searched "
    "versions asks numbers history_seq warnings"
)
_CODE = ("commit", "folder", "source")
_AFRESH: Mapping[str, Any] = {
    "state": RUNNING,
    "reason": None,
    "ended_at": None,
    "stopped_by": None,
    "kpi_channel_seen": None,
    "kpi_direction_seen": None,
    "warnings": [],
    "versions": [],
    "asks": 0,
    "numbers": 0,
    "failures_in_row": 0,
}


def restart(
    tx: Connection,
    optimization_id: str,
    body: Mapping[str, Any],
    now: float,
    key_id: str,
    seed: int,
    changes: Changes,
) -> str:
    """Begin the next generation and return the full id.

    Args:
        tx: A writing connection.
        optimization_id: Whose; the beginning will do.
        body: ``commit``, ``folder``, ``source``: the code, where it is another one; ``definition`` and ``fixed``: in
            the place of what it has; ``seed``.
        now: The time.
        key_id: Who wants it.
        seed: Used where neither ``body`` nor the definition names one.
        changes: What changed is noted here.

    Raises:
        UsageError: Something in ``body`` is wrong.
        Conflict: It is archived.
    """
    row = reads.optimization(tx, optimization_id)
    if row["state"] == ARCHIVED:
        raise lifecycle.is_archived(row)
    code = lifecycle.code_of(
        {**{name: row[name] or None for name in _CODE}, **_given(body)}, _definition(tx, row, body)
    )
    keep(tx, row, now)
    lifecycle.end_what_waits(tx, row["id"], now, changes, "its optimization was restarted.")
    pausing.thaw(tx, row["id"], changes)
    lifecycle.wish(tx, row["id"], "stop", lifecycle.USER, changes)
    fresh = _of_definition(tx, row, body, now, key_id, seed)
    values = {**_AFRESH, **code, **fresh, "generation": row["generation"] + 1, "begun_at": now}
    tx.execute(update(optimizations).where(optimizations.c.id == row["id"]).values(**values))
    lines = [f"generation {row['generation'] + 1}, commit {code['commit'][:12]}, seed {fresh['seed']}"]
    version = fresh.get("space_version", row["space_version"])
    edits.note(tx, reads.optimization(tx, row["id"]), "restart", lines, now, key_id, space_version=version)
    changes.optimizations.add(row["id"])
    return str(row["id"])


def _definition(tx: Connection, row: Mapping[str, Any], body: Mapping[str, Any]) -> Definition:
    if body.get("definition") is None and body.get("fixed") is None:
        return definitions.of_revision(tx, row["model"], row["revision"])
    if body.get("definition") is None:
        return definitions.parse(editing.current(tx, row)[0])  # as it is now, and other values fixed
    return definitions.parse(body["definition"])


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in _CODE if body.get(name) is not None}


def keep(tx: Connection, row: Mapping[str, Any], now: float) -> None:
    """Note how the generation ended that a row describes."""
    kept = {name: row[name] for name in _KEPT}
    same = {"optimization": row["id"], "generation": row["generation"], "begun_at": row["begun_at"], "ended_at": now}
    same |= {"space_version": row["space_version"], "versions": row["versions"], "row": kept}
    tx.execute(insert(generations), same)


def _of_definition(
    tx: Connection, row: Mapping[str, Any], body: Mapping[str, Any], now: float, key_id: str, seed: int
) -> dict[str, Any]:
    """Return the columns that depend on the definition; a new version of the space is made if there is a new one."""
    if body.get("definition") is None and body.get("fixed") is None:
        settings = _definition(tx, row, body).settings
        return {"seed": _seed(body, settings.seed if settings.seed is not None else seed)}
    found = _definition(tx, row, body)
    if found.model != row["model"] or not found.has_optimization:
        raise UsageError(
            f"the definition is not one of an optimization of {row['model']}.", "Restart it with that of its own model."
        )
    fixed = lifecycle.mapping_of(body, "fixed")
    found.fix(fixed)
    version = row["space_version"] + 1
    same = {"optimization": row["id"], "version": version, "created_at": now}
    tx.execute(insert(space_versions), {**same, "space": found.space.to_json(), "fixed": fixed})
    columns = {**lifecycle.columns_of(found.settings, seed), **lifecycle.columns_of_definition(found)}
    revision = definitions.revise(tx, found, now, key_id)
    return {**columns, "seed": _seed(body, columns["seed"]), "revision": revision, "space_version": version}


def _seed(body: Mapping[str, Any], otherwise: int) -> int:
    found = body.get("seed")
    if found is None:
        return otherwise
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise UsageError(f"seed is {str(found)[:100]!r}, no whole number of at least 0.", 'Send {"seed": 1}.')
    return found
