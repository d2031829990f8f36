"""Who gets which job, and how many at once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import (
    ADMIN,
    COMMIT,
    Agent,
    CountingOptimizer,
    MovedClock,
    definition,
    exit_of,
    happened,
    request,
    run,
    until,
)

from bough.errors import Conflict, Forbidden, NotFound, UsageError
from bough_server.config import Config
from bough_server.coordinator import Coordinator
from bough_server.optimizers.client import Ask
from bough_server.service import check, export
from bough_server.service.identity import Key

Play = Callable[..., None]


def test_no_more_trials_run_at_once_than_max_parallel(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.optimize(max_trials=10, max_parallel=3, initial_random=10)
        agent = await stage.agent(slots=8)

        claims = await agent.claim(8)
        assert [claim["number"] for claim in claims] == [1, 2, 3]
        assert await agent.claim(5) == []
        await agent.deliver(claims[0], run(0.5))
        assert [claim["number"] for claim in await agent.claim(8)] == [4]

    play(story)


def test_without_max_parallel_every_slot_of_the_chosen_agents_is_used(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.optimize(max_trials=20, max_parallel=None, initial_random=20, agents=["anna", "ben"])
        anna, ben, carl = [await stage.agent(name, slots) for name, slots in (("anna", 2), ("ben", 3), ("carl", 4))]

        assert len(await anna.claim(2)) == 2
        assert len(await ben.claim(3)) == 3
        assert await carl.claim(4) == []

    play(story)


@pytest.mark.parametrize("does_the_other_come", [True, False])
def test_two_agents_are_kept_equally_busy(tmp_path: Path, does_the_other_come: bool) -> None:
    """The busier one waits a moment for the other, and takes the job if that one does not come."""

    async def story() -> None:
        clock = MovedClock()
        coordinator = Coordinator(Config(tmp_path, port=0, patience_s=1.0), clock, CountingOptimizer())
        await coordinator.start()
        anna, ben = [await Agent(coordinator, name, 2).connect() for name in ("anna", "ben")]
        await ben.sync(wants=2)
        await coordinator.optimizations.create(ADMIN, request(max_trials=9, max_parallel=2, initial_random=9))

        assert len(await anna.claim(2)) == 1
        assert await anna.claim(1) == []
        if does_the_other_come:
            assert len(await ben.claim(2)) == 1
        clock.pass_time(1.1)

        assert len(await anna.claim(1)) == (0 if does_the_other_come else 1)
        await coordinator.stop()

    asyncio.run(story())


@pytest.mark.parametrize("max_parallel", [2, 3, 5, 7])
def test_agents_with_one_two_and_four_slots_are_filled_in_proportion(play: Play, max_parallel: int) -> None:
    """No agent was given its last job while another one was less busy; with all slots needed all are full."""

    async def story(stage: Stage) -> None:
        slots = {"anna": 1, "ben": 2, "carl": 4}
        agents = {name: await stage.agent(name, count) for name, count in slots.items()}
        running = {name: len(await agent.claim(slots[name])) for name, agent in agents.items()}  # all wait for work
        await stage.optimize(max_trials=7, max_parallel=max_parallel, initial_random=7)

        for _ in range(7):
            for name, agent in agents.items():
                free = slots[name] - running[name]
                running[name] += len(await agent.claim(free)) if free else 0

        assert sum(running.values()) == max_parallel
        for one, other in itertools.permutations(slots, 2):
            assert (running[one] - 1) / slots[one] <= running[other] / slots[other], running
        if max_parallel == 7:
            assert running == slots

    play(story, CountingOptimizer(), patience_s=60.0)


def test_a_higher_priority_goes_first_and_a_job_for_one_agent_goes_to_it_alone(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.optimize(initial_random=9)
        anna, ben = await stage.agent("anna"), await stage.agent("ben", 2)
        body: dict[str, Any] = {"definition": {**definition(), "priority": 5}, "commit": COMMIT, "values": {}}
        job = await stage.coordinator.jobs.create(ADMIN, {**body, "agent": "ben"})

        assert (await anna.claim_one())["number"] == 1
        assert (await ben.claim_one())["job_id"] == job["id"]
        with pytest.raises(UsageError, match=r"there is no agent carl\. There are: anna, ben\."):
            await stage.coordinator.jobs.create(ADMIN, {**body, "agent": "carl"})

    play(story)


def test_many_agents_at_once_start_each_trial_once_and_never_more_than_max_trials(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=24, max_parallel=6, initial_random=24)
        agents = [await stage.agent(f"a{i}", 2) for i in range(5)]

        async def work(agent: Agent) -> None:
            while True:
                claims = await agent.claim(2)
                for claim in claims:
                    await agent.deliver(claim, run(0.5))
                if (await stage.coordinator.optimizations.one(optimization))["state"] == "DONE":
                    return

        await asyncio.wait_for(asyncio.gather(*map(work, agents)), 60)

        page = await stage.coordinator.optimizations.trials(optimization, limit=100)
        assert [(row["number"], row["state"]) for row in page["rows"]] == [(n, "DONE") for n in range(1, 25)]
        assert Counter(row["attempt"] for row in page["rows"]) == {1: 24}
        assert stage.coordinator.store.read_sync(check.violations) == []

    play(story)


def test_an_optimizer_that_fails_pauses_its_optimization_with_the_reason(play: Play) -> None:
    from bough_server.optimizers.client import OptimizerFailed

    class Broken:
        versions: ClassVar[dict[str, str]] = {}

        async def ask(self, ask: object) -> dict[str, Any]:
            raise OptimizerFailed("the space is empty.")

    async def story(stage: Stage) -> None:
        optimization = await stage.optimize()
        agent = await stage.agent()

        assert await agent.claim() == []

        shown = await stage.coordinator.optimizations.one(optimization)
        assert shown["state"] == "PAUSED"
        assert shown["reason"].startswith(
            "the optimizer cannot go on: the space is empty. Then: bough optimization resume"
        )

    play(story, Broken())


def test_what_runs_finishes_while_an_optimizer_fails_and_once_that_is_mended_a_resume_goes_on(play: Play) -> None:
    from bough_server.optimizers.client import OptimizerFailed

    class Mended(CountingOptimizer):
        is_broken = False

        async def ask(self, ask: Ask) -> dict[str, Any]:
            if self.is_broken:
                raise OptimizerFailed("its library is not installed.")
            return await super().ask(ask)

    optimizer = Mended()

    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=4, max_parallel=3, initial_random=0)
        agent = await stage.agent(slots=3)
        running, *others = [await agent.claim_one() for _ in range(3)]
        optimizer.is_broken = True
        for other in others:  # two ends: what was prepared before them is not used any more
            await agent.deliver(other, run(0.4))
        await until(lambda: _is(stage, its_id, "PAUSED"))

        await agent.deliver(running, run(0.5))

        assert (await stage.job(running))["state"] == "DONE"
        assert await agent.claim() == []
        optimizer.is_broken = False
        shown = await stage.coordinator.optimizations.resume(its_id)
        assert (shown["state"], shown["reason"]) == ("RUNNING", None)
        await agent.deliver(await agent.claim_one(), run(0.6))
        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["counts"]) == ("DONE", {"DONE": 4})
        assert stage.coordinator.store.read_sync(check.violations) == []

    play(story, optimizer)


async def _is(stage: Stage, its_id: str, state: str) -> bool:
    return bool((await stage.coordinator.optimizations.one(its_id))["state"] == state)


# -- steering ---------------------------------------------------------------------------------------------------


def test_stop_lets_what_runs_end_and_stop_now_does_not(play: Play) -> None:
    async def story(stage: Stage) -> None:
        first = await stage.optimize(max_trials=9)
        agent = await stage.agent()
        claim = await agent.claim_one()

        assert (await stage.coordinator.optimizations.stop(first))["state"] == "STOPPING"
        assert (await agent.sync())["desired"] == []
        assert (await stage.coordinator.optimizations.stop(first, now=True))["state"] == "STOPPING"
        assert (await agent.sync())["desired"] == [[claim["job_id"], 1, "stop", "user"]]
        await agent.sync(events=[happened(claim, "exited", exit=exit_of(cause="user"))])

        shown = await stage.coordinator.optimizations.one(first)
        assert (shown["state"], shown["counts"]) == ("STOPPED", {"ABORTED": 1})
        with pytest.raises(Conflict, match="is STOPPED and cannot be paused"):
            await stage.coordinator.optimizations.pause(first)

    play(story)


def test_a_pause_that_releases_queues_what_runs_again_unburnt(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=1)
        agent = await stage.agent()
        claim = await agent.claim_one()

        await stage.coordinator.optimizations.pause(optimization, release=True)
        ((_, _, desired, cause),) = (await agent.sync())["desired"]
        assert desired == "stop"
        await agent.sync(events=[happened(claim, "exited", exit=exit_of(cause=cause))])

        assert (await stage.job(claim))["state"] == "QUEUED"
        assert await agent.claim() == []
        await stage.coordinator.optimizations.resume(optimization)
        again = await agent.claim_one()
        assert (again["job_id"], again["values"]) == (claim["job_id"], claim["values"])

    play(story)


def test_an_ended_optimization_goes_on_when_it_is_extended(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=1)
        agent = await stage.agent()
        await agent.deliver(await agent.claim_one(), run(0.5))
        assert (await stage.coordinator.optimizations.one(optimization))["state"] == "DONE"
        with pytest.raises(UsageError, match="already has max_trials 1"):
            await stage.coordinator.optimizations.extend(optimization, 1)

        await stage.coordinator.optimizations.extend(optimization, 2)
        await agent.deliver(await agent.claim_one(), run(0.7))

        shown = await stage.coordinator.optimizations.one(optimization)
        assert (shown["state"], shown["best"]["number"]) == ("DONE", 2)

    play(story)


def test_the_same_request_with_the_same_key_makes_one_optimization(play: Play) -> None:
    async def story(stage: Stage) -> None:
        first = await stage.coordinator.optimizations.create(ADMIN, request(), "once")
        again = await stage.coordinator.optimizations.create(ADMIN, request(), "once")

        assert again["id"] == first["id"]
        assert (await stage.coordinator.optimizations.page())["total"] == 1
        with pytest.raises(Conflict, match="Idempotency-Key once came before with another request"):
            await stage.coordinator.optimizations.create(ADMIN, request(max_trials=7), "once")

    play(story)


def test_what_is_wrong_with_a_request_is_said_in_a_sentence(play: Play) -> None:
    async def story(stage: Stage) -> None:
        make = stage.coordinator.optimizations.create
        with pytest.raises(Forbidden, match="key k belongs to you and may not create anything of me/digits"):
            await make(Key("k", "k", "user", "you"), request())
        with pytest.raises(Forbidden, match="has the scope read and may not create anything"):
            await make(Key("k", "k", "read", ""), request())
        with pytest.raises(UsageError, match="'abc' is no commit"):
            await make(ADMIN, {**request(), "commit": "abc"})
        with pytest.raises(UsageError, match=r"the folder '\.\./x' is not inside the repository"):
            await make(ADMIN, {**request(), "folder": "../x"})
        with pytest.raises(UsageError, match="the definition is no mapping"):
            await make(ADMIN, {})
        with pytest.raises(NotFound, match=r"there is no optimization nope\. List them: bough optimization ls"):
            await stage.coordinator.optimizations.one("nope")
        optimization = await stage.optimize()
        with pytest.raises(UsageError, match="trials cannot be sorted by colour"):
            await stage.coordinator.optimizations.trials(optimization, "colour")
        with pytest.raises(UsageError, match="there is no state HAPPY"):
            await stage.coordinator.optimizations.trials(optimization, state="happy")

    play(story)


def test_trials_are_sorted_and_filtered_by_the_store(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=4)
        agent = await stage.agent()
        for kpi in (0.5, 0.9, 0.1):
            await agent.deliver(await agent.claim_one(), run(kpi))
        await agent.deliver(await agent.claim_one(), b"", exit_code=1)

        async def numbers(**how: Any) -> list[int]:
            page = await stage.coordinator.optimizations.trials(optimization, **how)
            return [row["number"] for row in page["rows"]]

        assert await numbers(sort="kpi", descending=True) == [2, 1, 3, 4]
        assert await numbers(sort="p.lr", descending=True, limit=2) == [4, 3]
        assert await numbers(state="done", offset=1) == [2, 3]
        assert (await stage.coordinator.jobs.page(manual=True))["total"] == 0

    play(story)


def test_everything_can_be_taken_away_as_tables(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=2, on_failure={"retry": 1})
        agent = await stage.agent()
        await agent.deliver(await agent.claim_one(), run(0.1, 0.3), exit_code=1)
        await agent.deliver(await agent.claim_one(), run(0.2, 0.4), cause="max_epochs", cut=3)

        columns, rows = await stage.coordinator.exports.trials(optimization)
        (row,) = rows
        assert columns[:9] == [
            "number",
            "job_id",
            "state",
            "end_reason",
            "kpi",
            "kpi_last",
            "kpi_best",
            "kpi_best_x",
            "p.lr",
        ]
        assert columns[-5:] == ["attempts", "agent", "commit", "record", "message"]
        assert (row["kpi"], row["p.lr"], row["channel.accuracy"], row["attempts"]) == (0.2, 0.0, 0.4, 2)
        assert row["created"] == "2023-11-14T22:30:00.000Z"
        assert [one["kpi"] for one in (await stage.coordinator.exports.trials(optimization, True))[1]] == [0.3, 0.2]

        names, points = await stage.coordinator.exports.points(optimization)
        assert tuple(names) == export.POINT_COLUMNS
        assert [(p["x"], p["y"], p["attempt"], p["overrun"]) for p in points] == [(1, 0.2, 2, False), (2, 0.4, 2, True)]
        assert len(list((await stage.coordinator.exports.points(optimization, True))[1])) == 4

    play(story)


# -- those who watch --------------------------------------------------------------------------------------------


def test_those_who_watch_hear_of_each_change_in_its_order(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim(max_trials=1)
        events = stage.coordinator.ground.broker.subscribe([f"job:{claim['job_id']}", "optimizations"])
        assert (await anext(events))[1] == "hello"

        await agent.deliver(claim, run(0.5), b"hi\n")

        heard = [await asyncio.wait_for(anext(events), 10) for _ in range(4)]
        assert [event for _, event, _ in heard] == ["optimization", "job", "points", "log"]
        assert heard[1][2]["state"] == "DONE"
        assert (heard[2][2]["x"], heard[2][2]["y"], heard[3][2]["text"]) == ([1.0], [[0.5]], "hi\n")
        await events.aclose()

    play(story)


@pytest.mark.parametrize(
    ("settings", "agents", "sentence"),
    [
        (None, [], "nothing is queued. Start something: bough optimize."),
        (
            {},
            [],
            "no agent has ever connected; 1 job waits. Start one: bough agent server --coordinator http://127.0.0.1:0",
        ),
        ({"agents": ["gpu1"]}, ["anna"], "optimization {} may only use gpu1, and none of these is connected."),
    ],
)
def test_why_is_nothing_running(play: Play, settings: dict[str, Any] | None, agents: list[str], sentence: str) -> None:
    async def story(stage: Stage) -> None:
        optimization = None if settings is None else await stage.optimize(**settings)
        for name in agents:
            await stage.agent(name)

        assert (await stage.coordinator.why())["reasons"] == [sentence.format(optimization)]

    play(story)


# -- steering what is not settled yet -----------------------------------------------------------------------------


def test_a_trial_given_back_while_its_optimization_is_stopping_ends_with_it(play: Play) -> None:
    """Nobody may claim it any more: left in the queue it would keep the optimization STOPPING for ever."""

    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=9)
        agent = await stage.agent()
        claim = await agent.claim_one()
        await stage.coordinator.optimizations.pause(optimization, release=True)
        await stage.coordinator.optimizations.stop(optimization)

        await agent.sync(events=[happened(claim, "exited", exit=exit_of(cause="released"))])

        assert (await stage.job(claim))["state"] == "ABORTED"
        shown = await stage.coordinator.optimizations.one(optimization)
        assert (shown["state"], shown["counts"]) == ("STOPPED", {"ABORTED": 1})

    play(story)


def test_total_time_also_ends_what_waits_to_run_again(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=9, total_time="1h")
        agent = await stage.agent()
        claim = await agent.claim_one()
        await agent.sync(events=[happened(claim, "released", message="the agent is stopping")])
        assert (await stage.job(claim))["state"] == "QUEUED"

        await stage.pass_time(3601)

        shown = await stage.job(claim)
        assert (shown["state"], shown["message"]) == (
            "ABORTED",
            "trial 1 was not run again: its total_time of 3600 s is over.",
        )
        assert (await stage.coordinator.optimizations.one(optimization))["state"] == "DONE"

    play(story)


def test_numbers_stay_unique_when_a_trial_that_never_started_was_stopped(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=3, max_parallel=3)
        agent = await stage.agent()
        claim = await agent.claim_one()
        waiting = (await stage.coordinator.optimizations.trials(optimization, state="CREATED"))["rows"]
        last = max(waiting, key=lambda trial: trial["number"])
        await stage.coordinator.jobs.stop(last["id"])
        await stage.coordinator.optimizations.stop(optimization)
        await agent.deliver(claim, run(0.5))

        await stage.coordinator.optimizations.extend(optimization, 4)

        again = await agent.claim_one()
        assert again["number"] not in (claim["number"], last["number"])

    play(story)


def test_a_pause_does_not_forget_that_a_user_stopped_a_trial(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=9)
        agent = await stage.agent()
        claim = await agent.claim_one()
        await stage.coordinator.jobs.stop(claim["job_id"], now=True)

        await stage.coordinator.optimizations.pause(optimization, release=True)

        assert (await agent.sync())["desired"] == [[claim["job_id"], 1, "kill", "user"]]

    play(story)


def test_several_hyperparameters_are_fixed_together_in_any_order(play: Play) -> None:
    """A child of a choice that is fixed too may come first."""

    async def story(stage: Stage) -> None:
        choice = {"type": "choice_group", "default": "b", "choices": {"a": {"lr": 0.1}, "b": {"lr": 0.2, "m": 0.5}}}
        body = request(space={"lr": "uniform(0, 1)", "o.b.m": "uniform(0, 1)"})
        body["definition"]["hyperparameters"] = {"lr": 0.1, "o": choice}
        body["fixed"] = {"o.a.lr": 0.7, "o": "a"}

        made = await stage.coordinator.optimizations.create(ADMIN, body)

        assert made["space"] == ["lr"]
        agent = await stage.agent()
        await agent.claim_one()

    play(story)


def test_a_grid_that_is_smaller_by_what_is_fixed_ends_after_its_points(play: Play) -> None:
    async def story(stage: Stage) -> None:
        body = request(algorithm="grid", space={"lr": "choice(0.1, 0.2)", "n": "range(1, 3)"})
        body["definition"]["hyperparameters"] = {"lr": 0.1, "n": 1}
        body["fixed"] = {"n": 2}

        assert (await stage.coordinator.optimizations.create(ADMIN, body))["max_trials"] == 2

    play(story)


class OneAtATime(CountingOptimizer):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Semaphore(0)

    async def ask(self, ask: Ask) -> dict[str, Any]:
        await self.may.acquire()
        return await super().ask(ask)


def test_many_agents_that_wait_for_one_optimizer_do_not_all_look_at_every_answer(play: Play) -> None:
    """Each would otherwise try for each answer: of a few hundred agents, none would get work for minutes."""

    async def story(stage: Stage) -> None:
        await stage.optimize(algorithm="random", max_trials=100, max_parallel=40)
        agents = [await stage.agent(f"agent{n:02}", slots=2) for n in range(20)]
        store, writes = stage.coordinator.ground.store, 0
        write = store.write

        async def counted(*args: Any, **more: Any) -> Any:
            nonlocal writes
            writes += 1
            return await write(*args, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "write", counted)
            waiting = [asyncio.create_task(agent.claim(2)) for agent in agents]
            while not all(task.done() for task in waiting):
                stage.optimizer.may.release()
                await asyncio.sleep(0.005)

        numbers = sorted(claim["number"] for task in waiting for claim in task.result())
        assert numbers == list(range(1, 41))
        assert writes <= 20 + 40 + 2  # what each says first, a look for each answer, and what the optimizer notes

    play(story, OneAtATime(), claim_wait_s=60.0)
