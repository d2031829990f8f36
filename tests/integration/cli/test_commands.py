"""The commands against a real coordinator and a real agent."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.cli.daemons import Machine, wait_for
from tests.integration.cli.test_local import FAST, SLOW

Repository = Callable[..., Path]


@pytest.fixture
def lab(machine: Machine) -> Machine:
    """A machine with a coordinator and an agent, as separate processes."""
    url = machine.coordinator()
    key = machine.json("key", "create", "ann", "--scope", "agent")["secret"]
    machine.start("agent", "server", "--coordinator", url, "--secure-key", key, "--name", "ann", "--slots", "2")
    wait_for(lambda: [one["online"] for one in machine.json("agent", "status")] == [True], "the agent")
    return machine


def test_an_optimization_is_shown_listed_exported_and_extended(lab: Machine, repository: Repository) -> None:
    done = lab.json("optimize", str(repository(FAST)))

    assert (done["state"], done["finished"]) == ("DONE", 4)
    prefix = done["id"][:6]
    listed = lab.bough("optimization", "ls")
    assert re.search(rf"{done['id']} +me/slow +DONE +4/4 +0", listed), listed
    shown = lab.bough("optimization", "show", prefix)
    assert re.search(r"best +score 0\.\d+ \(trial \d\)  x=0\.\d+", shown), shown
    assert [row["number"] for row in lab.json("job", "ls", "--optimization", done["id"])].__len__() == 4
    rows = list(csv.DictReader(io.StringIO(lab.bough("export", prefix))))
    assert [row["number"] for row in rows] == ["1", "2", "3", "4"]
    target = lab.home / "points.jsonl"
    lab.bough("export", done["id"], "--jsonl", "--points", "-o", str(target))
    assert len(target.read_text().splitlines()) == 8
    extended = lab.bough("optimization", "extend", prefix, "--max-trials", "5")
    assert f"optimization {done['id']} is RUNNING" in extended
    assert "5 of 5 trials" in lab.bough("optimization", "watch", prefix)


def test_a_space_is_shown_and_a_search_is_verified(lab: Machine, repository: Repository, tmp_path: Path) -> None:
    """One stored value is changed behind the coordinator's back: trial, parameter and both values are named."""
    place = str(repository(FAST))
    planned = lab.json("optimize", place, "--dry-run")
    assert lab.json("optimization", "ls") == []
    done = lab.json("optimize", place)["id"]

    shown = lab.bough("optimization", "show", done[:6], "--space")
    assert f"space of optimization {done}, version 1" in shown
    assert re.search(r"── x  number, uniform\(0, 1\), default 0.5\n.*── steps  integer, stays 2\n", shown), shown
    assert "hyperopt's space:\n{'x': hp.uniform('x', 0, 1)}\n" in shown
    assert "10 samples, seed 1:" in shown
    space = lab.json("optimization", "show", done, "--space", "--seed", "1")
    assert planned == {name: space[name] for name in planned}
    assert "space of me/slow\n" in Machine(tmp_path / "bare").bough("optimize", place, "--dry-run", "-p", "steps=3")
    trials = lab.json("job", "ls", "--optimization", done)
    values = {trial["number"]: trial["values"] for trial in trials}
    assert space["samples"][:4] == [values[number] for number in sorted(values)], "the samples are random search's"
    assert "the values of all 4 asks came out again, to the last bit (hyperopt" in lab.bough(
        "optimization", "verify", done
    )

    with contextlib.closing(sqlite3.connect(lab.home / "coordinator" / "coordinator.db")) as store, store:
        changed = {**values[2], "x": 0.25}
        store.execute('UPDATE jobs SET "values" = ? WHERE optimization = ? AND number = 2', (json.dumps(changed), done))
    named = f"  x: stored 0.25, replayed {values[2]['x']!r}\n"
    for where in ([], ["--here"]):
        said = lab.bough("optimization", "verify", done, *where, code=1)
        assert f"optimization {done}: trial 2 differs: its ask is answered otherwise now.\n{named}" in said
        assert "1 of 4 asks were compared before it and are equal.\nRecorded and replayed with the same" in said
    verdict = json.loads(lab.bough("optimization", "verify", done, "--json", code=1))
    assert (verdict["equal"], verdict["first"]["trial"], verdict["first"]["stored"]) == (False, 2, 0.25)


def test_a_value_that_is_given_is_not_searched(lab: Machine, repository: Repository) -> None:
    done = lab.json("optimize", str(repository(FAST)), "-p", "steps=3", "--max-trials", "2")

    jobs = lab.json("job", "ls", "--optimization", done["id"])
    assert {job["values"]["steps"] for job in jobs} == {3}
    assert {job["epochs"] for job in jobs} == {3}


