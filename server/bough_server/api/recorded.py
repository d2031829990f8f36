"""The route that takes jobs which ran without an agent."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from bough.errors import UsageError
from bough_server.api.agents import SYNC_TYPE
from bough_server.api.bodies import SYNC_BYTES, BadEncoding, parse_object, read_bytes
from bough_server.api.parts import TheCoordinator
from bough_server.api.replies import json_reply
from bough_server.api.security import CHANGING
from bough_server.service.identity import Key

router = APIRouter(prefix="/api/v1/recorded", tags=["jobs"])
_BODY = {"requestBody": {"content": {SYNC_TYPE: {"schema": {"type": "string", "format": "binary"}}}}}


@router.post("/{nonce}", openapi_extra=_BODY)
async def report(
    request: Request, found: TheCoordinator, key: Annotated[Key, Depends(CHANGING)], nonce: str
) -> Response:
    """Take what is new of a recorded job; the first message makes it (docs/protocol.md §3)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != SYNC_TYPE:
        raise BadEncoding(f"a recorded job is {SYNC_TYPE}, not {kind[:100] or 'untyped'}.", "Send it as that.")
    body = await read_bytes(request, SYNC_BYTES)
    end = body.find(b"\n")
    if end < 0:
        raise UsageError("the message has no header line.", "Send one JSON line first, then the parts.")
    header = parse_object(bytes(body[:end]))
    return json_reply(await found.recorded.report(key, nonce, header, memoryview(body)[end + 1 :]))
