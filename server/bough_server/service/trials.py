"""The trials of an optimization: how many may be alive at once, and the rows that are made for them.

A trial's row exists, CREATED and without values, as soon as it may start; its values are fixed when an agent claims it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, delete, func, insert, or_, select, update

from bough_server.service import sources
from bough_server.service.changes import Changes
from bough_server.service.eligible import Machine, may_run
from bough_server.service.states import CREATED, DRAINING, LIVE, QUEUED, RUNNING
from bough_server.store import reads
from bough_server.store.schema import jobs, optimizations

NewId = Callable[[], str]
_MOST_CREATED = 200  # rows without values; more are made as these are claimed


def top_up(
    tx: Connection, optimization: Mapping[str, Any], places: int, now: float, new_id: NewId, changes: Changes
) -> None:
    """Make rows for the trials that may start now, up to ``places`` alive at once and max_trials in all.

    However many those are, never more wait than an agent is shown: max_parallel may be any number.
    """
    if optimization["state"] != RUNNING:
        return
    living = living_of(tx, optimization)
    n = min(places - living["alive"] + living["awaited"], _MOST_CREATED - living["states"].get(CREATED, 0))
    if n > optimization["max_trials"] - optimization["numbers"]:  # there are at most as many trials as numbers
        n = min(n, _left(optimization, _counts(tx, optimization)))
    if n > 0:
        add_trials(tx, optimization, n, now, new_id, changes)


def _left(optimization: Mapping[str, Any], counted: Mapping[str, Any]) -> int:
    """Return how many trials more may be made."""
    return int(optimization["max_trials"] - counted["started"] - counted["states"].get(CREATED, 0))


def add_trials(
    tx: Connection, optimization: Mapping[str, Any], n: int, now: float, new_id: NewId, changes: Changes
) -> list[dict[str, Any]]:
    """Make and return the rows of the next ``n`` trials, CREATED."""
    first = optimization["numbers"] + 1
    rows = [_trial(optimization, first + i, now, new_id()) for i in range(n)]
    tx.execute(insert(jobs), rows)
    mine = optimizations.c.id == optimization["id"]
    tx.execute(update(optimizations).where(mine).values(numbers=first + n - 1))
    changes.jobs.update(row["id"] for row in rows)
    changes.optimizations.add(optimization["id"])
    return rows


def next_trial(
    tx: Connection, optimization: Mapping[str, Any], now: float, new_id: NewId, changes: Changes
) -> str | None:
    """Return the id of the trial that starts next and has no values yet, made if need be; None after max_trials."""
    mine = and_(jobs.c.optimization == optimization["id"], jobs.c.state == CREATED)
    found = tx.execute(select(jobs.c.id).where(mine).order_by(jobs.c.number).limit(1)).scalar_one_or_none()
    if found is not None:
        return str(found)
    if _left(optimization, _counts(tx, optimization)) <= 0:
        return None
    return str(add_trials(tx, optimization, 1, now, new_id, changes)[0]["id"])


def places(optimization: Mapping[str, Any], agents: Iterable[Machine]) -> int:
    """Return how many trials may be alive at once: max_parallel, or all slots of those of ``agents`` it may use."""
    if optimization["max_parallel"] is not None:
        return int(optimization["max_parallel"])
    return max(1, sum(agent.slots for agent in agents if may_run(optimization, agent)))


def _trial(optimization: Mapping[str, Any], number: int, now: float, job_id: str) -> dict[str, Any]:
    same = "model revision generation commit folder source agents needs priority max_epochs max_time_s created_by"
    row = {name: optimization[name] for name in same.split()}
    row |= {"id": job_id, "optimization": optimization["id"], "number": number, "state": CREATED, "created_at": now}
    row["commit"] = sources.commit_of_trial(optimization)
    return {**row, **FRESH}


FRESH: Mapping[str, Any] = {  # what every job begins with
    "attempt": 0,
    "failures": 0,
    "lost": 0,
    "retries": 0,
    "again": 0,
    "unreachable": False,
    "partial": False,
    "desired": "run",
}


def living_of(tx: Connection, optimization: Mapping[str, Any]) -> dict[str, Any]:
    """Return as `_counts` what is known of those trials only that are not over: quick, however many are."""
    return _counts(tx, optimization, _LIVING)


def _counts(tx: Connection, optimization: Mapping[str, Any], of: Any = None) -> dict[str, Any]:
    """Return how many trials of this generation are in each state and were started, and how many of any are alive."""
    found: dict[str, int] = {}
    started = alive = awaited = 0
    rows = tx.execute(_COUNTS if of is None else of, {"its_id": optimization["id"]})
    for state, generation, n, claimed, late in rows:
        alive += n if state in (CREATED, *LIVE) else 0
        awaited += late
        if generation == optimization["generation"]:
            found[state] = n
            started += claimed
    return {"states": found, "started": started, "alive": alive, "awaited": awaited}


# What waits with values, set by hand, is as good as started, and so is what took the result of an earlier trial.
is_started = or_(jobs.c.attempt > 0, jobs.c.state == QUEUED, jobs.c.reused_from.is_not(None))
_COUNTS = (
    select(jobs.c.state, jobs.c.generation, func.count(), func.count(case((is_started, 1))))
    # what is over, and whose data a lost agent has, takes no place any more
    .add_columns(func.count(case(((jobs.c.state == DRAINING) & jobs.c.partial, 1))))
    .where(jobs.c.optimization == bindparam("its_id"))
    .group_by(jobs.c.state, jobs.c.generation)
)
_LIVING = _COUNTS.where(jobs.c.state.in_((CREATED, *LIVE)))


def make_room(tx: Connection, its_id: str) -> list[str]:
    """Give way to trials that were just queued again: those without values make place, and max_trials grows if need be.

    A point set by hand that was stopped before it ran did not count as started, and does so now. Returns what was
    changed, in a line for people.
    """
    row = reads.optimization(tx, its_id)
    if _left(row, _counts(tx, row)) >= 0:
        return []
    drop_created(tx, its_id)
    begun = started(tx, row)
    if begun <= row["max_trials"]:
        return []
    tx.execute(update(optimizations).where(optimizations.c.id == its_id).values(max_trials=begun))
    return [f"max_trials: {row['max_trials']} → {begun}, so that they have room"]


def started(tx: Connection, optimization: Mapping[str, Any]) -> int:
    """Return how many trials of its generation count for max_trials."""
    return int(_counts(tx, optimization)["started"])


def drop_created(tx: Connection, optimization_id: str) -> None:
    """Remove the rows of trials that never started; those of their numbers that were the highest become free again."""
    mine = jobs.c.optimization == optimization_id
    tx.execute(delete(jobs).where(mine, jobs.c.state == CREATED))
    of_now = mine & (jobs.c.generation == optimizations.c.generation)
    highest = select(func.coalesce(func.max(jobs.c.number), 0)).where(of_now).correlate(optimizations)
    its = optimizations.c.id == optimization_id
    tx.execute(update(optimizations).where(its).values(numbers=highest.scalar_subquery()))
