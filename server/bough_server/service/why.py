"""Why is nothing running? In sentences, the most likely reason first."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from bough_server.service.eligible import Machine, machine, refusal
from bough_server.service.ends import label
from bough_server.service.fleet import Fleet
from bough_server.service.states import CREATED, DRAINING, LIVE, PAUSED, QUEUED, RUNNING, WITH_AGENT
from bough_server.store import sight
from bough_server.store.schema import agents, jobs, optimizations

_NAMED = 5  # agents in one sentence


def reasons(tx: Connection, fleet: Fleet, clock: float, now: float, url: str) -> list[str]:
    """Return why nothing, or not more, is running; an empty list if everything is as it should be."""
    found = [_paused(row) for row in _rows(tx, PAUSED)] + _restarted(tx)
    waiting = tx.execute(select(func.count()).where(jobs.c.state.in_((CREATED, QUEUED)))).scalar_one()
    if not waiting:
        live = tx.execute(select(func.count()).where(jobs.c.state.in_(WITH_AGENT))).scalar_one()
        return found if live or found or _rows(tx, RUNNING) else ["nothing is queued. Start something: bough optimize."]
    known = [dict(row) for row in tx.execute(select(agents).where(agents.c.slots > 0)).mappings()]
    online = [row for row in known if fleet.is_online(row["id"], clock)]
    if not online:
        return [*found, _nobody(known, waiting, now, url)]
    found += [_quarantined(row) for row in online if row["quarantine"] is not None]
    takers = [row for row in online if not row["drain"] and row["quarantine"] is None]
    if not takers:
        names = ", ".join(row["name"] for row in online if row["drain"])
        if not names:
            return [*found, f"there is no other agent: {_n(waiting)}. Release it, or start another one."]
        return [
            *found,
            f"every agent is draining ({names}): {_n(waiting)}. Let one work: bough agent drain NAME --undo.",
        ]
    return found + (_elsewhere(tx, takers) or _full(tx, takers, fleet, waiting))


def _rows(tx: Connection, state: str) -> list[dict[str, Any]]:
    mine = (optimizations.c.state == state) & sight.visible(optimizations.c.model)
    found = select(optimizations).where(mine).order_by(optimizations.c.created_at)
    return [dict(row) for row in tx.execute(found).mappings()]


def _restarted(tx: Connection) -> list[str]:
    """What was begun anew and waits until the trials of before have stopped."""
    older = (jobs.c.generation < optimizations.c.generation) & jobs.c.state.in_(LIVE) & sight.visible(jobs.c.model)
    running = select(optimizations.c.id, func.count()).join(jobs, jobs.c.optimization == optimizations.c.id)
    running = running.where(optimizations.c.state == RUNNING, older).group_by(optimizations.c.id)
    found = tx.execute(running.order_by(optimizations.c.id)).all()
    return [
        f"optimization {its_id} was restarted and waits until {n} trial{'' if n == 1 else 's'} of before "
        f"{'has' if n == 1 else 'have'} stopped."
        for its_id, n in found
    ]


def _paused(row: Mapping[str, Any]) -> str:
    why = f": {row['reason']}" if row["reason"] else f". Go on: bough optimization resume {row['id']}."
    return f"optimization {row['id']} is paused{why}"


def _quarantined(row: Mapping[str, Any]) -> str:
    name = row["name"]
    return f"agent {name} is in quarantine: {row['quarantine']}. Mend it, then: bough agent release {name}."


def _nobody(known: list[dict[str, Any]], waiting: int, now: float, url: str) -> str:
    do = f"Start one: bough agent server --coordinator {url}"
    if not known:
        return f"no agent has ever connected; {_n(waiting)}. {do}"
    silent = min(now - row["seen_at"] for row in known)
    return f"no agent has been heard of for {_duration(silent)}; {_n(waiting)}. {do}"


def _elsewhere(tx: Connection, takers: list[dict[str, Any]]) -> list[str]:
    """What none of the connected agents can ever run."""
    machines = [machine(row) for row in takers]
    found = [_none_for(f"optimization {row['id']}", row, machines) for row in _rows(tx, RUNNING)]
    mine = (jobs.c.state == QUEUED) & jobs.c.optimization.is_(None) & sight.visible(jobs.c.model)
    manual = select(jobs).where(mine).limit(20)
    found += [_none_for(f"job {row['id']}", dict(row), machines) for row in tx.execute(manual).mappings()]
    return [sentence for sentence in found if sentence]


def _none_for(what: str, row: Mapping[str, Any], machines: Sequence[Machine]) -> str:
    """Return why none of the agents can run it, "" if one can."""
    why = {found.name: refusal(row, found) for found in machines}
    if None in why.values():
        return ""
    if all(str(text).startswith("is not among") for text in why.values()):
        return f"{what} may only use {', '.join(row['agents'])}, and none of these is connected."
    told = [f"{name} {text}" for name, text in list(why.items())[:_NAMED]]
    more = f"; and {len(why) - _NAMED} more" if len(why) > _NAMED else ""
    return f"{what} can run on none of the connected agents: {'; '.join(told)}{more}."


def _full(tx: Connection, takers: list[dict[str, Any]], fleet: Fleet, waiting: int) -> list[str]:
    machines = [machine(row) for row in takers]
    slots = sum(found.slots for found in machines)
    ids = [found.id for found in machines]
    mine = jobs.c.agent.in_(ids)
    live = [state for state in WITH_AGENT if state != DRAINING]
    busy = tx.execute(select(func.count()).where(jobs.c.state.in_(live), mine)).scalar_one()
    if busy >= slots:
        paused = tx.execute(select(func.count()).where(jobs.c.state == PAUSED, mine)).scalar_one()
        more = f" {paused} of them by paused jobs." if paused else ""
        return [f"all {slots} slots are busy; {_n(waiting)}.{more} More: start another agent, or --slots."]
    short = _short(tx, machines, fleet)
    if short:
        return [short]
    if not any(fleet.agents[agent_id].wanted for agent_id in ids):
        return [
            "no connected agent takes work just now. See why on its console (a full disk?), or: bough agent status."
        ]
    return []


def _short(tx: Connection, machines: Sequence[Machine], fleet: Fleet) -> str:
    """Return which job waits for resources that others have in use, "" if none does."""
    waits = select(jobs).where(jobs.c.state.in_((CREATED, QUEUED)), jobs.c.needs.is_not(None))
    for row in tx.execute(waits.order_by(jobs.c.priority.desc(), jobs.c.created_at).limit(20)).mappings():
        able = [found for found in machines if refusal(row, found) is None]
        left = [copy.deepcopy(fleet.agents[found.id].free) for found in able if fleet.agents[found.id].free is not None]
        if able and len(left) == len(able) and not any(free.take(row["needs"]) for free in left if free is not None):
            names = ", ".join(found.name for found in able[:_NAMED])
            return f"{label(row)} waits for {_wanted(row['needs'])}, which others have in use on {names}."
    return ""


def _wanted(needs: Mapping[str, Any]) -> str:
    parts = [f"{needs['gpu']:g} GPU"] if "gpu" in needs else []
    parts += [f"{needs['cpu']:g} CPUs"] if "cpu" in needs else []
    parts += [f"{needs['memory_bytes'] / (1 << 30):.3g} GiB of memory"] if "memory_bytes" in needs else []
    return ", ".join(parts)


def _n(count: int) -> str:
    return "1 job waits" if count == 1 else f"{count} jobs wait"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
