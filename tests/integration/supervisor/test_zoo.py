"""Processes that try to stay, by accident or design: after the ladder none is left."""

from __future__ import annotations

import pytest
from tests.integration.supervisor.attempts import PYTHON, TRIALS, await_event, until
from tests.integration.supervisor.conftest import Prepare

from bough_agent.spawner_client import Spawner

ANIMALS = {  # name: how many pids it notes
    "double_fork": 2,
    "deaf": 1,
    "stopped": 2,
    "self_stopped_leader": 1,
    "chain": 1,
    "clean_environment": 2,
    "closes_everything": 2,
    "workers": 5,
    "leaderless_threads": 1,
    "many": 61,
    "inner_subreaper": 2,
}


@pytest.mark.parametrize("animal", ANIMALS)
def test_nothing_of_a_stopped_trial_survives(spawner: Spawner, prepare: Prepare, animal: str) -> None:
    attempt = prepare([PYTHON, str(TRIALS / "zoo.py"), animal], grace_s=0.2, term_s=0.2)
    spawner.launch(attempt.path)
    until(lambda: len(attempt.noted()) >= ANIMALS[animal])

    attempt.want("stop", "user")
    await_event(spawner, "ended")

    document = attempt.exit()
    assert attempt.survivors() == []
    assert (document["cause"], document["error"]) == ("user", None)


@pytest.mark.parametrize("animal", ["double_fork", "chain", "clean_environment", "many"])
def test_nothing_of_a_killed_trial_survives(spawner: Spawner, prepare: Prepare, animal: str) -> None:
    attempt = prepare([PYTHON, str(TRIALS / "zoo.py"), animal])
    spawner.launch(attempt.path)
    until(lambda: len(attempt.noted()) >= ANIMALS[animal])

    attempt.want("kill", "user")
    await_event(spawner, "ended")

    assert attempt.survivors() == []
    assert [name for name, _ in attempt.exit()["ladder"]] == ["SIGKILL"]


def test_a_stopped_daemon_is_woken_to_hear_that_it_should_end(spawner: Spawner, prepare: Prepare) -> None:
    """SIGCONT goes along with SIGTERM, so it need not come to SIGKILL."""
    attempt = prepare([PYTHON, str(TRIALS / "zoo.py"), "stopped"], grace_s=0.2)
    spawner.launch(attempt.path)
    until(lambda: len(attempt.noted()) >= 2)

    attempt.want("stop", "user")
    await_event(spawner, "ended")

    assert [name for name, _ in attempt.exit()["ladder"]] == ["SIGINT", "SIGTERM"]
