"""How busy an agent's machine was, for a day and no longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import AGENT, Agent

from bough.errors import NotFound
from bough_server.service.usage import STEPS, numbers_of

Play = Callable[..., None]


def seen(cpu: float) -> dict[str, Any]:
    gpu = {"index": 0, "name": "H200", "percent": cpu / 2, "memory_percent": 5.0}
    return {"cpu_percent": cpu, "memory_percent": 40.0, "disk_free_bytes": 3 << 30, "gpus": [gpu]}


async def tell(agent: Agent, usage: dict[str, Any]) -> None:
    header, payload = agent.message([], [])
    await agent.coordinator.agents.sync(AGENT, agent.id, {**header, "usage": usage}, payload)


def test_it_is_kept_as_channels_of_the_agent_and_shown_with_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent = await stage.agent()
        for cpu in (10.0, 30.0):
            stage.clock.pass_time(20)
            await tell(agent, seen(cpu))

        history = await stage.coordinator.agents.usage("anna")
        channels = {channel["name"]: channel for channel in history["channels"]}
        assert list(channels) == ["cpu", "memory", "disk_free", "gpu0", "gpu0_memory"]
        assert channels["cpu"]["y"] == [10.0, 30.0]
        assert channels["gpu0"]["y"] == [5.0, 15.0]
        assert channels["disk_free"] == {**channels["disk_free"], "unit": "GiB", "y": [3.0, 3.0]}
        assert [x % 10 for x in channels["cpu"]["x"]] == [0, 0]
        (shown,) = await stage.coordinator.agents.page()
        assert shown["usage"] == seen(30.0)
        with pytest.raises(NotFound, match=r"there is no agent carl\."):
            await stage.coordinator.agents.usage("carl")

    play(story)


def test_two_days_of_it_need_no_more_rows_than_one(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent = await stage.agent()
        for n in range(2 * 24 * 12):
            stage.clock.pass_time(150)
            await tell(agent, seen(float(n % 2) * 10))
            stage.clock.pass_time(150)
            await tell(agent, seen(50.0))

        (cpu, *_) = (await stage.coordinator.agents.usage(agent.id))["channels"]
        span_s = cpu["x"][-1] - cpu["x"][0]
        assert 86400 - 600 <= span_s <= 86400
        assert len(cpu["x"]) <= 86400 / 300 + 3600 / 10
        assert cpu["x"] == sorted(set(cpu["x"]))
        assert set(cpu["y"][:200]) <= {25.0, 30.0, 5.0, 0.0, 10.0, 50.0}

    play(story, lost_after_s=1e9)


def test_what_an_agent_says_and_no_one_understands_is_left_out() -> None:
    assert numbers_of({"cpu_percent": "much", "memory_percent": True, "disk_free_bytes": None, "gpus": [1, {}]}) == {}
    assert numbers_of({"cpu_percent": 5, "gpus": "none"}) == {"cpu": 5.0}
    assert set(STEPS) == {10, 300}