def test_an_optimization_is_paused_resumed_and_stopped(lab: Machine, repository: Repository) -> None:
    started = lab.json("optimize", str(repository(SLOW)), "--detach")
    name = started["id"]
    wait_for(lambda: lab.json("optimization", "show", name)["counts"].get("RUNNING") == 2, "two trials")

    assert f"optimization {name} is PAUSED" in lab.bough("optimization", "pause", name, "--release")
    wait_for(lambda: not lab.json("optimization", "show", name)["counts"].get("RUNNING"), "no trial")
    assert lab.json("optimization", "show", name)["counts"].get("QUEUED") == 2
    assert f"optimization {name} is RUNNING" in lab.bough("optimization", "resume", name)
    wait_for(lambda: lab.json("optimization", "show", name)["counts"].get("RUNNING") == 2, "two trials again")
    lab.bough("optimization", "stop", name, "--now")
    wait_for(lambda: lab.json("optimization", "show", name)["state"] == "STOPPED", "the end")
    assert "none of its" in lab.bough("optimization", "watch", name, code=1)


def test_a_job_is_run_shown_read_and_stopped(lab: Machine, repository: Repository) -> None:
    place = repository({**SLOW, "train.py": SLOW["train.py"] + "    print('step', step, flush=True)\n"})

    ran = lab.bough("run", str(place), "-p", "steps=3", "-p", "x=0.25", "--on", "ann")
    assert "step 3" in ran
    assert "KPI: score, maximize, 3 points, last 0.25" in ran
    assert "progress: 3 of 3 epochs" in ran
    job = lab.json("job", "ls", "--manual")[0]["id"]
    assert lab.bough("job", "log", job[:6]) == "step 1\nstep 2\nstep 3\n"
    assert re.search(r"x +0\.25", lab.bough("job", "show", job))

    long = lab.json("run", str(place), "--detach")["id"]
    wait_for(lambda: "step" in lab.bough("job", "log", long), "a line")
    lab.bough("job", "stop", long)
    ended = lab.bough("job", "watch", long, code=1)
    assert re.search(rf"job {long}: ABORTED, user", ended), ended


def test_an_agent_is_drained_and_stopped(lab: Machine) -> None:
    assert "agent ann takes no more jobs" in lab.bough("agent", "drain", "ann")
    wait_for(lambda: "draining" in lab.bough("agent", "status"), "draining")
    assert "takes jobs again" in lab.bough("agent", "drain", "ann", "--undo")
    assert "there is no agent bob. Agents: ann." in lab.bough("agent", "drain", "bob", code=1)

    assert "agent ann has stopped" in lab.bough("agent", "stop", "ann")
    assert lab.started[1].wait(10) == 0
    assert "no agent ann runs here" in lab.bough("agent", "stop", "ann", code=1)


def test_an_agent_remembers_key_and_address_and_shows_no_key(lab: Machine) -> None:
    agent = lab.started[1]
    key = (lab.home / "agents" / "ann" / "key").read_text().strip()
    shown = Path(f"/proc/{agent.pid}/cmdline").read_bytes() + Path(f"/proc/{agent.pid}/environ").read_bytes()
    assert key.encode() not in shown
    assert os.stat(lab.home / "agents" / "ann" / "key").st_mode & 0o777 == 0o600
    lab.bough("agent", "stop", "ann")

    lab.start("agent", "server", "--name", "ann")

    wait_for(lambda: lab.json("agent", "status")[0]["online"], "the agent again")
    assert "another agent is running in" in lab.bough("agent", "server", "--name", "ann", code=1)


def test_keys_are_created_listed_and_revoked_and_a_login_is_kept(lab: Machine, tmp_path: Path) -> None:
    url = lab.json("doctor")[4]["said"].split()[0]
    made: dict[str, Any] = lab.json("key", "create", "eve", "--scope", "user")
    other = Machine(tmp_path / "elsewhere")

    assert "logged in to" in other.bough("login", url, "--key", made["secret"])
    assert os.stat(other.home / "login.json").st_mode & 0o777 == 0o600
    assert other.json("optimization", "ls") == []
    assert re.search(r"/login\?code=", other.bough("login", "--link"))
    assert re.search(rf"{made['id']} +eve +user", lab.bough("key", "ls"))
    lab.bough("key", "revoke", made["id"])
    assert re.search(r"bough: .*key", other.bough("optimization", "ls", code=1))
    assert "key" in other.bough("login", url, "--key", "wrong", code=1)
    other.bough("login", "--forget")
    assert "there is no key on the standard input. Give it" in other.bough("login", url, code=1)
    assert other.bough("login", url, stdin=lab.json("key", "create", "mia")["secret"] + "\n") == (
        f"logged in to {url} with the key mia (user)\n"
    )
    other.bough("login", "--forget")
    assert "no coordinator is running here" in other.bough("optimization", "ls", code=1)


def test_an_id_that_does_not_exist_is_named(lab: Machine) -> None:
    assert "there is no optimization and no job zzzz. See: bough" in lab.bough("export", "zzzz", code=1)
    for command in (["optimization", "show"], ["job", "show"], ["job", "log"], ["job", "stop"]):
        assert "zzzz" in lab.bough(*command, "zzzz", code=1)
