"""Who gets which job. An agent asks; it is granted what it may run, unless a less busy one is just about to.

A claim fixes a trial's values, raises its attempt number and gives it a new marker, all in one transaction; asked
again with the same claim key, the answer is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, bindparam, func, insert, or_, select, update

from bough_server.service import definitions, duplicates, quarantine, resolving, sources, states
from bough_server.service.asks import Prepared
from bough_server.service.changes import Changes
from bough_server.service.eligible import Free, Machine, machine, may_run
from bough_server.service.ends import HELD
from bough_server.service.fleet import Fleet
from bough_server.service.states import CREATED, DRAINING, LIVE, QUEUED, RUNNING, WITH_AGENT
from bough_server.service.trials import places, top_up
from bough_server.store import reads
from bough_server.store.schema import agents, attempts, jobs, optimizations

PreparedAsk = Callable[[Mapping[str, Any]], Prepared | None]  # row of an optimization → its next values, if ready


@dataclass(frozen=True)
class Asker:
    """The agent that asks for work."""

    id: str
    name: str
    slots: int
    claim_key: str
    wanted: int
    machine: Machine
    free: Free


@dataclass
class Granted:
    """What it gets, and why not more.

    Args:
        claims: As in the protocol.
        unprepared: Optimizations that have a trial for it, but whose optimizer has not answered yet.
        is_deferred: There is a job for it that a less busy agent is given time to take.
        taken: Optimization → the last of its answers that was taken for this.
    """

    claims: list[dict[str, Any]] = field(default_factory=list)
    unprepared: set[str] = field(default_factory=set)
    is_deferred: bool = False
    taken: dict[str, Prepared] = field(default_factory=dict)


@dataclass(frozen=True)
class _Others:
    """The agents beside the one that asks, looked at once for all that it is granted.

    Args:
        takers: All that may take work, the one that asks among them.
        wanting: Those beside it that would take some just now.
        busy: Agent → how many jobs it runs.
    """

    takers: Sequence[Machine]
    wanting: Sequence[Machine]
    busy: dict[str, int]

    def include(self, job: RowMapping, asker: Asker) -> bool:
        """Return whether another agent could take a job that died quickly on this one."""
        return any(other.id != asker.id and may_run(job, other) for other in self.takers)

    def has_calmer(self, job: RowMapping, asker: Asker) -> bool:
        """Return whether a less busy one could take it, and wants to."""
        mine = self.busy.get(asker.id, 0) / asker.slots
        return any(
            self.busy.get(other.id, 0) / other.slots < mine and may_run(job, other)
            for other in (self.wanting if mine > 0 else ())
        )


@dataclass(frozen=True)
class Dispatcher:
    """Grants jobs; everything that it decides with is an argument.

    Args:
        fleet: Who else wants work.
        prepared: Where the optimizers' answers are.
        new_id: Makes ids of jobs.
        new_marker: Makes markers of attempts.
        patience_s: How long a less busy agent is waited for.
        first_attempt: The lowest number that an attempt may have; high after a restore, so that none is used twice.
    """

    fleet: Fleet
    prepared: PreparedAsk
    new_id: Callable[[], str]
    new_marker: Callable[[], str]
    patience_s: float
    first_attempt: int = 1

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
        tx.execute(_THIS_AGENT, {"its_id": asker.id})  # one claim after the other, so that each key is used once
        granted = Granted(claims=self._already(tx, asker) if so_far is None else list(so_far.claims))
        if granted.claims and so_far is None:
            return granted
        others = _Others(self.fleet.takers(clock), self._wanting(asker, clock), _busy(tx))
        if self._is_lowered(asker):
            asker = replace(asker, wanted=min(asker.wanted, max(0, asker.slots - others.busy.get(asker.id, 0))))
        for job, optimization in self._candidates(tx, asker, others, now, clock, granted, changes):
            if not asker.free.take(job["needs"]):
                continue
            if self._claim(tx, job, optimization, asker, now, granted, changes):
                others.busy[asker.id] = others.busy.get(asker.id, 0) + 1
            if len(granted.claims) >= asker.wanted:
                break
        return granted

    def _wanting(self, asker: Asker, clock: float) -> list[Machine]:
        """Return the other agents that would take work just now."""
        online = self.fleet.online(clock).items()
        found = [other for key, other in online if key != asker.id and other.wanted > 0 and not other.is_closed]
        return [machine(other.row) for other in found]

    def _is_lowered(self, asker: Asker) -> bool:
        """Its slots were changed while it runs: it may not know yet how many it has."""
        presence = self.fleet.agents.get(asker.id)
        return presence is not None and presence.row.get("slots_set") is not None

    def _already(self, tx: Connection, asker: Asker) -> list[dict[str, Any]]:
        claims = []
        for job_id, attempt, marker in tx.execute(_BY_KEY, {"its_key": asker.claim_key, "its_agent": asker.id}).all():
            job = tx.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.attempt == attempt)).mappings().first()
            if job is not None and job["state"] in WITH_AGENT:
                claims.append(claim_of(tx, dict(job), marker))
        return claims

    def _candidates(
        self,
        tx: Connection,
        asker: Asker,
        others: _Others,
        now: float,
        clock: float,
        granted: Granted,
        changes: Changes,
    ) -> Iterator[tuple[dict[str, Any], Mapping[str, Any] | None]]:
        """Yield the jobs that the asker may run, the most urgent first, each with its optimization as it is now."""
        if len(granted.claims) >= asker.wanted:
            return
        running: dict[str, dict[str, Any]] = {}
        for row in tx.execute(_FREE).mappings().all():
            if may_run(row, asker.machine):
                optimization = dict(row)
                top_up(tx, optimization, places(optimization, others.takers), now, self.new_id, changes)
                running[row["id"]] = optimization
        suspected = quarantine.suspected_on(tx, asker.id)
        shut: set[str] = set()  # of these no new trial can start now
        for job in tx.execute(_WAITING, {"running": list(running)}).mappings().all():
            if (job["state"] == CREATED and job["optimization"] in shut) or not may_run(job, asker.machine):
                continue
            if job["id"] in suspected and others.include(job, asker):
                continue
            if resolving.must_wait(tx, dict(job)):
                continue
            if job["optimization"] and not self._has_room(tx, job, running[job["optimization"]], others):
                shut.add(job["optimization"])
                continue
            if self._should_wait(job, asker, others, clock):
                granted.is_deferred = True
                continue
            yield dict(job), running.get(job["optimization"] or "")
            if job["state"] == CREATED:
                now_it_is = running[job["optimization"]] = reads.optimization(tx, job["optimization"])
                if self.prepared(now_it_is) is None:
                    shut.add(job["optimization"])
                    if now_it_is["state"] == RUNNING:
                        granted.unprepared.add(job["optimization"])

    def _has_room(self, tx: Connection, job: RowMapping, optimization: Mapping[str, Any], others: _Others) -> bool:
        """Return whether one more trial may start. One that has values waits only for those that an agent has.

        After a restart all wait until the running trials of before have ended.
        """
        if job["attempt"] > 0 and optimization["max_parallel"] is None:
            return True  # it had its place among the slots; only a limit may keep it waiting
        live = 0
        for state, generation, n in tx.execute(_LIVING, {"its_id": optimization["id"]}):
            if generation < optimization["generation"]:
                return False
            live += n if job["state"] == CREATED or state != QUEUED else 0
        return live < places(optimization, others.takers)

    def _should_wait(self, job: RowMapping, asker: Asker, others: _Others, clock: float) -> bool:
        """All chosen machines are kept equally busy: a less busy one that wants work is given a moment to take it."""
        if not others.has_calmer(job, asker):
            return False
        since = self.fleet.passed_over.setdefault(job["id"], clock)
        return clock - since < self.patience_s

    def _claim(
        self,
        tx: Connection,
        job: dict[str, Any],
        optimization: Mapping[str, Any] | None,
        asker: Asker,
        now: float,
        granted: Granted,
        changes: Changes,
    ) -> bool:
        values: dict[str, Any] = {}
        if job["state"] == CREATED and optimization is not None:
            found = self._take_ask(tx, optimization)
            if found is not None:
                granted.taken[optimization["id"]] = found
            if found is None or self._is_answered(tx, optimization, job, found, now, changes):
                if reads.optimization(tx, job["optimization"])["state"] == RUNNING:
                    granted.unprepared.add(job["optimization"])
                return False
            values = {"values": found.values, "ask_number": found.number, "history_seq": found.history_seq}
            values |= {"digest": found.digest, "again": found.again}
        attempt, marker = max(job["attempt"] + 1, self.first_attempt), self.new_marker()
        values |= {"attempt": attempt, "agent": asker.id, "unreachable": False, "message": None, "started_at": None}
        if not states.move_job(tx, job["id"], "claim", of_attempt=job["attempt"], **values):
            return False
        row = {"job": job["id"], "attempt": attempt, "agent": asker.id, "marker": marker, "state": HELD}
        row |= {"claim_key": asker.claim_key, "claimed_at": now, "progressed": False}
        tx.execute(insert(attempts), row)
        granted.claims.append(claim_of(tx, {**job, **values}, marker, optimization))
        changes.of_job(job)
        return True

    def _is_answered(
        self,
        tx: Connection,
        optimization: Mapping[str, Any],
        job: Mapping[str, Any],
        found: Prepared,
        now: float,
        changes: Changes,
    ) -> bool:
        """Return whether the trial was ended by the result of an earlier one with the same values."""
        if optimization["duplicates"] != duplicates.REUSE:
            return False
        earlier = duplicates.result_of(tx, optimization, found.digest)
        if earlier is None:
            return False
        duplicates.take_result(tx, optimization, job, found, earlier, now, changes)
        return True

    def _take_ask(self, tx: Connection, optimization: Mapping[str, Any]) -> Prepared | None:
        mine = optimizations.c.id == optimization["id"]
        found = self.prepared(optimization)
        if found is None:
            return None
        taken = update(optimizations).where(mine, optimizations.c.asks == found.number)
        return found if tx.execute(taken.values(asks=found.number + 1)).rowcount == 1 else None


def claim_of(
    tx: Connection, job: Mapping[str, Any], marker: str, optimization: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the claim of the protocol for ``job``, whose values are fixed; its ``optimization`` is read if need be."""
    how = _how(tx, job, optimization)
    return {
        "job_id": job["id"],
        "attempt": job["attempt"],
        "marker": marker,
        "model": job["model"],
        "optimization": job["optimization"],
        "number": job["number"],
        "commit": job["commit"] or None,
        "fetch": sources.fetch_of(job),
        "git": f"/git/{job['model']}.git",
        "folder": job["folder"],
        "values": job["values"] or {},
        "max_epochs": job["max_epochs"],
        "max_time_s": job["max_time_s"],
        "output": definitions.output_of(tx, job["model"], job["revision"]),
        "needs": job["needs"] or {},
        "source": (job["source"] or {}).get("url"),
        "signature": (job["source"] or {}).get("signature"),
        **how,
    }


