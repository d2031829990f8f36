"""Silence, restarts and time: shown at once, taken back late, and never two results for one trial."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.integration.server.conftest import Stage
from tests.integration.server.driver import AGENT, CountingOptimizer, exit_of, happened, journal, run, until

from bough_server.optimizers.client import Ask
from bough_server.service import check

Play = Callable[..., None]


def test_a_silent_job_is_unreachable_first_and_lost_much_later(play: Play) -> None:
    """Both sides of both edges."""

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        await agent.sync(events=[happened(claim, "running")])

        await stage.pass_time(30.0)
        assert not (await stage.job(claim))["unreachable"]
        await stage.pass_time(0.1)
        assert (await stage.job(claim))["unreachable"]
        assert (await stage.job(claim))["state"] == "RUNNING"
        await stage.pass_time(869.9)
        assert (await stage.job(claim))["state"] == "RUNNING"

        await stage.pass_time(0.1)

        shown = await stage.job(claim)
        assert (shown["state"], shown["unreachable"]) == ("QUEUED", False)
        assert shown["message"] == "attempt 1 of trial 1 was given up: nothing was heard of it for 900 s."

    play(story)


def test_a_heartbeat_renews_the_lease_and_clears_the_flag(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        await stage.pass_time(31)
        assert (await stage.job(claim))["unreachable"]

        await agent.sync()

        assert not (await stage.job(claim))["unreachable"]
        await stage.pass_time(29)
        assert not (await stage.job(claim))["unreachable"]

    play(story)


def test_an_attempt_that_comes_back_before_the_next_claim_goes_on(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        await agent.sync(events=[happened(claim, "running")])
        await stage.pass_time(901)

        reply = await agent.deliver(claim, run(0.5))

        assert reply["ended"] == [(claim["job_id"], 1)]
        assert ((await stage.job(claim))["state"], (await stage.job(claim))["kpi"]) == ("DONE", 0.5)

    play(story)


def test_an_attempt_that_comes_back_after_the_next_claim_is_fenced(play: Play) -> None:
    """The first agent was only slow: its late report must not end the second attempt."""

    async def story(stage: Stage) -> None:
        anna, first = await stage.claim(max_trials=1)
        await anna.sync([(first, "journal/1-aa", 0, journal(["p", "a", 1, 1.0]))], [happened(first, "running")])
        await stage.pass_time(901)
        ben = await stage.agent("ben")
        second = await ben.claim_one()
        assert (second["job_id"], second["attempt"], second["values"]) == (first["job_id"], 2, first["values"])

        reply = await anna.deliver(first, run(0.9))

        assert reply["fenced"] == [(first["job_id"], 1)]
        assert (await stage.job(first))["state"] == "PREPARING"
        await ben.deliver(second, run(0.4))
        shown = await stage.job(first)
        assert (shown["state"], shown["kpi"], shown["agent"], shown["attempts"]) == ("DONE", 0.4, "ben", 2)
        kept = await stage.coordinator.jobs.points(first["job_id"], "a", attempt=1)
        assert kept["channels"][0]["y"] == [[1.0]]

    play(story)


def test_ten_lost_attempts_end_a_job_and_use_up_no_try(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=1, on_failure={"retry": 0})
        claim: dict[str, Any] = {}
        for n in range(1, 11):
            claim = await (await stage.agent(f"a{n}")).claim_one()
            assert claim["attempt"] == n
            await stage.pass_time(901)

        shown = await stage.job(claim)
        assert (shown["state"], shown["end_reason"]) == ("FAILED", "lost")
        assert shown["message"].startswith(
            "trial 1 was lost 10 times; the last time nothing was heard of it for 901 s."
        )
        assert (await stage.coordinator.optimizations.one(optimization))["state"] == "DONE"

    play(story)


def test_an_attempt_that_its_living_agent_does_not_hold_is_given_back(play: Play) -> None:
    """Its grant was lost for good: the agent was started anew and knows nothing of it."""

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        agent.held.clear()
        stage.clock.pass_time(31)
        await agent.sync()

        await stage.coordinator.reap()

        shown = await stage.job(claim)
        assert shown["state"] == "QUEUED"
        assert "its agent does not know of it any more" in shown["message"]

    play(story)


def test_an_agent_that_is_back_after_a_silence_may_first_say_what_it_holds(play: Play) -> None:
    """It was started again: between its introduction and its first message it has said nothing about its attempts."""

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        await agent.sync(events=[happened(claim, "running")])
        await stage.pass_time(40)

        await agent.connect()
        await stage.pass_time(0.1)

        shown = await stage.job(claim)
        assert (shown["state"], shown["unreachable"]) == ("RUNNING", True)
        await agent.sync()
        await stage.pass_time(0.1)
        shown = await stage.job(claim)
        assert (shown["state"], shown["unreachable"], shown["message"]) == ("RUNNING", False, None)

    play(story)


class SlowToAnswerTheSecond(CountingOptimizer):
    """Answers its first ask at once, and the others when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def ask(self, ask: Ask) -> dict[str, Any]:
        if self.asks:
            await self.may.wait()
        return await super().ask(ask)


