"""The store's two doors: `Database.write`, one transaction after the other, and `Database.read`, many at once.

What is promised: when `write` returns, what it did is on the disk; when it raises, nothing of it is. Functions that
are waiting at the same time share one transaction (group commit), each in its own savepoint, so that one that
raises takes nothing of its neighbours along. A function given to either door does nothing but use its connection.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, exc

from bough.errors import Unavailable, UsageError
from bough_server.store import migrate, sqlite

Result = TypeVar("Result")
_Work = tuple[Callable[[Connection], Any], "Future[Any]"]

_READERS = 4
_GROUP = 64  # functions that share one transaction at most


class Database:
    """An open store. Use `Database.open`; close it when done."""

    def __init__(self, path: Path, lock: sqlite.FileLock) -> None:
        self.path = path
        self._lock = lock
        self._writer_engine = sqlite.writer_engine(path)
        self._reader_engine = sqlite.reader_engine(path, _READERS)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="store-write", daemon=True)
        self._closed = False

    @classmethod
    def open(cls, url_or_path: str | os.PathLike[str]) -> Database:
        """Return the store of that file, made or brought up to date as needed.

        Raises:
            UsageError: It is a URL of a database that is not supported.
            Conflict: Another coordinator has it open.
            Unavailable: The disk is full, or the file cannot be written.
        """
        path = _path_of(os.fspath(url_or_path))
        sqlite.check_version()
        before = os.umask(0o077)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = sqlite.FileLock(path)
            try:
                return cls(path, lock)._start()
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            raise Unavailable(
                f"{path} cannot be made: {error.strerror}.", "Free some space or choose another --home."
            ) from None
        finally:
            os.umask(before)

    def _start(self) -> Database:
        try:
            with self._writer_engine.begin() as tx:
                migrate.upgrade(tx)
        except exc.DBAPIError as error:
            raise sqlite.as_bough_error(error, self.path) from error
        self._thread.start()
        return self

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Return what ``work`` returns, run on a connection that sees one consistent state and cannot write."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_sync, work)

    def read_sync(self, work: Callable[[Connection], Result]) -> Result:
        """As `read`, in this thread."""
        try:
            with self._reader_engine.connect() as tx:
                try:
                    with tx.begin():
                        return work(tx)
                except BaseException:
                    # A traceback may keep a half-read cursor alive, and with it this connection's old snapshot.
                    tx.invalidate()
                    raise
        except exc.DBAPIError as error:
            raise sqlite.as_bough_error(error, self.path) from error

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Return what ``work`` returned once what it wrote is on the disk; what it raises undoes what it wrote."""
        return await asyncio.wrap_future(self._submit(work))

    def write_sync(self, work: Callable[[Connection], Result]) -> Result:
        """As `write`, blocking this thread."""
        return self._submit(work).result()

    def close(self) -> None:
        """Finish what was submitted, then let go of the files; harmless the second time."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._readers.shutdown()
        self._reader_engine.dispose()
        self._writer_engine.dispose()
        self._lock.release()

    def _submit(self, work: Callable[[Connection], Result]) -> Future[Result]:
        if self._closed:
            raise Unavailable("the coordinator is stopping.", "Try again once it runs.")
        future: Future[Result] = Future()
        self._queue.put((work, future))
        return future

    def _write_all(self) -> None:
        with self._writer_engine.connect() as connection:
            while (group := self._next_group()) is not None:
                self._write_group(connection, group)

    def _next_group(self) -> list[_Work] | None:
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        while len(group) < _GROUP and not self._queue.empty():
            more = self._queue.get()
            if more is None:
                self._queue.put(None)
                break
            group.append(more)
        return group

    def _write_group(self, connection: Connection, group: list[_Work]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        try:
            with connection.begin():
                for work, future in group:
                    if future.set_running_or_notify_cancel():
                        _run(connection, work, future, done)
        except exc.DBAPIError as error:
            _fail(group, sqlite.as_bough_error(error, self.path))
        except BaseException as error:
            _fail(group, error)
        for future, result in done:
            if not future.done():
                future.set_result(result)


def _run(
    connection: Connection, work: Callable[[Connection], Any], future: Future[Any], done: list[tuple[Future[Any], Any]]
) -> None:
    """Run one function in its own savepoint; an error of the database itself ends the whole group."""
    savepoint = connection.begin_nested()
    try:
        result = work(connection)
        savepoint.commit()
    except exc.OperationalError:
        raise
    except BaseException as error:
        savepoint.rollback()
        future.set_exception(error)
    else:
        done.append((future, result))


def _fail(group: list[_Work], error: BaseException) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)


def _path_of(url_or_path: str) -> Path:
    if url_or_path.startswith("sqlite:///"):
        return Path(url_or_path.removeprefix("sqlite:///")).absolute()
    if "://" in url_or_path:
        kind = url_or_path.partition("://")[0]
        raise UsageError(
            f"the store cannot be kept in {kind}.", "Give the path of a file; it becomes a SQLite database."
        )
    return Path(url_or_path).absolute()