def _how(tx: Connection, job: Mapping[str, Any], optimization: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return how the job is run: by its optimization, or for a manual one by its model's revision."""
    if job["optimization"] is not None:
        row = optimization or reads.optimization(tx, job["optimization"])
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


def _waiting() -> Any:
    """Select what waits, in the order in which it is granted: by priority, what has values first, then by age."""
    of_running = jobs.c.optimization.in_(bindparam("running", expanding=True))
    has_values = and_(jobs.c.state == QUEUED, or_(jobs.c.optimization.is_(None), of_running))
    may_start = and_(jobs.c.state == CREATED, of_running)
    order = (jobs.c.priority.desc(), jobs.c.state.desc(), jobs.c.created_at, jobs.c.number)
    waits = jobs.c.state.in_((QUEUED, CREATED))  # said once more, so that no database looks at what is over
    return select(jobs).where(waits, or_(has_values, may_start)).order_by(*order).limit(200)


# One that another coordinator grants a trial of just now is passed over: there will be a next time.
_FREE = (
    select(optimizations)
    .where(optimizations.c.state == RUNNING)
    .order_by(optimizations.c.id)
    .with_for_update(skip_locked=True, key_share=True)
)
_THIS_AGENT = select(agents.c.id).where(agents.c.id == bindparam("its_id")).with_for_update(key_share=True)


_WAITING = _waiting()
_BY_KEY = (
    select(attempts.c.job, attempts.c.attempt, attempts.c.marker)
    .where(attempts.c.claim_key == bindparam("its_key"), attempts.c.agent == bindparam("its_agent"))
    .where(attempts.c.state == HELD)
    .order_by(attempts.c.claimed_at)
)
_LIVING = (
    select(jobs.c.state, jobs.c.generation, func.count())
    .where(jobs.c.optimization == bindparam("its_id"), jobs.c.state.in_(LIVE))
    .where(~and_(jobs.c.state == DRAINING, jobs.c.partial))  # over, and its data is with a lost agent
    .group_by(jobs.c.state, jobs.c.generation)
)


def _busy(tx: Connection) -> dict[str, int]:
    return dict(tx.execute(_BUSY).all())


_RUNNING = [state for state in WITH_AGENT if state != DRAINING]  # what is over takes no slot
_BUSY = select(jobs.c.agent, func.count()).where(jobs.c.state.in_(_RUNNING)).group_by(jobs.c.agent)
