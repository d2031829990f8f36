"""Everything that is true of SQLite only: pragmas, the transaction's first statement, its errors, the lock of its file.

Its counterpart for a database server is `bough_server.store.postgres`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc
from sqlalchemy.pool import NullPool, QueuePool

from bough.errors import BoughError, Conflict, Unavailable, UsageError

OLDEST = (3, 35, 0)  # RETURNING, and a WAL without the bugs of earlier ones
_BUSY_TIMEOUT_S = 5.0


class FileLock:
    """Holds ``<database>.lock`` as long as this process has the database open."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise Conflict(
                f"{database} is in use by another coordinator (pid {holder}).",
                "Stop that one first, or start this one with another --home.",
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let go of the lock; harmless the second time."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Sqlite:
    """A file of this machine, open in one coordinator at a time.

    Args:
        path: The file; made as needed, readable by its owner only.

    Raises:
        UsageError: This Python's SQLite is too old.
        Conflict: Another coordinator has it open.
        Unavailable: It cannot be made.
    """

    has_many_writers = False

    def __init__(self, path: Path) -> None:
        check_version()
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path)
        except OSError as error:
            raise Unavailable(
                f"{path} cannot be made: {error.strerror}.", "Free some space or choose another --home."
            ) from None

    def __str__(self) -> str:
        return str(self.path)

    def writer(self) -> Engine:
        """Return the engine whose one connection writes."""
        return writer_engine(self.path)

    def readers(self, connections: int) -> Engine:
        """Return the engine of up to ``connections`` connections that can only read."""
        return reader_engine(self.path, connections)

    def begin(self, tx: Connection, is_shared: bool) -> None:
        """Nothing to wait for: this is the only writer."""

    def check(self, tx: Connection) -> None:
        """Nothing to ask of a file."""

    def is_passing(self, error: exc.DBAPIError) -> bool:
        """Return False: nobody else could have been in the way."""
        return False

    def as_bough_error(self, error: exc.DBAPIError) -> BoughError:
        """Return what ``error`` means to a user."""
        return as_bough_error(error, self.path)

    def close(self) -> None:
        """Let go of the file."""
        self._lock.release()


def check_version() -> None:
    """Raise `UsageError` if this Python's SQLite is too old."""
    if sqlite3.sqlite_version_info < OLDEST:
        needed = ".".join(str(part) for part in OLDEST)
        raise UsageError(f"SQLite {sqlite3.sqlite_version} is too old: {needed} is needed.", "Use a newer Python.")


def writer_engine(path: Path) -> Engine:
    """Return the engine whose one connection writes."""
    engine = create_engine(_url(path), poolclass=NullPool, connect_args=_CONNECT)
    event.listen(engine, "connect", _set_up_writer)
    event.listen(engine, "begin", lambda tx: tx.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def reader_engine(path: Path, connections: int) -> Engine:
    """Return the engine of up to ``connections`` connections that can only read."""
    engine = create_engine(
        _url(path), poolclass=QueuePool, pool_size=connections, max_overflow=0, connect_args=_CONNECT
    )
    event.listen(engine, "connect", _set_up_reader)
    event.listen(engine, "begin", lambda tx: tx.exec_driver_sql("BEGIN"))
    return engine


def as_bough_error(error: exc.DBAPIError, path: Path) -> BoughError:
    """Return what ``error`` means to a user: most likely that nothing was stored and that it may be tried again."""
    text = str(error.orig)
    if "full" in text:
        return Unavailable(
            f"the disk that holds {path} is full: nothing more is stored, and nothing already stored is lost.",
            "Free some space; agents keep what they have and try again.",
        )
    if "readonly" in text or "unable to open" in text:
        return Unavailable(f"{path} cannot be written: {text}.", "Check the folder's permissions.")
    if "malformed" in text or "not a database" in text:
        return BoughError(f"{path} is damaged: {text}.", "Restore it from a backup, or move it away to start anew.")
    return Unavailable(f"{path} cannot be used now: {text}.", "Try again.")


_CONNECT = {"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False, "isolation_level": None}


def _url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _set_up(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in ("foreign_keys=ON", f"busy_timeout={int(_BUSY_TIMEOUT_S * 1000)}", *pragmas):
        cursor.execute("PRAGMA " + pragma)
    cursor.close()


def _set_up_writer(connection: Any, _record: Any) -> None:
    _set_up(connection, "journal_mode=WAL", "synchronous=FULL", "cache_size=-16000")


def _set_up_reader(connection: Any, _record: Any) -> None:
    _set_up(connection, "query_only=ON", "wal_autocheckpoint=0")
