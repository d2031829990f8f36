"""C25: the coordinator is restored from a backup while trials run that it knows less of than it had acknowledged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos import oracle
from tests.chaos.conftest import IS_FULL, Tally
from tests.chaos.lab import IMPATIENT, Lab, definition
from tests.chaos.nursery import Nursery
from tests.chaos.oracle import Promise, Tables
from tests.e2e.conftest import a_machine, wait_for

from bough_server import backup
from bough_server.config import Config
from bough_server.service.clock import SystemClock

PROMISE = Promise(3, 20)
GATE = """
    while step in (5, {steps}) and not os.path.exists({gate!r} + str(step)):
        time.sleep(0.02)
"""


@pytest.fixture
def lab(tmp_path: Path, nursery: Nursery) -> Iterator[Lab]:
    with a_machine(tmp_path) as machine:
        found = Lab(machine, agents=1, slots=3, times=IMPATIENT, nursery=nursery)
        yield found
        found.close()


def stored(lab: Lab, optimization: str) -> int:
    found = lab.get(f"optimizations/{optimization}/trials")
    points = [lab.get(f"jobs/{row['id']}/points") for row in (found or {"rows": []})["rows"]]
    return sum(channel["points"] for one in points if one for channel in one["channels"] if not channel["system"])


@pytest.mark.parametrize("repetition", range(10 if IS_FULL else 1))
def test_a_coordinator_from_a_backup_gets_what_it_lacks_from_its_agents(
    lab: Lab, tmp_path: Path, tally: Tally, repetition: int
) -> None:
    """The scripts say nothing more after the restoration: nothing but their end tells that bytes are missing."""
    book, gate = tmp_path / "book", str(tmp_path / "gate")
    book.mkdir()
    train = oracle.TRAIN.format(folder=str(book), steps=PROMISE.steps, pause_s=0.02)
    train = train.replace("    time.sleep", GATE.format(steps=PROMISE.steps, gate=gate) + "    time.sleep")
    optimization = lab.optimize({"bough.yml": definition(PROMISE.trials, 3), "train.py": train})
    wait_for(lambda: stored(lab, optimization) == 5 * PROMISE.trials, 30, "the points of before the backup")
    home = lab.machine.home / "coordinator"
    backup.back_up(Config(home), tmp_path / "backup", SystemClock())
    Path(gate + "5").touch()
    wait_for(lambda: stored(lab, optimization) == PROMISE.steps * PROMISE.trials, 30, "all points")

    lab.coordinator.kill(0.0)
    home.rename(tmp_path / "lost")
    backup.restore(tmp_path / "backup", Config(home), SystemClock())
    for name in ("admin.key", "session.key"):
        if not (home / name).exists():
            shutil.copy(tmp_path / "lost" / name, home / name)
    lab.bring_back(1.0)
    Path(f"{gate}{PROMISE.steps}").touch()
    lab.await_end(optimization, PROMISE.trials, 60)

    tables = Tables.of_csv(lab.export(optimization), lab.export(optimization, "--points", "--all-attempts"))
    found = oracle.breaches(PROMISE, tables, oracle.read(book)) + lab.unsound()
    tally("C25 restored from a backup", trials=PROMISE.trials, breaches=len(found))
    assert found == []
    assert {row["attempts"] for row in tables.trials} == {"1"}
