"""The coordinator as one object: its desks, and the tasks that go on by themselves.

It owns the store, the optimizer's process, what is known of agents from moment to moment, and two tasks: one that
prepares asks, one that looks after silent jobs. Everything that must survive is in the store; a coordinator that is
killed and started again goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from bough_server.config import Config
from bough_server.desks.agents import Agents
from bough_server.desks.differences import Differences
from bough_server.desks.exports import Exports
from bough_server.desks.ground import Ground
from bough_server.desks.jobs import Jobs
from bough_server.desks.life import Life
from bough_server.desks.models import Models
from bough_server.desks.optimizations import Optimizations
from bough_server.desks.recorded import Recorded
from bough_server.desks.records import Records
from bough_server.desks.searches import Searches
from bough_server.desks.tables import Tables
from bough_server.optimizers.client import OptimizerFailed, OptimizerProcess
from bough_server.service import reap, why
from bough_server.service.asks import Optimizer
from bough_server.service.clock import Clock, SystemClock
from bough_server.store import schema
from bough_server.store.database import Database

_log = logging.getLogger(__name__)
_ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is easily mistaken for another
_TICK_S = 1.0
_PAUSE_S = 1.0  # before a background task that failed goes on


def new_id() -> str:
    """Return a new id of 8 letters and digits, the first one a letter."""
    return secrets.choice(_ID_LETTERS[:23]) + "".join(secrets.choice(_ID_LETTERS) for _ in range(7))


class Coordinator:
    """Start it, ask its desks, stop it; all on one event loop. The desks are there once it has started.

    Args:
        config: Where it lives and how patient it is.
        clock: Where times come from.
        optimizer: Answers asks; None starts a process of its own.
        make_id: Makes the ids of optimizations, jobs and agents.
    """

    agents: Agents
    exports: Exports
    jobs: Jobs
    life: Life
    models: Models
    optimizations: Optimizations
    recorded: Recorded
    records: Records
    searches: Searches
    tables: Tables

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        optimizer: Optimizer | None = None,
        make_id: Callable[[], str] = new_id,
    ) -> None:
        self._process = OptimizerProcess() if optimizer is None else None
        self.ground = Ground(config, clock or SystemClock(), self._process or optimizer, make_id)  # type: ignore[arg-type]
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the store and begin.

        Raises:
            BoughError: The store cannot be opened; in one sentence.
        """
        ground = self.ground
        await ground.open()
        self.agents = Agents(ground)
        self.differences = Differences(ground)
        self.exports = Exports(ground)
        self.jobs = Jobs(ground)
        self.models = Models(ground)
        self.optimizations = Optimizations(ground, self.jobs)
        self.recorded = Recorded(ground)
        self.records = Records(ground)
        self.searches = Searches(ground)
        self.life = Life(ground, self.optimizations, self.jobs)
        self.tables = Tables(ground)
        self.background(ground.asks.run)
        self.background(self._reap_for_ever)
        self.background(ground.news.run)
        self.background(self.agents.receiving.clean_for_ever)
        self.background(ground.peers.run)
        self.background(self.records.run)
        if self._process is not None:
            self.background(partial(self._warm_up, self._process))
        for optimization_id in await ground.store.read(_running):
            ground.asks.wake(optimization_id)

    async def stop(self) -> None:
        """Finish what was begun, then let go of everything; harmless if it was never started."""
        self.ground.broker.close()
        for event in self.ground.bells.values():
            event.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process is not None:
            await self._process.stop()
        await self.ground.close()

    @property
    def store(self) -> Database:
        """The store; there once it has started."""
        return self.ground.store

    async def why(self) -> dict[str, Any]:
        """Say why nothing is running."""
        ground = self.ground
        url = f"http{'s' if ground.config.tls else ''}://{ground.config.host}:{ground.config.port}"
        clock, now = ground.clock.monotonic(), ground.clock.now()
        return {"reasons": await ground.store.read(lambda tx: why.reasons(tx, ground.fleet, clock, now, url))}

    async def reap(self) -> None:
        """Flag, take back and end what has been silent for too long, as of now."""
        ground = self.ground
        now, clock = ground.clock.now(), ground.clock.monotonic()
        fleet, config = ground.fleet, ground.config
        if not ground.peers.leads:
            return
        if not await ground.store.read(lambda tx: reap.is_needed(tx, fleet, config, now, clock)):
            return
        changes = await ground.store.write(lambda tx: reap.reap(tx, fleet, config, now, clock))
        await ground.commit(changes)
        ground.ring_wanting()

    def background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do ``work`` beside everything else until the coordinator stops; where it fails, it begins again."""
        task = asyncio.get_running_loop().create_task(_go_on(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _warm_up(self, process: OptimizerProcess) -> None:
        with contextlib.suppress(OptimizerFailed):  # whoever asks is told
            await process.start()

    async def _reap_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                await self.reap()
            except Exception:  # a full disk, say: told to whoever writes as well, and tried again
                _log.exception("looking after silent jobs failed; it is tried again")


async def _go_on(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do ``work`` until it ends; whatever it fails with is logged, and it begins again after a pause."""
    while True:
        try:
            return await work()
        except Exception:
            _log.exception("a task of the coordinator failed; it goes on in %g s", _PAUSE_S)
            await asyncio.sleep(_PAUSE_S)


def _running(tx: Connection) -> list[str]:
    found = select(schema.optimizations.c.id).where(schema.optimizations.c.state == "RUNNING")
    return list(tx.execute(found).scalars())
