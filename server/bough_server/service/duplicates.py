"""Points that were tried before: asked for again, or answered with the result they had.

Two points are the same when all their values are; `definitions.digest_of` names them. Only trials of one generation are
compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update

from bough.definition import Space
from bough.definition.grid import grid_point
from bough_server.service import definitions, states, told
from bough_server.service import kpi as kpis
from bough_server.service import optimizations as lifecycle
from bough_server.service.changes import Changes
from bough_server.service.states import DONE, RUNNING
from bough_server.service.trials import drop_created, started
from bough_server.store import reads
from bough_server.store.schema import jobs, optimizations

if TYPE_CHECKING:
    from bough_server.service.asks import Prepared

ALLOW, RESAMPLE, REUSE = "allow", "resample", "reuse"
MOST_COUNTED = 10_000  # points of a space that are gone through one by one
_SAME = ("kpi", "kpi_last", "kpi_best", "kpi_best_x", "epochs", "epochs_total")


def tried(tx: Connection, optimization: Mapping[str, Any]) -> set[str]:
    """Return the digests of all points of this generation of an optimization (its row)."""
    mine = (jobs.c.optimization == optimization["id"]) & (jobs.c.generation == optimization["generation"])
    return set(tx.execute(select(jobs.c.digest).where(mine, jobs.c.digest.is_not(None))).scalars())


def is_tried(tx: Connection, optimization: Mapping[str, Any], digest: str) -> bool:
    """Return whether some trial of this generation has these values."""
    return _first(tx, optimization, digest) is not None


def result_of(tx: Connection, optimization: Mapping[str, Any], digest: str) -> dict[str, Any] | None:
    """Return the row of the first trial of this generation that has these values and is DONE, if there is one."""
    return _first(tx, optimization, digest, jobs.c.state == DONE, jobs.c.reused_from.is_(None))


def _first(tx: Connection, optimization: Mapping[str, Any], digest: str, *where: Any) -> dict[str, Any] | None:
    mine = (jobs.c.optimization == optimization["id"]) & (jobs.c.digest == digest)
    same = select(jobs).where(mine, jobs.c.generation == optimization["generation"], *where)
    row = tx.execute(same.order_by(jobs.c.number).limit(1)).mappings().first()
    return None if row is None else dict(row)


def untried_point(space: Mapping[str, Any], known: set[str], begin: int) -> int | None:
    """Return the number of a point of a finite space that is not among the ``known``; None: all are.

    The search for it goes once around, from number ``begin`` on.
    """
    found = Space.from_json(space)
    size = lifecycle.points_of(found) or 0
    for i in range(size):
        number = (begin + i) % size
        if definitions.digest_of(found.complete(grid_point(found, number))) not in known:
            return number
    return None


def take_result(
    tx: Connection,
    optimization: Mapping[str, Any],
    job: Mapping[str, Any],
    found: Prepared,
    earlier: Mapping[str, Any],
    now: float,
    changes: Changes,
) -> None:
    """End a trial that has not begun with the result of an ``earlier`` one of the same values."""
    values = {**{name: earlier[name] for name in _SAME}, "values": found.values, "digest": found.digest}
    values |= {"ask_number": found.number, "history_seq": found.history_seq, "again": found.again}
    values |= {"reused_from": earlier["id"], "end_reason": "finished", "ended_at": now, "duration_s": 0.0}
    values["message"] = f"it has the values of trial {earlier['number']}, and took its result without running."
    if not states.move_job(tx, job["id"], "reuse", **values):
        return
    direction = optimization["kpi_direction"] or optimization["kpi_direction_seen"]
    loss = None if earlier["kpi"] is None else kpis.loss(earlier["kpi"], direction)
    entry = {"generation": job["generation"], "job": job["id"], "ask_number": found.number, "ended_at": now}
    told.append(tx, reads.optimization(tx, optimization["id"]), [{**entry, "values": found.values, "loss": loss}])
    tx.execute(update(optimizations).where(optimizations.c.id == optimization["id"]).values(failures_in_row=0))
    changes.of_job(job)
    lifecycle.after_end(tx, optimization["id"], now, changes, None)


def end_with_the_space(tx: Connection, asked: Mapping[str, Any], size: int, now: float, changes: Changes) -> None:
    """Start nothing more: all ``size`` points were tried. ``asked`` is the row as it was when that was found."""
    row = reads.optimization(tx, asked["id"])
    same = ("generation", "space_version", "asks", "duplicates")
    if row["state"] != RUNNING or any(row[name] != asked[name] for name in same):
        return
    drop_created(tx, row["id"])
    most = max(1, started(tx, row))
    reason = f"all {size} points of its space were tried."
    tx.execute(update(optimizations).where(optimizations.c.id == row["id"]).values(max_trials=most, reason=reason))
    changes.optimizations.add(row["id"])
    lifecycle.finish_if_over(tx, row["id"], now, changes)
