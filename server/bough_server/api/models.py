"""Routes of models: their list, their definitions, and the check of one that is being written."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from bough_server.api.bodies import DEFINITION_BYTES, read_json
from bough_server.api.parts import Limit, Offset, TheCoordinator, body_of
from bough_server.api.replies import json_reply
from bough_server.api.security import CHANGING, READING
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1", tags=["models"])
Reading = Annotated[Key, Depends(READING)]
Changing = Annotated[Key, Depends(CHANGING)]
Number = Annotated[int, Path(ge=1, lt=2**31)]


@router.get("/models")
async def listed(found: TheCoordinator, key: Reading, limit: Limit = 100, offset: Offset = 0) -> Response:
    """List models by name."""
    return json_reply(await found.models.page(limit, offset))


@router.post("/models", status_code=201, openapi_extra=body_of("definition", limit="1 MiB"))
async def revise(request: Request, found: TheCoordinator, key: Changing) -> Response:
    """Make a definition the newest revision of its model."""
    return json_reply(await found.models.revise(key, await read_json(request, DEFINITION_BYTES)), 201)


@router.get("/models/{owner}/{name}")
async def one(found: TheCoordinator, key: Reading, owner: str, name: str) -> Response:
    """Return a model with its newest definition."""
    return json_reply(await found.models.one(f"{owner}/{name}"))


@router.get("/models/{owner}/{name}/revisions/{number}")
async def revision(found: TheCoordinator, key: Reading, owner: str, name: str, number: Number) -> Response:
    """Return one revision, as data and as the text of a bough.yml."""
    return json_reply(await found.models.revision(f"{owner}/{name}", number))


@router.post("/definition", openapi_extra=body_of(limit="1 MiB"))
async def check(request: Request, found: TheCoordinator, key: Changing) -> Response:
    """Say what is wrong with a definition, sent as data or as text, and give it back in both forms."""
    return json_reply(found.models.checked(await read_json(request, DEFINITION_BYTES)))
