"""The distribution, built as a user's pip builds it, from a copy of what git has and would have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
STALE = "server/bough_server/web/vendor/stale.js"  # left over from an earlier build, in the tree …
STALE_BUILT = "build/lib/bough_server/web/app/stale.js"  # … and in setuptools' own leftovers


def pip(*args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter's pip; the caller looks at the exit code."""
    return run([sys.executable, "-m", "pip", *args], **env)


def run(argv: list[str | Path], **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command outside the checkout with a clean Python environment; never raises for its exit code."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "BOUGH_"))}
    return subprocess.run(
        argv, env={**clean, **env}, cwd=Path(argv[0]).anchor, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without anything that git ignores, but with stale files of earlier builds."""
    copy = tmp_path_factory.mktemp("source") / "bough"
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    for name in (STALE, STALE_BUILT):
        (copy / name).parent.mkdir(parents=True)
        (copy / name).write_text("// stale\n")
    return copy


@pytest.fixture(scope="session")
def plain_wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built with BOUGH_SKIP_WEB=1."""
    folder = tmp_path_factory.mktemp("plain")
    done = pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source, BOUGH_SKIP_WEB="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("bough-*.whl"))
