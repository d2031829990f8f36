"""The desk for the search itself: what a space draws, what was asked, whether it can be asked again, what mattered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from bough.errors import Conflict, UsageError
from bough_server.desks.ground import Ground, mapping
from bough_server.optimizers.client import OptimizerProcess
from bough_server.optimizers.replay import Search, replay
from bough_server.service import definitions, optimizations, searches

WEIGHED_MOST = 100  # optimizations whose importance is remembered


class Searches:
    """Spaces shown, searches replayed."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._verification = asyncio.Lock()
        self._weighing = asyncio.Lock()
        self._weighed: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {}  # by optimization: as of what

    async def space(self, optimization_id: str, seed: int | None = None, samples: int = 10) -> dict[str, Any]:
        """Show the space of an optimization, with samples: `GET /optimizations/{id}/space`."""
        row, space = await self._ground.store.read(lambda tx: searches.newest_space(tx, optimization_id))
        shown = await self._ground.optimizer.describe(space, row["seed"] if seed is None else seed, samples)
        return {"optimization": row["id"], "version": row["space_version"], **shown}

    async def space_of_definition(self, body: Any, seed: int | None = None, samples: int = 10) -> dict[str, Any]:
        """Show the space of a definition: `POST /space`."""
        body = mapping(body)
        found = definitions.parse(body.get("definition"))
        if not found.has_optimization:
            raise UsageError(f"{found.model} has no section optimization.", "Say in bough.yml what to search.")
        found.fix(optimizations.mapping_of(body, "fixed"))
        default = found.settings.seed or 0
        return await self._ground.optimizer.describe(found.space.to_json(), default if seed is None else seed, samples)

    async def stored(self, optimization_id: str, generation: int | None = None) -> dict[str, Any]:
        """Return everything that a replay needs: `GET /optimizations/{id}/asks`."""
        return await self._ground.store.read(lambda tx: searches.search(tx, optimization_id, generation).to_json())

    async def verify(self, optimization_id: str, generation: int | None = None) -> AsyncGenerator[dict[str, Any]]:
        """Return what `replay` says of an optimization, from a process of its own: asks of running ones go on.

        Raises:
            NotFound: There is no such optimization, or it never had that generation.
            Conflict: Another one is being verified; each costs a core.
        """
        found = await self._ground.store.read(lambda tx: searches.search(tx, optimization_id, generation))
        if self._verification.locked():
            raise Conflict("another optimization is being verified.", "Try again when that is over.")
        return self._replayed(found)

    async def importance(self, optimization_id: str) -> dict[str, Any]:
        """Say which hyperparameters mattered: `GET /optimizations/{id}/importance`.

        Computed in a process of its own, one at a time; the same history is computed once.

        Raises:
            NotFound: There is no such optimization.
            OptimizerFailed: It cannot be computed.
        """
        found = await self._ground.store.read(lambda tx: searches.told(tx, optimization_id))
        as_of = found.as_of
        async with self._weighing:
            known = self._weighed.pop(found.id, None)
            weighed = known[1] if known is not None and known[0] == as_of else await self._weigh(found)
            self._weighed[found.id] = as_of, weighed
            while len(self._weighed) > WEIGHED_MOST:
                del self._weighed[next(iter(self._weighed))]
        return {"optimization": found.id, "history_seq": as_of[2], **weighed}

    async def _weigh(self, found: searches.Told) -> dict[str, Any]:
        process = OptimizerProcess()
        try:
            return await process.importance(found.space, found.history, found.seed)
        finally:
            await process.stop()

    async def _replayed(self, found: Search) -> AsyncGenerator[dict[str, Any]]:
        async with self._verification:
            process = OptimizerProcess()
            try:
                yield {"checked": 0, "total": len(found.trials)}
                async with contextlib.aclosing(replay(found, process)) as news:
                    async for one in news:
                        yield one
            finally:
                await process.stop()
