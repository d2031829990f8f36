"""An event stream lives as long as its key: one that was revoked hears nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from bough_server.api.events import Change, stream


async def endless() -> AsyncIterator[Change]:
    """Yield changes for ever, quicker than the heartbeat."""
    n = 0
    while True:
        await asyncio.sleep(0.001)
        n += 1
        yield (n, "job", {})


async def silent() -> AsyncIterator[Change]:
    """Yield nothing."""
    await asyncio.Event().wait()
    yield (1, "job", {})


def heard(changes: AsyncIterator[Change], good_for: int) -> list[bytes]:
    """Return what a stream sends until it ends, whose key is good for so many looks."""
    looks = iter(range(good_for))

    async def is_good() -> bool:
        return next(looks, None) is not None

    async def run() -> list[bytes]:
        async with asyncio.timeout(10):
            return [sent async for sent in stream(changes, asyncio.Event(), 0.02, is_good)]

    return asyncio.run(run())


def test_a_stream_in_which_much_happens_ends_when_its_key_is_no_longer_good() -> None:
    sent = heard(endless(), good_for=2)

    assert sent[0].startswith(b"id: 1\nevent: job\n")


def test_a_stream_in_which_nothing_happens_ends_as_well() -> None:
    assert heard(silent(), good_for=2) == [b": still here\n\n"] * 2
