"""A whole agent, as a process, against a real HTTP server, real git and real supervisors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.agent.conftest import Agent, Repository
from tests.integration.agent.coordinator import Coordinator

Start = Callable[..., Agent]

REPORTS = """
import bough
job = bough.start_job()
channel = job.create_channel("accuracy", kpi=True, max_optimization=True)
for epoch in range(1, 4):
    channel.send(epoch, epoch * job.get_parameter("lr"))
    job.progress(epoch, 3)
print("the end of", job.get_parameter("lr"))
"""


def python(*argv: str) -> list[dict[str, Any]]:
    return [{"name": "1", "argv": ["python", *argv]}]


def test_a_trial_is_delivered_whole_and_its_folder_goes(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    commit = repository.commit({"examples/train.py": REPORTS})
    key = coordinator.submit(
        commit=commit, folder="examples", commands=python("train.py"), values={"lr": 0.5}, optimization="p1", number=7
    )

    one = agent()
    coordinator.wait(lambda: key in coordinator.ended, "the trial")

    exit = coordinator.exits[key]
    assert (exit["exit_code"], exit["cause"]) == (0, None)
    assert [line[4:] for line in coordinator.journal(key) if line[0] == "p"] == [[1, 0.5], [2, 1.0], [3, 1.5]]
    assert b"the end of 0.5" in coordinator.stream(key, "log")
    assert coordinator.happened(key)[:2] == ["preparing", "running"]
    assert one.end() == 0
    assert not list((one.home / "attempts").iterdir())
    assert "connected to" in one.said
    assert "trial 7 of p1" in one.said
