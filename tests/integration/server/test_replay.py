"""A stored search is asked again and comes out the same; whatever does not is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, insert, select, update
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, COMMIT, Agent
from tests.integration.server.test_parity import DEFINITION, end

from bough.errors import Conflict
from bough_server.optimizers.client import OptimizerProcess
from bough_server.optimizers.replay import Search, replay
from bough_server.service import searches
from bough_server.store.schema import history, jobs, optimizations, space_versions

Play = Callable[..., None]


async def started(stage: Stage, **settings: Any) -> str:
    chosen = {**DEFINITION["optimization"], "initial_random": 6, **settings}  # type: ignore[dict-item]
    body = {"definition": {**DEFINITION, "optimization": chosen}, "commit": COMMIT, "folder": "", "source": {}}
    return str((await stage.coordinator.optimizations.create(ADMIN, body))["id"])


async def play_trials(agent: Agent, trials: int, parallel: int) -> None:
    """Run trials, ``parallel`` at a time, that end in a random order."""
    rng = np.random.default_rng(5)
    running: list[dict[str, Any]] = []
    for _ in range(trials):
        while len(running) < parallel and (claims := await agent.claim(parallel - len(running))):
            running += claims
        await end(agent, running.pop(int(rng.integers(len(running)))))
    for claim in running:
        await end(agent, claim)


async def verdict(stage: Stage, optimization: str, process: OptimizerProcess) -> Mapping[str, Any]:
    """Return what a replay says, the search having been sent to another machine."""
    found = await stage.coordinator.searches.stored(optimization)
    return [said async for said in replay(Search.from_json(found), process)][-1]


async def tamper(stage: Stage, work: Callable[[Connection], Any]) -> None:
    await stage.coordinator.store.write(lambda tx: work(tx) and None)


def with_other_settings(tx: Connection, optimization: str) -> None:
    """Change the search while it lives, as its user might."""
    mine = space_versions.c.optimization == optimization
    (first,) = tx.execute(select(space_versions).where(mine)).mappings().all()
    searched = [["x", "uniform(-1, 4)"] if path == "x" else [path, how] for path, how in first["space"]["searched"]]
    tx.execute(insert(space_versions), {**first, "version": 2, "space": {**first["space"], "searched": searched}})
    changed = {"space_version": 2, "initial_random": 4, "seed": 99}
    tx.execute(update(optimizations).where(optimizations.c.id == optimization).values(changed))


def with_another_x(tx: Connection, table: Any, which: Any) -> None:
    values = tx.execute(select(table.c["values"]).where(which)).scalar_one()
    tx.execute(update(table).where(which).values(values={**values, "x": values["x"] + 1e-15}))


def test_a_parallel_search_that_was_edited_and_restarted_comes_out_again_and_tampering_is_named(play: Play) -> None:
    async def story(stage: Stage) -> None:
        process: OptimizerProcess = stage.optimizer
        made = await started(stage, algorithm="tpe", max_parallel=4, max_trials=24)
        agent = await stage.agent(slots=4)
        await play_trials(agent, 8, 4)
        await tamper(stage, partial(with_other_settings, optimization=made))
        await process.stop()
        await stage.restart()
        agent.coordinator = stage.coordinator
        await play_trials(agent, 9, 4)

        news = [said async for said in await stage.coordinator.searches.verify(made)]
        total = news[-1]["total"]
        assert total >= 17
        assert news[:-1] == [{"checked": n, "total": total} for n in range(total + 1)]
        assert (news[-1]["equal"], news[-1]["first"], news[-1]["checked"]) == (True, None, total)
        assert [one["space_version"] for one in (await stage.coordinator.searches.stored(made))["made_with"]] == [1, 2]
        assert news[-1]["recorded"] == news[-1]["replayed"] == process.versions

        found = await stage.coordinator.store.read(partial(searches.search, optimization_id=made))
        trial = found.trials[12]
        mine = (jobs.c.optimization == made) & (jobs.c.ask_number == trial.ask)
        await tamper(stage, lambda tx: with_another_x(tx, jobs, mine))
        first = (said := await verdict(stage, made, process))["first"]
        assert (first["trial"], first["ask"], first["parameter"]) == (trial.number, 12, "x")
        assert first["replayed"] == trial.values["x"]
        assert 0 < abs(first["stored"] - first["replayed"]) < 2e-15
        assert (said["equal"], said["checked"]) == (False, 12)
        assert said["explanation"].startswith(
            f"Recorded and replayed with the same versions (hyperopt {process.versions['hyperopt']}"
        )
        assert said["explanation"].endswith("what is stored was changed. The two differ in their last bits only.")

        entries = [{**one, "versions": {**one["versions"], "numpy": "1.2"}} for one in found.made_with]
        changed = update(optimizations).where(optimizations.c.id == made).values(versions=entries)
        await tamper(stage, lambda tx: tx.execute(changed))
        said = await verdict(stage, made, process)
        assert f"Recorded with numpy 1.2, replayed with numpy {process.versions['numpy']}." in said["explanation"]

        await tamper(stage, lambda tx: tx.execute(update(jobs).where(mine).values(values=dict(trial.values))))
        said = await verdict(stage, made, process)
        assert said["equal"]
        assert said["explanation"] == f"Recorded with numpy 1.2, replayed with numpy {process.versions['numpy']}."
        told = (history.c.optimization == made) & (history.c.ask_number == 3)
        await tamper(stage, lambda tx: with_another_x(tx, history, told))
        first = (await verdict(stage, made, process))["first"]
        assert (first["ask"], first["parameter"]) == (3, "x")
        assert first["what"] == "the history that later asks saw holds another value of it"

    play(story, OptimizerProcess(), claim_wait_s=20.0)


@pytest.mark.parametrize("algorithm", ["random", "annealing", "grid"])
def test_every_algorithm_can_be_replayed(play: Play, algorithm: str) -> None:
    async def story(stage: Stage) -> None:
        process: OptimizerProcess = stage.optimizer
        space = {"x": "range(-3, 3, 0.5)", "optimizer": "choice"}
        made = await started(stage, algorithm=algorithm, max_parallel=2, max_trials=8, space=space)
        await play_trials(await stage.agent(slots=2), 8, 2)

        said = await verdict(stage, made, process)

        assert (said["equal"], said["checked"]) == (True, 8)
        await process.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def test_one_verification_at_a_time_and_it_may_be_left(play: Play) -> None:
    async def story(stage: Stage) -> None:
        made = await started(stage, algorithm="random", max_trials=2)
        news = await stage.coordinator.searches.verify(made)
        assert await anext(news) == {"checked": 0, "total": 0}

        with pytest.raises(Conflict, match=r"^another optimization is being verified\. Try again when that is over\.$"):
            await stage.coordinator.searches.verify(made)
        await news.aclose()

        assert [said async for said in await stage.coordinator.searches.verify(made)][-1]["equal"]

    play(story)


def test_points_set_by_hand_and_earlier_trials_are_in_what_a_replayed_ask_saw(play: Play) -> None:
    async def story(stage: Stage) -> None:
        process: OptimizerProcess = stage.optimizer
        earlier = await started(stage, algorithm="random", max_trials=8)
        agent = await stage.agent()
        await play_trials(agent, 8, 1)
        chosen = {**DEFINITION["optimization"], "initial_random": 4, "max_trials": 14}  # type: ignore[dict-item]
        body = {"definition": {**DEFINITION, "optimization": chosen}, "commit": COMMIT, "folder": "", "source": {}}
        made = (await stage.coordinator.optimizations.create(ADMIN, {**body, "warm_start": earlier}))["id"]
        await play_trials(agent, 5, 1)
        await stage.coordinator.optimizations.enqueue(ADMIN, made, {"values": {"x": 0.25}})
        await play_trials(agent, 9, 1)

        said = await verdict(stage, made, process)

        assert (said["equal"], said["total"]) == (True, 13), said
        await process.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)
