"""The main job, as a user does it: one command optimizes a model that lives in git."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e.conftest import Machine, commit, git, processes_of, wait_for

PARABOLA = """\
model: me/parabola
command: {python} train.py
hyperparameters: {{x: 0.0, steps: 3}}
optimization:
  algorithm: random
  max_trials: 6
  max_parallel: 2
  seed: 3
  space: {{x: "uniform(-5, 5)"}}
"""

TRAIN = """\
import bough
job = bough.start_job()
kpi = job.create_channel("loss", kpi=True, main=True, max_optimization=False)
for step in range(1, job.get_parameter("steps") + 1):
    kpi.send(step, job.get_parameter("x") ** 2 + 1 / step)
    job.progress(step, job.get_parameter("steps"))
print("done with", job.get_parameter("x"))
"""


def parabola() -> dict[str, str]:
    return {"bough.yml": PARABOLA.format(python=sys.executable), "train.py": TRAIN}


def command_lines(machine: Machine) -> str:
    """Return the command lines of everything that runs on this machine; what ends meanwhile is left out."""
    lines = []
    for process in processes_of(machine.home):
        with contextlib.suppress(psutil.Error):
            lines += process.cmdline()
    return " ".join(lines)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_one_command_does_it_all_and_leaves_no_process(machine: Machine, repository: Callable[..., Path]) -> None:
    path = repository(parabola())

    ran = machine.bough("optimize", str(path))

    assert ran.code == 0, ran.out + ran.err
    assert "best" in ran.out
    assert not processes_of(machine.home)
    table = re.search(r"(/\S+/exports/\S+\.csv)", ran.out)
    assert table, ran.out
    trials = rows(Path(table.group(1)).read_text())
    assert [int(trial["number"]) for trial in trials] == [1, 2, 3, 4, 5, 6]
    assert {trial["state"] for trial in trials} == {"DONE"}
    for trial in trials:
        assert float(trial["kpi"]) == float(trial["p.x"]) ** 2 + 1 / 3
    best = min(float(trial["kpi"]) for trial in trials)
    assert f"{best:.4g}"[:4] in ran.out


def test_every_trial_is_a_commit_with_code_values_points_and_log(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    path = repository(parabola())
    head = git(path, "rev-parse", "HEAD")

    ran = machine.bough("optimize", str(path))

    assert ran.code == 0, ran.out + ran.err
    store = machine.home / "coordinator" / "git" / "me" / "parabola.git"
    refs = git(store, "for-each-ref", "--format=%(refname)", "refs/bough/jobs").splitlines()
    assert len(refs) == 6
    assert git(store, "rev-parse", f"{refs[0]}^") == head
    files = git(store, "ls-tree", "-r", "--name-only", refs[0]).splitlines()
    assert {"train.py", "bough.yml", ".bough/job.json", ".bough/parameters.json", ".bough/log.txt"} <= set(files)
    assert "done with" in git(store, "show", f"{refs[0]}:.bough/log.txt")
    assert len(git(store, "show", f"{refs[0]}:.bough/channels/loss.csv").splitlines()) == 1 + 3
    assert git(store, "fsck", "--strict") == ""


def test_separate_coordinator_and_agents_with_a_subfolder_a_url_and_dirty_changes(
    machine: Machine, repository: Callable[..., Path], tmp_path: Path
) -> None:
    url = machine.coordinator()
    key = machine.key("agent")
    for name in ("ann", "ben"):
        machine.start("agent", "server", "--coordinator", url, "--secure-key", key, "--slots", "2", "--name", name,
                      "--home", str(tmp_path / name))  # fmt: skip
    path = repository({f"models/one/{name}": text for name, text in parabola().items()})

    from_folder = machine.bough("optimize", str(path / "models" / "one"))
    from_url = machine.bough("optimize", f"file://{path}#models/one")
    (path / "models" / "one" / "train.py").write_text(TRAIN.replace("** 2", "** 2 + 1000"))
    refused = machine.bough("optimize", str(path / "models" / "one"))
    dirty = machine.bough("optimize", str(path / "models" / "one"), "--dirty")

    assert from_folder.code == 0, from_folder.out + from_folder.err
    assert from_url.code == 0, from_url.out + from_url.err
    assert refused.code == 1
    assert "train.py" in refused.err
    assert "--dirty" in refused.err
    assert dirty.code == 0, dirty.out + dirty.err
    found = machine.bough("optimization", "ls", "--json").json()
    assert len(found) == 3
    trials = {one["id"]: rows(machine.bough("export", one["id"], "--csv").out) for one in found}
    smallest = {one["id"]: min(float(trial["kpi"]) for trial in trials[one["id"]]) for one in found}
    assert sum(value > 1000 for value in smallest.values()) == 1
    assert {trial["agent"] for table in trials.values() for trial in table} == {"ann", "ben"}
    assert git(path, "status", "--porcelain") == "M models/one/train.py"
    assert git(path, "stash", "list") == ""


def test_the_key_is_neither_in_the_process_list_nor_in_the_environment_of_a_trial(
    machine: Machine, repository: Callable[..., Path], tmp_path: Path
) -> None:
    url = machine.coordinator()
    key = machine.key("agent")
    agent = machine.start("agent", "server", "--coordinator", url, "--secure-key", key, "--home", str(tmp_path / "a"))
    leak = "import os, pathlib\n" + TRAIN + "print(dict(os.environ))\n"
    path = repository({**parabola(), "train.py": leak})

    ran = machine.bough("optimize", str(path), "--max-trials", "1")

    assert ran.code == 0, ran.out + ran.err
    command_line = Path(f"/proc/{agent.pid}/cmdline").read_bytes() + Path(f"/proc/{agent.pid}/environ").read_bytes()
    assert key.encode() not in command_line
    job = machine.bough("job", "ls", "--json").json()[0]["id"]
    log = machine.bough("job", "log", job)
    assert "BOUGH_JOB_ID" in log.out
    assert key not in log.out
    assert "BOUGH_SECURE_KEY" not in log.out


def test_a_manual_job_says_what_arrived(machine: Machine, repository: Callable[..., Path]) -> None:
    path = repository(parabola())

    ran = machine.bough("run", str(path), "-p", "x=3", "-p", "steps=5", "--max-epochs", "2")

    assert ran.code == 0, ran.out + ran.err
    assert "loss" in ran.out
    assert "minimize" in ran.out
    assert "max_epochs" in ran.out
    assert not processes_of(machine.home)


def test_the_epoch_limit_ends_trials_that_would_go_on_and_they_count(
    machine: Machine, repository: Callable[..., Path]
) -> None:
    slow = TRAIN.replace("    job.progress", "    import time; time.sleep(0.01)\n    job.progress")
    path = repository({"bough.yml": PARABOLA.format(python=sys.executable).replace("steps: 3", "steps: 1000")
                       .replace("  seed: 3", "  seed: 3\n  max_epochs: 4"), "train.py": slow})  # fmt: skip

    ran = machine.bough("optimize", str(path))

    assert ran.code == 0, ran.out + ran.err
    table = re.search(r"(/\S+/exports/\S+\.csv)", ran.out)
    assert table
    for trial in rows(Path(table.group(1)).read_text()):
        assert (trial["state"], trial["end_reason"]) == ("DONE", "max_epochs")
        assert float(trial["kpi"]) == pytest.approx(float(trial["p.x"]) ** 2 + 1 / 4, rel=1e-12)


def test_points_survive_into_the_export_one_by_one(machine: Machine, repository: Callable[..., Path]) -> None:
    """Every point that `send` accepted is in the export, once."""
    odd = TRAIN.replace("1 / step", "(float('nan') if step == 2 else float('inf') if step == 1 else 0.1)")
    path = repository({**parabola(), "train.py": odd})
    machine.bough("optimize", str(path), "--max-trials", "2")
    url = machine.coordinator()
    assert url
    one = machine.bough("optimization", "ls", "--json").json()[0]["id"]

    points = rows(machine.bough("export", one, "--csv", "--points").out)

    assert [(point["number"], point["x"]) for point in points] == [
        (number, x) for number in ("1", "2") for x in ("1", "2", "3")
    ]
    assert [point["y"] for point in points[:2]] == ["inf", "nan"]
    assert float(points[2]["y"]) > 0


@pytest.mark.parametrize("name", ["quadratic", "packing", "digits"])
def test_the_examples_run(machine: Machine, example: Callable[[str], Path], name: str) -> None:
    path = example(name)

    ran = machine.bough("optimize", str(path), "--max-trials", "3")

    assert ran.code == 0, ran.out + ran.err
    by_hand = machine.bough("run", str(path))
    assert by_hand.code == 0, by_hand.out + by_hand.err


@pytest.mark.timeout(400)
def test_two_agents_finish_60_trials_of_digits_with_every_point_in_the_export(
    machine: Machine, example: Callable[[str], Path], tmp_path: Path
) -> None:
    path = example("digits")
    script = (path / "train.py").read_text()
    oracle = tmp_path / "oracle"
    oracle.mkdir()
    noted = (
        "        accuracy.send(epoch, [reached, training])\n"
        "        print(job.number, epoch, repr(reached), repr(training), file=oracle, flush=True)\n"
    )
    script = script.replace(
        "        accuracy.send(epoch, [reached, model.score(train_x, train_y)])\n",
        "        training = model.score(train_x, train_y)\n" + noted,
    )
    opened = f"    oracle = open('{oracle}/' + job.job_id, 'a')\n"
    script = script.replace("    best, best_epoch = 0.0, 0", opened + "    best, best_epoch = 0.0, 0")
    assert "oracle" in script
    (path / "train.py").write_text(script)
    settings = (path / "bough.yml").read_text().replace("max_trials: 30", "max_trials: 60")
    (path / "bough.yml").write_text(settings.replace("max_epochs: 12", "max_epochs: 4"))
    commit(path, "with an oracle")
    url = machine.coordinator()
    key = machine.key("agent")
    for name in ("ann", "ben"):
        machine.start("agent", "server", "--coordinator", url, "--secure-key", key, "--slots", "1", "--name", name,
                      "--home", str(tmp_path / name))  # fmt: skip

    ran = machine.bough("optimize", str(path), timeout_s=360)

    assert ran.code == 0, ran.out + ran.err
    one = machine.bough("optimization", "ls", "--json").json()[0]
    assert one["counts"].get("DONE") == 60
    exported = {
        (point["number"], point["x"], point["trace"], float(point["y"]))
        for point in rows(machine.bough("export", one["id"], "--csv", "--points").out)
        if point["channel"] == "accuracy"
    }
    noted_points: set[Any] = set()
    for file in oracle.iterdir():
        for line in file.read_text().splitlines():
            number, epoch, reached, training = line.split()
            noted_points |= {
                (number, epoch, "validation", float(reached)),
                (number, epoch, "training", float(training)),
            }
    assert len(noted_points) >= 60 * 4 * 2
    assert noted_points <= exported  # a point may be written and the process ended before the oracle noted it
    assert len(exported) - len(noted_points) <= 2 * 60
    by_agent = {
        name: [t for t in rows(machine.bough("export", one["id"], "--csv").out) if t["agent"] == name]
        for name in ("ann", "ben")
    }
    assert min(len(found) for found in by_agent.values()) >= 20


def test_ctrl_c_stops_a_local_optimization_resumably(machine: Machine, repository: Callable[..., Path]) -> None:
    slow = TRAIN.replace("    job.progress", "    import time; time.sleep(0.2)\n    job.progress")
    path = repository(
        {"bough.yml": PARABOLA.format(python=sys.executable).replace("steps: 3", "steps: 10"), "train.py": slow}
    )
    run = machine.start("optimize", str(path))
    store = machine.home / "coordinator" / "coordinator.json"
    wait_for(store.exists, what="a coordinator")
    wait_for(lambda: "train.py" in command_lines(machine), what="a trial")

    run.send_signal(signal.SIGINT)
    run.wait(40)

    assert run.returncode == 130
    assert not processes_of(machine.home)
    said = (machine.home / "daemon-0.log").read_text()
    assert "resume" in said
    assert "Traceback" not in said
    url = machine.coordinator()
    machine.start("agent", "server", "--coordinator", url, "--secure-key", machine.key(), "--slots", "2")
    one = machine.bough("optimization", "ls", "--json").json()[0]
    assert machine.bough("optimization", "resume", one["id"]).code == 0
    watched = machine.bough("optimization", "watch", one["id"])
    assert watched.code == 0, watched.out + watched.err
    assert machine.bough("optimization", "ls", "--json").json()[0]["counts"].get("DONE") == 6


def test_json_is_printed_where_a_table_is(machine: Machine) -> None:
    machine.coordinator()

    for command in (["optimization", "ls"], ["job", "ls"], ["agent", "status"], ["key", "ls"]):
        assert isinstance(json.loads(machine.bough(*command, "--json").out), list), command
