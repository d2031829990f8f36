"""C8 and C9: disks that are full, of the agent and of the coordinator, while trials report; real ones, of a few MiB.

Nothing that was acknowledged is lost, nobody gives up, and what waits in memory is written when there is room again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.chaos import oracle
from tests.chaos.conftest import IS_FULL, Tally
from tests.chaos.lab import IMPATIENT, Lab, definition
from tests.chaos.nursery import Nursery
from tests.chaos.oracle import Promise, Tables
from tests.e2e.conftest import a_machine, wait_for

CYCLES = 20 if IS_FULL else 2
PROMISE = Promise(20 if IS_FULL else 6, 40)
MANY = """\
import os, time
import bough
job = bough.start_job()
kpi = job.create_channel("loss", kpi=True, max_optimization=False)
words = job.create_channel("words", type="text")
kpi.send(0, 1.0)
while not os.path.exists({full!r}):
    time.sleep(0.02)
for n in range({lines}):
    words.send(n, "x" * 50000)
open({sent!r}, "w").close()
while not os.path.exists({freed!r}):
    time.sleep(0.02)
kpi.send(1, 0.5)
"""


PRINTS = """\
import os, time
import bough
job = bough.start_job()
job.create_channel("loss", kpi=True, max_optimization=False).send(0, 1.0)
while not os.path.exists({full!r}):
    time.sleep(0.02)
