"""The routes that show a space and replay a search."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from tests.integration.api.running import Running
from tests.integration.server.driver import definition

from bough_server.api.search import lines
from bough_server.optimizers.base import OptimizerFailed


def test_a_definition_that_nothing_runs_of_is_described(api: Running) -> None:
    asked = {"definition": definition(), "fixed": {}}

    space = api.call("POST", "/api/v1/space?samples=3", json=asked).json()

    assert set(space) == {"tree", "hyperopt", "seed", "samples"}
    assert (space["seed"], len(space["samples"])) == (1, 3)
    assert space["tree"][0]["search"] == "uniform(0, 1)"
    assert space["hyperopt"] == "{'lr': hp.uniform('lr', 0, 1)}"
    other = api.call("POST", "/api/v1/space?samples=3&seed=2", json=asked).json()
    assert other["samples"] != space["samples"]


def test_what_cannot_be_described_or_replayed_is_refused_before_anything_is_sent(api: Running) -> None:
    wrong = api.call("POST", "/api/v1/space", json={"definition": definition(space={"lr": "uniform(1, 0)"})})
    without = {name: value for name, value in definition().items() if name != "optimization"}
    nothing = api.call("POST", "/api/v1/space", json={"definition": without})
    fixed = api.call("POST", "/api/v1/space", json={"definition": definition(), "fixed": {"lr": 0.5}})

    assert (wrong.status_code, wrong.json()["detail"]) == (400, "parameter lr: low 1 is above high 0.")
    assert (nothing.status_code, nothing.json()["detail"]) == (400, "me/digits has no section optimization.")
    assert fixed.json()["detail"] == "every parameter of the space is fixed: nothing is left to search."
    for path in ("space", "asks", "verify"):
        assert api.call("GET", f"/api/v1/optimizations/zzzz/{path}").status_code == 404
    assert api.call("GET", "/api/v1/optimizations/zzzz/space?samples=101").status_code == 422


async def news() -> AsyncGenerator[dict[str, Any]]:
    yield {"checked": 0, "total": 2}
    raise OptimizerFailed("hyperopt is not installed.")


def test_what_goes_wrong_during_a_replay_is_its_last_line() -> None:
    async def told(is_closing: bool) -> list[Any]:
        closing = asyncio.Event()
        if is_closing:
            closing.set()
        return [json.loads(line) async for line in lines(news(), closing)]

    stopping = {"error": "unavailable", "detail": "the coordinator is stopping.", "remedy": "Try again once it runs."}
    failed = {"error": "optimizer_failed", "detail": "hyperopt is not installed.", "remedy": ""}
    assert asyncio.run(told(is_closing=False)) == [{"checked": 0, "total": 2}, failed]
    assert asyncio.run(told(is_closing=True)) == [{"checked": 0, "total": 2}, stopping]
