"""Finding processes and signalling them, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bough_agent import ladder, processes

MARKER = os.urandom(16).hex()  # its own: two runs of these tests on one machine would end each other's processes


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A child that waits, and carries the marker."""
    process = subprocess.Popen(["sleep", "60"], env={"BOUGH_MARKER": MARKER, "PATH": os.environ["PATH"]})
    until(lambda: processes.carries(process.pid, MARKER))  # it is exec that brings the environment
    yield process
    process.kill()
    process.wait()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def row(pid: int) -> processes.Process:
    found = processes.look(pid)
    assert found is not None
    return found


def test_the_boot_id_is_that_of_the_kernel() -> None:
    assert len(processes.boot_id()) == 36
    assert processes.boot_id() == processes.boot_id()


def test_a_process_is_known_by_pid_and_start(child: subprocess.Popen[bytes]) -> None:
    found = row(child.pid)

    assert (found.pid, found.parent, found.group, found.session) == (child.pid, os.getpid(), os.getpgrp(), os.getsid(0))
    assert found.is_alive
    assert found.start_ticks == processes.start_ticks(child.pid)
    assert found.start_ticks >= row(os.getpid()).start_ticks


def test_a_name_with_parentheses_and_blanks_confuses_nobody() -> None:
    script = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') Z 1 (x'); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        assert row(process.pid).parent == os.getpid()
        assert row(process.pid).is_alive

        process.communicate(b"\n")


def test_no_process_no_row() -> None:
    assert processes.look(1 << 22) is None
    assert processes.start_ticks(1 << 22) is None
    assert not processes.carries(1 << 22, MARKER)


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["true"])

    until(lambda: not row(process.pid).is_alive)

    assert process.pid in processes.children()
    process.wait()
    assert process.pid not in processes.children()


def test_a_process_whose_main_thread_has_ended_is_alive() -> None:
    script = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
    process = subprocess.Popen([sys.executable, "-c", script + "ctypes.CDLL(None).pthread_exit(None)"])

    until(lambda: state(process.pid) == "Z")

    assert row(process.pid).is_alive
    process.kill()
    process.wait()


def test_members_are_the_marked_and_their_descendants(child: subprocess.Popen[bytes]) -> None:
    script = f'BOUGH_MARKER={MARKER} sh -c "env -i sleep 60 & sleep 60; true"'
    with subprocess.Popen(["sh", "-c", script + "; true"], start_new_session=True) as shell:
        until(lambda: len(processes.members(MARKER)) == 4)

        found = processes.members(MARKER)

        assert child.pid in [process.pid for process in found]
        assert shell.pid not in [process.pid for process in found]
        assert ladder.sweep(MARKER) == []
        assert processes.members(MARKER) == []


def test_a_marker_must_match_as_a_whole(child: subprocess.Popen[bytes]) -> None:
    assert not processes.carries(child.pid, MARKER[:-1])
    assert processes.members(MARKER[:-1]) == []


def test_the_caller_and_its_ancestors_are_never_members(child: subprocess.Popen[bytes]) -> None:
    """An agent that runs inside a marked tree must not end itself with it."""
    script = (
        "import os, sys; sys.path[:0] = sys.argv[1:]; from bough_agent import processes; "
        f"found = [p.pid for p in processes.members({MARKER!r})]; "
        "print(os.getpid() in found, os.getppid() in found, len(found))"
    )
    env = {"BOUGH_MARKER": MARKER, "PATH": os.environ["PATH"]}
    roots = [path for path in sys.path if path.endswith(("/sdk", "/agent"))]

    shell = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", script, *roots]
    said = subprocess.run(shell, env=env, capture_output=True, text=True, check=True).stdout

    assert said.split() == ["False", "False", "1"]


def test_descendants_follow_every_branch() -> None:
    def process(pid: int, parent: int) -> processes.Process:
        return processes.Process(pid, parent, pid, pid, 0, True)

    rows = {pid: process(pid, parent) for pid, parent in [(2, 1), (3, 2), (4, 2), (5, 4), (6, 1), (7, 99)]}

    assert processes.descendants([2], rows) == {3, 4, 5}
    assert processes.descendants([6, 7], rows) == set()
    assert processes.ancestors(5, rows) == {5, 4, 2}


def test_a_signal_reaches_exactly_the_process_that_was_meant(child: subprocess.Popen[bytes]) -> None:
    assert processes.send(row(child.pid), signal.SIGTERM)

    assert child.wait() == -signal.SIGTERM


def test_a_pid_that_is_somebody_else_by_now_gets_no_signal(child: subprocess.Popen[bytes]) -> None:
    earlier = row(child.pid)._replace(start_ticks=row(child.pid).start_ticks - 1)

    assert not processes.send(earlier, signal.SIGKILL)
    assert not processes._send_by_pid(earlier, [signal.SIGKILL])

    assert child.poll() is None
    assert row(child.pid).is_alive


def test_without_pidfd_the_start_is_compared_before_each_signal(child: subprocess.Popen[bytes]) -> None:
    assert processes._send_by_pid(row(child.pid), [signal.SIGTERM])

    assert child.wait() == -signal.SIGTERM


@pytest.mark.parametrize("pid", [-1, 0, 1, os.getpid(), 1 << 22], ids=["-1", "0", "1", "self", "none"])
def test_init_groups_the_caller_and_nobody_get_no_signal(pid: int) -> None:
    process = processes.Process(pid, 1, 1, 1, processes.start_ticks(pid) or 0, True)

    assert not processes.send(process, signal.SIGCONT)


@pytest.mark.parametrize("leader", [-1, 0, 1, os.getpid(), os.getpgrp()], ids=["-1", "0", "1", "self", "group"])
def test_no_group_but_a_childs_gets_a_signal(leader: int) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: pytest.fail("the signal came to the caller"))
    try:
        processes.send_to_group(leader, signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_group_gets_every_signal_in_order() -> None:
    process = subprocess.Popen(["sh", "-c", "kill -STOP $$"], start_new_session=True)
    until(lambda: state(process.pid) == "T")

    processes.send_to_group(process.pid, signal.SIGTERM, signal.SIGCONT)

    assert process.wait() == -signal.SIGTERM
