"""What is done to optimizations and jobs while they run: stop, pause, resume, extend, points set by hand, pruning.

And jobs started by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Lab, make_repository, wait_for

DEFINITION = """\
model: me/steered
command: {python} train.py
hyperparameters: {{x: 0.5, seconds: 60.0}}
optimization:
  algorithm: random
  seed: 1
  {settings}
  space: {{x: "uniform(0, 1)"}}
"""
# Reports every 10 ms until its time is over, `x` as its KPI; ends politely where it is asked to.
TRAIN = """\
import time, bough
job = bough.start_job()
kpi = job.create_channel("score", kpi=True)
end = time.monotonic() + job.get_parameter("seconds")
epoch = 0
while time.monotonic() < end:
    epoch += 1
    kpi.send(epoch, job.get_parameter("x"))
    job.progress(epoch)
    time.sleep(0.01)
"""
SHORT = ["-p", "seconds=0.3"]


def files(script: str = TRAIN, **settings: Any) -> dict[str, str]:
    lines = "\n  ".join(f"{name}: {value}" for name, value in settings.items())
    return {"bough.yml": DEFINITION.format(python=sys.executable, settings=lines), "train.py": script}


@pytest.fixture
def start(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """A function that starts an optimization with these files and options; what is left of it is stopped."""
    started: list[str] = []

    def start(what: dict[str, str], *options: str) -> str:
        name = re.sub(r"\W", "-", request.node.name) + str(len(started))
        started.append(lab.start(name, what, *options))
        return started[-1]

    yield start
    for its_id in started:
        lab.machine.bough("optimization", "stop", its_id, "--now")


def running(lab: Lab, its_id: str, count: int) -> list[Any]:
    """Return the trials that run and have reported, once there are so many."""

    def look() -> list[Any]:
        found = [
            trial for trial in lab.optimization(its_id)["trials"] if trial["state"] == "RUNNING" and trial["epochs"]
        ]
        return found if len(found) == count else []

    return list(wait_for(look, what=f"{count} running trials"))


def states(lab: Lab, its_id: str) -> dict[str, int]:
    return dict(lab.optimization(its_id)["counts"])


@pytest.mark.timeout(60)
def test_a_trial_that_its_user_stops_is_aborted_and_counts_as_started(lab: Lab, start: Callable[..., str]) -> None:
    its_id = start(files(max_trials=3, max_parallel=2))
    first, second = running(lab, its_id, 2)

    assert lab.machine.bough("job", "stop", first["id"]).code == 0
    assert lab.machine.bough("job", "stop", second["id"], "--now").code == 0
    wait_for(lambda: states(lab, its_id).get("ABORTED") == 2, what="the end of both")
    (third,) = running(lab, its_id, 1)
    assert lab.machine.bough("job", "stop", third["id"]).code == 0

    found = lab.ended(its_id)
    assert (found["state"], found["counts"], found["best"]) == ("DONE", {"ABORTED": 3}, None)
    assert {trial["end_reason"] for trial in found["trials"]} == {"user"}
    again = lab.machine.bough("job", "stop", first["id"])
    assert again.code == 1
    assert "has ended: it is ABORTED" in again.err


@pytest.mark.timeout(60)
def test_stop_lets_trials_end_and_stop_now_does_not(lab: Lab, start: Callable[..., str]) -> None:
    polite = start(files(max_trials=20, max_parallel=2), "-p", "seconds=3.0")
    hard = start(files(max_trials=20, max_parallel=2))
    running(lab, polite, 2)
    running(lab, hard, 2)

    lab.machine.bough("optimization", "stop", polite)
    lab.machine.bough("optimization", "stop", hard, "--now")

    assert (lab.ended(hard)["state"], states(lab, hard)) == ("STOPPED", {"ABORTED": 2})
    assert (lab.ended(polite)["state"], states(lab, polite)) == ("STOPPED", {"DONE": 2})
    said = lab.machine.bough("optimization", "resume", polite)
    assert said.code == 1
    assert "is STOPPED and cannot be resumed" in said.err


@pytest.mark.timeout(60)
def test_pause_release_resume_and_extend(lab: Lab, start: Callable[..., str]) -> None:
    its_id = start(files(max_trials=2, max_parallel=1), "-p", "seconds=3.0")
    (first,) = running(lab, its_id, 1)

    assert lab.machine.bough("optimization", "pause", its_id, "--release", "--json").json()["state"] == "PAUSED"
    wait_for(lambda: states(lab, its_id).get("QUEUED") == 1, 8, what=f"a released trial: {lab.optimization(its_id)}")
    assert lab.machine.bough("optimization", "resume", its_id, "--json").json()["state"] == "RUNNING"
    found = lab.ended(its_id)

    assert (found["state"], found["counts"]) == ("DONE", {"DONE": 2})
    by_number = {trial["number"]: trial for trial in found["trials"]}
    assert (by_number[1]["id"], by_number[1]["attempts"], by_number[1]["values"]) == (first["id"], 2, first["values"])
    assert lab.machine.bough("optimization", "extend", its_id, "--max-trials", "3").code == 0
    found = lab.ended(its_id)
    assert (found["state"], found["counts"], found["max_trials"]) == ("DONE", {"DONE": 3}, 3)


FAILS_FIRST = """\
import os, bough
job = bough.start_job()
mark = os.path.join(job.checkpoint_dir, "mark")
seen = open(mark).read() if os.path.exists(mark) else ""
open(mark, "a").write(str(job.attempt))
job.create_channel("score", kpi=True).send(job.attempt, float(job.attempt))
job.set_info("seen", seen)
if job.attempt < 3:
    raise SystemExit(4)
