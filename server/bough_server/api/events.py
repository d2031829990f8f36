"""Live changes for browsers: server-sent events from the broker.

A stream begins with the broker's ``hello`` once it is subscribed, so that what a client loads after it misses
nothing. It ends when the coordinator stops; the browser then connects again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import StreamingResponse

from bough.errors import Denied, UsageError
from bough_server.api.parts import Closing, TheCoordinator
from bough_server.api.security import READING, Access
from bough_server.service.identity import Key

HEARTBEAT_S = 15.0
Change = tuple[int, str, Any]  # its number, what kind of event, its data
MAX_TOPICS = 50
_TOPIC = re.compile(r"optimizations|agents|(optimization|job):[0-9A-Za-z]{1,64}")

router = APIRouter(prefix="/api/v1/events", tags=["events"])


@router.get("")
async def events(
    request: Request,
    found: TheCoordinator,
    key: Annotated[Key, Depends(READING)],
    topic: Annotated[list[str], Query(max_length=MAX_TOPICS)],
) -> StreamingResponse:
    """Send the changes of these topics as they happen."""
    for name in topic:
        if not _TOPIC.fullmatch(name):
            raise UsageError(
                f"there is no topic {name[:80]!r}.", "Use optimizations, agents, optimization:<id> or job:<id>."
            )
        kind, _, its_id = name.partition(":")
        if key.user and its_id:  # raises where it is somebody else's
            await (found.jobs if kind == "job" else found.optimizations).one(its_id)
    closing: Closing = request.app.state.closing
    heartbeat_s: float = request.app.state.heartbeat_s
    changes = of_owner(found.ground.broker.subscribe(topic), key.user)
    access: Access = request.app.state.access

    async def is_good() -> bool:
        try:
            await access.keys.by_id(key.id)
        except Denied:
            return False
        return True

    return StreamingResponse(stream(changes, closing.event, heartbeat_s, is_good), media_type="text/event-stream")


async def of_owner(changes: AsyncGenerator[Change], owner: str) -> AsyncGenerator[Change]:
    """Yield a subscription without what belongs to models of others; an empty ``owner`` sees everything."""
    async with contextlib.aclosing(changes):
        async for change in changes:
            model = change[2].get("model") if isinstance(change[2], dict) else None
            if not owner or model is None or model.startswith(f"{owner}/"):
                yield change


async def stream(
    changes: AsyncIterator[Change],
    closing: asyncio.Event,
    heartbeat_s: float,
    is_good: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """Yield a subscription as server-sent events, with a comment when nothing happened for ``heartbeat_s`` seconds.

    So often ``is_good`` is asked whether its key still is; a stream whose key was revoked or has expired ends.
    """
    loop = asyncio.get_running_loop()
    looked_at = loop.time()
    stopped = asyncio.ensure_future(closing.wait())
    coming = asyncio.ensure_future(anext(changes))
    try:
        while not stopped.done():
            done, _ = await asyncio.wait((coming, stopped), timeout=heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
            if loop.time() - looked_at >= heartbeat_s:
                looked_at = loop.time()
                if not await is_good():
                    return
            if coming in done:
                yield message(*coming.result())
                coming = asyncio.ensure_future(anext(changes))
            elif not done:
                yield b": still here\n\n"
    except StopAsyncIteration:
        return
    finally:
        stopped.cancel()
        coming.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await coming
        await changes.aclose()  # type: ignore[attr-defined]


def message(number: int, event: str, data: Any) -> bytes:
    """Return one event; JSON never holds a line break, so its data is one line."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, event.encode(), msgspec.json.encode(data))
