"""Optuna's samplers through the coordinator and the worker process; and a coordinator that lacks what one needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, select
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, COMMIT, exit_of, happened, journal, request

from bough.errors import UsageError
from bough_server.optimizers.client import Ask, OptimizerProcess, Outcome
from bough_server.optimizers.extras import NEEDS, check_installed, optional_versions
from bough_server.store.schema import history, jobs, space_versions

Play = Callable[..., None]
TRIALS = 12
DEFINITION: dict[str, Any] = {
    "model": "me/digits",
    "command": "python train.py",
    "hyperparameters": {
        "x": 0.5,
        "n": 3,
        "optimizer": {"type": "choice_group", "default": "sgd", "choices": {"sgd": {"lr": 0.1}, "adam": {"beta": 0.9}}},
    },
}
NUMBERS = {"x": "uniform(-3, 3)", "n": "range(1, 9, 2)", "optimizer.sgd.lr": "loguniform(0.0001, 1)"}
SPACES = {
    "optuna-tpe": {**NUMBERS, "optimizer": "choice", "optimizer.adam.beta": "quniform(0, 1, 0.1)"},
    "optuna-gp": NUMBERS,
    "optuna-cmaes": NUMBERS,
}


def loss_of(values: dict[str, Any]) -> float:
    """What a trial finds; not a number where it fails."""
    return float("nan") if values["x"] > 2.5 else float(values["x"] ** 2 + abs(values["n"] - 3))


@pytest.mark.parametrize("algorithm", SPACES)
def test_twelve_trials_through_the_worker_process_and_each_ask_again_in_a_new_one(play: Play, algorithm: str) -> None:
    missing = set(NEEDS[algorithm]) - optional_versions().keys()
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")

    async def story(stage: Stage) -> None:
        process: OptimizerProcess = stage.optimizer
        settings = {"algorithm": algorithm, "max_trials": TRIALS, "max_parallel": 1, "seed": 4, "initial_random": 4}
        kpi = {"channel": "loss", "direction": "minimize"}
        section = {**settings, "kpi": kpi, "space": SPACES[algorithm], "on_failure": {"stop_after": None}}
        body = {"definition": {**DEFINITION, "optimization": section}, "commit": COMMIT, "folder": "", "source": {}}
        made = (await stage.coordinator.optimizations.create(ADMIN, body))["id"]
        agent = await stage.agent()
        for _ in range(TRIALS):
            (claim,) = await agent.claim()
            loss = loss_of(claim["values"])
            told = journal(["p", "loss", 1, "nan" if loss != loss else loss])
            events = [happened(claim, "running"), happened(claim, "exited", exit=exit_of(told))]
            await agent.sync([(claim, "journal/1-aa", 0, told)], events)

        row = await stage.coordinator.optimizations.one(made)
        assert (row["state"], row["finished"]) == ("DONE", TRIALS)
        asks = stage.coordinator.store.read_sync(lambda tx: _asks(tx, made, algorithm))
        assert len(asks) == TRIALS
        await process.stop()
        for ask, values in asks:
            assert await process.ask(ask) == values
        assert set(NEEDS[algorithm]) <= process.versions.keys()
        await process.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def _asks(tx: Connection, optimization: str, algorithm: str) -> list[tuple[Ask, dict[str, Any]]]:
    """Return each ask that was made, as the store remembers it, and the values of its trial."""
    order = select(history).where(history.c.optimization == optimization).order_by(history.c.seq)
    told = [Outcome(row["ask_number"], row["values"], row["loss"]) for row in tx.execute(order).mappings()]
    space = tx.execute(select(space_versions.c.space)).scalar_one()
    rows = tx.execute(select(jobs).where(jobs.c.optimization == optimization).order_by(jobs.c.number)).mappings()
    return [
        (Ask("again", algorithm, space, told[: row["history_seq"]], row["ask_number"], 4, 4), dict(row["values"]))
        for row in rows
    ]


@pytest.mark.parametrize("algorithm", ["optuna-tpe", "optuna-gp", "optuna-cmaes"])
def test_an_algorithm_that_cannot_run_here_is_refused_before_anything_starts(play: Play, algorithm: str) -> None:
    """Where all of it is installed, there is nothing to refuse."""
    try:
        check_installed(algorithm)
    except UsageError as error:
        said = str(error)
    else:
        pytest.skip(f"all that {algorithm} needs is installed")

    async def story(stage: Stage) -> None:
        with pytest.raises(UsageError) as raised:
            await stage.coordinator.optimizations.create(ADMIN, request(algorithm=algorithm))

        assert str(raised.value) == said
        assert (await stage.coordinator.optimizations.page())["total"] == 0

    play(story)


def test_an_expression_that_it_cannot_draw_is_refused_before_anything_starts(play: Play) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(UsageError, match=r"^parameter lr: normal has no bounds, and the algorithm is optuna-tpe\."):
            await stage.coordinator.optimizations.create(
                ADMIN, request(algorithm="optuna-tpe", space={"lr": "normal(0, 1)"})
            )

        assert (await stage.coordinator.optimizations.page())["total"] == 0

    play(story)
