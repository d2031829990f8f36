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
from bough_server.service import export
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1", tags=["export"])
Reading = Annotated[Key, Depends(READING)]
Format = Literal["csv", "jsonl"]
Table = Literal["documents", "files"]

_TIMES = ("created", "started", "ended")
_JOB_WORDS = """
number id:job_id state end_reason kpi kpi_last kpi_best kpi_best_x epochs created_at:created started_at:started
ended_at:ended duration_s exit_code attempt:attempts agent commit record message
"""
_JOB_COLUMNS = {name: column or name for name, _, column in (word.partition(":") for word in _JOB_WORDS.split())}
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
    table: Table | None = None,
) -> Response:
    """Return every trial; or every point, document or file of every trial."""
    known = (await found.optimizations.one(optimization_id))["id"]
    if table is not None:
        columns_of, rows_of = found.exports.of_table(table, await found.exports.runs(known, all_attempts))
        return file_reply(f"{known}-{table}", format, columns_of, rows_of)
    make = found.exports.points if points else found.exports.trials
    columns, rows = await make(known, all_attempts)
    return file_reply(f"{known}-{'points' if points else 'trials'}", format, columns, rows)


@router.get("/jobs/{job_id}/export")
async def job(
    found: TheCoordinator,
    key: Reading,
    job_id: str,
    format: Format = "csv",
    points: bool = False,
    all_attempts: bool = False,
    table: Table | None = None,
) -> Response:
    """Return one job as a row; or every point, document or file of it."""
    known = await found.jobs.one(job_id)
    if not points and table is None:
        row = job_row(known)
        return file_reply(f"{known['id']}-job", format, list(row), [row])
    newest = known["attempt"]
    attempts = range(1 if all_attempts else max(1, newest), newest + 1)
    runs = [(known["id"], known["number"], attempt) for attempt in attempts]
    if table is not None:
        columns, rows = found.exports.of_table(table, runs)
        return file_reply(f"{known['id']}-{table}", format, columns, rows)
    rows = export.point_rows_of(found.store.read_sync, runs)
    return file_reply(f"{known['id']}-points", format, export.POINT_COLUMNS, rows)


def job_row(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job as one flat row; values are ``p.<path>``, last ones ``channel.<name>``, infos ``info.<name>``."""
    row = {column: _number_again(job.get(name)) for name, column in _JOB_COLUMNS.items()}
    row.update({name: export.iso(row[name]) for name in _TIMES})
    for prefix, part in (("p.", "values"), ("channel.", "last"), ("info.", "infos")):
        row.update({prefix + name: _number_again(value) for name, value in (job.get(part) or {}).items()})
    system = (job.get("documents") or {}).get("system") or []
    row.update({f"system.{one['name']}": _number_again(one["value"]) for one in system})
    return row


def _number_again(value: Any) -> Any:
    """Return a float for the texts that stand for numbers which are not finite in JSON."""
    return float(value) if value in ("nan", "inf", "-inf") else value


def file_reply(name: str, format: Format, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Response:
    """Return a table as a file to keep, sent while its rows are read."""
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
