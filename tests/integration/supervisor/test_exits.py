"""What exit.json says, exactly, of each way to end."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from tests.integration.supervisor.attempts import PYTHON, TRAIN, Attempt, await_event, run, until
from tests.integration.supervisor.conftest import Prepare

from bough_agent import ladder, processes, supervisor
from bough_agent.spawner_client import Spawner

WAIT = "i=0; while [ $i -lt 600 ]; do i=$((i+1)); sleep 0.05; done"  # half a minute that no signal can cut short


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def stop(attempt: Attempt, spawner: Spawner, desired: str, cause: str | None) -> dict[str, Any]:
    """Start an attempt, say what is wanted once its log says "up", and return exit.json."""
    spawner.launch(attempt.path)
    attempt.await_log("up")
    attempt.want(desired, cause)
    await_event(spawner, "ended")
    return attempt.exit()


def test_a_clean_end_says_everything_and_nothing_more(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("echo out; echo err >&2"))

    document = run(spawner, attempt)

    assert document == {
        "job_id": "k3f9a2bq",
        "attempt": 2,
        "exit_code": 0,
        "signal": None,
        "command": "1",
        "cause": None,
        "error": None,
        "started_at": ANY,
        "ended_at": ANY,
        "duration_s": ANY,
        "paused_s": 0.0,
        "stopped_at": None,
        "ladder": [],
        "log": {"bytes": 8, "crc": ANY},
        "journals": {},
        "usage": {"user_s": ANY, "system_s": ANY, "max_rss_bytes": ANY},
        "disk_full": False,
    }
    assert attempt.log() == "out\nerr\n"
    assert abs(document["started_at"] - time.time()) < 60
    assert 0 < document["duration_s"] < 60
    assert document["usage"]["max_rss_bytes"] > 100_000
    assert not (attempt.folder / "control" / "stop").exists()


def test_commands_run_in_order_and_the_first_failure_ends_the_series(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("echo first"), sh("echo second; exit 3"), sh("echo third"))

    document = run(spawner, attempt)

    assert (document["exit_code"], document["signal"], document["command"]) == (3, None, "2")
    assert attempt.log() == "first\nsecond\n"


def test_a_command_killed_by_a_signal_is_said_to_be(spawner: Spawner, prepare: Prepare) -> None:
    document = run(spawner, prepare(sh("kill -SEGV $$")))

    assert (document["exit_code"], document["signal"], document["cause"]) == (None, "SIGSEGV", None)
    assert document["ladder"] == []


def test_a_missing_command_is_one_sentence_with_the_path_that_was_searched(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(["python3.99", "train.py"])

    document = run(spawner, attempt)

    assert (document["exit_code"], document["signal"], document["command"]) == (127, None, "1")
    assert document["error"] == (
        "the command python3.99 was not found on this machine (PATH /usr/bin:/bin). "
        "Install it there, or name another one in `command` in bough.yml."
    )


def test_a_missing_second_command_keeps_what_the_first_one_did(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("echo first"), ["./post.sh"])

    document = run(spawner, attempt)

    assert (document["exit_code"], document["command"]) == (127, "2")
    assert "the command ./post.sh was not found (looked for " in document["error"]
    assert attempt.log() == "first\n"


def test_the_time_limit_counts_from_the_start_of_the_first_command(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("sleep 0.2"), sh("exec sleep 60"), max_time_s=0.5)

    document = run(spawner, attempt)

    assert (document["exit_code"], document["signal"], document["cause"]) == (None, "SIGINT", "max_time")
    assert [name for name, _ in document["ladder"]] == ["SIGINT"]
    assert document["command"] == "2"
    assert 0.5 <= document["duration_s"] < 20
    assert document["started_at"] < document["stopped_at"] <= document["ladder"][0][1] <= document["ended_at"]


def test_a_stop_by_the_user_ends_politely_and_says_so(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh(f"trap 'echo cleaned; exit 5' INT; echo up; {WAIT}"))

    document = stop(attempt, spawner, "stop", "user")

    assert (document["exit_code"], document["signal"], document["cause"]) == (5, None, "user")
    assert "cleaned" in attempt.log()
    assert (attempt.folder / "control" / "stop").read_text().startswith('{"cause": "user", "at": ')


def test_a_stop_takes_its_cause_from_the_coordinator(spawner: Spawner, prepare: Prepare) -> None:
    assert stop(prepare(sh("echo up; exec sleep 60")), spawner, "stop", "pruned")["cause"] == "pruned"


def test_a_stop_without_a_cause_is_the_users(spawner: Spawner, prepare: Prepare) -> None:
    assert stop(prepare(sh("echo up; exec sleep 60")), spawner, "stop", None)["cause"] == "user"


def test_a_kill_does_not_wait_for_anybody(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("trap '' INT TERM; echo up; sleep 60; sleep 60"))

    document = stop(attempt, spawner, "kill", "user")

    assert (document["exit_code"], document["signal"], document["cause"]) == (None, "SIGKILL", "user")
    assert [name for name, _ in document["ladder"]] == ["SIGKILL"]


def test_a_kill_hurries_a_stop_that_is_under_way_and_the_first_cause_stands(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh(f"trap 'echo got it' INT; trap '' TERM; echo up; {WAIT}"))
    spawner.launch(attempt.path)
    attempt.await_log("up")
    attempt.want("stop", "pruned")
    attempt.await_log("got it")

    attempt.want("kill", "user")
    await_event(spawner, "ended")

    assert attempt.exit()["cause"] == "pruned"
    assert [name for name, _ in attempt.exit()["ladder"]] == ["SIGINT", "SIGKILL"]


def test_a_stop_that_was_wanted_before_the_start_starts_nothing(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("echo up"))
    attempt.want("stop", "user")

    document = run(spawner, attempt)

    assert (document["exit_code"], document["signal"], document["command"]) == (None, None, None)
    assert (document["cause"], document["ladder"], attempt.log()) == ("user", [], "")


def test_a_stop_ends_the_series_of_commands(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh(f"trap 'exit 0' INT; echo up; {WAIT}"), sh("echo second"))

    document = stop(attempt, spawner, "stop", "user")

    assert (document["exit_code"], document["command"]) == (0, "1")
    assert "second" not in attempt.log()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"desired": 7}', '{"cause": "user"}'])
def test_a_wish_that_cannot_be_read_wants_nothing(spawner: Spawner, prepare: Prepare, text: str) -> None:
    attempt = prepare(sh("sleep 0.2"))
    (attempt.folder / "control").mkdir()
    (attempt.folder / "control" / "desired.json").write_text(text)

    assert run(spawner, attempt)["exit_code"] == 0


def test_a_log_that_outgrows_its_limit_stops_the_trial(spawner: Spawner, prepare: Prepare) -> None:
    document = run(spawner, prepare(["yes"], log_limit=10_000))

    assert (document["cause"], document["signal"]) == ("journal", "SIGINT")
    assert document["log"]["bytes"] > 10_000


def test_what_the_last_command_leaves_behind_is_ended_without_spoiling_its_result(
    spawner: Spawner, prepare: Prepare
) -> None:
    attempt = prepare(sh(f"setsid sh -c 'trap \"\" TERM; {WAIT}' & exit 0"))

    document = run(spawner, attempt)

    assert (document["exit_code"], document["cause"], document["error"]) == (0, None, None)
    assert 2 <= document["duration_s"] < attempt.term_s
    assert [name for name, _ in document["ladder"]] == ["SIGTERM", "SIGKILL"]


def test_a_background_process_that_ends_at_once_is_left_to_do_so(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("(sleep 0.1; echo tidy) & exit 0"))

    document = run(spawner, attempt)

    assert document["ladder"] == []
    assert attempt.log() == "tidy\n"


def test_a_service_started_by_one_command_serves_the_next(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("sleep 60 & echo $! > service"), sh("kill -0 $(cat service) && echo served"))

    assert run(spawner, attempt)["exit_code"] == 0
    assert attempt.log() == "served\n"


def test_a_killed_supervisor_takes_the_leader_along_and_the_marker_finds_the_rest(
    spawner: Spawner, prepare: Prepare
) -> None:
    attempt = prepare(sh("echo $$ >> $PIDS; setsid sleep 60 & echo up; wait"))
    spawner.launch(attempt.path)
    started = await_event(spawner, "started")
    attempt.await_log("up")
    assert started.pid is not None
    assert supervisor.is_supervised(attempt.path)

    os.kill(started.pid, signal.SIGKILL)
    await_event(spawner, "ended")

    until(lambda: len(attempt.survivors()) == 1)
    assert ladder.sweep(attempt.marker) == []
    assert not attempt.survivors()
    assert not (attempt.folder / "exit.json").exists()
    assert not supervisor.is_supervised(attempt.path)


def test_points_after_the_decision_are_cut_off(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare([PYTHON, TRAIN, "swallow", "3"], grace_s=0.5, term_s=0.2)

    document = run(spawner, attempt)

    [(writer, sums)] = document["journals"].items()
    lines = attempt.lines(writer)
    assert lines[sums["cut"] - 1][0] == "l"
    assert len(lines) > sums["cut"]


def test_a_folder_that_was_removed_does_not_keep_its_supervisor(
    spawner: Spawner, prepare: Prepare, tmp_path: Path
) -> None:
    attempt = prepare(sh("echo up; exec sleep 60"), cwd="/")
    spawner.launch(attempt.path)
    attempt.await_log("up")
    attempt.want("stop", "user")
    attempt.folder.rename(tmp_path / "elsewhere")

    pid = processes.members(attempt.marker)[0].pid
    os.kill(pid, signal.SIGKILL)

    await_event(spawner, "ended")


def test_a_stop_that_cannot_be_written_down_happens_all_the_same(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("echo up; exec sleep 60"))
    (attempt.folder / "control" / "stop").mkdir(parents=True)

    document = stop(attempt, spawner, "stop", "user")

    assert (document["cause"], document["signal"]) == ("user", "SIGINT")


def test_a_folder_that_the_job_puts_in_the_place_of_exit_json_does_not_keep_its_end_from_being_written(
    spawner: Spawner, prepare: Prepare
) -> None:
    attempt = prepare(sh("mkdir -p exit.json/a; echo up"))
    spawner.launch(attempt.path)
    await_event(spawner, "ended")

    assert attempt.exit()["exit_code"] == 0
    assert list(attempt.folder.glob("*.tmp")) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("echo up"))
    (attempt.folder / "log.txt").mkdir()

    spawner.launch(attempt.path)
    await_event(spawner, "ended")

    document = json.loads((attempt.folder / "exit.json").read_text())
    assert (document["exit_code"], document["command"]) == (None, None)
    assert document["error"] == (
        f"the attempt's folder {attempt.path} cannot be written (Is a directory). "
        "Free some space there, or check who owns it."
    )


def test_a_fault_of_the_supervisor_leaves_no_process_and_says_so(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(sh("setsid sleep 60 & exit 0"), sh("echo second"))
    spec = json.loads((attempt.folder / "spec.json").read_text())
    del spec["commands"][1]["argv"]
    (attempt.folder / "spec.json").write_text(json.dumps(spec))

    document = run(spawner, attempt)

    assert document["error"] == "the supervisor failed (KeyError: 'argv'). Please report this as a bug."
    assert attempt.survivors() == []
