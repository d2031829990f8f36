"""The one message of an agent: heartbeat, shipping, reporting and claiming.

It is handled in one transaction; sending it again changes nothing and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, select, update

from bough import _failpoints, _layout
from bough.errors import UsageError
from bough_server.service import actions, ends, files, quarantine, resolving, states, usage
from bough_server.service.changes import Changes
from bough_server.service.dispatch import Asker, Dispatcher, Granted
from bough_server.service.eligible import Free, machine, slots_of
from bough_server.service.ends import ENDED, HELD, LOST, RELEASED
from bough_server.service.ingest import Part, store_part
from bough_server.service.pruning import Pruner
from bough_server.service.states import DRAINING, FAILED, QUEUED, WITH_AGENT
from bough_server.service.verdict import Verdict
from bough_server.store import reads
from bough_server.store.contents import Received, read_name
from bough_server.store.schema import agents, attempts, jobs

MAX_MESSAGE = 4 * 1024 * 1024
JobAttempt = tuple[str, int]


class Event(msgspec.Struct, frozen=True):
    """Something that happened to an attempt."""

    job: str
    attempt: int
    event: str
    at: float | None = None
    python: str | None = None
    commit: str | None = None
    cause: str | None = None
    exit: dict[str, Any] | None = None
    reason: str | None = None
    message: str | None = None


class Header(msgspec.Struct, frozen=True):
    """The first line of a sync message."""

    epoch: str
    free_slots: int = 0
    claim_key: str | None = None
    held: list[JobAttempt] = []
    parts: list[Part] = []
    events: list[Event] = []
    usage: dict[str, Any] | None = None
    free: dict[str, Any] | None = None


@dataclass
class Outcome:
    """What a message led to.

    Args:
        reply: As in the protocol, without instance and bell.
        granted: What was granted, and why not more.
        changes: What to tell once it is committed.
        accepted: The held attempts that are this agent's: their leases are renewed.
    """

    reply: dict[str, Any]
    granted: Granted
    changes: Changes = field(default_factory=Changes)
    accepted: list[JobAttempt] = field(default_factory=list)


def read_header(header: Any) -> Header:
    """Return the checked header; raise `UsageError` naming what is wrong with it."""
    try:
        return msgspec.convert(header, Header)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"the sync message cannot be read: {error}.", "Install the agent of this coordinator's version."
        ) from None


def slices(header: Header, payload: bytes | memoryview) -> list[memoryview]:
    """Return the bytes of each part; raise `UsageError` if they do not add up."""
    whole, at, found = memoryview(payload), 0, []
    for part in header.parts:
        if part.bytes < 0 or part.offset < 0:
            raise UsageError(
                f"part {part.stream} has a negative size or offset.", "Ship bytes as they are in the file."
            )
        found.append(whole[at : at + part.bytes])
        at += part.bytes
    if at != len(whole):
        raise UsageError(f"the parts announce {at} bytes, but {len(whole)} came.", "Send the message again.")
    return found


class DecidesMore(Exception):
    """A message that was thought to add only must decide something, too: it is handled alone."""


@dataclass
class Message:
    """A sync message being handled.

    Args:
        agent: The row of the agent that sent it.
        header: Its header.
        parts: Bytes of each of its parts.
        now: Seconds since the epoch.
        clock: Monotonic seconds.
        dispatcher: Grants jobs.
        max_lost: So many lost attempts end a job.
        pruner: Stops trials that are not worth their next epochs.
        arrived: How far the contents of files have come with this message: (job, attempt, stream) → that.
        is_shared: Other coordinators may handle messages at the same time; possible for those without events. What
            such a message changes is locked: its attempts, and what it claims.
        seen: When it is noted that the agent was heard of: how busy its machine is, or None. None: not with this one.
    """

    agent: Mapping[str, Any]
    header: Header
    parts: list[memoryview]
    now: float
    clock: float
    dispatcher: Dispatcher
    max_lost: int
    pruner: Pruner
    arrived: Mapping[tuple[str, int, str], Received] = field(default_factory=dict)
    is_shared: bool = False
    seen: tuple[Mapping[str, Any] | None] | None = None

    def handle(self, tx: Connection) -> Outcome:
        """Store, move, end and grant; return the answer.

        Raises:
            DecidesMore: It cannot be shared after all.
        """
        changes = Changes()
        mine = self._mine(tx, changes)
        acked = self._store_parts(tx, mine, changes)
        self._prune(tx, mine, changes)
        for event in self.header.events:
            self._happen(tx, mine, event, changes)
        for job_id, attempt in mine:
            if mine[job_id, attempt]["job_state"] == DRAINING or (job_id, attempt) in self._exited():
                ends.settle(tx, job_id, self.now, changes)
        reply, accepted = self._standing(tx)
        reply["actions"] = actions.waiting(tx, accepted)
        granted = self.grant(tx, changes)
        if self.seen is not None:
            save_heartbeat(tx, self.agent["id"], self.now, *self.seen)
        reply |= {"acked": acked, "granted": granted.claims, "agent": "drain" if self.agent["drain"] else "run"}
        reply |= {"slots": slots_of(self.agent), "quarantine": self.agent["quarantine"]}
        _failpoints.reach(*self.places("before_commit", granted))
        return Outcome(reply, granted, changes, accepted)

    def places(self, when: str, granted: Granted) -> list[str]:
        """Return the names of what this message does, for tests that kill the coordinator while it does that."""
        does = {"ship": bool(self.header.parts), "exit": bool(self._exited()), "claim": bool(granted.claims)}
        return [f"{what}.{when}" for what, is_so in does.items() if is_so]

    def grant(self, tx: Connection, changes: Changes, so_far: Granted | None = None) -> Granted:
        """Return what the agent may claim, nothing if it does not ask; ``so_far`` is what it was granted already."""
        header = self.header
        if header.claim_key is None or header.free_slots <= 0 or self._is_closed(changes):
            return Granted()
        found = machine(self.agent)
        wanted = min(header.free_slots, found.slots)
        free = Free.read(header.free)
        for claim in () if so_far is None else so_far.claims:
            free.take(claim["needs"])
        asker = Asker(found.id, found.name, found.slots, header.claim_key, wanted, found, free)
        return self.dispatcher.grant(tx, asker, self.now, self.clock, changes, so_far)

    def _is_closed(self, changes: Changes) -> bool:
        is_new = self.agent["id"] in changes.agents  # put into quarantine by this very message
        return bool(self.agent["drain"]) or self.agent["quarantine"] is not None or is_new

    # -- whose attempts -----------------------------------------------------------------------------------------

    def _mentioned(self) -> set[JobAttempt]:
        told = {(part.job, part.attempt) for part in self.header.parts}
        told |= {(event.job, event.attempt) for event in self.header.events}
        return told | set(self.header.held)

    def _exited(self) -> set[JobAttempt]:
        return {(event.job, event.attempt) for event in self.header.events if event.event == "exited"}

    def _rows(self, tx: Connection, told: set[JobAttempt]) -> dict[JobAttempt, dict[str, Any]]:
        if not told:
            return {}
        ids = {job_id for job_id, _ in told}
        found = tx.execute(_ATTEMPTS, {"ids": list(ids), "its_agent": self.agent["id"]})
        rows = {(row["job"], row["attempt"]): dict(row) for row in found.mappings()}
        return {key: row for key, row in rows.items() if key in told}

    def _mine(self, tx: Connection, changes: Changes) -> dict[JobAttempt, dict[str, Any]]:
        """Return the attempts that this agent may report on: its own, the newest of their job, and not over."""
        mine = {}
        for key, row in self._rows(tx, self._mentioned()).items():
            if row["attempt"] != row["newest"]:
                continue
            if self.is_shared and (row["state"] == LOST or row["job_state"] == DRAINING):
                raise DecidesMore
            if row["state"] == LOST and row["job_state"] == QUEUED:
                self._take_back(tx, row, changes)
            if row["state"] == HELD and row["job_state"] in WITH_AGENT:
                mine[key] = row
                if row["unreachable"]:
                    tx.execute(update(jobs).where(jobs.c.id == row["job"]).values(unreachable=False))
                    changes.of_job(_job(tx, row["job"]))
        return mine

    def _take_back(self, tx: Connection, row: dict[str, Any], changes: Changes) -> None:
        """The attempt was given up, but nobody has claimed the job since: it goes on as if nothing had been."""
        if not states.move_job(tx, row["job"], "come_back", of_attempt=row["attempt"], unreachable=False, message=None):
            return
        key = and_(attempts.c.job == row["job"], attempts.c.attempt == row["attempt"])
        tx.execute(update(attempts).where(key).values(state=HELD, message=None))
        row |= {"state": HELD, "job_state": states.RUNNING, "unreachable": False}
        changes.of_job(_job(tx, row["job"]))

    def _standing(self, tx: Connection) -> tuple[dict[str, Any], list[JobAttempt]]:
        """Return how each attempt that was mentioned stands now."""
        reply: dict[str, Any] = {"ended": [], "incomplete": [], "fenced": [], "desired": []}
        accepted = []
        told = self._mentioned()
        rows = self._rows(tx, told)
        for key in sorted(told):
            row = rows.get(key)
            if row is not None and row["state"] in (ENDED, RELEASED):
                reply["ended"].append(key)
            elif row is None or row["state"] != HELD or row["attempt"] != row["newest"]:
                reply["fenced"].append(key)
            else:
                accepted.append(key)
                if row["job_state"] == DRAINING:
                    reply["incomplete"].append(key)
                elif row["desired"] != "run":
                    reply["desired"].append([*key, row["desired"], row["desired_cause"]])
        return reply, accepted

    # -- what it brings -----------------------------------------------------------------------------------------

    def _store_parts(
        self, tx: Connection, mine: Mapping[JobAttempt, Any], changes: Changes
    ) -> list[tuple[str, int, str, int]]:
        acked = []
        for part, data in zip(self.header.parts, self.parts, strict=True):
            if (part.job, part.attempt) not in mine:
                continue
            received = self.arrived.get((part.job, part.attempt, part.stream))
            if received is not None:
                files.store_content(tx, part.job, part.attempt, part.stream, received, self.now)
                acked.append((part.job, part.attempt, part.stream, received.acked))
            elif is_stream(part.stream):
                acked.append((part.job, part.attempt, part.stream, store_part(tx, part, data, changes)))
                changes.of_job({"id": part.job, "optimization": None})
        return acked

    def _prune(self, tx: Connection, mine: Mapping[JobAttempt, dict[str, Any]], changes: Changes) -> None:
        arrived = {job_id for job_id, _, _ in changes.points}
        over = self._exited()
        for key, row in mine.items():
            is_going_on = row["job_state"] in (states.PREPARING, states.RUNNING) and row["desired"] == "run"
            if key[0] in arrived and key not in over and is_going_on and row["optimization"] is not None:
                self.pruner.look(tx, key[0], row["optimization"], changes)

    def _happen(
        self, tx: Connection, mine: Mapping[JobAttempt, dict[str, Any]], event: Event, changes: Changes
    ) -> None:
        row = mine.get((event.job, event.attempt))
        react = _REACTIONS.get(event.event)
        if row is None or react is None:
            return
        job = _job(tx, event.job)
        react(self, tx, job, event, changes)
        if event.event in _ENDS:
            changes.of_job(job)
        else:
            changes.of_state(job)

    def _started(self, tx: Connection, job: dict[str, Any], event: Event, changes: Changes) -> None:
        resolving.resolve(tx, job, event.commit, changes)
        if states.move_job(tx, job["id"], "run", of_attempt=event.attempt, started_at=self.now):
            self._note(tx, event, started_at=self.now, python=event.python)

    def _stopping(self, tx: Connection, job: dict[str, Any], event: Event, changes: Changes) -> None:
        states.move_job(tx, job["id"], "stop", of_attempt=event.attempt)

    def _paused(self, tx: Connection, job: dict[str, Any], event: Event, changes: Changes) -> None:
        states.move_job(tx, job["id"], "pause", of_attempt=event.attempt)

    def _continued(self, tx: Connection, job: dict[str, Any], event: Event, changes: Changes) -> None:
        states.move_job(tx, job["id"], "go_on", of_attempt=event.attempt)

    def _over(self, tx: Connection, job: dict[str, Any], event: Event, changes: Changes) -> None:
        ends.accept_exit(tx, job, read_exit(event.exit), self.now, changes)

    def _not_prepared(self, tx: Connection, job: dict[str, Any], event: Event, changes: Changes) -> None:
        self._note(tx, event, state=RELEASED, ended_at=self.now, message=event.message)
        if event.reason == "infra":
            ends.give_back(tx, job, self.now, changes, event.message)
            return
        if resolving.is_hopeless(job, event.reason):
            resolving.give_up(tx, job, self.now, changes, event.message)
            return
        reason = event.reason if event.reason in ("checkout", "error") else "error"
        (attempt,) = reads.rows_of_attempt(tx, attempts, job["id"], event.attempt)
        if quarantine.is_suspect(tx, job, attempt, "error"):
            quarantine.note(tx, job, attempt, self.now, changes)
            ends.give_back(tx, job, self.now, changes, event.message)
            return
        message = f"{ends.label(job)} could not start: {event.message or 'the agent does not say why.'}"
        ends.conclude(tx, job, Verdict(FAILED, reason, message), self.now, changes)

    def _released(self, tx: Connection, job: dict[str, Any], event: Event, changes: Changes) -> None:
        self._note(tx, event, state=RELEASED, ended_at=self.now, message=event.message)
        if event.reason == "lost":
            ends.count_lost(tx, job, self.max_lost, self.now, changes, event.message or "its agent does not say why.")
        else:
            ends.give_back(tx, job, self.now, changes, event.message)

    def _note(self, tx: Connection, event: Event, **values: Any) -> None:
        states.note_attempt(tx, event.job, event.attempt, **values)


_ATTEMPTS = (
    select(attempts.c.job, attempts.c.attempt, attempts.c.state, jobs.c.state.label("job_state"))
    .add_columns(jobs.c.attempt.label("newest"), jobs.c.desired, jobs.c.desired_cause, jobs.c.unreachable)
    .add_columns(jobs.c.optimization)
    .join(jobs, jobs.c.id == attempts.c.job)
    .where(attempts.c.job.in_(bindparam("ids", expanding=True)), attempts.c.agent == bindparam("its_agent"))
    .order_by(attempts.c.job, attempts.c.attempt)
    .with_for_update(of=attempts, key_share=True)
)
_REACTIONS: Mapping[str, Callable[..., None]] = {
    "running": Message._started,
    "stopping": Message._stopping,
    "paused": Message._paused,
    "continued": Message._continued,
    "exited": Message._over,
    "prepare_failed": Message._not_prepared,
    "released": Message._released,
}
_ENDS = ("exited", "prepare_failed", "released")


def is_content(stream: str) -> bool:
    """Return whether this stream is the content of a file."""
    name = stream.removeprefix(_layout.FILE_STREAM)
    return name != stream and read_name(name) is not None


def is_stream(name: str) -> bool:
    """Return whether ``name`` is a stream: the log, or the journal of one writer."""
    writer = name.removeprefix(_layout.JOURNAL_STREAM)
    return name == _layout.LOG_STREAM or (writer != name and 0 < len(writer) <= 64 and "/" not in writer)


class _Stream(msgspec.Struct):
    bytes: int
    crc: int = 0
    cut: int | None = None


class _Exit(msgspec.Struct):
    exit_code: int | None = None
    signal: int | str | None = None
    cause: str | None = None
    error: str | None = None
    duration_s: float | None = None
    log: _Stream | None = None
    journals: dict[str, _Stream] | None = None
    files: list[str] = []  # contents that the agent holds


def read_exit(found: dict[str, Any] | None) -> dict[str, Any]:
    """Return exit.json, known to hold what decisions need; raise `UsageError` naming what is wrong with it."""
    try:
        checked = msgspec.convert(found or {}, _Exit)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"exit.json cannot be read: {error}.", "Install the agent of this coordinator's version."
        ) from None
    return {**(found or {}), **msgspec.to_builtins(checked)}


def save_heartbeat(tx: Connection, agent_id: str, now: float, seen: Mapping[str, Any] | None) -> None:
    """Note for people when the agent was heard of and how busy its machine is."""
    values: dict[str, Any] = {"seen_at": now}
    if seen is not None:
        usage.note(tx, agent_id, seen, now)
        values["usage"] = dict(seen)
    tx.execute(update(agents).where(agents.c.id == agent_id).values(**values))


def _job(tx: Connection, job_id: str) -> dict[str, Any]:
    return reads.job(tx, job_id)
