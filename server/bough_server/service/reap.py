"""What time brings: silence is shown, then jobs are taken back; data that never comes is no longer waited for.

Nothing is decided by comparing clocks of two machines: silence is measured on the coordinator's monotonic clock, and
after a restart everything counts as heard of just then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, select, update

from bough_server.config import Config
from bough_server.service import ends, optimizations, states
from bough_server.service.changes import Changes
from bough_server.service.ends import LOST
from bough_server.service.fleet import Fleet
from bough_server.service.states import DRAINING, RUNNING, WITH_AGENT
from bough_server.store.schema import agents, attempts, jobs
from bough_server.store.schema import optimizations as table


def is_needed(tx: Connection, fleet: Fleet, config: Config, now: float, clock: float) -> bool:
    """Return whether `reap` would change anything; asked first, since mostly it would not."""
    for job in _with_agent(tx):
        silent = fleet.silent_for(job["id"], job["attempt"], clock)
        is_lost = silent > config.lost_after_s and not job["by_hand"]
        if (silent > config.lease_ttl_s) != bool(job["unreachable"]) or is_lost:
            return True
        if _is_unknown_to_its_agent(fleet, job, silent, config, clock):
            return True
    timed = select(table.c.begun_at, table.c.total_time_s).where(table.c.total_time_s.is_not(None))
    running = tx.execute(timed.where(table.c.state.in_((states.RUNNING, states.PAUSED))))
    return any(now - begun_at >= total_time_s for begun_at, total_time_s in running)


def reap(tx: Connection, fleet: Fleet, config: Config, now: float, clock: float) -> Changes:
    """Flag, take back and end what has been silent for too long; return what changed."""
    changes = Changes()
    for job in _with_agent(tx):
        silent = fleet.silent_for(job["id"], job["attempt"], clock)
        if job["state"] == DRAINING and silent > config.drain_timeout_s:
            ends.settle(tx, job["id"], now, changes, is_overdue=True)
        elif job["state"] != DRAINING and silent > config.lost_after_s and not job["by_hand"]:
            lose(tx, job, config.max_lost, now, changes, f"nothing was heard of it for {silent:.0f} s")
        elif _is_unknown_to_its_agent(fleet, job, silent, config, clock):
            lose(tx, job, config.max_lost, now, changes, "its agent does not know of it any more")
        else:
            if job["state"] == DRAINING and silent > config.lost_after_s and not job["partial"]:
                _await(tx, job, changes)
            _flag(tx, job, silent > config.lease_ttl_s, changes)
    running = select(table).where(table.c.state.in_((RUNNING, states.PAUSED)), table.c.total_time_s.is_not(None))
    for row in tx.execute(running).mappings().all():
        optimizations.stop_if_out_of_time(tx, dict(row), now, changes)
    return changes


def lose(tx: Connection, job: Mapping[str, Any], max_lost: int, now: float, changes: Changes, why: str) -> None:
    """Give up the newest attempt of ``job``: it is queued again with the same values and no try is used up.

    Until another agent claims it, the attempt may come back and go on.
    """
    key = and_(attempts.c.job == job["id"], attempts.c.attempt == job["attempt"], attempts.c.state == ends.HELD)
    message = f"attempt {job['attempt']} of {ends.label(job)} was given up: {why}."
    if tx.execute(update(attempts).where(key).values(state=LOST, message=message)).rowcount == 0:
        return
    ends.count_lost(tx, job, max_lost, now, changes, why + ".", message)


def _with_agent(tx: Connection) -> list[dict[str, Any]]:
    """Return the jobs that an attempt is out for; one by hand has nobody who could run it again."""
    by_hand = (agents.c.slots == 0).label("by_hand")
    found = select(jobs, by_hand).outerjoin(agents, agents.c.id == jobs.c.agent).where(jobs.c.state.in_(WITH_AGENT))
    return [dict(row) for row in tx.execute(found).mappings()]


def _is_unknown_to_its_agent(fleet: Fleet, job: Mapping[str, Any], silent: float, config: Config, clock: float) -> bool:
    """The agent is there and reports, but not of this attempt: it never got it, or lost its folder.

    An agent that is just back after a silence has not said yet what it holds: it must go on without the attempt.
    """
    if job["state"] == DRAINING or silent <= config.lease_ttl_s or not fleet.is_online(job["agent"], clock):
        return False
    agent = fleet.agents[job["agent"]]
    has_left_it_out = agent.listed_at - (clock - silent) > config.lease_ttl_s
    return has_left_it_out and clock - agent.heard_at <= config.heartbeat_s * 2


def _await(tx: Connection, job: Mapping[str, Any], changes: Changes) -> None:
    """It is over, and the rest of its data is with a lost agent: it is waited for, but takes no place any more."""
    same = and_(jobs.c.id == job["id"], jobs.c.attempt == job["attempt"], jobs.c.state == DRAINING)
    tx.execute(update(jobs).where(same).values(partial=True))
    changes.of_job(job)
    if job["optimization"]:
        changes.optimizations.add(job["optimization"])


def _flag(tx: Connection, job: Mapping[str, Any], is_unreachable: bool, changes: Changes) -> None:
    if bool(job["unreachable"]) == is_unreachable:
        return
    same = and_(jobs.c.id == job["id"], jobs.c.attempt == job["attempt"], jobs.c.state.in_(WITH_AGENT))
    tx.execute(update(jobs).where(same).values(unreachable=is_unreachable))
    changes.of_job(job)
