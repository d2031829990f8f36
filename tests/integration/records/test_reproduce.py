"""A record run again from a clone alone, on a machine that never saw the coordinator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.records.conftest import SCRIPT, Clone, git

from bough_cli.reproducing import reported
from bough_cli.reproducing.verdict import first_difference, is_close

HERE = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"


def test_a_record_reproduces_from_a_mirror_alone(clone: Clone, tmp_path: Path) -> None:
    clone.record(1, 0.3, environment={"python": HERE})
    git(tmp_path, "clone", "-q", "--mirror", str(clone.place), "mirror.git")

    said = clone.bough("job", "reproduce", "opt1/1", cwd=tmp_path / "mirror.git")

    assert "running trial 1 of opt1 again" in said
    assert "trained" in said
    assert "KPI loss: recorded 0.09999999999999999, here 0.09999999999999999: equal" in said
    assert "trial 1 of opt1 is reproduced: its KPI loss is 0.09999999999999999, exactly as recorded.\n" in said


def test_packages_that_differ_are_summarized_above_a_verdict_of_one_sentence(clone: Clone) -> None:
    there = {f"made-up-{n}": "1.0" for n in range(8)} | {"click": "0.0.1"}
    clone.record(1, 0.3, environment={"python": HERE, "packages": there})

    lines = clone.ran("job", "reproduce", "opt1/1", "--quiet").stdout.decode().splitlines()

    assert any(line.startswith("  packages of another version here: 1: click 0.0.1 (here 8") for line in lines)
    missing = "made-up-0 1.0, made-up-1 1.0, made-up-2 1.0, made-up-3 1.0, made-up-4 1.0 and 3 more"
    assert f"  packages missing here: 8: {missing}" in lines
    assert any(line.startswith("  packages only here: ") and line.endswith(" more") for line in lines)
    assert len(lines) < 8
    assert lines[-1] == "trial 1 of opt1 is reproduced: its KPI loss is 0.09999999999999999, exactly as recorded."


def test_another_kpi_is_exit_code_1_and_where_the_curve_leaves_is_said(clone: Clone) -> None:
    (clone.place / "train.py").write_text(SCRIPT.replace('get_parameter("lr") / epoch', 'get_parameter("lr") / 2'))
    git(clone.place, "commit", "-qam", "other")
    clone.record(1, 0.3, commit=git(clone.place, "rev-parse", "HEAD"), environment={"python": "3.7.16"})

    said = clone.bough("job", "reproduce", "opt1/1", code=1)

    assert f"python: recorded 3.7.16, here {HERE}" in said
    assert "curve: differs from x = 1 on: recorded 0.3, here 0.15" in said
    assert "KPI loss: recorded 0.09999999999999999, here 0.15: differs" in said
    assert "trial 1 of opt1 is not reproduced: its KPI loss is 0.15, recorded was 0.09999999999999999.\n" in said
    told = json.loads(clone.ran("job", "reproduce", "opt1/1", "--json").stdout)
    assert told["equal"] is False
    assert told["kpi"] == {"channel": "loss", "recorded": 0.3 / 3, "here": 0.15}
    assert told["environment"] == {"python": ["3.7.16", HERE]}


def test_within_the_tolerance_counts_as_equal(clone: Clone) -> None:
    clone.record(1, 0.3, kpi=0.1001)

    assert ": differs" in clone.bough("job", "reproduce", "opt1/1", "--tolerance", "1e-4", code=1)
    assert ": equal" in clone.bough("job", "reproduce", "opt1/1", "--tolerance", "0.01")


def test_limits_hold_and_the_end_is_compared(clone: Clone) -> None:
    clone.record(1, 0.3, max_epochs=2, kpi=0.15, end_reason="max_epochs")

    said = clone.bough("job", "reproduce", "opt1/1", "--quiet")

    assert "end:" not in said
    assert "KPI loss: recorded 0.15, here 0.15: equal" in said


def test_a_job_without_kpi_is_compared_by_its_end(clone: Clone) -> None:
    (clone.place / "train.py").write_text("import sys\nsys.exit(3)\n")
    git(clone.place, "commit", "-qam", "fails")
    commit = git(clone.place, "rev-parse", "HEAD")
    clone.record(1, commit=commit, kpi=None, state="FAILED", end_reason="error")
    clone.record(2, commit=commit, kpi=None)
    clone.record(3, commit=clone.commit, kpi=None, state="FAILED", end_reason="no_kpi")

    said = clone.bough("job", "reproduce", "opt1/1")
    assert "KPI: recorded none, here none: equal" in said
    assert "trial 1 of opt1 is reproduced: without a KPI, and ended (error) as recorded." in said
    said = clone.bough("job", "reproduce", "opt1/2", code=1)
    assert "end: recorded finished, here error" in said
    assert "trial 2 of opt1 is not reproduced: it ended with error, recorded was finished." in said
    assert "KPI loss: recorded none, here" in clone.bough("job", "reproduce", "opt1/3", code=1)


@pytest.mark.parametrize(("reason", "sends"), [("no_kpi", ""), ("nan_kpi", "loss.send(1, float('nan'))\n")])
def test_a_trial_that_fails_for_want_of_a_kpi_again_is_equal(clone: Clone, reason: str, sends: str) -> None:
    opening = "".join(SCRIPT.splitlines(keepends=True)[:4])
    (clone.place / "train.py").write_text(opening + sends)
    git(clone.place, "commit", "-qam", "reports nothing of use")
    commit = git(clone.place, "rev-parse", "HEAD")
    other = "nan_kpi" if reason == "no_kpi" else "no_kpi"
    points = {"channels/loss.csv": b"x,time,loss,overrun\r\n" + (b"1,2,nan,0\r\n" if sends else b"")}
    clone.record(1, commit=commit, kpi=None, state="FAILED", end_reason=reason, files=points)
    clone.record(2, commit=commit, kpi=None, state="FAILED", end_reason=other, files=points)

    assert "KPI loss: recorded none, here none: equal" in clone.bough("job", "reproduce", "opt1/1")
    assert f"end: recorded {other}, here {reason}" in clone.bough("job", "reproduce", "opt1/2", code=1)


@pytest.mark.parametrize(
    ("script", "state", "reason"),
    [
        ("import bough\nbough.start_job().abort()\n", "ABORTED", "user"),
        ("import time\nprint('{bough: fail, message: no data}', flush=True)\ntime.sleep(60)\n", "FAILED", "error"),
    ],
    ids=["aborts itself", "prints that it failed"],
)
def test_what_the_script_says_of_its_end_counts(clone: Clone, script: str, state: str, reason: str) -> None:
    (clone.place / "train.py").write_text(script)
    git(clone.place, "commit", "-qam", "ends itself")
    clone.record(1, commit=git(clone.place, "rev-parse", "HEAD"), kpi=None, state=state, end_reason=reason)

    said = clone.bough("job", "reproduce", "opt1/1", "--quiet")

    assert "end:" not in said
    assert "recorded none, here none: equal" in said


def test_the_run_is_kept_where_it_was_asked_to_be_and_nowhere_else(clone: Clone, tmp_path: Path) -> None:
    clone.record(1)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    clone.bough("job", "reproduce", "opt1/1", TMPDIR=str(scratch))
    assert list(scratch.iterdir()) == []
    clone.bough("job", "reproduce", "opt1/1", "--keep", str(tmp_path / "kept"))
    assert (tmp_path / "kept" / "trees" / "0" / "me" / "small" / "train.py").is_file()
    said = clone.bough("job", "reproduce", "opt1/1", "--keep", str(tmp_path / "kept"), code=2)
    assert "is not empty" in said
    assert git(clone.place, "status", "--porcelain") == ""


def test_what_cannot_be_run_says_why(clone: Clone, tmp_path: Path) -> None:
    clone.record(1, commit="ab" * 20)
    clone.record(2, run=None)
    clone.record(3, folder="../x")
    clone.record(4, attempt=0)
    clone.record(5, run={"commands": [{"name": "1", "argv": ["no-such-program"]}], "kpi": {}}, kpi=1.0)
    clone.record(6, folder="nowhere")

    assert "the clone does not hold commit abababababab, the code of trial 1 of opt1. The coordinator did not" in (
        clone.bough("job", "reproduce", "opt1/1", code=1)
    )
    assert "does not say how the job was run" in clone.bough("job", "reproduce", "opt1/2", code=1)
    assert "folder '../x' is not inside the repository" in clone.bough("job", "reproduce", "opt1/3", code=1)
    assert "never ran, so there is nothing to reproduce" in clone.bough("job", "reproduce", "opt1/4", code=1)
    said = clone.bough("job", "reproduce", "opt1/5", code=1)
    assert "recorded 1.0, here none: differs" in said
    assert "trial 5 of opt1 is not reproduced: it gave no KPI and ended with error, recorded was 1.0." in said
    assert "there is no folder nowhere in this commit" in clone.bough("job", "reproduce", "opt1/6", code=1)


def test_a_record_that_stands_on_another_commit_is_not_run(clone: Clone) -> None:
    git(clone.place, "commit", "-q", "--allow-empty", "-m", "second")
    made = clone.made(1, commit=git(clone.place, "rev-parse", "HEAD"))
    clone.write([type(made)(made.ref, clone.commit, made.ended_at, made.message, made.files)])

    said = clone.bough("job", "reproduce", "opt1/1", code=1)

    assert "but stands on" in said
    assert "It was changed after it was written" in said


def test_a_shallow_clone_says_how_to_complete_it(clone: Clone, tmp_path: Path) -> None:
    ref = clone.record(1)
    git(tmp_path, "init", "-q", "shallow")
    git(tmp_path / "shallow", "fetch", "-q", "--depth=1", clone.place.as_uri(), f"{ref}:{ref}")

    said = clone.bough("job", "reproduce", "opt1/1", code=1, cwd=tmp_path / "shallow")

    assert "This clone is shallow: git fetch --unshallow" in said


def test_an_environment_is_rebuilt_from_the_recorded_packages_once(clone: Clone) -> None:
    """Without packages it needs no index of packages: what is installed here is not there."""
    (clone.place / "train.py").write_text(
        SCRIPT + "import importlib.util, sys\nprint('has click:', importlib.util.find_spec('click'), sys.prefix)\n"
    )
    git(clone.place, "commit", "-qam", "prints")
    clone.record(1, 0.3, commit=git(clone.place, "rev-parse", "HEAD"), environment={"python": HERE, "packages": {}})
    clone.record(2, environment={"python": "2.6.0", "packages": {"numpy": "1.0"}})
    clone.record(3, environment={"python": HERE, "packages": {"-r/etc/passwd": "1"}})

    said = clone.bough("job", "reproduce", "opt1/1", "--with-environment")

    assert "building an environment of Python" in said
    assert "has click: None" in said
    assert "environment: the same" in said
    assert "building" not in clone.bough("job", "reproduce", "opt1/1", "--with-environment")
    said = clone.bough("job", "reproduce", "opt1/2", "--with-environment", code=1)
    assert "the record ran with Python 2.6.0, and python2.6 is not on PATH. Install it." in said
    said = clone.bough("job", "reproduce", "opt1/3", "--with-environment", code=1)
    assert "which is none. Look at environment.json" in said


def test_an_environment_is_rebuilt_with_real_packages(clone: Clone, tmp_path: Path) -> None:
    """A small package in a version that is not installed here, from whatever index pip is configured for."""
    wanted = {"six": "1.15.0"}
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path / "wheels")]
    requirements = [f"{name}=={version}" for name, version in wanted.items()]
    probe = subprocess.run([*download, *requirements], capture_output=True, text=True, timeout=90, check=False)
    if probe.returncode != 0:
        pytest.skip(f"no package index can be reached: {probe.stderr.strip().splitlines()[-1:]}")
    script = SCRIPT + "import six\nprint('ran with', six.__version__)\n"
    (clone.place / "train.py").write_text(script)
    git(clone.place, "commit", "-qam", "with packages")
    commit = git(clone.place, "rev-parse", "HEAD")
    clone.record(1, 0.3, commit=commit, environment={"python": HERE, "packages": wanted})
    git(tmp_path, "clone", "-q", "--mirror", str(clone.place), "mirror.git")
    there = tmp_path / "mirror.git"

    said = clone.bough("job", "reproduce", "opt1/1", "--with-environment", cwd=there)

    assert f"building an environment of Python {HERE} and 1 package …" in said
    assert "ran with 1.15.0" in said
    assert "environment: the same" in said
    assert "trial 1 of opt1 is reproduced: its KPI loss is 0.09999999999999999, exactly as recorded." in said
    clone.record(2, 0.3, commit=commit, environment={"python": HERE, "packages": {"six": "0.0.0.0.1"}})
    git(there, "fetch", "-q", "origin")
    said = clone.bough("job", "reproduce", "opt1/2", "--with-environment", cwd=there, code=1)
    assert "the recorded packages cannot be installed: ERROR: " in said
    assert "Run without --with-environment to use what is here." in said


@pytest.mark.parametrize(
    ("reduce", "way", "expected"),
    [("last", "minimize", 2.0), ("best", "minimize", 1.0), ("best", "maximize", 3.0), ("mean(2)", "maximize", 1.5)],
)
def test_a_kpi_is_reduced_as_the_coordinator_does(reduce: str, way: str, expected: float) -> None:
    assert reported.reduced([3.0, 1.0, 2.0], reduce, way) == expected
    assert reported.reduced([], reduce, way) is None


def test_a_mean_is_numpys_to_the_last_bit() -> None:
    numpy = pytest.importorskip("numpy")
    rng = numpy.random.default_rng(7)
    for n in (*range(1, 40), 127, 128, 129, 136, 300, 1000, 1025):
        found = list(map(float, rng.normal(size=n) * 10.0 ** rng.integers(-9, 9, size=n)))
        assert reported.reduced(found, f"mean({n})", "maximize") == float(numpy.mean(numpy.array(found)))


def test_curves_differ_where_a_point_does_or_one_ends() -> None:
    one = [(1.0, 0.5), (2.0, 0.25)]

    assert first_difference(one, one, 0.0) is None
    assert first_difference(one, [(1.0, 0.5), (2.0, 0.3)], 0.0) == (2.0, 0.25, 0.3)
    assert first_difference(one, one[:1], 0.0) == (2.0, 0.25, None)
    assert first_difference(one[:1], one, 0.0) == (2.0, None, 0.25)
    assert is_close(float("nan"), float("nan"), 0.0)
    assert not is_close(None, 0.0, 1.0)
