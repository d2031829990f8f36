"""Trials that are not worth their next epochs are stopped, and keep what they found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import Agent, exit_of, happened, run

from bough_server.service import check
from bough_server.service.pruning import is_halved, is_worse_than_median

Play = Callable[..., None]
MEDIAN = {"rule": "median", "min_trials": 3, "min_epochs": 2}
ASHA = {"rule": "asha", "reduction": 2, "min_epochs": 1}


@pytest.mark.parametrize(
    ("mine", "is_pruned"),
    [
        ([9.0], False),  # before min_epochs
        ([9.0, 2.1], True),
        ([1.9, 9.0], False),
        ([9.0, 2.0], False),
        ([float("inf")] * 2, True),
        ([9.0, 2.1, 2.0, 0.1], True),  # came together: it was worse at epoch 2
    ],
)
def test_the_median_rule_compares_the_best_so_far_at_the_same_epoch(mine: list[float], is_pruned: bool) -> None:
    ended = [[5.0, 1.0], [5.0, 2.0, 0.0], [5.0, 3.0], [0.0]]

    assert is_worse_than_median(MEDIAN, mine, ended, len(mine)) is is_pruned
    assert not is_worse_than_median(MEDIAN, mine, ended, 0), "what came before was decided before"
    assert not is_worse_than_median({**MEDIAN, "min_trials": 4}, mine, ended, len(mine)), "one ended before epoch 2"


@pytest.mark.parametrize(
    ("mine", "new", "is_pruned"),
    [
        ([3.0], 1, False),  # the second of five: 5 // 2 go on
        ([4.0], 1, True),
        ([4.0, 1.0], 1, False),  # the rung of epoch 1 was passed before; the best of two at epoch 2
        ([1.0, 9.0], 1, True),
        ([4.0, 1.0], 2, True),  # both rungs at once
        ([1.0, 1.0, 9.0], 1, False),  # epoch 3 is no rung
    ],
)
def test_asha_halves_at_each_rung_those_that_came_so_far(mine: list[float], new: int, is_pruned: bool) -> None:
    assert is_halved(ASHA, mine, [[2.0, 5.0], [3.5], [6.0], [7.0]], new) is is_pruned


def test_the_first_trial_at_a_rung_goes_on() -> None:
    assert not is_halved(ASHA, [9.0, 9.0], [], 2)


async def some_epochs(agent: Agent, claim: dict[str, Any], told: bytes) -> list[Any]:
    """Report these epochs of a trial that goes on; return what is wanted of the agent."""
    reply = await agent.sync([(claim, "journal/1-aa", 0, told)], [happened(claim, "running")])
    return list(reply["desired"])


async def stop_as_told(agent: Agent, claim: dict[str, Any], told: bytes) -> None:
    await agent.sync([], [happened(claim, "exited", exit=exit_of(told, cause="pruned", exit_code=130))])


@pytest.mark.parametrize("pruning", ["median", {"median": {"min_trials": 2}}, {"asha": {"reduction": 2}}])
def test_a_bad_trial_is_stopped_while_it_runs_and_keeps_its_kpi(play: Play, pruning: Any) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=9, pruning=pruning)
        agent = await stage.agent()
        for kpi in (0.5, 0.6, 0.7, 0.8, 0.9):
            await agent.deliver(await agent.claim_one(), run(kpi, kpi))
        await stage.restart()
        agent.coordinator = stage.coordinator
        good, bad = run(0.95), run(0.1)

        claim = await agent.claim_one()
        assert await some_epochs(agent, claim, good) == []
        await agent.sync([], [happened(claim, "exited", exit=exit_of(good))])
        claim = await agent.claim_one()
        key = (claim["job_id"], claim["attempt"])
        assert await some_epochs(agent, claim, bad) == [[*key, "stop", "pruned"]]
        assert (await agent.sync())["desired"] == [[*key, "stop", "pruned"]], "until it is done"
        await stop_as_told(agent, claim, bad)

        job = await stage.job(claim)
        assert (job["state"], job["end_reason"], job["kpi"]) == ("DONE", "pruned", 0.1)
        assert (await stage.coordinator.optimizations.one(its_id))["counts"]["DONE"] == 7
        assert stage.coordinator.store.read_sync(check.violations) == []

    play(story)


def test_nothing_is_pruned_without_a_rule_or_after_a_user_stopped_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for pruning in (None, {"median": {"min_trials": 1}}):
            its_id = await stage.optimize(max_trials=2, pruning=pruning)
            agent = await stage.agent(f"anna-{pruning is None}")
            await agent.deliver(await agent.claim_one(), run(0.9))
            claim = await agent.claim_one()
            if pruning is not None:
                await stage.coordinator.jobs.stop(claim["job_id"])
            desired = await some_epochs(agent, claim, run(0.1))
            assert [cause for *_, cause in desired] == ([] if pruning is None else ["user"])
            await agent.sync([], [happened(claim, "exited", exit=exit_of(run(0.1)))])
            assert (await stage.coordinator.optimizations.one(its_id))["state"] == "DONE"

    play(story)
