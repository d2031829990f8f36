"""What a job's interpreter is and which packages it has."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bough_agent import interpreters as module
from bough_agent.interpreters import Interpreters, ask


def installed(folder: Path, name: str, version: str) -> None:
    (folder / f"{name}-{version}.dist-info").mkdir(parents=True)


def test_an_interpreter_tells_its_version_and_the_packages_on_its_path(tmp_path: Path) -> None:
    installed(tmp_path, "Some_Thing", "1.2.3")
    (tmp_path / "older-0.1-py3.9.egg-info").write_text("")
    (tmp_path / "~broken-1.dist-info").mkdir()

    found = Interpreters().describe(sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)})

    assert found is not None
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"]["some-thing"] == "1.2.3"
    assert found["packages"]["older"] == "0.1"
    assert "pytest" in found["packages"]
    assert not any(name.startswith("~") for name in found["packages"])
    assert "folders" not in found


def test_the_sdk_that_is_handed_to_jobs_is_no_package_of_theirs(tmp_path: Path) -> None:
    installed(tmp_path, "bough", "0.0.7")

    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    elsewhere = ask(sys.executable, environ)  # bough itself may be installed for these tests, in another version
    found = ask(sys.executable, environ, sdk=str(tmp_path))

    assert found is not None
    assert elsewhere is not None
    assert elsewhere["packages"]["bough"] == "0.0.7"
    assert found["packages"].get("bough") != "0.0.7"


def test_only_variables_of_the_list_are_recorded() -> None:
    environ = {**os.environ, "OMP_NUM_THREADS": "4", "AWS_SECRET_ACCESS_KEY": "x", "TZ": "y" * 1000}

    found = Interpreters().describe(sys.executable, environ)

    assert found is not None
    assert found["variables"]["OMP_NUM_THREADS"] == "4"
    assert len(found["variables"]["TZ"]) == 200
    assert "AWS_SECRET_ACCESS_KEY" not in found["variables"]


def test_it_is_asked_once_and_again_when_something_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = module.ask

    def ask_once_more(python: str, environ: Mapping[str, str], sdk: str = "") -> module.Json | None:
        asked.append(python)
        return real(python, environ, sdk)

    monkeypatch.setattr(module, "ask", ask_once_more)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    interpreters = Interpreters()

    for _ in range(3):
        interpreters.describe(sys.executable, environ)
    assert len(asked) == 1
    installed(tmp_path, "new", "1")
    os.utime(tmp_path, (1, 1))  # whatever the clock's tick is
    found = interpreters.describe(sys.executable, environ)

    assert len(asked) == 2
    assert found is not None
    assert found["packages"]["new"] == "1"


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho '[]'\n", "#!/bin/sh\necho '{\"a\": 1}'\n"])
def test_what_is_no_python_has_no_environment(tmp_path: Path, program: str) -> None:
    python = tmp_path / "python"
    python.write_text(program)
    python.chmod(0o700)

    assert Interpreters().describe(str(python), dict(os.environ)) is None
    assert Interpreters().describe(None, dict(os.environ)) is None
    assert Interpreters().describe(str(tmp_path / "missing"), dict(os.environ)) is None


def test_old_interpreters_can_tell_too() -> None:
    found = sorted((Path.home() / ".pyenv" / "versions").glob("3.7.*/bin/python"))
    if not found:
        pytest.skip("there is no Python 3.7 in pyenv")

    told = ask(str(found[0]), {"PATH": os.defpath})

    assert told is not None
    assert told["python"] == found[0].parents[1].name
