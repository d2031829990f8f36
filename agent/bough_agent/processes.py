"""Which processes belong to an attempt, and how to signal them without ever meeting a stranger.

A process is identified by its pid *and* the clock tick at which it started, never by the pid alone: pids are used
again. Signals go through a pidfd, opened first and compared second, so that nothing can come between. Pid 1, this
process and its ancestors are never signalled, whatever is asked.

A process belongs to an attempt when it descends from the attempt's supervisor, or carries the attempt's marker in
its environment, or descends from one that does. The supervisor is a subreaper, so a daemon that forks twice still
descends from it; the marker finds what was started by somebody else on behalf of the attempt, and what is left
when the supervisor itself was killed.

Linux only: everything is read from /proc. Standard library only.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bough import _layout as layout

ZOMBIE = "Z"
STOPPED = b"T"
DEAD = ("X", "x")


class Process(NamedTuple):
    """One row of the process table.

    Attributes:
        pid: Its number.
        parent: The number of its parent.
        group: Its process group.
        session: Its session.
        start_ticks: When it started, in clock ticks since boot: with the pid, its identity.
        is_alive: False for a zombie, which only waits for its parent.
    """

    pid: int
    parent: int
    group: int
    session: int
    start_ticks: int
    is_alive: bool


def boot_id() -> str:
    """Return the random id of this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def look(pid: int) -> Process | None:
    """Return the process with this pid, or None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name is in parentheses and may hold anything, also parentheses: the last one ends it.
    state, parent, group, session, *rest = text[text.rindex(b")") + 2 :].split()
    threads, start_ticks = int(rest[13]), int(rest[15])
    letter = state.decode()
    # A main thread that has ended is shown as a zombie while its other threads run on.
    is_alive = letter not in DEAD and (letter != ZOMBIE or threads > 1)
    return Process(pid, int(parent), int(group), int(session), start_ticks, is_alive)


def is_stopped(pid: int) -> bool:
    """Return whether the process was stopped by a signal; also when there is none any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return True
    return text[text.rindex(b")") + 2 : text.rindex(b")") + 3] == STOPPED


def start_ticks(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot, or None when there is none."""
    process = look(pid)
    return None if process is None else process.start_ticks


def carries(pid: int, marker: str) -> bool:
    """Return whether the environment of the process, as it was started, holds the marker. False if unreadable."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return False
    wanted = f"{layout.MARKER}={marker}".encode()
    return wanted in environment.split(b"\0")


def children() -> list[int]:
    """Return the pids of this process's own children, zombies included: one read, not a scan of the machine.

    Only what the calling thread forked and what was reparented to it is listed; the supervisor has one that forks.
    """
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def below(root: int) -> list[int]:
    """Return the pids of what descends from a process, as the kernel lists children: only the tree is read.

    Where the kernel keeps no such lists, the machine is searched.
    """
    found: list[int] = []
    front = [root]
    while front:
        front = [child for pid in front for child in _children(pid)]
        found += front
    if not found and not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        rows = {int(pid): row for pid in os.listdir("/proc") if pid.isdigit() and (row := look(int(pid))) is not None}
        return sorted(descendants([root], rows))
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except OSError:  # it has ended, or there are no such lists
        pass
    return found


def ancestors(pid: int, rows: Mapping[int, Process]) -> set[int]:
    """Return the pid and those of its parents up to pid 1."""
    line: set[int] = set()
    while pid in rows and pid not in line:
        line.add(pid)
        pid = rows[pid].parent
    return line


def descendants(roots: Iterable[int], rows: Mapping[int, Process]) -> set[int]:
    """Return the pids of all that descend from the roots, without the roots."""
    offspring: dict[int, list[int]] = {}
    for process in rows.values():
        offspring.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    front = list(roots)
    while front:
        new = [child for pid in front for child in offspring.get(pid, ()) if child not in found]
        found.update(new)
        front = new
    return found


def members(marker: str, supervisor: int | None = None) -> list[Process]:
    """Return the living processes of an attempt, as one scan of the machine finds them.

    Args:
        marker: The attempt's marker.
        supervisor: The pid of its supervisor, whose descendants belong to it; None when it is dead.

    Returns:
        The processes. Never pid 1, the caller or an ancestor of the caller, nor the supervisor itself.
    """
    rows: dict[int, Process] = {}
    marked: set[int] = set()
    # The newest first, and each looked at once: a process that forks and exits is gone a moment later.
    for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True):
        if (process := look(pid)) is not None:
            rows[pid] = process
            if carries(pid, marker):
                marked.add(pid)
    roots = marked if supervisor is None else marked | {supervisor}
    spared = ancestors(os.getpid(), rows) | {0, 1, os.getpid()}
    if supervisor is not None:
        spared.add(supervisor)
    found = (marked | descendants(roots - (spared - {supervisor}), rows)) - spared
    return [rows[pid] for pid in sorted(found) if rows[pid].is_alive]


def send(process: Process, *signals: signal.Signals) -> bool:
    """Send signals, in order, to exactly this process.

    Returns:
        False when it is gone, or is another one by now, or may not be signalled by this user or at all.
    """
    if process.pid <= 1 or process.pid == os.getpid():
        return False
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except OSError:  # a kernel before 5.3: look, then shoot
        return _send_by_pid(process, signals)
    try:
        if start_ticks(process.pid) != process.start_ticks:
            return False
        for signum in signals:
            signal.pidfd_send_signal(handle, signum)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _send_by_pid(process: Process, signals: Iterable[signal.Signals]) -> bool:
    try:
        for signum in signals:
            if start_ticks(process.pid) != process.start_ticks:
                return False
            os.kill(process.pid, signum)
    except OSError:
        return False
    return True


def send_to_group(leader: int, *signals: signal.Signals) -> None:
    """Send signals, in order, to the process group of a child that was not waited for yet.

    That it was not waited for is what makes the number safe: until then it cannot be used again.
    """
    if leader <= 1 or leader in (os.getpid(), os.getpgrp()):
        return
    for signum in signals:
        try:
            os.killpg(leader, signum)
        except OSError:
            return