"""


@pytest.mark.timeout(60)
def test_failures_are_tried_again_with_their_checkpoints_and_too_many_in_a_row_pause(
    lab: Lab, start: Callable[..., str]
) -> None:
    again = start(files(FAILS_FIRST, max_trials=2, on_failure="{retry: 2}", agents="[ann]"))
    failing = start(files("raise SystemExit('no luck')", max_trials=9, max_parallel=1, on_failure="{stop_after: 2}"))

    found = lab.ended(again)
    assert found["counts"] == {"DONE": 2}
    for trial in found["trials"]:
        assert (trial["attempts"], trial["kpi"]) == (3, 3.0)
        assert lab.job(trial["id"])["infos"] == {"seen": "12"}
    assert {row["attempt"] for row in lab.table(again, "--points")} == {"3"}
    assert len(lab.table(again, "--points", "--all-attempts")) == 6
    assert [row["state"] for row in lab.table(again, "--all-attempts")] == ["ENDED", "ENDED", "DONE"] * 2
    paused = wait_for(lambda: (row := lab.optimization(failing))["state"] == "PAUSED" and row, what="a pause")
    assert paused["counts"] == {"FAILED": 2}
    assert re.search(r"2 trials in a row failed.*no luck.*optimization resume", paused["reason"])


@pytest.mark.timeout(60)
def test_limits_of_the_whole_and_chosen_agents_hold(lab: Lab, start: Callable[..., str]) -> None:
    """ben has one slot: low's second trial waits there, and high overtakes it."""
    timed = start(files(max_trials=500, max_parallel=2, total_time="4s", agents="[ann]"), "-p", "seconds=1.0")
    low = start(files(max_trials=4, agents="[ben]"), "-p", "seconds=1.0")
    running(lab, low, 1)
    urgent = files(max_trials=2, agents="ben")
    urgent["bough.yml"] = "priority: 5\n" + urgent["bough.yml"]
    high = start(urgent, *SHORT)
    alone = start(files(max_trials=3, max_parallel=1, agents="[ann]"), *SHORT)

    over = lab.ended(timed)
    assert (over["state"], over["reason"]) == ("DONE", "its total_time of 4 s is over.")
    assert set(over["counts"]) == {"DONE"}
    assert 2 <= over["counts"]["DONE"] <= 12
    lows, highs, one = (lab.ended(its_id)["trials"] for its_id in (low, high, alone))
    assert {trial["agent"] for trial in lows + highs} == {"ben"}
    assert max(trial["started_at"] for trial in highs) < sorted(trial["started_at"] for trial in lows)[-1]
    for trials in (lows, one):
        assert all(trial["started_at"] for trial in trials), trials
        in_order = sorted(trials, key=lambda trial: trial["started_at"])
        assert [trial["number"] for trial in in_order] == list(range(1, len(trials) + 1))
        assert all(a["ended_at"] <= b["started_at"] for a, b in pairwise(in_order))


