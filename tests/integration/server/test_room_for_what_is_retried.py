"""What is retried gets room, whatever max_trials says; where there is nothing to run again, that is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, run

from bough.errors import Conflict
from bough_server.service import check

Play = Callable[..., None]


def assert_sound(stage: Stage) -> None:
    assert stage.coordinator.store.read_sync(check.violations) == []


def test_a_trial_that_was_stopped_before_it_had_values_cannot_run_again(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=3, max_parallel=2)
        agent = await stage.agent(slots=2)
        first = await agent.claim_one()
        waiting = (await stage.coordinator.optimizations.trials(its_id))["rows"][-1]
        assert waiting["state"] == "CREATED"
        await stage.coordinator.jobs.stop(waiting["id"])
        said = r"^trial 2 was stopped before it had values: there is nothing to run again\. Another one took"

        with pytest.raises(Conflict, match=said):
            await stage.coordinator.life.retry(ADMIN, its_id, {"trials": [2]})
        with pytest.raises(Conflict, match=said):
            await stage.coordinator.life.retry_job(waiting["id"], {})

        await agent.deliver(first, run(0.5))
        for _ in range(2):
            await agent.deliver(await agent.claim_one(), run(0.5))
        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["counts"]) == ("DONE", {"DONE": 3, "ABORTED": 1})
        assert_sound(stage)

    play(story)


@pytest.mark.parametrize("how", ["the optimization", "the job"])
def test_a_point_that_was_stopped_in_the_queue_gets_room_when_it_is_retried(play: Play, how: str) -> None:
    """It never ran, so it did not count; its retry does, and max_trials grows by it rather than be broken."""

    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=9)
        agent = await stage.agent()
        await agent.deliver(await agent.claim_one(), run(0.5))
        point = await stage.coordinator.optimizations.enqueue(ADMIN, its_id, {"values": {"lr": 0.25}})
        stopped = await stage.coordinator.optimizations.stop(its_id)
        assert (stopped["state"], stopped["counts"]) == ("STOPPED", {"DONE": 1, "ABORTED": 1})

        if how == "the job":
            await stage.coordinator.life.retry_job(point["id"], {})
        else:
            await stage.coordinator.life.retry(ADMIN, its_id, {"trials": [point["number"]]})
            lines = (await stage.coordinator.life.edits(its_id))["rows"][-1]["changes"]
            assert lines == ["trials 2 run again", "max_trials: 1 → 2, so that they have room"]

        assert_sound(stage)
        again = await agent.claim_one()
        assert (again["job_id"], again["values"]) == (point["id"], {"lr": 0.25})
        await agent.deliver(again, run(0.6))
        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["max_trials"], shown["counts"]) == ("DONE", 2, {"DONE": 2})
        assert_sound(stage)

    play(story)


def test_what_waits_without_values_makes_place_for_what_is_retried(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=2, max_parallel=2)
        agent = await stage.agent(slots=2)
        point = await stage.coordinator.optimizations.enqueue(ADMIN, its_id, {"values": {"lr": 0.25}})
        await stage.coordinator.jobs.stop(point["id"])
        first = await agent.claim_one()

        await stage.coordinator.life.retry(ADMIN, its_id, {"trials": [point["number"]]})

        assert_sound(stage)
        await agent.deliver(first, run(0.5))
        await agent.deliver(await agent.claim_one(), run(0.5))
        assert await agent.claim() == []
        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["max_trials"], shown["counts"]) == ("DONE", 2, {"DONE": 2})
        assert_sound(stage)

    play(story)
