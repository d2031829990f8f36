"""The threads of the agent. Each does one slow thing and puts what came of it into the queue of the main loop.

Threads decide nothing and share nothing but their queues, so the main loop needs no lock. All are daemons: an agent
that ends does not wait for a reply that may never come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from bough.errors import BoughError
from bough_agent.link import Backoff, Link
from bough_agent.spawner_client import Event as Said
from bough_agent.spawner_client import Spawner, SpawnerGone

BELL_WAIT_S = 25.0


@dataclass(frozen=True)
class Answer:
    """What came of a request: exactly one of ``value`` and ``error`` is set."""

    value: Any
    error: Exception | None


@dataclass(frozen=True)
class Rang:
    """The coordinator rang: something changed for this agent."""

    bell: int


@dataclass(frozen=True)
class Heard:
    """The spawner said something; ``said`` is empty when it has ended."""

    spawner: Spawner
    said: tuple[Said, ...]


class Line(threading.Thread):
    """Makes one request after the other, so that a slow reply does not keep the main loop from its attempts."""

    def __init__(self, queue: SimpleQueue[Any]) -> None:
        super().__init__(name="line", daemon=True)
        self._requests: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._queue = queue

    def ask(self, request: Callable[[], Any]) -> None:
        """Make a request; an `Answer` comes into the queue."""
        self._requests.put(request)

    def stop(self) -> None:
        """End the thread after what was asked."""
        self._requests.put(None)

    def run(self) -> None:
        """Answer requests until told to stop."""
        while (request := self._requests.get()) is not None:
            try:
                self._queue.put(Answer(request(), None))
            except Exception as error:  # the main loop judges it: a thread that dies silently would be worse
                self._queue.put(Answer(None, error))


class Bell(threading.Thread):
    """Waits at the coordinator's bell, and tells the main loop when it rang."""

    def __init__(self, link: Link, agent_id: str, queue: SimpleQueue[Any], backoff: Backoff) -> None:
        super().__init__(name="bell", daemon=True)
        self._link = link
        self._agent_id = agent_id
        self._queue = queue
        self._backoff = backoff
        self._stopped = threading.Event()
        self.after = 0  # the main loop may raise it: a sync has seen that bell already

    def stop(self) -> None:
        """Ring no more."""
        self._stopped.set()

    def run(self) -> None:
        """Wait, tell, wait again; trouble is only waited out, since every sync finds out by itself."""
        while not self._stopped.is_set():
            try:
                bell = self._link.bell(self._agent_id, self.after, BELL_WAIT_S)
            except BoughError:
                self._stopped.wait(self._backoff.next_s())
                continue
            self._backoff.reset()
            if bell != self.after and not self._stopped.is_set():
                self.after = bell
                self._queue.put(Rang(bell))


class Ear(threading.Thread):
    """Reads what the spawner says."""

    def __init__(self, spawner: Spawner, queue: SimpleQueue[Any]) -> None:
        super().__init__(name="ear", daemon=True)
        self._spawner = spawner
        self._queue = queue

    def run(self) -> None:
        """Pass everything on until the spawner has ended."""
        try:
            while True:
                self._queue.put(Heard(self._spawner, tuple(self._spawner.read(None))))
        except (SpawnerGone, OSError, ValueError):  # ended, or closed under our feet by the main loop
            self._queue.put(Heard(self._spawner, ()))