@pytest.mark.timeout(60)
def test_jobs_by_hand_have_limits_a_machine_and_no_need_of_a_kpi(lab: Lab, tmp_path: Path) -> None:
    path = str(make_repository(tmp_path / "model", files()))

    by_epochs = lab.machine.bough("run", path, "--on", "ben", "--max-epochs", "7", "-p", "x=0.25", "--json").json()
    assert (by_epochs["state"], by_epochs["end_reason"], by_epochs["agent"]) == ("DONE", "max_epochs", "ben")
    assert (by_epochs["kpi"], by_epochs["epochs"], by_epochs["values"]) == (0.25, 7, {"x": 0.25, "seconds": 60.0})
    by_time = lab.machine.bough("run", path, "--max-time", "1s", "--json").json()
    assert (by_time["state"], by_time["end_reason"]) == ("DONE", "max_time")
    assert 1.0 <= by_time["duration_s"] < 5.0
    for script, code, line in (
        ("print('nothing')", 0, r"KPI: none\. An optimization needs one"),
        ("import bough; bough.start_job().create_channel('a', kpi=True).send(1, float('nan'))", 0, r"KPI: a, maximize"),
        ("raise SystemExit(2)", 1, r"ended with exit code 2"),
    ):
        (Path(path) / "train.py").write_text(script)
        ran = lab.machine.bough("run", path, "--dirty")
        assert ran.code == code, ran.out + ran.err
        assert re.search(line, ran.out), ran.out
    nobody = lab.machine.bough("run", path, "--dirty", "--on", "zoe")
    assert nobody.code == 1
    assert re.search(r"there is no agent zoe\. There are: ann, ben\.", nobody.err)


@pytest.mark.timeout(60)
def test_a_point_set_by_hand_runs_next_and_another_search_builds_on_all_of_it(
    lab: Lab, start: Callable[..., str]
) -> None:
    its_id = start(files(max_trials=6, max_parallel=1), *SHORT)
    assert lab.machine.bough("optimization", "pause", its_id).code == 0

    said = lab.machine.bough("optimization", "enqueue", its_id, "-p", "x=0.125")
    assert re.fullmatch(r"trial \d \(job \w+\) is QUEUED: x=0\.125 seconds=0\.3\n", said.out), said
    outside = lab.machine.bough("optimization", "enqueue", its_id, "-p", "x=3")
    assert re.search(
        r"warning: trial \d runs, but the optimizer is not told of it: x = 3\.0 is not in uni", outside.out
    )
    wrong = lab.machine.bough("optimization", "enqueue", its_id, "-p", "y=3")
    assert (wrong.code, "unknown hyperparameter y." in wrong.err) == (1, True)
    assert lab.machine.bough("optimization", "enqueue", its_id).code == 2
    assert lab.machine.bough("optimization", "resume", its_id).code == 0
    found = lab.ended(its_id)

    assert (found["state"], found["counts"]) == ("DONE", {"DONE": 6})
    assert {0.125, 3.0} < {trial["kpi"] for trial in found["trials"]}
    again = start(files(max_trials=1), *SHORT, "--warm-start", its_id)
    assert lab.ended(again)["counts"] == {"DONE": 1}
    repository = make_repository(lab.place / "built-on-nothing", files(max_trials=1))
    nothing = lab.machine.bough("optimize", str(repository), "--detach", "--warm-start", "nothing")
    assert (nothing.code, nothing.err) == (
        1,
        "bough: there is no optimization nothing. List them: bough optimization ls.\n",
    )


# Trials are long, the better ones short: without pruning the third would take a minute.
FALLS_BEHIND = """\
import time, bough
job = bough.start_job()
x = job.get_parameter("x")
kpi = job.create_channel("loss", kpi=True, max_optimization=False)
end = time.monotonic() + (0.3 if x < 0.5 else 60)
epoch = 0
try:
    while time.monotonic() < end:
        epoch += 1
        kpi.send(epoch, x)
        time.sleep(0.02)
except KeyboardInterrupt:
    job.set_info("asked to stop", job.should_stop())
"""


@pytest.mark.timeout(60)
def test_a_trial_that_falls_behind_is_pruned_and_keeps_its_kpi(lab: Lab, start: Callable[..., str]) -> None:
    what = files(FALLS_BEHIND, max_trials=3, max_parallel=1, pruning="{median: {min_trials: 2}}")
    text = what["bough.yml"].replace("algorithm: random", "algorithm: grid")
    its_id = start({**what, "bough.yml": text.replace("uniform(0, 1)", "range(0.2, 0.6, 0.2)")})

    found = lab.ended(its_id)

    ended = [(trial["kpi"], trial["state"], trial["end_reason"]) for trial in found["trials"]]
    assert ended == [(0.2, "DONE", "finished"), (0.4, "DONE", "finished"), (0.6, "DONE", "pruned")]
    assert found["trials"][2]["duration_s"] < 30
    assert lab.job(found["trials"][2]["id"])["infos"] == {"asked to stop": True}
