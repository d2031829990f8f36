"""An agent in this very process, which runs a Python function instead of commands.

It speaks the agents' protocol like any other: one slot, claims, journals shipped from acknowledged offsets, exits. What
it does not have is a process of the trial: there are no limits by signal, and a stop is only shown
(`job.should_stop()`). A coordinator that does not answer is waited for: nothing is lost, for the journal is a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bough import _layout
from bough._job import Job
from bough._journal import Journal, say
from bough._values import Values
from bough.errors import Conflict, Unavailable
from bough.version import __version__
from bough_agent.home import boot_id
from bough_agent.link import Backoff, Link
from bough_agent.messages import Claim, Json, Reply
from bough_agent.shipping import Shipment

PREFIX = "in-process:"  # the coordinator gives such agents only what names them
_BUDGET = 3 << 20  # bytes of parts in a message
_BELL_S = 20.0
SILENT_S = 5.0  # before it is said that nobody answers


class Attempt:
    """One trial that this process runs.

    Attributes:
        claim: What was granted.
        job: As a script sees it: values, channels, progress.
        folder: Its attempt's folder.
    """

    def __init__(self, claim: Claim, folder: Path, journal: Journal) -> None:
        self.claim = claim
        self.folder = folder
        self.stop_cause: str | None = None
        self.is_fenced = False
        shutil.rmtree(folder, ignore_errors=True)
        for name in (_layout.JOURNALS, _layout.CONTROL):
            (folder / name).mkdir(parents=True, mode=0o700)
        journal.move(str(folder / _layout.JOURNALS))
        self._journal = journal
        facts: dict[str, object] = {
            "job_id": claim.job_id, "attempt": claim.attempt, "model": claim.model, "optimization": claim.optimization,
            "number": claim.number, "commit": claim.commit, "kpi": dict(claim.kpi), "max_epochs": None,
            "checkpoint_dir": str(folder / "checkpoints"),
        }  # fmt: skip
        self.job = Job(facts, str(folder), Values(dict(claim.values)), journal)
        self.shipment = Shipment(folder, claim.key)
        self._started_at, self._started = time.time(), time.monotonic()

    def stop(self, cause: str | None) -> None:
        """Show the function that it is to end: `job.should_stop()`."""
        self.stop_cause = cause
        (self.folder / _layout.STOP).write_text(json.dumps({"cause": cause, "at": time.time()}), encoding="utf-8")

    def ended(self, error: str | None) -> Json:
        """Return exit.json: with ``error`` the function has raised, and that text is what it said."""
        (self.folder / _layout.LOG).write_text("" if error is None else error + "\n", encoding="utf-8")
        path = Path(str(self._journal.path))
        content = path.read_bytes() if path.exists() else b""
        log = (self.folder / _layout.LOG).read_bytes()
        return {
            "job_id": self.claim.job_id, "attempt": self.claim.attempt, "exit_code": 0 if error is None else 1,
            "signal": None, "command": "1", "cause": self.stop_cause, "error": None, "started_at": self._started_at,
            "ended_at": time.time(), "duration_s": time.monotonic() - self._started, "stopped_at": None, "ladder": [],
            "log": {"bytes": len(log), "crc": zlib.crc32(log)},
            "journals": {self._journal.writer: {"bytes": len(content), "crc": zlib.crc32(content), "cut": None}},
            "usage": None,
        }  # fmt: skip


class InProcessAgent:
    """Registers on `connect`; then `claim`, `running` and `end` in turns, from one thread.

    Args:
        url: Of the coordinator.
        key: Of the scope admin or agent.
        folder: For the attempts' files; removed by `close`.
    """

    def __init__(self, url: str, key: str, folder: Path) -> None:
        self._url, self._key, self._folder = url, key, folder
        self._link = Link(url, key)
        self._lock = threading.Lock()  # one message at a time: the main thread's or the heartbeat's
        self._epoch = uuid.uuid4().hex
        self._backoff = Backoff(random.Random())
        self._journal = Journal(None)
        self._heartbeat_s = 5.0
        self._bell = -1
        self._id = ""
        self._given: list[Claim] = []  # granted, and not run yet
        self._current: Attempt | None = None
        self.name = ""

    def connect(self, name: str) -> str:
        """Register under a name that begins with `PREFIX`, or the first free one like it; return that."""
        facts = {
            "slots": 1,
            "epoch": self._epoch,
            "version": __version__,
            "boot_id": boot_id(),
            "host": os.uname().nodename,
        }
        for number in range(1, 1000):
            self.name = PREFIX + (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(Conflict):  # another live process of this name
                told = self._link.register({**facts, "name": self.name})
                self._id, self._heartbeat_s = told["agent_id"], float(told.get("heartbeat_s", 5.0))
                return self.name
        raise Conflict(f"a thousand agents called {PREFIX}{name} are connected.", "End some.")

    def close(self) -> None:
        """Forget everything; what was not delivered is lost."""
        self._journal.move(None)
        self._link.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def claim(self, is_over: Callable[[], bool] = lambda: False) -> Attempt | None:
        """Return the next trial, or None where there is none within some seconds, or at once when ``is_over()``."""
        if not self._given:
            bell = self._bell
            reply = self._exchange(wants=True)
            if not reply.granted:
                if is_over():
                    return None
                with contextlib.suppress(Unavailable):
                    self._bell = self._link.bell(self._id, max(bell, reply.bell), _BELL_S)
                return None
        claim = self._given.pop(0)
        self._current = Attempt(claim, self._folder / f"{claim.job_id}.{claim.attempt}", self._journal)
        return self._current

    def end(self, attempt: Attempt, error: str | None, wants: bool = True) -> None:
        """Deliver a trial whose function has returned or, with ``error``, raised; claim the next one with it."""
        if error is not None:
            attempt.job._end("fail", error.splitlines()[-1])
        exit = attempt.shipment.close(attempt.ended(error))
        events = [{"event": "running", "at": exit["started_at"]}, {"event": "exited", "exit": exit}]
        self._deliver(attempt, events, wants)

    def ship(self, attempt: Attempt) -> None:
        """Send what the trial has reported so far; `Attempt.stop_cause` is set if it is to end."""
        with self._lock:
            self._patiently(attempt, [{"event": "running", "at": time.time()}], None)

    def release(self, attempt: Attempt, message: str) -> None:
        """Give a trial back unburnt."""
        self._deliver(attempt, [{"event": "released", "reason": None, "message": message}], wants=False)

    @contextlib.contextmanager
    def running(self, attempt: Attempt) -> Iterator[None]:
        """Keep the lease alive and ship what is reported while the block runs."""
        over = threading.Event()
        beating = threading.Thread(target=self._beat, args=(attempt, over), name="bough-heartbeat", daemon=True)
        beating.start()
        try:
            yield
        finally:
            over.set()

    # -- messages --
    def _beat(self, attempt: Attempt, over: threading.Event) -> None:
        event: Json | None = {"event": "running", "at": time.time()}
        while not over.wait(self._heartbeat_s if event is None else min(1.0, self._heartbeat_s)):
            with self._lock:
                if over.is_set():
                    return
                with contextlib.suppress(Unavailable):  # the next one will do
                    self._send(attempt, [event] if event is not None else [], None)
                    event = None

    def _deliver(self, attempt: Attempt, events: list[Json], wants: bool) -> None:
        """Send events with all bytes, as often as it takes."""
        claim_key = uuid.uuid4().hex if wants else None
        while True:
            with self._lock:
                reply = self._patiently(attempt, events, claim_key)
            is_over = attempt.claim.key in reply.ended or attempt.claim.key in reply.fenced or attempt.is_fenced
            if is_over:
                break
        self._current = None
        shutil.rmtree(attempt.folder, ignore_errors=True)

    def _exchange(self, wants: bool) -> Reply:
        with self._lock:
            return self._patiently(None, [], uuid.uuid4().hex if wants else None)

    def _patiently(self, attempt: Attempt | None, events: list[Json], claim_key: str | None) -> Reply:
        asked, was_said = time.monotonic(), False
        while True:
            try:
                reply = self._send(attempt, events, claim_key)
            except Unavailable as error:
                if not was_said and time.monotonic() - asked > SILENT_S:
                    say(f"{error} Nothing is lost; it is waited for.")
                    was_said = True
                time.sleep(self._backoff.next_s())
                continue
            self._backoff.reset()
            return reply

    def _send(self, attempt: Attempt | None, events: list[Json], claim_key: str | None) -> Reply:
        parts = attempt.shipment.take(_BUDGET) if attempt is not None else []
        held = [claim.key for claim in self._given] + ([attempt.claim.key] if attempt is not None else [])
        header: Json = {
            "epoch": self._epoch, "free_slots": 1 if claim_key else 0, "claim_key": claim_key, "usage": None,
            "held": [list(key) for key in held],
            "events": [{**_which(attempt.claim), **event} for event in events] if attempt is not None else [],
        }  # fmt: skip
        reply = self._link.sync(self._id, header, parts)
        self._take(attempt, reply)
        return reply

    def _take(self, attempt: Attempt | None, reply: Reply) -> None:
        known = {claim.key for claim in self._given}
        self._given += [claim for claim in reply.granted if claim.key not in known]
        self._bell = reply.bell
        if attempt is None:
            return
        for key, stream, offset in reply.acked:
            if key == attempt.claim.key:
                attempt.shipment.acknowledge(stream, offset)
        attempt.is_fenced = attempt.is_fenced or attempt.claim.key in reply.fenced
        wanted = reply.desired.get(attempt.claim.key)
        if (wanted is not None or attempt.is_fenced) and attempt.stop_cause is None:
            attempt.stop(wanted[1] if wanted is not None else None)


def _which(claim: Claim) -> Mapping[str, Any]:
    return {"job": claim.job_id, "attempt": claim.attempt}
