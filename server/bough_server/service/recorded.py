"""Jobs that ran without an agent and are brought here: once each, whoever brings them and how often.

What identifies such a job is the nonce that its script drew when it started. Its journals come by offset, as an agent's
do, in the same transaction as what they mean; sending them again is harmless, also from two machines at once. An agent
without slots, one per key, stands for whoever brings them: it is given no work and held to no lease.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from bough.errors import UsageError
from bough_server.service import actions, definitions, quotas, states
from bough_server.service.changes import Changes
from bough_server.service.ends import HELD
from bough_server.service.identity import Key, require_owner
from bough_server.service.ingest import Part
from bough_server.service.optimizations import code_of
from bough_server.service.sync import Event, Header
from bough_server.service.trials import FRESH
from bough_server.store import reads
from bough_server.store.schema import agents, attempts, jobs, recorded, streams

_NONCE = re.compile(r"[0-9a-f]{32}")
_ID = re.compile(r"[a-z][a-z0-9]{7}")
MAX_VALUES = 10_000


class Piece(msgspec.Struct, frozen=True):
    """Some bytes of one journal, or of the content of a file."""

    stream: str
    offset: int
    bytes: int
    crc: int


class Told(msgspec.Struct, frozen=True):
    """What a message says of a recorded job.

    Args:
        definition: bough.yml as JSON; at least the model and a command.
        commit: 40 hexadecimal digits; in the coordinator's repository of the model.
        job_id: The id its script knows; taken if it is free.
        values: Flat, by full path.
        folder: Of the model in the repository.
        source: Where the code came from.
        host: Where it ran.
        python: Its interpreter.
        started_at: Seconds since the epoch by the clock of that machine; for display.
        ended_at: The same.
        parts: What of its journals follows.
        exit: How it ended, as exit.json; None while it runs.
    """

    definition: dict[str, Any]
    commit: str
    job_id: str = ""
    values: dict[str, Any] = {}
    folder: str = ""
    source: dict[str, Any] = {}
    host: str = ""
    python: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    parts: list[Piece] = []
    exit: dict[str, Any] | None = None


def read_told(header: Any) -> Told:
    """Return the checked header; raise `UsageError` naming what is wrong with it."""
    try:
        told = msgspec.convert(header, Told)
    except msgspec.ValidationError as error:
        raise UsageError(f"the recorded job cannot be read: {error}.", "Use the bough of this version.") from None
    if len(told.values) > MAX_VALUES or not all(
        isinstance(value, str | int | float | bool) for value in told.values.values()
    ):
        raise UsageError("the values of the recorded job are no flat mapping of values.", "See docs/protocol.md.")
    return told


def find_or_make(
    tx: Connection, key: Key, nonce: str, told: Told, now: float, new_id: Callable[[], str], changes: Changes
) -> dict[str, Any]:
    """Return the row of the job with that nonce; it is made by the first message.

    Raises:
        UsageError: The nonce, the definition or the commit is wrong.
        Forbidden: The model is another user's.
    """
    if not _NONCE.fullmatch(nonce):
        raise UsageError(f"{nonce[:40]!r} is no nonce of a recorded job.", "It is 32 hexadecimal digits in job.json.")
    known = tx.execute(select(recorded.c.job).where(recorded.c.nonce == nonce)).scalar_one_or_none()
    if known is not None:
        job = reads.job(tx, known)
        require_owner(key, job["model"])
        return job
    made = _make(tx, key, told, nonce, now, new_id)
    tx.execute(insert(recorded), {"nonce": nonce, "job": made, "created_at": now})
    job = reads.job(tx, made)
    changes.of_job(job)
    return job


def _make(tx: Connection, key: Key, told: Told, nonce: str, now: float, new_id: Callable[[], str]) -> str:
    found = definitions.parse(told.definition)
    require_owner(key, found.model)
    quotas.of_jobs(tx, found.model)
    agent = _bringer(tx, key, told, now, new_id)
    job_id = told.job_id
    if not _ID.fullmatch(job_id) or tx.execute(select(jobs.c.id).where(jobs.c.id == job_id)).first() is not None:
        job_id = new_id()
    started_at = now if told.started_at is None else min(told.started_at, now)
    code = code_of({"commit": told.commit, "folder": told.folder, "source": told.source}, None)
    row = {
        "id": job_id,
        "model": found.model,
        "revision": definitions.revise(tx, found, now, key.id),
        "state": states.RUNNING,
        "values": told.values,
        "priority": 0,
        "created_at": started_at,
        "started_at": started_at,
        "created_by": key.id,
        "attempt": 1,
        "agent": agent,
        **code,
    }
    tx.execute(insert(jobs), {**FRESH, **row})
    attempt = {"job": job_id, "attempt": 1, "agent": agent, "marker": nonce, "claim_key": nonce, "state": HELD}
    times = {"claimed_at": started_at, "started_at": started_at, "python": told.python, "progressed": False}
    tx.execute(insert(attempts), attempt | times)
    return str(job_id)


def _bringer(tx: Connection, key: Key, told: Told, now: float, new_id: Callable[[], str]) -> str:
    """Return the id of what stands for the machine: an agent of this key without slots."""
    name = f"{told.host[:50] or 'somewhere'} (by hand)"
    mine = (agents.c.name == name) & (agents.c.key == key.id)
    known = tx.execute(select(agents.c.id).where(mine)).scalar_one_or_none()
    if known is not None:
        return str(known)
    row = {"id": new_id(), "name": name, "key": key.id, "epoch": "", "slots": 0, "version": "", "boot_id": ""}
    more = {"host": told.host, "system": {}, "labels": [], "drain": True, "registered_at": now, "seen_at": now}
    tx.execute(insert(agents), row | more)
    return str(row["id"])


def as_header(job: Mapping[str, Any], told: Told) -> Header:
    """Return the message of an agent that says the same."""
    job_id: str = job["id"]
    parts = [Part(job_id, 1, piece.stream, piece.offset, piece.bytes, piece.crc) for piece in told.parts]
    events = [Event(job_id, 1, "exited", exit=told.exit)] if told.exit is not None else []
    return Header("", held=[(job_id, 1)], parts=parts, events=events)


def agent_of(tx: Connection, job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row that stands for who brought the job first."""
    return dict(tx.execute(select(agents).where(agents.c.id == job["agent"])).mappings().one())


