"""How a commit is found for code that is not pinned yet: by the first agent that is granted a job of it.

The agent resolves branch or tag while the job is PREPARING, brings the commit to the coordinator's repository and
reports it; meanwhile no other trial of that optimization is granted. From then on the optimization is pinned. With
``follow_branch`` each job is resolved by its own agent when it is claimed, and stays at that commit if it runs again.
Where the code cannot be had, no trial is used up: the optimization pauses with the agent's reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select, update

from bough import _git
from bough_server.service import ends, sources, states
from bough_server.service.changes import Changes
from bough_server.service.states import WITH_AGENT
from bough_server.store.schema import jobs, optimizations

Row = Mapping[str, Any]


def must_wait(tx: Connection, job: Row) -> bool:
    """Return whether another trial is just resolving the commit that this one will run."""
    if job["commit"] != sources.UNRESOLVED or job["optimization"] is None or job["source"].get(sources.FOLLOW):
        return False
    mine = (jobs.c.optimization == job["optimization"]) & (jobs.c.commit == sources.UNRESOLVED)
    return bool(tx.execute(select(func.count()).where(mine, jobs.c.state.in_(WITH_AGENT))).scalar_one())


def resolve(tx: Connection, job: Row, commit: str | None, changes: Changes) -> None:
    """Take in the commit that an agent found for a job; all of its optimization is pinned to it unless each follows."""
    if job["commit"] != sources.UNRESOLVED or commit is None or not _git.is_sha(commit):
        return
    tx.execute(update(jobs).where(jobs.c.id == job["id"]).values(commit=commit))
    changes.jobs.add(job["id"])
    if job["optimization"] is None or job["source"].get(sources.FOLLOW):
        return
    its_own = optimizations.c.id == job["optimization"]
    tx.execute(update(optimizations).where(its_own, optimizations.c.commit == sources.UNRESOLVED).values(commit=commit))
    mine = jobs.c.optimization == job["optimization"]
    tx.execute(update(jobs).where(mine, jobs.c.commit == sources.UNRESOLVED).values(commit=commit))
    changes.optimizations.add(job["optimization"])


def is_hopeless(job: Row, reason: str | None) -> bool:
    """Return whether a trial could not be prepared because its optimization's code cannot be had."""
    return job["commit"] == sources.UNRESOLVED and job["optimization"] is not None and reason == "checkout"


def give_up(tx: Connection, job: Row, now: float, changes: Changes, message: str | None) -> None:
    """Give a trial back whose code cannot be had, and pause its optimization with the reason."""
    ends.give_back(tx, job, now, changes, message)
    reason = (
        f"its code cannot be had: {message or 'the agent does not say why.'} "
        f"Then: bough optimization resume {job['optimization']}."
    )
    states.move_optimization(tx, job["optimization"], "pause", reason=reason)
    changes.optimizations.add(job["optimization"])
