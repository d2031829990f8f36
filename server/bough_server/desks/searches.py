"""The desk for the search itself: what a space draws, what was asked, and whether it can be asked again."""

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


class Searches:
    """Spaces shown, searches replayed."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._verification = asyncio.Lock()

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

    async def stored(self, optimization_id: str) -> dict[str, Any]:
        """Return everything that a replay needs: `GET /optimizations/{id}/asks`."""
        return await self._ground.store.read(lambda tx: searches.search(tx, optimization_id).to_json())

    async def verify(self, optimization_id: str) -> AsyncGenerator[dict[str, Any]]:
        """Return what `replay` says of an optimization, from a process of its own: asks of running ones go on.

        Raises:
            NotFound: There is no such optimization.
            Conflict: Another one is being verified; each costs a core.
        """
        found = await self._ground.store.read(lambda tx: searches.search(tx, optimization_id))
        if self._verification.locked():
            raise Conflict("another optimization is being verified.", "Try again when that is over.")
        return self._replayed(found)

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
