"""Telling those who watch what was committed, in the order of the commits, and only what somebody watches."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from bough_server.broker import Broker
from bough_server.service import views
from bough_server.service.changes import Changes
from bough_server.service.clock import Clock
from bough_server.service.fleet import Fleet
from bough_server.store.database import Database
from bough_server.store.schema import jobs, optimizations

_log = logging.getLogger(__name__)
Published = list[tuple[str, str, Any]]  # topic, event, data


class News:
    """Turns changes into events, one commit after the other, for as long as its task runs."""

    def __init__(self, store: Database, broker: Broker, fleet: Fleet, clock: Clock) -> None:
        self._store = store
        self._broker = broker
        self._fleet = fleet
        self._clock = clock
        self._waiting: asyncio.Queue[Changes] = asyncio.Queue()

    def tell(self, changes: Changes) -> None:
        """Publish these changes soon."""
        if self._broker.has_subscribers:
            self._waiting.put_nowait(changes)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            changes = await self._waiting.get()
            online = set(self._fleet.online(self._clock.monotonic()))
            try:
                found = await self._store.read(partial(self._events, changes=changes, online=online))
            except Exception:  # watching must not end because one change cannot be shown
                _log.exception("a change could not be told to those who watch")
                continue
            for topic, event, data in found:
                self._broker.publish(topic, event, data)

    def _events(self, tx: Connection, changes: Changes, online: set[str]) -> Published:
        found: Published = []
        if changes.agents and self._broker.is_watched("agents"):
            shown = views.agents_view(tx, online)
            found += [("agents", "agent", views.plain(one)) for one in shown if one["id"] in changes.agents]
        found += self._of_optimizations(tx, changes)
        of = self._optimization_of(tx, changes)
        found += self._of_jobs(tx, changes, of)
        for job_id, name, chunk in changes.points:
            data: dict[str, Any] = {
                "job": job_id,
                "channel": name,
                "x": views.column(chunk.x),
                "t": views.column(chunk.t),
            }
            data["y"] = [views.column(trace) for trace in chunk.y]
            found += [(topic, "points", data) for topic in self._topics(job_id, of)]
        for job_id, offset, text in changes.logs:
            if self._broker.is_watched(f"job:{job_id}"):
                piece = {"job": job_id, "offset": offset, "text": text.decode(errors="replace")}
                found.append((f"job:{job_id}", "log", piece))
        return found

    def _of_optimizations(self, tx: Connection, changes: Changes) -> Published:
        found: Published = []
        for optimization_id in sorted(changes.optimizations | changes.counted):
            topics = [
                name for name in ("optimizations", f"optimization:{optimization_id}") if self._broker.is_watched(name)
            ]
            if not topics and not self._watched_jobs():
                continue
            mine = select(optimizations).where(optimizations.c.id == optimization_id)
            row = tx.execute(mine).mappings().first()
            if row is not None:
                shown = views.plain(views.optimization_view(tx, dict(row)))
                found += [(topic, "optimization", shown) for topic in topics]
            else:
                found += self._of_deleted(tx, optimization_id)
        return found

    def _of_deleted(self, tx: Connection, optimization_id: str) -> Published:
        """Who watches what is no more is told so; the lists are read anew: an event would name what others own."""
        watched = self._watched_jobs()
        left = set(tx.execute(select(jobs.c.id).where(jobs.c.id.in_(watched))).scalars()) if watched else set()
        gone = [f"optimization:{optimization_id}", *(f"job:{job_id}" for job_id in sorted(watched - left))]
        told: Published = [(topic, "gone", {"topic": topic}) for topic in gone if self._broker.is_watched(topic)]
        return [*told, ("optimizations", "reload", {})]

    def _watched_jobs(self) -> set[str]:
        return {topic.removeprefix("job:") for topic in self._broker.topics if topic.startswith("job:")}

    def _optimization_of(self, tx: Connection, changes: Changes) -> dict[str, str | None]:
        ids = changes.jobs | {job_id for job_id, *_ in changes.points}
        if not ids:
            return {}
        found = tx.execute(select(jobs.c.id, jobs.c.optimization).where(jobs.c.id.in_(ids)))
        return dict(found.all())

    def _of_jobs(self, tx: Connection, changes: Changes, of: dict[str, str | None]) -> Published:
        watched = {job_id: self._topics(job_id, of) for job_id in changes.jobs}
        ids = [job_id for job_id, topics in watched.items() if topics]
        if not ids:
            return []
        rows = [dict(row) for row in tx.execute(select(jobs).where(jobs.c.id.in_(ids))).mappings()]
        return [(topic, "job", shown) for shown in views.jobs_view(tx, rows) for topic in watched[shown["id"]]]

    def _topics(self, job_id: str, of: dict[str, str | None]) -> list[str]:
        names = [f"job:{job_id}", f"optimization:{of.get(job_id)}"]
        return [name for name in names if self._broker.is_watched(name)]