print("no room for this", flush=True)
"""


class Disk:
    """A file system of its own that can be filled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / ".filler"

    def fill(self) -> None:
        """Take all the room that is left, to the last byte."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size):
                        pass

    def free(self) -> None:
        self._filler.unlink()


@contextlib.contextmanager
def small_disk(path: Path, mib: int) -> Iterator[Disk]:
    """Give a disk of so many MiB at this place."""
    path.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", str(path)])
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def lab_on_disk(tmp_path: Path, nursery: Nursery, request: pytest.FixtureRequest) -> Iterator[tuple[Lab, Disk]]:
    where, mib = request.param
    with a_machine(tmp_path) as machine, small_disk(machine.home / where, mib) as disk:
        lab = Lab(machine, agents=1, slots=2, times=IMPATIENT, nursery=nursery)
        try:
            yield lab, disk
        finally:
            lab.close()


def search(lab: Lab, book: Path) -> str:
    book.mkdir()
    train = oracle.TRAIN.format(folder=str(book), steps=PROMISE.steps, pause_s=0.05)
    train = train.replace('print("begun", flush=True)\n', "")  # a print to a full disk fails, whoever calls it
    return lab.optimize({"bough.yml": definition(PROMISE.trials, 2), "train.py": train})


def assert_told(lab: Lab, optimization: str, book: Path) -> int:
    lab.await_end(optimization, PROMISE.trials, 120)
    tables = Tables.of_csv(lab.export(optimization), lab.export(optimization, "--points", "--all-attempts"))
    assert oracle.breaches(PROMISE, tables, oracle.read(book)) == []
    assert lab.unsound() == []
    return sum(int(row["attempts"]) for row in tables.trials)


def agent_row(lab: Lab) -> dict[str, Any]:
    (row,) = lab.get("agents")["rows"]
    return dict(row)


def free_bytes(lab: Lab) -> int:
    """Return what the agent last said."""
    return int((agent_row(lab)["usage"] or {"disk_free_bytes": -1})["disk_free_bytes"])


def await_heartbeats(lab: Lab) -> None:
    since = time.monotonic()
    wait_for(lambda: time.monotonic() - since > 1.0 and agent_row(lab)["online"], 20, "two more heartbeats")


def claims(lab: Lab, optimization: str) -> int:
    return sum(job["attempt"] for job in lab.jobs(optimization))


@pytest.mark.timeout(600 if IS_FULL else 120)
@pytest.mark.parametrize("lab_on_disk", [("agents/one", 24)], indirect=True, ids=["24 MiB"])
def test_an_agent_whose_disk_is_full_keeps_what_runs_and_takes_nothing(
    lab_on_disk: tuple[Lab, Disk], tmp_path: Path, tally: Tally
) -> None:
    lab, disk = lab_on_disk
    book = tmp_path / "book"
    optimization = search(lab, book)
    taken = 0
    for _ in range(CYCLES):
        wait_for(lambda: lab.trials() or lab.ended(optimization) == PROMISE.trials, 60, "a trial")
        disk.fill()
        wait_for(lambda: free_bytes(lab) == 0, 20, "a word about the disk")
        before = claims(lab, optimization)
        await_heartbeats(lab)
        taken += claims(lab, optimization) - before
        disk.free()
        wait_for(lambda: free_bytes(lab) > 0, 20, "a word about the room")

    attempts = assert_told(lab, optimization, book)
    tally("C8 agent's disk full", cycles=CYCLES, trials=PROMISE.trials, attempts=attempts, taken_while_full=taken)
    # What was taken in the half second before the disk was looked at could not be prepared, and went back unburnt.
    assert attempts <= PROMISE.trials + CYCLES
    assert taken == 0


@pytest.mark.parametrize("lab_on_disk", [("agents/one", 24)], indirect=True, ids=["24 MiB"])
def test_what_a_full_disk_swallows_is_counted_to_the_line(lab_on_disk: tuple[Lab, Disk], tally: Tally) -> None:
    """More than may wait in memory: what is stored and what is said to be lost are together what was sent."""
    lab, disk = lab_on_disk
    places = {name: str(lab.machine.home / name) for name in ("full", "sent", "freed")}
    lines = 300
    script = MANY.format(lines=lines, **places)
    optimization = lab.optimize({"bough.yml": definition(1, 1), "train.py": script})
    wait_for(lambda: [job["state"] for job in lab.jobs(optimization)] == ["RUNNING"], 30, "the trial")
    disk.fill()
    Path(places["full"]).touch()
    wait_for(Path(places["sent"]).exists, 30, "all lines")
    disk.free()
    Path(places["freed"]).touch()
    lab.await_end(optimization, 1, 60)

    (job,) = lab.jobs(optimization)
    whole = lab.get(f"jobs/{job['id']}")
    stored = lab.export(optimization, "--points").count(",words,")
    lost = whole["journal"]["lost_lines"]
    tally("C8 gaps", sent=lines, stored=stored, lost=lost)
    assert (job["state"], job["kpi"], stored + lost) == ("DONE", 0.5, lines)
    assert 0 < lost < lines


@pytest.mark.parametrize("lab_on_disk", [("agents/one", 24)], indirect=True, ids=["24 MiB"])
def test_a_script_that_prints_to_a_full_disk_fails_with_the_disk_in_its_message(lab_on_disk: tuple[Lab, Disk]) -> None:
    """Printing fails then, in any program; what it reported is delivered all the same, and the reason is named."""
    lab, disk = lab_on_disk
    places = {name: str(lab.machine.home / name) for name in ("full", "freed")}
    optimization = lab.optimize({"bough.yml": definition(1, 1), "train.py": PRINTS.format(**places)})
    wait_for(lambda: [job["state"] for job in lab.jobs(optimization)] == ["RUNNING"], 30, "the trial")
    disk.fill()
    Path(places["full"]).touch()
    (supervisor,) = lab.supervisors()
    wait_for(lambda: not lab.trials(), 30, "the end of the script")
    assert supervisor in lab.supervisors()  # it waits for room for exit.json
    disk.free()
    lab.await_end(optimization, 1, 60)

    (job,) = lab.jobs(optimization)
    assert (job["state"], job["end_reason"], job["attempt"]) == ("FAILED", "error", 1)
    assert "ended with exit code 1. The disk of its agent was full then: free some space there." in job["message"]
    assert lab.export(optimization, "--points").count(",loss,") == 1


@pytest.mark.timeout(600 if IS_FULL else 120)
@pytest.mark.parametrize("lab_on_disk", [("coordinator", 16)], indirect=True, ids=["16 MiB"])
def test_a_coordinator_whose_disk_is_full_says_so_and_loses_nothing(
    lab_on_disk: tuple[Lab, Disk], tmp_path: Path, tally: Tally
) -> None:
    lab, disk = lab_on_disk
    book = tmp_path / "book"
    optimization = search(lab, book)
    answers = []
    for n in range(CYCLES):
        wait_for(lambda: lab.trials() or lab.ended(optimization) == PROMISE.trials, 60, "a trial")
        disk.fill()
        yml = {"model": f"me/x{n}", "command": "true", "hyperparameters": {"x": "y" * 100_000}}
        body = {"definition": yml, "commit": "3f9a12c0" * 5, "folder": "", "source": {}, "values": {}}
        headers = {"Authorization": f"Bearer {lab.admin_key}"}
        reply = requests.post(f"{lab.url}/api/v1/jobs", json=body, headers=headers, timeout=30)
        answers.append((reply.status_code, reply.json()["error"]))
        assert "is full: nothing more is stored, and nothing already stored is lost." in reply.json()["detail"]
        assert lab.get(f"optimizations/{optimization}")["id"] == optimization
        disk.free()

    attempts = assert_told(lab, optimization, book)
    with contextlib.closing(sqlite3.connect(disk.path / "coordinator.db")) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert "Traceback" not in (lab.machine.home / "one.log").read_text()
    assert os.path.exists(disk.path / "git")
    tally("C9 coordinator's disk full", cycles=CYCLES, trials=PROMISE.trials, refused=len(answers), attempts=attempts)
    assert answers == [(503, "unavailable")] * CYCLES
    assert attempts == PROMISE.trials
