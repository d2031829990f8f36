"""One coordinator for a module, and scripts that run without an agent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.api.running import Running, running
from tests.integration.sdk.conftest import SDK

from bough_cli.client import Address, Client
from bough_server.config import Config

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import bough
job = bough.start_job("me/alone")
accuracy = job.create_channel("accuracy", kpi=True)
for epoch in range(1, 6):
    accuracy.send(epoch, epoch / 10)
    job.progress(epoch, 5)
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A coordinator that answers, and calls an attempt silent after a second and a half."""
    config = Config(
        tmp_path_factory.mktemp("home") / "coordinator", port=0, heartbeat_s=0.7, lease_ttl_s=1.5, lost_after_s=2.0
    )
    with running(config) as found:
        yield found


@pytest.fixture
def client(api: Running) -> Iterator[Client]:
    with Client(Address(api.url, api.key("user", "me"), "the test")) as found:
        yield found


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a script that nobody but its user started."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BOUGH_", "PYTHON", "GIT_"))}
    return {**clean, "PYTHONPATH": str(SDK), **more}


class Place:
    """A folder in which scripts are run by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def start(self, script: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", script], cwd=self.folder, env=environment(**more), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, script: str = SCRIPT, **more: str) -> Path:
        """Run a script to its end and return the folder it recorded in."""
        before = set((self.folder / ".bough").glob("*/"))
        process = self.start(script, **more)
        process.communicate(timeout=60)
        (made,) = {path for path in (self.folder / ".bough").glob("*/") if path.is_dir()} - before
        return made


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "work")


def stored(api: Running, job_id: str) -> tuple[dict[str, Any], list[Any]]:
    """Return a job and the y of its KPI's points."""
    job = api.call("GET", f"/api/v1/jobs/{job_id}").json()
    channels = api.call("GET", f"/api/v1/jobs/{job_id}/points").json()["channels"]
    return job, next((channel["y"][0] for channel in channels if channel["name"] == "accuracy"), [])
