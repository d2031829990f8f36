"""Records as a user has them: written by a search, brought to another machine, read and run again there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Lab, Machine, a_machine, commit, git, wait_for

TRAIN = """\
import bough

job = bough.start_job()
loss = job.create_channel("loss", kpi=True, max_optimization=False)
for epoch in range(1, 4):
    loss.send(epoch, (job.get_parameter("x") - 1) ** 2 + 1 / epoch)
    job.progress(epoch, 3)
"""
DEFINITION = """\
model: me/records
command: python train.py
hyperparameters: {x: 0.0}
optimization:
  algorithm: random
  max_trials: 3
  max_epochs: 2
  seed: 4
  space: {x: "uniform(-5, 5)"}
"""


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Machine]:
    """Another machine, which never saw the coordinator."""
    (tmp_path / "bare").mkdir()
    with a_machine(tmp_path / "bare") as one:
        yield one


def test_a_record_reproduces_on_a_machine_that_never_saw_the_coordinator(
    machine: Machine, bare: Machine, repository: Callable[..., Path], tmp_path: Path
) -> None:
    place = repository({"bough.yml": DEFINITION, "train.py": TRAIN})
    machine.bough("optimize", str(place))
    mirror = tmp_path / "mirror.git"
    git(
        tmp_path,
        "clone",
        "-q",
        "--mirror",
        str(machine.home / "coordinator" / "git" / "me" / "records.git"),
        str(mirror),
    )
    table = (next((machine.home / "exports").glob("*.csv"))).read_text().splitlines()

    rows = bare.bough("job", "ls", "--json", "--sort", "number", cwd=mirror).json()
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert [str(row["kpi"]) for row in rows] == [line.split(",")[4] for line in table[1:]]
    name = f"{rows[0]['optimization']}/2"
    ran = bare.bough("job", "reproduce", name, "--quiet", cwd=mirror)
    assert ran.code == 0, ran.err
    assert "environment: the same" in ran.out
    assert ": equal\n" in ran.out
    assert ran.out.splitlines()[-1].endswith("exactly as recorded.")
    diff = bare.bough("job", "diff", name, rows[0]["id"], "--json", cwd=mirror).json()
    assert set(diff["parameters"]) == {"x"}
    assert diff["environment"] == {}


def test_the_branch_may_be_edited_rewritten_and_deleted_while_trials_wait(lab: Lab) -> None:
    """Thirty trials wait for one slot; what the user does to the branch meanwhile changes nothing."""
    script = TRAIN.replace("import bough\n", "import bough, pathlib\nprint(pathlib.Path('mark').read_text())\n")
    settings = DEFINITION.replace("max_trials: 3", "max_trials: 30\n  max_parallel: 3")
    known = lab.start("moving", {"bough.yml": settings, "train.py": script, "mark": "pinned\n"})
    place = lab.place / "moving"
    pinned = git(place, "rev-parse", "HEAD")
    (place / "mark").write_text("moved\n")
    commit(place, "edited")
    git(place, "commit", "-q", "--amend", "-m", "rewritten")
    git(place, "checkout", "-q", "--orphan", "other")
    git(place, "commit", "-q", "-m", "other")
    git(place, "branch", "-q", "-D", "main")
    git(place, "reflog", "expire", "--expire=now", "--all")
    git(place, "gc", "-q", "--prune=now")

    trials = lab.ended(known)["trials"]

    assert {trial["commit"] for trial in trials} == {pinned}
    assert len(trials) == 30
    logs = [lab.machine.bough("job", "log", trial["id"]).out for trial in trials[::10]]
    assert all(log.startswith("pinned\n") for log in logs)


def test_follow_branch_takes_the_newest_commit_for_each_job_and_records_it(lab: Lab) -> None:
    settings = DEFINITION.replace("max_epochs: 2", "follow_branch: true\n  max_parallel: 1")
    script = TRAIN + "\nimport os, pathlib, time\nwait = pathlib.Path('{0}')\n"
    script += "open('{0}.' + os.environ['BOUGH_JOB_ID'], 'w').close()\nwhile not wait.exists(): time.sleep(0.02)\n"
    gate = lab.place / "gate"
    known = lab.start("following", {"bough.yml": settings, "train.py": script.format(gate)})
    place = lab.place / "following"
    first = git(place, "rev-parse", "HEAD")
    wait_for(lambda: list(lab.place.glob("gate.*")), 60.0, "the first trial")
    (place / "new.txt").write_text("x")
    second = commit(place, "second")
    gate.touch()

    trials = lab.ended(known)["trials"]

    assert [trial["commit"] for trial in trials] == [first, second, second]
    assert all(trial["record"] for trial in wait_for(lambda: _recorded(lab, known), 30.0, "records"))
    cat = lab.machine.bough("job", "cat", f"{known}/2", "job.json").json()
    assert (cat["commit"], cat["source"]["follow"]) == (second, True)


def _recorded(lab: Lab, known: str) -> list[dict[str, object]]:
    trials: list[dict[str, object]] = lab.optimization(known)["trials"]
    return trials if all(trial["record"] for trial in trials) else []


def test_a_model_by_url_is_resolved_by_an_agent_and_pinned(lab: Lab, tmp_path: Path) -> None:
    place = lab.place / "by-url"
    (place / "models").mkdir(parents=True)
    (place / "models" / "train.py").write_text(TRAIN)
    git(place, "init", "-q", "-b", "main")
    commit(place)
    git(place, "tag", "v1")
    pinned = git(place, "rev-parse", "HEAD")
    commit_later = (place / "later").write_text("x") and commit(place, "later")
    settings = DEFINITION + f"git: {{url: '{place.as_uri()}', branch: v1, folder: models}}\n"
    (tmp_path / "bough.yml").write_text(settings)

    known = str(lab.machine.bough("optimize", str(tmp_path), "--detach", "--json").json()["id"])

    found = lab.ended(known)
    assert found["commit"] == pinned != commit_later
    assert {trial["commit"] for trial in found["trials"]} == {pinned}
    (tmp_path / "bough.yml").write_text(settings.replace("branch: v1", "branch: v2"))
    failing = str(lab.machine.bough("optimize", str(tmp_path), "--detach", "--json").json()["id"])
    wait_for(lambda: lab.get(f"optimizations/{failing}")["state"] == "PAUSED", 60.0, "a pause")
    assert "there is no branch or tag v2" in lab.get(f"optimizations/{failing}")["reason"]
    lab.machine.bough("optimization", "stop", failing)


def test_jobs_read_alike_from_the_coordinator_and_from_a_clone(lab: Lab, bare: Machine) -> None:
    known = lab.start("alike", {"bough.yml": DEFINITION, "train.py": TRAIN})
    lab.ended(known)
    wait_for(lambda: _recorded(lab, known), 30.0, "records")
    place = lab.place / "alike"
    pulled = lab.machine.bough("pull", "--optimization", known, cwd=place)
    assert "3 records brought here" in pulled.out, pulled.err
    wanted = ["job", "ls", "--optimization", known]

    for more in ([], ["--json"], ["--state", "DONE", "--limit", "2"]):
        there = lab.machine.bough(*wanted, *more, cwd=place)
        here = bare.bough(*wanted, *more, cwd=place)
        assert there.out == here.out
        assert there.code == here.code == 0
    job = json.loads(lab.machine.bough(*wanted, "--json").out)[0]["id"]
    for verb in (["show", job], ["log", job], ["diff", job, f"{known}/1"], ["files", job], ["cat", job, "job.json"]):
        assert lab.machine.bough("job", *verb).out == bare.bough("job", *verb, cwd=place).out


def test_a_submodule_travels_with_the_commit(lab: Lab, repository: Callable[..., Path]) -> None:
    library = repository({"mathlib.py": "def f(x):\n    return (x - 1) ** 2\n"}, name="library")
    script = TRAIN.replace("import bough\n", "import bough, sys\nsys.path.insert(0, 'lib')\nimport mathlib\n")
    place = repository({"bough.yml": DEFINITION, "train.py": script}, name="with-library")
    subprocess.run(
        ["git", "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib"],
        cwd=place,
        check=True,
    )
    commit(place, "library")

    known = str(lab.machine.bough("optimize", str(place), "--detach", "--json").json()["id"])

    assert {trial["state"] for trial in lab.ended(known)["trials"]} == {"DONE"}
