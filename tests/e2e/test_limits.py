"""Limits on epochs and time end every shape of training, through the whole stack, and the trial counts.

The agent was started in the background by a shell, with SIGINT ignored. The KPI of an epoch is its number, so that
the KPI of a trial says at which epoch it was taken.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Machine

SCRIPT = Path(__file__).parent / "scripts" / "shapes.py"
SHAPES = ("plain", "handler", "printer", "deaf", "script", "post", "background", "workers", "launcher")
DEFINITION = """\
model: me/shapes
command: sh start.sh {{{{shape}}}}
hyperparameters:
  shape: {{type: choice_string, choices: [{shapes}], default: plain}}
  order: {{type: choice_string, choices: [before, after], default: before}}
optimization:
  algorithm: grid
  max_parallel: 9
  {limit}
  grace: 1500ms
  term: 700ms
  space: {{shape: choice, order: choice}}
"""
# What does not wrap Python is replaced by it: then Python itself is the leader.
START = """\
case $1 in
  script) exec bash train.sh ;;
  post) exec bash -c "$PYTHON train.py plain; echo post ran" ;;
  background) $PYTHON train.py plain & wait ;;
  *) exec $PYTHON train.py $1 ;;
esac
"""


@pytest.fixture
def agent_in_the_background(machine: Machine) -> Machine:
    """A coordinator, and an agent that a shell without job control put into the background."""
    url = machine.coordinator()
    with (machine.home / "agent.log").open("w") as log:
        line = f'"$@" & echo $! > "{machine.home}/agent.pid"'
        command = [sys.executable, "-m", "bough_cli", "agent", "server", "--coordinator", url]
        command += ["--secure-key", machine.key(), "--slots", "9", "--name", "back"]
        subprocess.run(
            ["sh", "-c", line, "sh", *command], env=machine.environ, check=True, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    machine.background.append(int((machine.home / "agent.pid").read_text()))
    return machine


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("limit", "reason", "orders"),
    [("max_epochs: 4", "max_epochs", ("before", "after")), ("max_time: 2500ms", "max_time", ("after",))],
)
def test_every_shape_of_training_ends_at_the_limit_and_counts(
    agent_in_the_background: Machine, repository: Callable[..., Path], limit: str, reason: str, orders: tuple[str, ...]
) -> None:
    machine = agent_in_the_background
    definition = DEFINITION.format(shapes=", ".join(SHAPES), limit=limit)
    files = {"bough.yml": definition, "start.sh": f"PYTHON={sys.executable}\nexport PYTHON\n" + START}
    files |= {"train.sh": "$PYTHON train.py plain\n", "train.py": SCRIPT.read_text()}

    fixed = [] if len(orders) > 1 else ["-p", f"order={orders[0]}"]
    ran = machine.bough("optimize", str(repository(files)), *fixed, timeout_s=200)

    assert ran.code == 0, ran.out + ran.err
    one = machine.bough("optimization", "ls", "--json").json()[0]
    trials = {(t["values"]["shape"], t["values"]["order"]): t for t in trials_of(machine, one["id"])}
    assert set(trials) == {(shape, order) for shape in SHAPES for order in orders}
    points = points_of(machine, one["id"])
    for (shape, order), trial in trials.items():
        label = f"{shape} {order}: {trial}"
        assert (trial["state"], trial["end_reason"]) == ("DONE", reason), label
        counted = [y for y, is_overrun in points[trial["number"]] if not is_overrun]
        assert trial["kpi"] == counted[-1] == len(counted), label
        if reason == "max_epochs":
            assert trial["kpi"] == 4.0, label
        is_overrun = len(points[trial["number"]]) > len(counted)
        assert is_overrun or shape not in ("printer", "deaf"), label
        if order == "after":
            check_log(shape, machine.bough("job", "log", trial["id"]).out)


def check_log(shape: str, log: str) -> None:
    """Check that what each shape does on Ctrl-C was done, once."""
    assert "SIGINT is <built-in function default_int_handler>" in log or shape == "background", log
    assert "KeyboardInterrupt" in log or shape in ("handler", "printer", "deaf", "launcher"), log
    assert "post ran" not in log
    assert log.count("asked to stop") == (shape in ("handler", "printer")), log
    assert log.count("finished as usual") == (shape == "handler"), log
    assert log.count("worker cleaned up") == 2 * (shape == "workers"), log
    assert log.count("workers joined") == (shape == "workers"), log
    assert log.count("rank cleaned up") == 2 * (shape == "launcher"), log
    assert log.count("launcher cleaned up") == (shape == "launcher"), log
    assert "a rank failed" not in log


def points_of(machine: Machine, optimization: str) -> dict[int, list[tuple[float, bool]]]:
    """Return for each trial its points in their order: value, and whether it came after the stop."""
    found: dict[int, list[tuple[float, bool]]] = {}
    for row in csv.DictReader(io.StringIO(machine.bough("export", optimization, "--csv", "--points").out)):
        found.setdefault(int(row["number"]), []).append((float(row["y"]), row["overrun"].lower() == "true"))
    return found


def trials_of(machine: Machine, optimization: str) -> list[dict[str, Any]]:
    return list(machine.bough("optimization", "show", optimization, "--json", "--trials", "50").json()["trials"])
