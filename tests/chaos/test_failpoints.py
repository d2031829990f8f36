"""C2 and C3: the coordinator ends before and after each of its commits, the agent before and after each of its writes.

One search goes on through all of it. Each process ends at a named place (`bough._failpoints`), is started again with
the next one, and in the end every trial is there once with every point, no attempt was lost to the coordinator's
absence, and what an agent died over runs again without using up a try.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests
from tests.chaos import oracle
from tests.chaos.conftest import IS_FULL, SEED, Tally
from tests.chaos.lab import IMPATIENT, Daemon, Lab, definition
from tests.chaos.nursery import Nursery
from tests.chaos.oracle import Promise, Tables
from tests.e2e.conftest import a_machine, wait_for

from bough import _failpoints, _layout

OF_COORDINATOR = [
    *("ship.before_commit", "ship.after_commit", "exit.before_commit", "exit.after_commit"),
    *("claim.before_commit", "claim.after_commit", "store.before_commit", "store.after_commit"),
    *("record.before_write", "record.after_write"),
]
OF_AGENT = [
    *("granted", "answered", "launch.before", "launch.after", "forget.before"),
    *(f"{name}.{when}" for name in ("claim.json", "job.json", "spec.json") for when in ("before", "after")),
]
OF_SUPERVISOR = [f"{name}.{when}" for name in ("supervisor.json", "exit.json") for when in ("before", "after")]
TIMES = 5 if IS_FULL else 1
HIT_S = 60.0  # it takes so long at most until a process has ended at its place
STEPS, PAUSE_S = 3, 0.03


@pytest.fixture
def lab(tmp_path: Path, nursery: Nursery) -> Iterator[Lab]:
    with a_machine(tmp_path) as machine:
        found = Lab(machine, agents=1, slots=3, times=IMPATIENT | {"max_lost": 1000}, nursery=nursery)
        yield found
        found.close()


def search(lab: Lab, book: Path, trials: int) -> str:
    book.mkdir()
    train = oracle.TRAIN.format(folder=str(book), steps=STEPS, pause_s=PAUSE_S)
    return lab.optimize({"bough.yml": definition(trials, 3), "train.py": train})


def die_at(daemon: Daemon, environ: dict[str, str], place: str, n: int) -> None:
    """Start the daemon so that it ends at its n-th coming to that place, and wait until it has."""
    environ[_layout.FAILPOINT] = f"{place}:{n}"
    daemon.kill(0.0)
    daemon.bring_back(0.0)
    wait_for(lambda: daemon.process.poll() is not None, HIT_S, f"the end of the process at {place}")
    assert daemon.process.returncode == _failpoints.STATUS, place
    environ.pop(_layout.FAILPOINT)
    daemon.back_at = 0.0


def claims(lab: Lab, optimization: str) -> int:
    return sum(job["attempt"] for job in lab.jobs(optimization))


def claims_beyond(lab: Lab, optimization: str, n: int) -> bool:
    return claims(lab, optimization) > n


def assert_told(lab: Lab, optimization: str, promise: Promise, book: Path) -> Tables:
    lab.await_end(optimization, promise.trials, 90.0)
    wait_for(lambda: not lab.left(), 15.0, "the end of every trial and supervisor")
    tables = Tables.of_csv(lab.export(optimization), lab.export(optimization, "--points", "--all-attempts"))
    assert oracle.breaches(promise, tables, oracle.read(book)) == []
    assert lab.unsound() == []
    return tables


@pytest.mark.timeout(900 if IS_FULL else 120)
def test_a_coordinator_that_ends_before_or_after_any_commit_costs_nothing(
    lab: Lab, tmp_path: Path, tally: Tally
) -> None:
    rng = random.Random(SEED)
    places = rng.sample(OF_COORDINATOR * TIMES, len(OF_COORDINATOR) * TIMES)
    promise = Promise(6 * len(places), STEPS)
    optimization = search(lab, tmp_path / "book", promise.trials)

    for place in places:
        die_at(lab.coordinator, lab.for_coordinator, place, rng.randint(1, 2))
        lab.coordinator.bring_back(1.0)

    tables = assert_told(lab, optimization, promise, tmp_path / "book")
    again = sum(int(row["attempts"]) > 1 for row in tables.trials)
    counts = {"places": len(set(places)), "deaths": len(places), "trials": promise.trials, "rerun": again}
    tally("C3 coordinator at failpoints", **counts)
    assert again == 0


@pytest.mark.timeout(900 if IS_FULL else 120)
def test_an_agent_that_ends_before_or_after_any_write_costs_no_try(lab: Lab, tmp_path: Path, tally: Tally) -> None:
    """What it was granted and had not noted is given out again; what runs goes on.

    The same trial is hit again and again, more often than a job may be lost.
    """
    rng = random.Random(SEED)
    places = rng.sample(OF_AGENT * TIMES, len(OF_AGENT) * TIMES if IS_FULL else 6)
    promise = Promise(6 * len(places), STEPS)
    optimization = search(lab, tmp_path / "book", promise.trials)
    (agent,) = lab.agents

    for place in places:
        die_at(agent, lab.for_agents, place, 1)
        agent.bring_back(1.0)

    tables = assert_told(lab, optimization, promise, tmp_path / "book")
    again = sum(int(row["attempts"]) - 1 for row in tables.trials)
    tally("C2 agent at failpoints", places=len(set(places)), deaths=len(places), trials=promise.trials, rerun=again)
    assert again <= 3 * len(places)


@pytest.mark.timeout(900 if IS_FULL else 120)
def test_a_supervisor_that_ends_before_or_after_any_write_costs_no_try(lab: Lab, tmp_path: Path, tally: Tally) -> None:
    """Each of its ends costs one attempt at most; after exit.json none."""
    (agent,) = lab.agents
    book = tmp_path / "book"
    optimization = search(lab, book, 3 * len(OF_SUPERVISOR) * TIMES)
    for place in OF_SUPERVISOR * TIMES:
        lab.for_agents[_layout.FAILPOINT] = place
        enough = claims(lab, optimization) + 2
        agent.kill(0.0)
        agent.bring_back(0.0)
        wait_for(partial(claims_beyond, lab, optimization, enough), HIT_S, "attempts")
        lab.for_agents.clear()
    agent.kill(0.0)
    agent.bring_back(0.0)

    promise = Promise(3 * len(OF_SUPERVISOR) * TIMES, STEPS)
    tables = assert_told(lab, optimization, promise, book)
    again = Counter(int(row["attempts"]) - 1 for row in tables.trials)
    rerun = again.total() - again[0]
    tally("C2 supervisors at failpoints", places=len(OF_SUPERVISOR), trials=promise.trials, rerun=rerun)
    assert rerun > 0


@pytest.mark.parametrize("place", ["store.before_commit", "store.after_commit"])
def test_what_is_asked_for_again_after_the_coordinators_end_is_made_once(lab: Lab, place: str) -> None:
    lab.agents[0].process.terminate()
    lab.agents[0].process.wait(20)
    key = {"Idempotency-Key": str(uuid.uuid4()), "Authorization": f"Bearer {lab.admin_key}"}
    yml = {"model": "me/x", "command": "true", "hyperparameters": {"x": 0.0}}
    yml["optimization"] = {"algorithm": "random", "max_trials": 2, "space": {"x": "uniform(0, 1)"}}
    body = {"definition": yml, "commit": "3f9a12c0" * 5, "folder": "", "source": {}, "fixed": {}}
    lab.coordinator.kill(0.0)
    lab.for_coordinator[_layout.FAILPOINT] = place
    lab.coordinator.bring_back(1.0)
    wait_for(lambda: lab.get("health"), what="the coordinator")

    with pytest.raises(requests.ConnectionError):
        requests.post(f"{lab.url}/api/v1/optimizations", json=body, headers=key, timeout=30)
    assert lab.coordinator.process.wait(10) == _failpoints.STATUS
    lab.for_coordinator.clear()
    lab.coordinator.back_at = 0.0
    lab.coordinator.bring_back(1.0)
    wait_for(lambda: lab.get("health"), what="the coordinator")
    replies = [requests.post(f"{lab.url}/api/v1/optimizations", json=body, headers=key, timeout=30) for _ in range(2)]

    assert [reply.status_code for reply in replies] == [201, 201]
    assert {reply.json()["id"] for reply in replies} == {row["id"] for row in lab.get("optimizations")["rows"]}
    assert lab.get("optimizations")["total"] == 1
    assert lab.unsound() == []
