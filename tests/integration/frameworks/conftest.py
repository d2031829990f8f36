"""A job in a folder of its own, as an agent would make it, and what a framework reported through it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")  # the smallest one that trains without a compiler


class Reports:
    """What one process reported."""

    def __init__(self, folder: Path) -> None:
        from bough._job import Job
        from bough._values import Values

        (folder / "control").mkdir(parents=True)
        self.folder = folder
        facts: dict[str, object] = {"job_id": "k3f9a2bq", "attempt": 1, "checkpoint_dir": str(folder / "checkpoints")}
        self.job = Job(facts, str(folder), Values({}))

    def stop(self) -> None:
        """Want the job stopped, as the supervisor says it."""
        (self.folder / "control" / "stop").write_text('{"cause": "user"}')

    def lines(self, *kinds: str) -> list[list[Any]]:
        """Return the journal's lines of these kinds."""
        (path,) = (self.folder / "journal").glob("*.jsonl")
        found = [json.loads(line) for line in path.read_text().splitlines()]
        return [line for line in found if line[0] in kinds]

    def points(self, name: str) -> list[tuple[Any, Any]]:
        return [(line[4], line[5]) for line in self.lines("p") if line[3] == name]

    def channels(self) -> dict[str, dict[str, Any]]:
        return {line[3]: line[4] for line in self.lines("c")}

    def order(self, kpi: str) -> list[str]:
        """Return the order in which KPI points and progress came: "kpi" and "progress 3"."""
        kept = [line for line in self.lines("p", "g") if line[0] == "g" or line[3] == kpi]
        return ["kpi" if line[0] == "p" else f"progress {line[3]}" for line in kept]


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    return Reports(tmp_path / "attempt")


@pytest.fixture
def make_attempt(tmp_path: Path) -> Any:
    """A function that makes an attempt for scripts that import ``aetros``."""
    from tests.integration.aetros.conftest import AetrosAttempt

    return lambda **options: AetrosAttempt(tmp_path / "aetros", **options)
