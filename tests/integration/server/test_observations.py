"""What a search shows about itself is said once, and stops nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, COMMIT, Agent, exit_of, happened, journal

from bough_server.optimizers.client import OptimizerProcess

Play = Callable[..., None]
ALGORITHMS = ("random", "tpe", "annealing")


def body(space: dict[str, str], **settings: Any) -> dict[str, Any]:
    told = {
        "model": "me/odd",
        "command": "true",
        "hyperparameters": {"a": 1, "b": False},
        "optimization": {
            "max_parallel": 1, "seed": 1, "initial_random": 5, "on_failure": {"stop_after": None},
            "kpi": {"channel": "score", "direction": "maximize"}, "space": space, **settings,
        },
    }  # fmt: skip
    return {"definition": told, "commit": COMMIT, "folder": "", "source": {}}


async def searched(stage: Stage, body: dict[str, Any], trials: int, score: Callable[[int], float | str]) -> Any:
    """Run the trials; return the optimization and the values of each."""
    made = await stage.coordinator.optimizations.create(ADMIN, body)
    agent: Agent = await stage.agent(f"agent of {made['id']}")
    seen = []
    for number in range(trials):
        claim = await agent.claim_one()
        seen.append(claim["values"])
        told = journal(["p", "score", 1, score(number)])
        events = [happened(claim, "running"), happened(claim, "exited", exit=exit_of(told))]
        await agent.sync([(claim, "journal/1-aa", 0, told)], events)
    return await stage.coordinator.optimizations.one(made["id"]), seen


def test_a_finite_space_that_is_through_goes_on_and_says_so_once(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for algorithm in ALGORITHMS:
            wanted = body({"a": "range(1, 3, 1)", "b": "on_off"}, algorithm=algorithm, max_trials=60)
            found, seen = await searched(stage, wanted, 60, lambda number: float(number % 7))

            through = len({tuple(values.items()) for values in seen}) == 6
            said = [one for one in found["warnings"] if "all its points were tried" in one]
            sentence = f"all its points were tried: the space has 6. From here on {algorithm} repeats them."
            assert said == [sentence] * through
            assert through or algorithm != "random"
            assert (found["state"], found["counts"]) == ("DONE", {"DONE": 60})
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def test_a_grid_ends_with_its_last_point_and_nothing_has_to_be_said(play: Play) -> None:
    async def story(stage: Stage) -> None:
        wanted = body({"a": "range(1, 3, 1)", "b": "on_off"}, algorithm="grid", max_trials=100)
        found, seen = await searched(stage, wanted, 6, float)

        assert (found["state"], found["max_trials"], found["warnings"]) == ("DONE", 6, [])
        assert [(values["a"], values["b"]) for values in seen] == [(a, b) for a in (1, 2, 3) for b in (False, True)]
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def test_a_constant_kpi_is_searched_on_and_said(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for algorithm in ALGORITHMS:
            wanted = body({"a": "uniformint(1, 1000)"}, algorithm=algorithm, max_trials=25)
            found, seen = await searched(stage, wanted, 25, lambda number: 0.5)

            assert found["warnings"] == [
                "the KPI is the same in every trial: 0.5 in all 20. Nothing can be learnt from that."
            ]
            assert len({values["a"] for values in seen}) > 5
            assert found["state"] == "DONE"
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def test_a_space_with_one_point_is_said_at_the_start_and_runs(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for algorithm in ALGORITHMS:
            wanted = body({"a": "randint(4, 5)", "b": "choice(true)"}, algorithm=algorithm, max_trials=12)
            found, seen = await searched(stage, wanted, 12, float)

            assert found["warnings"] == ["the space has one point: every trial has the same values."]
            assert seen == [{"a": 4, "b": True}] * 12
            assert found["counts"] == {"DONE": 12}
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def diverging(number: int) -> float | str:
    return float(number) if number % 3 else ("nan", "inf", "-inf")[number // 3 % 3]


def test_nan_and_infinite_kpis_are_failures_and_no_numbers(play: Play) -> None:
    """Every third trial diverges in one of three ways, and none of them is the best."""

    async def story(stage: Stage) -> None:
        last = ""
        for algorithm in ALGORITHMS:
            wanted = body({"a": "uniformint(1, 1000)"}, algorithm=algorithm, max_trials=18)
            found, _ = await searched(stage, wanted, 18, diverging)

            assert found["counts"] == {"DONE": 12, "FAILED": 6}
            assert found["best"]["kpi"] == 17.0
            trials = (await stage.coordinator.optimizations.trials(found["id"], limit=100))["rows"]
            failed = [one for one in trials if one["state"] == "FAILED"]
            assert {one["end_reason"] for one in failed} == {"nan_kpi"}
            assert {one["kpi"] for one in failed} == {None}
            last = found["id"]
        weighed = await stage.coordinator.searches.importance(last)
        assert (weighed["trials"], weighed["failed"]) == (12, 6)
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)
