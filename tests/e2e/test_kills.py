"""`kill -9` of everything, in any order: nothing is lost, nothing is told twice, nothing hangs, nothing is left."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.e2e.conftest import Machine, processes_of, wait_for

from bough_server.service.check import violations
from bough_server.store.sqlite import reader_engine

TRIALS = 20
SEED = 4
KILLS = 16
WHOLE_S = 50.0  # all of it; the schedule of kills is over long before

BOUGH_YML = """\
model: me/oracle
command: {python} -u train.py
hyperparameters: {{x: 0.0}}
optimization:
  algorithm: random
  max_trials: {trials}
  max_parallel: 3
  seed: 3
  space: {{x: "uniform(-5, 5)"}}
"""

# What it has sent it also writes into a file of the test's own, after `send` has returned.
TRAIN = """\
import os, time
import bough
job = bough.start_job()
kpi = job.create_channel("loss", kpi=True, main=True, max_optimization=False)
oracle = os.open({oracle!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for step in range(1, 13):
    y = job.get_parameter("x") ** 2 + 1 / step
    kpi.send(step, y)
    os.write(oracle, f"{{job.job_id}} {{job.attempt}} {{step}} {{y!r}}\\n".encode())
    time.sleep(0.12)
"""


class Lab:
    """A coordinator on a fixed port and an agent in a fixed folder, which are killed and started again."""

    def __init__(self, machine: Machine, *options: str) -> None:
        self.machine = machine
        self.url = machine.coordinator()
        self.coordinator = machine.daemons[-1]
        self.home = machine.home / "agents" / "one"
        key = machine.home / "agent-key"
        key.write_text(machine.key())
        self.agent_command = ("agent", "server", "--coordinator", self.url, "--slots", "3", "--name", "one", *options)
        self.agent = machine.start(*self.agent_command, "--secure-key-file", str(key))

    def kill_coordinator(self) -> None:
        _kill(self.coordinator)
        port = self.url.rpartition(":")[2]
        self.coordinator = self.machine.start("coordinator", "--port", port)

    def kill_agent(self) -> None:
        _kill(self.agent)
        self.agent = self.machine.start(*self.agent_command)

    def kill_one(self, of: str, rng: random.Random) -> None:
        """Kill one of the supervisors, or one of the trials."""
        found = self.supervisors() if of == "supervisor" else self.trials()
        if found:
            with contextlib.suppress(psutil.Error):
                rng.choice(found).kill()

    def supervisors(self) -> list[psutil.Process]:
        pids = []
        for file in sorted(self.home.glob("attempts/*/supervisor.json")):
            with contextlib.suppress(OSError, ValueError):
                pids.append(json.loads(file.read_text())["pid"])
        alive = {process.pid: process for process in processes_of(self.machine.home)}
        return [alive[pid] for pid in pids if pid in alive]

    def trials(self) -> list[psutil.Process]:
        found = []
        for process in processes_of(self.machine.home):
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[-1:] == ["train.py"]:
                    found.append(process)
        return found

    def counts(self) -> dict[str, int]:
        """Return how many trials are in each state; nothing while the coordinator is down."""
        try:
            row = next(iter(self._rows()), None)
        except sqlite3.Error:
            return {}
        return {} if row is None else row

    def _rows(self) -> list[dict[str, int]]:
        database = self.machine.home / "coordinator" / "coordinator.db"
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=1)) as store:
            return [dict(store.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())]


def _kill(daemon: subprocess.Popen[str]) -> None:
    daemon.kill()
    daemon.wait()


def kill_by_schedule(lab: Lab, rng: random.Random) -> None:
    """Kill ``KILLS`` times, at moments and in an order that the seed decides."""
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.2, 1.4))
        victim = rng.choice(["coordinator", "agent", "supervisor", "supervisor", "trial"])
        if victim == "coordinator":
            lab.kill_coordinator()
        elif victim == "agent":
            lab.kill_agent()
        else:
            lab.kill_one(victim, rng)


def oracle_of(path: Path) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Return what each attempt has sent, as it says itself."""
    told: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for line in path.read_text().splitlines():
        job, attempt, x, y = line.split()
        told[job, int(attempt)].append((float(x), float(y)))
    return told


def export(machine: Machine, optimization: str, *options: str) -> list[dict[str, str]]:
    ran = machine.bough("export", optimization, *options)
    assert ran.code == 0, ran.out + ran.err
    return list(csv.DictReader(io.StringIO(ran.out)))


@pytest.mark.timeout(100)
def test_whatever_is_killed_every_trial_ends_once_with_every_point(
    machine: Machine, repository: Callable[..., Path], tmp_path: Path
) -> None:
    oracle = tmp_path / "oracle"
    source = repository(
        {
            "bough.yml": BOUGH_YML.format(python=sys.executable, trials=TRIALS),
            "train.py": TRAIN.format(oracle=str(oracle)),
        }
    )
    lab = Lab(machine)
    begun = time.monotonic()
    ran = machine.bough("optimize", str(source), "--detach", "--json", BOUGH_COORDINATOR=lab.url)
    optimization = str(ran.json()["id"])

    kill_by_schedule(lab, random.Random(SEED))
    wait_for(
        lambda: sum(n for state, n in lab.counts().items() if state in ("DONE", "FAILED", "ABORTED")) == TRIALS,
        WHOLE_S - (time.monotonic() - begun),
        what=f"{TRIALS} ended trials",
    )

    trials = export(machine, optimization)
    assert [int(trial["number"]) for trial in trials] == list(range(1, TRIALS + 1))
    points = defaultdict(list)
    for row in export(machine, optimization, "--points"):
        points[int(row["number"]), int(row["attempt"])].append((float(row["x"]), float(row["y"])))
    sent = oracle_of(oracle)
    assert sum(trial["state"] == "DONE" for trial in trials) >= TRIALS - KILLS
    assert max(int(trial["attempts"]) for trial in trials) > 1
    for trial in trials:
        attempt = int(trial["attempts"])
        # A trial that was killed between `send` and its own note has one point more than it says.
        noted, stored = sent[trial["job_id"], attempt], points[int(trial["number"]), attempt]
        assert stored[: len(noted)] == noted
        assert len(stored) - len(noted) in (0, 1)
        assert [x for x, _ in stored] == list(range(1, len(stored) + 1))
        if trial["state"] == "DONE":
            assert len(stored) == 12
    with reader_engine(machine.home / "coordinator" / "coordinator.db", 1).connect() as tx:
        assert violations(tx) == []
    wait_for(lambda: not lab.trials() and not lab.supervisors(), 10, what="no trial and no supervisor")