def test_a_claim_that_was_just_granted_is_not_given_up(play: Play) -> None:
    """Its agent waits for a second one in the same request; it cannot have said yet that it holds the first."""

    async def story(stage: Stage) -> None:
        await stage.optimize(max_trials=2, max_parallel=2)
        agent = await stage.agent(slots=2)
        await agent.sync()
        await stage.pass_time(100)
        await agent.sync()
        claiming = asyncio.create_task(agent.claim(wants=2))
        trials = stage.coordinator.optimizations.trials
        (shown,) = (await stage.coordinator.optimizations.page())["rows"]

        async def is_claimed() -> bool:
            return "PREPARING" in [row["state"] for row in (await trials(shown["id"]))["rows"]]

        await until(is_claimed)
        await stage.coordinator.reap()
        optimizer.may.set()
        claims = await claiming

        assert [(claim["number"], claim["attempt"]) for claim in claims] == [(1, 1), (2, 1)]

    optimizer = SlowToAnswerTheSecond()
    play(story, optimizer=optimizer, claim_wait_s=20.0)


def test_nobody_is_given_up_because_the_coordinator_was_away(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        await agent.sync(events=[happened(claim, "running")])
        stage.clock.pass_time(5000)

        await stage.restart()
        await stage.coordinator.reap()
        await stage.pass_time(900)

        assert (await stage.job(claim))["state"] == "RUNNING"
        agent.coordinator = stage.coordinator
        assert (await agent.deliver(claim, run(0.5)))["ended"] == [(claim["job_id"], 1)]

    play(story)


def test_data_that_never_comes_ends_the_wait_after_a_day(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        told = run(0.5, 0.6)
        whole = told.index(b"\n", told.index(b'"p"')) + 1
        exit_ = {"exit_code": 0, "log": {"bytes": 99, "crc": 0}, "journals": {}}
        await agent.sync(
            [(claim, "journal/1-aa", 0, told[:whole])],
            [happened(claim, "running"), happened(claim, "exited", exit=exit_)],
        )

        await stage.pass_time(24 * 3600)
        assert (await stage.job(claim))["state"] == "DRAINING"
        await stage.pass_time(1)

        shown = await stage.job(claim)
        assert (shown["state"], shown["partial"], shown["kpi"]) == ("DONE", True, 0.5)

    play(story)


def test_total_time_starts_nothing_more_and_lets_what_runs_end(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=50, total_time="1h")
        agent = await stage.agent()
        claim = await agent.claim_one()
        await agent.sync(events=[happened(claim, "running")])
        for _ in range(4):
            stage.clock.pass_time(899)
            await agent.sync()
        await stage.pass_time(4)
        assert (await stage.coordinator.optimizations.one(optimization))["state"] == "STOPPING"

        await agent.deliver(claim, run(0.5))

        shown = await stage.coordinator.optimizations.one(optimization)
        assert (shown["state"], shown["reason"]) == ("DONE", "its total_time of 3600 s is over.")
        assert shown["counts"] == {"DONE": 1}
        assert await agent.claim() == []

    play(story)


def test_a_bell_rings_when_a_stop_is_wanted(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        before = (await agent.sync())["bell"]
        assert await stage.coordinator.agents.bell(AGENT, agent.id, before, 0.0) == {"bell": before}
        waiting = asyncio.create_task(stage.coordinator.agents.bell(AGENT, agent.id, before, 30.0))

        await stage.coordinator.jobs.stop(claim["job_id"])

        assert await asyncio.wait_for(waiting, 10) == {"bell": before + 1}

    play(story)


def test_a_bell_rings_when_there_is_work(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent = await stage.agent()
        before = (await agent.sync(wants=1))["bell"]
        waiting = asyncio.create_task(stage.coordinator.agents.bell(AGENT, agent.id, before, 30.0))

        await stage.optimize()

        assert (await asyncio.wait_for(waiting, 10))["bell"] > before
        assert len(await agent.claim()) == 1

    play(story)


def test_the_store_of_all_this_keeps_its_invariants(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.claim(max_trials=2)
        await stage.pass_time(901)
        ben = await stage.agent("ben")
        await ben.deliver(await ben.claim_one(), run(0.5), wants=1)

        assert stage.coordinator.store.read_sync(check.violations) == []

    play(story)


def test_an_attempt_that_ends_unheard_did_not_begin_with_the_one_before_it(play: Play) -> None:
    """A short attempt is heard of only when it is over; when the lost one before it had begun is another matter."""

    async def story(stage: Stage) -> None:
        agent, first = await stage.claim()
        await agent.sync(events=[happened(first, "running")])
        await stage.pass_time(901)
        other = await stage.agent("ben")
        second = await other.claim_one()
        assert (await stage.job(second))["started_at"] is None

        await stage.pass_time(10)
        told = run(0.5)
        exited = happened(second, "exited", exit=exit_of(told, duration_s=2.0))
        await other.sync([(second, "journal/1-aa", 0, told)], [exited])

        shown = await stage.job(second)
        assert (shown["state"], shown["ended_at"] - shown["started_at"]) == ("DONE", 2.0)

    play(story)
