"""A large file on its way, and `kill -9` of both ends: it arrives whole, once, and the job waits for it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.chaos.lab import Lab
from tests.e2e.conftest import Machine, wait_for

SCRIPT = """
import random
import bough
job = bough.start_job()
job.create_channel("accuracy", kpi=True).send(1, 0.5)
with open("model.bin", "wb") as file:
    file.write(random.Random(1).randbytes(24 << 20))
job.commit_file("model.bin")
with open("model.bin", "wb") as file:
    file.write(b"something else")
"""
DEFINITION = """
model: me/large
command: python train.py
hyperparameters: {x: 1}
optimization: {algorithm: random, max_trials: 1, space: {x: "range(1, 9, 1)"}}
"""


def test_a_file_arrives_whole_though_agent_and_coordinator_are_killed_on_its_way(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    place = repository({"train.py": SCRIPT, "bough.yml": DEFINITION})
    lab = Lab(machine)
    machine.bough("optimize", str(place), "--detach")
    incoming = machine.home / "coordinator" / "contents" / "incoming"

    for kind in ("agent", "coordinator"):
        _await_more(incoming)
        lab.kill(kind, 0.0, back_at=0.0)
        lab.bring_back(0.0)

    (row,) = wait_for(lambda: _ended(machine), 90.0, "the end of the trial")
    assert (row["state"], row["partial"]) == ("DONE", False)
    (content,) = (machine.home / "coordinator" / "contents").glob("??/*")
    assert content.stat().st_size == 24 << 20
    assert hashlib.sha256(content.read_bytes()).hexdigest() == content.name


def test_what_an_agent_could_not_ship_before_it_left_is_shipped_by_the_next(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    """The coordinator goes away in the middle of the file; then the agent is told twice to leave, and does at once."""
    place = repository({"train.py": SCRIPT, "bough.yml": DEFINITION})
    lab = Lab(machine, options=("--on-term", "requeue"))  # what has ended must not be given back all the same
    machine.bough("optimize", str(place), "--detach")
    home = lab.homes[0]
    wait_for(lambda: list(home.glob("attempts/*/exit.json")), 60.0, "the end of the script")
    _await_more(machine.home / "coordinator" / "contents" / "incoming")

    lab.coordinator.kill(back_at=0.0)
    (agent,) = lab.agents
    process = agent.process
    assert isinstance(process, subprocess.Popen)
    for _ in range(2):
        process.terminate()
        wait_for(lambda: "stopping" in machine.said(process), 20.0, "the agent's word")
    process.wait(20)
    (left,) = home.glob("attempts/*/files/*")
    assert left.stat().st_size == 24 << 20
    agent.kill(back_at=0.0)
    lab.bring_back(0.0)

    (row,) = wait_for(lambda: _ended(machine), 60.0, "the end of the trial")
    assert (row["state"], row["partial"], row["attempts"]) == ("DONE", False, 1)
    (content,) = (machine.home / "coordinator" / "contents").glob("??/*")
    assert hashlib.sha256(content.read_bytes()).hexdigest() == content.name


def _await_more(incoming: Path) -> None:
    before = _bytes_below(incoming)
    wait_for(lambda: _bytes_below(incoming) > before, 60.0, "some of the file")


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*-*") if path.is_file())


def _ended(machine: Machine) -> list[dict[str, object]]:
    ran = machine.bough("job", "ls", "--json")
    rows: list[dict[str, object]] = ran.json() if ran.code == 0 else []
    return [row for row in rows if row["state"] in ("DONE", "FAILED", "ABORTED")]
