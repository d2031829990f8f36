"""Whichever agents are bad, in whatever order they work: the innocent get work, and no trial pays for a machine."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import Agent, CountingOptimizer, run, started

from bough_server.service import check, quarantine

TRIALS = 6
NAMES = ("anna", "ben", "carl")
EXAMPLES = int(os.environ.get("BOUGH_ANY_ORDER", "8"))
NATURES = st.lists(st.sampled_from(["runs", "dies", "dies", "fails"]), min_size=3, max_size=3)
STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["claim", "deliver"])), max_size=40)


class Lab:
    """Three machines on which one commit runs, dies at once, or fails after a minute, each always alike."""

    def __init__(self, stage: Stage, natures: list[str]) -> None:
        self.stage = stage
        self.natures: dict[str, str] = dict(zip(NAMES, natures, strict=True))
        self.agents: dict[str, Agent] = {}
        self.held: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.done_on: set[str] = set()
        self.died_on: dict[str, list[str]] = defaultdict(list)  # by job
        self.expected: dict[str, str] = {}

    async def do(self, who: int, action: str) -> None:
        name = NAMES[who]
        self.stage.clock.pass_time(2.0)  # the busier one waits no longer for the others
        if action == "claim":
            claims = await self.agents[name].claim()
            assert not (claims and (await self.shown(name))["quarantine"]), "it is in quarantine, and got work"
            self.held[name] += claims
        elif self.held[name]:
            await self.deliver(name, self.held[name].pop(0))

    async def deliver(self, name: str, claim: dict[str, Any]) -> None:
        """Let a trial end as its machine makes it, and look at what becomes of it."""
        job, nature = claim["job_id"], self.natures[name]
        if nature == "runs":
            await self.agents[name].deliver(claim, run(0.5))
            self.done_on.add(name)
            self.expected[job] = "DONE"
        else:
            await self.agents[name].deliver(claim, exit_code=1, duration_s=1.0 if nature == "dies" else 60.0)
            is_excused = nature == "dies" and not self.died_on[job] and bool(self.done_on - {name})
            self.expected[job] = "QUEUED" if is_excused else "FAILED"
            self.died_on[job].append(name)
        assert (await self.stage.job(claim))["state"] == self.expected[job], (nature, self.died_on[job], self.done_on)

    async def shown(self, name: str) -> dict[str, Any]:
        return next(row for row in await self.stage.coordinator.agents.page() if row["name"] == name)

    async def finish(self) -> None:
        """Go on in turns until nobody gets anything any more."""
        idle = 0
        while idle < 2:
            before = sum(map(len, self.died_on.values())) + len(self.expected)
            for who in range(3):
                await self.do(who, "claim")
                while self.held[NAMES[who]]:
                    await self.do(who, "deliver")
            idle = idle + 1 if sum(map(len, self.died_on.values())) + len(self.expected) == before else 0


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(natures=["runs", "dies", "fails"], steps=[(0, "claim"), (0, "deliver"), *[(1, "claim"), (1, "deliver")] * 4])
@given(natures=NATURES, steps=STEPS)
def test_no_innocent_agent_is_shut_out_and_no_trial_pays_for_a_machine(
    natures: list[str], steps: list[tuple[int, str]]
) -> None:
    async def story(home: Path) -> None:
        stage = Stage(home)
        stage.coordinator = await started(home, stage.clock, CountingOptimizer())
        lab = Lab(stage, natures)
        settled = {"max_trials": TRIALS, "max_parallel": TRIALS, "initial_random": TRIALS}
        optimization = await stage.optimize(**settled, on_failure={"retry": 0, "stop_after": None})
        for name in NAMES:
            lab.agents[name] = await stage.agent(name, TRIALS)

        for who, action in steps:
            await lab.do(who, action)
        await lab.finish()

        for name in NAMES:
            is_shut_out = (await lab.shown(name))["quarantine"] is not None
            died = [job for job, names in lab.died_on.items() if names[0] == name and lab.expected[job] == "DONE"]
            if is_shut_out:
                assert (lab.natures[name], bool(lab.done_on - {name})) == ("dies", True)
            elif lab.natures[name] == "dies":
                assert len(died) < quarantine.SUSPECTS
        rows = (await stage.coordinator.optimizations.trials(optimization))["rows"]
        assert len(rows) == TRIALS  # what went back used up no try
        if "runs" in natures or "dies" not in natures:
            assert {row["state"] for row in rows} <= {"DONE", "FAILED"}
        assert await stage.coordinator.ground.store.read(check.violations) == []
        await stage.coordinator.stop()

    with tempfile.TemporaryDirectory() as home:
        asyncio.run(story(Path(home)))
