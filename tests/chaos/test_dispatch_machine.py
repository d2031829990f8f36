"""The scheduler as a state machine: agents that are silent, late, forgetful and heard twice, in any order, on the real
store.

Every single move of a job is noted by the database itself, and must be one of the table in `service.states`; over all
histories together each state is met. After each step the store is sound; once the world behaves, everything ends.
What users do meanwhile is in tests/integration/server/test_any_order.py, whose world this is.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.chaos.conftest import IS_FULL, Tally
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import AGENT, Agent, CountingOptimizer, exit_of, happened, run, started
from tests.integration.server.test_any_order import TRIALS, World

from bough_server.service import check, states

HISTORIES = 300 if IS_FULL else 15
OF_JOBS = ["claim", "claim", "start", "part", "gap", "overlap", "stopping", "freeze", "thaw", "deliver", "deliver"]
OF_ENDS = ["fail", "release", "supervisor_died", "half"]
OF_THE_WORLD = ["again", "lose_reply", "late", "silence", "short_silence", "heartbeat", "forget", "restart", "stop"]
ACTIONS = st.sampled_from(OF_JOBS + OF_ENDS + OF_THE_WORLD)
STEPS = st.lists(st.tuples(ACTIONS, st.integers(0, 1)), max_size=60 if IS_FULL else 30)
NOTE_MOVES = (
    "CREATE TABLE moves_seen (before TEXT, after TEXT)",
    "CREATE TRIGGER note_moves AFTER UPDATE OF state ON jobs WHEN OLD.state <> NEW.state "
    "BEGIN INSERT INTO moves_seen VALUES (OLD.state, NEW.state); END",
)
ALLOWED = {(before, after) for sources, after in states.JOB_MOVES.values() for before in sources}
met: set[tuple[str, str]] = set()


class Unruly(World):
    """As its world, and messages are lost, late, partial, or about what somebody else has by now."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.lost: list[tuple[Agent, dict[str, Any]]] = []

    async def begin(self) -> None:
        await self.stage.coordinator.store.write(lambda tx: [tx.exec_driver_sql(one) for one in NOTE_MOVES])
        await super().begin()

    async def do(self, action: str, who: int) -> None:
        agent = self.agents[who]
        claim = next(iter(agent.held.values()), None)
        if claim is not None and action in ("silence", "forget", "release"):
            self.lost.append((agent, claim))
        if action == "lose_reply":
            message = agent.message([], [], 1)
            await self.stage.coordinator.agents.sync(AGENT, agent.id, *message)
            self.sent = (agent, *message)
        elif action == "late" and self.lost:
            await self.report("deliver", *self.lost[-1])
        elif action == "short_silence":
            await self.stage.pass_time(40)
        else:
            await super().do(action, who)

    async def report(self, action: str, agent: Agent, claim: dict[str, Any]) -> None:
        told, journal = run(0.1, 0.5), "journal/1-aa"
        running = happened(claim, "running")
        if action == "gap":
            await self.send(agent, [(claim, journal, 300, told[300:])], [running])
        elif action == "overlap":
            await self.send(agent, [(claim, journal, 100, told[100:250])], [running])
        elif action == "stopping":
            await self.send(agent, [], [running, happened(claim, "stopping", cause="max_epochs")])
        elif action in ("freeze", "thaw"):
            await self.send(agent, [], [running, happened(claim, "paused" if action == "freeze" else "continued")])
        elif action == "supervisor_died":
            await self.send(agent, [], [happened(claim, "released", reason="lost", message="its supervisor died.")])
        elif action == "half":  # the exit is known, the rest of the bytes is to come
            whole = exit_of_whole(claim, told)
            await self.send(agent, [(claim, journal, 0, told[:250])], [running, whole])
        else:
            await super().report(action, agent, claim)

    def assert_moves(self) -> None:
        store = self.stage.coordinator.store
        assert store.read_sync(check.violations) == []
        rows = store.read_sync(lambda tx: tx.exec_driver_sql("SELECT before, after FROM moves_seen").all())
        seen = {(str(before), str(after)) for before, after in rows}
        assert seen <= ALLOWED
        met.update(seen)


def exit_of_whole(claim: dict[str, Any], told: bytes) -> dict[str, Any]:
    return happened(claim, "exited", exit=exit_of(told, b"x\n"))


def steps_of(*actions: str) -> list[tuple[str, int]]:
    return [(action, 0) for action in actions]


@pytest.mark.timeout(1200 if IS_FULL else 120)
@settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize=not IS_FULL,
    suppress_health_check=[HealthCheck.too_slow],
)
@example(steps_of("claim", "start", "freeze", "thaw", "deliver", "claim", "stop", "stopping", "deliver"))
@example(steps_of("claim", "start", "silence", "late", "claim", "start", "silence", "claim", "late", "fail", "fail"))
@example(steps_of("claim", "half", "half", "deliver", "lose_reply", "short_silence", "heartbeat", "again"))
@example(steps_of("claim", "stop", "release", "claim", "start", "fail", "claim", "start", "fail", "fail"))
@given(STEPS)
def test_no_order_of_messages_makes_a_move_that_is_not_in_the_table(steps: list[tuple[str, int]]) -> None:
    async def story(home: Path) -> None:
        stage = Stage(home)
        stage.optimizer = CountingOptimizer()
        stage.coordinator = await started(home, stage.clock, stage.optimizer)
        world = Unruly(stage)
        await world.begin()
        for action, who in steps:
            await world.do(action, who)
            world.assert_moves()

        await world.heal()

        world.assert_moves()
        shown = await stage.coordinator.optimizations.one(world.optimization)
        assert (shown["state"], sum(shown["counts"].values())) == ("DONE", TRIALS)
        await stage.coordinator.stop()

    with tempfile.TemporaryDirectory() as home:
        asyncio.run(story(Path(home)))


def test_every_state_was_met(tally: Tally) -> None:
    """What a machine never comes to, it does not test."""
    tally("Scheduler", histories=HISTORIES, moves_met=len(met), of=len(ALLOWED))
    assert {state for move in met for state in move} == set(states.JOB_STATES)
