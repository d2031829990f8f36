"""The store's two doors: `Database.write`, one transaction after the other, and `Database.read`, many at once.

What is promised: when `write` returns, what it did is on the disk; when it raises, nothing of it is. Functions that
are waiting at the same time share one transaction (group commit), each in its own savepoint, so that one that
raises takes nothing of its neighbours along. A function given to either door does nothing but use its connection; in
PostgreSQL it may be called again if the database asks for that.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, NestedTransaction, Transaction, exc

from bough import _failpoints
from bough.errors import BoughError, Unavailable, UsageError
from bough_server.store import migrate
from bough_server.store.postgres import Postgres
from bough_server.store.sqlite import Sqlite

Result = TypeVar("Result")
_Work = tuple[Callable[[Connection], Any], "Future[Any]", bool]  # what, its outcome, whether it is shared

_READERS = 4
_GROUP = 64  # functions that share one transaction at most
_TRIES = 5  # of a transaction that came into the way of another coordinator's


class Backend(Protocol):
    """What kind of database it is: `Sqlite` or `Postgres`. As text: where it is, for messages."""

    @property
    def has_many_writers(self) -> bool:
        """Whether other coordinators may have it open too."""
        ...

    def writer(self) -> Engine:
        """Return the engine whose one connection writes."""
        ...

    def readers(self, connections: int) -> Engine:
        """Return the engine of up to so many connections that can only read, each one consistent state."""
        ...

    def begin(self, tx: Connection, is_shared: bool) -> None:
        """Wait, at the beginning of a transaction, until it may write."""
        ...

    def check(self, tx: Connection) -> None:
        """Raise `UsageError` if this database cannot be used."""
        ...

    def is_passing(self, error: exc.DBAPIError) -> bool:
        """Return whether the same transaction may succeed when it is done again."""
        ...

    def as_bough_error(self, error: exc.DBAPIError) -> BoughError:
        """Return what an error means to a user."""
        ...

    def close(self) -> None:
        """Let go of what was taken."""
        ...


class Database:
    """An open store. Use `Database.open`; close it when done."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._writer_engine = backend.writer()
        self._reader_engine = backend.readers(_READERS)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._next: _Work | None = None  # was taken from the queue, but belongs into another group
        self._thread = threading.Thread(target=self._write_all, name="store-write", daemon=True)
        self._closed = False

    @property
    def path(self) -> Path:
        """The file of a SQLite store."""
        assert isinstance(self.backend, Sqlite)
        return self.backend.path

    @classmethod
    def open(cls, url_or_path: str | os.PathLike[str]) -> Database:
        """Return the store of that file or ``postgresql://`` address, made or brought up to date as needed.

        Raises:
            UsageError: It is a URL of a database that is not supported, or one that cannot be used.
            Conflict: Another coordinator has the file open.
            Unavailable: The disk is full, the file cannot be written, or the server does not answer.
        """
        before = os.umask(0o077)
        try:
            backend = backend_of(os.fspath(url_or_path))
            try:
                return cls(backend)._start()
            except BaseException:
                backend.close()
                raise
        finally:
            os.umask(before)

    def _start(self) -> Database:
        try:
            with self._writer_engine.begin() as tx:
                self.backend.begin(tx, is_shared=False)
                self.backend.check(tx)
                migrate.upgrade(tx)
        except exc.DBAPIError as error:
            raise self.backend.as_bough_error(error) from error
        self._thread.start()
        return self

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Return what ``work`` returns, run on a connection that sees one consistent state and cannot write."""
        mine = contextvars.copy_context()  # `store.sight`
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: mine.run(lambda: self.read_sync(work)))

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
            raise self.backend.as_bough_error(error) from error

    async def write(self, work: Callable[[Connection], Result], is_shared: bool = False) -> Result:
        """Return what ``work`` returned once what it wrote is on the disk; what it raises undoes what it wrote.

        Args:
            work: Uses its connection.
            is_shared: It only adds to rows that it has locked, and decides nothing from others: several coordinators
                may do such work at the same time.
        """
        return await asyncio.wrap_future(self._submit(work, is_shared))

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
        self.backend.close()

    def _submit(self, work: Callable[[Connection], Result], is_shared: bool = False) -> Future[Result]:
        if self._closed:
            raise Unavailable("the coordinator is stopping.", "Try again once it runs.")
        future: Future[Result] = Future()
        self._queue.put((work, future, is_shared or not self.backend.has_many_writers))
        return future

    def _write_all(self) -> None:
        connection: Connection | None = None
        while (group := self._next_group()) is not None:
            try:
                if connection is None or connection.closed:
                    connection = self._writer_engine.connect()
            except exc.DBAPIError as error:
                _fail(group, self.backend.as_bough_error(error))
                continue
            self._write_group(connection, group)
            if connection.invalidated:  # the server went away; it is asked for anew when there is something to write
                connection.close()
        if connection is not None:
            connection.close()

    def _next_group(self) -> list[_Work] | None:
        """Return what is waiting, as far as it may share a transaction; None when the store is being closed."""
        first = self._next or self._queue.get()
        self._next = None
        if first is None:
            return None
        group = [first]
        while len(group) < _GROUP and not self._queue.empty():
            more = self._queue.get()
            if more is None:
                self._queue.put(None)
                break
            if more[2] != first[2]:
                self._next = more
                break
            group.append(more)
        return group

    def _write_group(self, connection: Connection, group: list[_Work]) -> None:
        wanted = [one for one in group if one[1].set_running_or_notify_cancel()]
        for tries_left in reversed(range(_TRIES)):
            outcomes: list[_Outcome] = []
            try:
                with connection.begin() as transaction:
                    self.backend.begin(connection, group[0][2])
                    for work, future, _ in wanted:
                        own = connection.begin_nested() if len(wanted) > 1 else transaction
                        outcomes.append(self._run(connection, own, work, future))
                    _failpoints.reach("store.before_commit")
            except exc.DBAPIError as error:
                if tries_left and self.backend.is_passing(error):
                    continue
                _settle(outcomes)
                _fail(wanted, self.backend.as_bough_error(error))
            except BaseException as error:
                _settle(outcomes)
                _fail(wanted, error)
            else:
                _failpoints.reach("store.after_commit")
                _settle(outcomes, is_committed=True)
            return

    def _run(
        self, connection: Connection, own: Transaction, work: Callable[[Connection], Any], future: Future[Any]
    ) -> _Outcome:
        """Run one function in its own savepoint, or in its own transaction where it is alone in that.

        An error of the database itself ends the whole group.
        """
        try:
            result = work(connection)
            if isinstance(own, NestedTransaction):
                own.commit()
        except exc.OperationalError:
            raise
        except BaseException as error:
            own.rollback()
            return future, None, self.backend.as_bough_error(error) if isinstance(error, exc.DataError) else error
        return future, result, None


_Outcome = tuple["Future[Any]", Any, BaseException | None]  # of a function: what it returned, or what it raised


def _settle(outcomes: list[_Outcome], is_committed: bool = False) -> None:
    """Tell who waits: what was raised in any case, what was returned only if it is on the disk."""
    for future, result, error in outcomes:
        if error is not None:
            future.set_exception(error)
        elif is_committed:
            future.set_result(result)


def _fail(group: list[_Work], error: BaseException) -> None:
    for _, future, _ in group:
        if not future.done():
            future.set_exception(error)


def backend_of(url_or_path: str) -> Backend:
    """Return the kind of database that a path or URL names.

    Raises:
        UsageError: It is another one.
        Conflict, Unavailable: As `Sqlite`.
    """
    kind, is_url, rest = url_or_path.partition("://")
    if kind in ("postgresql", "postgres") and is_url:
        return Postgres(f"postgresql://{rest}")
    if kind == "sqlite" and is_url:
        return Sqlite(Path(rest.removeprefix("/")).absolute())
    if is_url:
        raise UsageError(
            f"the store cannot be kept in {kind}.",
            "Give the path of a file (it becomes a SQLite database), or postgresql://user@host/database.",
        )
    return Sqlite(Path(url_or_path).absolute())
