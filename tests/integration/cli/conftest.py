"""Repositories, and a home of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.cli.daemons import Machine

DEFINITION = """\
model: me/small
command: python train.py
hyperparameters:
  lr: 0.1
  layers: 2
  optimizer:
    type: choice_group
    default: sgd
    choices:
      sgd: {momentum: 0.9}
      adam: {beta: 0.99}
optimization:
  algorithm: random
  max_trials: 3
  space: {lr: "uniform(0, 1)"}
"""


def git(place: Path, *arguments: str) -> str:
    """Run git and return what it says."""
    done = subprocess.run(["git", *arguments], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that no other test sees, and a git that knows who commits."""
    place = tmp_path / "home"
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = T\n\temail = t@example.org\n[init]\n\tdefaultBranch = main\n")
    for name in ("BOUGH_COORDINATOR", "BOUGH_SECURE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BOUGH_HOME", str(place))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    return place


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Path]:
    """A function that makes a repository with one commit of the given files."""

    def make(files: dict[str, str] | None = None, name: str = "repo") -> Path:
        place = tmp_path / name
        for file, text in (files or {"bough.yml": DEFINITION, "train.py": "print(1)\n"}).items():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_text(text)
        git(place, "init", "-q", "-b", "main")
        git(place, "add", "-A")
        git(place, "commit", "-q", "-m", "first")
        return place

    return make


@pytest.fixture
def machine(own_home: Path) -> Iterator[Machine]:
    """A machine of the test's own; the test fails if anything it started is left."""
    one = Machine(own_home)
    yield one
    one.end()
