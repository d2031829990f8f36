"""Pausing jobs: their processes are stopped where they are, keep their memory, and go on later.

A pause is a wish about an attempt, like a stop: it is told to the agent with every reply until it is over, and the
state PAUSED follows when the agent says that it is so. A paused job keeps its slot and its place in max_parallel; its
max_time stands still, an optimization's total_time does not. If the attempt is lost or given back, so is the pause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, update

from bough.errors import Conflict
from bough_server.service.changes import Changes
from bough_server.service.states import CREATED, PAUSED, PREPARING, QUEUED, RUNNING, TERMINAL
from bough_server.store import reads
from bough_server.store.schema import jobs

PAUSE = "pause"
FROZEN = "frozen"  # cause of a pause that came with that of the whole optimization, and goes with it
_PAUSABLE = (PREPARING, RUNNING, PAUSED)


def pause(tx: Connection, job_id: str, changes: Changes) -> str:
    """Stop the job's processes where they are. Returns the full id; a job that is paused stays so.

    Raises:
        Conflict: It does not run, or is being stopped.
    """
    job = reads.job(tx, job_id)
    if job["state"] not in _PAUSABLE or job["desired"] not in ("run", PAUSE):
        raise _not_possible(job)
    _want(tx, job, changes, PAUSE)
    return str(job["id"])


def go_on(tx: Connection, job_id: str, changes: Changes) -> str:
    """Let the job's processes go on. Returns the full id; a job that runs goes on running.

    Raises:
        Conflict: It does not run, or is being stopped.
    """
    job = reads.job(tx, job_id)
    if job["state"] not in _PAUSABLE or job["desired"] not in ("run", PAUSE):
        raise _not_possible(job)
    _want(tx, job, changes, "run")
    return str(job["id"])


def freeze(tx: Connection, optimization_id: str, changes: Changes) -> None:
    """Pause the trials of an optimization that run."""
    _of_optimization(tx, optimization_id, ("run", None), (PAUSE, FROZEN), changes)


def thaw(tx: Connection, optimization_id: str, changes: Changes) -> None:
    """Let those go on that `freeze` has paused, and not those that somebody paused one by one."""
    _of_optimization(tx, optimization_id, (PAUSE, FROZEN), ("run", None), changes)


def _of_optimization(
    tx: Connection, its_id: str, before: tuple[str, str | None], after: tuple[str, str | None], changes: Changes
) -> None:
    mine = (jobs.c.optimization == its_id) & jobs.c.state.in_(_PAUSABLE) & (jobs.c.desired == before[0])
    mine &= jobs.c.desired_cause.is_not_distinct_from(before[1])
    wish = update(jobs).where(mine).values(desired=after[0], desired_cause=after[1])
    for job_id, agent in tx.execute(wish.returning(jobs.c.id, jobs.c.agent)).all():
        changes.jobs.add(job_id)
        changes.rung.add(agent)


def _want(tx: Connection, job: Mapping[str, Any], changes: Changes, desired: str) -> None:
    tx.execute(update(jobs).where(jobs.c.id == job["id"]).values(desired=desired, desired_cause=None))
    changes.of_job(job)
    changes.rung.add(job["agent"])


def _not_possible(job: Mapping[str, Any]) -> Conflict:
    what = f"job {job['id']} is {job['state']} and cannot be paused or continued."
    if job["state"] in TERMINAL:
        return Conflict(what, "It has ended.")
    if job["state"] in (CREATED, QUEUED):
        do = "To start nothing for now, pause its optimization: bough optimization pause ID."
        return Conflict(what, do if job["optimization"] else "It waits for an agent; stop it, or let it begin.")
    return Conflict(what, "It is being stopped.")
