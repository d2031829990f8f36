"""Pausing an attempt: the whole of its tree is stopped, and so is its clock.

It belongs to the supervisor, which outlives the agent: so what ran, and for how long, is known whoever dies. Standard
library only. What was stopped already when the pause came stays so when it ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from bough import _layout as layout
from bough_agent import closing, processes
from bough_agent.processes import Process

KEEP_S = 1.0  # how often a paused tree is looked at: somebody else may have woken or added a process
ROUNDS = 40  # looks at a tree that forks while it is stopped, at each of these times
PAUSE_S = 0.005


class Pause:
    """Whether one attempt is paused, and how long it has run without its pauses.

    Args:
        folder: The attempt's folder; `control/paused` is there while it is paused.
        marker: The attempt's marker.
        started: When it started, on the monotonic clock.
    """

    def __init__(self, folder: str, marker: str, started: float) -> None:
        self._path = os.path.join(folder, layout.PAUSED)
        self._marker = marker
        self._started = started
        self._since: float | None = None
        self._past_s = 0.0
        self._looked_at = 0.0
        self._stopped: dict[tuple[int, int], Process] = {}

    @property
    def is_on(self) -> bool:
        """Whether it is paused."""
        return self._since is not None

    def paused_s(self, now: float) -> float:
        """Return for how long it was paused in all, in seconds."""
        return self._past_s + (0.0 if self._since is None else now - self._since)

    def running_s(self, now: float) -> float:
        """Return for how long it has run, in seconds: max_time counts these alone."""
        return now - self._started - self.paused_s(now)

    def follow(self, is_wanted: bool, now: float) -> None:
        """Begin, keep up or end the pause, as it is wanted now."""
        if not is_wanted:
            self.end(now)
        elif self._since is None:
            self._since = now
            self._stop(now)
            with contextlib.suppress(OSError):  # a full disk: it is paused all the same, only nobody is told
                closing.write_json(self._path, {"at": time.time()}, is_durable=False)
        elif now - self._looked_at >= KEEP_S:
            self._stop(now)

    def end(self, now: float) -> None:
        """Let everything go on that was stopped; harmless where nothing was."""
        if self._since is None:
            return
        self._past_s, self._since = self.paused_s(now), None
        for process in self._stopped.values():
            processes.send(process, signal.SIGCONT)
        self._stopped.clear()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _stop(self, now: float) -> None:
        self._looked_at = now
        for _ in range(ROUNDS):
            members = processes.members(self._marker, os.getpid())
            awake = [process for process in members if not processes.is_stopped(process.pid)]
            if not awake:
                return
            for process in awake:
                self._stopped[process.pid, process.start_ticks] = process
                processes.send(process, signal.SIGSTOP)
            time.sleep(PAUSE_S)
