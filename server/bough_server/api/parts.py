"""What the routes get from the application, and the small things that several of them need."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request

from bough.errors import UsageError
from bough_server.coordinator import Coordinator
from bough_server.service.identity import Key, require_owner

Result = TypeVar("Result")

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=2**53)]
Name = Annotated[str, Query(max_length=500)]


@dataclass(slots=True)
class Closing:
    """Tells everything that waits (long polls, event streams) that the coordinator stops."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    async def first(self, work: Coroutine[Any, Any, Result], otherwise: Result) -> Result:
        """Return what ``work`` returns, or ``otherwise`` as soon as the coordinator stops."""
        working = asyncio.ensure_future(work)
        closing = asyncio.ensure_future(self.event.wait())
        try:
            await asyncio.wait((working, closing), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else otherwise
        finally:
            working.cancel()
            closing.cancel()


async def coordinator(request: Request) -> Coordinator:
    """Return the coordinator that this application is the door of; async, since others are called in a thread."""
    found: Coordinator = request.app.state.coordinator
    return found


TheCoordinator = Annotated[Coordinator, Depends(coordinator)]


def body_of(*required: str, limit: str = "64 KiB") -> dict[str, Any]:
    """Return OpenAPI's words for a JSON body that the route reads itself."""
    schema = {"type": "object", "required": list(required)} if required else {"type": "object"}
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"description": f"At most {limit}.", "content": content, "required": bool(required)}}


def boolean(body: dict[str, Any], name: str) -> bool:
    """Return a member of a body that is true or false, and false when left out.

    Raises:
        UsageError: It is something else.
    """
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"{name} is neither true nor false.", f'Send {{"{name}": true}} or leave it out.')
    return value


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key, with which a request may be sent again without a second effect; None without one.

    Raises:
        UsageError: It is too long.
    """
    value = request.headers.get("idempotency-key")
    if value is not None and not 1 <= len(value) <= 200:
        raise UsageError("the Idempotency-Key has 1 to 200 characters.", "Send a UUID.")
    return value


async def changeable_optimization(found: Coordinator, key: Key, optimization_id: str) -> str:
    """Return the id of an optimization that this key may change.

    Raises:
        NotFound: There is none of this id or prefix.
        Forbidden: It is of another user's model.
    """
    optimization = await found.optimizations.one(optimization_id)
    require_owner(key, optimization["model"])
    return str(optimization["id"])


async def changeable_job(found: Coordinator, key: Key, job_id: str) -> str:
    """Return the id of a job that this key may change; errors as `changeable_optimization`."""
    job = await found.jobs.one(job_id)
    require_owner(key, job["model"])
    return str(job["id"])
