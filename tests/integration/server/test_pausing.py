"""Jobs that are paused: what the agent is told, what the state says, and what becomes of them otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import Agent, happened, run

from bough.errors import Conflict

Play = Callable[..., None]


async def running(stage: Stage, **settings: Any) -> tuple[Agent, dict[str, Any]]:
    agent, claim = await stage.claim(**settings)
    await agent.sync(events=[happened(claim, "running")])
    return agent, claim


def test_a_pause_is_told_with_every_reply_and_the_state_follows_what_the_agent_says(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await running(stage)

        await stage.coordinator.jobs.pause(claim["job_id"])
        for _ in range(2):
            assert (await agent.sync())["desired"] == [[claim["job_id"], 1, "pause", None]]
        assert (await stage.job(claim))["state"] == "RUNNING"
        await agent.sync(events=[happened(claim, "paused")])
        assert (await stage.job(claim))["state"] == "PAUSED"

        await stage.coordinator.jobs.go_on(claim["job_id"])
        assert (await agent.sync())["desired"] == []
        await agent.sync(events=[happened(claim, "continued")])
        assert (await stage.job(claim))["state"] == "RUNNING"

    play(story)


def test_a_paused_job_can_be_stopped_and_may_end_by_itself(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await running(stage)
        await stage.coordinator.jobs.pause(claim["job_id"])
        await agent.sync(events=[happened(claim, "paused")])

        await stage.coordinator.jobs.stop(claim["job_id"])
        assert (await agent.sync())["desired"] == [[claim["job_id"], 1, "stop", "user"]]
        with pytest.raises(Conflict, match=r"cannot be paused or continued\. It is being stopped\."):
            await stage.coordinator.jobs.go_on(claim["job_id"])
        await agent.deliver(claim, run(0.5), cause="user")
        assert (await stage.job(claim))["end_reason"] == "user"

        (other,) = await agent.claim()
        await agent.sync(events=[happened(other, "running")])
        await stage.coordinator.jobs.pause(other["job_id"])
        await agent.deliver(other, run(0.5))
        assert (await stage.job(other))["state"] == "DONE"
        with pytest.raises(Conflict, match=r"is DONE and cannot be paused or continued\. It has ended\."):
            await stage.coordinator.jobs.pause(other["job_id"])

    play(story)


def test_a_job_that_waits_cannot_be_paused_and_the_error_says_what_can(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize()
        rows = (await stage.coordinator.optimizations.trials(optimization))["rows"]

        with pytest.raises(Conflict, match=r"is CREATED and cannot .* pause its optimization: bough opt"):
            await stage.coordinator.jobs.pause(rows[0]["id"])

    play(story)


def test_a_paused_job_that_is_lost_runs_again_as_any_other(play: Play) -> None:
    """The pause was of processes that are no more."""

    async def story(stage: Stage) -> None:
        agent, claim = await running(stage)
        await stage.coordinator.jobs.pause(claim["job_id"])
        await agent.sync(events=[happened(claim, "paused")])

        await agent.sync(events=[happened(claim, "released", reason="lost", message="its supervisor died.")])

        again = await agent.claim_one()
        assert (again["job_id"], again["attempt"]) == (claim["job_id"], 2)
        assert (await agent.sync())["desired"] == []

    play(story)


@pytest.mark.parametrize("then", ["resume", "stop"])
def test_an_optimization_freezes_what_runs_and_thaws_it_but_not_what_was_paused_by_hand(play: Play, then: str) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_parallel=2, initial_random=3)
        agent = await stage.agent(slots=2)
        frozen, by_hand = await agent.claim(2)
        await agent.sync(events=[happened(claim, "running") for claim in (frozen, by_hand)])
        await stage.coordinator.jobs.pause(by_hand["job_id"])

        await stage.coordinator.optimizations.pause(optimization, freeze=True)
        told = (await agent.sync())["desired"]
        assert {(job, desired) for job, _, desired, _ in told} == {(c["job_id"], "pause") for c in (frozen, by_hand)}

        await getattr(stage.coordinator.optimizations, then)(optimization)
        assert [row[:3] for row in (await agent.sync())["desired"]] == [[by_hand["job_id"], 1, "pause"]]

    play(story)
