"""The desk for the table of jobs, what people mark in it, and what charts are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bough_server.desks.ground import Ground, mapping
from bough_server.service import marks, overview, table, views
from bough_server.service.changes import Changes
from bough_server.service.identity import Key
from bough_server.store import reads


class Tables:
    """Jobs as a table of one's own making, and trials by columns."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def page(self, asked: table.Request, limit: int, offset: int) -> dict[str, Any]:
        """Return one page of the table: `GET /table`."""
        return await self._ground.store.read(lambda tx: views.plain(table.page(tx, asked, limit, offset)))

    async def columns(self, asked: table.Request) -> dict[str, Any]:
        """Return the columns there are: `GET /table/columns`."""
        return {"columns": await self._ground.store.read(lambda tx: table.available(tx, asked))}

    async def file(self, asked: table.Request) -> tuple[list[str], Iterator[dict[str, Any]]]:
        """Return the columns and rows of exactly what is shown, all pages of it."""
        return await self._ground.store.read(lambda tx: table.file(tx, asked))

    async def mark(self, key: Key, job_id: str, body: Any) -> dict[str, Any]:
        """Star, tag or note a job: `POST /jobs/{id}/marks`; return its marks."""
        told, now, changes = mapping(body), self._ground.clock.now(), Changes()
        known = await self._ground.store.write(lambda tx: marks.mark(tx, job_id, told, now, key.id, changes))
        await self._ground.commit(changes)
        return await self._ground.store.read(lambda tx: marks.of(tx, known))

    async def marks(self, job_id: str) -> dict[str, Any]:
        """Return the star, tags and note of a job."""
        return await self._ground.store.read(lambda tx: marks.of(tx, reads.job(tx, job_id)["id"]))

    async def views(self, key: Key) -> dict[str, Any]:
        """Return the views that this key's user keeps: `GET /views`."""
        rows = await self._ground.store.read(lambda tx: marks.views_of(tx, key.user))
        return {"rows": rows, "total": len(rows)}

    async def keep_view(self, key: Key, body: Any) -> dict[str, Any]:
        """Keep a view under a name: `POST /views`; return it."""
        told, now = mapping(body), self._ground.clock.now()
        made = await self._ground.store.write(lambda tx: marks.keep_view(tx, key.user, told, now, self._ground.new_id))
        return next(one for one in (await self.views(key))["rows"] if one["id"] == made)

    async def drop_view(self, key: Key, view_id: str) -> None:
        """Delete a kept view: `DELETE /views/{id}`."""
        await self._ground.store.write(lambda tx: marks.drop_view(tx, key.user, view_id))

    async def overview(self, optimization_id: str) -> dict[str, Any]:
        """Return all trials by columns: `GET /optimizations/{id}/overview`."""
        return await self._ground.store.read(lambda tx: overview.trials(tx, optimization_id))

    async def curves(
        self, optimization_id: str, channel: str | None, numbers: Sequence[int], most: int
    ) -> dict[str, Any]:
        """Return the curves of many trials: `GET /optimizations/{id}/curves`."""
        return await self._ground.store.read(lambda tx: overview.curves(tx, optimization_id, channel, numbers, most))
