"""Routes of what becomes of an optimization later: edits, retries, restarts, archiving, deleting."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from bough_server.api.bodies import DEFINITION_BYTES, read_json
from bough_server.api.parts import TheCoordinator, body_of, changeable_job, changeable_optimization, idempotency_key
from bough_server.api.replies import json_reply
from bough_server.api.security import CHANGING, READING
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1", tags=["life"])
Reading = Annotated[Key, Depends(READING)]
Changing = Annotated[Key, Depends(CHANGING)]


@router.get("/optimizations/{optimization_id}/definition")
async def definition(found: TheCoordinator, key: Reading, optimization_id: str) -> Response:
    """Return the definition as it is now, with what is fixed: what an edit changes."""
    return json_reply(await found.life.definition(optimization_id))


@router.get("/optimizations/{optimization_id}/edits")
async def edits(found: TheCoordinator, key: Reading, optimization_id: str) -> Response:
    """List edits, retries and restarts, the oldest first."""
    return json_reply(await found.life.edits(optimization_id))


@router.post("/optimizations/{optimization_id}/edit", openapi_extra=body_of(limit="1 MiB"))
async def edit(request: Request, found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Change space and settings; trials that fit stay in the optimizer's history."""
    body = await read_json(request, DEFINITION_BYTES)
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.life.edit(key, known, body))


@router.patch("/optimizations/{optimization_id}", openapi_extra=body_of())
async def settings(request: Request, found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Change settings, named as in bough.yml; null is the default."""
    body = await read_json(request)
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.life.edit(key, known, {"settings": body}))


@router.post("/optimizations/{optimization_id}/retry", openapi_extra=body_of())
async def retry(request: Request, found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Run trials that failed once more, with the same values."""
    body = await read_json(request)
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.life.retry(key, known, body))


@router.post("/jobs/{job_id}/retry", openapi_extra=body_of())
async def retry_job(request: Request, found: TheCoordinator, key: Changing, job_id: str) -> Response:
    """Run a job that failed once more, with the same values."""
    body = await read_json(request)
    return json_reply(await found.life.retry_job(await changeable_job(found, key, job_id), body))


@router.post("/optimizations/{optimization_id}/restart", openapi_extra=body_of(limit="1 MiB"))
async def restart(request: Request, found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Begin anew with another commit; what ran before is kept as an earlier generation."""
    body = await read_json(request, DEFINITION_BYTES)
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.life.restart(key, known, body, idempotency_key(request)))


@router.post("/optimizations/{optimization_id}/archive")
async def archive(found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Hide an optimization from lists."""
    return json_reply(await found.life.archive(await changeable_optimization(found, key, optimization_id)))


@router.post("/optimizations/{optimization_id}/unarchive")
async def unarchive(found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Show an archived optimization again."""
    return json_reply(await found.life.unarchive(await changeable_optimization(found, key, optimization_id)))


@router.delete("/optimizations/{optimization_id}")
async def remove(
    found: TheCoordinator,
    key: Changing,
    optimization_id: str,
    confirm: Annotated[str | None, Query(max_length=100)] = None,
    records: bool = False,
) -> Response:
    """Delete an optimization whose full id is repeated in ``confirm``; its records in git only when asked."""
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.life.remove(known, confirm, records))
