"""A job on a folder, as an agent would hand it to a script, and what it wrote there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bough._job import Job
from bough._values import Values

Lines = Callable[..., list[list[Any]]]
Said = Callable[[], list[str]]


@pytest.fixture
def attempt_dir(tmp_path: Path) -> Path:
    """An attempt's folder without anything in it but control/."""
    (tmp_path / "control").mkdir()
    return tmp_path


@pytest.fixture
def job(attempt_dir: Path) -> Job:
    facts: dict[str, object] = {"job_id": "k3f9a2bq", "attempt": 2, "model": "me/digits", "number": 7}
    return Job(facts, str(attempt_dir), Values({"lr": 0.5, "layers": 3}))


@pytest.fixture
def lines(attempt_dir: Path) -> Lines:
    """Return the lines of the one journal, all of them or those of some kinds."""

    def read(*kinds: str) -> list[list[Any]]:
        (path,) = (attempt_dir / "journal").glob("*.jsonl")
        found = [json.loads(line) for line in path.read_text().splitlines()]
        return [line for line in found if not kinds or line[0] in kinds]

    return read


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Return the lines that bough has said so far; a subject is new to each test."""
    from bough import _complaint

    monkeypatch.setattr(_complaint, "_counts", {})
    found: list[str] = []

    def read() -> list[str]:
        found.extend(capsys.readouterr().err.splitlines())
        return found

    return read
