"""The life of an optimization as its user leads it, and what `kill -9` of the coordinator changes in it: nothing."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.e2e.conftest import Lab, Machine, commit, make_repository, wait_for

from bough_server.service.check import violations
from bough_server.store.sqlite import reader_engine

DEFINITION = """\
model: me/living
command: {python} train.py
hyperparameters:
  x: 0.5
  act: {{type: choice_string, choices: [relu, tanh], default: relu}}
optimization:
  algorithm: tpe
  initial_random: 2
  max_trials: {trials}
  max_parallel: {parallel}
  seed: 1
  on_failure: {{stop_after: 1}}
  space: {{x: "uniform(0, 1)", act: choice}}
"""
TRAIN = """\
import sys, bough
job = bough.start_job()
kpi = job.create_channel("loss", kpi=True, max_optimization=False)
if BROKEN and job.get_parameter("act") == "tanh":
    sys.exit(3)
kpi.send(1, (job.get_parameter("x") - 0.3) ** 2)
"""


def files(trials: int = 6, parallel: int = 1, broken: bool = False) -> dict[str, str]:
    text = DEFINITION.format(python=sys.executable, trials=trials, parallel=parallel)
    return {"bough.yml": text, "train.py": TRAIN.replace("BROKEN", str(broken))}


@pytest.mark.timeout(110)
def test_a_search_is_edited_mended_restarted_archived_and_deleted_from_the_command_line(
    lab: Lab, tmp_path: Path
) -> None:
    bough, name = lab.machine.bough, "living"
    path = lab.place / name
    its_id = lab.start(name, files(trials=8, broken=True))
    paused = wait_for(
        lambda: (row := lab.get(f"optimizations/{its_id}"))["state"] in ("PAUSED", "DONE") and row, 60.0, "a pause"
    )
    assert paused["state"] == "PAUSED"
    assert f"bough optimization retry {its_id} --commit REF" in paused["reason"]

    (path / "train.py").write_text(TRAIN.replace("BROKEN", "False"))
    commit(path, "mended")
    retried = bough("optimization", "retry", its_id, "--commit", "HEAD", "--dir", str(path))
    assert (retried.code, "will run again, at commit" in retried.out) == (0, True), retried.err
    assert lab.ended(its_id)["counts"] == {"DONE": 8}

    edited = bough("optimization", "edit", its_id, "--set", "x=uniform(0, 0.5)", "--add-choice", "act=gelu")
    assert (edited.code, "x: uniform(0, 1) → uniform(0, 0.5)" in edited.out) == (0, True), edited.err
    assert "8 ended trials stay in the optimizer's history" in edited.out or "not fit" in edited.out
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(files()["bough.yml"].replace("x: 0.5", "x: true"))
    refused = bough("optimization", "edit", its_id, "--file", str(wrong))
    assert (refused.code, "cannot" in refused.err or "is for numbers" in refused.err) == (1, True), refused.err
    assert "wrong.yml, line" in refused.err
    for said, *options in (("nobody", "delete", its_id), ("no terminal for an editor", "edit", its_id)):
        asked = bough("optimization", *options)
        assert (asked.code, said in asked.err) == (2, True), asked.err
    assert bough("optimization", "set", its_id, "max_parallel=2", "kpi.reduce=best").code == 0
    assert bough("optimization", "extend", its_id, "--by", "2").code == 0
    assert lab.ended(its_id)["counts"] == {"DONE": 10}
    shown = bough("optimization", "show", its_id)
    assert "version 2 of the space, from ask 8 on" in shown.out
    assert "max_parallel: 1 → 2" in shown.out
    assert "to the last bit" in bough("optimization", "verify", its_id).out

    assert bough("optimization", "restart", its_id, str(path), "--seed", "5", "--json").json()["generation"] == 2
    found = lab.ended(its_id)
    assert (found["counts"], found["seed"]) == ({"DONE": 10}, 5)
    assert len(lab.table(its_id, "--generation", "1")) == 10
    assert "to the last bit" in bough("optimization", "verify", its_id, "--generation", "1").out
    assert bough("optimization", "archive", its_id).code == 0
    assert its_id not in bough("optimization", "ls").out
    assert its_id in bough("optimization", "ls", "--archived").out
    gone = bough("optimization", "delete", its_id, "--yes", "--records")
    assert (gone.code, "records in git went with it" in gone.out) == (0, True), gone.err
    assert bough("optimization", "show", its_id).code == 1


class Coordinator:
    """A coordinator that is killed, and started again on the same port."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.url = machine.coordinator()
        self.process = machine.daemons[-1]
        self.key = machine.key("admin")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = self.machine.start("coordinator", "--port", self.url.rpartition(":")[2])
        wait_for(self.is_up, 60.0, "the coordinator is back")

    def is_up(self) -> bool:
        try:
            return requests.get(f"{self.url}/api/v1/health", timeout=2).ok
        except requests.RequestException:
            return False

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.request(method, f"{self.url}/api/v1/{path}", json=body, headers=headers, timeout=30)

    def send_and_kill(self, path: str, body: Any, after_s: float) -> None:
        """Send a change and kill the coordinator that long after; whether it was done, nobody knows."""
        with requests.Session() as session:
            request = requests.Request("POST", f"{self.url}/api/v1/{path}", json=body)
            request.headers["Authorization"] = f"Bearer {self.key}"

            def send() -> None:
                try:
                    session.send(session.prepare_request(request), timeout=10)
                except requests.RequestException:
                    return

            sender = threading.Thread(target=send)
            sender.start()
            time.sleep(after_s)  # the moment is what is tested: before, during or after the transaction
            self.kill()
            sender.join()

    def sound(self) -> list[str]:
        with reader_engine(self.machine.home / "coordinator" / "coordinator.db", 1).connect() as tx:
            return violations(tx)


