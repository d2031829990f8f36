"""Routes of agents: two for people, three for the agents themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from bough.errors import UsageError
from bough_server.api.bodies import SYNC_BYTES, BadEncoding, parse_object, read_bytes, read_json
from bough_server.api.parts import Closing, TheCoordinator, body_of
from bough_server.api.replies import json_reply
from bough_server.api.security import ADMINS, AGENTS, SEEING_AGENTS
from bough_server.service.identity import Key

SYNC_TYPE = "application/x-bough-sync"

router = APIRouter(prefix="/api/v1/agents", tags=["agents"])
AsAgent = Annotated[Key, Depends(AGENTS)]
AsAdmin = Annotated[Key, Depends(ADMINS)]
_SYNC_BODY = {"requestBody": {"content": {SYNC_TYPE: {"schema": {"type": "string", "format": "binary"}}}}}


@router.post("", openapi_extra=body_of("name", "slots", "epoch"))
async def register(request: Request, found: TheCoordinator, key: AsAgent) -> Response:
    """Make an agent known, or known again."""
    return json_reply(await found.agents.register(key, await read_json(request)))


@router.get("")
async def listed(found: TheCoordinator, key: Annotated[Key, Depends(SEEING_AGENTS)]) -> Response:
    """List agents."""
    rows = await found.agents.page()
    return json_reply({"rows": rows, "total": len(rows)})


@router.get("/{agent_id}/usage")
async def usage(found: TheCoordinator, key: Annotated[Key, Depends(SEEING_AGENTS)], agent_id: str) -> Response:
    """Return how busy the machine of an agent was, the last day; its id or its name."""
    return json_reply(await found.agents.usage(agent_id))


@router.post("/{agent_id}/sync", openapi_extra=_SYNC_BODY)
async def sync(request: Request, found: TheCoordinator, key: AsAgent, agent_id: str) -> Response:
    """Heartbeat, shipping, reporting and claiming in one message (docs/protocol.md §2)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != SYNC_TYPE:
        raise BadEncoding(f"a sync message is {SYNC_TYPE}, not {kind[:100] or 'untyped'}.", "Send it as that.")
    body = await read_bytes(request, SYNC_BYTES)
    end = body.find(b"\n")
    if end < 0:
        raise UsageError("the sync message has no header line.", "Send one JSON line first, then the parts.")
    header = parse_object(bytes(body[:end]))
    return json_reply(await found.agents.sync(key, agent_id, header, memoryview(body)[end + 1 :]))


@router.get("/{agent_id}/bell")
async def bell(
    request: Request,
    found: TheCoordinator,
    key: AsAgent,
    agent_id: str,
    after: Annotated[int, Query(ge=0)] = 0,
    wait: Annotated[float, Query(ge=0, le=60)] = 25.0,
) -> Response:
    """Answer as soon as something changed for this agent, else after ``wait`` seconds."""
    closing: Closing = request.app.state.closing
    return json_reply(await closing.first(found.agents.bell(key, agent_id, after, wait), {"bell": after}))


@router.post("/{agent_id}/slots", openapi_extra=body_of("slots"))
async def slots(request: Request, found: TheCoordinator, key: AsAdmin, agent_id: str) -> Response:
    """Change how many jobs this agent runs at a time; with fewer, running ones are left to end."""
    return json_reply(await found.agents.set_slots(agent_id, (await read_json(request)).get("slots")))


@router.post("/{agent_id}/release")
async def release(found: TheCoordinator, key: AsAdmin, agent_id: str) -> Response:
    """Trust an agent again that is in quarantine."""
    return json_reply(await found.agents.release(agent_id))


@router.post("/{agent_id}/drain")
async def drain(found: TheCoordinator, key: AsAdmin, agent_id: str) -> Response:
    """Give this agent no new jobs."""
    return json_reply(await found.agents.drain(agent_id, True))


@router.post("/{agent_id}/undrain")
async def undrain(found: TheCoordinator, key: AsAdmin, agent_id: str) -> Response:
    """Give this agent jobs again."""
    return json_reply(await found.agents.drain(agent_id, False))
