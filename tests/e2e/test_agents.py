"""An agent as its owner runs it: what it has, how many jobs it runs, how it is stopped, and why a job waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Machine, wait_for

DEFINITION = """\
model: me/wait
command: python wait.py {{go}}
hyperparameters: {go: ""}
data: [words, more]
agents: label:gpu
"""
WAIT = """\
import os, sys, time
print(open(os.path.join(os.environ["BOUGH_DATA"], "words")).read(), flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
"""


def test_an_agent_is_equipped_changed_paused_and_drained(
    machine: Machine, repository: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_text("alpha beta")
    go = tmp_path / "go"
    url, key = machine.coordinator(), machine.key()
    options = ["--coordinator", url, "--name", "gpu1", "--slots", "2", "--label", "gpu=a100", "--memory", "1GiB"]
    start = ["agent", "server", *options, "--data", f"words={tmp_path / 'words.txt'}"]
    first = machine.start(*start, "--secure-key", key)
    wait_for(lambda: [row for row in agents(machine) if row["online"]], what="the agent")

    job = machine.bough("run", str(repository({"bough.yml": DEFINITION, "wait.py": WAIT})), "-p", f"go={go}",
                        "--detach", "--json").json()["id"]  # fmt: skip
    said = wait_for(lambda: [line for line in machine.bough("doctor").out.splitlines() if job in line])[0]
    assert "gpu1 has no data more (give it with --data more=/path)." in said

    assert machine.bough("agent", "stop", "gpu1").code == 0
    first.wait(20)
    machine.start(*start[:2], "--name", "gpu1", *options[4:], "--data", f"more={tmp_path}")
    wait_for(lambda: state(machine, job) == "RUNNING", what="the job")
    (row,) = agents(machine)
    assert (row["labels"], row["offers"]["data"]) == (["gpu=a100"], ["more", "words"])
    assert row["offers"]["memory_bytes"] == 1 << 30

    assert machine.bough("job", "pause", job).out == f"job {job} is being paused\n"
    wait_for(lambda: state(machine, job) == "PAUSED", what="the pause")
    assert machine.bough("job", "continue", job).code == 0
    wait_for(lambda: state(machine, job) == "RUNNING", what="the end of the pause")
    assert machine.bough("agent", "set", "gpu1", "--slots", "3").out == "agent gpu1 runs 3 jobs at a time\n"
    table = machine.bough("agent", "status").out
    assert "1/3" in table
    assert "gpu=a100" in table
    assert machine.bough("agent", "release", "gpu1").out == "agent gpu1 takes jobs again\n"

    go.touch()
    assert machine.bough("agent", "stop", "gpu1", "--drain").out == "agent gpu1 has stopped\n"
    assert state(machine, job) == "DONE"
    assert machine.bough("job", "log", job).out == "alpha beta\n"


def test_what_is_asked_for_wrongly_is_one_sentence(machine: Machine) -> None:
    both = machine.bough("agent", "stop", "--drain", "--kill")
    assert both.code == 2
    assert "--drain and --kill are both wanted. Wait for the jobs, or stop them." in both.err
    start = ["agent", "server", "--coordinator", "http://127.0.0.1:9", "--secure-key", "x", "--name"]
    for name, options, code, sentence in (
        ("a", ["--gpus", "7"], 1, "there are no 7 GPUs. This machine has"),
        ("b", ["--data", "words=/nowhere"], 1, "there is no /nowhere for the data words. Check the path, or mount it"),
        ("c", ["--data", "words"], 1, "--data 'words' is not of the form name=/path."),
        ("d", ["--memory", "4"], 2, "'4' is no amount of memory. Write it with its unit, such as 512MiB, 4GB or"),
    ):
        ran = machine.bough(*start, name, *options)
        assert ran.code == code, ran
        assert sentence in ran.err
        assert "Traceback" not in ran.err


def agents(machine: Machine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = machine.bough("agent", "status", "--json").json()
    return found


def state(machine: Machine, job: str) -> str:
    return str(json.loads(machine.bough("job", "show", job, "--json").out)["state"])