@pytest.mark.timeout(110)
def test_a_kill_around_an_edit_a_retry_or_a_restart_leaves_all_of_it_or_nothing(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    path = make_repository(machine.home / "repo", files(trials=30, broken=True))
    one = Coordinator(machine)
    key = machine.home / "agent-key"
    key.write_text(machine.key())
    agent = machine.start("agent", "server", "--coordinator", one.url, "--slots", "2", "--secure-key-file", str(key))
    its_id = machine.bough("optimize", str(path), "--detach", "--json", BOUGH_COORDINATOR=one.url).json()["id"]
    state = f"optimizations/{its_id}"
    wait_for(lambda: one.call("GET", state).json()["state"] == "PAUSED", 60.0, "a failure")

    changes = [
        ("edit", {"space": {"x": "uniform(0, 0.9)"}}, "space_version"),
        ("retry", {}, None),
        ("restart", {}, "generation"),
        ("edit", {"add": {"act": ["gelu"]}, "settings": {"kpi.reduce": "best"}}, "space_version"),
    ]
    for number, (verb, body, counted) in enumerate(changes):
        before = one.call("GET", state).json()
        one.send_and_kill(f"{state}/{verb}", body, (0.0, 0.004, 0.01, 0.03)[number])
        after = one.call("GET", state).json()
        assert one.sound() == []
        if counted is not None:
            assert after[counted] - before[counted] in (0, 1)
            if after[counted] == before[counted]:
                assert one.call("POST", f"{state}/{verb}", body).status_code == 200
    rows = one.call("GET", f"{state}/edits").json()["rows"]
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert one.call("POST", f"{state}/stop", {"now": True}).status_code == 200
    wait_for(lambda: one.call("GET", state).json()["state"] in ("STOPPED", "DONE"), 60.0, "its end")
    with closing(sqlite3.connect(f"file:{machine.home}/coordinator/coordinator.db?mode=ro", uri=True)) as store:
        kinds = [kind for (kind,) in store.execute("SELECT kind FROM edits ORDER BY number").fetchall()]
    assert kinds.count("restart") == 1
    verdict = [json.loads(line) for line in one.call("GET", f"{state}/verify").text.splitlines()][-1]
    assert verdict["equal"], verdict
    assert one.sound() == []
    agent.terminate()  # while there is a coordinator to tell
    agent.wait(30)
