"""The agent's main loop: the shell around `bough_agent.brain`, which decides.

One queue brings everything that happened, one request to the coordinator is under way at a time, and each carries all
there is to say: heartbeat, bytes, events and the wish for more work. So a trial that does nothing costs two of them:
one that claims it, and one that delivers it whole and claims the next.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from bough import _layout
from bough.errors import BoughError, Denied, NotFound, Unavailable, UsageError
from bough.version import __version__
from bough_agent import attempts, brain, commands, home, injection, resources
from bough_agent.actions import Calls
from bough_agent.brain import Mind, Phase
from bough_agent.link import Backoff, Fault, Link, TooLarge
from bough_agent.listeners import Answer, Bell, Ear, Heard, Line, Rang
from bough_agent.messages import Json, Key, Reply, read_exit
from bough_agent.parts import Part
from bough_agent.shipping import Shipment, collect
from bough_agent.spawner_client import Spawner, SpawnerGone
from bough_agent.workspace import Workspace

LOOK_S = 0.5  # how often the files of running attempts are looked at
SHIP_S = 0.5  # what is not urgent waits at most so long
BUDGET_BYTES = 3 << 20  # of parts in one sync; the whole may have 4 MiB
BUDGET_LEAST_BYTES = 64 << 10
FLUSH_S = 10.0  # how long a stopping agent tries to say its last words
REQUEUE_GRACE_S = 10.0  # how long attempts have to end when the agent stops and gives them back
REQUEUE_S = 40.0  # then it leaves
SET_ASIDE_S = 10.0  # how long nothing is said of an attempt whose report is a fault to the coordinator
ORPHAN_S = 5.0  # how long a supervisor whose spawner has died may take to show itself


@dataclass(frozen=True)
class AgentConfig:
    """How an agent runs.

    Attributes:
        coordinator_url: Address of the coordinator.
        key: The agent's key; None: the one that was stored, or $BOUGH_SECURE_KEY.
        name: Its name at the coordinator; the same name is the same agent.
        slots: How many jobs it runs at a time.
        home: Its folder.
        on_term: What SIGTERM and Ctrl-C do: "detach" leaves running jobs to their supervisors, for an agent that comes
            back; "requeue" stops them and gives them back.
        max_jobs: End after so many jobs; None: never.
        exit_when_idle: End when there was nothing to do for ``idle_s`` seconds.
        labels: What jobs may ask for.
        allow_file: Whether models may be fetched from ``file://``.
    """

    coordinator_url: str
    key: str | None
    name: str
    slots: int
    home: Path
    on_term: str = "detach"
    max_jobs: int | None = None
    exit_when_idle: bool = False
    idle_s: float = 10.0
    labels: tuple[str, ...] = field(default=())
    allow_file: bool = False

    def __post_init__(self) -> None:
        if not self.coordinator_url.startswith(("http://", "https://")):
            raise UsageError(
                f"{self.coordinator_url!r} is no address of a coordinator.", "Use http://host:port or https://…"
            )
        if self.slots < 1 or (self.max_jobs is not None and self.max_jobs < 1):
            raise UsageError("an agent needs at least one slot, and one job to run.", "Use --slots 1 or more.")
        if self.on_term not in ("detach", "requeue"):
            raise UsageError(f"on_term {self.on_term!r} is not known.", "Use detach or requeue.")


@dataclass(frozen=True)
class _Signal:
    """The agent was asked to stop."""


@dataclass(frozen=True)
class _Sync:
    """What the request under way carries."""

    sent: int  # number of the last report in it
    asked: bool
    quitting: bool
    about: frozenset[Key] | None  # the attempts of which it carries reports; None: of all


def run(config: AgentConfig, say: Callable[[str], None] = print) -> int:
    """Run an agent until it is told to stop; return the exit code of its process.

    Args:
        config: How.
        say: Gets a line for the console now and then.

    Raises:
        BoughError: It cannot start: the folder is taken, the key is missing or wrong, the name is in use.
    """
    place = home.Home(config.home)
    try:
        key = place.key(config.key)
        os.environ.pop(_layout.KEY, None)
        with Spawner.start() as spawner:  # before any thread
            return _Daemon(config, place, key, spawner, say).run()
    finally:
        place.close()


class _Daemon:
    def __init__(
        self, config: AgentConfig, place: home.Home, key: str, spawner: Spawner, say: Callable[[str], None]
    ) -> None:
        url = config.coordinator_url.rstrip("/")
        rng = random.Random()
        self._config = config
        self._home = place
        self._say = say
        self._spawner = spawner
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._link = Link(url, key)
        self._bell_link = Link(url, key)
        self._line = Line(self._queue)
        self._bell: Bell | None = None
        self._backoff = Backoff(rng)
        self._bell_backoff = Backoff(rng)
        self._kit = attempts.Kit(
            place,
            Workspace(place.root, url, key, rng, allow_file=config.allow_file),
            injection.inject(place.root),
            commands.make_shims(place.root),
            dict(os.environ),
        )
        self._mind = Mind(config.slots, jobs_left=config.max_jobs)
        self._shipments: dict[Key, Shipment] = {}
        self._exits: dict[Key, Json] = {}
        self._apart: list[frozenset[Key]] = []  # after a refused sync: whose reports the next ones carry
        self._set_aside: dict[Key, float] = {}  # attempts whose reports are refused: nothing of them until then
        self._calls = Calls(place)
        self._wishes: dict[Key, tuple[str, str | None]] = {}  # that could not be written yet
        self._orphans: dict[Key, float] = {}  # not children of our spawner: looked at from this time on
        self._boot_id = home.boot_id()
        self._epoch = place.epoch(self._boot_id)
        self._agent_id: str | None = None
        self._heartbeat_s = 5.0
        self._sync: _Sync | None = None
        self._is_asking = False  # a request is under way, a sync or the introduction
        self._claim_key: str | None = None
        self._claimed = 0  # how many slots were offered with it
        self._budget = BUDGET_BYTES
        self._turn = 0  # whose parts are first in the next sync
        self._is_urgent = True
        self._synced_at = float("-inf")
        self._looked_at = float("-inf")
        self._measured_at = float("-inf")
        self._retry_at = float("-inf")
        self._refusal: str | None = None
        self._complaint: str | None = None
        self._signals = 0
        self._quit_at: float | None = None
        self._said_goodbye = False

    # -- the loop -------------------------------------------------------------------------------------------
    def run(self) -> int:
        self._home.sweep(time.time())
        self._adopt()
        self._line.start()
        Ear(self._spawner, self._queue).start()
        with self._hear_signals():
            try:
                while not self._is_done(time.monotonic()):
                    self._turn_once()
            finally:
                self._stop_threads()
        return 130 if self._signals > 1 else 0

    def _turn_once(self) -> None:
        now = time.monotonic()
        self._look(now)
        self._ask(now)
        try:
            item = self._queue.get(timeout=self._patience_s(time.monotonic()))
            while True:
                self._handle(item)
                item = self._queue.get_nowait()
        except Empty:
            pass

    def _patience_s(self, now: float) -> float:
        """Return how long nothing needs to be done unless something happens."""
        times = [self._synced_at + self._heartbeat_s]
        if self._mind.held or self._mind.outbox or self._quit_at is not None:
            times.append(self._looked_at + LOOK_S)
        if self._mind.claim_after > now:
            times.append(self._mind.claim_after)
        wake = max(min(times), self._retry_at)
        if self._is_urgent and not self._is_asking:
            wake = self._retry_at
        if self._is_asking or self._mind.held:
            wake = min(max(wake, now + 0.01), now + LOOK_S)
        return min(max(0.0, wake - now), self._heartbeat_s)

    def _is_done(self, now: float) -> bool:
        if self._signals > 1:
            return True
        if self._quit_at is not None:
            limit_s = FLUSH_S if self._config.on_term == "detach" else REQUEUE_S
            # A claim under way may bring grants, which must be given back.
            has_more = self._mind.outbox or self._mind.held or self._claim_key is not None
            said_all = not has_more or (self._said_goodbye and not self._mind.outbox and not self._is_asking)
            return now > self._quit_at + limit_s or (brain.is_finished(self._mind) and said_all)
        if brain.is_finished(self._mind):
            return not self._mind.outbox
        idle_since = self._mind.claimed_nothing_at
        if not self._config.exit_when_idle or self._mind.held or idle_since is None:
            return False
        return now - idle_since >= self._config.idle_s

    def _handle(self, item: object) -> None:
        match item:
            case Answer(value, error):
                self._answered(value, error, time.monotonic())
            case Rang(bell):
                self._is_urgent |= bell != self._mind.bell
            case Heard(spawner, said):
                self._heard(spawner, said)
            case _Signal():
                self._signalled(time.monotonic())
            case _:
                self._step(item)  # type: ignore[arg-type]  # the rest of the queue is events

    # -- deciding and doing ---------------------------------------------------------------------------------
    def _step(self, event: brain.Event) -> None:
        self._mind, actions = brain.step(self._mind, event)
        for action in actions:
            self._act(action)
        if isinstance(event, brain.Exited | brain.PrepareFailed | brain.Lost | brain.Quit):
            self._is_urgent = True

    def _act(self, action: brain.Action) -> None:
        match action:
            case brain.Prepare():
                _aside(self._prepare, action)
            case brain.Launch(key):
                self._launch(key)
            case brain.Mirror(key, desired, cause):
                self._mirror(key, desired, cause)
            case brain.Forget(key, keep):
                self._set_aside.pop(key, None)
                self._shipments.pop(key, None)
                self._exits.pop(key, None)
                self._orphans.pop(key, None)
                self._wishes.pop(key, None)
                self._calls.forget(key)
                attempts.forget(self._home, key, keep)
            case brain.Say(text):
                self._say(text)

    def _mirror(self, key: Key, desired: str, cause: str | None) -> None:
        try:
            attempts.mirror(self._home.attempt(*key), desired, cause)
            self._wishes.pop(key, None)
        except OSError as error:  # a full disk, or a trial that removed its folder
            if self._wishes.get(key) == (desired, cause):
                return
            self._wishes[key] = desired, cause
            self._say(f"job {key[0]} cannot be told to {desired} yet: {error}")
            if desired == "kill" or isinstance(error, FileNotFoundError):
                _aside(attempts.end_tree, self._mind.held[key].claim.marker)

    def _prepare(self, action: brain.Prepare) -> None:
        """Runs in a thread of its own."""
        key = action.claim.key
        try:
            self._queue.put(brain.Prepared(key, attempts.prepare(self._kit, action.claim, action.slot)))
        except attempts.PreparationFailed as error:
            self._queue.put(brain.PrepareFailed(key, error.reason, str(error), time.monotonic()))
        except Exception as error:  # a fault of ours must not leave the attempt hanging
            message = f"the agent failed to prepare it: {commands.sentence(error)}"
            self._queue.put(brain.PrepareFailed(key, "error", message, time.monotonic()))

    def _launch(self, key: Key) -> None:
        folder = self._home.attempt(*key)
        self._shipments[key] = Shipment(folder, key, self._mind.held[key].claim.limits)
        try:
            self._spawner.launch(str(folder))
        except SpawnerGone as error:
            self._queue.put(brain.PrepareFailed(key, "infra", str(error), time.monotonic()))

    # -- attempts -------------------------------------------------------------------------------------------
    def _adopt(self) -> None:
        for claim in attempts.found(self._home):
            folder = self._home.attempt(*claim.key)
            self._shipments[claim.key] = Shipment(folder, claim.key, claim.limits)
            self._step(brain.Adopted(claim))
            self._orphans[claim.key] = float("-inf")
        self._look(time.monotonic())

    def _heard(self, spawner: Spawner, said: tuple[Any, ...]) -> None:
        if not said and spawner is self._spawner:
            self._replace_spawner()
        for event in said:
            job, _, attempt = os.path.basename(event.folder).rpartition(".")
            key = job, int(attempt)
            if event.kind == "started":
                self._step(brain.Started(key, time.time()))
            elif event.kind == "failed":
                self._step(brain.PrepareFailed(key, "infra", str(event.error), time.monotonic()))
            else:
                self._end(key)

    def _replace_spawner(self) -> None:
        """Go on with a new spawner: supervisors live on, but nobody tells of their end any more."""
        self._say("the spawner has ended unexpectedly; starting another one")
        self._spawner.close()
        for key, held in self._mind.held.items():
            if held.phase in (Phase.LAUNCHING, Phase.RUNNING):
                self._orphans.setdefault(key, time.monotonic() + ORPHAN_S)
        self._spawner = Spawner.start()
        Ear(self._spawner, self._queue).start()

    def _end(self, key: Key) -> None:
        """Take in how an attempt ended whose supervisor is no more."""
        held = self._mind.held.get(key)
        if held is None or key in self._exits:
            return
        exit = attempts.read_exit(self._home.attempt(*key))
        self._orphans.pop(key, None)
        if exit is None:
            _aside(self._clear, key, held.claim.marker, "its supervisor died.")
            return
        try:
            self._exits[key] = self._shipments[key].close(read_exit(exit))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            _aside(self._clear, key, held.claim.marker, f"its exit.json is not understood ({error}).")
            return
        self._step(brain.Exited(key, _outcome(self._exits[key])))

    def _clear(self, key: Key, marker: str, why: str) -> None:
        """Runs in a thread of its own: end what a dead supervisor left."""
        rest = "" if attempts.end_tree(marker) else " Some of its processes cannot be ended."
        self._queue.put(brain.Lost(key, why + rest))

    def _look(self, now: float) -> None:
        """Look at the files of running attempts."""
        if now < self._looked_at + LOOK_S:
            return
        self._looked_at = now
        for key, since in list(self._orphans.items()):
            if attempts.is_supervised(self._home.attempt(*key)):
                self._step(brain.Started(key, time.time()))
            elif now >= since:
                self._end(key)
        for key, wish in list(self._wishes.items()):
            self._mirror(key, *wish)
        for key, held in list(self._mind.held.items()):
            if held.phase is not Phase.RUNNING or held.stopping:
                continue
            cause = attempts.stop_cause(self._home.attempt(*key))
            if cause is not None:
                self._step(brain.Stopping(key, cause))
        if self._mind.quitting == "requeue" and self._quit_at is not None and now > self._quit_at + REQUEUE_GRACE_S:
            self._step(brain.Impatient())

    # -- the coordinator ------------------------------------------------------------------------------------
    def _ask(self, now: float) -> None:
        """Start a request when one is due and none is under way."""
        if self._is_asking or now < self._retry_at:
            return
        if self._agent_id is None:
            self._is_asking = True
            body = self._introduction()
            self._line.ask(lambda: self._link.register(body))
        elif self._is_due(now):
            self._send(self._agent_id, now)

    def _is_due(self, now: float) -> bool:
        if self._is_urgent or now >= self._synced_at + self._heartbeat_s:
            return True
        if now < self._synced_at + SHIP_S:
            return False
        is_waiting = bool(self._mind.outbox) or bool(self._exits)
        return is_waiting or any(shipment.grown() for shipment in self._shipments.values())

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
        }

    def _send(self, agent_id: str, now: float) -> None:
        usage = self._measure(now)
        about = self._about(now)
        parts = self._parts(about)
        free = 0 if self._refusal else brain.free_slots(self._mind, now)
        if free and self._claim_key is None:
            self._claim_key = str(uuid.uuid4())
        if self._claim_key is not None:
            # Kept until it was answered, and asked no less: what was granted in a lost reply comes again.
            free = self._claimed = max(free, self._claimed)
        header = {
            "epoch": self._epoch,
            "free_slots": free,
            "claim_key": self._claim_key,
            "held": [list(key) for key, held in self._mind.held.items() if not held.fenced],
            "events": [event for _, event in self._mind.outbox if _is_about(event, about)]
            + self._endings(parts, about),
            "usage": usage,
        }
        sent = self._mind.outbox[-1][0] if self._mind.outbox else 0
        self._sync = _Sync(sent, self._claim_key is not None, self._mind.quitting is not None, about)
        self._is_asking, self._is_urgent, self._synced_at = True, False, now
        self._line.ask(lambda: self._link.sync(agent_id, header, parts))

    def _about(self, now: float) -> frozenset[Key] | None:
        """Return the attempts whose reports the next sync carries; None: all."""
        self._set_aside = {key: until for key, until in self._set_aside.items() if now < until}
        if self._apart:
            return self._apart[0]
        return self._reporting() - self._set_aside.keys() if self._set_aside else None

    def _reporting(self) -> frozenset[Key]:
        """Return the attempts of which there may be something to say."""
        return frozenset(self._mind.held) | {_key(event) for _, event in self._mind.outbox}

    def _parts(self, about: frozenset[Key] | None) -> list[Part]:
        keys = [key for key, held in self._mind.held.items() if key in self._shipments and not held.fenced]
        keys = [key for key in keys if about is None or key in about]
        self._turn += 1
        parts = collect([self._shipments[key] for key in keys], self._budget, self._turn % max(1, len(keys)))
        for key in keys:
            if self._shipments[key].fault is not None and self._mind.held[key].takes_slot:
                self._step(brain.Tampered(key))
        return parts

    def _endings(self, parts: list[Part], about: frozenset[Key] | None) -> list[Json]:
        """Return the exits of all attempts whose bytes are all delivered, or are so with these parts."""
        return [
            {"job": key[0], "attempt": key[1], "event": "exited", "exit": exit}
            for key, exit in self._exits.items()
            if (about is None or key in about)
            and self._mind.held[key].phase is Phase.EXITED
            and self._shipments[key].is_covered(parts)
        ]

    def _measure(self, now: float) -> Json | None:
        """Look at the machine once per heartbeat."""
        if now < self._measured_at + self._heartbeat_s:
            return None
        self._measured_at = now
        seen = resources.usage(self._home.root)
        refusal = resources.refusal(seen)
        if refusal != self._refusal:
            self._say(refusal or "there is room on the disk again: taking jobs")
        self._refusal = refusal
        return seen.wire()

    def _answered(self, value: Any, error: Exception | None, now: float) -> None:
        self._is_asking = False
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
        self._heartbeat_s = min(60.0, max(0.5, float(reply.get("heartbeat_s") or 5.0)))
        self._is_urgent = True
        self._recovered(
            f"connected to {self._config.coordinator_url} as {self._config.name}, {self._config.slots} slots"
        )
        if self._bell is not None:
            self._bell.stop()
        self._bell = Bell(self._bell_link, self._agent_id, self._queue, self._bell_backoff)
        self._bell.start()

    def _replied(self, reply: Reply, sync: _Sync, now: float) -> None:
        self._recovered("connected again" if self._complaint else None)
        has_moved = False
        for key, stream, offset in reply.acked:
            shipment = self._shipments.get(key)
            if shipment is not None:
                has_moved |= shipment.acknowledge(stream, offset)
        if sync.asked:
            self._claim_key, self._claimed = None, 0
        self._said_goodbye |= sync.quitting
        self._calls.tell(reply.actions)
        self._step(brain.Replied(reply, sync.sent, now, sync.asked, sync.about))
        if self._apart:
            self._apart = self._apart[1:]
            self._is_urgent = True
        if has_moved and any(shipment.grown() for shipment in self._shipments.values()):
            self._is_urgent = True

    def _failed(self, error: Exception, now: float, is_first: bool) -> None:
        """Try again for ever; only an agent that was never let in, and has no jobs, gives up."""
        self._retry_at = now + self._backoff.next_s()
        self._is_urgent = True
        if isinstance(error, TooLarge):
            self._budget = max(BUDGET_LEAST_BYTES, self._budget // 2)
        elif isinstance(error, NotFound):
            self._agent_id = None  # the coordinator does not know us any more: introduce ourselves again
        is_hopeless = isinstance(error, BoughError) and not isinstance(error, Unavailable | TooLarge)
        if is_first and is_hopeless and not self._mind.held:
            raise error
        text = commands.sentence(error)
        if isinstance(error, Denied):
            text += " Running jobs go on and keep what they report; no new ones are taken."
        if text != self._complaint:
            self._say(text)
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
            self._retry_at = now
            return
        self._apart = self._apart[1:] if sync.about else []
        for key in sync.about:
            self._retry_at = now
            self._refused(key, error, now)

    def _refused(self, key: Key, error: Exception, now: float) -> None:
        """Give up an attempt whose report is refused; a fault of the coordinator may be gone in a while."""
        if isinstance(error, Fault):
            self._set_aside[key] = now + SET_ASIDE_S
            return
        self._set_aside[key] = float("inf")
        if key in self._mind.held:
            why = f"the coordinator refuses what it reports ({commands.sentence(error)})"
            _aside(self._clear, key, self._mind.held[key].claim.marker, why)

    def _recovered(self, text: str | None) -> None:
        self._backoff.reset()
        self._complaint = None
        if text is not None:
            self._say(text)

    # -- stopping -------------------------------------------------------------------------------------------
    def _signalled(self, now: float) -> None:
        self._signals += 1
        if self._signals == 1:
            self._quit_at = now
            running = sum(held.takes_slot for held in self._mind.held.values())
            fate = "are left to their supervisors" if self._config.on_term == "detach" else "are given back"
            self._say("stopping" + (f": {running} running jobs {fate}" if running else ""))
            self._retry_at = now
            self._step(brain.Quit(self._config.on_term))

    @contextmanager
    def _hear_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # whoever runs us in a thread stops us otherwise
            return

        def hear(*_: object) -> None:
            self._queue.put(_Signal())

        before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop_threads(self) -> None:
        if self._bell is not None:
            self._bell.stop()
        self._line.stop()
        self._spawner.close()
        self._link.close()
        self._bell_link.close()


def _aside(function: Callable[..., object], *args: Any) -> None:
    """Do something slow beside the main loop; an agent that ends does not wait for it."""
    threading.Thread(target=function, args=args, daemon=True).start()


def _key(event: Json) -> Key:
    return event["job"], event["attempt"]


def _is_about(event: Json, about: frozenset[Key] | None) -> bool:
    return about is None or _key(event) in about


def _outcome(exit: Json) -> str:
    """Return in a few words how an attempt ended."""
    if exit.get("error"):
        return str(exit["error"])
    if exit.get("cause"):
        return f"stopped ({exit['cause']}) after {float(exit.get('duration_s') or 0):.1f} s"
    how = f"signal {exit['signal']}" if exit.get("signal") else f"exit code {exit.get('exit_code')}"
    return f"{how} after {float(exit.get('duration_s') or 0):.1f} s"
