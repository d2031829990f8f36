"""The desk for jobs: starting one by hand, listing, showing, stopping; their points and logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from bough.errors import NotFound
from bough_server.desks.ground import Ground, mapping
from bough_server.service import actions, definitions, documents, files, idempotency, jobs, pausing, views
from bough_server.service.changes import Changes
from bough_server.service.identity import Key, require_owner
from bough_server.store import reads, schema
from bough_server.store.contents import ContentStore

_MAX_LOG = 4 * 1024 * 1024


class Jobs:
    """Jobs, whether trials or started by hand."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def create(self, key: Key, body: Any, idempotency_key: str | None = None) -> dict[str, Any]:
        """Queue a manual job: `POST /jobs`."""
        body = mapping(body)
        found = definitions.parse(body.get("definition"))
        require_owner(key, found.model)
        now = self._ground.clock.now()

        def make(tx: Connection) -> str:
            return jobs.create(tx, found, body, now, key.id, self._ground.new_id)

        made = await self._ground.store.write(lambda tx: idempotency.once(tx, key, idempotency_key, body, now, make))
        await self._ground.commit(Changes(jobs={made}))
        self._ground.ring_wanting()
        return await self.one(made)

    async def page(
        self,
        limit: int = 50,
        offset: int = 0,
        optimization: str | None = None,
        state: str | None = None,
        manual: bool | None = None,
        model: str | None = None,
        sort: str | None = None,
        descending: bool = False,
    ) -> dict[str, Any]:
        """List jobs, newest first or sorted: `GET /jobs`."""

        def page(tx: Connection) -> dict[str, Any]:
            column = schema.jobs.c.optimization
            where = [] if optimization is None else [column == reads.optimization(tx, optimization)["id"]]
            where += [jobs.in_state(state)] if state else []
            where += [] if manual is None else [column.is_(None) if manual else column.is_not(None)]
            where += [] if model is None else [schema.jobs.c.model == model]
            rows, total = jobs.page(tx, where, sort, descending, limit, offset)
            return {"rows": views.jobs_view(tx, rows), "total": total}

        return await self._ground.store.read(page)

    async def one(self, job_id: str) -> dict[str, Any]:
        """Show one job with its channels, infos and attempts; the beginning of its id will do."""
        return await self._ground.store.read(lambda tx: views.plain(views.whole_job(tx, reads.job(tx, job_id))))

    async def points(
        self,
        job_id: str,
        channel: str | None = None,
        attempt: int | None = None,
        after: int | None = None,
        most: int | None = None,
        stretch: tuple[float, float] | None = None,
    ) -> dict[str, Any]:
        """Return the points of one channel, or of all, thinned to ``most`` if given: `GET /jobs/{id}/points`."""
        return await self._ground.store.read(
            lambda tx: views.all_points(tx, reads.job(tx, job_id), channel, attempt, after or 0, most, stretch)
        )

    async def log(
        self, job_id: str, offset: int = 0, limit: int = 65536, attempt: int | None = None
    ) -> tuple[bytes, int]:
        """Return a stretch of a job's log, and how many bytes the log has."""

        def stretch(tx: Connection) -> tuple[bytes, int]:
            row = reads.job(tx, job_id)
            return reads.log_bytes(tx, row["id"], attempt or row["attempt"], offset, max(0, min(limit, _MAX_LOG)))

        return await self._ground.store.read(stretch)

    async def files(self, job_id: str, attempt: int | None = None) -> dict[str, Any]:
        """List the files that a job handed in: `GET /jobs/{id}/files`."""

        def listed(tx: Connection) -> list[dict[str, Any]]:
            row = reads.job(tx, job_id)
            return files.rows(tx, row, attempt or row["attempt"])

        rows = await self._ground.store.read(listed)
        return {"rows": rows, "total": len(rows)}

    async def file(self, job_id: str, path: str, attempt: int | None = None) -> Path:
        """Return where the content of one of its files is.

        Raises:
            NotFound: It handed in no such file, or its content is not here.
        """
        known = {row["path"]: row for row in (await self.files(job_id, attempt))["rows"]}
        row = known.get(path)
        if row is None:
            raise NotFound(f"job {job_id} handed in no file {path[:200]}.", "See GET /api/v1/jobs/ID/files.")
        if row["state"] != files.HERE:
            why = row["reason"] or {files.COMING: "it is still on its way."}.get(row["state"], "it never came.")
            raise NotFound(f"the content of {path} is not here: {why}", "")
        return ContentStore(self._ground.config.contents).path(row["sha256"])

    async def documents(self, job_id: str, kind: str | None = None, attempt: int | None = None) -> dict[str, Any]:
        """Return what a job keeps under names, all or of one kind: `GET /jobs/{id}/documents`."""

        def found(tx: Connection) -> list[dict[str, Any]]:
            row = reads.job(tx, job_id)
            return documents.rows(tx, row["id"], attempt or row["attempt"], kind)

        rows = await self._ground.store.read(found)
        return {"rows": views.plain(rows), "total": len(rows)}

    async def actions(self, job_id: str) -> dict[str, Any]:
        """Return what a job lets people call, and the calls so far: `GET /jobs/{id}/actions`."""

        def found(tx: Connection) -> dict[str, Any]:
            row = reads.job(tx, job_id)
            known = documents.rows(tx, row["id"], row["attempt"], "action")
            registered = [{"name": one["name"], **(one["value"] or {})} for one in known]
            return {"actions": registered, "calls": actions.rows(tx, row)}

        return views.plain(await self._ground.store.read(found))  # type: ignore[no-any-return]

    async def call(
        self, key: Key, job_id: str, name: str, args: Any, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Ask a running job to run an action: `POST /jobs/{id}/actions/{name}`."""
        changes, at, new_id = Changes(), self._ground.clock.now(), self._ground.new_id
        asked = {"job": job_id, "action": name, "args": args}

        def make(tx: Connection) -> str:
            return actions.call(tx, job_id, name, args, key.id, at, new_id, changes)

        made = await self._ground.store.write(lambda tx: idempotency.once(tx, key, idempotency_key, asked, at, make))
        await self._ground.commit(changes)
        return next(one for one in (await self.actions(job_id))["calls"] if one["id"] == made)

    async def pause(self, job_id: str) -> dict[str, Any]:
        """Stop its processes where they are, until it is continued."""
        return await self._steer(lambda tx, changes: pausing.pause(tx, job_id, changes))

    async def go_on(self, job_id: str) -> dict[str, Any]:
        """Let its processes go on after a pause."""
        return await self._steer(lambda tx, changes: pausing.go_on(tx, job_id, changes))

    async def stop(self, job_id: str, now: bool = False) -> dict[str, Any]:
        """End a job politely, or by force."""
        at = self._ground.clock.now()
        return await self._steer(lambda tx, changes: jobs.stop(tx, job_id, at, changes, at_once=now))

    async def _steer(self, work: Callable[[Connection, Changes], str]) -> dict[str, Any]:
        changes = Changes()
        known = await self._ground.store.write(lambda tx: work(tx, changes))
        await self._ground.commit(changes)
        return await self.one(known)
