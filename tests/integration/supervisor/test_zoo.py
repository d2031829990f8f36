"""Processes that try to stay, by accident or design: after the ladder none is left."""

from __future__ import annotations

import os
import time

import pytest
from tests.integration.supervisor.attempts import PYTHON, TRIALS, Attempt, await_event, until
from tests.integration.supervisor.conftest import Prepare

from bough_agent.spawner_client import Spawner

ANIMALS = {  # name: how many pids it notes
    "double_fork": 2,
    "deaf": 1,
    "stopped": 2,
    "self_stopped_leader": 1,
    "chain": 30,
    "clean_environment": 2,
    "closes_everything": 2,
    "workers": 5,
    "leaderless_threads": 1,
    "many": 61,
    "inner_subreaper": 2,
    "bomb": 127,
    "holds_the_log": 2,
    "shell_wrapper": 1,
}
ROUNDS = range(20 if os.environ.get("BOUGH_CHAOS") == "full" else 1)


def assert_quiet(attempt: Attempt) -> None:
    """Check that no process notes itself any more: a fast chain of them is never seen in a list of processes."""
    noted = len(attempt.noted())
    for _ in range(10):
        time.sleep(0.01)
        assert len(attempt.noted()) == noted


@pytest.mark.parametrize("nth", ROUNDS)
@pytest.mark.parametrize("animal", ANIMALS)
def test_nothing_of_a_stopped_trial_survives(spawner: Spawner, prepare: Prepare, animal: str, nth: int) -> None:
    attempt = prepare([PYTHON, str(TRIALS / "zoo.py"), animal], grace_s=0.2, term_s=0.2)
    spawner.launch(attempt.path)
    until(lambda: len(attempt.noted()) >= ANIMALS[animal])

    attempt.want("stop", "user")
    await_event(spawner, "ended")

    document = attempt.exit()
    assert attempt.survivors() == []
    assert_quiet(attempt)
    assert (document["cause"], document["error"]) == ("user", None)


@pytest.mark.parametrize("animal", ["double_fork", "chain", "clean_environment", "many"])
def test_nothing_of_a_killed_trial_survives(spawner: Spawner, prepare: Prepare, animal: str) -> None:
    attempt = prepare([PYTHON, str(TRIALS / "zoo.py"), animal])
    spawner.launch(attempt.path)
    until(lambda: len(attempt.noted()) >= ANIMALS[animal])

    attempt.want("kill", "user")
    await_event(spawner, "ended")

    assert attempt.survivors() == []
    assert_quiet(attempt)
    assert [name for name, _ in attempt.exit()["ladder"]] == ["SIGKILL"]


def test_a_leader_that_stopped_itself_is_woken_to_hear_the_interrupt(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare([PYTHON, str(TRIALS / "zoo.py"), "self_stopped_leader"])
    spawner.launch(attempt.path)
    until(attempt.noted)

    attempt.want("stop", "user")
    await_event(spawner, "ended")

    assert [name for name, _ in attempt.exit()["ladder"]] == ["SIGINT"]


def test_a_stopped_daemon_is_woken_to_hear_that_it_should_end(spawner: Spawner, prepare: Prepare) -> None:
    """SIGCONT goes along with SIGTERM, so it need not come to SIGKILL."""
    attempt = prepare([PYTHON, str(TRIALS / "zoo.py"), "stopped"], grace_s=0.2)
    spawner.launch(attempt.path)
    until(lambda: len(attempt.noted()) >= 2)

    attempt.want("stop", "user")
    await_event(spawner, "ended")

    assert [name for name, _ in attempt.exit()["ladder"]] == ["SIGINT", "SIGTERM"]


def test_so_many_were_tried() -> None:
    print(f"\nC14 process zoo: {len(ANIMALS)} animals, {len(ROUNDS)} times, 0 survivors", flush=True)
