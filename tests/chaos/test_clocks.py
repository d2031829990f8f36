"""C12: the wall clock jumps by an hour and by ten years, forward and back, under everybody, while trials run.

The clock of the machine is left alone: each Python of the daemons, supervisors and trials adds to `time.time` what a
file says at that moment. Monotonic clocks, file times and timers are not touched, as with a real jump.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos import oracle
from tests.chaos.conftest import IS_FULL, Tally
from tests.chaos.lab import IMPATIENT, Lab, definition
from tests.chaos.nursery import Nursery
from tests.chaos.oracle import Promise, Tables
from tests.chaos.test_agent_kills import LIMITED, seconds_of
from tests.e2e.conftest import a_machine, wait_for

HOUR_S, DECADE_S = 3600.0, 10 * 365.25 * 86400.0
JUMPS = (HOUR_S, -HOUR_S, DECADE_S, -DECADE_S)
PATCH = """\
import os, time
def _moved(real, unit):
    def now():
        try:
            with open(os.environ["TEST_CLOCK"]) as file:
                return real() + type(real())(float(file.read() or 0) * unit)
        except (OSError, KeyError, ValueError):
            return real()
    return now
time.time, time.time_ns = _moved(time.time, 1), _moved(time.time_ns, 10**9)
"""
PROMISE = Promise(4, 60)
MOST_S = 3.0


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(PATCH)
    with a_machine(tmp_path) as machine:
        machine.environ["PYTHONPATH"] = f"{tmp_path / 'patch'}:{machine.environ['PYTHONPATH']}"
        nursery = Nursery({**machine.environ, "TEST_MACHINE": "none: it is no process of that machine"})
        try:
            found = Lab(machine, agents=1, slots=6, times=IMPATIENT, nursery=nursery)
            yield found
            found.close()
        finally:
            nursery.close()


def clock_of(lab: Lab, who: str) -> Path:
    return lab.machine.home / f"clock-{who}"


def set_clocks(lab: Lab, whose: list[str], offset_s: float) -> None:
    for who in whose:
        beside = clock_of(lab, f"{who}.new")
        beside.write_text(str(offset_s))
        beside.rename(clock_of(lab, who))


@pytest.mark.parametrize("whose", ["agent, coordinator", *(["agent", "coordinator"] if IS_FULL else [])])
def test_no_jump_of_a_clock_ends_a_trial_or_its_lease(lab: Lab, tmp_path: Path, tally: Tally, whose: str) -> None:
    who = whose.split(", ")
    for kind, environ in (("agent", lab.for_agents), ("coordinator", lab.for_coordinator)):
        environ["TEST_CLOCK"] = str(clock_of(lab, kind))
        lab.kill(kind, 0.0, 0.0)
        lab.bring_back(0.0)
    wait_for(lambda: any(row["online"] for row in (lab.get("agents") or {"rows": []})["rows"]), 30, "the agent")
    book, limited = tmp_path / "book", tmp_path / "limited"
    book.mkdir()
    limited.mkdir()
    train = oracle.TRAIN.format(folder=str(book), steps=PROMISE.steps, pause_s=0.05)
    exact = lab.optimize({"bough.yml": definition(PROMISE.trials, 4), "train.py": train})
    slow = LIMITED.format(folder=str(limited), pause_s=0.05)
    timed = lab.optimize({"bough.yml": definition(2, 2, max_time=f"{MOST_S:g}s"), "train.py": slow}, "timed")
    wait_for(lambda: len(list(book.iterdir())) + len(list(limited.iterdir())) == PROMISE.trials + 2, 30, "all trials")

    jumps = 0
    while lab.ended(exact) < PROMISE.trials or lab.ended(timed) < 2:
        set_clocks(lab, who, JUMPS[jumps % len(JUMPS)])
        jumps += 1
        assert jumps < 200
        time.sleep(0.4)

    tables = Tables.of_csv(lab.export(exact), lab.export(exact, "--points", "--all-attempts"))
    found = oracle.breaches(PROMISE, tables, oracle.read(book)) + lab.unsound()
    late_s = [seconds_of(path) - MOST_S for path in limited.iterdir()]
    ends = {(job["state"], job["end_reason"], job["attempt"]) for job in lab.jobs(timed)}
    tally(f"C12 clocks of {whose}", jumps=jumps, breaches=len(found), latest_stop_s=round(max(late_s), 2))
    assert found == []
    assert {row["attempts"] for row in tables.trials} == {"1"}
    assert ends == {("DONE", "max_time", 1)}
    assert max(map(abs, late_s)) <= 1.0
