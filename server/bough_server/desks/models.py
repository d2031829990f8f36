"""The desk for models: listing, showing, defining."""

from __future__ import annotations

from typing import Any

from bough_server.desks.ground import Ground, mapping
from bough_server.service import definitions, models, views
from bough_server.service.changes import Changes
from bough_server.service.identity import Key, require_owner


class Models:
    """Models and their numbered revisions."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def page(self, limit: int, offset: int) -> dict[str, Any]:
        """List models by name: `GET /models`."""
        return await self._ground.store.read(lambda tx: models.page(tx, limit, offset))

    async def one(self, model: str) -> dict[str, Any]:
        """Show a model with its newest definition: `GET /models/{owner}/{name}`."""
        return await self._ground.store.read(lambda tx: views.plain(models.one(tx, model)))

    async def revision(self, model: str, number: int) -> dict[str, Any]:
        """Show one revision: `GET /models/{owner}/{name}/revisions/{number}`."""
        return await self._ground.store.read(lambda tx: views.plain(models.revision(tx, model, number)))

    async def revise(self, key: Key, body: Any) -> dict[str, Any]:
        """Make a definition the newest revision of its model, and the model if it is new: `POST /models`."""
        found = definitions.parse(mapping(body).get("definition"))
        require_owner(key, found.model)
        now = self._ground.clock.now()
        await self._ground.store.write(lambda tx: definitions.revise(tx, found, now, key.id))
        await self._ground.commit(Changes(models={found.model}))
        return await self.one(found.model)

    def checked(self, body: Any) -> dict[str, Any]:
        """Say what is wrong with a definition that is being written: `POST /definition`."""
        return models.checked(mapping(body))
