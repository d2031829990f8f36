"""The shapes in which trainings are started in practice: every one must end by one SIGINT to its group.

Each is tried twice: the SDK's side of the protocol asks for the stop at an epoch, and the time limit strikes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.supervisor.attempts import PYTHON, TRAIN, Attempt, await_event, run
from tests.integration.supervisor.conftest import Prepare

from bough import _layout
from bough_agent.spawner_client import Spawner

LIMITS = [pytest.param("max_epochs", id="epochs"), pytest.param("max_time", id="time")]


def limited(prepare: Prepare, cause: str, argv: list[str], most_s: float = 0.7, **changes: Any) -> Attempt:
    """Prepare an attempt that ends by this limit; "EPOCHS" in its arguments becomes the epoch limit."""
    epochs = "3" if cause == "max_epochs" else "0"
    max_time_s = most_s if cause == "max_time" else None
    return prepare([part.replace("EPOCHS", epochs) for part in argv], max_time_s=max_time_s, **changes)


def check(attempt: Attempt, document: dict[str, Any], cause: str, steps: tuple[str, ...] = ("SIGINT",)) -> None:
    """Check what holds for every shape: the cause, the ladder, where the overrun begins."""
    assert document["cause"] == cause
    assert tuple(name for name, _ in document["ladder"]) == steps
    assert json.loads((attempt.folder / "control" / "stop").read_text())["cause"] == cause
    for writer, sums in document["journals"].items():
        assert 0 <= sums["cut"] <= len(attempt.lines(writer))
    asking = [writer for writer in document["journals"] if any(line[0] == "l" for line in attempt.lines(writer))]
    assert bool(asking) == (cause == "max_epochs")
    for writer in asking:
        kinds = [line[0] for line in attempt.lines(writer)]
        assert document["journals"][writer]["cut"] >= kinds.index("l") or len(asking) > 1


@pytest.mark.parametrize("cause", LIMITS)
def test_a_plain_script_ends_by_keyboard_interrupt(spawner: Spawner, prepare: Prepare, cause: str) -> None:
    attempt = limited(prepare, cause, [PYTHON, TRAIN, "plain", "EPOCHS"])

    document = run(spawner, attempt)

    check(attempt, document, cause)
    assert document["signal"] == "SIGINT"
    assert "KeyboardInterrupt" in attempt.log()


@pytest.mark.parametrize("cause", LIMITS)
def test_the_users_own_handler_runs_once_and_the_script_may_finish(
    spawner: Spawner, prepare: Prepare, cause: str
) -> None:
    attempt = limited(prepare, cause, [PYTHON, TRAIN, "handler", "EPOCHS"])

    document = run(spawner, attempt)

    check(attempt, document, cause)
    assert document["exit_code"] == 0
    assert attempt.log().count("asked to stop") == 1
    assert "finished as usual" in attempt.log()


@pytest.mark.parametrize("cause", LIMITS)
def test_a_script_that_swallows_the_interrupt_is_ended_by_the_ladder(
    spawner: Spawner, prepare: Prepare, cause: str
) -> None:
    attempt = limited(prepare, cause, [PYTHON, TRAIN, "swallow", "EPOCHS"], grace_s=0.5)

    document = run(spawner, attempt)

    check(attempt, document, cause, steps=("SIGINT", "SIGTERM"))
    assert document["signal"] == "SIGTERM"
    assert attempt.log().count("swallowed KeyboardInterrupt") == 1


@pytest.mark.parametrize("cause", LIMITS)
def test_a_shell_script_around_python_ends_with_it(spawner: Spawner, prepare: Prepare, cause: str) -> None:
    attempt = limited(prepare, cause, ["bash", str(Path(TRAIN).with_suffix(".sh")), "EPOCHS"])

    document = run(spawner, attempt)

    check(attempt, document, cause)
    assert document["signal"] == "SIGINT"


@pytest.mark.parametrize("cause", LIMITS)
def test_a_shell_with_a_second_step_does_not_go_on_to_it(spawner: Spawner, prepare: Prepare, cause: str) -> None:
    attempt = limited(prepare, cause, ["bash", "-c", f"{PYTHON} {TRAIN} plain EPOCHS; echo post ran"])

    document = run(spawner, attempt)

    check(attempt, document, cause)
    assert "post ran" not in attempt.log()


@pytest.mark.parametrize("cause", LIMITS)
def test_a_background_job_of_a_shell_is_ended_though_it_ignores_interrupts(
    spawner: Spawner, prepare: Prepare, cause: str
) -> None:
    """The shell starts it with SIGINT ignored, and dies itself: the leader's end is not the end."""
    attempt = limited(prepare, cause, ["sh", "-c", f"{PYTHON} {TRAIN} plain EPOCHS & wait"], grace_s=0.5)

    document = run(spawner, attempt)

    check(attempt, document, cause, steps=("SIGINT", "SIGTERM"))
    assert "SIGINT is 1" in attempt.log()
    [writer] = document["journals"]
    assert len(attempt.lines(writer)) > document["journals"][writer]["cut"]


