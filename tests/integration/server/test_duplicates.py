"""Points that were tried before: run again, asked for anew, or answered with the result they had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, COMMIT, Agent, exit_of, happened, journal

from bough_server.optimizers.client import OptimizerProcess
from bough_server.optimizers.replay import Search, replay
from bough_server.service import check

Play = Callable[..., None]
TREE = {"x": 1, "act": {"type": "choice_string", "choices": ["relu", "tanh", "gelu"], "default": "relu"}}
FINITE = {"x": "range(1, 4)", "act": "choice"}  # 12 points


def body(**settings: Any) -> dict[str, Any]:
    section = {"seed": 3, "initial_random": 4, "max_parallel": 1, "max_trials": 40, "space": FINITE, **settings}
    section |= {"kpi": {"channel": "loss", "direction": "minimize"}, "on_failure": {"stop_after": None}}
    found = {"model": "me/digits", "command": "x", "hyperparameters": TREE, "optimization": section}
    return {"definition": found, "commit": COMMIT, "folder": "", "source": {}}


async def end(agent: Agent, claim: Mapping[str, Any]) -> None:
    values = claim["values"]
    loss = "nan" if values == {"x": 2, "act": "tanh"} else (values["x"] - 3) ** 2 + len(values["act"])
    text = journal(["p", "loss", 1, loss])
    await agent.sync(
        [(claim, "journal/1-aa", 0, text)], [happened(claim, "running"), happened(claim, "exited", exit=exit_of(text))]
    )


async def played(stage: Stage, its_id: str, most: int, agent: Agent) -> list[dict[str, Any]]:
    """Run trials until there are none, and return them all by number."""
    slots = agent.slots
    for _ in range(most):
        claims = await agent.claim(slots)
        for claim in claims:
            await end(agent, claim)
        if (await stage.coordinator.optimizations.one(its_id))["state"] == "DONE":
            break
    return list((await stage.coordinator.optimizations.trials(its_id))["rows"])


async def assert_replayed(stage: Stage, its_id: str) -> None:
    found = Search.from_json(await stage.coordinator.searches.stored(its_id))
    said = [one async for one in replay(found, stage.optimizer)][-1]
    assert said["equal"], said
    assert stage.coordinator.store.read_sync(check.violations) == []


def points(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row["values"].values()) for row in rows]


def test_resampled_no_point_comes_twice_and_the_search_ends_with_its_space(play: Play) -> None:
    async def story(stage: Stage) -> None:
        made = await stage.coordinator.optimizations.create(ADMIN, body(duplicates="resample"))
        await stage.coordinator.optimizations.enqueue(ADMIN, made["id"], {"values": {"x": 4, "act": "gelu"}})

        agent = await stage.agent()

        rows = await played(stage, made["id"], 40, agent)

        shown = await stage.coordinator.optimizations.one(made["id"])
        assert (shown["state"], shown["reason"]) == ("DONE", "all 12 points of its space were tried.")
        assert (len(rows), len(set(points(rows))), shown["max_trials"]) == (12, 12, 12)
        assert shown["counts"] == {"DONE": 11, "FAILED": 1}
        await assert_replayed(stage, made["id"])

        await stage.coordinator.life.edit(ADMIN, made["id"], {"space": {"x": "range(1, 5)"}})
        await stage.coordinator.optimizations.extend(made["id"], 20)
        rows = await played(stage, made["id"], 20, agent)
        assert (len(rows), len(set(points(rows)))) == (15, 15)
        await assert_replayed(stage, made["id"])
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def test_resampled_in_parallel_no_point_comes_twice_either(play: Play) -> None:
    async def story(stage: Stage) -> None:
        settings = {"duplicates": "resample", "algorithm": "random", "max_parallel": 4}
        made = await stage.coordinator.optimizations.create(ADMIN, body(**settings))

        rows = await played(stage, made["id"], 40, await stage.agent(slots=4))

        assert (len(rows), len(set(points(rows)))) == (12, 12)
        await assert_replayed(stage, made["id"])
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def test_reused_a_point_takes_its_earlier_result_and_runs_only_once(play: Play) -> None:
    async def story(stage: Stage) -> None:
        made = await stage.coordinator.optimizations.create(ADMIN, body(duplicates="reuse", max_trials=30))

        rows = await played(stage, made["id"], 60, await stage.agent())

        shown = await stage.coordinator.optimizations.one(made["id"])
        assert (shown["state"], len(rows)) == ("DONE", 30)
        done = [row for row in reversed(rows) if row["attempt"] and row["state"] == "DONE"]
        ran = {tuple(row["values"].values()): row for row in done}
        reused = [row for row in rows if row["reused_from"] is not None]
        assert len(reused) >= 10
        for row in reused:
            first = ran[tuple(row["values"].values())]
            assert (row["state"], row["end_reason"], row["attempt"]) == ("DONE", "finished", 0)
            assert (row["kpi"], row["reused_from"]) == (first["kpi"], first["id"])
            assert row["message"].startswith(f"it has the values of trial {first['number']}, and took its result")
        assert all(row["reused_from"] is None for row in rows if row["state"] == "FAILED"), "a failure is no result"
        whole = await stage.coordinator.jobs.one(reused[0]["id"])
        assert whole["infos"] == {"reused_from": reused[0]["reused_from"]}
        columns, _ = await stage.coordinator.exports.trials(made["id"])
        assert "info.reused_from" in columns
        assert len((await stage.coordinator.searches.stored(made["id"]))["history"]) == 30
        await assert_replayed(stage, made["id"])
        await stage.coordinator.life.edit(ADMIN, made["id"], {"settings": {"kpi.direction": "maximize"}})
        await assert_replayed(stage, made["id"])
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def test_allowed_points_come_again_and_a_small_space_is_said_beforehand(play: Play) -> None:
    async def story(stage: Stage) -> None:
        made = await stage.coordinator.optimizations.create(ADMIN, body(max_trials=20))
        assert made["warnings"] == [
            "the space has 12 points, fewer than max_trials 20: some will be tried again (duplicates: resample ends "
            "with the space)."
        ]

        rows = await played(stage, made["id"], 40, await stage.agent())

        assert len(rows) == 20
        assert len(set(points(rows))) < 20
        await assert_replayed(stage, made["id"])
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)
