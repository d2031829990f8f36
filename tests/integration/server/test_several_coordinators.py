"""Two coordinators on one PostgreSQL database are one coordinator to everyone who speaks with them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server.driver import ADMIN, AGENT, Agent, MovedClock, happened, request, run, started, until

from bough_server import peers
from bough_server.coordinator import Coordinator
from bough_server.service import check
from bough_server.service.changes import Changes

psycopg = pytest.importorskip("psycopg", reason="it comes with bough[postgres]")
Story = Callable[[Coordinator, Coordinator, MovedClock], Awaitable[None]]


@pytest.fixture
def play_two(tmp_path: Path, postgres: str) -> Callable[[Story], None]:
    """Run a story with two coordinators that know of each other; the first one leads."""

    def play(story: Story) -> None:
        async def whole() -> None:
            clock = MovedClock()
            first = await started(tmp_path, clock, database_url=postgres)
            second = await started(tmp_path, clock, database_url=postgres)
            try:
                await until(lambda: _holds(first.ground.peers.has_any and second.ground.peers.has_any))
                await story(first, second, clock)
            finally:
                await second.stop()
                await first.stop()

        asyncio.run(whole())

    return play


async def _holds(fact: bool) -> bool:
    return fact


async def optimize(coordinator: Coordinator, **settings: Any) -> str:
    made = await coordinator.optimizations.create(ADMIN, request(**{"max_trials": 3, "max_parallel": 1, **settings}))
    return str(made["id"])


def test_an_agent_may_say_every_sentence_to_another_coordinator(play_two: Callable[[Story], None]) -> None:
    async def story(first: Coordinator, second: Coordinator, clock: MovedClock) -> None:
        made = await optimize(first)
        agent = await Agent(second).connect()
        for n in range(3):
            agent.coordinator = (first, second)[n % 2]
            claim = await agent.claim_one()
            agent.coordinator = (first, second)[(n + 1) % 2]
            await agent.deliver(claim, run(0.1 * n))

        assert first.ground.instance == second.ground.instance
        for coordinator in (first, second):
            shown = await coordinator.optimizations.one(made)
            assert (shown["state"], shown["counts"]) == ("DONE", {"DONE": 3})
        assert await first.store.read(check.violations) == []

    play_two(story)


def test_many_agents_at_both_get_each_ask_once_and_no_more_than_max_parallel(
    play_two: Callable[[Story], None],
) -> None:
    async def story(first: Coordinator, second: Coordinator, clock: MovedClock) -> None:
        made = [await optimize(first, max_trials=20, max_parallel=3), await optimize(second, max_trials=20)]
        most = 0

        async def work(n: int) -> None:
            nonlocal most
            agent = await Agent((first, second)[n % 2], f"agent{n}").connect()
            while await _is_running(first, made):
                granted = await agent.claim()
                agent.coordinator = second if agent.coordinator is first else first
                for claim in granted:
                    live = await _live(second, made[0])
                    most = max(most, live)
                    await agent.deliver(claim, run(0.5))

        async with asyncio.timeout(60):
            await asyncio.gather(*(work(n) for n in range(6)))

        assert most <= 3
        for one in made:
            trials = (await second.optimizations.trials(one))["rows"]
            asked = [claim["values"]["lr"] for claim in sorted(trials, key=lambda row: row["values"]["lr"])]
            assert asked == [float(n) for n in range(20)]
        assert await first.store.read(check.violations) == []

    play_two(story)


async def _is_running(coordinator: Coordinator, made: list[str]) -> bool:
    shown = [await coordinator.optimizations.one(one) for one in made]
    return any(one["state"] == "RUNNING" for one in shown)


async def _live(coordinator: Coordinator, made: str) -> int:
    counts: dict[str, int] = (await coordinator.optimizations.one(made))["counts"]
    return sum(n for state, n in counts.items() if state in ("PREPARING", "RUNNING", "DRAINING"))


def test_a_stop_at_one_rings_the_agent_that_waits_at_the_other(play_two: Callable[[Story], None]) -> None:
    async def story(first: Coordinator, second: Coordinator, clock: MovedClock) -> None:
        made = await optimize(first)
        agent = await Agent(second).connect()
        claim = await agent.claim_one()
        reply = await agent.sync(events=[happened(claim, "running")])
        waiting = asyncio.create_task(second.agents.bell(AGENT, agent.id, reply["bell"], 20.0))
        await until(lambda: _holds(agent.id in second.ground.bells and agent.id in first.ground.fleet.agents))

        await first.optimizations.stop(made, now=True)

        bell = (await asyncio.wait_for(waiting, 10))["bell"]
        assert bell != reply["bell"]
        assert (await agent.sync())["desired"] == [[claim["job_id"], 1, "stop", "user"]]
        await until(lambda: _holds(first.ground.fleet.agents[agent.id].bell == bell))
        with contextlib.suppress(TimeoutError):  # at the other one it does not ring again
            answer = await asyncio.wait_for(first.agents.bell(AGENT, agent.id, bell, 20.0), 0.3)
            raise AssertionError(f"it rang again: {answer}")

    play_two(story)


def test_a_number_of_the_bell_from_the_other_is_waited_for_not_answered(play_two: Callable[[Story], None]) -> None:
    """Otherwise an agent would come again and again, as long as one of them had not heard that it was rung."""

    async def story(first: Coordinator, second: Coordinator, clock: MovedClock) -> None:
        agent = await Agent(first).connect()
        bell = (await agent.sync())["bell"]

        answer = asyncio.create_task(second.agents.bell(AGENT, agent.id, bell + 5, 20.0))
        await until(lambda: _holds(agent.id in second.ground.bells))

        assert not answer.done()
        answer.cancel()

    play_two(story)


def test_who_is_heard_by_one_is_heard_by_all(
    play_two: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent speaks with the second only; the first one, which takes back silent jobs, hears of it."""
    monkeypatch.setattr(peers, "_MET_S", 0.0)

    async def story(first: Coordinator, second: Coordinator, clock: MovedClock) -> None:
        await optimize(first)
        agent = await Agent(second).connect()
        claim = await agent.claim_one()
        for _ in range(100):
            clock.pass_time(10)
            await agent.sync(events=[happened(claim, "running")])
            await until(lambda: _holds(first.ground.fleet.held.get((claim["job_id"], 1)) == clock.monotonic()))
            await first.reap()
        assert (await first.jobs.one(claim["job_id"]))["state"] == "RUNNING"
        assert not (await first.jobs.one(claim["job_id"]))["unreachable"]
        assert [one["online"] for one in await first.agents.page()] == [True]

        clock.pass_time(1000)
        await second.reap()
        assert (await first.jobs.one(claim["job_id"]))["state"] == "RUNNING"
        await first.reap()
        assert (await first.jobs.one(claim["job_id"]))["state"] == "QUEUED"

    play_two(story)


