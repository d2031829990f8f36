"""Routes that show what a search does: its space, its asks, and whether they can be made again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import StreamingResponse

from bough.errors import BoughError, Unavailable
from bough_server.api.bodies import DEFINITION_BYTES, read_json
from bough_server.api.parts import Closing, TheCoordinator, body_of
from bough_server.api.replies import json_reply
from bough_server.api.security import CHANGING, READING
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1", tags=["search"])
Reading = Annotated[Key, Depends(READING)]
Changing = Annotated[Key, Depends(CHANGING)]
Seed = Annotated[int | None, Query(ge=0, lt=2**63)]
Generation = Annotated[int | None, Query(ge=1, lt=2**31)]
Samples = Annotated[int, Query(ge=0, le=100)]


@router.get("/optimizations/{optimization_id}/space")
async def space(
    found: TheCoordinator, key: Reading, optimization_id: str, seed: Seed = None, samples: Samples = 10
) -> Response:
    """Return the space as a tree and as a hyperopt expression, with samples; default seed: the optimization's."""
    return json_reply(await found.searches.space(optimization_id, seed, samples))


@router.post("/space", openapi_extra=body_of("definition", limit="1 MiB"))
async def space_of_definition(
    request: Request, found: TheCoordinator, key: Changing, seed: Seed = None, samples: Samples = 10
) -> Response:
    """Return the same for a definition that nothing runs of yet."""
    body = await read_json(request, DEFINITION_BYTES)
    return json_reply(await found.searches.space_of_definition(body, seed, samples))


@router.get("/optimizations/{optimization_id}/asks")
async def asks(found: TheCoordinator, key: Reading, optimization_id: str, generation: Generation = None) -> Response:
    """Return everything that a replay of the search needs; of the newest generation, or of another one."""
    return json_reply(await found.searches.stored(optimization_id, generation))


@router.get("/optimizations/{optimization_id}/importance")
async def importance(found: TheCoordinator, key: Reading, optimization_id: str) -> Response:
    """Return each hyperparameter's share of the variance of the KPI, and those of pairs."""
    return json_reply(await found.searches.importance(optimization_id))


@router.get("/optimizations/{optimization_id}/verify")
async def verify(
    request: Request, found: TheCoordinator, key: Reading, optimization_id: str, generation: Generation = None
) -> Response:
    """Ask everything again; JSON lines with the progress, the last one with the verdict."""
    closing: Closing = request.app.state.closing
    news = await found.searches.verify(optimization_id, generation)
    return StreamingResponse(lines(news, closing.event), media_type="application/jsonl")


async def lines(news: AsyncGenerator[dict[str, Any]], closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield each as a line of JSON; an error on the way, or the coordinator's end, is the last line."""
    try:
        async with contextlib.aclosing(news):
            async for one in news:
                yield msgspec.json.encode(one) + b"\n"
                if closing.is_set():
                    raise Unavailable("the coordinator is stopping.", "Try again once it runs.")
    except BoughError as error:
        yield msgspec.json.encode({"error": error.code, "detail": error.what, "remedy": error.do}) + b"\n"
