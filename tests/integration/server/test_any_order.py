"""Whatever happens in whatever order, the store stays sound, and once the world behaves again everything ends."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import AGENT, Agent, CountingOptimizer, exit_of, happened, run, started

from bough_server.service import check

TRIALS = 5
OF_JOBS = ["claim", "claim", "start", "part", "deliver", "deliver", "fail", "release"]
OF_THE_WORLD = ["again", "silence", "heartbeat", "forget", "restart", "pause", "resume", "stop"]
ACTIONS = st.sampled_from(OF_JOBS + OF_THE_WORLD)
STEPS = st.lists(st.tuples(ACTIONS, st.integers(0, 1)), max_size=25)


class World:
    """Two agents that do what they are told, a coordinator that may be started anew, a message that may come twice."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.agents: list[Agent] = []
        self.optimization = ""
        self.sent: tuple[Agent, dict[str, Any], bytes] | None = None

    async def begin(self) -> None:
        self.optimization = await self.stage.optimize(
            max_trials=TRIALS, max_parallel=2, on_failure={"retry": 1, "stop_after": None}
        )
        self.agents = [await self.stage.agent(name, 2) for name in ("anna", "ben")]

    async def do(self, action: str, who: int) -> None:
        agent = self.agents[who]
        claim = next(iter(agent.held.values()), None)
        if action == "claim":
            await self.send(agent, [], [], wants=1)
        elif action == "again" and self.sent is not None:
            await self.repeat()
        elif action in ("silence", "heartbeat", "restart", "forget"):
            await self.world_happens(action, agent)
        elif action in ("pause", "resume", "stop"):
            await self.user_wants(action, claim)
        elif claim is not None:
            await self.report(action, agent, claim)

    async def send(self, agent: Agent, parts: Any, events: Any, wants: int = 0) -> None:
        self.sent = (agent, *agent.message(parts, events, wants))
        await self.repeat()

    async def repeat(self) -> None:
        assert self.sent is not None
        agent, header, payload = self.sent
        agent.take(await self.stage.coordinator.agents.sync(AGENT, agent.id, header, payload))

    async def report(self, action: str, agent: Agent, claim: dict[str, Any]) -> None:
        told = run(0.1, 0.5)
        running = happened(claim, "running")
        if action == "start":
            await self.send(agent, [], [running])
        elif action == "part":
            await self.send(agent, [(claim, "journal/1-aa", 0, told[:200])], [running])
        elif action == "release":
            await self.send(agent, [], [happened(claim, "released")])
        else:
            exit_ = happened(claim, "exited", exit=exit_of(told, b"x\n", exit_code=int(action == "fail")))
            await self.send(agent, [(claim, "journal/1-aa", 0, told), (claim, "log", 0, b"x\n")], [running, exit_], 1)

    async def world_happens(self, action: str, agent: Agent) -> None:
        if action == "silence":
            await self.stage.pass_time(901)
        elif action == "heartbeat":
            await self.send(agent, [], [])
        elif action == "forget":
            agent.held.clear()
        else:
            await self.stage.restart()
            for one in self.agents:
                one.coordinator = self.stage.coordinator

    async def user_wants(self, action: str, claim: dict[str, Any] | None) -> None:
        coordinator = self.stage.coordinator
        state = (await coordinator.optimizations.one(self.optimization))["state"]
        if action == "pause" and state == "RUNNING":
            await coordinator.optimizations.pause(self.optimization)
        elif action == "resume" and state == "PAUSED":
            await coordinator.optimizations.resume(self.optimization)
        elif action == "stop" and claim is not None:
            job = await coordinator.jobs.one(claim["job_id"])
            if job["state"] not in ("DONE", "FAILED", "ABORTED"):
                await coordinator.jobs.stop(claim["job_id"])

    async def heal(self) -> None:
        """Everyone does what is right, for long enough."""
        await self.user_wants("resume", None)
        for _ in range(60):
            if (await self.stage.coordinator.optimizations.one(self.optimization))["state"] == "DONE":
                return
            for agent in self.agents:
                for claim in list(agent.held.values()):
                    await self.report("deliver", agent, claim)
                await self.send(agent, [], [], wants=2)
            await self.stage.pass_time(40)
        raise AssertionError(await self.stage.coordinator.why())

    def assert_sound(self) -> None:
        assert self.stage.coordinator.store.read_sync(check.violations) == []


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_any_order_of_events_keeps_the_store_sound_and_comes_to_an_end(steps: list[tuple[str, int]]) -> None:
    async def story(home: Path) -> None:
        stage = Stage(home)
        stage.optimizer = CountingOptimizer()
        stage.coordinator = await started(home, stage.clock, stage.optimizer)
        world = World(stage)
        await world.begin()
        for action, who in steps:
            await world.do(action, who)
            world.assert_sound()

        await world.heal()

        world.assert_sound()
        counts = (await stage.coordinator.optimizations.one(world.optimization))["counts"]
        assert sum(counts.values()) == TRIALS
        await stage.coordinator.stop()

    with tempfile.TemporaryDirectory() as home:
        asyncio.run(story(Path(home)))
