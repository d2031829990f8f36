"""The epoch limit between a script and a small supervisor: who signals whom, and what is in the journal by then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sdk.conftest import Attempt, wait_for

KPI_FIRST = "accuracy.send(epoch, epoch / 10); job.progress(epoch, 10)"
PROGRESS_FIRST = "job.progress(epoch, 10); accuracy.send(epoch, epoch / 10)"
LOOP = """
    import sys
    import bough
    job = bough.start_job()
    {before}
    accuracy = job.create_channel("accuracy", kpi={kpi})
    for epoch in range(1, 11):
        {epoch}
    print("end", job.should_stop())
"""
PRINTING = "import signal; signal.signal(signal.SIGINT, lambda number, frame: print('heard', flush=True))"


def _script(epoch: str = KPI_FIRST, before: str = "", kpi: bool = True) -> str:
    return LOOP.format(epoch=epoch, before=before, kpi=kpi)


@pytest.fixture
def limited(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path / "attempt", max_epochs=3)


def _supervise(attempt: Attempt, process: subprocess.Popen[str]) -> tuple[str, str]:
    """Do what a supervisor does at the limit: the cause first, then SIGINT to the group, once."""
    wait_for((attempt.folder / "control" / "limit").exists)
    assert (attempt.folder / "control" / "limit").read_text() == "max_epochs"
    temporary = attempt.folder / "control" / "stop.new"
    temporary.write_text(json.dumps({"cause": "max_epochs", "at": time.time()}))
    temporary.rename(attempt.folder / "control" / "stop")
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=60)


@pytest.mark.parametrize("epoch", [KPI_FIRST, PROGRESS_FIRST], ids=["kpi first", "progress first"])
def test_the_supervisors_signal_ends_the_script_after_the_last_kpi(limited: Attempt, epoch: str) -> None:
    process = limited.start(_script(epoch))

    _, err = _supervise(limited, process)

    assert process.returncode == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert sorted(os.listdir(limited.folder / "control")) == ["limit", "stop"]
    assert [line[4:] for line in limited.lines("p")] == [[1, 0.1], [2, 0.2], [3, 0.3]]
    assert [line[3] for line in limited.lines("g")] == [1, 2, 3]
    assert limited.lines()[-1][0] == "l"
    assert limited.lines("l")[0][3] == "max_epochs"


@pytest.mark.parametrize("name", ["accuracy", "accuracy/accuracy"])
def test_the_kpi_that_the_settings_name_is_waited_for_like_the_scripts_own(tmp_path: Path, name: str) -> None:
    attempt = Attempt(tmp_path / "attempt", max_epochs=3, kpi=name)
    process = attempt.start(_script(PROGRESS_FIRST, kpi=False))

    _supervise(attempt, process)

    assert [line[4:] for line in attempt.lines("p")] == [[1, 0.1], [2, 0.2], [3, 0.3]]
    assert attempt.lines("g")[-1][3] == 3


def test_without_an_answer_the_script_signals_itself(limited: Attempt) -> None:
    started = time.monotonic()

    done = limited.run(_script())

    assert done.returncode == -signal.SIGINT
    assert time.monotonic() - started >= 2.0
    assert len(limited.lines("p")) == 3


def test_without_a_control_folder_the_script_signals_itself_at_once(limited: Attempt) -> None:
    (limited.folder / "control").rmdir()

    done = limited.run(_script())

    assert done.returncode == -signal.SIGINT
    assert len(limited.lines("p")) == 3


def test_a_handler_that_only_prints_is_run_once_and_the_script_goes_on(limited: Attempt) -> None:
    process = limited.start(_script(before=PRINTING))

    out, err = _supervise(limited, process)

    assert (process.returncode, err) == (0, "")
    assert out == "heard\nend True\n"
    assert len(limited.lines("p")) == 10
    assert len(limited.lines("l")) == 1


def test_a_process_without_a_kpi_stops_at_once(limited: Attempt) -> None:
    process = limited.start(_script("job.progress(epoch, 10); accuracy.send(epoch, 0.5)", kpi=False))

    _supervise(limited, process)

    assert process.returncode == -signal.SIGINT
    assert [line[3] for line in limited.lines("g")] == [1, 2, 3]
    assert len(limited.lines("p")) == 2


def test_the_limit_reached_in_a_thread_stops_the_main_thread(limited: Attempt) -> None:
    done = limited.run("""
        import threading, time
        import bough
        job = bough.start_job()
        def train():
            for epoch in range(1, 11):
                job.progress(epoch, 10)
        thread = threading.Thread(target=train, daemon=True)
        thread.start()
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            print("cleaned up")
    """)

    assert (done.returncode, done.stdout) == (0, "cleaned up\n"), done.stderr


def test_ranks_ask_once_and_all_are_stopped(limited: Attempt) -> None:
    process = limited.start("""
        import os, signal, sys
        import bough
        job = bough.start_job()
        signal.signal(signal.SIGINT, lambda number, frame: sys.exit(7))
        children = []
        for rank in range(2):
            child = os.fork()
            if not child:
                for epoch in range(1, 11):
                    job.progress(epoch, 10)
                os._exit(1)
            children.append(child)
        codes = [os.waitpid(child, 0)[1] >> 8 for child in children]
        print(codes)
    """)

    def has_asked(lines: list[list[Any]]) -> bool:
        return bool(lines) and lines[-1][0] == "l"

    wait_for(lambda: [has_asked(lines) for lines in limited.journals().values()].count(True) == 2)
    out, err = _supervise(limited, process)

    # The parent leaves on the signal too, by its own handler.
    assert (process.returncode, out, err) == (7, "", "")
    assert (limited.folder / "control" / "limit").read_text() == "max_epochs"


def test_an_ignored_sigint_is_heard_again_and_said(limited: Attempt) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    done = limited.run(_script(), preexec_fn=ignore)

    assert done.returncode == -signal.SIGINT
    assert done.stderr.splitlines()[0] == (
        "bough: SIGINT was ignored when this script started (a shell does that with &); it is heard again."
    )


def test_the_users_own_handler_is_left_alone(limited: Attempt) -> None:
    done = limited.run("""
        import signal
        import bough
        def mine(number, frame): pass
        signal.signal(signal.SIGINT, mine)
        bough.start_job()
        assert signal.getsignal(signal.SIGINT) is mine
    """)

    assert (done.returncode, done.stderr) == (0, "")


def test_fail_and_abort_with_force_exit_end_the_process_on_the_spot(limited: Attempt) -> None:
    done = limited.run("""
        import atexit, sys, threading
        import bough
        atexit.register(print, "never")
        job = bough.start_job()
        print("flushed")
        thread = threading.Thread(target=job.fail, args=("broken", True))
        thread.start(); thread.join()
        print("never")
    """)

    assert (done.returncode, done.stdout) == (1, "flushed\n")
    assert limited.lines()[-1][3:] == ["fail", "broken"]


def test_done_with_force_exit_ends_with_0(limited: Attempt) -> None:
    done = limited.run("import bough; bough.start_job().done(force_exit=True); raise SystemExit(3)")

    assert (done.returncode, done.stderr) == (0, "")
    assert limited.lines()[-1][3:] == ["done", None]
