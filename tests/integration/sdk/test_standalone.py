"""The same script without an agent: where its journal goes, where its defaults come from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.sdk.conftest import SDK

SCRIPT = """
import bough
job = bough.start_job("me/alone")
job.create_channel("a", kpi=True).send(1, job.get_parameter("lr", 0.5))
job.progress(1, 1)
assert not job.should_stop()
print(job.job_id, job.attempt, job.model, job.checkpoint_dir)
"""


def _run(folder: Path, script: str = SCRIPT, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BOUGH_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=folder, capture_output=True, text=True, check=False,
        env={**clean, "PYTHONPATH": str(SDK), **environment},
    )  # fmt: skip


def test_a_script_without_agent_and_bough_yml_runs_with_its_own_defaults(tmp_path: Path) -> None:
    done = _run(tmp_path)

    assert done.returncode == 0, done.stderr
    job_id, attempt, model, checkpoints = done.stdout.split()
    folder = tmp_path / ".bough" / job_id
    assert done.stderr == f"bough: no agent runs this script; its journal is in {folder}\n"
    assert (attempt, model) == ("1", "me/alone")
    assert checkpoints == str(folder / "checkpoints")
    assert os.path.isdir(checkpoints)
    assert (tmp_path / ".bough" / ".gitignore").read_text() == "*\n"
    facts = json.loads((folder / "job.json").read_text())
    assert (facts["values"], facts["max_epochs"], facts["model"]) == ({}, None, "me/alone")
    (journal,) = (folder / "journal").iterdir()
    kinds = [json.loads(line)[0] for line in journal.read_text().splitlines()]
    assert kinds == ["h", "c", "p", "g"]


def test_a_missing_value_without_bough_yml_says_how_to_get_one(tmp_path: Path) -> None:
    done = _run(tmp_path, "import bough; bough.start_job().get_parameter('lr')")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"bough.errors.UsageError: There is no hyperparameter lr in {tmp_path}: there is no bough.yml in it or above "
        "it. Give default=, or write a bough.yml: bough init."
    )


def test_a_bough_yml_is_found_up_to_the_root_of_the_repository(tmp_path: Path) -> None:
    from bough._standalone import find_definition

    inner = tmp_path / "repository" / "model" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "bough.yml").write_text("")
    assert find_definition(str(inner)) == str(tmp_path / "bough.yml")

    (tmp_path / "repository" / ".git").mkdir()
    assert find_definition(str(inner)) is None

    (tmp_path / "repository" / "bough.yml").write_text("")
    assert find_definition(str(inner)) == str(tmp_path / "repository" / "bough.yml")


def test_the_search_for_bough_yml_ends_at_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bough._standalone import find_definition

    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)
    (tmp_path / "bough.yml").write_text("")
    monkeypatch.setenv("HOME", str(home))

    assert find_definition(str(home / "work")) is None


BOUGH_YML = """
model: me/digits
command: python train.py
hyperparameters:
  batch_size: 32
  dense: {type: group, optional: true, children: {neurons: 64}}
  optimizer:
    type: choice_group
    default: sgd
    choices:
      sgd: {lr: 0.01}
      adam: {lr: 0.001}
"""


def test_defaults_and_model_come_from_bough_yml_above(tmp_path: Path) -> None:
    (tmp_path / "bough.yml").write_text(BOUGH_YML)
    (tmp_path / "src").mkdir()

    done = _run(
        tmp_path / "src",
        "import bough; job = bough.start_job(); get = job.get_parameter\n"
        "print(job.model, get('batch_size'), get('dense.neurons'), get('optimizer'), get('optimizer.lr'))",
    )

    assert done.stdout == "me/digits 32 64 sgd 0.01\n", done.stderr
    assert (tmp_path / ".bough").is_dir()
    assert not (tmp_path / "src" / ".bough").exists()


def test_a_bough_yml_that_is_wrong_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "bough.yml").write_text(BOUGH_YML.replace("command:", "comand:"))

    done = _run(tmp_path)

    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bough.errors.DefinitionError: ")
    assert "comand" in last
    assert last.endswith(f"({tmp_path}/bough.yml, line 3)")


def test_a_missing_value_names_the_file_it_is_not_in(tmp_path: Path) -> None:
    (tmp_path / "bough.yml").write_text(BOUGH_YML)

    done = _run(tmp_path, "import bough; bough.start_job().get_parameter('optimizer.adam.lr')")

    assert done.stderr.splitlines()[-1].startswith(
        f"bough.errors.UsageError: There is no hyperparameter optimizer.adam.lr in {tmp_path}/bough.yml while "
        "optimizer is 'sgd'."
    )


def test_without_pyyaml_the_defaults_are_asked_of_the_script(tmp_path: Path) -> None:
    (tmp_path / "bough.yml").write_text("model: me/digits\nhyperparameters: {lr: 0.1}\n")
    no_yaml = "import sys; sys.modules['yaml'] = None\n"

    good = _run(tmp_path, no_yaml + SCRIPT)
    bad = _run(tmp_path, no_yaml + "import bough; bough.start_job().get_parameter('lr')")

    assert good.returncode == 0, good.stderr
    assert bad.stderr.splitlines()[-1] == (
        f"bough.errors.UsageError: There is no hyperparameter lr in {tmp_path}/bough.yml: this Python has no PyYAML to "
        "read it with. Install it (pip install pyyaml), or give default=."
    )


def test_a_folder_that_cannot_be_written_costs_the_journal_and_not_the_run(tmp_path: Path) -> None:
    (tmp_path / ".bough").write_text("a file is in the way, for root too")

    done = _run(tmp_path)

    assert done.returncode == 0
    assert done.stdout.startswith(done.stdout.split()[0])
    (warning, temporary) = done.stderr.splitlines()
    assert warning.endswith("): this run is not recorded.")
    assert "checkpoints go to a temporary folder" in temporary
    os.rmdir(done.stdout.split()[3])


def test_an_old_script_may_hand_over_its_key(tmp_path: Path) -> None:
    done = _run(tmp_path, "import bough; print(bough.start_job('me/x', 'a key', api_token='t').model)")

    assert done.stdout == "me/x\n"
