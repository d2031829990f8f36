"""What a command refuses before it starts anything, and how it says so."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.cli.answering import answering
from tests.integration.cli.conftest import DEFINITION

from bough_cli.main import main

Repository = Callable[..., Path]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one sentence of a command that must fail."""
    assert main(list(arguments)) == 1
    said = capsys.readouterr().err
    assert said.startswith("bough: ")
    assert said.count("\n") == 1
    return said


def test_a_definition_without_a_search_is_for_bough_run(
    repository: Repository, capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    place = repository({"bough.yml": DEFINITION.split("optimization:")[0], "train.py": ""})

    assert "bough.yml has no section optimization" in refused(capsys, "optimize", str(place))
    assert not own_home.exists()


def test_wrong_settings_of_the_command_line_are_refused(
    repository: Repository, capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    place = str(repository())

    assert re.search(r"max_time.*10.*unit", refused(capsys, "optimize", place, "--max-time", "10"))
    assert re.search(r"magic.*tpe", refused(capsys, "optimize", place, "--algorithm", "magic"))
    assert re.search(r"layrs.*layers", refused(capsys, "optimize", place, "-p", "layrs=3"))
    assert re.search(r"layrs.*layers", refused(capsys, "run", place, "-p", "layrs=3"))
    assert not own_home.exists()


def test_a_home_that_cannot_be_made_is_named(
    repository: Repository, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BOUGH_HOME", str(tmp_path / "file" / "home"))

    said = refused(capsys, "optimize", str(repository()))

    assert re.search(r"the folder .*home\S* cannot be made: Not a directory\. .*BOUGH_HOME", said), said


def test_an_agent_without_key_or_coordinator_asks_for_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = ["agent", "server", "--home", str(tmp_path / "agent")]

    assert "this agent has no key yet. Give it one with --secure-key KEY" in refused(capsys, *place)
    (tmp_path / "empty").write_text("\n")
    assert "there is no key in" in refused(capsys, *place, "--secure-key-file", str(tmp_path / "empty"))
    (tmp_path / "key").write_text("k\n")
    assert "does not know its coordinator" in refused(capsys, *place, "--secure-key-file", str(tmp_path / "key"))
    assert "is no address of a coordinator" in refused(capsys, *place, "--coordinator", "lab")


def test_a_coordinator_without_its_packages_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("bough_server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)

    said = refused(capsys, "coordinator", "--port", "0")

    assert 'fastapi is missing). Install them: pip install "bough[server]".' in said


def test_a_login_to_nobody_is_refused_and_nothing_is_kept(capsys: pytest.CaptureFixture[str], own_home: Path) -> None:
    with answering(lambda asked: (200, {})) as gone:
        pass

    assert "does not answer" in refused(capsys, "login", gone.url, "--key", "k")
    assert not (own_home / "login.json").exists()


def test_doctor_finds_a_coordinator_that_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(lambda asked: (200, {})) as gone:
        pass

    assert main(["doctor", "--coordinator", gone.url]) == 1
    said = capsys.readouterr().out
    assert re.search(r"problem +coordinator +http://\S+ \(from --coordinator\) does not answer", said), said
    assert re.search(r"ok +git +2\.", said)


def test_doctor_says_once_what_to_do_about_a_home_that_cannot_be_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BOUGH_HOME", str(tmp_path / "file"))

    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.count("set BOUGH_HOME to another place") == 1


def test_doctor_without_a_coordinator_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "none runs here and none is configured. Start one: bough up." in capsys.readouterr().out
