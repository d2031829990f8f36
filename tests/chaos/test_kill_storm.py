"""C1: `kill -9` of coordinator, agents, supervisors and trials, in any order, again and again.

Every trial ends once, with every point that it sent exactly once, and nothing is left.
The store that comes out of it is then damaged on purpose, to see that each damage would have been found.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.chaos import corruptions, oracle
from tests.chaos.conftest import IS_FULL, SEED, Tally
from tests.chaos.lab import IMPATIENT, Lab, definition, reading
from tests.chaos.oracle import Promise, Tables, Told
from tests.chaos.storm import rage, schedule
from tests.e2e.conftest import a_machine, wait_for

from bough_server.service.check import violations


@dataclass(frozen=True)
class Size:
    """How much is done, and how much is killed meanwhile."""

    promise: Promise
    agents: int
    slots: int
    pause_s: float
    kills: dict[str, int]
    mean_s: float
    away_s: float
    rest_s: float  # after the last kill


SHORT = Size(Promise(20, 12), 2, 2, 0.12, {"coordinator": 3, "agent": 5, "supervisor": 5, "trial": 4}, 0.4, 1.0, 60.0)
FULL = Size(
    Promise(200, 20), 4, 4, 1.0, {"coordinator": 45, "agent": 65, "supervisor": 35, "trial": 22}, 1.8, 5.0, 600.0
)
SIZE = FULL if IS_FULL else SHORT
GONE_S = 15.0  # after the last trial nothing is left


@dataclass(frozen=True)
class Aftermath:
    """What there was when it was over."""

    told: list[Told]
    tables: Tables
    unsound: list[str]
    finished: int
    kills: dict[str, int]
    wall_s: float
    left: int
    store: Path
    optimization: str


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    place = tmp_path_factory.mktemp("storm")
    with a_machine(place) as machine:
        yield _storm(Lab(machine, SIZE.agents, SIZE.slots, {} if IS_FULL else IMPATIENT), place)


def _storm(lab: Lab, place: Path) -> Aftermath:
    book = place / "book"
    book.mkdir()
    train = oracle.TRAIN.format(folder=str(book), steps=SIZE.promise.steps, pause_s=SIZE.pause_s)
    rules = {"retry": 10, "stop_after": None}
    yml = definition(SIZE.promise.trials, SIZE.agents * SIZE.slots, on_failure=rules)
    began = time.monotonic()
    optimization = lab.optimize({"bough.yml": yml, "train.py": train})
    kills = rage(lab, schedule(random.Random(SEED), SIZE.kills, SIZE.mean_s, SIZE.away_s))
    lab.await_end(optimization, SIZE.promise.trials, SIZE.rest_s)
    wall_s = time.monotonic() - began
    wait_for(lambda: not lab.left(), GONE_S, "the end of every trial and supervisor")
    tables = Tables.of_csv(lab.export(optimization), lab.export(optimization, "--points", "--all-attempts"))
    finished, unsound = int(lab.get(f"optimizations/{optimization}")["finished"]), lab.unsound()
    left = len(lab.left())
    lab.close()  # then the store is in one file
    store = lab.machine.home / "coordinator" / "coordinator.db"
    return Aftermath(oracle.read(book), tables, unsound, finished, kills, wall_s, left, store, optimization)


@pytest.mark.timeout(1500 if IS_FULL else 120)
def test_whatever_is_killed_every_trial_ends_once_with_every_point(aftermath: Aftermath, tally: Tally) -> None:
    found = oracle.breaches(SIZE.promise, aftermath.tables, aftermath.told)
    again = oracle.run_again(aftermath.told, aftermath.tables.trials)
    attempts = sum(int(row["attempts"]) for row in aftermath.tables.trials)
    points = sum(len(one.points) for one in aftermath.told)
    fault_free_s = SIZE.promise.trials * SIZE.promise.steps * SIZE.pause_s / (SIZE.agents * SIZE.slots)
    tally(
        "C1 kill storm",
        **{f"{kind}s_killed": n for kind, n in sorted(aftermath.kills.items())},
        ended_once=aftermath.finished,
        attempts=attempts,
        points_sent=points,
        breaches=len(found) + len(aftermath.unsound),
        scripts_run_again_after_their_end=again,
        processes_left=aftermath.left,
        times_as_long=round(aftermath.wall_s / fault_free_s, 1),
    )

    assert found == []
    assert aftermath.unsound == []
    assert (aftermath.finished, aftermath.left) == (SIZE.promise.trials, 0)
    assert aftermath.kills == SIZE.kills
    assert again <= SIZE.kills["supervisor"]
    assert attempts > SIZE.promise.trials
    assert not IS_FULL or aftermath.wall_s <= 3 * fault_free_s


ROUNDS = range(10 if IS_FULL else 1)


@pytest.mark.parametrize("damage", corruptions.OF_TABLES)
def test_the_oracle_finds_damage_in_what_is_told(aftermath: Aftermath, damage: str) -> None:
    for n in ROUNDS:
        tables = corruptions.damaged(aftermath.tables, corruptions.OF_TABLES[damage], random.Random(SEED + n))

        assert oracle.breaches(SIZE.promise, tables, aftermath.told) != []


@pytest.mark.parametrize("damage", corruptions.OF_STORES)
def test_the_oracle_finds_damage_in_the_store(aftermath: Aftermath, damage: str, tmp_path: Path) -> None:
    for n in ROUNDS:
        store = tmp_path / f"{n}.db"
        shutil.copy(aftermath.store, store)
        assert corruptions.damage_store(str(store), corruptions.OF_STORES[damage], SEED + n) > 0
        with reading(store) as tx:
            found = violations(tx)
            tables = Tables.of_store(tx, aftermath.optimization)

        assert found + oracle.breaches(SIZE.promise, tables, aftermath.told) != []


def test_the_oracle_has_nothing_to_say_of_an_undamaged_store(aftermath: Aftermath) -> None:
    with reading(aftermath.store) as tx:
        assert violations(tx) == []
        tables = Tables.of_store(tx, aftermath.optimization)

    assert oracle.breaches(SIZE.promise, tables, aftermath.told) == []
    assert tables.points
