"""The desk for what people take away as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bough_server.desks.ground import Ground
from bough_server.service import export


class Exports:
    """The rows of exports, read as they are taken."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def trials(
        self, optimization_id: str, all_attempts: bool = False, generation: int | None = None
    ) -> tuple[list[str], Iterator[dict[str, Any]]]:
        """Return the columns and rows of the table of all trials; the rows are read as they are taken."""
        columns, rows = await self._ground.store.read(
            lambda tx: export.trial_table(tx, optimization_id, all_attempts, generation)
        )
        return columns, iter(rows)

    async def points(
        self, optimization_id: str, all_attempts: bool = False, generation: int | None = None
    ) -> tuple[list[str], Iterator[dict[str, Any]]]:
        """Return the columns and rows of all points; the rows are read job by job as they are taken."""
        found = await self._ground.store.read(lambda tx: export.runs_of(tx, optimization_id, all_attempts, generation))
        return list(export.POINT_COLUMNS), export.point_rows_of(self._ground.store.read_sync, found)