@pytest.mark.parametrize("cause", LIMITS)
def test_worker_processes_clean_up_and_are_joined(spawner: Spawner, prepare: Prepare, cause: str) -> None:
    attempt = limited(prepare, cause, [PYTHON, TRAIN, "multiprocessing", "EPOCHS"])

    document = run(spawner, attempt)

    check(attempt, document, cause)
    assert attempt.log().count("worker cleaned up") == 2
    assert "workers joined" in attempt.log()


@pytest.mark.parametrize("cause", LIMITS)
def test_a_launcher_and_both_its_ranks_clean_up_once(spawner: Spawner, prepare: Prepare, cause: str) -> None:
    """Were only one rank interrupted, the launcher would take it for a failure and terminate the other."""
    attempt = limited(prepare, cause, [PYTHON, TRAIN, "launcher", "EPOCHS"], most_s=2.5)

    document = run(spawner, attempt)

    check(attempt, document, cause)
    assert len([writer for writer in document["journals"] if not writer.startswith(_layout.SYSTEM_WRITER)]) == 2
    assert attempt.log().count("rank cleaned up") == 2
    assert attempt.log().count("launcher cleaned up") == 1
    assert "terminated" not in attempt.log()


@pytest.mark.parametrize("cause", LIMITS)
def test_interrupts_work_though_the_agent_was_started_in_the_background(prepare: Prepare, cause: str) -> None:
    """A shell without job control starts background jobs with SIGINT ignored, nohup ignores SIGHUP: all inherited."""
    attempt = limited(prepare, cause, [PYTHON, TRAIN, "plain", "EPOCHS"])
    agent = "import signal, sys; sys.path[:0] = sys.argv[2:]\n" + (
        "assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN\n"
        "from bough_agent.spawner_client import Spawner\n"
        "with Spawner.start() as spawner:\n"
        "    spawner.launch(sys.argv[1])\n"
        "    while not any(event.kind == 'ended' for event in spawner.read(30)): pass\n"
    )
    roots = [path for path in sys.path if path.endswith(("/sdk", "/agent"))]

    shell = ["sh", "-c", 'nohup "$@" & wait', "sh", PYTHON, "-c", agent, attempt.path, *roots]
    subprocess.run(shell, check=True, timeout=60, capture_output=True)

    check(attempt, attempt.exit(), cause)
    assert attempt.exit()["signal"] == "SIGINT"
    assert "SIGINT is <built-in function default_int_handler>" in attempt.log()


def test_a_script_that_finishes_before_any_limit_has_no_cut(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare([PYTHON, TRAIN, "finish", "30"], max_time_s=60.0)

    document = run(spawner, attempt)

    assert (document["cause"], document["exit_code"]) == (None, 0)
    assert [sums["cut"] for sums in document["journals"].values()] == [None]


def test_every_signal_is_at_its_default_and_none_is_blocked(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(["cat", "/proc/self/status"])

    run(spawner, attempt)

    masks = dict(line.split(":\t") for line in attempt.log().splitlines() if line.startswith("Sig"))
    libc = sum(1 << (number - 1) for number in (32, 33))  # the C library keeps these for itself
    assert {name: int(masks[name], 16) & ~libc for name in ("SigBlk", "SigIgn", "SigCgt")} == {
        "SigBlk": 0,
        "SigIgn": 0,
        "SigCgt": 0,
    }


def test_a_trial_has_only_its_three_descriptors(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(["sh", "-c", "ls -l /proc/$$/fd | sed 's/.* -> //'"])

    run(spawner, attempt)

    log = str(attempt.folder / "log.txt")
    assert [line for line in attempt.log().splitlines()[1:] if not line.startswith("pipe:")] == ["/dev/null", log, log]


def test_two_attempts_at_once_do_not_disturb_each_other(spawner: Spawner, prepare: Prepare) -> None:
    stopped = prepare(["sh", "-c", "echo up; exec sleep 60"])
    finishing = prepare(["sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.02; done"])
    for attempt in (stopped, finishing):
        spawner.launch(attempt.path)
        attempt.await_log("up")

    stopped.want("kill", "user")
    assert await_event(spawner, "ended").folder == stopped.path
    (finishing.folder / "go").touch()

    assert await_event(spawner, "ended").folder == finishing.path
    assert finishing.exit()["exit_code"] == 0
