"""What every desk stands on: the store, the clock, who is there, and what a committed change sets in motion."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from bough.errors import UsageError
from bough_server.archive.repositories import Repositories
from bough_server.broker import Broker
from bough_server.config import Config
from bough_server.peers import Alone, Notified, Peers
from bough_server.service import duplicates, optimizations, restored
from bough_server.service.asks import Asks, Optimizer
from bough_server.service.changes import Changes
from bough_server.service.clock import Clock
from bough_server.service.fleet import Fleet
from bough_server.service.news import News
from bough_server.service.pruning import Pruner
from bough_server.service.trials import places, top_up
from bough_server.store import postgres, reads
from bough_server.store.database import Database


class Ground:
    """Shared by all desks of one coordinator, on one event loop.

    Args:
        config: Where the coordinator lives and how patient it is.
        clock: Where times come from.
        optimizer: Answers asks.
        new_id: Makes the ids of optimizations, jobs and agents.
    """

    def __init__(self, config: Config, clock: Clock, optimizer: Optimizer, new_id: Callable[[], str]) -> None:
        self.config = config
        self.clock = clock
        self.optimizer = optimizer
        self.new_id = new_id
        self.instance = uuid.uuid4().hex
        self.broker = Broker()
        self.fleet = Fleet(clock.monotonic(), config.lease_ttl_s)
        self.bells: dict[str, asyncio.Event] = {}
        self.first_attempt = 1
        self.peers: Peers = Alone()
        self.pruner = Pruner()
        self.delete_records: Callable[[str, str], Awaitable[int]] | None = None  # of a model's optimization
        self.write_records: Callable[[], Awaitable[None]] | None = None  # of all that has ended, now
        self.on_archivable: Callable[[Changes], None] | None = None
        self.store: Database
        self.repositories: Repositories
        self.asks: Asks
        self.news: News

    async def open(self) -> None:
        """Open the store, and what needs it.

        Raises:
            BoughError: The store cannot be opened; in one sentence.
        """
        self.store = await asyncio.to_thread(Database.open, self.config.store)
        self.first_attempt = await self.store.read(restored.first_attempt)
        self.repositories = await asyncio.to_thread(Repositories, self.config.repositories)
        self.fleet.started_at = self.clock.monotonic()
        if isinstance(self.store.backend, postgres.Postgres):
            self.instance = await self.store.write(restored.instance)  # the same for all that share the store
            self.peers = Notified(postgres.plain_url(self.store.backend.url), self)
        self.asks = Asks(self.store, self.optimizer, self._ask_is_ready, self._ask_failed, self._is_exhausted)
        self.news = News(self.store, self.broker, self.fleet, self.clock)
        await self.peers.start()

    async def close(self) -> None:
        """Close the store; harmless if it was never opened."""
        await self.peers.stop()
        if hasattr(self, "store"):
            await asyncio.to_thread(self.store.close)

    async def commit(self, changes: Changes) -> None:
        """Tell everyone what was just committed."""
        for optimization_id in changes.optimizations:
            self.asks.wake(optimization_id)
        for agent_id in changes.rung:
            self.ring(agent_id)
        for job_id in changes.ended:
            self.fleet.forget(job_id)
        if self.on_archivable is not None and (changes.ended or changes.optimizations or changes.models):
            self.on_archivable(changes)
        self.tell(changes)

    def tell(self, changes: Changes) -> None:
        """Tell those who watch, here and at other coordinators, what was just committed."""
        self.news.tell(changes)
        self.peers.tell(changes)

    def ring(self, agent_id: str) -> None:
        """Let that agent come, if it is known, wherever it waits."""
        presence = self.fleet.agents.get(agent_id)
        if presence is not None:
            self.ring_here(agent_id)
            self.peers.ring(agent_id, presence.bell)

    def ring_here(self, agent_id: str, bell: int = 0) -> None:
        """Let that agent come if it waits here; ``bell`` is what another coordinator rang it with."""
        presence = self.fleet.agents.get(agent_id)
        if presence is None:
            return
        presence.bell = max(presence.bell, bell) if bell else presence.bell + 1
        event = self.bells.pop(agent_id, None)
        if event is not None:
            event.set()

    def ring_wanting(self, except_for: str = "") -> None:
        """Let every agent come that would take work."""
        for agent_id, presence in self.fleet.online(self.clock.monotonic()).items():
            if presence.wanted > 0 and agent_id != except_for:
                self.ring(agent_id)

    def top_up(self, tx: Connection, optimization_id: str, now: float, changes: Changes) -> None:
        """Make rows for what may start, so that everyone sees what waits before an agent comes."""
        row = reads.optimization(tx, optimization_id)
        room = places(row, self.fleet.takers(self.clock.monotonic()))
        top_up(tx, row, room, now, self.new_id, changes)
        changes.optimizations.add(optimization_id)

    def _ask_is_ready(self, optimization_id: str) -> None:
        self.ring_wanting()

    async def _ask_failed(self, optimization_id: str, reason: str) -> None:
        changes = Changes()
        text = f"the optimizer cannot go on: {reason} Then: bough optimization resume {optimization_id}."
        await self.store.write(lambda tx: optimizations.pause(tx, optimization_id, changes, release=False, reason=text))
        await self.commit(changes)

    async def _is_exhausted(self, row: Mapping[str, Any], size: int) -> None:
        changes, now = Changes(), self.clock.now()
        await self.store.write(lambda tx: duplicates.end_with_the_space(tx, row, size, now, changes))
        await self.commit(changes)


def mapping(body: Any) -> dict[str, Any]:
    """Return the body of a request if it is a mapping.

    Raises:
        UsageError: It is something else.
    """
    if not isinstance(body, dict):
        raise UsageError("the request is no mapping.", "Send a JSON object.")
    return body
