"""Routes of optimizations and their trials."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from bough.errors import UsageError
from bough_server.api.bodies import DEFINITION_BYTES, read_json
from bough_server.api.parts import (
    Limit,
    Name,
    Offset,
    TheCoordinator,
    body_of,
    boolean,
    changeable_optimization,
    idempotency_key,
)
from bough_server.api.replies import json_reply
from bough_server.api.security import CHANGING, READING
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1/optimizations", tags=["optimizations"])
Reading = Annotated[Key, Depends(READING)]
Changing = Annotated[Key, Depends(CHANGING)]


@router.post("", status_code=201, openapi_extra=body_of("definition", "commit", limit="1 MiB"))
async def create(request: Request, found: TheCoordinator, key: Changing) -> Response:
    """Start an optimization of a commit that was pushed before."""
    body = await read_json(request, DEFINITION_BYTES)
    return json_reply(await found.optimizations.create(key, body, idempotency_key(request)), 201)


@router.get("")
async def listed(
    found: TheCoordinator,
    key: Reading,
    limit: Limit = 100,
    offset: Offset = 0,
    state: Annotated[str | None, Query(max_length=500)] = None,
    model: Annotated[str | None, Query(max_length=200)] = None,
    archived: bool = False,
) -> Response:
    """List optimizations, newest first; archived ones only when asked for."""
    return json_reply(await found.optimizations.page(limit, offset, state, model, archived))


@router.get("/{optimization_id}")
async def one(found: TheCoordinator, key: Reading, optimization_id: str) -> Response:
    """Return one optimization; any unambiguous prefix of its id will do."""
    return json_reply(await found.optimizations.one(optimization_id))


@router.get("/{optimization_id}/trials")
async def trials(
    found: TheCoordinator,
    key: Reading,
    optimization_id: str,
    sort: Name = "number",
    descending: bool = False,
    state: Annotated[str | None, Query(max_length=500)] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    generation: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> Response:
    """List trials, sorted and filtered by the store; of the newest generation, or of another one."""
    rows = found.optimizations.trials(optimization_id, sort, descending, state, limit, offset, generation)
    return json_reply(await rows)


@router.post("/{optimization_id}/stop", openapi_extra=body_of())
async def stop(request: Request, found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Start no more trials; with ``{"now": true}`` stop the running ones too."""
    now = boolean(await read_json(request), "now")
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.optimizations.stop(known, now))


@router.post("/{optimization_id}/pause", openapi_extra=body_of())
async def pause(request: Request, found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Start no trials for now. ``{"release": true}`` gives the running ones back, ``{"freeze": true}`` pauses them."""
    body = await read_json(request)
    release, freeze = boolean(body, "release"), boolean(body, "freeze")
    if release and freeze:
        raise UsageError("release and freeze are both wanted.", "Choose one: give the trials back, or pause them.")
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.optimizations.pause(known, release, freeze))


@router.post("/{optimization_id}/resume")
async def resume(found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Go on with an optimization that was paused or stopped."""
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.optimizations.resume(known))


@router.post("/{optimization_id}/enqueue", status_code=201, openapi_extra=body_of("values"))
async def enqueue(request: Request, found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Make values set by hand the next trial, and return that job."""
    body = await read_json(request)
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.optimizations.enqueue(key, known, body, idempotency_key(request)), 201)


@router.post("/{optimization_id}/extend", openapi_extra=body_of())
async def extend(request: Request, found: TheCoordinator, key: Changing, optimization_id: str) -> Response:
    """Raise the number of trials: ``max_trials`` in all, or ``by`` so many."""
    body = await read_json(request)
    by, max_trials = body.get("by"), body.get("max_trials")
    wanted = max_trials if by is None else by
    if isinstance(wanted, bool) or not isinstance(wanted, int):
        raise UsageError("max_trials is missing, or no whole number.", 'Send {"max_trials": 200}, or {"by": 100}.')
    known = await changeable_optimization(found, key, optimization_id)
    return json_reply(await found.optimizations.extend(known, wanted, is_more=by is not None))
