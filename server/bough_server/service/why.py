"""Why is nothing running? In sentences, the most likely reason first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from bough_server.service.fleet import Fleet
from bough_server.service.optimizations import may_use
from bough_server.service.states import CREATED, PAUSED, QUEUED, RUNNING, WITH_AGENT
from bough_server.store import sight
from bough_server.store.schema import agents, jobs, optimizations


def reasons(tx: Connection, fleet: Fleet, clock: float, now: float, url: str) -> list[str]:
    """Return why nothing, or not more, is running; an empty list if everything is as it should be."""
    found = [_paused(row) for row in _rows(tx, PAUSED)]
    waiting = tx.execute(select(func.count()).where(jobs.c.state.in_((CREATED, QUEUED)))).scalar_one()
    if not waiting:
        live = tx.execute(select(func.count()).where(jobs.c.state.in_(WITH_AGENT))).scalar_one()
        return found if live or found or _rows(tx, RUNNING) else ["nothing is queued. Start something: bough optimize."]
    known = [dict(row) for row in tx.execute(select(agents)).mappings()]
    online = [row for row in known if fleet.is_online(row["id"], clock)]
    if not online:
        return [*found, _nobody(known, waiting, now, url)]
    takers = [row for row in online if not row["drain"]]
    if not takers:
        names = ", ".join(row["name"] for row in online)
        return [
            *found,
            f"every agent is draining ({names}): {_n(waiting)}. Let one work: bough agent drain NAME --undo.",
        ]
    return found + (_elsewhere(tx, takers) or _full(tx, takers, fleet, waiting))


def _rows(tx: Connection, state: str) -> list[dict[str, Any]]:
    mine = (optimizations.c.state == state) & sight.visible(optimizations.c.model)
    found = select(optimizations).where(mine).order_by(optimizations.c.created_at)
    return [dict(row) for row in tx.execute(found).mappings()]


def _paused(row: Mapping[str, Any]) -> str:
    why = f": {row['reason']}" if row["reason"] else f". Go on: bough optimization resume {row['id']}."
    return f"optimization {row['id']} is paused{why}"


def _nobody(known: list[dict[str, Any]], waiting: int, now: float, url: str) -> str:
    do = f"Start one: bough agent server --coordinator {url}"
    if not known:
        return f"no agent has ever connected; {_n(waiting)}. {do}"
    silent = min(now - row["seen_at"] for row in known)
    return f"no agent has been heard of for {_duration(silent)}; {_n(waiting)}. {do}"


def _elsewhere(tx: Connection, takers: list[dict[str, Any]]) -> list[str]:
    names = [row["name"] for row in takers]
    found = [
        f"optimization {row['id']} may only use {', '.join(row['agents'])}, and none of these is connected."
        for row in _rows(tx, RUNNING)
        if not any(may_use(row["agents"], name) for name in names)
    ]
    mine = sight.visible(jobs.c.model)
    manual = select(jobs).where(jobs.c.state == QUEUED, jobs.c.optimization.is_(None), mine)
    for job in tx.execute(manual).mappings():
        if not any(may_use(job["agents"], name) for name in names):
            found.append(f"job {job['id']} waits for agent {', '.join(job['agents'])}, which is not connected.")
    return found


def _full(tx: Connection, takers: list[dict[str, Any]], fleet: Fleet, waiting: int) -> list[str]:
    slots = sum(row["slots"] for row in takers)
    ids = [row["id"] for row in takers]
    busy = tx.execute(select(func.count()).where(jobs.c.state.in_(WITH_AGENT), jobs.c.agent.in_(ids))).scalar_one()
    if busy >= slots:
        return [f"all {slots} slots are busy; {_n(waiting)}. More: start another agent, or --slots."]
    if not any(fleet.agents[agent_id].wanted for agent_id in ids):
        return [
            "no connected agent takes work just now. See why on its console (a full disk?), or: bough agent status."
        ]
    return []


def _n(count: int) -> str:
    return "1 job waits" if count == 1 else f"{count} jobs wait"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
