"""What a user may do wrong: one sentence that says what and what to do, a proper exit code, no traceback."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.conftest import Machine, git, processes_of

GOOD = {
    "bough.yml": f"""\
model: me/bad
command: {sys.executable} train.py
hyperparameters:
  lr: 0.01
  layers: 2
optimization:
  algorithm: random
  max_trials: 2
  max_parallel: 1
  space:
    lr: loguniform(1e-4, 1)
""",
    "train.py": "import bough\n"
    "job = bough.start_job()\n"
    "kpi = job.create_channel('accuracy', kpi=True)\n"
    "kpi.send(1, job.get_parameter('lr'))\n",
}

Repository = Callable[..., Path]


def complaint(machine: Machine, *args: str, code: int = 1, **environ: str) -> str:
    """Run a command that must fail with ``code``; return the one sentence it says."""
    ran = replace(machine, environ={**machine.environ, **environ}).bough(*args)
    everything = ran.out + ran.err
    assert ran.code == code, everything
    assert "Traceback" not in everything
    said = [line for line in ran.err.splitlines() if line.strip()]
    assert said, everything
    return re.sub(r"\s+", " ", ran.err)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_trials: 2", "max_trails: 2", r"max_trails.*max_trials.*line 8"),
        ("loguniform(1e-4, 1)", "loguniform(1, 1e-4)", r"lr: low 1.* is above high 0\.0001.*line 11"),
        ("loguniform(1e-4, 1)", "loguniform(0, 1)", r"lr: .*above 0.*line 11"),
        ("lr: loguniform(1e-4, 1)", "layers: uniform(1, 4)", r"layers.*integer.*line 11"),
        ("lr: loguniform(1e-4, 1)", "rl: uniform(0, 1)", r"rl.*lr.*line 11"),
        ("max_trials: 2", "max_trials: many", r"max_trials.*many.*line 8"),
        ("max_trials: 2", "max_time: 10", r"max_time.*unit.*line 8"),
        ("hyperparameters:", "hyperparameters: [", r"line \d+"),
        ("model: me/bad\n", "", r"model"),
        ("model: me/bad", "model: ../../etc", r"model.*owner/name.*line 1"),
        (f"command: {sys.executable} train.py\n", "", r"command"),
        ("algorithm: random", "algorithm: magic", r"magic.*tpe.*line 7"),
    ],
)
def test_a_wrong_bough_yml_is_refused_with_its_line(
    machine: Machine, repository: Repository, old: str, new: str, said: str
) -> None:
    assert old in GOOD["bough.yml"]
    path = repository({**GOOD, "bough.yml": GOOD["bough.yml"].replace(old, new)})

    heard = complaint(machine, "optimize", str(path))

    assert re.search(said, heard), heard
    assert "bough.yml" in heard
    assert not (machine.home / "coordinator").exists(), "nothing starts before the definition is right"


def test_a_directory_that_is_no_repository_is_named(machine: Machine, tmp_path: Path) -> None:
    place = tmp_path / "plain"
    place.mkdir()
    (place / "bough.yml").write_text(GOOD["bough.yml"])

    assert re.search(r"plain is not in a git repository.*git init", complaint(machine, "optimize", str(place)))


def test_a_repository_without_a_commit_is_named(machine: Machine, tmp_path: Path) -> None:
    place = tmp_path / "fresh"
    place.mkdir()
    (place / "bough.yml").write_text(GOOD["bough.yml"])
    git(place, "init", "-q")

    assert re.search(r"no commit.*git commit", complaint(machine, "optimize", str(place)))


def test_a_directory_that_does_not_exist_is_named(machine: Machine) -> None:
    assert re.search(r"nowhere.*", complaint(machine, "optimize", "nowhere", code=2))


def test_a_repository_without_bough_yml_points_to_init(machine: Machine, repository: Repository) -> None:
    path = repository({"train.py": "pass\n"})

    assert re.search(r"bough\.yml.*bough init", complaint(machine, "optimize", str(path)))


def test_uncommitted_changes_are_named(machine: Machine, repository: Repository) -> None:
    path = repository(GOOD)
    (path / "train.py").write_text("pass\n")
    (path / "new.py").write_text("pass\n")

    heard = complaint(machine, "optimize", str(path))

    assert re.search(r"uncommitted changes in 2 files \(.*train\.py.*\)", heard), heard
    assert "--dirty" in heard


def test_a_ref_that_does_not_exist_is_named(machine: Machine, repository: Repository) -> None:
    path = repository(GOOD)

    assert re.search(r"no-such-branch", complaint(machine, "optimize", str(path), "--ref", "no-such-branch"))
    complaint(machine, "optimize", str(path), f"--ref=--upload-pack=touch {machine.home}/executed")
    assert not (machine.home / "executed").exists()


def failed(machine: Machine, repository: Repository, **files: str) -> str:
    """Run an optimization in which every trial fails; return all that was said and the trials' messages."""
    path = repository({**GOOD, **{name.replace("__", "."): text for name, text in files.items()}})
    ran = machine.bough("optimize", str(path))
    assert ran.code == 1, ran.out + ran.err
    assert "Traceback" not in ran.err
    csv = re.search(r"(/\S+/exports/\S+\.csv)", ran.out + ran.err)
    return re.sub(r"\s+", " ", ran.out + ran.err + (Path(csv.group(1)).read_text() if csv else ""))


def test_a_command_that_is_not_found_is_named(machine: Machine, repository: Repository) -> None:
    definition = GOOD["bough.yml"].replace(sys.executable, "no-such-program")

    assert re.search(r"no-such-program.*not found", failed(machine, repository, bough__yml=definition))


