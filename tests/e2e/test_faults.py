"""What is not killed but goes wrong: silence, frozen machines, keys that are taken away, names that are used twice."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from sqlalchemy import Connection
from tests.e2e.conftest import Machine, processes_of, wait_for

from bough_server.service.check import violations
from bough_server.store.sqlite import reader_engine

BOUGH_YML = """\
model: me/slow
command: {python} -u train.py
hyperparameters: {{x: 0.0, steps: 40}}
optimization:
  algorithm: random
  max_trials: 3
  max_parallel: 2
  seed: 3
  space: {{x: "uniform(-5, 5)"}}
"""

TRAIN = """\
import time
import bough
job = bough.start_job()
kpi = job.create_channel("loss", kpi=True, max_optimization=False)
for step in range(1, job.get_parameter("steps") + 1):
    kpi.send(step, step)
    time.sleep(0.1)
"""


def url_of(machine: Machine) -> str:
    place = machine.home / "coordinator" / "coordinator.json"
    return str(wait_for(lambda: place.exists() and json.loads(place.read_text()), what="coordinator.json")["url"])


def agent(machine: Machine, url: str, name: str, key: str, *options: str) -> subprocess.Popen[str]:
    home = machine.home / "agents" / name
    return machine.start(
        "agent", "server", "--coordinator", url, "--name", name, "--home", str(home), *options, BOUGH_SECURE_KEY=key
    )


def jobs(machine: Machine) -> list[dict[str, object]]:
    ran = machine.bough("job", "ls", "--json")
    return list(json.loads(ran.out)) if ran.code == 0 else []


def sound(machine: Machine) -> None:
    with contextlib.ExitStack() as stack:
        engine = reader_engine(machine.home / "coordinator" / "coordinator.db", 1)
        stack.callback(engine.dispose)
        tx: Connection = stack.enter_context(engine.connect())
        assert violations(tx) == []


def trials(machine: Machine) -> list[psutil.Process]:
    found = []
    for process in processes_of(machine.home):
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[-1:] == ["train.py"]:
                found.append(process)
    return found


def source_of(repository: Callable[..., Path]) -> Path:
    return repository({"bough.yml": BOUGH_YML.format(python=sys.executable), "train.py": TRAIN})


def test_a_coordinator_that_is_away_for_long_costs_neither_point_nor_trial(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    machine.coordinator()
    coordinator = machine.daemons[-1]
    url = url_of(machine)
    agent(machine, url, "one", machine.key(), "--slots", "2")
    ran = machine.bough("optimize", "--detach", "--json", str(source_of(repository)))
    optimization = ran.json()["id"]
    wait_for(lambda: trials(machine), what="a trial")

    coordinator.kill()
    coordinator.wait()
    time.sleep(8)  # longer than a trial takes
    machine.start("coordinator", "--port", url.rpartition(":")[2])

    wait_for(lambda: [job["state"] for job in jobs(machine)] == ["DONE"] * 3, 60, what="three trials")
    assert {job["attempt"] for job in jobs(machine)} == {1}
    points = machine.bough("export", optimization, "--points").out.splitlines()
    assert len(points) == 1 + 3 * 40
    sound(machine)


def test_an_agent_whose_key_is_revoked_takes_nothing_more_and_says_so(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    machine.coordinator()
    url = url_of(machine)
    made = machine.bough("key", "create", "--scope", "agent", "gone", "--json").json()
    agent(machine, url, "one", made["secret"])
    machine.bough("run", "--detach", str(source_of(repository)))
    wait_for(lambda: trials(machine), what="the trial")
    wait_for(lambda: jobs(machine)[0]["state"] == "RUNNING", what="RUNNING")

    machine.bough("key", "revoke", made["id"])

    said = machine.home / "daemon-1.log"
    wait_for(lambda: "no new ones are taken" in said.read_text(), what="a sentence")
    assert "Traceback" not in said.read_text()
    wait_for(lambda: not trials(machine), what="the end of the trial, which nobody disturbs")
    assert made["secret"] not in said.read_text()
    assert jobs(machine)[0]["state"] == "RUNNING"

    (running,) = machine.daemons[1:]
    while running.poll() is None:  # the second time at once
        running.terminate()
        time.sleep(0.2)
    agent(machine, url, "one", machine.key())

    wait_for(lambda: [job["state"] for job in jobs(machine)] == ["DONE"], 30, what="the trial, with a new key")
    (job,) = jobs(machine)
    assert (job["attempt"], job["partial"], job["kpi_last"]) == (1, False, 40.0)
    assert len(machine.bough("agent", "status", "--json").json()) == 1


def test_a_second_agent_of_the_same_name_is_refused_in_one_sentence(machine: Machine) -> None:
    machine.coordinator()
    url, key = url_of(machine), machine.key()
    agent(machine, url, "one", key)
    said = machine.home / "daemon-1.log"
    wait_for(lambda: "connected" in said.read_text(), what="the first agent")

    options = ("--coordinator", url, "--name", "one")
    same = machine.bough("agent", "server", *options, "--home", str(machine.home / "other"), BOUGH_SECURE_KEY=key)
    home = machine.bough("agent", "server", *options, "--home", str(machine.home / "agents" / "one"))

    assert (same.code, home.code) == (1, 1)
    assert "an agent called one is already connected" in same.err
    assert "another agent is running in" in home.err


def test_an_agent_that_was_killed_is_back_at_once(machine: Machine) -> None:
    machine.coordinator()
    url, key = url_of(machine), machine.key()
    first = agent(machine, url, "one", key)
    wait_for(lambda: "connected" in (machine.home / "daemon-1.log").read_text(), what="the first agent")
    first.kill()
    first.wait()

    began = time.monotonic()
    agent(machine, url, "one", key)
    wait_for(lambda: "connected" in (machine.home / "daemon-2.log").read_text(), 15, what="the agent again")

    assert time.monotonic() - began < 10
