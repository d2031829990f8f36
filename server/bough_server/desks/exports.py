"""The desk for what people take away as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bough_server.desks.ground import Ground
from bough_server.service import export, export_documents


class Exports:
    """The rows of exports, read as they are taken."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def trials(
        self, optimization_id: str, all_attempts: bool = False
    ) -> tuple[list[str], Iterator[dict[str, Any]]]:
        """Return the columns and rows of the table of all trials; the rows are read as they are taken."""
        columns, rows = await self._ground.store.read(lambda tx: export.trial_table(tx, optimization_id, all_attempts))
        return columns, iter(rows)

    async def points(
        self, optimization_id: str, all_attempts: bool = False
    ) -> tuple[list[str], Iterator[dict[str, Any]]]:
        """Return the columns and rows of all points; the rows are read job by job as they are taken."""
        found = await self._ground.store.read(lambda tx: export.runs_of(tx, optimization_id, all_attempts))
        return list(export.POINT_COLUMNS), export.point_rows_of(self._ground.store.read_sync, found)

    async def runs(self, optimization_id: str, all_attempts: bool = False) -> list[tuple[str, int, int]]:
        """Return (job, number, attempt) of everything that an export of an optimization holds."""
        return await self._ground.store.read(lambda tx: export.runs_of(tx, optimization_id, all_attempts))

    def of_table(self, table: str, runs: list[tuple[str, int, int]]) -> tuple[Sequence[str], Iterator[dict[str, Any]]]:
        """Return the columns and rows of the documents or files of these attempts."""
        read = self._ground.store.read_sync
        if table == "files":
            return export_documents.FILE_COLUMNS, export_documents.file_rows(read, runs)
        return export_documents.DOCUMENT_COLUMNS, export_documents.document_rows(read, runs)
