"""An agent's conversation with its coordinator: one request at a time, each with all that there is to say.

Heartbeat, bytes, events and the wish for more work go together (docs/protocol.md §2). So a trial that does nothing
costs two requests: one that claims it, and one that delivers it whole and claims the next. Every request may be sent
again, and is, for ever; what the coordinator refuses for one attempt's sake holds up no other.
"""

from __future__ import annotations

import os
import random
import socket
import uuid
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from bough import _failpoints
from bough.errors import BoughError, Denied, NotFound, Unavailable, UsageError
from bough.version import __version__
from bough_agent import brain, commands, resources, shares
from bough_agent.books import Books
from bough_agent.brain import Phase
from bough_agent.config import AgentConfig
from bough_agent.link import Backoff, Fault, Link, TooLarge
from bough_agent.listeners import Bell, Line
from bough_agent.messages import Json, Key, Reply
from bough_agent.parts import Part
from bough_agent.shipping import collect

SHIP_S = 0.5  # what is not urgent waits at most so long
BUDGET_BYTES = 3 << 20  # of parts in one sync; the whole may have 4 MiB
BUDGET_LEAST_BYTES = 64 << 10
SET_ASIDE_S = 10.0  # how long nothing is said of an attempt whose report is a fault to the coordinator


@dataclass(frozen=True)
class _Sync:
    """What the request under way carries."""

    sent: int  # number of the last report in it
    asked: bool
    quitting: bool
    about: frozenset[Key] | None  # the attempts of which it carries reports; None: of all


