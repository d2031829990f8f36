"""Whatever happens in whatever order, the store stays sound, the search stays explicable, and in the end all ends.

Explicable: the optimizer here answers with a digest of all that it was asked with, so that a replay of the stored
search comes out again only if every ask saw exactly what the store says: trials by their values, after each edit,
retry, restart, re-scoring and point set by hand, and in whatever process.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, AGENT, Agent, CountingOptimizer, exit_of, happened, run, started

from bough.errors import Conflict, UsageError
from bough_server.optimizers.base import Ask
from bough_server.optimizers.replay import Search, replay
from bough_server.service import check
from bough_server.store.schema import history, jobs

TRIALS = 5
EXAMPLES = int(os.environ.get("BOUGH_ANY_ORDER", "20"))
OF_JOBS = ["claim", "claim", "start", "part", "deliver", "deliver", "fail", "release"]
OF_THE_WORLD = ["again", "silence", "heartbeat", "forget", "restart", "pause", "resume", "stop"]
OF_THE_USER = ["edit", "edit", "set", "retry", "retry_job", "begin_anew", "extend", "enqueue", "halt", "halt_now"]
ACTIONS = st.sampled_from(OF_JOBS + OF_THE_WORLD + OF_THE_USER)
STEPS = st.lists(st.tuples(ACTIONS, st.integers(0, 1)), max_size=25)
EDITS: list[dict[str, Any]] = [  # taken in turns; some change nothing, some cannot be, depending on those before
    {"space": {"lr": "uniform(0, 0.5)"}},
    {"add": {"wd": 0.5}, "space": {"wd": "uniform(0, 1)"}},
    {"space": {"lr": "uniform(0, 2)"}},
    {"fixed": {"wd": 0.25}},
    {"space": {"lr": "loguniform(0.01, 1)"}},
    {"fixed": {"wd": None}},
    {"fixed": {"lr": 0.125}},
    {"fixed": {"lr": None}},
]
SETTINGS: list[dict[str, Any]] = [
    {"max_parallel": 1},
    {"kpi.reduce": "best"},
    {"max_parallel": 3, "on_failure": {"retry": 0, "stop_after": None}},
    {"kpi.reduce": "mean(2)", "initial_random": 2},
    {"algorithm": "annealing", "max_epochs": 7},
    {"kpi.reduce": "last", "priority": 2},
]


class Digesting(CountingOptimizer):
    """Answers with a digest of the whole ask: another history, order, number, seed or space gives other values."""

    async def ask(self, ask: Ask) -> dict[str, Any]:
        seen = [(one.number, dict(one.values), one.loss) for one in ask.history]
        told = [ask.algorithm, ask.space, seen, ask.number, ask.seed, ask.initial_random]
        digest = hashlib.sha256(msgspec.json.encode(told, order="sorted")).digest()
        searched = [path for path, _ in ask.space["searched"]]
        return {path: (digest[i] + 1) / 512 for i, path in enumerate(searched)}


class World:
    """Two agents that do what they are told, a coordinator that may be started anew, a message that may come twice."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.agents: list[Agent] = []
        self.optimization = ""
        self.turn = 0
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
        elif action in OF_THE_USER:
            self.turn += 1
            with contextlib.suppress(Conflict, UsageError):  # what cannot be is refused, and changes nothing
                await self.life_goes_on(action, claim)
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

    async def life_goes_on(self, action: str, claim: dict[str, Any] | None) -> None:
        coordinator, its_id = self.stage.coordinator, self.optimization
        if action == "edit":
            await coordinator.life.edit(ADMIN, its_id, EDITS[self.turn % len(EDITS)])
        elif action == "set":
            await coordinator.life.edit(ADMIN, its_id, {"settings": SETTINGS[self.turn % len(SETTINGS)]})
        elif action == "retry":
            await coordinator.life.retry(ADMIN, its_id, {})
        elif action == "retry_job":
            rows = (await coordinator.optimizations.trials(its_id))["rows"]
            over = [row["id"] for row in rows if row["state"] in ("FAILED", "ABORTED")]
            if over:
                await coordinator.life.retry_job(over[self.turn % len(over)], {})
        elif action == "begin_anew":
            await coordinator.life.restart(ADMIN, its_id, {"seed": self.turn} if self.turn % 2 else {})
        elif action == "extend":
            await coordinator.optimizations.extend(its_id, 1, is_more=True)
        elif action == "enqueue":
            await coordinator.optimizations.enqueue(ADMIN, its_id, {"values": {"lr": 0.125 * (self.turn % 20)}})
        else:
            await coordinator.optimizations.stop(its_id, now=action == "halt_now")

    async def heal(self) -> None:
        """Everyone does what is right, for long enough."""
        await self.user_wants("resume", None)
        for _ in range(60):
            state = (await self.stage.coordinator.optimizations.one(self.optimization))["state"]
            if state == "DONE":
                return
            if state == "STOPPED":
                await self.stage.coordinator.optimizations.extend(self.optimization, 1, is_more=True)
            for agent in self.agents:
                for claim in list(agent.held.values()):
                    await self.report("deliver", agent, claim)
                await self.send(agent, [], [], wants=2)
            await self.stage.pass_time(40)
        raise AssertionError(await self.stage.coordinator.why())

    def assert_sound(self) -> None:
        assert self.stage.coordinator.store.read_sync(check.violations) == []
        assert self.stage.coordinator.store.read_sync(self.told_otherwise) == []

    def told_otherwise(self, tx: Connection) -> list[str]:
        """Name what the newest entry about a trial says, where its row says otherwise: values, and how good it is."""
        order = select(history, jobs).join(jobs, jobs.c.id == history.c.job).order_by(history.c.seq)
        newest = {row[history.c.job]: row for row in tx.execute(order).mappings()}
        found = []
        for row in newest.values():
            loss = None if row[jobs.c.kpi] is None or row[jobs.c.state] != "DONE" else -row[jobs.c.kpi]
            is_over = row[jobs.c.state] in ("DONE", "FAILED")  # else it runs once more
            is_same = row[history.c["values"]] == row[jobs.c["values"]]
            if not is_same or (is_over and row[history.c.loss] != loss):
                found.append(f"trial {row[jobs.c.number]}: {row[history.c['values']]}, {row[history.c.loss]}, {loss}")
        return found

    async def assert_explicable(self) -> None:
        """Ask everything again from what is stored, in all generations: what is asked next comes from that too."""
        coordinator = self.stage.coordinator
        newest = (await coordinator.optimizations.one(self.optimization))["generation"]
        for generation in range(1, newest + 1):
            stored = Search.from_json(await coordinator.searches.stored(self.optimization, generation))
            verdict = [one async for one in replay(stored, Digesting())][-1]
            assert verdict["equal"], verdict


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(STEPS)
def test_any_order_of_events_keeps_the_store_sound_and_comes_to_an_end(steps: list[tuple[str, int]]) -> None:
    async def story(home: Path) -> None:
        stage = Stage(home)
        stage.optimizer = Digesting()
        stage.coordinator = await started(home, stage.clock, stage.optimizer)
        world = World(stage)
        await world.begin()
        for action, who in steps:
            await world.do(action, who)
            world.assert_sound()
        await world.assert_explicable()

        await world.heal()

        world.assert_sound()
        await world.assert_explicable()
        shown = await stage.coordinator.optimizations.one(world.optimization)
        rows = (await stage.coordinator.optimizations.trials(world.optimization))["rows"]
        assert sum(row["attempt"] > 0 for row in rows) == shown["max_trials"]
        await stage.coordinator.stop()

    with tempfile.TemporaryDirectory() as home:
        asyncio.run(story(Path(home)))
