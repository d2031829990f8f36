"""`bough.minimize`, as a user calls it from a script of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hyperopt
import numpy as np
import pytest
from hyperopt import hp
from tests.e2e.conftest import ROOT, git, wait_for

if TYPE_CHECKING:
    from tests.e2e.conftest import Machine

SCRIPT = """
import json
import bough

def objective(values):
    if values["x"] > 2:
        raise ValueError("x is too large")
    if values["act"] == "tanh" and values["x"] > 1:
        return float("nan")
    return (values["x"] - 1) ** 2 + (0 if values["act"] == "relu" else 0.3)

found = bough.minimize(
    objective, {"x": "uniform(-3, 3)", "act": "choice(relu, tanh)"}, max_trials=20, initial_random=8, seed=3
)
print(json.dumps({"best": found.best, "loss": found.loss, "trials": found.trials, "id": found.optimization}))
"""
CHANNELS = """
import sys, json
import bough

def objective(values):
    accuracy = values.job.create_channel("accuracy", kpi=True)
    for epoch in range(1, 4):
        accuracy.send(epoch, values["net.lr"] * epoch)
        values.job.progress(epoch, 3)
    if values.get("none") is not None or "none" in values:
        raise AssertionError("no such value")

found = bough.minimize(
    objective, {"net": {"lr": "uniform(0, 1)"}}, algorithm="random", max_trials=3, seed=1, name="by-channel", show=False
)
print(json.dumps({"id": found.optimization, "losses": [one["loss"] for one in found.trials]}))
"""
WAITING = """
import time
import bough

def objective(values):
    print("called", flush=True)
    time.sleep(60)

bough.minimize(objective, {"x": "uniform(0, 1)"}, max_trials=3)
"""


def run(machine: Machine, script: str, *, good: bool = True) -> subprocess.CompletedProcess[str]:
    path = machine.home / "script.py"
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path)], cwd=machine.home, env=machine.environ, capture_output=True, text=True, timeout=90
    )
    assert (done.returncode == 0) == good, done.stderr
    return done


def by_fmin() -> list[dict[str, Any]]:
    """The same objective and space, minimized by hyperopt."""
    points = []

    def objective(values: dict[str, Any]) -> dict[str, Any]:
        points.append({"x": values["x"], "act": values["act"]})
        if values["x"] > 2 or (values["act"] == "tanh" and values["x"] > 1):
            return {"status": "fail"}
        return {"status": "ok", "loss": (values["x"] - 1) ** 2 + (0 if values["act"] == "relu" else 0.3)}

    def suggest(*args: Any) -> Any:
        return hyperopt.tpe.suggest(*args, n_startup_jobs=8)

    hyperopt.fmin(
        objective, {"x": hp.uniform("x", -3, 3), "act": hp.choice("act", ["relu", "tanh"])}, suggest, 20,
        rstate=np.random.default_rng(3), show_progressbar=False, verbose=False, return_argmin=False,
    )  # fmt: skip
    return points


def test_without_anything_running_it_does_what_fmin_does_and_keeps_the_trials(machine: Machine) -> None:
    done = run(machine, SCRIPT)

    found = json.loads(done.stdout)
    assert [trial["values"] for trial in found["trials"]] == by_fmin()
    good = [trial for trial in found["trials"] if trial["loss"] is not None]
    assert found["loss"] == min(trial["loss"] for trial in good)
    assert found["best"] == min(good, key=lambda trial: trial["loss"])["values"]
    failed = [trial["message"] for trial in found["trials"] if trial["loss"] is None]
    assert any("ValueError: x is too large" in message for message in failed), failed
    assert any("sent no finite value" in message for message in failed), failed
    assert f"bough: optimization {found['id']} of " in done.stderr
    assert "the best so far" in done.stderr

    machine.coordinator()
    shown = machine.bough("optimization", "show", found["id"], "--json").json()
    assert (shown["state"], shown["finished"]) == ("DONE", 20)
    first = machine.bough("optimization", "show", found["id"], "--trials", "1", "--json").json()["trials"][0]
    record = wait_for(lambda: machine.bough("job", "show", first["id"], "--json").json()["record"], what="the record")
    repository = machine.home / "coordinator" / "git" / f"{shown['model']}.git"
    assert "def objective(values):" in git(repository, "show", f"{record}:objective.py")


def test_a_coordinator_that_runs_is_used_and_channels_and_groups_work(machine: Machine) -> None:
    machine.coordinator()

    found = json.loads(run(machine, CHANNELS).stdout)

    assert len(found["losses"]) == 3
    shown = machine.bough("optimization", "show", found["id"], "--trials", "3", "--json").json()
    assert shown["model"].endswith("/by-channel")
    for trial in shown["trials"]:
        assert trial["kpi"] == pytest.approx(3 * trial["values"]["net.lr"])
        assert trial["epochs"] == 3
    weighed = machine.bough("optimization", "importance", found["id"])
    assert "3 trials have a result, and importance takes at least 10." in weighed.out
    assert machine.bough("optimization", "importance", found["id"], "--json").json()["trials"] == 3


def test_ctrl_c_ends_it_and_keeps_what_there_is(machine: Machine) -> None:
    machine.coordinator()
    (machine.home / "script.py").write_text(WAITING)
    with (machine.home / "out").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "script.py"], cwd=machine.home, env=machine.environ, stdout=out, stderr=out
        )
        wait_for(lambda: "called" in (machine.home / "out").read_text(), what="the first trial")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (-signal.SIGINT, 1)

    said = (machine.home / "out").read_text()
    assert "its trials are kept: bough optimization show" in said
    assert said.rstrip().endswith("KeyboardInterrupt")
    (row,) = machine.bough("optimization", "ls", "--json").json()
    assert row["state"] == "STOPPED"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('bough.minimize(f, {"x": "uniform(1, 0)"})', "parameter x: low 1 is above high 0. Swap the two."),
        ('bough.minimize(f, {})', "the space is empty, or no dict."),
        ('bough.minimize(3, {"x": "uniform(0, 1)"})', "3 cannot be called. Give the function first, then the space."),
        ('bough.minimize(f, {"x": "uniform(0, 1)"}, algorithm="tpa")', "algorithm tpa is not known."),
        ('bough.minimize(f, {"x": "uniform(0, 1)"}, coordinator="http://127.0.0.1:9")', "does not answer"),
    ],
    ids=["bounds", "empty", "no-function", "algorithm", "nobody"],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence_before_anything_starts(machine: Machine, call: str, said: str) -> None:
    done = run(machine, f"import bough\ndef f(v): return 0.0\n{call}\n", good=False)

    assert said in done.stderr.splitlines()[-1]


def test_where_only_the_sdk_is_there_it_says_what_to_install(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text('import bough\nbough.minimize(lambda v: 0.0, {"x": "uniform(0, 1)"})\n')
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "sdk")}

    done = subprocess.run([sys.executable, "-S", str(script)], env=environ, capture_output=True, text=True, timeout=60)

    assert done.stderr.splitlines()[-1].startswith("bough.errors.UsageError: bough.minimize needs all of bough")
    assert done.stderr.rstrip().endswith("Install it: pip install 'bough[server]'.")
