"""What `make demo` runs, once its environment is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_trials_of_the_demo_run_with_its_own_python_whatever_else_is_on_path(tmp_path: Path) -> None:
    """Another `python` has no scikit-learn: all trials would fail."""
    for name, text in {
        "elsewhere/python": "#!/bin/sh\n",
        ".venv/bin/python": "#!/bin/sh\n",
        ".venv/bin/bough": "#!/bin/sh\ncommand -v python\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    for file in ("Makefile", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / ".venv" / ".installed").touch()

    done = subprocess.run(
        ["make", "-C", str(tmp_path), "--no-print-directory", "demo"],
        env={**os.environ, "PATH": f"{tmp_path}/elsewhere:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith(f"{tmp_path}/.venv/bin/python\n")
    assert "activate" in done.stdout
