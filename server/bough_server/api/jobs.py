"""Routes of jobs: manual ones are made here; trials are looked at and stopped here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import FileResponse, StreamingResponse

from bough_server.api.bodies import DEFINITION_BYTES, read_json
from bough_server.api.parts import Limit, Offset, TheCoordinator, body_of, boolean, changeable_job, idempotency_key
from bough_server.api.replies import json_reply
from bough_server.api.security import CHANGING, READING
from bough_server.coordinator import Coordinator
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
Reading = Annotated[Key, Depends(READING)]
Changing = Annotated[Key, Depends(CHANGING)]
_PIECE = 1024 * 1024
_PICTURES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg"}
Attempt = Annotated[int | None, Query(ge=1, lt=2**31)]


@router.post("", status_code=201, openapi_extra=body_of("definition", "commit", limit="1 MiB"))
async def create(request: Request, found: TheCoordinator, key: Changing) -> Response:
    """Queue one manual job."""
    body = await read_json(request, DEFINITION_BYTES)
    return json_reply(await found.jobs.create(key, body, idempotency_key(request)), 201)


@router.get("")
async def listed(
    found: TheCoordinator,
    key: Reading,
    optimization: Annotated[str | None, Query(max_length=100)] = None,
    state: Annotated[str | None, Query(max_length=500)] = None,
    manual: bool | None = None,
    model: Annotated[str | None, Query(max_length=200)] = None,
    sort: Annotated[str | None, Query(max_length=200)] = None,
    descending: bool = False,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """List jobs, newest first or sorted as trials are."""
    rows = found.jobs.page(limit, offset, optimization, state, manual, model, sort, descending)
    return json_reply(await rows)


@router.get("/{job_id}")
async def one(found: TheCoordinator, key: Reading, job_id: str) -> Response:
    """Return one job with its channels, infos and attempts; any unambiguous prefix of its id will do."""
    return json_reply(await found.jobs.one(job_id))


@router.get("/{job_id}/points")
async def points(
    found: TheCoordinator,
    key: Reading,
    job_id: str,
    channel: Annotated[str | None, Query(max_length=1000)] = None,
    attempt: Attempt = None,
    after: Annotated[int | None, Query(ge=0)] = None,
    most: Annotated[int | None, Query(ge=4, le=100_000)] = None,
    low: float | None = None,
    high: float | None = None,
) -> Response:
    """Return the points of one channel or of all; ``most`` thins them so that a picture of them stays the same.

    With ``low`` and ``high`` only those whose x lies between, and their neighbours: what a chart shows that was zoomed.
    """
    stretch = None if low is None or high is None else (low, high)
    return json_reply(await found.jobs.points(job_id, channel, attempt, after, most, stretch))


@router.get("/{job_id}/diff")
async def diff(found: TheCoordinator, key: Reading, job_id: str, to: Annotated[str, Query(max_length=100)]) -> Response:
    """Return what differs between the code of this job and that of another one, file by file."""
    return json_reply(await found.differences.of(job_id, to))


@router.get("/{job_id}/log")
async def log(
    found: TheCoordinator,
    key: Reading,
    job_id: str,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=4 * 1024 * 1024)] = 1024 * 1024,
    attempt: Attempt = None,
    whole: bool = False,
) -> Response:
    """Return a piece of the log as it came; the header Bough-Log-Bytes says how long all of it is.

    With ``whole`` all of it from ``offset`` on, as a file to be saved.
    """
    content, total = await found.jobs.log(job_id, offset, limit, attempt)
    if whole:
        name = {"Content-Disposition": f'attachment; filename="{quote(job_id)}.log"'}
        pieces = _pieces(found, job_id, attempt, offset, content, total)
        return StreamingResponse(pieces, media_type="text/plain; charset=utf-8", headers=name)
    return Response(content, media_type="text/plain; charset=utf-8", headers={"Bough-Log-Bytes": str(total)})


async def _pieces(
    found: Coordinator, job_id: str, attempt: int | None, offset: int, first: bytes, total: int
) -> AsyncIterator[bytes]:
    """Yield a log from ``offset`` to where it ends now, of which ``first`` has been read."""
    content = first
    while content:
        yield content
        offset += len(content)
        content = (
            (await found.jobs.log(job_id, offset, min(_PIECE, total - offset), attempt))[0] if offset < total else b""
        )


@router.get("/{job_id}/files")
async def files(found: TheCoordinator, key: Reading, job_id: str, attempt: Attempt = None) -> Response:
    """List the files that the job handed in."""
    return json_reply(await found.jobs.files(job_id, attempt))


@router.get("/{job_id}/files/{path:path}")
async def file(found: TheCoordinator, key: Reading, job_id: str, path: str, attempt: Attempt = None) -> Response:
    """Return one of these files. A browser shows pictures and saves everything else: what a job wrote is not ours."""
    place = await found.jobs.file(job_id, path, attempt)
    kind = _PICTURES.get(path.rpartition(".")[2].lower())
    headers = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}
    name = path.rpartition("/")[2]
    if kind is not None:
        return FileResponse(place, media_type=kind, headers=headers)
    return FileResponse(place, media_type="application/octet-stream", filename=name, headers=headers)


@router.get("/{job_id}/documents")
async def documents(
    found: TheCoordinator,
    key: Reading,
    job_id: str,
    kind: Annotated[str | None, Query(max_length=100)] = None,
    attempt: Attempt = None,
) -> Response:
    """Return the documents of a job: images, confusion matrices, embeddings, steps, system facts, …"""
    return json_reply(await found.jobs.documents(job_id, kind, attempt))


@router.get("/{job_id}/actions")
async def actions(found: TheCoordinator, key: Reading, job_id: str) -> Response:
    """Return the actions that the job registered, and every call with its answer."""
    return json_reply(await found.jobs.actions(job_id))


@router.post("/{job_id}/actions/{name:path}", status_code=201, openapi_extra=body_of())
async def call(request: Request, found: TheCoordinator, key: Changing, job_id: str, name: str) -> Response:
    """Ask the running job to run one of its actions; the answer comes with the list of calls."""
    body = await read_json(request)
    known = await changeable_job(found, key, job_id)
    return json_reply(await found.jobs.call(key, known, name, body.get("args", {}), idempotency_key(request)), 201)


@router.post("/{job_id}/pause")
async def pause(found: TheCoordinator, key: Changing, job_id: str) -> Response:
    """Stop the processes of a job where they are; its max_time stands still."""
    return json_reply(await found.jobs.pause(await changeable_job(found, key, job_id)))


@router.post("/{job_id}/continue")
async def go_on(found: TheCoordinator, key: Changing, job_id: str) -> Response:
    """Let a paused job go on."""
    return json_reply(await found.jobs.go_on(await changeable_job(found, key, job_id)))


@router.post("/{job_id}/stop", openapi_extra=body_of())
async def stop(request: Request, found: TheCoordinator, key: Changing, job_id: str) -> Response:
    """Stop a job; with ``{"now": true}`` without asking its script first."""
    now = boolean(await read_json(request), "now")
    return json_reply(await found.jobs.stop(await changeable_job(found, key, job_id), now))
