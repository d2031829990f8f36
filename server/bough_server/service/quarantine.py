"""Agents on which jobs die at once although the same commit runs elsewhere: their trials go back, and they get no more.

The rule, with its numbers; docs/decisions.md says why.

* A trial that failed by its exit within `QUICK_S`, and had reported neither a point nor an epoch nor a failure of its
  own, died *quickly*.
* It is **suspect**, and goes back with the same values and no try used up, when its agent never ran that commit well
  while another one does: there a trial of it is DONE, or is running at this moment. The other may yet turn out to be as
  bad, so a trial goes back only once: the second agent's word about it stands.
* A suspect trial is not given to the same agent again as long as another one could take it.
* An agent with `SUSPECTS` suspect trials of one commit, which runs elsewhere for sure (DONE, or for more than
  `QUICK_S`) and was not heard to fail there as quickly, is put into **quarantine** until somebody releases it.
* A commit that fails everywhere is nobody's fault but its own: its trials fail, and `on_failure: {stop_after}` pauses
  the optimization.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, select, update

from bough_server.service.changes import Changes
from bough_server.service.states import DONE, QUEUED, RUNNING
from bough_server.store.schema import agents, attempts, channels, jobs

QUICK_S = 10.0
SUSPECTS = 3
_ERROR = "error"


def died_quickly(reason: str | None, attempt: Mapping[str, Any], exit_: Mapping[str, Any], points: int) -> bool:
    """Return whether an attempt ended by a failure that its machine may be to blame for.

    Args:
        reason: The end_reason of its verdict.
        attempt: Its row.
        exit_: Its exit.json.
        points: How many points the script reported.
    """
    has_said = bool(attempt["progressed"]) or attempt["said"] is not None or points > 0
    return reason == _ERROR and not has_said and float(exit_.get("duration_s") or 0.0) < QUICK_S


def is_suspect(tx: Connection, job: Mapping[str, Any], attempt: Mapping[str, Any], reason: str | None) -> bool:
    """Return whether a trial that has failed should go back, because another agent runs its commit."""
    if job["optimization"] is None or job["desired"] in ("stop", "kill"):
        return False
    if not died_quickly(reason, attempt, attempt["exit"] or {}, _points(tx, job)):
        return False
    before = select(func.count()).where(attempts.c.job == job["id"], attempts.c.suspect)
    if tx.execute(before).scalar_one():
        return False  # another agent has said so too
    return not _runs_on(tx, job, attempt["agent"]) and _runs_elsewhere(tx, job, attempt["agent"])


def note(tx: Connection, job: Mapping[str, Any], attempt: Mapping[str, Any], now: float, changes: Changes) -> None:
    """Remember a suspect attempt, and put its agent into quarantine if that was one too many."""
    mine = and_(attempts.c.job == job["id"], attempts.c.attempt == attempt["attempt"])
    tx.execute(update(attempts).where(mine).values(suspect=True))
    look(tx, job, attempt["agent"], now, changes)


def look(tx: Connection, job: Mapping[str, Any], agent_id: str, now: float, changes: Changes) -> None:
    """Put an agent into quarantine if it has too many suspect trials of this commit, which runs elsewhere for sure."""
    row = tx.execute(select(agents).where(agents.c.id == agent_id)).mappings().one()
    if row["quarantine"] is not None or not _has_proof(tx, job, agent_id, now):
        return
    n = tx.execute(_suspects(job, agent_id, row["trusted_at"] or 0.0)).scalar_one()
    if n < SUSPECTS:
        return
    why = (
        f"{n} trials of commit {job['commit'][:7]} ({job['model']}) died on it within {QUICK_S:g} s, "
        "and that commit runs elsewhere"
    )
    tx.execute(update(agents).where(agents.c.id == agent_id).values(quarantine=why))
    changes.agents.add(agent_id)


def look_at_others(tx: Connection, job: Mapping[str, Any], now: float, changes: Changes) -> None:
    """A trial of this commit is DONE: what was suspected of other agents may now be sure."""
    for agent_id in tx.execute(_OTHERS, {"its_commit": job["commit"], "its_agent": job["agent"]}).scalars().all():
        look(tx, job, agent_id, now, changes)


def suspected_on(tx: Connection, agent_id: str) -> set[str]:
    """Return the ids of the waiting jobs that died quickly on that agent."""
    return set(tx.execute(_SUSPECTED, {"its_agent": agent_id}).scalars())


_SUSPECT = select(attempts.c.job).join(jobs, jobs.c.id == attempts.c.job).where(attempts.c.suspect)
_SUSPECTED = _SUSPECT.where(attempts.c.agent == bindparam("its_agent"), jobs.c.state == QUEUED)
_OTHERS = (
    _SUSPECT.with_only_columns(attempts.c.agent)
    .where(jobs.c.commit == bindparam("its_commit"), attempts.c.agent != bindparam("its_agent"))
    .distinct()
)


def _points(tx: Connection, job: Mapping[str, Any]) -> int:
    mine = and_(channels.c.job == job["id"], channels.c.attempt == job["attempt"], ~channels.c.system)
    return int(tx.execute(select(func.coalesce(func.sum(channels.c.points), 0)).where(mine)).scalar_one())


def _of_commit(job: Mapping[str, Any]) -> Any:
    """Select jobs of the same code, run in the same way."""
    return and_(jobs.c.model == job["model"], jobs.c.commit == job["commit"], jobs.c.folder == job["folder"])


def _runs_on(tx: Connection, job: Mapping[str, Any], agent_id: str) -> bool:
    done = select(jobs.c.id).where(_of_commit(job), jobs.c.state == DONE, jobs.c.agent == agent_id).limit(1)
    return tx.execute(done).first() is not None


def _runs_elsewhere(tx: Connection, job: Mapping[str, Any], agent_id: str) -> bool:
    """Return whether a trial of the commit is DONE on another agent, or is running there."""
    there = and_(_of_commit(job), jobs.c.agent != agent_id, jobs.c.state.in_((DONE, RUNNING)))
    return tx.execute(select(jobs.c.id).where(there).limit(1)).first() is not None


def _has_proof(tx: Connection, job: Mapping[str, Any], agent_id: str, now: float) -> bool:
    there = and_(_of_commit(job), jobs.c.agent != agent_id)
    lives = and_(jobs.c.state == RUNNING, jobs.c.started_at < now - QUICK_S)
    proof = select(jobs.c.id).where(there, (jobs.c.state == DONE) | lives).limit(1)
    return tx.execute(proof).first() is not None


def _suspects(job: Mapping[str, Any], agent_id: str, since: float) -> Any:
    """Select how many trials of the commit are suspect on the agent and did not fail on another one, too."""
    mine = and_(attempts.c.suspect, attempts.c.agent == agent_id, attempts.c.ended_at > since)
    failed = and_(jobs.c.state == "FAILED", jobs.c.end_reason == _ERROR, jobs.c.agent != agent_id)
    return select(func.count()).select_from(attempts.join(jobs, jobs.c.id == attempts.c.job)).where(
        mine, _of_commit(job), ~failed
    )  # fmt: skip
