"""The agent's main loop: the shell around `bough_agent.brain`, which decides.

One queue brings everything that happened. What is said to the coordinator is in `bough_agent.conversation`.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from bough import _failpoints, _layout, _signing
from bough_agent import attempts, brain, commands, gpus, home, injection, leader, limits, offers, on_end
from bough_agent.actions import Calls
from bough_agent.books import Books
from bough_agent.brain import Mind, Phase
from bough_agent.config import AgentConfig
from bough_agent.conversation import Conversation
from bough_agent.environments import Environments
from bough_agent.gpus import Watch
from bough_agent.listeners import Answer, Ear, Heard, Rang
from bough_agent.messages import Claim, Json, Key, read_exit
from bough_agent.shipping import Shipment
from bough_agent.sources import Sources
from bough_agent.spawner_client import Spawner, SpawnerGone
from bough_agent.workspace import Workspace

LOOK_S = 0.5  # how often the files of running attempts are looked at
TIDY_S = 86400.0  # how often caches are pruned
FLUSH_S = 10.0  # how long a stopping agent tries to say its last words
REQUEUE_GRACE_S = 10.0  # how long attempts have to end when the agent stops and gives them back
REQUEUE_S = 40.0  # then it leaves
DRAIN_SIGNAL = signal.SIGUSR1  # end when all jobs have ended
KILL_SIGNAL = signal.SIGUSR2  # stop all jobs, by force if need be, and give them back
_PATIENCE_S = {"detach": FLUSH_S, "requeue": REQUEUE_S, "drain": float("inf")}
_FATE = {"detach": "are left to their supervisors", "requeue": "are given back", "drain": "are waited for"}
ORPHAN_S = 5.0  # how long a supervisor whose spawner has died may take to show itself


@dataclass(frozen=True)
class _Signal:
    """The agent was asked to stop: "detach", "requeue" or "drain"."""

    how: str


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
        if not config.allow_sudo:
            leader.gain_no_rights()  # also what `setup:` and `on_end:` run
        confinement = limits.find(may_gain=config.allow_sudo)
        equipment = _offers(config, place, confinement)
        with Spawner.start() as spawner:  # before any thread
            return _Daemon(config, place, key, spawner, say, equipment, confinement).run()
    finally:
        place.close()


__all__ = ["AgentConfig", "run"]


class _Daemon:
    def __init__(
        self,
        config: AgentConfig,
        place: home.Home,
        key: str,
        spawner: Spawner,
        say: Callable[[str], None],
        offered: offers.Offers,
        confinement: limits.Confinement,
    ) -> None:
        self._config = config
        self._home = place
        self._say = say
        self._spawner = spawner
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._kit = attempts.Kit(
            place,
            Workspace(place.root, config.url, key, random.Random(), allow_file=config.allow_file),
            injection.inject(place.root),
            commands.make_shims(place.root),
            dict(os.environ),
            offered,
            confinement,
            Environments(place.root / "environments"),
            Sources(place.root / "sources", config.url, key, config.allow_file_repos, config.allow_file),
            signers=() if config.signed_by is None else tuple(_signing.read_keys(str(config.signed_by))),
        )
        mind = Mind(config.slots, jobs_left=config.max_jobs, stock=offered.stock)
        self._watch = Watch(offered.gpus) if offered.gpus else None
        self._calls = Calls(place)
        self._books = Books(mind, say, self._step, self._give_up, offered, self._watch, calls=self._calls)
        self._boot_id = home.boot_id()
        identity = place.epoch(self._boot_id), self._boot_id
        self._talk = Conversation(config, key, identity, self._books, self._queue)
        self._wishes: dict[Key, tuple[str, str | None]] = {}  # that could not be written yet
        self._orphans: dict[Key, float] = {}  # not children of our spawner: looked at from this time on
        self._looked_at = float("-inf")
        self._tidied_at = float("-inf")
        self._told_of_gpus_at = 0.0
        self._signals = 0
        self._quit_at: float | None = None
        self._quit_how = ""

    @property
    def _mind(self) -> Mind:
        return self._books.mind

    # -- the loop -------------------------------------------------------------------------------------------
    def run(self) -> int:
        self._home.sweep(time.time())
        self._tidy(time.monotonic())
        if self._watch is not None:
            self._watch.start()
        self._adopt()
        self._talk.start()
        Ear(self._spawner, self._queue).start()
        with self._hear_signals():
            try:
                while not self._is_done(time.monotonic()):
                    self._turn_once()
            finally:
                self._stop_threads()
        return 130 if self._signals > 1 else 0

    def _tidy(self, now: float) -> None:
        """Drop what nobody has used for long: when the agent starts, and each day."""
        if now - self._tidied_at < TIDY_S:
            return
        self._tidied_at = now
        kit = self._kit
        for prune in (kit.workspace.prune, kit.sources.prune, kit.environments.sweep):
            _aside(prune, time.time())

    def _turn_once(self) -> None:
        now = time.monotonic()
        self._tidy(now)
        self._look(now)
        self._talk.ask(now)
        try:
            item = self._queue.get(timeout=self._patience_s(time.monotonic()))
            while True:
                self._handle(item)
                item = self._queue.get_nowait()
        except Empty:
            pass

    def _patience_s(self, now: float) -> float:
        """Return how long nothing needs to be done unless something happens."""
        times = [self._talk.synced_at + self._talk.heartbeat_s]
        if self._mind.held or self._mind.outbox or self._quit_at is not None:
            times.append(self._looked_at + LOOK_S)
        if self._mind.claim_after > now:
            times.append(self._mind.claim_after)
        wake = max(min(times), self._talk.retry_at)
        if self._talk.is_urgent and not self._talk.is_asking:
            wake = self._talk.retry_at
        if self._talk.is_asking or self._mind.held:
            wake = min(max(wake, now + 0.01), now + LOOK_S)
        return min(max(0.0, wake - now), self._talk.heartbeat_s)

    def _is_done(self, now: float) -> bool:
        if self._signals > 1:
            return True
        if self._quit_at is not None:
            limit_s = _PATIENCE_S[self._quit_how]
            # A claim under way may bring grants, which must be given back.
            has_more = self._mind.outbox or self._mind.held or self._talk.claim_key is not None
            said_all = not has_more or (self._talk.said_goodbye and not self._mind.outbox and not self._talk.is_asking)
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
                self._talk.answered(value, error, time.monotonic())
            case Rang(bell):
                self._talk.is_urgent |= bell != self._mind.bell
            case Heard(spawner, said):
                self._heard(spawner, said)
            case _Signal(how):
                self._signalled(how, time.monotonic())
            case _:
                self._step(item)  # type: ignore[arg-type]  # the rest of the queue is events

    # -- deciding and doing ---------------------------------------------------------------------------------
    def _step(self, event: brain.Event) -> None:
        self._books.mind, actions = brain.step(self._mind, event)
        for action in actions:
            self._act(action)
        if isinstance(event, brain.Exited | brain.PrepareFailed | brain.Lost | brain.Quit):
            self._talk.is_urgent = True

    def _act(self, action: brain.Action) -> None:
        match action:
            case brain.Prepare():
                _aside(self._prepare, action)
            case brain.Launch(key):
                self._launch(key)
            case brain.Mirror(key, desired, cause):
                self._mirror(key, desired, cause)
            case brain.Alert(claim, outcome):
                _aside(self._alert, claim, self._books.exits.get(claim.key, {}), outcome)
            case brain.Forget(key, keep):
                self._talk.forget(key)
                self._kit.confinement.forget(key)
                self._books.shipments.pop(key, None)
                self._books.exits.pop(key, None)
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
            ready = attempts.prepare(self._kit, action.claim, action.slot, action.gpus)
            self._queue.put(brain.Prepared(key, ready.python, ready.commit))
        except attempts.PreparationFailed as error:
            self._queue.put(brain.PrepareFailed(key, error.reason, str(error), time.monotonic()))
        except Exception as error:  # a fault of ours must not leave the attempt hanging
            message = f"the agent failed to prepare it: {commands.sentence(error)}"
            self._queue.put(brain.PrepareFailed(key, "error", message, time.monotonic()))

    def _alert(self, claim: Claim, exit: Json, outcome: str) -> None:
        """Runs in a thread of its own."""
        told = on_end.variables(claim, exit, outcome)
        env = commands.environment(claim, Path(), self._kit.sdk, self._kit.shims, Path(), self._kit.environ)
        fault = on_end.run(claim.needs["on_end"], {**_plain(env), **told})
        if fault is not None:
            self._say(f"{claim.title}: {fault}")

    def _launch(self, key: Key) -> None:
        folder = self._home.attempt(*key)
        self._books.shipments[key] = Shipment(folder, key, self._mind.held[key].claim.limits)
        try:
            _failpoints.reach("launch.before")
            self._spawner.launch(str(folder))
            _failpoints.reach("launch.after")
        except SpawnerGone as error:
            self._queue.put(brain.PrepareFailed(key, "infra", str(error), time.monotonic()))

    # -- attempts -------------------------------------------------------------------------------------------
    def _adopt(self) -> None:
        for claim, indexes in attempts.found(self._home):
            folder = self._home.attempt(*claim.key)
            self._books.shipments[claim.key] = Shipment(folder, claim.key, claim.limits)
            self._step(brain.Adopted(claim, attempts.desired_of(folder), indexes))
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
        if held is None or key in self._books.exits:
            return
        exit = attempts.read_exit(self._home.attempt(*key))
        self._orphans.pop(key, None)
        if exit is None:
            has_rebooted = attempts.is_of_another_boot(self._home.attempt(*key), self._boot_id)
            why = "its machine was restarted." if has_rebooted else "its supervisor died."
            _aside(self._clear, key, held.claim.marker, why)
            return
        try:
            self._books.exits[key] = self._books.shipments[key].close(read_exit(exit))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            _aside(self._clear, key, held.claim.marker, f"its exit.json is not understood ({error}).")
            return
        self._step(brain.Exited(key, _outcome(self._books.exits[key])))

    def _give_up(self, key: Key, why: str) -> None:
        _aside(self._clear, key, self._mind.held[key].claim.marker, why)

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
        self._tell_of_gpus()
        for key, wish in list(self._wishes.items()):
            self._mirror(key, *wish)
        for key, held in list(self._mind.held.items()):
            if held.phase is not Phase.RUNNING or held.stopping:
                continue
            folder = self._home.attempt(*key)
            self._step(brain.Paused(key, attempts.is_paused(folder)))
            cause = attempts.stop_cause(folder)
            if cause is not None:
                self._step(brain.Stopping(key, cause))
        if self._mind.quitting == "requeue" and self._quit_at is not None and now > self._quit_at + REQUEUE_GRACE_S:
            self._step(brain.Impatient())

    def _tell_of_gpus(self) -> None:
        """Let the supervisors of jobs with GPUs know how busy these are, whenever there is something new."""
        if self._watch is None or self._watch.seen_at == self._told_of_gpus_at:
            return
        self._told_of_gpus_at = self._watch.seen_at
        for key, held in self._mind.held.items():
            if held.gpus and held.phase is Phase.RUNNING:
                attempts.tell_of_gpus(self._home.attempt(*key), self._watch.of(held.gpus), time.time())

    # -- stopping -------------------------------------------------------------------------------------------
    def _signalled(self, how: str, now: float) -> None:
        self._signals += 1
        if self._signals == 1:
            self._quit_at = now
            running = sum(held.takes_slot for held in self._mind.held.values())
            self._quit_how = how
            self._say("stopping" + (f": {running} running jobs {_FATE[how]}" if running else ""))
            self._talk.retry_at = now
            self._step(brain.Quit(how))
        elif self._mind.quitting == "requeue":
            self._step(brain.Impatient())  # "at once" is meant for the jobs too; their supervisors see to it

    @contextmanager
    def _hear_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # whoever runs us in a thread stops us otherwise
            return

        ways = dict.fromkeys((signal.SIGTERM, signal.SIGINT), self._config.on_term)
        ways |= {DRAIN_SIGNAL: "drain", KILL_SIGNAL: "requeue"}

        def hear(number: int, _: object) -> None:
            self._queue.put(_Signal(ways[signal.Signals(number)]))

        before = {number: signal.signal(number, hear) for number in ways}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop_threads(self) -> None:
        self._talk.stop()
        self._spawner.close()


def _offers(config: AgentConfig, place: home.Home, confinement: limits.Confinement) -> offers.Offers:
    return offers.of_machine(
        gpus.choose(gpus.look(), config.gpus),
        offers.data_sets(place.root, config.data),
        config.allow,
        confinement.description,
        config.cpus,
        config.memory_bytes,
        manages_gpus=config.gpus != "all",
    )


def _plain(env: dict[str, str]) -> dict[str, str]:
    """Return the environment without what is about the folder of an attempt, which is gone."""
    gone = (_layout.ATTEMPT_DIR, _layout.CHECKPOINT_DIR, _layout.MARKER)
    return {name: value for name, value in env.items() if name not in gone}


def _aside(function: Callable[..., object], *args: Any) -> None:
    """Do something slow beside the main loop; an agent that ends does not wait for it."""
    threading.Thread(target=function, args=args, daemon=True).start()


def _outcome(exit: Json) -> str:
    """Return in a few words how an attempt ended."""
    if exit.get("error"):
        return str(exit["error"])
    if exit.get("cause"):
        return f"stopped ({exit['cause']}) after {float(exit.get('duration_s') or 0):.1f} s"
    how = f"signal {exit['signal']}" if exit.get("signal") else f"exit code {exit.get('exit_code')}"
    return f"{how} after {float(exit.get('duration_s') or 0):.1f} s"
