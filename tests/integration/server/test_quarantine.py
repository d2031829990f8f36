"""An agent on which everything dies at once loses nobody's trial; a commit that dies everywhere pauses its search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import Agent, happened, run

from bough_server.service import quarantine

Play = Callable[..., None]


async def dies(agent: Agent, claim: Mapping[str, Any], duration_s: float = 1.0) -> dict[str, Any]:
    return await agent.deliver(claim, exit_code=1, duration_s=duration_s)


async def lab(stage: Stage, **settings: Any) -> tuple[str, Agent, Agent]:
    """An optimization, a good agent, and a bad one."""
    settings = {"max_trials": 12, "max_parallel": 8, "initial_random": 12, "on_failure": {"stop_after": 5}, **settings}
    optimization = await stage.optimize(**settings)
    return optimization, await stage.agent("good", 4), await stage.agent("bad", 4)


async def shown(stage: Stage, name: str) -> dict[str, Any]:
    return next(row for row in await stage.coordinator.agents.page() if row["name"] == name)


def test_trials_go_back_unburnt_and_the_third_puts_the_agent_into_quarantine(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization, good, bad = await lab(stage)
        await good.deliver(await good.claim_one(), run(0.5))

        died = []
        for n in range(quarantine.SUSPECTS):
            claim = await bad.claim_one()
            died.append(claim["job_id"])
            reply = await dies(bad, claim)
            assert [claim["job_id"], 1] in [list(key) for key in reply["ended"]]
            assert (await stage.job(claim))["state"] == "QUEUED"
            assert ((await shown(stage, "bad"))["quarantine"] is not None) is (n == quarantine.SUSPECTS - 1)

        assert len(set(died)) == 3  # none was given to it again
        assert await bad.claim() == []
        reason = (await bad.sync())["quarantine"]
        assert reason == (
            "3 trials of commit 3f9a12c (me/digits) died on it within 10 s, and that commit runs elsewhere"
        )
        assert (
            f"agent bad is in quarantine: {reason}. Mend it, then: bough agent release bad."
            in (await stage.coordinator.why())["reasons"]
        )
        again = await good.claim(4)
        assert {(claim["job_id"], claim["attempt"]) for claim in again} >= {(job_id, 2) for job_id in died}
        for claim in again:
            await good.deliver(claim, run(0.5))
        counts = (await stage.coordinator.optimizations.one(optimization))["counts"]
        assert counts.get("FAILED", 0) == 0

        await stage.coordinator.agents.release("bad")
        assert len(await bad.claim()) == 1
        assert (await bad.sync())["quarantine"] is None

    play(story)


def test_the_word_of_a_second_agent_stands(play: Play) -> None:
    """A trial that dies there too is at fault itself, and the first agent is none the worse for it."""

    async def story(stage: Stage) -> None:
        _, good, bad = await lab(stage, max_trials=40, initial_random=40)
        await good.deliver(await good.claim_one(), run(0.5))

        for _ in range(4):
            claim = await bad.claim_one()
            await dies(bad, claim)
            (again,) = [found for found in await good.claim(4) if found["job_id"] == claim["job_id"]]
            await dies(good, again)
            for other in list(good.held.values()):
                await good.deliver(other, run(0.5))
            assert (await stage.job(claim))["state"] == "FAILED"

        assert (await shown(stage, "bad"))["quarantine"] is None

    play(story)


def test_a_commit_that_fails_everywhere_pauses_the_optimization_with_the_reason(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization, good, bad = await lab(stage)
        for agent in (good, bad, good, bad, good):
            await dies(agent, await agent.claim_one())

        found = await stage.coordinator.optimizations.one(optimization)
        assert (found["state"], found["counts"]["FAILED"]) == ("PAUSED", 5)
        assert found["reason"].startswith("5 trials in a row failed. The last: trial 5 ended with exit code 1")
        assert [row["quarantine"] for row in await stage.coordinator.agents.page()] == [None, None]

    play(story)


@pytest.mark.parametrize("what", ["late", "after a point", "on an agent that ran it well", "alone"])
def test_what_is_no_machine_s_fault_fails_at_once(play: Play, what: str) -> None:
    async def story(stage: Stage) -> None:
        _, good, bad = await lab(stage)
        if what != "alone":
            await good.deliver(await good.claim_one(), run(0.5))
        if what == "on an agent that ran it well":
            await bad.deliver(await bad.claim_one(), run(0.5))
        claim = await bad.claim_one()

        told = run(0.5) if what == "after a point" else b""
        await bad.deliver(claim, told, exit_code=1, duration_s=11.0 if what == "late" else 1.0)

        job = await stage.job(claim)
        assert (job["state"], job["end_reason"], job["attempt"]) == ("FAILED", "error", 1)

    play(story)


def test_a_trial_that_runs_elsewhere_is_hope_enough_to_give_one_back_but_no_proof(play: Play) -> None:
    async def story(stage: Stage) -> None:
        _, good, bad = await lab(stage)
        other = await good.claim_one()
        await good.sync(events=[happened(other, "running")])

        for _ in range(3):
            claim = await bad.claim_one()
            await dies(bad, claim)
            assert (await stage.job(claim))["state"] == "QUEUED"
        assert (await shown(stage, "bad"))["quarantine"] is None
        await good.deliver(other, run(0.5))
        assert (await shown(stage, "bad"))["quarantine"] is not None

    play(story)


def test_an_environment_that_cannot_be_made_on_one_agent_alone_is_its_fault_too(play: Play) -> None:
    async def story(stage: Stage) -> None:
        _, good, bad = await lab(stage)
        await good.deliver(await good.claim_one(), run(0.5))
        claim = await bad.claim_one()

        await bad.sync(events=[happened(claim, "prepare_failed", reason="error", message="setup: no network.")])

        assert (await stage.job(claim))["state"] == "QUEUED"
        assert (await bad.claim_one())["job_id"] != claim["job_id"]

    play(story)
