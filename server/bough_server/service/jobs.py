"""Jobs: made by hand, listed in any order, stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, insert, select, update

from bough import _layout, definition
from bough.errors import Conflict, UsageError
from bough_server.service import again, definitions, ends, quotas, recorded, states
from bough_server.service.changes import Changes
from bough_server.service.optimizations import code_of, mapping_of
from bough_server.service.states import CREATED, JOB_STATES, QUEUED
from bough_server.service.trials import FRESH, make_room
from bough_server.service.verdict import Verdict
from bough_server.store import reads, sight
from bough_server.store.dialects import json_value
from bough_server.store.schema import agents, jobs

_SORTS: Mapping[str, ColumnElement[Any]] = {
    "number": jobs.c.number,
    "state": jobs.c.state,
    "kpi": jobs.c.kpi,
    "created": jobs.c.created_at,
    "started": jobs.c.started_at,
    "duration": jobs.c.duration_s,
}
MAX_ROWS = 1000  # of one page


def create(
    tx: Connection,
    found: definition.Definition,
    body: Mapping[str, Any],
    now: float,
    key_id: str,
    new_id: Callable[[], str],
) -> str:
    """Make a manual job, queued with its values, and return its id.

    Raises:
        UsageError: A value, the commit or the agent's name is wrong.
    """
    quotas.of_jobs(tx, found.model)
    row = {
        "id": new_id(),
        "model": found.model,
        "revision": definitions.revise(tx, found, now, key_id),
        "state": QUEUED,
        "values": found.values(mapping_of(body, "values")),
        "agents": _chosen(tx, body.get("agent")) or _of_model(found),
        "priority": found.priority,
        "needs": found.needs or None,
        "max_epochs": _limit(body, "max_epochs"),
        "max_time_s": _limit(body, "max_time_s"),
        "created_at": now,
        "queued_at": now,
        "created_by": key_id,
        **code_of(body, found),
    }
    tx.execute(insert(jobs), {**row, **FRESH, "generation": 1})
    return str(row["id"])


def _limit(body: Mapping[str, Any], name: str) -> float | None:
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
        raise UsageError(f"{name} is {str(found)[:100]!r}, no number above 0.", f"Correct {name}, or leave it out.")
    return found


def _chosen(tx: Connection, name: Any) -> list[str] | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise UsageError(f"{str(name)[:100]!r} is no name of an agent.", "See: bough agent status.")
    known = tx.execute(select(agents.c.name).where(agents.c.slots > 0).order_by(agents.c.name)).scalars().all()
    if name not in known:
        there = f"There are: {', '.join(known)}." if known else "No agent has ever connected."
        raise UsageError(f"there is no agent {name}.", there)
    return [name]


def _of_model(found: definition.Definition) -> list[str] | None:
    """Return the agents that the model itself names, whoever starts it; None: all."""
    names = found.raw.get("agents")
    return [names] if isinstance(names, str) else names


def stop(tx: Connection, job_id: str, now: float, changes: Changes, *, at_once: bool) -> str:
    """End the job as its user wishes: politely, or ``at_once`` by force. Returns the full id.

    Raises:
        Conflict: It has ended already.
    """
    job = reads.job(tx, job_id)
    if job["state"] in states.TERMINAL:
        raise Conflict(f"job {job['id']} has ended: it is {job['state']}.", "There is nothing to stop.")
    changes.of_job(job)
    is_gone = job["unreachable"] and recorded.is_by_hand(tx, job)  # nobody is there who could stop it
    if job["state"] in (CREATED, QUEUED) or is_gone:
        ends.conclude(tx, job, Verdict(states.ABORTED, _layout.USER), now, changes)
    else:
        wish = {"desired": "kill" if at_once else "stop", "desired_cause": _layout.USER}
        tx.execute(update(jobs).where(jobs.c.id == job["id"]).values(**wish))
        changes.rung.add(job["agent"])
    return str(job["id"])


def retry(tx: Connection, job_id: str, body: Mapping[str, Any], now: float, changes: Changes) -> str:
    """Let a job that failed or was stopped run once more, with the same values; a trial as its optimization may.

    Raises:
        Conflict: It has a result, has not ended, or belongs to an earlier generation.
    """
    job = reads.job(tx, job_id)
    again.check_ended(job)
    if job["optimization"] is not None:
        row = reads.optimization(tx, job["optimization"])
        if row["generation"] != job["generation"]:
            do = f"Run its values: bough optimization enqueue {row['id']} -p …"
            raise Conflict(f"job {job['id']} is of an earlier generation.", do)
        again.go_on(tx, row, now)
        changes.optimizations.add(row["id"])
    again.once_more(tx, job, now, changes, again.code_of_retry(tx, job, body))
    if job["optimization"] is not None:
        make_room(tx, job["optimization"])
    return str(job["id"])


def page(
    tx: Connection, where: list[ColumnElement[bool]], sort: str | None, descending: bool, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the jobs that ``where`` selects, and how many there are in all.

    Raises:
        UsageError: There is no such column to sort by.
    """
    where = [*where, sight.visible(jobs.c.model)]
    total = tx.execute(select(func.count()).select_from(jobs).where(*where)).scalar_one()
    found = _ordered(select(jobs).where(*where), sort, descending)
    rows = tx.execute(found.limit(max(0, min(limit, MAX_ROWS))).offset(max(0, offset))).mappings()
    return [dict(row) for row in rows], total


def _ordered(found: Select[Any], sort: str | None, descending: bool) -> Select[Any]:
    if sort is None:
        return found.order_by(jobs.c.created_at.desc(), jobs.c.id)
    if sort.startswith("p."):
        column: ColumnElement[Any] = json_value(jobs.c["values"], sort[2:])
    elif sort in _SORTS:
        column = _SORTS[sort]
    else:
        raise UsageError(
            f"trials cannot be sorted by {sort}.", f"Sort by one of: {', '.join(_SORTS)}, p.<hyperparameter>."
        )
    order = column.desc() if descending else column.asc()
    return found.order_by(order.nulls_last(), jobs.c.number, jobs.c.id)


def in_state(state: str) -> ColumnElement[bool]:
    """Select jobs of that state (several by commas).

    Raises:
        UsageError: There is no such state.
    """
    wanted = [name.strip().upper() for name in state.split(",")]
    for name in wanted:
        if name not in JOB_STATES:
            raise UsageError(f"there is no state {name}.", f"There are: {', '.join(JOB_STATES)}.")
    return jobs.c.state.in_(wanted)
