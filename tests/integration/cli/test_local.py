"""What a command starts here ends with it, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.cli.conftest import git
from tests.integration.cli.daemons import Machine, wait_for

Repository = Callable[..., Path]

SLOW = {
    "bough.yml": f"""\
model: me/slow
command: {sys.executable} train.py
hyperparameters: {{x: 0.5, steps: 2000}}
optimization: {{algorithm: random, max_trials: 4, max_parallel: 2, seed: 1, space: {{x: "uniform(0, 1)"}}}}
""",
    "train.py": """\
import time
import bough
job = bough.start_job()
kpi = job.create_channel("score", kpi=True, max_optimization=True)
steps = job.get_parameter("steps")
for step in range(1, steps + 1):
    kpi.send(step, job.get_parameter("x"))
    job.progress(step, steps)
    if steps > 10:
        time.sleep(0.05)
""",
}
FAST = {**SLOW, "bough.yml": SLOW["bough.yml"].replace("steps: 2000", "steps: 2")}


def running(machine: Machine, process: subprocess.Popen[str]) -> None:
    """Wait until a trial of the command runs."""

    def is_there() -> bool:
        assert process.poll() is None, machine.said(process)
        return any(machine.home.glob("agents/*/attempts/*/journal/*.jsonl"))

    wait_for(is_there, "a trial")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_is_left_however_the_command_is_ended(
    machine: Machine, repository: Repository, how: signal.Signals
) -> None:
    command = machine.start("optimize", str(repository(SLOW)))
    running(machine, command)

    command.send_signal(how)
    command.wait(60)

    wait_for(lambda: not machine.processes(), "no process")
    assert command.returncode in (128 + how, -how)
    assert not (machine.home / "coordinator" / "coordinator.json").exists()


def test_ctrl_c_stops_it_so_that_it_can_be_resumed(machine: Machine, repository: Repository) -> None:
    text = SLOW["bough.yml"].replace("steps: 2000", "steps: 30")
    command = machine.start("optimize", str(repository({**SLOW, "bough.yml": text})))
    running(machine, command)

    command.send_signal(signal.SIGINT)

    assert command.wait(90) == 130
    assert not machine.processes()
    found = re.search(r"Go on with: bough up, and beside it: bough optimization resume (\w+)", machine.said(command))
    assert found, machine.said(command)
    up = machine.start("up", "--port", "0")
    wait_for(lambda: "Ctrl-C stops both" in machine.said(up), "bough up")
    assert "is RUNNING" in machine.bough("optimization", "resume", found.group(1))
    assert "4 of 4 trials" in machine.bough("optimization", "watch", found.group(1))


def test_ctrl_c_twice_ends_at_once(machine: Machine, repository: Repository) -> None:
    stubborn = "import signal\nfor s in (2, 15): signal.signal(s, lambda *_: None)\n" + SLOW["train.py"]
    command = machine.start("optimize", str(repository({**SLOW, "train.py": stubborn})))
    running(machine, command)

    command.send_signal(signal.SIGINT)
    wait_for(lambda: "stopping; Ctrl-C again stops at once" in machine.said(command), "the first one to be heard")
    command.send_signal(signal.SIGINT)
    command.wait(30)

    assert command.returncode == 130
    wait_for(lambda: not machine.processes(), "no process")


def test_detach_leaves_it_running_and_up_stop_ends_it(machine: Machine, repository: Repository) -> None:
    started = machine.bough("optimize", str(repository(FAST)), "--detach")

    found = re.search(r"optimization (\w+) of me/slow.* has started", started)
    assert found, started
    watched = machine.bough("optimization", "watch", found.group(1)[:5])
    assert "best: score" in watched
    stopped = machine.bough("up", "--stop")
    assert "the coordinator has stopped" in stopped
    assert not machine.processes()
    assert "There is nothing to stop" in machine.bough("up", "--stop", code=1)


def test_a_detached_start_that_is_refused_leaves_no_process(
    machine: Machine, repository: Repository, tmp_path: Path
) -> None:
    place = repository(FAST)
    git(place, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth", "1", place.as_uri(), "shallow")

    for command in ("optimize", "run"):
        assert "this clone is shallow" in machine.bough(command, str(tmp_path / "shallow"), "--detach", code=1)
        assert not machine.processes()


def test_a_job_on_an_agent_that_is_only_just_started_here_is_not_refused(
    machine: Machine, repository: Repository
) -> None:
    assert "KPI: score" in machine.bough("run", str(repository(FAST)), "--on", "ann")


def test_up_serves_until_ctrl_c_and_optimize_uses_it(machine: Machine, repository: Repository) -> None:
    up = machine.start("up", "--port", "0", "--slots", "2", "--limit", "files=7", "--limit", "file_bytes=1MiB")
    wait_for(lambda: "Ctrl-C stops both" in machine.said(up), "bough up")
    (coordinator,) = [one for one in machine.processes() if "coordinator" in one.cmdline()]
    assert "--limit files=7 --limit file_bytes=1048576" in " ".join(coordinator.cmdline())

    assert re.search(r"page: +http://127\.0\.0\.1:\d+/login\?code=\S+", machine.said(up))
    assert "a coordinator already runs here. Its page: http" in machine.bough("up", code=1)
    assert "best: score" in machine.bough("optimize", str(repository(FAST)))
    assert up.poll() is None
    assert re.search(r"ok +agents +1 of 1 online", machine.bough("doctor"))

    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 130
    assert not machine.processes()


def test_a_coordinator_that_cannot_start_here_says_why(machine: Machine, repository: Repository) -> None:
    machine.home.mkdir()
    (machine.home / "coordinator").write_text("in the way")

    said = machine.bough("optimize", str(repository(FAST)), code=1)

    assert re.search(r"bough: the (folder|coordinator) .*coordinator", said), said
    assert not machine.processes()


def test_modules_in_the_users_folder_are_not_imported_by_our_daemons(
    machine: Machine, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` puts the current folder first; a random.py of the user's would end the coordinator."""
    place = repository(
        {**FAST, "random.py": "raise SystemExit('imported')", "requests.py": "raise SystemExit('imported')"}
    )
    code = "import sys; from bough_cli.main import main; sys.exit(main(['optimize', '.', '--max-trials', '1']))"
    environ = {**machine.environ, "PYTHONSAFEPATH": "1"}

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=environ, capture_output=True, text=True, check=False
    )

    # The trial itself runs in that folder and imports what it likes.
    assert "imported" not in done.stderr, done.stderr
    assert os.path.exists(machine.home / "coordinator" / "admin.key")


def test_the_command_that_lists_the_records_works(machine: Machine, repository: Repository) -> None:
    ended = machine.bough("optimize", str(repository(FAST)))

    found = re.search(r"records: (git .*)", ended)
    assert found, ended
    listed = subprocess.run(found.group(1), shell=True, capture_output=True, text=True, check=True).stdout
    assert len(listed.splitlines()) == 4
    assert "refs/bough/jobs/" in listed
