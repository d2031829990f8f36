"""The archivist: sees to it that what has ended, and what becomes of an optimization, is in git.

It needs no memory of its own: which jobs have no record yet is in the store, and what a chain of commits holds is in
its newest message, so a batch that was cut off is simply written again. A record that git refuses is left out until
the next start, says why in the log, and holds up no other. Where nothing can be written just now (a full disk), all
of them wait: the jobs' results stay in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, select

from bough import _failpoints
from bough.errors import BoughError
from bough_server.archive import assembly, chronicle, commits, gathering
from bough_server.archive.chronicle import State
from bough_server.archive.records import RecordData
from bough_server.archive.repositories import Repositories
from bough_server.archive.upkeep import Upkeep
from bough_server.store import reads, schema
from bough_server.store.contents import ContentStore
from bough_server.store.database import Database

BATCH = 100
LINGER_S = 0.5  # ends that come close together share one process of git
LINGER_MOST_S = 2.0
_PAUSE = 10.0  # so many times as long as the last batch took, between these two
_RETRY_S = 10.0
_LOOK_S = 60.0  # at least so often, for the upkeep
_REST = 20.0  # chains are let alone for so many times as long as writing them took: each reads all trials again

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


@dataclass
class _Batch:
    """What one process of git writes into one repository.

    Args:
        records: By the id of the job, or the ref of the chain.
        jobs: Which of them are jobs.
        states: What the chains hold then, by ref.
    """

    records: dict[str, RecordData] = field(default_factory=dict)
    jobs: set[str] = field(default_factory=set)
    states: dict[str, State] = field(default_factory=dict)


class Archivist:
    """Writes records of ended jobs, and the chains of optimizations and models.

    Args:
        store: Says what ended, and is told the record's ref.
        repositories: Where the records go.
        clock: How it waits.
        upkeep: Packs what was written; None never packs.
        is_mine: Whether writing is this coordinator's task; another one does it otherwise.
        contents: Where the contents of files are; None leaves them out of the records.
        monotonic: Seconds, for how long chains are let alone.
    """

    def __init__(
        self,
        store: Database,
        repositories: Repositories,
        clock: Clock | None = None,
        upkeep: Upkeep | None = None,
        is_mine: Callable[[], bool] = lambda: True,
        contents: ContentStore | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._repositories = repositories
        self._clock = clock or AsyncioClock()
        self._is_mine = is_mine
        self._upkeep = upkeep
        self._contents = contents
        self._monotonic = monotonic
        self._rests_until = float("-inf")
        self._rung = asyncio.Event()
        self._rung.set()  # what an earlier run left undone comes first
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._refused: set[str] = set()
        self._changed: set[str] | None = None  # optimizations and models that may have changed; None: all
        self._known: dict[str, State] = {}  # what the chains hold, by ref
        self._met: set[str] = set()  # models whose chains were looked at

    def ring(self, optimizations: Iterable[str] = (), models: Iterable[str] = ()) -> None:
        """Say that something ended, or that these optimizations or models changed; returns at once."""
        if self._changed is not None:
            self._changed.update(optimizations, models)
        self._rung.set()

    def start(self) -> None:
        """Begin to work in the background."""
        self._task = asyncio.create_task(self.run(), name="archivist")

    async def run(self) -> None:
        """Write records whenever something ended, until cancelled."""
        took_s = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), _LOOK_S)
            if not self._is_mine():  # it is rung again when it becomes so
                self._rung.clear()
                continue
            await self._clock.sleep(min(LINGER_MOST_S, max(LINGER_S, _PAUSE * took_s)))
            self._rung.clear()
            began = self._monotonic()
            try:
                if await self.write_once():
                    self._rung.set()  # there may be more: after another pause, so that many ends share one process
                took_s = self._monotonic() - began
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
        """Write everything that is due, now.

        Raises:
            BoughError: The store cannot be read or written, or git cannot write.
        """
        while await self._write_due():
            pass

    async def forget(self, model: str, optimization_id: str) -> int:
        """Delete the records of an optimization that is gone from the store; return how many refs went.

        Raises:
            BoughError: git refused.
        """
        async with self._writing:
            repository = await asyncio.to_thread(self._repositories.ensure, model)
            return await asyncio.to_thread(commits.delete, repository, optimization_id)

    async def write_once(self) -> bool:
        """Write one batch, and pack what it is time for; return whether there may be more to write.

        Raises:
            BoughError: As `flush`.
        """
        has_written = await self._write_due(may_rest=True)
        if self._upkeep is not None:
            await asyncio.to_thread(self._upkeep.work)
        return has_written

    async def _write_due(self, may_rest: bool = False) -> bool:
        """Write one batch into each repository that wants one; return whether any job was among them.

        With ``may_rest`` chains that were written a moment ago wait: of all their changes since, one commit is made.
        """
        async with self._writing:
            began = self._monotonic()
            if may_rest and began < self._rests_until:
                asyncio.get_running_loop().call_later(self._rests_until - began, self._rung.set)
                return await self._write_all(None, has_chains=False)
            changed, self._changed = self._changed, set()
            try:
                has_written = await self._write_all(changed)
            except BaseException:  # what was not written is looked at again
                self._changed = None if changed is None else self._changed | changed
                raise
            now = self._monotonic()
            self._rests_until = now + _REST * (now - began)
            return has_written

    async def _write_all(self, changed: set[str] | None, has_chains: bool = True) -> bool:
        jobs = await self._due()
        chains = await self._store.read(partial(_of_models, changed=changed)) if has_chains else {}
        by_model = _by_model(jobs)
        trouble: BoughError | None = None
        for model in {**by_model, **chains}:
            try:
                await self._write(model, by_model.get(model, []), chains.get(model, []) if has_chains else None)
            except BoughError as error:  # the other repositories may be writable
                trouble = error
        if trouble is not None:
            raise trouble
        return bool(jobs)

    async def _due(self) -> Sequence[Mapping[str, Any]]:
        limit = BATCH + len(self._refused)
        jobs = await self._store.read(lambda tx: reads.unrecorded_jobs(tx, limit))
        return [job for job in jobs if job["id"] not in self._refused][:BATCH]

    async def _write(self, model: str, jobs: Sequence[Mapping[str, Any]], optimizations: Sequence[str] | None) -> None:
        """Write some jobs, and the chains of a model and of some of its optimizations; with None only the jobs."""
        repository = await asyncio.to_thread(self._repositories.ensure, model)
        if model not in self._met:
            self._known |= await asyncio.to_thread(_states, repository, model)
            self._met.add(model)
        more = True
        while more:
            batch, jobs = await self._store.read(partial(self._assemble, model=model, jobs=jobs, chains=optimizations))
            optimizations, more = None, bool(jobs)
            if batch.records:
                await self._write_batch(repository, batch)

    def _assemble(
        self, tx: Connection, model: str, jobs: Sequence[Mapping[str, Any]], chains: Sequence[str] | None
    ) -> tuple[_Batch, Sequence[Mapping[str, Any]]]:
        """Return what is written next, all of it of one moment: as many jobs as fit into memory; and what is left."""
        batch = _Batch()
        n = gathering.fitting(tx, jobs) if jobs else 0
        for ended in gathering.gather(tx, jobs[:n]) if n else []:
            job_id = ended.job["id"]
            try:
                batch.records[job_id] = assembly.job_record(ended, self._contents)
                batch.jobs.add(job_id)
            except BoughError:
                raise
            except Exception:  # a fault of ours with what this job reported
                self._refused.add(job_id)
                log.exception("no record of job %s", job_id)
        if chains is None:
            return batch, jobs[n:]
        for optimization_id in chains:
            ref = chronicle.optimization_ref(optimization_id)
            self._add_chain(batch, ref, chronicle.optimization(tx, optimization_id, self._known.get(ref)))
        ref = chronicle.model_ref(model)
        self._add_chain(batch, ref, chronicle.model(tx, model, self._known.get(ref)))
        return batch, jobs[n:]

    def _add_chain(self, batch: _Batch, ref: str, found: tuple[RecordData, State] | None) -> None:
        if found is not None and ref not in self._refused:
            batch.records[ref], batch.states[ref] = found

    async def _write_batch(self, repository: Path, batch: _Batch) -> None:
        try:
            _failpoints.reach("record.before_write")
            await asyncio.to_thread(commits.write, repository, list(batch.records.values()))
            _failpoints.reach("record.after_write")
        except commits.GitFailed as error:
            if not commits.is_refusal(error) or not await asyncio.to_thread(commits.has_room, repository):
                raise
            if len(batch.records) > 1:  # find the one that git refuses
                for name, record in batch.records.items():
                    states = {ref: state for ref, state in batch.states.items() if ref == name}
                    await self._write_batch(repository, _Batch({name: record}, batch.jobs & {name}, states))
                return
            self._refused.update(batch.records)
            log.error("no record of job %s: %s", next(iter(batch.records)), error)
            return
        self._known |= batch.states
        if self._upkeep is not None:
            self._upkeep.note(repository, len(batch.records))
        if batch.jobs:
            await self._store.write(partial(_note, records={job_id: batch.records[job_id] for job_id in batch.jobs}))


def _note(tx: Connection, records: Mapping[str, RecordData]) -> None:
    for job_id, record in records.items():
        reads.set_record(tx, job_id, record.ref)


def _states(repository: Path, model: str) -> dict[str, State]:
    """Return what the chains in a repository hold, as far as their newest commits say."""
    refs = (chronicle.optimization_ref(""), chronicle.model_ref(model))
    found = commits.tips(repository, *refs)
    return {ref: State(mark) for ref, tip in found.items() if (mark := chronicle.mark_of(tip.message))}


def _of_models(tx: Connection, changed: set[str] | None) -> dict[str, list[str]]:
    """Return the optimizations of each model, those that changed or all of them; models have a slash in their name."""
    table = schema.optimizations.c
    found = select(table.id, table.model).order_by(table.created_at, table.id)
    models: dict[str, list[str]] = {}
    if changed is None:
        models = {model: [] for model in tx.execute(select(schema.models.c.id)).scalars()}
    else:
        models = {model: [] for model in sorted(changed) if "/" in model}
        found = found.where(table.id.in_(sorted(changed)))
    for optimization_id, model in tx.execute(found):
        models.setdefault(model, []).append(optimization_id)
    return models


def _by_model(jobs: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    models: dict[str, list[Mapping[str, Any]]] = {}
    for job in jobs:
        models.setdefault(job["model"], []).append(job)
    return models
