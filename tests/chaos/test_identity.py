"""C6 and C13: who is who. An agent that was frozen for too long, and a number that is another process by now."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.chaos import oracle
from tests.chaos.conftest import IS_FULL, Tally
from tests.chaos.lab import Lab, definition, reading
from tests.chaos.nursery import Nursery
from tests.chaos.oracle import Promise, Tables
from tests.e2e.conftest import a_machine, wait_for

from bough_agent import processes
from bough_server.store import schema

HASTY = {"heartbeat_s": 0.5, "lease_ttl_s": 1.5, "lost_after_s": 3.0, "max_lost": 1000}
PROMISE = Promise(1, 60)
DEAD_S = 10.0  # so soon after it goes on the tree of a fenced attempt is gone
CANARY = """\
import os, signal, sys, time
def hear(number, _):
    os.write(1, b"%d\\n" % number)
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, hear)
print("up", flush=True)
time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def lab(tmp_path: Path, nursery: Nursery) -> Iterator[Lab]:
    with a_machine(tmp_path) as machine:
        found = Lab(machine, agents=1, slots=1, times=HASTY, nursery=nursery)
        yield found
        found.close()


def search(lab: Lab, book: Path, steps: int, pause_s: float) -> str:
    book.mkdir()
    train = oracle.TRAIN.format(folder=str(book), steps=steps, pause_s=f"{pause_s} if job.attempt > 1 else 0.3")
    return lab.optimize({"bough.yml": definition(1, 1), "train.py": train})


def points_of(lab: Lab, attempt: int) -> int:
    mine = (schema.channels.c.attempt == attempt) & ~schema.channels.c.system
    with reading(lab.machine.home / "coordinator" / "coordinator.db") as tx:
        return int(tx.execute(select(func.coalesce(func.sum(schema.channels.c.points), 0)).where(mine)).scalar_one())


@pytest.mark.parametrize("frozen", ["agent", "agent and trial"])
@pytest.mark.parametrize("repetition", range(10 if IS_FULL else 1))
def test_what_was_frozen_for_too_long_writes_nothing_more(
    lab: Lab, tmp_path: Path, tally: Tally, frozen: str, repetition: int
) -> None:
    book = tmp_path / "book"
    optimization = search(lab, book, PROMISE.steps, 0.02)
    wait_for(lambda: points_of(lab, 1) > 0, 30, "the first points")
    tree = [*lab.supervisors(), *lab.trials()]
    stopped = [lab.agents[0].process.pid, *(tree if frozen == "agent and trial" else [])]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)

    lab.add_agent("two")
    wait_for(lambda: [job["attempt"] for job in lab.jobs(optimization)] == [2], 30, "the second attempt")
    before = points_of(lab, 1)
    assert all(map(is_alive, tree))  # a silent agent's trial is not killed by anybody
    began = time.monotonic()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)

    wait_for(lambda: not any(map(is_alive, tree)), DEAD_S, "the end of the first attempt's processes")
    dead_s = time.monotonic() - began
    lab.await_end(optimization, 1, 60)
    tables = Tables.of_csv(lab.export(optimization), lab.export(optimization, "--points", "--all-attempts"))
    found = oracle.breaches(PROMISE, tables, oracle.read(book)) + lab.unsound()
    late = points_of(lab, 1) - before
    said = (lab.machine.home / "one.log").read_text()
    tally(f"C6 {frozen} frozen", late_points=late, breaches=len(found), seconds_to_its_end=round(dead_s, 1))
    assert (late, found) == (0, [])
    assert "attempt 1 was given up by the coordinator; ending it" in said
    assert [row["attempts"] for row in tables.trials] == ["2"]


def await_gone(folder: Path) -> None:
    wait_for(lambda: not folder.exists(), 30, "the end of that attempt")


def is_alive(pid: int) -> bool:
    found = processes.look(pid)
    return found is not None and found.is_alive


@pytest.mark.timeout(600 if IS_FULL else 120)
def test_a_process_that_has_the_number_of_a_dead_one_gets_no_signal(lab: Lab, tmp_path: Path, tally: Tally) -> None:
    """Agent and supervisor are killed, the number is another process's by then, and the agent is back."""
    times = 30 if IS_FULL else 2
    optimization = search(lab, tmp_path / "book", 40, 0.02 if times < 3 else 0.05)
    with canary(tmp_path) as (pid, heard):
        for n in range(times):
            wait_for(lab.trials, 30, "a trial")
            folder = next(lab.homes[0].glob("attempts/*/supervisor.json")).parent
            supervisors = lab.supervisors()
            lab.kill("agent", 0.0, 0.0)
            for supervisor in supervisors:
                os.kill(supervisor, signal.SIGKILL)
            row = json.loads((folder / "supervisor.json").read_text())
            ticks = processes.start_ticks(pid) if n % 2 else row["start_ticks"]
            (folder / "supervisor.json").write_text(json.dumps({**row, "pid": pid, "start_ticks": ticks}))
            lab.bring_back(0.0)
            await_gone(folder)
        assert is_alive(pid)
        assert heard.read_text() == "up\n"

    lab.await_end(optimization, 1, 60)
    (job,) = lab.jobs(optimization)
    tally("C13 numbers used again", times=times, signals_to_others=0, attempts=job["attempt"])
    assert lab.unsound() == []


@contextlib.contextmanager
def canary(folder: Path) -> Iterator[tuple[int, Path]]:
    """Give (pid, file of what it heard) of a process that notes every signal."""
    heard = folder / "heard"
    with heard.open("w") as out, subprocess.Popen([sys.executable, "-c", CANARY, "300"], stdout=out) as process:
        try:
            wait_for(heard.read_text, 10, "the canary")
            yield process.pid, heard
        finally:
            process.kill()
