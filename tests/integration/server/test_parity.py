"""The search is exactly hyperopt's, through the coordinator, across its restart."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import hyperopt
import numpy as np
import pytest
from hyperopt import hp
from sqlalchemy import Connection, select
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, COMMIT, Agent, exit_of, happened, journal

from bough_server.optimizers.client import Ask, OptimizerProcess, Outcome
from bough_server.service import check
from bough_server.store.schema import history, jobs, space_versions

Play = Callable[..., None]
TRIALS, SEED, RANDOM = 40, 7, 8
DEFINITION = {
    "model": "me/digits",
    "command": "python train.py",
    "hyperparameters": {
        "x": 0.5,
        "optimizer": {"type": "choice_group", "default": "sgd", "choices": {"sgd": {"lr": 0.1}, "adam": {"beta": 0.9}}},
    },
    "optimization": {
        "max_trials": TRIALS,
        "max_parallel": 1,
        "seed": SEED,
        "initial_random": RANDOM,
        "kpi": {"channel": "loss", "direction": "minimize"},
        "space": {
            "x": "uniform(-3, 3)",
            "optimizer": "choice",
            "optimizer.sgd.lr": "loguniform(0.0001, 1)",
            "optimizer.adam.beta": "quniform(0, 1, 0.1)",
        },
        "on_failure": {"stop_after": None},
    },
}  # fmt: skip
SPACE = {
    "x": hp.uniform("x", -3, 3),
    "optimizer": hp.choice(
        "optimizer",
        [
            {"name": "sgd", "lr": hp.loguniform("optimizer.sgd.lr", np.log(0.0001), np.log(1))},
            {"name": "adam", "beta": hp.quniform("optimizer.adam.beta", 0, 1, 0.1)},
        ],
    ),
}
SUGGEST = {
    "random": hyperopt.rand.suggest,
    "annealing": hyperopt.anneal.suggest,
    "tpe": partial(hyperopt.tpe.suggest, n_startup_jobs=RANDOM),
}


def loss_of(x: float, sgd_lr: float | None, adam_beta: float | None) -> float | None:
    """What a trial finds; None where it fails."""
    if x > 1.0:
        return None
    return x * x + (abs(np.log10(sgd_lr) + 2) if sgd_lr is not None else abs((adam_beta or 0) - 0.5))


def by_hyperopt(algorithm: str) -> list[dict[str, float]]:
    def objective(found: dict[str, Any]) -> dict[str, Any]:
        chosen = found["optimizer"]
        loss = loss_of(found["x"], chosen.get("lr"), chosen.get("beta"))
        return {"status": "fail"} if loss is None else {"status": "ok", "loss": float(loss)}

    trials = hyperopt.Trials()
    hyperopt.fmin(
        objective, SPACE, SUGGEST[algorithm], TRIALS, trials=trials, rstate=np.random.default_rng(SEED),
        show_progressbar=False, verbose=False,
    )  # fmt: skip
    return [{name: found[0] for name, found in doc["misc"]["vals"].items() if found} for doc in trials.trials]


@pytest.mark.parametrize("algorithm", ["random", "tpe", "annealing"])
def test_forty_trials_one_at_a_time_are_those_of_fmin(play: Play, algorithm: str) -> None:
    async def story(stage: Stage) -> None:
        process: OptimizerProcess = stage.optimizer
        settings = {**DEFINITION["optimization"], "algorithm": algorithm}  # type: ignore[dict-item]
        body = {"definition": {**DEFINITION, "optimization": settings}, "commit": COMMIT, "folder": "", "source": {}}
        await stage.coordinator.optimizations.create(ADMIN, body)
        agent = await stage.agent()
        seen = [await one_trial(stage, agent) for _ in range(TRIALS // 2)]

        await process.stop()
        await stage.restart()
        agent.coordinator = stage.coordinator
        seen += [await one_trial(stage, agent) for _ in range(TRIALS // 2)]

        expected = by_hyperopt(algorithm)
        assert [same_form(values) for values in seen] == [pytest.approx(point, rel=1e-12) for point in expected]
        assert stage.coordinator.store.read_sync(check.violations) == []
        await process.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


async def one_trial(stage: Stage, agent: Agent) -> dict[str, Any]:
    (claim,) = await agent.claim()
    return await end(agent, claim)


async def end(agent: Agent, claim: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = claim["values"]
    loss = loss_of(values["x"], values.get("optimizer.sgd.lr"), values.get("optimizer.adam.beta"))
    told = journal(["p", "loss", 1, "nan" if loss is None else float(loss)])
    events = [happened(claim, "running"), happened(claim, "exited", exit=exit_of(told))]
    await agent.sync([(claim, "journal/1-aa", 0, told)], events)
    return values


def same_form(values: dict[str, Any]) -> dict[str, float]:
    """Return values as hyperopt keeps them: a choice as the index of what was chosen."""
    return {**values, "optimizer": ["sgd", "adam"].index(values["optimizer"])}


def test_each_ask_of_a_parallel_search_can_be_made_again_from_what_is_stored(play: Play) -> None:
    """Four at a time: what an ask saw is one integer, and with it the same values come out."""

    async def story(stage: Stage) -> None:
        process: OptimizerProcess = stage.optimizer
        settings = {**DEFINITION["optimization"], "max_parallel": 4, "max_trials": 24}  # type: ignore[dict-item]
        body = {"definition": {**DEFINITION, "optimization": settings}, "commit": COMMIT, "folder": "", "source": {}}
        made = (await stage.coordinator.optimizations.create(ADMIN, body))["id"]
        agent = await stage.agent(slots=4)
        rng = np.random.default_rng(5)
        running: list[dict[str, Any]] = []
        for _ in range(24):
            while len(running) < 4 and (claims := await agent.claim(4 - len(running))):
                running += claims
            await end(agent, running.pop(int(rng.integers(len(running)))))

        rows, seen, space = stage.coordinator.store.read_sync(partial(stored, optimization=made))
        behind = [i - row["history_seq"] for i, row in enumerate(rows)]
        assert len(rows) == 24
        assert max(behind[RANDOM:]) >= 3, "the search was parallel"
        for row in rows:
            history = seen[: row["history_seq"]]
            number = row["ask_number"]
            again = await process.ask(Ask(f"again-{number}", "tpe", space, history, number, SEED, RANDOM))
            assert again == row["values"]
        assert [outcome.loss is None for outcome in seen].count(True) > 0
        await process.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def stored(tx: Connection, optimization: str) -> tuple[list[dict[str, Any]], list[Outcome], dict[str, Any]]:
    """Return the trials in the order of their asks, the history in its order, and the space."""
    order = select(jobs).where(jobs.c.optimization == optimization).order_by(jobs.c.ask_number)
    rows = [dict(row) for row in tx.execute(order).mappings()]
    told = select(history).where(history.c.optimization == optimization).order_by(history.c.seq)
    seen = [Outcome(row["ask_number"], row["values"], row["loss"]) for row in tx.execute(told).mappings()]
    mine = space_versions.c.optimization == optimization
    return rows, seen, tx.execute(select(space_versions.c.space).where(mine)).scalar_one()
