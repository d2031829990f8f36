"""The archivist: sees to it that what has ended becomes a commit.

It needs no memory of its own: which jobs have no record yet is in the store, so a batch that was cut off is simply
written again. A record that git refuses is left out until the next start, says why in the log, and holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection

from bough.errors import BoughError
from bough_server.archive import assembly, commits
from bough_server.archive.records import RecordData
from bough_server.archive.repositories import Repositories
from bough_server.store import reads
from bough_server.store.database import Database

BATCH = 100
LINGER_S = 0.5  # ends that come close together share one process of git
_BATCH_BYTES = 64 * 1024 * 1024
_RETRY_S = 10.0

log = logging.getLogger("bough.archive")


class Clock(Protocol):
    """Where waiting happens."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class AsyncioClock:
    """Waits for real."""

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        await asyncio.sleep(seconds)


class Archivist:
    """Writes records of ended jobs and optimizations.

    Args:
        store: Says what ended, and is told the record's ref.
        repositories: Where the records go.
        clock: How it waits.
        is_mine: Whether writing is this coordinator's task; another one does it otherwise.
    """

    def __init__(
        self,
        store: Database,
        repositories: Repositories,
        clock: Clock | None = None,
        is_mine: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._repositories = repositories
        self._clock = clock or AsyncioClock()
        self._is_mine = is_mine
        self._rung = asyncio.Event()
        self._rung.set()  # what an earlier run left undone comes first
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._refused: set[str] = set()
        self._optimizations: dict[str, float] = {}  # id → the end that is known to be recorded

    def ring(self) -> None:
        """Say that something ended; returns at once."""
        self._rung.set()

    def start(self) -> None:
        """Begin to work in the background."""
        self._task = asyncio.create_task(self.run(), name="archivist")

    async def run(self) -> None:
        """Write records whenever something ended, until cancelled."""
        while True:
            await self._rung.wait()
            if not self._is_mine():  # it is rung again when it becomes so
                self._rung.clear()
                continue
            await self._clock.sleep(LINGER_S)
            self._rung.clear()
            try:
                if await self._write_due():
                    self._rung.set()  # there may be more: after another pause, so that many ends share one process
                else:
                    await self._write_optimizations()
            except Exception as error:  # whatever it is must not end the archive for good
                log.warning("records wait: %s", error, exc_info=not isinstance(error, BoughError))
                await self._clock.sleep(_RETRY_S)
                self._rung.set()

    async def stop(self) -> None:
        """Write what has ended by now, then rest; what cannot be written waits for the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        try:
            if self._is_mine():
                await self.flush()
        except Exception as error:  # whatever it is, the coordinator stops
            log.warning("records wait for the next start: %s", error, exc_info=not isinstance(error, BoughError))

    async def flush(self) -> None:
        """Write every record that is due, now.

        Raises:
            BoughError: The store cannot be read or written.
        """
        while await self._write_due():
            pass
        await self._write_optimizations()

    async def _write_due(self) -> bool:
        """Write one batch of records; return whether there was any."""
        async with self._writing:
            jobs = await self._due()
            for model, batch in _by_model(jobs).items():
                await self._write(model, batch)
            return bool(jobs)

    async def _write_optimizations(self) -> None:
        async with self._writing:
            for optimization_id, model, ended_at in await self._store.read(assembly.ended_optimizations):
                if self._optimizations.get(optimization_id) != ended_at:
                    await self._write_optimization(optimization_id, model, ended_at)

    async def _due(self) -> list[Mapping[str, Any]]:
        limit = BATCH + len(self._refused)
        jobs = await self._store.read(lambda tx: reads.unrecorded_jobs(tx, limit))
        return [job for job in jobs if job["id"] not in self._refused]

    async def _write(self, model: str, jobs: list[Mapping[str, Any]]) -> None:
        repository = await asyncio.to_thread(self._repositories.ensure, model)
        while jobs:
            made, jobs = await self._assemble(jobs)
            if made:
                await self._write_batch(repository, made)

    async def _assemble(self, jobs: list[Mapping[str, Any]]) -> tuple[dict[str, RecordData], list[Mapping[str, Any]]]:
        """Return records of the first jobs, as many as fit into memory, by id; and the jobs that are left."""
        made: dict[str, RecordData] = {}
        size = 0
        while jobs and size < _BATCH_BYTES:
            job, *jobs = jobs
            try:
                made[job["id"]] = await self._store.read(functools.partial(assembly.job_record, job=job))
            except BoughError:
                raise
            except Exception:  # a fault of ours with what this job reported
                self._refused.add(job["id"])
                log.exception("no record of job %s", job["id"])
                continue
            size += sum(len(content) for content in made[job["id"]].files.values())
        return made, jobs

    async def _write_batch(self, repository: Path, made: dict[str, RecordData]) -> None:
        try:
            await asyncio.to_thread(commits.write, repository, list(made.values()))
        except commits.GitFailed as error:
            if len(made) > 1:  # find the one that git refuses
                for job_id, record in made.items():
                    await self._write_batch(repository, {job_id: record})
                return
            self._refused.update(made)
            log.error("no record of job %s: %s", next(iter(made)), error)
            return
        await self._store.write(functools.partial(_note, made=made))

    async def _write_optimization(self, optimization_id: str, model: str, ended_at: float) -> None:
        record = await self._store.read(lambda tx: assembly.optimization_record(tx, optimization_id))
        repository = await asyncio.to_thread(self._repositories.ensure, model)
        try:
            await asyncio.to_thread(commits.replace_tip, repository, record)
        except commits.GitFailed as error:
            log.error("no record of optimization %s: %s", optimization_id, error)
        self._optimizations[optimization_id] = ended_at


def _note(tx: Connection, made: Mapping[str, RecordData]) -> None:
    for job_id, record in made.items():
        reads.set_record(tx, job_id, record.ref)


def _by_model(jobs: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    models: dict[str, list[Mapping[str, Any]]] = {}
    for job in jobs:
        models.setdefault(job["model"], []).append(job)
    return models
