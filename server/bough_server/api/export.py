"""Everything as a file: CSV by RFC 4180 or JSON lines, streamed, the same bytes wherever it is asked for.

Numbers are written so that reading them gives the same bits. Text that a spreadsheet would run as a formula gets a
leading apostrophe; numbers never do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from starlette.responses import StreamingResponse

from bough_server.api.parts import TheCoordinator
from bough_server.api.security import READING
from bough_server.archive.records import finite
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1", tags=["export"])
Reading = Annotated[Key, Depends(READING)]
Format = Literal["csv", "jsonl"]

_TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")
_SPECIAL = frozenset(',"\r\n')
_BLOCK = 64 * 1024  # characters that are gathered before they are sent
_TYPES = {"csv": "text/csv; charset=utf-8; header=present", "jsonl": "application/jsonl"}


@router.get("/optimizations/{optimization_id}/export")
async def optimization(
    found: TheCoordinator,
    key: Reading,
    optimization_id: str,
    format: Format = "csv",
    points: bool = False,
    all_attempts: bool = False,
) -> Response:
    """Return every trial, or every point of every trial."""
    known = (await found.optimization(optimization_id))["id"]
    make = found.point_export if points else found.trial_export
    columns, rows = await make(known, all_attempts)
    return _file(f"{known}-{'points' if points else 'trials'}", format, columns, rows)


def _file(name: str, format: Format, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Response:
    lines = csv_lines(columns, rows) if format == "csv" else jsonl_lines(columns, rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{format}"'}
    return StreamingResponse(_blocks(lines), media_type=_TYPES[format], headers=headers)


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a CSV file, the head first."""
    yield ",".join(cell(column) for column in columns) + "\r\n"
    for row in rows:
        yield ",".join(cell(row.get(column)) for column in columns) + "\r\n"


def jsonl_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one JSON object per row; numbers that are not finite are "nan", "inf" and "-inf"."""
    for row in rows:
        known = {column: finite(row.get(column)) for column in columns}
        yield json.dumps(known, ensure_ascii=False, allow_nan=False) + "\n"


def cell(value: Any) -> str:
    """Return one cell: empty for None, exact numbers, text that no spreadsheet runs, anything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return number(float(value))
    text = value if isinstance(value, str) else json.dumps(finite(value), ensure_ascii=False)
    if text.startswith(_TRIGGERS):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if not _SPECIAL.isdisjoint(text) else text


def number(value: float) -> str:
    """Return a float as the shortest text that reads back as the same float; nan, inf and -inf as these words."""
    return repr(value) if math.isfinite(value) else str(value)


def _blocks(lines: Iterable[str]) -> Iterator[bytes]:
    gathered: list[str] = []
    size = 0
    for line in lines:
        gathered.append(line)
        size += len(line)
        if size >= _BLOCK:
            yield "".join(gathered).encode("utf-8", "replace")
            gathered, size = [], 0
    yield "".join(gathered).encode("utf-8", "replace")
