"""AETROS scripts run as an agent would run them: the SDK, and behind it the folder with the package ``aetros``."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sdk.conftest import SDK, Attempt

INJECTED = SDK / "bough" / "_injected"


class AetrosAttempt(Attempt):
    """An attempt whose PYTHONPATH ends as an agent makes it."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": os.pathsep.join([str(SDK), str(INJECTED)])}

    def ran(self, script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a script as Python itself would, and return how it ended."""
        path = self.folder / "train.py"
        path.write_text(textwrap.dedent(script))
        return subprocess.run(
            [sys.executable, "-W", "error", str(path), *arguments], cwd=self.folder, capture_output=True, text=True,
            env={**self.environment(), **environ}, timeout=60, check=False,
        )  # fmt: skip

    def channel(self, name: str) -> dict[str, Any]:
        """Return a channel's definition."""
        found: dict[str, Any] = next(line[4] for line in self.lines("c") if line[3] == name)
        return found

    def points(self, name: str) -> list[tuple[Any, Any]]:
        """Return what was sent through a channel."""
        return [(line[4], line[5]) for line in self.lines("p") if line[3] == name]

    def documents(self, kind: str) -> dict[str, Any]:
        """Return the documents of a kind by name, the last one of each."""
        return {line[4]: line[5] for line in self.lines("d") if line[3] == kind}

    def infos(self) -> dict[str, Any]:
        return {line[3]: line[4] for line in self.lines("i")}


@pytest.fixture
def make_attempt(tmp_path: Path) -> Any:
    """A function that makes an attempt with these values."""
    return lambda **options: AetrosAttempt(tmp_path / "attempt", **options)
