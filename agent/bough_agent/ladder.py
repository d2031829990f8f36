"""The kill ladder: how an attempt is ended, from a polite word to the last survivor.

=============  ==============================================  =============================================
stage          entered                                         what happens on entering it
=============  ==============================================  =============================================
RUNNING        at the start                                    nothing
INTERRUPTED    a stop is wanted                                SIGINT, SIGCONT to the command's group, once
TERMINATED     `grace_s` later, or the leader left survivors   SIGTERM, SIGCONT to every process of the tree
KILLING        `term_s` later, or a kill is wanted             SIGKILL to every process, again at each look
OVER           three looks in a row found nothing              nothing: the tree is empty
UNKILLABLE     60 s of SIGKILL did not help                    nothing: it is reported and given up
=============  ==============================================  =============================================

`climb` decides, from arguments alone; `sweep` is the fixpoint of SIGKILL that the last stage needs: one round is not
enough, since a process may fork between the look and the shot. SIGCONT goes along because a stopped process cannot
handle a signal.
"""

from __future__ import annotations

import enum
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bough_agent import processes

LOOKS = 3  # so many looks in a row must find nothing
UNKILLABLE_S = 60.0  # a process that outlives SIGKILL this long sits in the kernel, and nothing here can end it
PAUSE_S = 0.005  # between two looks


class Stage(enum.IntEnum):
    """How far up the ladder an attempt is; it only goes up."""

    RUNNING = 0
    INTERRUPTED = 1
    TERMINATED = 2
    KILLING = 3
    OVER = 4
    UNKILLABLE = 5


class Want(enum.IntEnum):
    """What is wanted of an attempt; the value is the stage that this leads to at once."""

    RUN = Stage.RUNNING
    STOP = Stage.INTERRUPTED
    END = Stage.TERMINATED  # the leader ended by itself and left survivors
    KILL = Stage.KILLING


@dataclass(frozen=True)
class Times:
    """How long each stage may take, in seconds."""

    grace_s: float = 30.0
    term_s: float = 10.0
    unkillable_s: float = UNKILLABLE_S


@dataclass(frozen=True)
class Rung:
    """Where an attempt stands.

    Attributes:
        stage: The stage.
        since: When it was entered, on the monotonic clock.
        empty_looks: How many looks in a row found nothing.
    """

    stage: Stage = Stage.RUNNING
    since: float = 0.0
    empty_looks: int = 0

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to do."""
        return self.stage >= Stage.OVER


def climb(rung: Rung, now: float, want: Want, is_empty: bool, times: Times) -> Rung:
    """Return where the attempt stands after one more look at it.

    Args:
        rung: Where it stood.
        now: The monotonic clock.
        want: What is wanted now; less than was wanted before changes nothing.
        is_empty: Whether this look found the tree empty.
        times: How long each stage may take.

    Returns:
        The rung. When its stage is another one, the caller sends that stage's signals; in KILLING it sends them after
        every look that found somebody.
    """
    if rung.is_over:
        return rung
    if rung.stage is Stage.RUNNING:
        return rung if want is Want.RUN else Rung(Stage(want), now)
    looks = rung.empty_looks + 1 if is_empty else 0
    if looks >= LOOKS:
        return Rung(Stage.OVER, now, looks)
    if is_empty:
        return replace(rung, empty_looks=looks)
    stage = _due(rung, now, want, times)
    return replace(rung, empty_looks=0) if stage is rung.stage else Rung(stage, now)


def _due(rung: Rung, now: float, want: Want, times: Times) -> Stage:
    """Return the stage that is due while the tree is not empty."""
    waited = now - rung.since
    if rung.stage is Stage.KILLING:
        return Stage.UNKILLABLE if waited >= times.unkillable_s else Stage.KILLING
    if want is Want.KILL or (rung.stage is Stage.TERMINATED and waited >= times.term_s):
        return Stage.KILLING
    if rung.stage is Stage.INTERRUPTED and waited >= times.grace_s:
        return Stage.TERMINATED
    return rung.stage


def sweep(
    marker: str,
    supervisor: int | None = None,
    times: Times | None = None,
    reap: Callable[[], object] = lambda: None,
) -> list[processes.Process]:
    """Kill every process of an attempt, and look again until nothing is left.

    The agent calls this when a supervisor was killed: the leader died with it, but its descendants may not have.

    Without a supervisor only the marker and what descends from it is found, and a chain of processes that fork and
    exit within a millisecond may slip through.

    Args:
        marker: The attempt's marker.
        supervisor: The caller's own pid if it is the attempt's supervisor, else None.
        times: `unkillable_s` bounds how long this takes.
        reap: Called before each look; a supervisor waits for its dead children here.

    Returns:
        The processes that could not be killed: empty, but for those that sit in the kernel.
    """
    times = times or Times()
    rung = Rung(Stage.KILLING, time.monotonic())
    found: list[processes.Process] = []
    while not rung.is_over:
        reap()
        if supervisor is not None:
            kill_children(reap)
        found = processes.members(marker, supervisor)
        for process in found:
            processes.send(process, signal.SIGKILL)
        is_empty = not found and (supervisor is None or not processes.children())
        rung = climb(rung, time.monotonic(), Want.KILL, is_empty, times)
        time.sleep(PAUSE_S)
    return found


def kill_children(reap: Callable[[], object], rounds: int = 1000) -> None:
    """Kill this process's own children until there are none, or for so many rounds.

    A chain of processes that fork and exit is faster than any scan of the machine, which may even find nothing; but
    to a subreaper each of them becomes a child, and the list of children is one short read. Their pids are safe:
    nobody else waits for them.
    """
    for _ in range(rounds):
        pids = processes.children()
        if not pids:
            return
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        reap()