class Conversation:
    """One agent's side.

    Args:
        config: How the agent runs.
        key: Its key.
        identity: What tells this process from another agent of its name: epoch and boot id.
        books: What is known, and what is to be shipped.
        queue: Of the main loop: answers and the ringing of the bell come into it.

    Attributes:
        is_urgent: There is something to say at once.
        is_asking: A request is under way, a sync or the introduction.
        claim_key: Of slots that were offered, until that was answered; None when none are.
        heartbeat_s: How often the coordinator wants to hear something.
        synced_at: When the last sync was sent, on the agent's clock.
        retry_at: No request before that.
        said_goodbye: The coordinator knows that this agent is stopping.
    """

    def __init__(
        self, config: AgentConfig, key: str, identity: tuple[str, str], books: Books, queue: SimpleQueue[Any]
    ) -> None:
        rng = random.Random()
        self._config = config
        self._books = books
        self._queue = queue
        self._epoch, self._boot_id = identity
        self._link = Link(config.url, key)
        self._bell_link = Link(config.url, key)
        self._line = Line(queue)
        self._bell: Bell | None = None
        self._backoff = Backoff(rng)
        self._bell_backoff = Backoff(rng)
        self._apart: list[frozenset[Key]] = []  # after a refused sync: whose reports the next ones carry
        self._set_aside: dict[Key, float] = {}  # attempts whose reports are refused: nothing of them until then
        self._agent_id: str | None = None
        self._sync: _Sync | None = None
        self._claimed = 0  # how many slots were offered with the claim key
        self._budget = BUDGET_BYTES
        self._turn = 0  # whose parts are first in the next sync
        self._measured_at = float("-inf")
        resources.usage(config.home)  # the first look at the CPUs only begins the time over which the next one tells
        self._refusal: str | None = None
        self._complaint: str | None = None
        self.is_urgent = True
        self.is_asking = False
        self.claim_key: str | None = None
        self.heartbeat_s = 5.0
        self.synced_at = float("-inf")
        self.retry_at = float("-inf")
        self.said_goodbye = False

    def start(self) -> None:
        """Begin to answer requests, in a thread."""
        self._line.start()

    def stop(self) -> None:
        """Say no more."""
        if self._bell is not None:
            self._bell.stop()
        self._line.stop()
        self._link.close()
        self._bell_link.close()

    def forget(self, key: Key) -> None:
        """Drop what is known of an attempt that is no longer this agent's."""
        self._set_aside.pop(key, None)

    def ask(self, now: float) -> None:
        """Start a request when one is due and none is under way."""
        if self.is_asking or now < self.retry_at:
            return
        if self._agent_id is None:
            self.is_asking = True
            body = self._introduction()
            self._line.ask(lambda: self._link.register(body))
        elif self._is_due(now):
            self._send(self._agent_id, now)

    def _is_due(self, now: float) -> bool:
        if self.is_urgent or now >= self.synced_at + self.heartbeat_s:
            return True
        if now < self.synced_at + SHIP_S:
            return False
        is_waiting = bool(self._books.mind.outbox) or bool(self._books.exits)
        return is_waiting or any(shipment.grown() for shipment in self._books.shipments.values())

    def _introduction(self) -> Json:
        return {
            "name": self._config.name,
            "slots": self._config.slots,
            "version": __version__,
            "epoch": self._epoch,
            "boot_id": self._boot_id,
            "host": socket.gethostname(),
            "system": resources.system(),
            "labels": list(self._config.labels),
            "offers": self._books.offers.wire(),
        }

    def _send(self, agent_id: str, now: float) -> None:
        usage = self._measure(now)
        about = self._about(now)
        parts = self._parts(about)
        free = 0 if self._refusal else brain.free_slots(self._books.mind, now)
        if free and self.claim_key is None:
            self.claim_key = str(uuid.uuid4())
        if self.claim_key is not None:
            # Kept until it was answered, and asked no less: what was granted in a lost reply comes again.
            free = self._claimed = max(free, self._claimed)
        header = {
            "epoch": self._epoch,
            "free_slots": free,
            "claim_key": self.claim_key,
            "held": [list(key) for key, held in self._books.mind.held.items() if not held.fenced],
            "events": [event for _, event in self._books.mind.outbox if _is_about(event, about)]
            + self._endings(parts, about),
            "usage": usage,
            "free": shares.rest(self._books.mind.stock, brain.taken(self._books.mind)),
        }
        sent = self._books.mind.outbox[-1][0] if self._books.mind.outbox else 0
        self._sync = _Sync(sent, self.claim_key is not None, self._books.mind.quitting is not None, about)
        self.is_asking, self.is_urgent, self.synced_at = True, False, now
        self._line.ask(lambda: self._link.sync(agent_id, header, parts))

    def _about(self, now: float) -> frozenset[Key] | None:
        """Return the attempts whose reports the next sync carries; None: all."""
        self._set_aside = {key: until for key, until in self._set_aside.items() if now < until}
        if self._apart:
            return self._apart[0]
        return self._reporting() - self._set_aside.keys() if self._set_aside else None

    def _reporting(self) -> frozenset[Key]:
        """Return the attempts of which there may be something to say."""
        return frozenset(self._books.mind.held) | {_key(event) for _, event in self._books.mind.outbox}

    def _parts(self, about: frozenset[Key] | None) -> list[Part]:
        keys = [key for key, held in self._books.mind.held.items() if key in self._books.shipments and not held.fenced]
        keys = [key for key in keys if about is None or key in about]
        self._turn += 1
        parts = collect([self._books.shipments[key] for key in keys], self._budget, self._turn % max(1, len(keys)))
        for key in keys:
            if self._books.shipments[key].fault is not None and self._books.mind.held[key].takes_slot:
                self._books.step(brain.Tampered(key))
        return parts

    def _endings(self, parts: list[Part], about: frozenset[Key] | None) -> list[Json]:
        """Return the exits of all attempts whose bytes are all delivered, or are so with these parts."""
        return [
            {"job": key[0], "attempt": key[1], "event": "exited", "exit": exit}
            for key, exit in self._books.exits.items()
            if (about is None or key in about)
            and self._books.mind.held[key].phase is Phase.EXITED
            and self._books.shipments[key].is_covered(parts)
        ]

    def _measure(self, now: float) -> Json | None:
        """Look at the machine once per heartbeat."""
        if now < self._measured_at + self.heartbeat_s:
            return None
        self._measured_at = now
        seen = resources.usage(self._config.home, () if self._books.watch is None else self._books.watch.seen)
        refusal = resources.refusal(seen)
        if refusal != self._refusal:
            self._books.say(refusal or "there is room on the disk again: taking jobs")
        self._refusal = refusal
        return seen.wire()

    def answered(self, value: Any, error: Exception | None, now: float) -> None:
        """Take in what came of the request under way."""
        self.is_asking = False
        sync, self._sync = self._sync, None
        if error is not None:
            self._failed(error, now, is_first=sync is None)
            if sync is not None and isinstance(error, UsageError | Fault | TooLarge):
                self._doubt(sync, error, now)
        elif sync is None:
            self._introduced(value)
        else:
            self._replied(value, sync, now)

    def _introduced(self, reply: Json) -> None:
        self._agent_id = str(reply["agent_id"])
        self.heartbeat_s = min(60.0, max(0.5, float(reply.get("heartbeat_s") or 5.0)))
        self.is_urgent = True
        self._recovered(
            f"connected to {self._config.coordinator_url} as {self._config.name}, {self._books.mind.slots} slots; "
            f"jobs that ask for CPU and memory are limited by {self._books.offers.confinement}"
            + ("; warning: as root, and so are its jobs: a user of its own is safer" if _is_root() else "")
        )
        if self._bell is not None:
            self._bell.stop()
        self._bell = Bell(self._bell_link, self._agent_id, self._queue, self._bell_backoff)
        self._bell.start()

    def _replied(self, reply: Reply, sync: _Sync, now: float) -> None:
        _failpoints.reach("answered", *(["granted"] if reply.granted else []))
        self._recovered("connected again" if self._complaint else None)
        has_moved = False
        for key, stream, offset in reply.acked:
            shipment = self._books.shipments.get(key)
            if shipment is not None:
                has_moved |= shipment.acknowledge(stream, offset)
        for key in reply.incomplete & self._books.exits.keys():
            shipment = self._books.shipments[key]
            if shipment.is_covered([]):  # it is said to have less than it had acknowledged, and nothing else would tell
                shipment.rewind()
        if sync.asked:
            self.claim_key, self._claimed = None, 0
        self.said_goodbye |= sync.quitting
        if self._books.calls is not None:
            self._books.calls.tell(reply.actions)
        self._books.step(brain.Replied(reply, sync.sent, now, sync.asked, sync.about))
        if self._apart:
            self._apart = self._apart[1:]
            self.is_urgent = True
        if has_moved and any(shipment.grown() for shipment in self._books.shipments.values()):
            self.is_urgent = True

    def _failed(self, error: Exception, now: float, is_first: bool) -> None:
        """Try again for ever; only an agent that was never let in, and has no jobs, gives up."""
        self.retry_at = now + self._backoff.next_s()
        self.is_urgent = True
        if isinstance(error, TooLarge):
            self._budget = max(BUDGET_LEAST_BYTES, self._budget // 2)
        elif isinstance(error, NotFound):
            self._agent_id = None  # the coordinator does not know us any more: introduce ourselves again
        is_hopeless = isinstance(error, BoughError) and not isinstance(error, Unavailable | TooLarge)
        if is_first and is_hopeless and not self._books.mind.held:
            raise error
        text = commands.sentence(error)
        if isinstance(error, Denied):
            text += " Running jobs go on and keep what they report; no new ones are taken."
        if text != self._complaint:
            self._books.say(text)
        self._complaint = text

    def _doubt(self, sync: _Sync, error: Exception, now: float) -> None:
        """The coordinator does not take what we say: find out of whom, so that the others' reports go on.

        One message without any report first: when that is refused too, it is not for what a trial reported. Then one
        for each attempt.
        """
        if isinstance(error, TooLarge) and self._budget > BUDGET_LEAST_BYTES:
            return
        if sync.about is None or len(sync.about) > 1:
            self._apart = [frozenset(), *(frozenset({key}) for key in sorted(self._reporting()))]
            self.retry_at = now
            return
        self._apart = self._apart[1:] if sync.about else []
        for key in sync.about:
            self.retry_at = now
            self._refused(key, error, now)

    def _refused(self, key: Key, error: Exception, now: float) -> None:
        """Give up an attempt whose report is refused; a fault of the coordinator may be gone in a while."""
        if isinstance(error, Fault):
            self._set_aside[key] = now + SET_ASIDE_S
            return
        self._set_aside[key] = float("inf")
        if key in self._books.mind.held:
            why = f"the coordinator refuses what it reports ({commands.sentence(error)})"
            self._books.give_up(key, why)

    def _recovered(self, text: str | None) -> None:
        self._backoff.reset()
        self._complaint = None
        if text is not None:
            self._books.say(text)


def _key(event: Json) -> Key:
    return event["job"], event["attempt"]


def _is_about(event: Json, about: frozenset[Key] | None) -> bool:
    return about is None or _key(event) in about


def _is_root() -> bool:
    """Whether jobs have the rights of root; in a container that is the usual way, and less."""
    in_container = any(os.path.exists(mark) for mark in ("/.dockerenv", "/run/.containerenv"))
    return os.geteuid() == 0 and not in_container and "container" not in os.environ
