"""The desk for optimizations: creating, listing, steering, and points set by hand."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from bough.errors import UsageError
from bough_server.desks.ground import Ground, mapping
from bough_server.desks.jobs import Jobs
from bough_server.optimizers.extras import check_installed
from bough_server.service import (
    definitions,
    given,
    idempotency,
    jobs,
    observations,
    optimizations,
    pausing,
    removal,
    searches,
    views,
)
from bough_server.service.changes import Changes
from bough_server.service.identity import Key, require_owner
from bough_server.store import reads


class Optimizations:
    """The life of optimizations."""

    def __init__(self, ground: Ground, jobs: Jobs) -> None:
        self._ground = ground
        self._jobs = jobs

    async def create(self, key: Key, body: Any, idempotency_key: str | None = None) -> dict[str, Any]:
        """Start an optimization: `POST /optimizations`."""
        body = mapping(body)
        found = definitions.parse(body.get("definition"))
        require_owner(key, found.model)
        if not found.has_optimization:
            raise UsageError(f"{found.model} has no section optimization.", "Say in bough.yml what to search.")
        check_installed(found.settings.algorithm)
        if isinstance(body.get("warm_start"), str):
            await self.one(body["warm_start"])  # what the bearer may not see helps nobody
        now, seed, changes = self._ground.clock.now(), secrets.randbelow(2**31), Changes()

        def make(tx: Connection) -> str:
            known = optimizations.create(tx, found, body, now, key.id, self._ground.new_id, seed)
            given.warm_start(tx, known, body.get("warm_start"), now)
            observations.at_start(tx, known)
            self._ground.top_up(tx, known, now, changes)
            return known

        made = await self._ground.store.write(lambda tx: idempotency.once(tx, key, idempotency_key, body, now, make))
        await self._ground.commit(changes)
        self._ground.ring_wanting()
        return await self.one(made)

    async def page(
        self,
        limit: int = 50,
        offset: int = 0,
        state: str | None = None,
        model: str | None = None,
        archived: bool = False,
    ) -> dict[str, Any]:
        """List optimizations, newest first: `GET /optimizations`."""
        where = removal.listed(state, model, archived)
        return await self._ground.store.read(lambda tx: views.plain(views.optimizations_page(tx, limit, offset, where)))

    async def one(self, optimization_id: str) -> dict[str, Any]:
        """Show one optimization; the beginning of its id will do."""
        return await self._ground.store.read(
            lambda tx: views.plain(views.optimization_view(tx, reads.optimization(tx, optimization_id)))
        )

    async def trials(
        self,
        optimization_id: str,
        sort: str | None = None,
        descending: bool = False,
        state: str | None = None,
        limit: int = 100,
        offset: int = 0,
        generation: int | None = None,
    ) -> dict[str, Any]:
        """List the trials of an optimization, of its newest generation: `GET /optimizations/{id}/trials`."""

        def page(tx: Connection) -> dict[str, Any]:
            row = reads.optimization(tx, optimization_id)
            where = [views.in_generation(searches.of_generation(tx, row, generation))]
            where += [jobs.in_state(state)] if state else []
            rows, total = jobs.page(tx, where, sort or "number", descending, limit, offset)
            return {"rows": views.jobs_view(tx, rows), "total": total}

        return await self._ground.store.read(page)

    async def stop(self, optimization_id: str, now: bool = False) -> dict[str, Any]:
        """Start nothing more of it; ``now`` also stops what runs."""
        at = self._ground.clock.now()
        return await self.steer(lambda tx, changes: optimizations.stop(tx, optimization_id, at, changes, at_once=now))

    async def pause(self, optimization_id: str, release: bool = False, freeze: bool = False) -> dict[str, Any]:
        """Start nothing of it for now; ``release`` also gives back what runs, ``freeze`` pauses that."""

        def pause(tx: Connection, changes: Changes) -> str:
            known = optimizations.pause(tx, optimization_id, changes, release=release)
            if freeze:
                pausing.freeze(tx, known, changes)
            return known

        return await self.steer(pause)

    async def resume(self, optimization_id: str) -> dict[str, Any]:
        """Go on after a pause."""
        return await self.steer(lambda tx, changes: optimizations.resume(tx, optimization_id, changes))

    async def extend(self, optimization_id: str, max_trials: int, is_more: bool = False) -> dict[str, Any]:
        """Give it more trials, so many in all or more; one that has ended goes on."""
        now = self._ground.clock.now()
        return await self.steer(
            lambda tx, changes: optimizations.extend(tx, optimization_id, max_trials, now, changes, is_more=is_more)
        )

    async def enqueue(
        self, key: Key, optimization_id: str, body: Any, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Make values set by hand its next trial: `POST /optimizations/{id}/enqueue`. Return that job."""
        body, changes, now = mapping(body), Changes(), self._ground.clock.now()

        def make(tx: Connection) -> str:
            known = given.enqueue(tx, optimization_id, body, now, self._ground.new_id, changes)
            self._ground.top_up(tx, optimization_id, now, changes)
            return known

        told = {"optimization": optimization_id, **body}
        made = await self._ground.store.write(lambda tx: idempotency.once(tx, key, idempotency_key, told, now, make))
        await self._ground.commit(changes)
        self._ground.ring_wanting()
        return await self._jobs.one(made)

    async def steer(self, work: Callable[[Connection, Changes], str]) -> dict[str, Any]:
        """Do something to an optimization, with what follows from it, in one transaction; return how it is then.

        ``work`` returns its full id.
        """
        changes = Changes()
        now = self._ground.clock.now()

        def steer(tx: Connection) -> str:
            known = work(tx, changes)
            self._ground.top_up(tx, known, now, changes)
            return known

        known = await self._ground.store.write(steer)
        await self._ground.commit(changes)
        self._ground.ring_wanting()
        return await self.one(known)
