"""The rest of AETROS's surface: what was called otherwise in another year, and what was wrong then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.aetros.conftest import INJECTED
from tests.integration.sdk.conftest import SDK

HEADER = "import aetros.backend\njob = aetros.backend.start_job('user/model')\n"


def test_an_unknown_parameter_is_an_error_as_it_was_first(make_attempt: Any) -> None:
    done = make_attempt(values={"rate": 1}).ran(HEADER + "job.get_parameter('rato')")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "bough.errors.UsageError: There is no hyperparameter rato in this job. Did you mean rate? Else declare it in "
        "bough.yml, or give default=. AETROS 0.14 gave None: env: {AETROS_UNKNOWN_PARAMETER: none}."
    )


def test_an_unknown_parameter_is_none_where_the_job_asks_for_it(make_attempt: Any) -> None:
    done = make_attempt().ran(HEADER + "print(job.get_parameter('rato'))", AETROS_UNKNOWN_PARAMETER="none")

    assert (done.returncode, done.stdout) == (0, "None\n")


def test_a_choice_group_gives_its_name_or_its_dict(make_attempt: Any) -> None:
    values = {"optimizer": "sgd", "optimizer.sgd.lr": 0.1}

    done = make_attempt(values=values).ran(
        HEADER + "print(job.get_parameter('optimizer'), job.get_parameter('optimizer.lr'),"
        " job.get_parameter('optimizer', return_group=True))"
    )

    assert done.stdout == "sgd 0.1 {'lr': 0.1}\n"


def test_the_fifth_argument_is_a_trace_or_in_old_scripts_the_direction(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran(HEADER + "job.create_channel('old', None, True, True, False)\n"
                       "job.create_channel('new', ['a', 'b'], False, False, 1, False)")  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert attempt.channel("old")["maximize"] is False
    assert attempt.channel("new")["kpi_trace"] == 1
    assert attempt.channel("new")["maximize"] is False


def test_what_cannot_be_sent_is_said_and_the_training_goes_on(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran(
        HEADER
        + """
loss = job.create_channel('loss', ['a', 'b'])
loss.send(1, 5)
loss.send(2, [1, object()])
for i in range(10):
    loss.send(3, [None, 1])
loss.send(4, [1, float('nan')])
job.create_loss_channel('both').send(1, training_loss=2, validation_loss=3)
job.create_loss_channel('both').send(2, 2)
"""
    )

    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0] == (
        "bough: Channel loss has 2 traces (a, b), got 1 value. Send one value per trace, in their order. That report "
        "is left out."
    )
    assert said[-1] == "bough: more of that about channel loss is not said again."
    assert attempt.points("loss") == [(4, [1, "nan"])]
    assert attempt.points("both") == [(1, [2, 3]), (2, [2, "nan"])]


def test_a_second_kpi_is_kept_as_an_ordinary_channel(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran(HEADER + "job.create_channel('a', kpi=True)\njob.create_channel('b', kpi=True).send(1, 1)")

    assert done.returncode == 0
    assert done.stderr == (
        "bough: Channel b cannot be the KPI: channel a is it already. Leave kpi=True to one of them. The channel is "
        "made as near to that as can be.\n"
    )
    assert [attempt.channel(name)["kpi"] for name in "ab"] == [True, False]


def test_a_channel_made_twice_in_another_way_keeps_its_first_definition(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran(HEADER + "job.create_channel('a').send(1, 1)\njob.create_channel('a', main=True).send(2, 2)")

    assert done.returncode == 0
    assert "Channel a exists already, with another definition." in done.stderr
    assert attempt.points("a") == [(1, 1), (2, 2)]


def test_a_script_that_fails_or_aborts_ends_there(make_attempt: Any, tmp_path: Path) -> None:
    attempt = make_attempt()

    done = attempt.ran(HEADER + "job.crash('too large')\nprint('never')")

    assert (done.returncode, done.stdout) == (1, "")
    assert attempt.lines("e")[0][3:] == ["fail", "too large"]


def test_every_name_that_scripts_import_is_there(make_attempt: Any) -> None:
    done = make_attempt().ran("""
        from aetros.backend import (start_job, create_job, context, JobBackend, JobChannel, JobLossChannel, JobImage,
                                    EventListener, Popen, is_master_process)
        import sys, subprocess
        job = JobBackend('user/model')
        job.connect(); job.start(); job.section('training'); job.set_status('x'); job.report_speed(3)
        job.batch(1, 10, batch_size=32); job.step(1, 10); job.set_graph({'nodes': []}); job.job_add_status('a', 1)
        job.set_parameter_change_callback(print); job.sync_weights(); job.set_info('a', 1, commit_end_of_job=True)
        process = Popen([sys.executable, '-c', 'print(42)'], stdout=subprocess.PIPE, universal_newlines=True)
        assert process.wait() == 0
        listener = EventListener(); listener.on('a', print); listener.fire('a', 'fired')
        print(is_master_process(), JobImage('a', None, title='t').label, job.get_run_time() >= 0)
        """)

    assert done.returncode == 0, done.stderr
    assert "42" in done.stdout
    assert "fired" in done.stdout
    assert done.stdout.splitlines()[-1] == "False t True"


def test_an_aetros_that_the_repository_brings_comes_first(make_attempt: Any) -> None:
    attempt = make_attempt()
    (attempt.folder / "aetros").mkdir()
    (attempt.folder / "aetros" / "__init__.py").write_text("")
    (attempt.folder / "aetros" / "backend.py").write_text("own = True\n")

    done = attempt.ran("import aetros.backend; print(aetros.backend.own)")

    assert (done.returncode, done.stdout) == (0, "True\n")


def test_by_hand_a_module_runs_the_script(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        HEADER + "import sys\njob.create_channel('a', kpi=True).send(1, 2)\nprint(sys.argv[1:], __name__)\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(("BOUGH_", "PYTHON"))}

    done = subprocess.run(
        [sys.executable, "-m", "bough.aetros", "train.py", "--x"], cwd=tmp_path, capture_output=True, text=True,
        env={**env, "PYTHONPATH": str(SDK)}, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "['--x'] __main__\n"), done.stderr
    assert len(list((tmp_path / ".bough").glob("*/journal/*.jsonl"))) == 1


def test_by_hand_a_script_must_be_named(tmp_path: Path) -> None:
    refused = {(): "no script is named. Write: python -m bough.aetros", ("x.py",): "there is no script x.py"}
    for arguments, said in refused.items():
        done = subprocess.run(
            [sys.executable, "-m", "bough.aetros", *arguments], cwd=tmp_path, capture_output=True, text=True,
            env={"PYTHONPATH": str(SDK)}, timeout=60,
        )  # fmt: skip

        assert done.returncode == 2
        assert done.stderr.startswith("bough: " + said)


def test_nothing_called_aetros_can_be_imported_where_no_agent_put_it() -> None:
    code = "import importlib.util; print(importlib.util.find_spec('aetros'))"

    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SDK)}, capture_output=True, text=True)

    assert done.stdout == "None\n"
    assert (INJECTED / "aetros" / "backend.py").is_file()
