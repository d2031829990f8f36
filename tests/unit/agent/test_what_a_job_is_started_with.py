"""Commands, environment, the injected SDK and the stand-in for a missing python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.agent.claims import claim

from bough.errors import UsageError
from bough_agent import commands, injection

BASE = {"PATH": "/usr/bin:/bin", "HOME": "/home/me", "BOUGH_SECURE_KEY": "k", "BOUGH_JOB_ID": "outer", "CUDA": "0"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    base = {**BASE, "PYTHONPATH": "/mine", "PYTHONDONTWRITEBYTECODE": "1"}
    return commands.environment(
        claim(env={"CUDA": "1"}), tmp_path / "a", Path("/sdk"), Path("/shims"), tmp_path / "c", base
    )


def test_values_take_the_place_of_templates() -> None:
    assert commands.commands(claim()) == [{"name": "1", "argv": ["python", "train.py", "0.5"]}]


def test_a_template_without_a_value_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="nothing"):
        commands.commands(claim(commands=[{"name": "1", "argv": ["x", "{{nothing}}"]}]))


def test_the_environment_is_the_agent_s_with_the_job_s_on_top_and_no_secret(env: dict[str, str]) -> None:
    assert (env["HOME"], env["CUDA"]) == ("/home/me", "1")
    assert "BOUGH_SECURE_KEY" not in env
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert (env["PYTHONUNBUFFERED"], env["PYTHONIOENCODING"]) == ("1", "utf-8")


def test_the_job_learns_who_it_is(env: dict[str, str], tmp_path: Path) -> None:
    assert {name: value for name, value in env.items() if name.startswith("BOUGH_")} == {
        "BOUGH_ATTEMPT_DIR": str(tmp_path / "a"),
        "BOUGH_JOB_ID": "k3f9a2bq",
        "BOUGH_ATTEMPT": "1",
        "BOUGH_MARKER": "0" * 32,
        "BOUGH_MODEL": "me/digits",
        "BOUGH_OPTIMIZATION": "p7tq2m4x",
        "BOUGH_TRIAL": "7",
        "BOUGH_COMMIT": "a" * 40,
        "BOUGH_CHECKPOINT_DIR": str(tmp_path / "c"),
        "BOUGH_PARAMETERS": str(tmp_path / "a" / "parameters.json"),
        "BOUGH_REPORTS": str(tmp_path / "a" / "reports"),
    }


def test_what_the_machine_has_is_found_before_what_the_agent_brings(env: dict[str, str]) -> None:
    own_bin = os.path.dirname(sys.executable)

    assert env["PATH"].split(":") == ["/usr/bin", "/bin", own_bin, "/shims"]
    assert env["PYTHONPATH"].split(":") == ["/mine", "/sdk"]


def test_a_machine_without_python_gets_the_agent_s(tmp_path: Path) -> None:
    shims = commands.make_shims(tmp_path)
    commands.make_shims(tmp_path)

    out = subprocess.run(
        ["python", "-c", "import sys; print(sys.version)"], env={"PATH": str(shims)}, capture_output=True, check=True
    )

    assert out.stdout.decode().strip() == sys.version
    assert commands.python_of([{"argv": ["bash", "x.sh"]}], str(shims)) == str(shims / "python")
    assert commands.python_of([{"argv": ["python3", "x.py"]}], str(shims)) == str(shims / "python3")
    assert commands.python_of([{"argv": ["python", "x.py"]}], str(tmp_path)) is None


def test_the_injected_folder_holds_the_sdk_and_nothing_else(tmp_path: Path) -> None:
    folder = injection.inject(tmp_path)

    assert os.listdir(folder) == ["bough"]
    assert injection.inject(tmp_path) == folder
    assert os.listdir(tmp_path / "sdk") == [folder.name]


def test_another_interpreter_can_import_the_injected_sdk_alone(tmp_path: Path) -> None:
    folder = injection.inject(tmp_path)
    check = "import sys, bough; print(bough.__file__); sys.exit('requests' in sys.modules)"

    out = subprocess.run(
        [sys.executable, "-S", "-c", check], env={"PYTHONPATH": str(folder)}, capture_output=True, check=True
    )

    assert out.stdout.decode().startswith(str(folder))
