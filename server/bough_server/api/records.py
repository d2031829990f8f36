"""The route by which somebody who pushed records learns what became of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from bough_server.api.bodies import read_json
from bough_server.api.parts import TheCoordinator, body_of
from bough_server.api.replies import json_reply
from bough_server.api.security import CHANGING
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1", tags=["records"])
Changing = Annotated[Key, Depends(CHANGING)]


@router.post("/incoming", openapi_extra=body_of("model"))
async def incoming(request: Request, found: TheCoordinator, key: Changing) -> Response:
    """Check what was pushed below refs/bough/incoming/ and say what became of it."""
    return json_reply(await found.records.take(key, await read_json(request)))