def test_a_data_file_that_git_does_not_hold_is_named(machine: Machine, repository: Repository) -> None:
    script = "open('data/train.csv')\n"

    heard = failed(machine, repository, train__py=script, __gitignore="data/\n")

    assert re.search(r"data/train\.csv.*git", heard), heard


def test_a_script_that_crashes_shows_its_last_line(machine: Machine, repository: Repository) -> None:
    heard = failed(machine, repository, train__py="raise RuntimeError('CUDA out of memory')\n")

    assert re.search(r"exit code 1.*CUDA out of memory", heard), heard


def test_a_script_that_never_sends_its_kpi_fails_with_that_reason(machine: Machine, repository: Repository) -> None:
    heard = failed(machine, repository, train__py="import bough\nbough.start_job().progress(1)\n")

    assert "no_kpi" in heard
    assert re.search(r"KPI", heard), heard


def test_nan_is_a_failure_and_never_a_number(machine: Machine, repository: Repository) -> None:
    script = GOOD["train.py"].replace("job.get_parameter('lr')", "float('nan')")

    assert "nan_kpi" in failed(machine, repository, train__py=script)


def test_text_where_a_number_belongs_is_told_to_the_script(machine: Machine, repository: Repository) -> None:
    script = GOOD["train.py"].replace("job.get_parameter('lr')", "'high'")

    heard = failed(machine, repository, train__py=script)

    assert re.search(r"channel accuracy takes numbers.*'high'", heard), heard


def test_an_epoch_limit_without_progress_is_a_warning_after_the_first_trial(
    machine: Machine, repository: Repository
) -> None:
    path = repository(
        {**GOOD, "bough.yml": GOOD["bough.yml"].replace("max_trials: 2", "max_trials: 2\n  max_epochs: 5")}
    )

    ran = machine.bough("optimize", str(path))

    assert ran.code == 0, ran.out + ran.err
    assert re.search(r"never called job\.progress.*max_epochs", re.sub(r"\s+", " ", ran.out + ran.err))


def test_a_coordinator_that_is_not_there_is_named(machine: Machine, repository: Repository) -> None:
    heard = complaint(machine, "optimization", "ls", "--coordinator", "http://127.0.0.1:9", "--key", "x")

    assert re.search(r"coordinator at http://127\.0\.0\.1:9 does not answer", heard), heard


def test_an_optimization_for_a_coordinator_that_is_not_there_or_with_a_wrong_key_does_not_speak_of_git(
    machine: Machine, repository: Repository
) -> None:
    path = str(repository(GOOD))
    url = machine.coordinator()

    for command in ("optimize", "run"):
        away = complaint(machine, command, path, "--coordinator", "http://127.0.0.1:9", "--key", "x")
        assert re.search(r"coordinator at http://127\.0\.0\.1:9 does not answer", away), away
        wrong = complaint(machine, command, path, "--coordinator", url, "--key", "wrong")
        assert "the key is not complete. Copy it again, the whole line." in wrong, wrong


def test_a_machine_without_git_is_told_to_install_it(machine: Machine, repository: Repository) -> None:
    path = str(repository(GOOD))

    for command in ("optimize", "run"):
        assert "git was not found on this machine (PATH). Install git." in complaint(machine, command, path, PATH="/no")


def test_without_any_coordinator_the_remedy_is_bough_up(machine: Machine) -> None:
    assert "bough up" in complaint(machine, "optimization", "ls")


def test_a_wrong_key_is_refused(machine: Machine) -> None:
    url = machine.coordinator()

    heard = complaint(machine, "optimization", "ls", "--coordinator", url, "--key", "bough_admin_x_y_z")

    assert re.search(r"key", heard)
    agent = complaint(machine, "agent", "server", "--coordinator", url, "--secure-key", "wrong", "--name", "w")
    assert re.search(r"key", agent)


def test_a_port_in_use_is_named(machine: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        heard = complaint(machine, "coordinator", "--port", str(port))

    assert re.search(rf"{port}.*--port", heard), heard


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system without a free byte."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    place = tmp_path / "full"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this machine does not allow to mount a tmpfs")
    with (place / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(b"x" * 4096):
                pass
        except OSError:
            pass
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_at_the_start_is_named(machine: Machine, full_disk: Path, repository: Repository) -> None:
    path = repository(GOOD)

    alone = complaint(machine, "optimize", str(path), BOUGH_HOME=str(full_disk / "home"))
    coordinator = complaint(machine, "coordinator", "--port", "0", BOUGH_HOME=str(full_disk / "home"))

    assert re.search(r"(disk is full|No space left)", alone, re.IGNORECASE), alone
    assert re.search(r"(disk is full|No space left)", coordinator, re.IGNORECASE), coordinator
    assert not processes_of(machine.home)


def test_an_override_of_an_unknown_hyperparameter_names_the_nearest(machine: Machine, repository: Repository) -> None:
    path = repository(GOOD)

    assert re.search(r"layrs.*layers", complaint(machine, "run", str(path), "-p", "layrs=3"))
    assert re.search(r"layers.*three", complaint(machine, "run", str(path), "-p", "layers=three"))


def test_an_id_that_does_not_exist_is_named(machine: Machine) -> None:
    machine.coordinator()

    for command in (["optimization", "show"], ["job", "show"], ["export"], ["job", "log"]):
        assert re.search(r"zzzz", complaint(machine, *command, "zzzz")), command
