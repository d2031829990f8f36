"""A life led in an unusual order: what one thing changed, the next one must not break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, Agent, run

from bough.errors import UsageError
from bough_server.optimizers.client import OptimizerProcess
from bough_server.service import check

Play = Callable[..., None]
GRID: dict[str, Any] = {"algorithm": "grid", "space": {"lr": "range(0, 1, 0.25)"}}


async def play_all(agent: Agent) -> list[float]:
    """Run one trial after the other until there is none; return their lr."""
    seen = []
    while claims := await agent.claim():
        seen.append(claims[0]["values"]["lr"])
        await agent.deliver(claims[0], run(0.5))
    return seen


def test_trials_that_run_again_keep_to_max_parallel_too(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=3, max_parallel=1, on_failure={"stop_after": None})
        agent = await stage.agent(slots=3)
        for _ in range(3):
            await agent.deliver(await agent.claim_one(), b"", exit_code=1)

        await stage.coordinator.life.retry(ADMIN, its_id, {})

        (claim,) = await agent.claim(3)
        assert await agent.claim(2) == []
        await agent.deliver(claim, run(0.5))
        assert [one["number"] for one in await agent.claim(3)] == [2]
        await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"max_parallel": 2}})
        assert [one["number"] for one in await agent.claim(3)] == [3]

    play(story)


def test_a_point_set_by_hand_costs_a_grid_none_of_its_points(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(**GRID, max_trials=100)
        agent = await stage.agent()
        await agent.deliver(await agent.claim_one(), run(0.5))
        point = {"values": {"lr": 0.5}}
        await stage.coordinator.optimizations.enqueue(ADMIN, its_id, point, None)
        job = await stage.coordinator.optimizations.enqueue(ADMIN, its_id, point, None)
        await stage.coordinator.jobs.stop(job["id"])

        assert await play_all(agent) == [0.5, 0.25, 0.5, 0.75, 1.0]

        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["counts"]) == ("DONE", {"ABORTED": 1, "DONE": 6})
        assert stage.coordinator.store.read_sync(check.violations) == []
        with pytest.raises(
            UsageError, match=r"^the grid of optimization \w+ has 5 points\. There are no more to try\.$"
        ):
            await stage.coordinator.optimizations.extend(its_id, 1, is_more=True)
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def test_a_grid_that_was_extended_can_still_be_changed(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(**GRID, max_trials=1)
        agent = await stage.agent()
        await agent.deliver(await agent.claim_one(), run(0.5))
        await stage.coordinator.optimizations.extend(its_id, 3)
        await agent.deliver(await agent.claim_one(), run(0.5))

        edited = await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"max_parallel": 2}})

        assert (edited["max_parallel"], edited["max_trials"]) == (2, 3)

    play(story)


def test_a_restart_fixes_values_without_another_definition(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=2)
        one_more = {"add": {"decay": 0.1}, "space": {"decay": "uniform(0, 1)"}}
        await stage.coordinator.life.edit(ADMIN, its_id, one_more)
        await stage.coordinator.optimizations.extend(its_id, 7)

        with pytest.raises(UsageError, match=r"^unknown hyperparameter rl\. Did you mean lr\?$"):
            await stage.coordinator.life.restart(ADMIN, its_id, {"fixed": {"rl": 0.3}}, None)
        shown = await stage.coordinator.life.restart(ADMIN, its_id, {"fixed": {"lr": 0.3}}, None)

        assert (shown["generation"], shown["max_trials"]) == (2, 7)
        assert (await stage.coordinator.life.definition(its_id))["fixed"] == {"lr": 0.3}

    play(story)


def test_a_max_parallel_beyond_all_measure_makes_no_more_rows_than_are_of_use(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=2_000_000, max_parallel=1_000_000, initial_random=2_000_000)
        agent = await stage.agent(slots=3)

        assert len(await agent.claim(3)) == 3

        shown = await stage.coordinator.optimizations.one(its_id)
        assert shown["counts"]["CREATED"] <= 200
        with pytest.raises(UsageError, match=r"^9000000000 trials are too many\. Give a number below 2147483648\.$"):
            await stage.coordinator.optimizations.extend(its_id, 9_000_000_000)
        with pytest.raises(UsageError, match=r"Write a whole number, at least 1 and below 2147483648\.$"):
            await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"max_trials": 2**40}})

    play(story)