def test_when_the_one_that_leads_stops_the_other_one_does(
    play_two: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "BEAT_S", 0.05)

    async def story(first: Coordinator, second: Coordinator, clock: MovedClock) -> None:
        assert (first.ground.peers.leads, second.ground.peers.leads) == (True, False)
        rung: list[bool] = []
        second.ground.on_archivable = lambda changes: rung.append(True)

        await first.stop()

        await until(lambda: _holds(second.ground.peers.leads))
        assert rung, "what ended meanwhile must be archived"
        assert not second.ground.peers.has_any

    play_two(story)


def test_who_watches_at_one_sees_what_is_reported_to_the_other(
    play_two: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "BEAT_S", 0.05)

    async def story(first: Coordinator, second: Coordinator, clock: MovedClock) -> None:
        made = await optimize(first)
        agent = await Agent(second).connect()
        claim = await agent.claim_one()
        seen: list[tuple[str, Any]] = []
        watching = asyncio.create_task(_watch(first, [f"optimization:{made}", f"job:{claim['job_id']}"], seen))
        heard: Any = second.ground.peers
        await until(lambda: _holds(f"job:{claim['job_id']}" in heard._watched))

        await agent.deliver(claim, run(0.1, 0.2), b"hello")

        await until(lambda: _holds({"points", "log", "job", "optimization"} <= {kind for kind, _ in seen}))
        (points,) = [data for kind, data in seen if kind == "points"][:1]
        assert (points["job"], points["channel"], points["y"]) == (claim["job_id"], "accuracy", [[0.1, 0.2]])
        assert ("log", {"job": claim["job_id"], "offset": 0, "text": "hello"}) in seen
        watching.cancel()

    play_two(story)


async def _watch(coordinator: Coordinator, topics: list[str], seen: list[tuple[str, Any]]) -> None:
    async for _, kind, data in coordinator.ground.broker.subscribe(topics):
        seen.append((kind, data))


def test_a_connection_that_breaks_is_made_anew_and_nobody_trusts_what_was_missed(
    play_two: Callable[[Story], None], postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_RETRY_S", 0.01)

    async def story(first: Coordinator, second: Coordinator, clock: MovedClock) -> None:
        agent = await Agent(first).connect()
        reply = await agent.sync()
        seen: list[tuple[str, Any]] = []
        watching = asyncio.create_task(_watch(first, ["agents"], seen))
        await until(lambda: _holds(("hello", {}) in seen))
        broken: Any = first.ground.peers
        pids = [broken._listening.info.backend_pid, broken._sending.info.backend_pid]

        async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
            for pid in pids:
                await connection.execute("SELECT pg_terminate_backend(%s)", (pid,))

        await until(lambda: _holds(("reload", {}) in seen))
        answer = await asyncio.wait_for(first.agents.bell(AGENT, agent.id, reply["bell"], 20.0), 10)
        assert answer["bell"] != reply["bell"]
        await until(lambda: _holds(first.ground.peers.leads or second.ground.peers.leads))
        watching.cancel()

    play_two(story)


def test_messages_are_small_enough_for_notify() -> None:
    items: list[list[Any]] = [["changed", "job", f"job{n:05}"] for n in range(1000)]

    found = peers.packed("me", items)

    assert max(len(text.encode()) for text in found) < 8000
    assert [item for text in found for item in json.loads(text)[1:]] == items
    assert peers.packed("me", []) == []


def test_nothing_is_told_while_there_is_nobody_to_tell(tmp_path: Path, postgres: str) -> None:
    async def whole() -> None:
        alone = await started(tmp_path, MovedClock(), database_url=postgres)
        told: Any = alone.ground.peers
        try:
            alone.ground.tell(Changes(jobs={"a"}, optimizations={"b"}))
            told.ring("agent", 1)
            assert [item for item in told._outgoing if item[0] not in ("beat", "watch")] == []
            assert told.leads
        finally:
            await alone.stop()

    asyncio.run(whole())
