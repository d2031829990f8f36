"""An agent that runs signed jobs only, with a real coordinator, user and script."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from tests.e2e.conftest import Machine, wait_for

BOUGH_YML = f"""\
model: me/signed
command: {sys.executable} train.py --x={{{{x}}}}
env: {{MODE: good}}
output: ["*.txt"]
hyperparameters: {{x: 0.5}}
optimization: {{algorithm: random, max_trials: 2, max_parallel: 2, space: {{x: "uniform(0, 1)"}}}}
"""
TRAIN = """\
import bough
job = bough.start_job()
job.create_channel("loss", kpi=True).send(1, job.get_parameter("x"))
"""
pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen on this machine")
REFUSED = "this agent runs only what a key it knows has signed, and that is not signed so."


def test_what_the_user_signed_runs_and_what_anybody_else_sends_does_not(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    url = machine.coordinator()
    key = Path(machine.bough("key", "signing").out.strip())
    assert key.with_suffix("").stat().st_mode & 0o777 == 0o600
    options = ("--coordinator", url, "--name", "one", "--slots", "2", "--signed-by", str(key))
    agent = machine.start("agent", "server", *options, BOUGH_SECURE_KEY=machine.key())
    place = repository({"bough.yml": BOUGH_YML, "train.py": TRAIN})
    headers = {"Authorization": f"Bearer {machine.key('admin')}"}

    def job(job_id: str) -> Any:
        found = requests.get(f"{url}/api/v1/jobs/{job_id}", headers=headers, timeout=20).json()
        return found if found["ended_at"] else None

    signed = machine.bough("optimize", str(place), "--detach", "--json").json()["id"]
    rows = wait_for(lambda: _ended(machine, signed), 60.0, "two trials")
    assert [row["state"] for row in rows] == ["DONE", "DONE"]
    for process in (agent.pid, *[child.pid for child in psutil.Process(agent.pid).children()]):
        assert "NoNewPrivs:\t1" in Path(f"/proc/{process}/status").read_text()

    good = job(rows[0]["id"])
    definition = {"model": "me/signed", "command": f"{sys.executable} train.py --evil", "hyperparameters": {"x": 0.5}}
    body = {"commit": good["commit"], "folder": "", "definition": definition, "values": {}}
    sent = []
    for source in ({}, {"signature": good["source"]["signature"]}):
        reply = requests.post(f"{url}/api/v1/jobs", json={**body, "source": source}, headers=headers, timeout=20)
        sent.append(reply.json()["id"])
    for job_id in sent:
        ended = wait_for(partial(job, job_id), 60.0, "the end")
        assert (ended["state"], ended["end_reason"]) == ("FAILED", "error")
        assert REFUSED in ended["message"]


def _ended(machine: Machine, optimization: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = machine.bough("job", "ls", "--optimization", optimization, "--json").json()
    return rows if len(rows) == 2 and all(row["ended_at"] for row in rows) else []
