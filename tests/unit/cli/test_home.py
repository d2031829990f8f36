"""The folder of this user on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bough_cli import home


def test_every_folder_of_the_home_is_for_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOUGH_HOME", str(tmp_path / "new" / "home"))
    before = os.umask(0o022)
    try:
        agent = home.folder("agents", "ann")
    finally:
        os.umask(before)

    for folder in (agent, agent.parent, agent.parent.parent):
        assert os.stat(folder).st_mode & 0o777 == 0o700, folder
