"""From the request for an optimization to its end, as the coordinator sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.integration.server.driver import ADMIN, Agent, CountingOptimizer, MovedClock, request, run, started


def test_an_optimization_runs_to_its_end_and_knows_its_best_trial(tmp_path: Path) -> None:
    async def story() -> None:
        coordinator = await started(tmp_path, MovedClock())
        made = await coordinator.optimizations.create(ADMIN, request(max_trials=3, max_parallel=1), None)
        agent = await Agent(coordinator).connect()

        for kpi in (0.5, 0.9, 0.7):
            claim = await agent.claim_one()
            reply = await agent.deliver(claim, run(0.1, kpi), b"epoch 1\nepoch 2\n")
            assert reply["ended"] == [(claim["job_id"], claim["attempt"])]

        shown = await coordinator.optimizations.one(made["id"][:4])
        assert shown["state"] == "DONE"
        assert shown["counts"] == {"DONE": 3}
        assert (shown["best"]["number"], shown["best"]["kpi"]) == (2, 0.9)
        assert shown["best"]["last"] == {"accuracy": 0.9}
        assert shown["kpi"] == {"channel": "accuracy", "direction": "maximize", "reduce": "last"}
        assert await agent.claim() == []
        await coordinator.stop()

    asyncio.run(story())


def test_each_ask_of_a_sequential_search_sees_every_end_before_it(tmp_path: Path) -> None:
    async def story() -> None:
        optimizer = CountingOptimizer()
        coordinator = await started(tmp_path, MovedClock(), optimizer)
        await coordinator.optimizations.create(ADMIN, request(max_trials=6, max_parallel=1, initial_random=2), None)
        agent = await Agent(coordinator).connect()

        for _ in range(6):
            claim = await agent.claim_one()
            await agent.deliver(claim, run(claim["values"]["lr"]))

        seen = {ask.number: [outcome.loss for outcome in ask.history] for ask in optimizer.asks}
        assert {n: seen[n] for n in range(2, 6)} == {n: [-float(i) for i in range(n)] for n in range(2, 6)}
        await coordinator.stop()

    asyncio.run(story())


def test_one_message_ends_a_trial_and_claims_the_next(tmp_path: Path) -> None:
    async def story() -> None:
        coordinator = await started(tmp_path, MovedClock())
        await coordinator.optimizations.create(ADMIN, request(max_trials=4, max_parallel=1, initial_random=1), None)
        agent = await Agent(coordinator).connect()
        claim = await agent.claim_one()

        reply = await agent.deliver(claim, run(0.5), wants=1)

        assert [one["number"] for one in reply["granted"]] == [2]
        await coordinator.stop()

    asyncio.run(story())