def note_times(tx: Connection, job_id: str, told: Told, now: float) -> None:
    """Say of a job that has just ended when it did so, not when it was brought."""
    if told.ended_at is None:
        return
    job = reads.job(tx, job_id)
    ended_at = min(max(told.ended_at, job["started_at"]), now)
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(ended_at=ended_at))


def standing(tx: Connection, job_id: str, just_acked: Sequence[tuple[str, int, str, int]] = ()) -> dict[str, Any]:
    """Return what is known of a recorded job by now: its state, the bytes that are here, what is wanted of it.

    Args:
        tx: Of the message.
        job_id: The job.
        just_acked: Job, attempt, stream and bytes of what the message brought; files are not counted elsewhere.
    """
    job = reads.job(tx, job_id)
    acked = {stream: offset for _, _, stream, offset in just_acked}
    acked |= {row["stream"]: row["acked"] for row in reads.rows_of_attempt(tx, streams, job_id, 1)}
    ended = job["state"] in states.TERMINAL
    wanted = "stop" if ended or job["desired"] != "run" else "run"
    calls = [] if ended else [call for _, _, found in actions.waiting(tx, [(job_id, 1)]) for call in found]
    shown = {"job": job_id, "model": job["model"], "state": job["state"]}
    return {**shown, "ended": ended, "acked": acked, "desired": wanted, "actions": calls}


def is_by_hand(tx: Connection, job: Mapping[str, Any]) -> bool:
    """Whether the job runs without an agent, and was brought here."""
    slots = select(agents.c.slots).where(agents.c.id == job["agent"])
    return tx.execute(slots).scalar_one_or_none() == 0
