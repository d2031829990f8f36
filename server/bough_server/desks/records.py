"""The desk for records that others push: each is checked, and becomes known or is refused with a sentence."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from bough.errors import BoughError, UsageError
from bough_server.desks.ground import Ground, mapping
from bough_server.service.changes import Changes
from bough_server.service.identity import Key, require_owner
from bough_server.service.incoming import Taken, take
from bough_server.store.contents import ContentStore

_log = logging.getLogger(__name__)
RETRY_S = 60.0  # until what could not be taken in is looked at again
_REMEMBERED = 1000  # verdicts that wait for who pushed, per model


class Records:
    """Takes in what lies below ``refs/bough/incoming/``: when it was pushed, and what an earlier run left there."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._waiting: set[str] = set(ground.repositories.models())
        self._something = asyncio.Event()
        self._something.set()
        self._taking = asyncio.Lock()
        self._verdicts: dict[str, Taken] = {}

    def take_soon(self, model: str) -> None:
        """Look at what was pushed for a model, in the background."""
        self._waiting.add(model)
        self._something.set()

    async def run(self) -> None:
        """Take in what was pushed, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                model = self._waiting.pop()
                try:
                    await self._take(model)
                except Exception as error:  # a full disk, say: the records wait where they are
                    fault = not isinstance(error, BoughError)
                    _log.warning("what was pushed for %s waits: %s", model, error, exc_info=fault)
                    asyncio.get_running_loop().call_later(RETRY_S, self.take_soon, model)

    async def take(self, key: Key, body: Any) -> dict[str, Any]:
        """Check what was pushed for a model now: `POST /incoming`; the verdicts are those since it was last asked."""
        model = mapping(body).get("model")
        if not isinstance(model, str):
            raise UsageError("model is no text.", 'Send {"model": "owner/name"}.')
        require_owner(key, model)
        await self._take(model)
        return self._verdicts.pop(model, Taken()).shown()

    async def _take(self, model: str) -> None:
        ground = self._ground
        async with self._taking:
            repository = await asyncio.to_thread(ground.repositories.ensure, model)
            contents = ContentStore(ground.config.contents)
            taken = await asyncio.to_thread(take, ground.store, repository, model, contents)
        for ref, why in taken.refused:
            _log.warning("%s of %s is refused: it %s", ref, model, why)
        self._verdicts[model] = self._verdicts.get(model, Taken()).and_then(taken, _REMEMBERED)
        if taken.accepted:
            await ground.commit(Changes(jobs=taken.jobs, optimizations=taken.optimizations, models={model}))
