"""The desk for what becomes of an optimization later: edits, retries, restarts, archiving, deleting."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from bough_server.desks.ground import Ground, mapping
from bough_server.desks.jobs import Jobs
from bough_server.desks.optimizations import Optimizations
from bough_server.optimizers.extras import check_installed
from bough_server.service import again, editing, edits, idempotency, removal, restart
from bough_server.service import jobs as job_service
from bough_server.service.changes import Changes
from bough_server.service.identity import Key
from bough_server.store import reads


class Life:
    """The later life of optimizations, and of jobs that failed."""

    def __init__(self, ground: Ground, optimizations: Optimizations, jobs: Jobs) -> None:
        self._ground = ground
        self._optimizations = optimizations
        self._jobs = jobs

    async def definition(self, optimization_id: str) -> dict[str, Any]:
        """Return what an edit begins with: `GET /optimizations/{id}/definition`."""

        def read(tx: Connection) -> dict[str, Any]:
            row = reads.optimization(tx, optimization_id)
            raw, fixed = editing.current(tx, row)
            return {"id": row["id"], "space_version": row["space_version"], "definition": raw, "fixed": fixed}

        return await self._ground.store.read(read)

    async def edits(self, optimization_id: str) -> dict[str, Any]:
        """List what was done to an optimization, the oldest first: `GET /optimizations/{id}/edits`."""

        def read(tx: Connection) -> dict[str, Any]:
            rows = edits.of_optimization(tx, reads.optimization(tx, optimization_id)["id"])
            return {"rows": rows, "total": len(rows)}

        return await self._ground.store.read(read)

    async def edit(self, key: Key, optimization_id: str, body: Any) -> dict[str, Any]:
        """Change space and settings: `POST /optimizations/{id}/edit`. With ``dry_run`` only say what would change."""
        edit = dict(mapping(body))
        is_dry = edit.pop("dry_run", False) is True
        known = edit.pop("space_version", None)
        planned = await self._ground.store.read(lambda tx: editing.plan(tx, optimization_id, edit, known))
        check_installed(planned.new.settings.algorithm)
        if is_dry:
            return {**await self._optimizations.one(optimization_id), "edit": planned.shown()}
        now = self._ground.clock.now()
        done: list[editing.Plan] = []

        def work(tx: Connection, changes: Changes) -> str:
            its_id, plan = editing.apply(tx, optimization_id, edit, now, key.id, changes, known)
            done.append(plan)
            return its_id

        shown = await self._changed(work)
        return {**shown, "edit": done[-1].shown()}

    async def retry(self, key: Key, optimization_id: str, body: Any) -> dict[str, Any]:
        """Run trials that failed once more: `POST /optimizations/{id}/retry`."""
        body, now = mapping(body), self._ground.clock.now()
        numbers: list[int] = []

        def work(tx: Connection, changes: Changes) -> str:
            its_id, found = again.retry(tx, optimization_id, body, now, key.id, changes)
            numbers[:] = found
            return its_id

        return {**await self._changed(work), "retried": numbers}

    async def retry_job(self, job_id: str, body: Any) -> dict[str, Any]:
        """Run a job that failed once more: `POST /jobs/{id}/retry`."""
        body, now, changes = mapping(body), self._ground.clock.now(), Changes()
        known = await self._ground.store.write(lambda tx: job_service.retry(tx, job_id, body, now, changes))
        await self._ground.commit(changes)
        self._ground.ring_wanting()
        return await self._jobs.one(known)

    async def restart(
        self, key: Key, optimization_id: str, body: Any, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Begin the next generation: `POST /optimizations/{id}/restart`."""
        body, now, seed = mapping(body), self._ground.clock.now(), secrets.randbelow(2**31)
        told = {"restart": optimization_id, **body}

        def work(tx: Connection, changes: Changes) -> str:
            def make(tx: Connection) -> str:
                return restart.restart(tx, optimization_id, body, now, key.id, seed, changes)

            return idempotency.once(tx, key, idempotency_key, told, now, make)

        return await self._changed(work)

    async def archive(self, optimization_id: str) -> dict[str, Any]:
        """Hide an optimization: `POST /optimizations/{id}/archive`."""
        now = self._ground.clock.now()
        return await self._changed(lambda tx, changes: removal.archive(tx, optimization_id, now, changes))

    async def unarchive(self, optimization_id: str) -> dict[str, Any]:
        """Show it again: `POST /optimizations/{id}/unarchive`."""
        return await self._changed(lambda tx, changes: removal.unarchive(tx, optimization_id, changes))

    async def remove(self, optimization_id: str, confirm: Any, with_records: bool) -> dict[str, Any]:
        """Delete an optimization: `DELETE /optimizations/{id}`. Its records stay unless they are named too.

        What has no record yet gets it first; where that cannot be written, the optimization stays, archived.
        """
        changes, now = Changes(), self._ground.clock.now()
        if not with_records and self._ground.write_records is not None:
            before = Changes()
            await self._ground.store.write(lambda tx: removal.prepare(tx, optimization_id, confirm, now, before))
            await self._ground.commit(before)
            await self._ground.write_records()
        row = await self._ground.store.write(lambda tx: removal.remove(tx, optimization_id, confirm, changes))
        self._ground.pruner.forget(row["id"])
        await self._ground.commit(changes)
        refs = 0
        if with_records and self._ground.delete_records is not None:
            refs = await self._ground.delete_records(row["model"], row["id"])
        return {"deleted": row["id"], "model": row["model"], "records_deleted": refs}

    async def _changed(self, work: Callable[[Connection, Changes], str]) -> dict[str, Any]:
        shown = await self._optimizations.steer(work)
        self._ground.pruner.forget(shown["id"])
        return shown
