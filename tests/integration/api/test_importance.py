"""The importance of hyperparameters, asked for over HTTP, of trials that an agent in this process ran."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.api.running import Running, running

from bough_cli.inprocess import InProcessAgent
from bough_server.config import Config

DEFINITION: dict[str, Any] = {
    "model": "me/weights",
    "command": "true",
    "hyperparameters": {"x": 0.5, "y": 0.5},
    "optimization": {
        "algorithm": "random",
        "max_trials": 24,
        "seed": 1,
        "agents": ["in-process:test"],
        "kpi": {"channel": "accuracy", "direction": "maximize"},
        "space": {"x": "uniform(0, 1)", "y": "uniform(0, 1)"},
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str, InProcessAgent]]:
    """A coordinator with an optimization, and an agent that may run it."""
    home = tmp_path_factory.mktemp("weights")
    with running(Config(home / "coordinator", port=0)) as coordinator:
        body = {"definition": DEFINITION, "commit": "3f9a12c0" * 5, "folder": "", "source": {}}
        made = coordinator.call("POST", "/api/v1/optimizations", json=body)
        assert made.status_code == 201, made.text
        agent = InProcessAgent(coordinator.url, coordinator.key("agent"), home / "attempts")
        agent.connect("test")
        yield coordinator, made.json()["id"], agent
        agent.close()


def run(agent: InProcessAgent, trials: int) -> None:
    while trials:
        attempt = agent.claim()
        if attempt is not None:
            values = attempt.claim.values
            attempt.job.create_channel("accuracy", kpi=True).send(1, 3 * values["x"] + values["y"])
            agent.end(attempt, None, wants=False)
            trials -= 1


def asked(coordinator: Running, optimization: str) -> Any:
    reply = coordinator.call("GET", f"/api/v1/optimizations/{optimization}/importance")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_importance_over_http_first_says_why_there_is_none_and_then_what_mattered(
    place: tuple[Running, str, InProcessAgent], tmp_path: Path
) -> None:
    coordinator, optimization, agent = place

    run(agent, 3)
    early = asked(coordinator, optimization)
    run(agent, 20)
    found = asked(coordinator, optimization)

    assert early["reason"] == "3 trials have a result, and importance takes at least 10."
    assert (found["optimization"], found["history_seq"], found["trials"]) == (optimization, 23, 23)
    assert found["reason"] is None
    assert [one["path"] for one in found["parameters"]] == ["x", "y"]
    assert found["parameters"][0]["importance"] > 0.6
    assert asked(coordinator, optimization) == found


def test_of_an_unknown_optimization_there_is_none(place: tuple[Running, str, InProcessAgent]) -> None:
    reply = place[0].call("GET", "/api/v1/optimizations/zzzzzzzz/importance")

    assert reply.status_code == 404
    assert reply.json()["detail"] == "there is no optimization zzzzzzzz."


def test_an_agent_in_process_gets_only_what_names_it(place: tuple[Running, str, InProcessAgent]) -> None:
    """Other optimizations name no agents: commands would have nobody to run them."""
    coordinator, _, agent = place
    settings = dict(DEFINITION["optimization"])
    del settings["agents"]
    told = {**DEFINITION, "optimization": settings}
    body = {"definition": told, "commit": "3f9a12c0" * 5, "folder": "", "source": {}}
    other = coordinator.call("POST", "/api/v1/optimizations", json=body).json()["id"]

    attempt = agent.claim()

    assert attempt is not None
    assert attempt.claim.optimization != other
    agent.release(attempt, "the test is over")
    waiting = coordinator.call("GET", f"/api/v1/optimizations/{other}").json()
    assert waiting["counts"] == {"CREATED": 1}
