"""Jobs that need something get an agent that has it, agents are filled in proportion, and slots are set live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, AGENT, COMMIT, Agent, definition, exit_of, happened, request, run

from bough.errors import NotFound, UsageError
from bough_server.coordinator import Coordinator

Play = Callable[..., None]
GPU = {"index": 0, "name": "H200", "memory_bytes": 16 << 30}


class Equipped(Agent):
    """An agent that says what it has, and what of it is free."""

    def __init__(self, coordinator: Coordinator, name: str, slots: int, what: dict[str, Any]) -> None:
        super().__init__(coordinator, name, slots)
        self.told = {"offers": what.get("offers", {}), "labels": what.get("labels", [])}
        self.free: dict[str, Any] | None = what.get("free")

    async def connect(self) -> Equipped:
        body = {"name": self.name, "slots": self.slots, "epoch": self.epoch, **self.told}
        self.id = (await self.coordinator.agents.register(AGENT, body))["agent_id"]
        return self

    def message(self, *args: Any, **more: Any) -> tuple[dict[str, Any], bytes]:
        header, payload = super().message(*args, **more)
        return {**header, "free": self.free}, payload


async def equipped(stage: Stage, name: str, slots: int = 1, **what: Any) -> Equipped:
    return await Equipped(stage.coordinator, name, slots, what).connect()


async def optimize(stage: Stage, settings: dict[str, Any] | None = None, **top: Any) -> str:
    body = request(**{"max_trials": 20, "max_parallel": 20, "initial_random": 20, **(settings or {})})
    body["definition"] |= top
    return str((await stage.coordinator.optimizations.create(ADMIN, body))["id"])


async def why(stage: Stage) -> list[str]:
    reasons: list[str] = (await stage.coordinator.why())["reasons"]
    return reasons


def test_slots_1_2_and_4_are_filled_in_proportion(play: Play) -> None:
    """With 7 jobs for them none is left out; with 3 no machine has more than its share."""

    async def story(stage: Stage) -> None:
        await optimize(stage, {"max_parallel": 7, "max_trials": 70, "initial_random": 70})
        fleet = [await stage.agent(name, slots) for name, slots in (("one", 1), ("two", 2), ("four", 4))]
        for agent in fleet:
            await agent.sync()

        for _ in range(4):
            for agent in fleet:
                await agent.claim(agent.slots - len(agent.held))
        assert [len(agent.held) for agent in fleet] == [1, 2, 4]

        ended: Counter[str] = Counter()
        for _ in range(8):
            for agent in fleet:
                for claim in list(agent.held.values()):
                    await agent.deliver(claim, run(0.5), wants=1)
                    ended[agent.name] += 1
        assert [ended[name] for name in ("one", "two", "four")] == [8, 16, 32]

    play(story)


def test_a_job_goes_only_where_its_label_and_its_data_are(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await optimize(stage, {"agents": ["label:gpu"], "max_trials": 1}, data=["imagenet"])
        plain = await equipped(stage, "plain")
        without = await equipped(stage, "without", labels=["gpu=a100"])
        assert await plain.claim() == await without.claim() == []
        (said,) = await why(stage)
        assert said.startswith(f"optimization {optimization} can run on none of the connected agents: ")
        assert "plain is not among the chosen ones (label:gpu)" in said
        assert "without has no data imagenet (give it with --data imagenet=/path)" in said

        right = await equipped(stage, "right", labels=["gpu"], offers={"data": ["imagenet", "other"]})
        claim = await right.claim_one()
        assert claim["needs"] == {"data": ["imagenet"]}

    play(story)


def test_gpus_are_granted_as_far_as_they_are_free_and_what_none_has_is_said(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await optimize(stage, resources={"gpu": 1})
        two = {"offers": {"gpus": [GPU, {**GPU, "index": 1}]}, "free": {"gpus": [[1.0, 16 << 30], [1.0, 16 << 30]]}}
        agent = await equipped(stage, "anna", 4, **two)

        assert len(await agent.claim(4)) == 2
        agent.free = {"gpus": [[0.0, 16 << 30], [0.0, 16 << 30]]}
        assert await agent.claim(2) == []
        assert await why(stage) == ["trial 3 waits for 1 GPU, which others have in use on anna."]
        agent.free = {"gpus": [[1.0, 16 << 30], [0.0, 16 << 30]]}
        assert len(await agent.claim(2)) == 1

    play(story)


def test_a_job_that_wants_more_than_any_agent_has_is_explained_and_blocks_no_other(play: Play) -> None:
    async def story(stage: Stage) -> None:
        body = {"definition": {**definition(), "priority": 9, "resources": {"cpu": 64}}, "commit": COMMIT, "values": {}}
        large = await stage.coordinator.jobs.create(ADMIN, body)
        agent = await equipped(stage, "anna", offers={"cpus": 8, "memory_bytes": 8 << 30, "gpus": []})
        assert await agent.claim() == []
        assert await why(stage) == [
            f"job {large['id']} can run on none of the connected agents: anna offers 8 CPUs, 64 are needed."
        ]

        await optimize(stage)
        assert (await agent.claim_one())["number"] == 1

    play(story)


def test_slots_are_set_live_obeyed_in_the_next_reply_and_kept_until_the_agent_says_otherwise(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await optimize(stage)
        agent = await stage.agent("anna", 2)
        assert (await agent.sync())["slots"] == 2

        shown = await stage.coordinator.agents.set_slots("anna", 3)
        assert shown["slots"] == 3
        reply = await agent.sync(wants=3)
        assert (reply["slots"], len(reply["granted"])) == (3, 3)
        await stage.coordinator.agents.set_slots("anna", 1)
        assert await agent.claim(2) == []  # it does not know yet; three run
        for claim in list(agent.held.values()):
            await agent.deliver(claim, run(0.5))
        assert len(await agent.claim(3)) == 1

        await agent.connect()  # started again as it was
        assert (await agent.sync())["slots"] == 1
        agent.slots = 4
        await agent.connect()
        assert (await agent.sync())["slots"] == 4
        for wrong in (0, "many", True, 5000):
            with pytest.raises(UsageError, match=r"is no number of slots\. Give it 1 to 1024; or drain it\."):
                await stage.coordinator.agents.set_slots("anna", wrong)
        with pytest.raises(NotFound, match=r"there is no agent carl\."):
            await stage.coordinator.agents.set_slots("carl", 1)

    play(story)


def test_an_allow_list_is_kept_by_the_coordinator_too(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await optimize(stage)
        picky = await equipped(stage, "picky", offers={"allow": ["you/*"]})

        assert await picky.claim() == []
        assert "picky runs only what its allow-list names (you/*)" in (await why(stage))[0]

    play(story)


def test_a_job_whose_data_a_lost_agent_has_takes_no_slot_and_no_place(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await optimize(stage, {"max_parallel": 1, "max_trials": 3})
        anna, ben = await stage.agent("anna"), await stage.agent("ben")
        claim = await anna.claim_one()
        await anna.deliver(claim, run(0.5), wants=0, log=b"")  # whole
        second = await anna.claim_one()
        told = run(0.7)
        await anna.sync(events=[happened(second, "running"), happened(second, "exited", exit=exit_of(told))])
        assert (await stage.job(second))["state"] == "DRAINING"
        assert await ben.claim() == []  # its place is taken while its agent is only slow

        await stage.pass_time(901)
        assert (await stage.job(second))["partial"] is True
        third = await ben.claim_one()
        assert third["number"] == 3

        await anna.connect()  # it comes back with the rest, and nothing was lost
        anna.held = {(second["job_id"], 1): second}
        await anna.sync([(second, "journal/1-aa", 0, told)], [])
        job = await stage.job(second)
        assert (job["state"], job["kpi"], job["partial"]) == ("DONE", 0.7, False)
        await ben.deliver(third, run(0.1))
        assert (await stage.coordinator.optimizations.one(optimization))["state"] == "DONE"

    play(story)
