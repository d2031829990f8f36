"""C2 and C16: the agent is killed again and again while trials run, and the coordinator too; nothing of them changes.

The processes are the same ones from beginning to end, each trial has one attempt and every point, and limits hold
although nobody but the supervisors is left.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.chaos import oracle
from tests.chaos.conftest import IS_FULL, SEED, Tally
from tests.chaos.lab import IMPATIENT, Lab, definition
from tests.chaos.nursery import Nursery
from tests.chaos.oracle import Promise, Tables
from tests.e2e.conftest import a_machine, wait_for

from bough_agent import processes

TRIALS = 8
KILLS = 100 if IS_FULL else 5
AWAY_S = (0.0, 0.3, 1.0, 3.0)  # the last one is longer than the lease
WAITS = """
while not os.path.exists({go!r}):
    time.sleep(0.05)
    job.progress(0.1)
"""
LIMITED = """\
import json, os, time
import bough
job = bough.start_job()
kpi = job.create_channel("loss", kpi=True, max_optimization=False)
book = open(os.path.join({folder!r}, job.job_id), "a", buffering=1)
try:
    for epoch in range(1, 400):
        book.write("%d %f\\n" % (epoch, time.monotonic()))
        kpi.send(epoch, job.get_parameter("x"))
        job.progress(epoch, 400)
        time.sleep({pause_s})
finally:
    book.write("end %f\\n" % time.monotonic())
"""


@pytest.fixture
def lab(tmp_path: Path, nursery: Nursery) -> Iterator[Lab]:
    with a_machine(tmp_path) as machine:
        found = Lab(machine, agents=1, slots=TRIALS, times=IMPATIENT, nursery=nursery)
        yield found
        found.close()


def is_back(lab: Lab) -> bool:
    lab.bring_back(time.monotonic())
    return lab.agents[0].back_at is None


def identities(lab: Lab) -> set[tuple[int, int]]:
    """Return (pid, start) of every process of a trial, and of every supervisor."""
    found = [processes.look(pid) for pid in [*lab.supervisors(), *lab.trials()]]
    return {(one.pid, one.start_ticks) for one in found if one is not None}


@pytest.mark.timeout(900 if IS_FULL else 120)
def test_a_trial_does_not_notice_that_its_agent_is_killed(lab: Lab, tmp_path: Path, tally: Tally) -> None:
    book, go = tmp_path / "book", tmp_path / "go"
    book.mkdir()
    train = oracle.TRAIN.format(folder=str(book), steps=30, pause_s=0.02)
    train = train.replace('note("ended")', WAITS.format(go=str(go)) + 'note("ended")')
    optimization = lab.optimize({"bough.yml": definition(TRIALS, TRIALS), "train.py": train})
    wait_for(lambda: len(identities(lab)) == 2 * TRIALS, 30, "all trials")
    before, rng = identities(lab), random.Random(SEED)

    for _ in range(KILLS):
        lab.kill("agent", 0.0, time.monotonic() + rng.choice(AWAY_S))
        wait_for(partial(is_back, lab), what="the agent")
        time.sleep(rng.uniform(0, 0.5))  # any moment of its start is as good as another
    assert identities(lab) == before
    go.touch()

    promise = Promise(TRIALS, 30)
    lab.await_end(optimization, TRIALS, 60)
    tables = Tables.of_csv(lab.export(optimization), lab.export(optimization, "--points", "--all-attempts"))
    found = oracle.breaches(promise, tables, oracle.read(book)) + lab.unsound()
    attempts = sum(int(row["attempts"]) for row in tables.trials)
    tally("C2 agent killed", kills=KILLS, trials=TRIALS, attempts=attempts, points=30 * TRIALS, breaches=len(found))
    assert found == []
    assert attempts == TRIALS


@pytest.mark.parametrize("dead", ["agent, coordinator", *(["agent", "coordinator"] if IS_FULL else [])])
@pytest.mark.parametrize("limit", ["max_epochs", "max_time"])
def test_limits_hold_whoever_is_dead(lab: Lab, tmp_path: Path, tally: Tally, dead: str, limit: str) -> None:
    trials, pause_s, most_s, epochs = 8 if IS_FULL else 3, 0.05, 3.0, 40
    book = tmp_path / "book"
    book.mkdir()
    train = LIMITED.format(folder=str(book), pause_s=pause_s)
    limits: dict[str, Any] = {"max_epochs": epochs} if limit == "max_epochs" else {"max_time": f"{most_s:g}s"}
    optimization = lab.optimize({"bough.yml": definition(trials, trials, **limits), "train.py": train})
    wait_for(lambda: len(list(book.iterdir())) == trials and min(map(epochs_of, book.iterdir())) >= 3, 30, "epochs")

    for kind in dead.split(", "):
        lab.kill(kind, 0.0, float("inf"))
    wait_for(lambda: all("end" in path.read_text() for path in book.iterdir()), 30, "the end of all trials")
    wait_for(lambda: not lab.trials(), 10, "the end of their processes")
    for daemon in lab.daemons:
        daemon.back_at = 0.0 if daemon.back_at is not None else None
    lab.bring_back(1.0)
    lab.await_end(optimization, trials, 60)

    jobs = lab.jobs(optimization)
    assert [(job["state"], job["end_reason"], job["attempt"]) for job in jobs] == [("DONE", limit, 1)] * trials
    overrun = [epochs_of(path) - epochs for path in book.iterdir()]
    late_s = [seconds_of(path) - most_s for path in book.iterdir()]
    if limit == "max_epochs":
        assert max(overrun) <= 1
        assert {float(job["kpi_best_x"]) <= epochs for job in jobs} == {True}
    else:
        assert max(late_s) <= 1.0
    tally(f"C16 {limit}, {dead} dead", trials=trials, breaches=0)


def epochs_of(path: Path) -> int:
    return sum(not line.startswith("end") for line in path.read_text().splitlines())


def seconds_of(path: Path) -> float:
    lines = path.read_text().splitlines()
    return float(lines[-1].split()[1]) - float(lines[0].split()[1])
