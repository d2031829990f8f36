"""A trial can write where its supervisor does. Whatever it breaks there is its own loss: its slot is free again, and
what the other attempts report goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.integration.agent.conftest import Agent, Repository
from tests.integration.agent.coordinator import Coordinator

Start = Callable[..., Agent]

FOLDER = "import os, json, time\nhere = os.environ['BOUGH_ATTEMPT_DIR']\n"
REPORTS = """
import bough
kpi = bough.start_job().create_channel("accuracy", kpi=True)
for n in range(3):
    kpi.send(n, n)
"""
GOOD = [{"name": "1", "argv": ["python", "good.py"]}]

# Each ends with a supervisor that can close the attempt all the same.
ENDS = {
    "a folder in the place of exit.json": "os.makedirs(here + '/exit.json/a')",
    "a link in the place of exit.json": "os.symlink('/dev/full', here + '/exit.json')",
    "a folder in the place of what becomes exit.json": (
        "pid = json.load(open(here + '/supervisor.json'))['pid']; os.makedirs(f'{here}/exit.json.{pid}.tmp')"
    ),
    "a pipe in the place of desired.json": "os.mkfifo(here + '/control/desired.json'); time.sleep(0.3)",
    "a folder in the place of desired.json": "os.mkdir(here + '/control/desired.json'); time.sleep(0.3)",
    "a file in the place of the journals": "os.rename(here + '/journal', here + '/j'); open(here + '/journal', 'w')",
    "a pipe in the place of the log": "os.rename(here + '/log.txt', here + '/l'); os.mkfifo(here + '/log.txt')",
    "nonsense in control/stop": "open(here + '/control/stop', 'w').write('[' * 100000); time.sleep(1.2)",
    "a folder that is closed": "os.chmod(here, 0o500)",
    "a pipe in the place of a journal": "os.mkfifo(here + '/journal/7-00000000.jsonl')",
    "a folder in the place of the lock": "os.unlink(here + '/supervisor.lock'); os.mkdir(here + '/supervisor.lock')",
}


def test_whatever_a_trial_puts_in_the_place_of_our_files_its_attempt_ends(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    scripts = {f"bad{n}.py": FOLDER + script for n, script in enumerate(ENDS.values())}
    commit = repository.commit({**scripts, "good.py": REPORTS})
    bad = {
        what: coordinator.submit(commit=commit, commands=[{"name": "1", "argv": ["python", script]}])
        for what, script in zip(ENDS, scripts, strict=True)
    }
    good = coordinator.submit(commit=commit, commands=GOOD)

    one = agent(slots=3)  # what follows needs their slots

    coordinator.wait(lambda: good in coordinator.ended, "the last trial", timeout_s=40)
    coordinator.wait(
        lambda: not (left := [what for what, key in bad.items() if key not in coordinator.ended]) or waiting(left),
        "the ends of the bad ones",
        timeout_s=10,
    )
    assert one.end() == 0
    assert "Traceback" not in one.said


def waiting(left: list[str]) -> bool:
    print("still there:", left)
    return False


@pytest.mark.parametrize("answer", ["400", "500"])
def test_an_attempt_whose_report_is_refused_does_not_hold_up_the_others(
    coordinator: Coordinator, repository: Repository, agent: Start, answer: str
) -> None:
    commit = repository.commit({"good.py": REPORTS})
    bad = coordinator.submit(commit=commit, commands=GOOD)
    goods = [coordinator.submit(commit=commit, commands=GOOD) for _ in range(4)]
    coordinator.poison[bad] = answer

    one = agent(slots=2)

    coordinator.wait(lambda: set(goods) <= set(coordinator.ended), "the others", timeout_s=30)
    if answer == "400":
        lost = coordinator.wait(
            lambda: [e for e in coordinator.events if e["event"] == "released" and e["job"] == bad[0]], "its release"
        )
        assert lost[0]["reason"] == "lost"
        assert "the coordinator refuses what it reports" in lost[0]["message"]
    else:  # a fault that may be mended
        coordinator.poison.clear()
    assert one.end() == 0


def test_a_coordinator_that_refuses_everything_costs_no_attempt(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    commit = repository.commit({"good.py": REPORTS})
    key = coordinator.submit(commit=commit, commands=GOOD)
    one = agent(slots=1)
    coordinator.wait(lambda: key in coordinator.granted, "the grant")
    coordinator.mishaps = ["400"] * 4

    coordinator.wait(lambda: key in coordinator.ended, "the trial", timeout_s=60)

    assert one.end() == 0
    assert not [e for e in coordinator.events if e["event"] == "released"]
