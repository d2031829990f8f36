"""The coordinator's background tasks outlive what goes wrong in them, and say so in its log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import CountingOptimizer, run

from bough_server.store.database import Database

Play = Callable[..., None]


class Failing:
    """Stands in the way of a store's reads, a number of times."""

    def __init__(self, store: Database, times: int) -> None:
        self._read, self._left = store.read, times
        store.read = self.read  # type: ignore[method-assign]

    async def read(self, work: Callable[..., Any]) -> Any:
        if self._left:
            self._left -= 1
            raise RuntimeError("the store broke")
        return await self._read(work)


def test_an_ask_that_fails_in_the_store_is_prepared_again(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        Failing(stage.coordinator.store, 0)
        failing = Failing(stage.coordinator.store, 1)
        stage.coordinator.ground.asks.wake(claim["optimization"])
        async with asyncio.timeout(5):
            while failing._left:
                await asyncio.sleep(0.01)

        await agent.deliver(claim, run(0.5))
        async with asyncio.timeout(10):
            while not (granted := await agent.claim()):
                await asyncio.sleep(0.05)

        assert granted[0]["number"] == 2
        assert "no ask of optimization" in caplog.text

    with caplog.at_level(logging.ERROR):
        play(story)


def test_a_task_that_fails_is_logged_and_begins_again(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        begun = 0
        done = asyncio.Event()

        async def work() -> None:
            nonlocal begun
            begun += 1
            if begun == 1:
                raise RuntimeError("it broke")
            done.set()

        stage.coordinator.background(work)
        async with asyncio.timeout(5):
            await done.wait()

        assert begun == 2
        assert "a task of the coordinator failed" in caplog.text
        assert "it broke" in caplog.text

    with caplog.at_level(logging.ERROR):
        play(story)


def test_an_attempt_that_loses_its_supervisor_each_time_ends_as_lost(play: Play) -> None:
    """A trial may kill its own supervisor; the agent reports that, and a repeated message counts once."""

    async def story(stage: Stage) -> None:
        await stage.optimize()
        agent = await stage.agent()
        for attempt in (1, 2, 3):
            claim = await agent.claim_one()
            assert claim["attempt"] == attempt
            event = {"job": claim["job_id"], "attempt": attempt, "event": "released", "reason": "lost"}
            event["message"] = "its supervisor died."
            await agent.sync(events=[event])
            await agent.sync(events=[event])
            shown = await stage.job(claim)
            assert shown["state"] == ("FAILED" if attempt == 3 else "QUEUED")

        assert shown["end_reason"] == "lost"
        assert shown["message"].startswith("trial 1 was lost 3 times; the last time its supervisor died.")

    play(story, optimizer=CountingOptimizer(), max_lost=3)


def test_an_attempt_that_its_agent_gives_back_uses_nothing_up(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.optimize()
        agent = await stage.agent()
        for attempt in range(1, 6):
            claim = await agent.claim_one()
            event = {
                "job": claim["job_id"],
                "attempt": attempt,
                "event": "released",
                "message": "the agent is stopping",
            }
            await agent.sync(events=[event])
            assert (await stage.job(claim))["state"] == "QUEUED"

    play(story, max_lost=3)
