"""An agent in a process of the user's: what it does when its coordinator is away, or stops a trial."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.api.running import Running, running
from tests.integration.server.driver import COMMIT

from bough_cli import inprocess
from bough_cli.inprocess import Attempt, InProcessAgent
from bough_server.config import Config


def optimize(coordinator: Running, **settings: Any) -> str:
    told: dict[str, Any] = {
        "model": "me/away",
        "command": "true",
        "hyperparameters": {"x": 0.5},
        "optimization": {
            "algorithm": "random", "max_trials": 3, "agents": ["in-process:a"], "space": {"x": "uniform(0, 1)"},
            "kpi": {"channel": "loss", "direction": "minimize"}, **settings,
        },
    }  # fmt: skip
    body = {"definition": told, "commit": COMMIT, "folder": "", "source": {}}
    made = coordinator.call("POST", "/api/v1/optimizations", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def claimed(agent: InProcessAgent) -> Attempt:
    """Return the next trial: an optimizer that has just been started takes its seconds."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        attempt = agent.claim()
        if attempt is not None:
            return attempt
    raise AssertionError("nothing was granted")


def test_a_coordinator_that_is_away_is_waited_for_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inprocess, "SILENT_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        config = Config(tmp_path / "home", port=free.getsockname()[1])
    with running(config) as coordinator:
        optimize(coordinator)
        agent = InProcessAgent(coordinator.url, coordinator.admin, tmp_path / "attempts")
        assert agent.connect("a") == "in-process:a"
        attempt = claimed(agent)
    attempt.job.create_channel("loss", kpi=True, max_optimization=False).send(1, 0.25)

    delivering = threading.Thread(target=agent.end, args=(attempt, None))
    delivering.start()
    said = ""
    while "it is waited for" not in said:
        said += capfd.readouterr().err
    with running(config) as coordinator:
        delivering.join(30)
        (done,) = coordinator.call("GET", "/api/v1/jobs?state=DONE").json()["rows"]

    assert not delivering.is_alive()
    assert "cannot be reached" in said
    assert "Nothing is lost; it is waited for." in said
    assert (done["kpi"], done["attempt"]) == (0.25, 1)
    agent.close()


def test_a_user_who_stops_a_trial_is_heard_and_a_second_agent_gets_another_name(tmp_path: Path) -> None:
    with running(Config(tmp_path / "home", port=0)) as coordinator:
        optimize(coordinator)
        agent, other = (InProcessAgent(coordinator.url, coordinator.admin, tmp_path / name) for name in "ab")
        names = agent.connect("a"), other.connect("a")
        attempt = claimed(agent)
        attempt.job.create_channel("loss", kpi=True, max_optimization=False).send(1, 0.5)
        agent.ship(attempt)
        before = attempt.job.should_stop()

        coordinator.call("POST", f"/api/v1/jobs/{attempt.claim.job_id}/stop", json={"now": False})
        agent.ship(attempt)

        assert names == ("in-process:a", "in-process:a-2")
        assert not before
        assert attempt.stop_cause == "user"
        agent.end(attempt, None, wants=False)
        job = coordinator.call("GET", f"/api/v1/jobs/{attempt.claim.job_id}").json()
        assert (job["state"], job["end_reason"]) == ("ABORTED", "user")
        agent.close()
        other.close()
