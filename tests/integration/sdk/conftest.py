"""Scripts run as an agent would run them: a real process on a real attempt folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SDK = Path(__file__).resolve().parents[3] / "sdk"


class Attempt:
    """An attempt's folder, and scripts that run on it.

    Args:
        folder: The attempt's folder; made.
        values: Flat hyperparameters.
        max_epochs: The job's limit, None for none.
        kpi: The channel that the optimization's settings name.
    """

    def __init__(
        self,
        folder: Path,
        values: dict[str, object] | None = None,
        max_epochs: int | None = None,
        kpi: str | None = None,
    ) -> None:
        self.folder = folder
        (folder / "control").mkdir(parents=True)
        facts = {
            "job_id": "k3f9a2bq", "attempt": 1, "model": "me/digits", "optimization": None, "number": None,
            "commit": None, "values": values or {}, "max_epochs": max_epochs,
            "checkpoint_dir": str(folder / "checkpoints"), "kpi": {"channel": kpi, "direction": None},
        }  # fmt: skip
        (folder / "job.json").write_text(json.dumps(facts))

    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("BOUGH_", "PYTHON"))}
        return {**clean, "PYTHONPATH": str(SDK), "BOUGH_ATTEMPT_DIR": str(self.folder)}

    def start(self, script: str, *, python: str = sys.executable, **options: Any) -> subprocess.Popen[str]:
        """Start a script in its own session, warnings as errors."""
        path = self.folder / "script.py"
        path.write_text(textwrap.dedent(script))
        return subprocess.Popen(
            [python, "-W", "error", str(path)], cwd=self.folder, env=self.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **options,
        )  # fmt: skip

    def run(self, script: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a script to its end."""
        process = self.start(script, **options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def journals(self) -> dict[str, list[list[Any]]]:
        """Return the complete lines of every journal by writer; a line that is no JSON array is left out."""
        return {path.stem: complete_lines(path) for path in sorted((self.folder / "journal").glob("*.jsonl"))}

    def lines(self, *kinds: str) -> list[list[Any]]:
        """Return the lines of the one journal, all or those of some kinds."""
        (found,) = self.journals().values()
        return [line for line in found if not kinds or line[0] in kinds]


def complete_lines(path: Path) -> list[list[Any]]:
    found = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def wait_for(condition: Callable[[], object], deadline_s: float = 30.0) -> None:
    """Return when the condition holds; fail after the deadline."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def interpreters() -> dict[str, str]:
    """Return the Pythons of this machine that the SDK supports, by version: from PATH and from pyenv."""
    found: dict[str, str] = {}
    pyenv = shutil.which("pyenv")
    roots = [Path.home() / ".pyenv"]
    if pyenv:
        done = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False)
        roots.insert(0, Path(done.stdout.strip() or "."))
    for minor in range(7, 15):
        version = f"3.{minor}"
        candidates = [shutil.which(f"python{version}")]
        for root in roots:
            candidates += [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]
        for candidate in candidates:
            if candidate and _is_version(candidate, version):
                found[version] = candidate
                break
    return found


def _is_version(python: str, version: str) -> bool:
    """A pyenv shim may be there for a version that is not: it has to run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path / "attempt")
