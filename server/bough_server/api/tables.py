"""Routes of the table of jobs, of marks and kept views, and of what charts are drawn from."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from bough.errors import UsageError
from bough_server.api.bodies import read_json
from bough_server.api.export import Format, file_reply
from bough_server.api.parts import Limit, Offset, TheCoordinator, body_of, changeable_job
from bough_server.api.replies import json_reply
from bough_server.api.security import CHANGING, READING
from bough_server.service import table
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1", tags=["tables"])
Reading = Annotated[Key, Depends(READING)]
Changing = Annotated[Key, Depends(CHANGING)]
Id = Annotated[str | None, Query(max_length=200)]
Names = Annotated[str, Query(max_length=8000)]


async def asked(
    optimization: Id = None,
    model: Id = None,
    manual: bool | None = None,
    columns: Names = "",
    where: Names = "[]",
    sort: Names = "",
) -> table.Request:
    """Return what the address of a table asks for: ``columns`` and ``sort`` are JSON lists of names, as is ``where``.

    A single name may stand without brackets.
    """
    return table.Request(optimization, model, manual, _names(columns), _list(where, "where"), _names(sort))


Asked = Annotated[table.Request, Depends(asked)]


def _names(text: str) -> list[str]:
    if not text.startswith("["):
        return [text] if text else []
    found = _list(text, "the list of columns")
    if not all(isinstance(name, str) for name in found):
        raise UsageError("a column is named by text.", 'Send ["number", "kpi"].')
    return found


def _list(text: str, what: str) -> list[Any]:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"{what} is no JSON: {error}.", 'Send [["p.lr", ">", 0.1]].') from None
    if not isinstance(found, list):
        raise UsageError(f"{what} is no list.", 'Send [["p.lr", ">", 0.1]].')
    return found


@router.get("/table")
async def page(found: TheCoordinator, key: Reading, asked: Asked, limit: Limit = 100, offset: Offset = 0) -> Response:
    """Return one page of jobs as a table with any columns, filter and order."""
    return json_reply(await found.tables.page(asked, limit, offset))


@router.get("/table/columns")
async def columns(found: TheCoordinator, key: Reading, asked: Asked) -> Response:
    """Return every column that these jobs have something for."""
    return json_reply(await found.tables.columns(asked))


@router.get("/table/export")
async def file(found: TheCoordinator, key: Reading, asked: Asked, format: Format = "csv") -> Response:
    """Return exactly the table that is shown, all pages of it."""
    names, rows = await found.tables.file(asked)
    return file_reply("jobs", format, names, rows)


@router.get("/jobs/{job_id}/marks")
async def marks(found: TheCoordinator, key: Reading, job_id: str) -> Response:
    """Return a job's star, tags and note."""
    return json_reply(await found.tables.marks(job_id))


@router.post("/jobs/{job_id}/marks", openapi_extra=body_of())
async def mark(request: Request, found: TheCoordinator, key: Changing, job_id: str) -> Response:
    """Change those of star, tags and note that are sent."""
    return json_reply(await found.tables.mark(key, await changeable_job(found, key, job_id), await read_json(request)))


@router.get("/views")
async def views(found: TheCoordinator, key: Reading) -> Response:
    """List the views of the page that one keeps."""
    return json_reply(await found.tables.views(key))


@router.post("/views", status_code=201, openapi_extra=body_of("name", "address"))
async def keep_view(request: Request, found: TheCoordinator, key: Changing) -> Response:
    """Keep a view of the page under a name."""
    return json_reply(await found.tables.keep_view(key, await read_json(request)), 201)


@router.delete("/views/{view_id}", status_code=204)
async def drop_view(found: TheCoordinator, key: Changing, view_id: str) -> Response:
    """Forget a kept view."""
    await found.tables.drop_view(key, view_id)
    return Response(status_code=204)


@router.get("/optimizations/{optimization_id}/overview")
async def overview(found: TheCoordinator, key: Reading, optimization_id: str) -> Response:
    """Return all trials of an optimization by columns."""
    return json_reply(await found.tables.overview(optimization_id))


@router.get("/optimizations/{optimization_id}/curves")
async def curves(
    found: TheCoordinator,
    key: Reading,
    optimization_id: str,
    channel: Annotated[str | None, Query(max_length=1000)] = None,
    trials: Annotated[str, Query(max_length=4000, pattern=r"^([0-9]{0,9},)*[0-9]{0,9}$")] = "",
    most: Annotated[int, Query(ge=4, le=10_000)] = 500,
) -> Response:
    """Return one channel's curve in many trials, thinned to ``most`` points each."""
    numbers = [int(number) for number in trials.split(",") if number]
    return json_reply(await found.tables.curves(optimization_id, channel, numbers, most))
