"""The first bough.yml."""

from __future__ import annotations

from pathlib import Path

import pytest

from bough.definition import load
from bough_cli.main import main


def init(*arguments: str) -> int:
    return main(["init", *arguments])


def test_the_script_that_is_there_is_run_and_its_numbers_are_searched(tmp_path: Path) -> None:
    place = tmp_path / "my model.git"
    place.mkdir()
    (place / "helper.py").write_text("")
    (place / "train.py").write_text(
        'lr = job.get_parameter("lr", 0.02)\nn = job.get_parameter("units", default=64)\nx = get_parameter("no")\n'
    )

    assert init(str(place)) == 0

    written = load(str(place / "bough.yml"))
    assert written.model.endswith("/my-model")
    assert written.commands[0].argv == ["python", "train.py"]
    assert written.defaults() == {"lr": 0.02, "units": 64}
    assert list(written.space.searched) == ["lr", "units"]


@pytest.mark.parametrize("default", ["0", "-3", "0.0", "-0.5", "1e-12", "1", "1000000"])
def test_whatever_the_default_the_first_definition_is_valid(tmp_path: Path, default: str) -> None:
    (tmp_path / "only.py").write_text(f'get_parameter("x", {default})')

    assert init(str(tmp_path), "--model", "me/small") == 0
    assert list(load(str(tmp_path / "bough.yml")).space.searched) == ["x"]


def test_a_script_that_asks_for_nothing_gets_a_learning_rate(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("true")

    assert init(str(tmp_path), "--script", "run.sh") == 0

    written = load(str(tmp_path / "bough.yml"))
    assert written.commands[0].argv == ["bash", "run.sh"]
    assert written.defaults() == {"lr": 0.01}


def test_a_bough_yml_that_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "bough.yml").write_text("mine")

    assert init(str(tmp_path)) == 1
    assert "bough.yml is already there. Edit it, or delete it first." in capsys.readouterr().err
    assert (tmp_path / "bough.yml").read_text() == "mine"


def test_where_the_script_is_not_clear_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.py").write_text("")

    assert init(str(tmp_path)) == 1
    assert "there is a.py, b.py. Add: --script FILE." in capsys.readouterr().err
    assert init(str(tmp_path), "--script", "c.py") == 1
    assert "there is no script" in capsys.readouterr().err
    assert init(str(tmp_path / "nowhere")) == 1
    assert "there is no directory" in capsys.readouterr().err
    assert not (tmp_path / "bough.yml").exists()
