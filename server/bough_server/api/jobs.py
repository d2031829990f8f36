"""Routes of jobs: manual ones are made here; trials are looked at and stopped here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import FileResponse

from bough_server.api.bodies import DEFINITION_BYTES, read_json
from bough_server.api.parts import Limit, Offset, TheCoordinator, body_of, boolean, changeable_job, idempotency_key
from bough_server.api.replies import json_reply
from bough_server.api.security import CHANGING, READING
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
Reading = Annotated[Key, Depends(READING)]
Changing = Annotated[Key, Depends(CHANGING)]
_PICTURES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg"}
Attempt = Annotated[int | None, Query(ge=1)]


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
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """List jobs, newest first."""
    rows = found.jobs.page(optimization=optimization, state=state, manual=manual, limit=limit, offset=offset)
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
) -> Response:
    """Return the points of one channel or of all; ``most`` thins them so that a picture of them stays the same."""
    return json_reply(await found.jobs.points(job_id, channel, attempt, after, most))


@router.get("/{job_id}/log")
async def log(
    found: TheCoordinator,
    key: Reading,
    job_id: str,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=4 * 1024 * 1024)] = 1024 * 1024,
    attempt: Attempt = None,
) -> Response:
    """Return a piece of the log as it came; the header Bough-Log-Bytes says how long all of it is."""
    content, total = await found.jobs.log(job_id, offset, limit, attempt)
    return Response(content, media_type="text/plain; charset=utf-8", headers={"Bough-Log-Bytes": str(total)})


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
    return json_reply(await found.jobs.call(key, known, name, body.get("args", {})), 201)


@router.post("/{job_id}/stop", openapi_extra=body_of())
async def stop(request: Request, found: TheCoordinator, key: Changing, job_id: str) -> Response:
    """Stop a job; with ``{"now": true}`` without asking its script first."""
    now = boolean(await read_json(request), "now")
    return json_reply(await found.jobs.stop(await changeable_job(found, key, job_id), now))
