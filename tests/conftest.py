"""What tests of several areas need: a real PostgreSQL, started from a wheel, and an empty database in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from tests import postgres as postgres_of_tests

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a server of this test process; it is reached by a socket in its own folder."""
    with postgres_of_tests.running() as address:
        yield address


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
