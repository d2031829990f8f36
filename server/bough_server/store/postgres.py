"""Everything that is true of PostgreSQL only: its address, its locks, its errors.

Rules are written as if one writer at a time changed the store. With several coordinators on one database that is kept
true by an advisory lock that each writing transaction takes first: exclusively if it decides anything, shared if it
only adds what attempts reported. A transaction that is shared locks the attempts it adds to.
"""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import NullPool, QueuePool

from bough.errors import BoughError, Unavailable, UsageError

OLDEST = 13
SPACE = 0x626F7567  # of this program's advisory locks in a database
WRITING, LEADING = 1, 2

_STATEMENT_TIMEOUT_S = 120
_IDLE_TIMEOUT_S = 120
_CONNECT_TIMEOUT_S = 10
_PASSING = ("40001", "40P01")  # serialization failure, deadlock: the same again may do
_FULL = "53100"
_READ_ONLY = ("25006", "42501")
_OUT_OF_RANGE = ("22003", "22008")


class Postgres:
    """A database on a PostgreSQL server.

    Args:
        address: ``postgresql://user@host:port/database``; what it leaves out comes from libpq's variables and files.

    Raises:
        UsageError: It is no address, or psycopg is not installed.
    """

    has_many_writers = True

    def __init__(self, address: str) -> None:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise UsageError(
                "the store cannot be kept in PostgreSQL: psycopg is not installed here.",
                'Install it: pip install "bough[server,postgres]".',
            ) from None
        try:
            self.url = make_url(address).set(drivername="postgresql+psycopg")
        except (exc.ArgumentError, ValueError):
            raise UsageError(
                "that is no address of a database.", "Write it like postgresql://user@host:5432/bough."
            ) from None

    def __str__(self) -> str:
        return f"the database {self.url.database or 'of this user'} at {self.url.host or 'this machine'}"

    def writer(self) -> Engine:
        """Return the engine whose one connection writes."""
        return self._engine(poolclass=NullPool)

    def readers(self, connections: int) -> Engine:
        """Return the engine of up to ``connections`` connections that can only read, each one consistent state."""
        return self._engine(
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
        )

    def begin(self, tx: Connection, is_shared: bool) -> None:
        """Wait until this transaction may write: alone, or beside others that are shared too."""
        lock = "pg_advisory_xact_lock_shared" if is_shared else "pg_advisory_xact_lock"
        tx.exec_driver_sql(f"SELECT {lock}({SPACE}, {WRITING})")

    def check(self, tx: Connection) -> None:
        """Raise `UsageError` if the server is too old, or the database holds no Unicode."""
        version, encoding = tx.exec_driver_sql(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')"
        ).one()
        if version < OLDEST * 10000:
            raise UsageError(f"PostgreSQL {version // 10000} is too old: {OLDEST} is needed.", "Upgrade the server.")
        if encoding != "UTF8":
            raise UsageError(
                f"{self} is encoded as {encoding}.", "Make one that holds Unicode: createdb --encoding UTF8 bough."
            )

    def is_passing(self, error: exc.DBAPIError) -> bool:
        """Return whether the same transaction may succeed when it is simply done again."""
        return _code(error) in _PASSING

    def as_bough_error(self, error: exc.DBAPIError) -> BoughError:
        """Return what ``error`` means to a user."""
        text, code = " ".join(str(error.orig).split()), _code(error)
        if code == _FULL:
            return Unavailable(
                f"the disk that holds {self} is full: nothing more is stored, and nothing already stored is lost.",
                "Free some space; agents keep what they have and try again.",
            )
        if code in _READ_ONLY:
            return Unavailable(f"{self} cannot be written: {text}.", "Check the rights of the database's user.")
        if code in _OUT_OF_RANGE:
            return UsageError("a number is too large for the store.", "Use a smaller one.")
        if "does not exist" in text and "database" in text:
            return UsageError(f"{self} does not exist.", f"Make it: createdb {self.url.database}.")
        if "password" in text or "authentication" in text:
            return UsageError(
                f"{self} does not let this user in.", "Put the password into ~/.pgpass, or the address's user right."
            )
        return Unavailable(f"{self} cannot be used now: {text}.", "Check that PostgreSQL runs; it is tried again.")

    def close(self) -> None:
        """There is nothing of it to let go of."""

    def _engine(self, **options: Any) -> Engine:
        engine = create_engine(self.url, connect_args=connect_arguments(), **options)
        event.listen(engine, "connect", _set_up)
        return engine


def connect_arguments() -> dict[str, Any]:
    """Return how psycopg connects: bounded waits, durable commits, and a name that a DBA can find."""
    settings = {
        "statement_timeout": f"{_STATEMENT_TIMEOUT_S}s",
        "idle_in_transaction_session_timeout": f"{_IDLE_TIMEOUT_S}s",
        "synchronous_commit": "on",
        "timezone": "UTC",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    name = f"bough coordinator {os.getpid()}"
    return {"connect_timeout": _CONNECT_TIMEOUT_S, "options": options, "application_name": name}


def plain_url(url: URL) -> str:
    """Return the address as psycopg itself takes it, password included; never to be shown."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _set_up(connection: Any, _record: Any) -> None:
    """Let text that holds a NUL be stored with the character for what cannot be shown: PostgreSQL's text has no NUL."""
    from psycopg.types.string import StrDumper, StrDumperUnknown

    for base in (StrDumper, StrDumperUnknown):
        made = type(f"WithoutNul{base.__name__}", (base,), {"dump": _without_nul(base)})
        connection.adapters.register_dumper(str, made)


def _without_nul(base: Any) -> Any:
    def dump(self: Any, text: str) -> Any:
        return base.dump(self, text.replace("\0", "\ufffd"))

    return dump


def _code(error: exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")
