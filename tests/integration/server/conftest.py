"""A place to run stories about a coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server.driver import ADMIN, Agent, MovedClock, request, started

from bough_server.coordinator import Coordinator


class Stage:
    """One coordinator's home, its clock, and what plays there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = MovedClock()
        self.coordinator: Coordinator
        self.times: dict[str, Any] = {}
        self.optimizer: Any = None

    async def optimize(self, **settings: Any) -> str:
        body = request(**{"max_trials": 3, "max_parallel": 1, **settings})
        made = await self.coordinator.optimizations.create(ADMIN, body)
        return str(made["id"])

    async def agent(self, name: str = "anna", slots: int = 1) -> Agent:
        return await Agent(self.coordinator, name, slots).connect()

    async def claim(self, **settings: Any) -> tuple[Agent, dict[str, Any]]:
        """Return an agent that holds the first trial of a new optimization."""
        await self.optimize(**settings)
        agent = await self.agent()
        return agent, await agent.claim_one()

    async def restart(self) -> None:
        """The coordinator ends and another one opens the same store."""
        await self.coordinator.stop()
        self.coordinator = await started(self.home, self.clock, self.optimizer, **self.times)

    async def pass_time(self, seconds: float) -> None:
        self.clock.pass_time(seconds)
        await self.coordinator.reap()

    async def job(self, claim: dict[str, Any]) -> dict[str, Any]:
        return await self.coordinator.jobs.one(claim["job_id"])


Story = Callable[[Stage], Awaitable[None]]


ON_BOTH = (
    "test_dispatch",
    "test_ends",
    "test_hostile_journals",
    "test_pruning",
    "test_silence",
    "test_sync",
    "test_the_table_of_jobs",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What decides about jobs is tested on both kinds of database."""
    if "play" in metafunc.fixturenames and str(getattr(metafunc.module, "__name__", "")).rpartition(".")[2] in ON_BOTH:
        metafunc.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Where the stage's store is; None: in a file of its home."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
def play(tmp_path: Path, database_url: str | None) -> Callable[..., None]:
    """Run a story with a coordinator that starts before it and stops after it."""

    def play(story: Story, optimizer: Any = None, **times: Any) -> None:
        stage = Stage(tmp_path / "home")
        times = {**times, "database_url": database_url}
        stage.times, stage.optimizer = times, optimizer

        async def run() -> None:
            stage.coordinator = await started(stage.home, stage.clock, optimizer, **times)
            try:
                await story(stage)
            finally:
                await stage.coordinator.stop()

        asyncio.run(run())

    return play
