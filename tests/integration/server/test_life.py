"""What becomes of an optimization later: retries, restarts, archiving, deleting; through the coordinator's desks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, Agent, CountingOptimizer, request, run

from bough.errors import Conflict, NotFound, UsageError
from bough_server.service import check
from bough_server.store import schema

Play = Callable[..., None]
OTHER = "4a" * 20


def assert_sound(stage: Stage) -> None:
    assert stage.coordinator.store.read_sync(check.violations) == []


def told(stage: Stage) -> list[tuple[int, int, float | None]]:
    """Return the whole history: generation, ask number, loss."""
    order = select(schema.history).order_by(schema.history.c.seq)
    rows = stage.coordinator.store.read_sync(lambda tx: [dict(row) for row in tx.execute(order).mappings()])
    return [(row["generation"], row["ask_number"], row["loss"]) for row in rows]


async def fail(agent: Agent, claim: dict[str, Any], **exit_: Any) -> None:
    await agent.deliver(claim, b"", b"boom\n", exit_code=3, **exit_)


async def trials(stage: Stage, its_id: str, **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await stage.coordinator.optimizations.trials(its_id, **query))["rows"]
    return rows


# -- retry ----------------------------------------------------------------------------------------------------


def test_a_failed_trial_runs_again_with_its_values_and_the_optimizer_hears_the_last_word(play: Play) -> None:
    optimizer = CountingOptimizer()

    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=3, initial_random=0)
        agent = await stage.agent()
        first = await agent.claim_one()
        await fail(agent, first)
        await agent.deliver(await agent.claim_one(), run(0.5))

        said = await stage.coordinator.life.retry(ADMIN, its_id, {"commit": OTHER})

        assert (said["retried"], said["state"], said["counts"]["QUEUED"]) == ([1], "RUNNING", 1)
        assert_sound(stage)
        again = await agent.claim_one()
        assert (again["job_id"], again["attempt"], again["values"]) == (first["job_id"], 2, first["values"])
        assert (first["commit"] != OTHER, again["commit"]) == (True, OTHER)
        await agent.deliver(again, run(0.7))
        await agent.deliver(await agent.claim_one(), run(0.9))
        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["counts"]) == ("DONE", {"DONE": 3})
        assert told(stage) == [(1, 0, None), (1, 1, -0.5), (1, 0, -0.7), (1, 2, -0.9)]
        seen = [[(one.number, one.loss) for one in ask.history] for ask in optimizer.asks]
        assert seen[-1] == [(0, -0.7), (1, -0.5)], "the last word, in the place of the first"
        job = await stage.coordinator.jobs.one(first["job_id"])
        assert job["history"][0]["message"].startswith("FAILED (error): trial 1 ended with exit code 3")
        assert (job["retries"], job["attempt"], job["state"], job["commit"]) == (1, 2, "DONE", OTHER)
        edits = (await stage.coordinator.life.edits(its_id))["rows"]
        assert [(one["kind"], one["changes"]) for one in edits] == [
            ("retry", [f"trials 1 run again with commit {OTHER[:12]}"])
        ]
        assert_sound(stage)

    play(story, optimizer)


def test_what_may_be_retried_is_chosen_by_why_it_failed_or_by_number(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=4, on_failure={"stop_after": None})
        agent = await stage.agent()
        await fail(agent, await agent.claim_one())
        await agent.deliver(await agent.claim_one(), b"", cause="supervisor_lost", exit_code=None)
        await agent.deliver(await agent.claim_one(), run(0.5))
        last = await agent.claim_one()
        await stage.coordinator.jobs.stop(last["job_id"])
        await agent.deliver(last, run(0.1), cause="user")
        life = stage.coordinator.life
        assert (await stage.coordinator.optimizations.one(its_id))["state"] == "DONE"

        with pytest.raises(Conflict, match=r"^trial 3 is DONE: it has a result\. To run its values once more: bough"):
            await life.retry(ADMIN, its_id, {"trials": [3]})
        with pytest.raises(UsageError, match=r"^optimization \w+ has no trial 9\. Its trials are numbered up to 4\.$"):
            await life.retry(ADMIN, its_id, {"trials": [9]})
        with pytest.raises(UsageError, match=r"^trials is 'x', no list of numbers\. Send"):
            await life.retry(ADMIN, its_id, {"trials": "x"})
        with pytest.raises(UsageError, match=r"^lost is neither true nor false\. Send"):
            await life.retry(ADMIN, its_id, {"lost": 1})
        with pytest.raises(UsageError, match=r"^'abc' is no commit\."):
            await life.retry(ADMIN, its_id, {"commit": "abc"})
        assert (await life.retry(ADMIN, its_id, {"lost": True}))["retried"] == [2]
        with pytest.raises(Conflict, match=r"^trial 2 is QUEUED: it has not failed\."):
            await life.retry(ADMIN, its_id, {"trials": [2]})
        assert (await life.retry(ADMIN, its_id, {}))["retried"] == [1]
        with pytest.raises(Conflict, match=r"^optimization \w+ has no such trial that failed\."):
            await life.retry(ADMIN, its_id, {"failed": True})
        assert (await life.retry(ADMIN, its_id, {"trials": [4]}))["retried"] == [4]

        for _ in range(3):
            await agent.deliver(await agent.claim_one(), run(0.5))
        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["counts"]) == ("DONE", {"DONE": 4})
        assert_sound(stage)

    play(story)


def test_a_retry_mends_what_failures_had_paused_but_not_what_its_user_paused_or_stopped(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=9, on_failure={"stop_after": 1})
        agent = await stage.agent()
        await fail(agent, await agent.claim_one())
        paused = await stage.coordinator.optimizations.one(its_id)
        assert paused["state"] == "PAUSED"
        mended = f"bough optimization retry {its_id} --commit REF runs them again, and all that follow, with a new"
        assert mended in paused["reason"]

        assert (await stage.coordinator.life.retry(ADMIN, its_id, {}))["state"] == "RUNNING"
        await stage.coordinator.optimizations.pause(its_id)
        claim = await agent.claim()
        assert claim == []
        await stage.coordinator.optimizations.resume(its_id)
        await fail(agent, await agent.claim_one())
        await stage.coordinator.optimizations.resume(its_id)
        await stage.coordinator.optimizations.pause(its_id)
        assert (await stage.coordinator.life.retry(ADMIN, its_id, {}))["state"] == "PAUSED"
        await stage.coordinator.optimizations.stop(its_id)
        stopped = await stage.coordinator.life.retry(ADMIN, its_id, {"trials": [1]})
        assert (stopped["state"], stopped["max_trials"]) == ("RUNNING", 1)
        await agent.deliver(await agent.claim_one(), run(0.5))
        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["counts"]) == ("DONE", {"DONE": 1})
        assert_sound(stage)

    play(story)


def test_a_lost_attempt_does_not_come_back_after_a_retry(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=1)
        anna, ben = await stage.agent("anna"), await stage.agent("ben")
        claim = await anna.claim_one()
        await stage.pass_time(1000)
        assert (await stage.job(claim))["state"] == "FAILED"
        await stage.coordinator.life.retry(ADMIN, its_id, {"lost": True})

        reply = await anna.sync()

        assert [tuple(one) for one in reply["fenced"]] == [(claim["job_id"], 1)]
        again = await ben.claim_one()
        assert (again["job_id"], again["attempt"]) == (claim["job_id"], 2)
        await ben.deliver(again, run(0.5))
        assert (await stage.coordinator.optimizations.one(its_id))["state"] == "DONE"
        assert_sound(stage)

    play(story, max_lost=1)


def test_nothing_is_retried_after_its_total_time(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=1, total_time="1m")
        agent = await stage.agent()
        await fail(agent, await agent.claim_one())
        stage.clock.pass_time(61)

        with pytest.raises(
            Conflict, match=rf"total_time of optimization {its_id} is over\. Give it more: .*total_time"
        ):
            await stage.coordinator.life.retry(ADMIN, its_id, {})

        await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"total_time": "1h"}})
        assert (await stage.coordinator.life.retry(ADMIN, its_id, {}))["retried"] == [1]

    play(story)


def test_a_manual_job_is_retried_too(play: Play) -> None:
    async def story(stage: Stage) -> None:
        body = {name: value for name, value in request().items() if name != "fixed"}
        made = await stage.coordinator.jobs.create(ADMIN, {**body, "values": {"lr": 0.3}})
        agent = await stage.agent()
        await fail(agent, await agent.claim_one())

        job = await stage.coordinator.life.retry_job(made["id"], {})

        assert (job["state"], job["values"], job["end_reason"]) == ("QUEUED", {"lr": 0.3}, None)
        await agent.deliver(await agent.claim_one(), run(0.5))
        assert (await stage.coordinator.jobs.one(made["id"]))["state"] == "DONE"
        with pytest.raises(Conflict, match=r"is DONE: it has a result"):
            await stage.coordinator.life.retry_job(made["id"], {})

    play(story)


# -- restart --------------------------------------------------------------------------------------------------


def test_a_restart_stops_what_runs_and_begins_anew_and_the_old_trials_are_kept(play: Play) -> None:
    optimizer = CountingOptimizer()

    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=3, max_parallel=2)
        agent = await stage.agent(slots=4)
        one, two = await agent.claim(2)
        await agent.deliver(one, run(0.5))

        shown = await stage.coordinator.life.restart(ADMIN, its_id, {"commit": OTHER})

        assert (shown["generation"], shown["state"], shown["commit"], shown["best"]) == (2, "RUNNING", OTHER, None)
        assert_sound(stage)
        assert await agent.claim(4) == [], "the trial of before still runs"
        reply = await agent.sync()
        assert [tuple(found) for found in reply["desired"]] == [(two["job_id"], 1, "stop", "user")]
        await agent.deliver(two, run(0.6), cause="user")
        three, four = await agent.claim(4)
        assert [claim["number"] for claim in (three, four)] == [1, 2]
        assert {claim["commit"] for claim in (three, four)} == {OTHER}
        assert [claim["values"]["lr"] for claim in (three, four)] == [0.0, 1.0], "asks count from 0 again"
        assert [ask.history for ask in optimizer.asks if ask.number == 1][-1] == (), "and know of nothing"
        await agent.deliver(three, run(0.1))
        await agent.deliver(four, run(0.2))
        await agent.deliver(await agent.claim_one(), run(0.3))

        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["counts"], shown["best"]["kpi"]) == ("DONE", {"DONE": 3}, 0.3)
        assert told(stage) == [(1, 0, -0.5), (2, 0, -0.1), (2, 1, -0.2), (2, 2, -0.3)]
        old = await trials(stage, its_id, generation=1)
        assert [(job["number"], job["state"], job["kpi"]) for job in old] == [(1, "DONE", 0.5), (2, "ABORTED", 0.6)]
        assert len(await trials(stage, its_id)) == 3
        _, rows = await stage.coordinator.exports.trials(its_id, generation=1)
        assert [row["job_id"] for row in rows] == [one["job_id"], two["job_id"]]
        _, rows = await stage.coordinator.exports.points(its_id, generation=1)
        assert [row["y"] for row in rows] == [0.5, 0.6]
        with pytest.raises(NotFound, match=r"has no generation 3\. It is in its generation 2\.$"):
            await trials(stage, its_id, generation=3)
        assert_sound(stage)

    play(story, optimizer)


def test_a_restart_takes_the_definition_and_the_seed_it_is_given(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=3, seed=None)
        drawn = (await stage.coordinator.optimizations.one(its_id))["seed"]
        life = stage.coordinator.life

        shown = await life.restart(ADMIN, its_id, {})
        assert shown["seed"] != drawn, "completely new parameters"
        new = request(max_trials=7, seed=5, space={"lr": "uniform(0, 9)"})["definition"]
        shown = await life.restart(ADMIN, its_id, {"definition": new})
        assert (shown["generation"], shown["seed"], shown["max_trials"], shown["space_version"]) == (3, 5, 7, 2)
        shown = await life.restart(ADMIN, its_id, {"seed": 11})
        assert (shown["seed"], (await life.restart(ADMIN, its_id, {}))["seed"]) == (11, 5)

        with pytest.raises(UsageError, match=r"^seed is 'x', no whole number"):
            await life.restart(ADMIN, its_id, {"seed": "x"})
        with pytest.raises(UsageError, match=r"^the definition is not one of an optimization of me/digits\."):
            await life.restart(ADMIN, its_id, {"definition": {**new, "model": "me/other"}})
        assert_sound(stage)

    play(story)


def test_a_lost_trial_of_an_earlier_generation_is_not_run_again(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim(max_trials=2)
        (row,) = (await stage.coordinator.optimizations.page())["rows"]
        await stage.coordinator.life.restart(ADMIN, row["id"], {})

        await stage.pass_time(1000)

        assert (await stage.job(claim))["state"] == "ABORTED"
        again = await agent.claim_one()
        assert (again["number"], again["job_id"] != claim["job_id"]) == (1, True)
        assert_sound(stage)

    play(story)


# -- archive and delete ---------------------------------------------------------------------------------------


def test_an_archived_optimization_is_hidden_and_can_be_brought_back(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=4, max_parallel=2)
        agent = await stage.agent(slots=2)
        claim = await agent.claim_one()
        life, optimizations = stage.coordinator.life, stage.coordinator.optimizations
        await stage.coordinator.optimizations.enqueue(ADMIN, its_id, {"values": {"lr": 0.5}})
        with pytest.raises(Conflict, match=r"cannot be archived: 1 trial of it is running\. Stop it first: bough opt"):
            await life.archive(its_id)
        await agent.deliver(claim, run(0.5))

        shown = await life.archive(its_id)

        assert (shown["state"], shown["counts"]) == ("ARCHIVED", {"DONE": 1, "ABORTED": 1})
        assert (await trials(stage, its_id))[1]["message"] == "trial 2 was not run: its optimization was archived."
        assert await agent.claim(2) == []
        assert (await optimizations.page())["rows"] == []
        assert [row["id"] for row in (await optimizations.page(archived=True))["rows"]] == [its_id]
        for refused in (life.edit(ADMIN, its_id, {}), life.restart(ADMIN, its_id, {})):
            with pytest.raises(
                Conflict, match=rf"is archived\. Bring it back: bough optimization unarchive {its_id}\."
            ):
                await refused
        assert (await life.unarchive(its_id))["state"] == "STOPPED"
        with pytest.raises(Conflict, match=r"is STOPPED, not archived\."):
            await life.unarchive(its_id)
        assert (await optimizations.page())["total"] == 1
        assert_sound(stage)

    play(story)


def test_optimizations_are_listed_by_state_and_model(play: Play) -> None:
    async def story(stage: Stage) -> None:
        running, stopped = await stage.optimize(), await stage.optimize()
        await stage.coordinator.optimizations.stop(stopped)
        page = stage.coordinator.optimizations.page

        assert [row["id"] for row in (await page(state="stopped"))["rows"]] == [stopped]
        assert [row["id"] for row in (await page(state="RUNNING,DONE", model="me/digits"))["rows"]] == [running]
        assert (await page(model="me/other"))["total"] == 0
        with pytest.raises(UsageError, match=r"^there is no state FINE\. There are: RUNNING, PAUSED"):
            await page(state="fine")

    play(story)


def test_what_is_deleted_is_gone_and_what_was_built_on_it_stays(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=2)
        agent = await stage.agent()
        await agent.deliver(await agent.claim_one(), run(0.5), b"log\n")
        later = await stage.coordinator.optimizations.create(ADMIN, {**request(), "warm_start": its_id})
        await stage.coordinator.optimizations.stop(later["id"])
        await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"max_trials": 5}})
        life = stage.coordinator.life
        with pytest.raises(
            UsageError, match=rf"^optimization {its_id} is deleted only by someone who repeats its id\."
        ):
            await life.remove(its_id, its_id[:4], False)
        claim = await agent.claim_one()
        with pytest.raises(Conflict, match=r"cannot be deleted: 1 trial of it is running\."):
            await life.remove(its_id, its_id, False)
        await agent.deliver(claim, run(0.7))
        await life.restart(ADMIN, its_id, {})

        said = await life.remove(its_id, its_id, False)

        assert said == {"deleted": its_id, "model": "me/digits", "records_deleted": 0}
        with pytest.raises(NotFound, match=rf"there is no optimization {its_id}"):
            await stage.coordinator.optimizations.one(its_id)
        assert await agent.sync() is not None
        mine = schema.history.c.optimization == later["id"]
        kept = stage.coordinator.store.read_sync(lambda tx: tx.execute(select(schema.history).where(mine)).all())
        assert len(kept) == 1
        left = stage.coordinator.store.read_sync(
            lambda tx: [tx.execute(select(table)).all() for table in (schema.point_chunks, schema.log_chunks)]
        )
        assert left == [[], []]
        assert_sound(stage)

    play(story)
