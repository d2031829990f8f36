"""The spawner: what it answers, what it survives, and what does not need it."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path

import pytest
from tests.integration.supervisor.attempts import await_event, run, until
from tests.integration.supervisor.conftest import Prepare

from bough_agent import processes, supervisor
from bough_agent.spawner_client import Event, Spawner, SpawnerGone


def test_a_start_is_answered_with_the_supervisor_that_holds_the_attempt(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(["sh", "-c", "echo up; exec sleep 60"])

    spawner.launch(attempt.path)
    started = await_event(spawner, "started")

    identity = json.loads((attempt.folder / "supervisor.json").read_text())
    assert started == Event("started", attempt.path, identity["pid"], None)
    assert identity["boot_id"] == processes.boot_id()
    assert identity["start_ticks"] == processes.start_ticks(identity["pid"])
    assert re.fullmatch("[0-9a-f]{32}", identity["nonce"])
    assert supervisor.is_supervised(attempt.path)

    attempt.want("kill")
    assert await_event(spawner, "ended") == Event("ended", attempt.path, None, None)
    assert not supervisor.is_supervised(attempt.path)


def test_an_attempt_without_a_spec_is_refused_in_one_sentence(spawner: Spawner, tmp_path: Path) -> None:
    spawner.launch(str(tmp_path))

    failed = await_event(spawner, "failed")

    assert failed.folder == str(tmp_path)
    assert failed.error is not None
    assert f"{tmp_path}/spec.json cannot be used as the spec of an attempt (FileNotFoundError" in failed.error
    assert not (tmp_path / "exit.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"job_id": "a"}', "7"])
def test_a_broken_spec_is_refused(spawner: Spawner, tmp_path: Path, text: str) -> None:
    (tmp_path / "spec.json").write_text(text)

    spawner.launch(str(tmp_path))

    assert "cannot be used as the spec of an attempt" in str(await_event(spawner, "failed").error)


def test_an_attempt_has_one_supervisor_at_most(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(["sh", "-c", "echo up; exec sleep 60"])
    spawner.launch(attempt.path)
    attempt.await_log("up")

    spawner.launch(attempt.path)
    failed = await_event(spawner, "failed")

    assert failed.error == f"the attempt in {attempt.path} has a supervisor already. Wait for it to end."
    attempt.want("kill")
    await_event(spawner, "ended")


def test_an_attempt_that_has_ended_is_never_started_again(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(["sh", "-c", "echo once"])
    run(spawner, attempt)

    spawner.launch(attempt.path)
    failed = await_event(spawner, "failed")

    assert failed.error == f"the attempt in {attempt.path} has ended. Start another attempt in another folder."
    assert attempt.log() == "once\n"


def test_supervisors_outlive_a_killed_spawner(prepare: Prepare) -> None:
    attempt = prepare(["sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.02; done; exit 4"])
    with Spawner.start() as doomed:
        doomed.launch(attempt.path)
        attempt.await_log("up")
        await_event(doomed, "started")

        os.kill(doomed.pid, signal.SIGKILL)

        with pytest.raises(SpawnerGone, match=rf"the spawner \(pid {doomed.pid}\) has ended. Running trials go on"):
            doomed.read(30)
        with pytest.raises(SpawnerGone, match="restart the agent to start new ones"):
            until(lambda: doomed.launch(attempt.path))

    (attempt.folder / "go").touch()
    until((attempt.folder / "exit.json").exists)
    assert attempt.exit()["exit_code"] == 4


def test_a_spawner_ends_when_it_is_closed_although_a_thread_still_reads_from_it() -> None:
    spawner = Spawner.start()
    heard: list[type[BaseException]] = []

    def listen() -> None:
        try:
            spawner.read(None)
        except (SpawnerGone, OSError, ValueError) as error:
            heard.append(type(error))

    listener = threading.Thread(target=listen)
    listener.start()
    stat = Path(f"/proc/{os.getpid()}/task/{listener.native_id}/stat")
    until(lambda: ") S " in stat.read_text())

    spawner.close()

    listener.join(10)
    assert heard, "the reader was not told"
    assert spawner._process.returncode == 0, "it was killed at the end of its patience"


def test_supervisors_outlive_a_closed_spawner_and_still_obey(prepare: Prepare) -> None:
    attempt = prepare(["sh", "-c", "echo up; exec sleep 60"])
    with Spawner.start() as closing:
        closing.launch(attempt.path)
        attempt.await_log("up")
    assert processes.look(closing.pid) is None

    attempt.want("stop", "user")
    until((attempt.folder / "exit.json").exists)

    assert attempt.exit()["cause"] == "user"


def test_an_agent_that_dies_takes_its_spawner_along_while_a_trial_runs(prepare: Prepare) -> None:
    """A supervisor that kept the socket open would keep the spawner, too."""
    attempt = prepare(["sh", "-c", "echo up; exec sleep 60"])
    running = Spawner.start()
    running.launch(attempt.path)
    attempt.await_log("up")

    running._connection.close()
    until(lambda: (row := processes.look(running.pid)) is None or not row.is_alive)

    running.close()
    attempt.want("kill")
    until((attempt.folder / "exit.json").exists)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_neither_spawner_nor_supervisor(spawner: Spawner, prepare: Prepare, signum: signal.Signals) -> None:
    attempt = prepare(["sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.02; done"])
    spawner.launch(attempt.path)
    pid = await_event(spawner, "started").pid
    assert pid is not None
    attempt.await_log("up")

    os.kill(spawner.pid, signum)
    os.kill(pid, signum)
    (attempt.folder / "go").touch()
    await_event(spawner, "ended")

    assert (attempt.exit()["exit_code"], attempt.exit()["signal"]) == (0, None)


def test_spawner_and_supervisor_have_sessions_of_their_own(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(["sh", "-c", "echo up; echo $$ > $PIDS; exec sleep 60"])
    spawner.launch(attempt.path)
    pid = await_event(spawner, "started").pid
    assert pid is not None
    until(attempt.noted)

    sessions = [os.getsid(0), os.getsid(spawner.pid), os.getsid(pid), os.getsid(attempt.noted()[0])]

    assert len(set(sessions)) == 4
    attempt.want("kill")
    await_event(spawner, "ended")


def test_no_secret_of_boughs_own_is_in_the_spawners_environment(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOUGH_SECURE_KEY", "bough_never_show_this")

    with Spawner.start() as running:
        attempt = prepare(["sh", "-c", "cat /proc/$PPID/environ; env"])
        run(running, attempt)

    assert "PYTHONPATH" in attempt.log()
    assert "never_show_this" not in attempt.log()


def test_the_environment_of_a_trial_is_the_specs_and_the_marker(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(["env"], env={"PATH": "/usr/bin:/bin", "LR": "0.1"})

    run(spawner, attempt)

    assert sorted(attempt.log().split()) == [f"BOUGH_MARKER={attempt.marker}", "LR=0.1", "PATH=/usr/bin:/bin"]


def test_modules_in_the_agents_folder_do_not_become_ours(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the user was imported')")
    monkeypatch.chdir(tmp_path)

    with Spawner.start() as running:
        assert run(running, prepare(["true"]))["exit_code"] == 0


def test_nothing_to_read_is_no_event(spawner: Spawner) -> None:
    assert spawner.read() == []
    assert spawner.fileno() > 2
