"""A coordinator's repository, and git in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bough import _git
from bough_server.archive.repositories import Repositories


def git(repository: Path, *args: str, stdin: bytes | None = None) -> str:
    return _git.run(list(args), git_dir=str(repository), input=stdin).decode()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return Repositories(tmp_path / "git").ensure("me/digits")
