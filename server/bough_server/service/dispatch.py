"""Who gets which job. An agent asks; it is granted what it may run, unless a less busy one is just about to.

A claim fixes a trial's values, raises its attempt number and gives it a new marker, all in one transaction; asked
again with the same claim key, the answer is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, func, insert, or_, select, update

from bough_server.service import definitions, states
from bough_server.service.asks import Prepared
from bough_server.service.changes import Changes
from bough_server.service.ends import HELD
from bough_server.service.fleet import Fleet
from bough_server.service.optimizations import may_use, places, top_up
from bough_server.service.states import CREATED, LIVE, QUEUED, RUNNING, WITH_AGENT
from bough_server.store import reads
from bough_server.store.schema import attempts, jobs, optimizations

PreparedAsk = Callable[[Mapping[str, Any]], Prepared | None]  # row of an optimization → its next values, if ready


@dataclass(frozen=True)
class Asker:
    """The agent that asks for work."""

    id: str
    name: str
    slots: int
    claim_key: str
    wanted: int


@dataclass
class Granted:
    """What it gets, and why not more.

    Args:
        claims: As in the protocol.
        unprepared: Optimizations that have a trial for it, but whose optimizer has not answered yet.
        is_deferred: There is a job for it that a less busy agent is given time to take.
    """

    claims: list[dict[str, Any]] = field(default_factory=list)
    unprepared: set[str] = field(default_factory=set)
    is_deferred: bool = False


@dataclass(frozen=True)
class Dispatcher:
    """Grants jobs; everything that it decides with is an argument.

    Args:
        fleet: Who else wants work.
        prepared: Where the optimizers' answers are.
        new_id: Makes ids of jobs.
        new_marker: Makes markers of attempts.
        patience_s: How long a less busy agent is waited for.
    """

    fleet: Fleet
    prepared: PreparedAsk
    new_id: Callable[[], str]
    new_marker: Callable[[], str]
    patience_s: float

    def grant(
        self, tx: Connection, asker: Asker, now: float, clock: float, changes: Changes, so_far: Granted | None = None
    ) -> Granted:
        """Return the jobs that ``asker`` now holds by this claim key.

        Args:
            tx: A writing connection.
            asker: Who asks.
            now: Seconds since the epoch.
            clock: Monotonic seconds.
            changes: What changed is noted here.
            so_far: What the same request was granted before it waited for the optimizer.
        """
        granted = Granted(claims=self._already(tx, asker) if so_far is None else list(so_far.claims))
        if granted.claims and so_far is None:
            return granted
        busy = _busy(tx)
        for job in self._candidates(tx, asker, now, clock, granted, changes):
            if len(granted.claims) >= asker.wanted:
                break
            if self._should_wait(job, asker, busy, clock):
                granted.is_deferred = True
                continue
            if self._claim(tx, job, asker, now, granted, changes):
                busy[asker.id] = busy.get(asker.id, 0) + 1
        return granted

    def _already(self, tx: Connection, asker: Asker) -> list[dict[str, Any]]:
        mine = and_(attempts.c.claim_key == asker.claim_key, attempts.c.agent == asker.id, attempts.c.state == HELD)
        found = (
            select(attempts.c.job, attempts.c.attempt, attempts.c.marker).where(mine).order_by(attempts.c.claimed_at)
        )
        claims = []
        for job_id, attempt, marker in tx.execute(found).all():
            job = tx.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.attempt == attempt)).mappings().first()
            if job is not None and job["state"] in WITH_AGENT:
                claims.append(claim_of(tx, dict(job), marker))
        return claims

    def _candidates(
        self, tx: Connection, asker: Asker, now: float, clock: float, granted: Granted, changes: Changes
    ) -> Iterator[dict[str, Any]]:
        """Yield the jobs that the asker may run, the most urgent first."""
        running: dict[str, dict[str, Any]] = {}
        for row in tx.execute(select(optimizations).where(optimizations.c.state == RUNNING)).mappings().all():
            if may_use(row["agents"], asker.name):
                optimization = dict(row)
                room = places(optimization, self.fleet.slots(clock))
                top_up(tx, optimization, room, now, self.new_id, changes)
                running[row["id"]] = optimization
        for job in tx.execute(_waiting(list(running))).mappings().all():
            if not may_use(job["agents"], asker.name):
                continue
            if job["attempt"] == 0 and job["optimization"] and not self._has_room(tx, job, running, clock):
                continue
            yield dict(job)
            if job["state"] == CREATED:
                running[job["optimization"]] = reads.optimization(tx, job["optimization"])
                if self.prepared(running[job["optimization"]]) is None:
                    granted.unprepared.add(job["optimization"])

    def _has_room(
        self, tx: Connection, job: RowMapping, running: Mapping[str, Mapping[str, Any]], clock: float
    ) -> bool:
        """Return whether one more trial may start. One that was given values by hand waits only for those that did."""
        optimization = running[job["optimization"]]
        mine = and_(jobs.c.optimization == optimization["id"], jobs.c.state.in_(LIVE))
        counts = mine if job["state"] == CREATED else and_(mine, jobs.c.attempt > 0)
        live = tx.execute(select(func.count()).where(counts)).scalar_one()
        return bool(live < places(optimization, self.fleet.slots(clock)))

    def _should_wait(self, job: Mapping[str, Any], asker: Asker, busy: Mapping[str, int], clock: float) -> bool:
        """All chosen machines are kept equally busy: a less busy one that wants work is given a moment to take it."""
        mine = busy.get(asker.id, 0) / asker.slots
        calmer = [
            key
            for key, other in self.fleet.online(clock).items()
            if key != asker.id
            and other.wanted > 0
            and not other.is_draining
            and may_use(job["agents"], other.name)
            and busy.get(key, 0) / other.slots < mine
        ]
        if not calmer:
            return False
        since = self.fleet.passed_over.setdefault(job["id"], clock)
        return clock - since < self.patience_s

    def _claim(
        self, tx: Connection, job: dict[str, Any], asker: Asker, now: float, granted: Granted, changes: Changes
    ) -> bool:
        values: dict[str, Any] = {}
        if job["state"] == CREATED:
            found = self._take_ask(tx, job["optimization"])
            if found is None:
                granted.unprepared.add(job["optimization"])
                return False
            values = {"values": found.values, "ask_number": found.number, "history_seq": found.history_seq}
        attempt, marker = job["attempt"] + 1, self.new_marker()
        values |= {"attempt": attempt, "agent": asker.id, "unreachable": False, "message": None}
        if not states.move_job(tx, job["id"], "claim", of_attempt=job["attempt"], **values):
            return False
        row = {"job": job["id"], "attempt": attempt, "agent": asker.id, "marker": marker, "state": HELD}
        row |= {"claim_key": asker.claim_key, "claimed_at": now, "progressed": False}
        tx.execute(insert(attempts), row)
        granted.claims.append(claim_of(tx, {**job, **values}, marker))
        changes.of_job(job)
        return True

    def _take_ask(self, tx: Connection, optimization_id: str) -> Prepared | None:
        mine = optimizations.c.id == optimization_id
        found = self.prepared(reads.optimization(tx, optimization_id))
        if found is None:
            return None
        taken = update(optimizations).where(mine, optimizations.c.asks == found.number)
        return found if tx.execute(taken.values(asks=found.number + 1)).rowcount == 1 else None


def claim_of(tx: Connection, job: Mapping[str, Any], marker: str) -> dict[str, Any]:
    """Return the claim of the protocol for ``job``, whose values are fixed."""
    how = _how(tx, job)
    return {
        "job_id": job["id"],
        "attempt": job["attempt"],
        "marker": marker,
        "model": job["model"],
        "optimization": job["optimization"],
        "number": job["number"],
        "commit": job["commit"],
        "git": f"/git/{job['model']}.git",
        "folder": job["folder"],
        "values": job["values"] or {},
        "max_epochs": job["max_epochs"],
        "max_time_s": job["max_time_s"],
        "output": definitions.output_of(tx, job["model"], job["revision"]),
        **how,
    }


def _how(tx: Connection, job: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the job is run: by its optimization, or for a manual one by its model's revision."""
    if job["optimization"] is not None:
        row = reads.optimization(tx, job["optimization"])
        same = {name: row[name] for name in ("commands", "env", "working_dir", "grace_s", "term_s")}
        return {**same, "kpi": {"channel": row["kpi_channel"], "direction": row["kpi_direction"]}}
    found_definition = definitions.of_revision(tx, job["model"], job["revision"])
    settings = found_definition.settings
    return {
        "commands": definitions.commands_of(found_definition),
        "env": dict(found_definition.env),
        "working_dir": found_definition.working_dir,
        "grace_s": settings.grace_s,
        "term_s": settings.term_s,
        "kpi": {"channel": settings.kpi_channel, "direction": settings.kpi_direction},
    }


def _waiting(running: Sequence[str]) -> Any:
    """Select what waits, in the order in which it is granted: by priority, what has values first, then by age."""
    of_running = jobs.c.optimization.in_(running)
    has_values = and_(jobs.c.state == QUEUED, or_(jobs.c.optimization.is_(None), of_running))
    may_start = and_(jobs.c.state == CREATED, of_running)
    order = (jobs.c.priority.desc(), jobs.c.state.desc(), jobs.c.created_at, jobs.c.number)
    return select(jobs).where(or_(has_values, may_start)).order_by(*order).limit(200)


def _busy(tx: Connection) -> dict[str, int]:
    return dict(tx.execute(_BUSY).all())


_BUSY = select(jobs.c.agent, func.count()).where(jobs.c.state.in_(WITH_AGENT)).group_by(jobs.c.agent)
