"""What no optimizer asked for: points set by hand, and the trials of an earlier optimization."""

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
from tests.integration.server.driver import ADMIN, COMMIT, CountingOptimizer, definition, request, run
from tests.integration.server.test_parity import (
    DEFINITION,
    RANDOM,
    SEED,
    SPACE,
    SUGGEST,
    end,
    loss_of,
    one_trial,
    same_form,
)

from bough.errors import Conflict, UsageError
from bough_server.optimizers.client import OptimizerProcess
from bough_server.service import check
from bough_server.store.schema import history

Play = Callable[..., None]


def told(stage: Stage, optimization: str) -> list[tuple[int, float, float | None]]:
    """Return the history of an optimization: ask number, lr, loss."""

    def rows(tx: Connection) -> list[Any]:
        mine = select(history).where(history.c.optimization == optimization).order_by(history.c.seq)
        return [dict(row) for row in tx.execute(mine).mappings()]

    return [(row["ask_number"], row["values"]["lr"], row["loss"]) for row in stage.coordinator.store.read_sync(rows)]


async def enqueue(stage: Stage, optimization: str, values: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    return await stage.coordinator.optimizations.enqueue(ADMIN, optimization, {"values": values}, key)


# -- points set by hand ---------------------------------------------------------------------------------------


def test_a_point_set_by_hand_is_the_next_trial_counts_and_is_told_but_draws_no_seed(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=3)
        agent = await stage.agent()
        await agent.deliver(await agent.claim_one(), run(0.5))

        job = await enqueue(stage, its_id, {"lr": "0.25"})

        assert (job["number"], job["state"], job["values"]) == (2, "QUEUED", {"lr": 0.25})
        claim = await agent.claim_one()
        assert (claim["job_id"], claim["values"]) == (job["id"], {"lr": 0.25})
        await agent.deliver(claim, run(0.7))
        claim = await agent.claim_one()
        assert claim["values"] == {"lr": 1.0}, "the next ask has the next number"
        await agent.deliver(claim, run(0.9))
        assert told(stage, its_id) == [(0, 0.0, -0.5), (-2, 0.25, -0.7), (1, 1.0, -0.9)]
        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["counts"], shown["warnings"]) == ("DONE", {"DONE": 3}, [])
        assert stage.coordinator.store.read_sync(check.violations) == []

    play(story)


def test_a_point_set_by_hand_waits_for_its_place_and_for_a_pause(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=4)
        agent = await stage.agent(slots=4)
        first = await agent.claim_one()
        points = [await enqueue(stage, its_id, {"lr": lr}) for lr in (0.1, 0.2)]
        assert [point["number"] for point in points] == [2, 3]

        assert await agent.claim(3) == [], "max_parallel is 1"
        await stage.coordinator.optimizations.pause(its_id)
        await agent.deliver(first, run(0.5))
        assert await agent.claim(3) == [], "it is paused"
        await stage.coordinator.optimizations.resume(its_id)
        (claim,) = await agent.claim(3)
        assert claim["job_id"] == points[0]["id"]

        await enqueue(stage, its_id, {"lr": 0.3})
        with pytest.raises(
            Conflict, match=r"has started all of its 4 trials\. Give it more: bough optimization extend"
        ):
            await enqueue(stage, its_id, {"lr": 0.4})
        await stage.coordinator.optimizations.stop(its_id)
        await agent.deliver(claim, run(0.5))
        shown = await stage.coordinator.optimizations.one(its_id)
        assert (shown["state"], shown["counts"]) == ("STOPPED", {"DONE": 2, "ABORTED": 2})
        with pytest.raises(Conflict, match=r"is STOPPED and takes no points\. Start a new one\."):
            await enqueue(stage, its_id, {"lr": 0.4})
        assert stage.coordinator.store.read_sync(check.violations) == []

    play(story)


def test_a_point_outside_the_space_runs_but_the_optimizer_is_not_told(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=2)
        agent = await stage.agent()

        await enqueue(stage, its_id, {"lr": 7})

        claim = await agent.claim_one()
        assert claim["values"] == {"lr": 7}
        await agent.deliver(claim, run(0.7))
        shown = await stage.coordinator.optimizations.one(its_id)
        said = "trial 1 runs, but the optimizer is not told of it: lr = 7.0 is not in uniform(0, 1)."
        assert (shown["warnings"], shown["best"]["kpi"]) == ([said], 0.7)
        assert told(stage, its_id) == []
        assert stage.coordinator.store.read_sync(check.violations) == []

    play(story)


def test_values_are_completed_by_what_is_fixed_and_refused_by_name(play: Play) -> None:
    tree = {
        "lr": 0.1,
        "steps": 5,
        "optimizer": {"type": "choice_group", "default": "sgd", "choices": {"sgd": {"rate": 0.1}, "adam": {"beta": 1}}},
    }
    space = {"lr": "uniform(0, 1)", "optimizer": "choice"}

    async def story(stage: Stage) -> None:
        body = request(max_trials=9, space=space)
        body["definition"]["hyperparameters"] = tree
        made = await stage.coordinator.optimizations.create(ADMIN, {**body, "fixed": {"steps": 3}})
        put = partial(enqueue, stage, made["id"])

        assert (await put({"optimizer": "adam"}))["values"] == {
            "lr": 0.1,
            "steps": 3,
            "optimizer": "adam",
            "optimizer.adam.beta": 1,
        }
        await put({"steps": 4})

        with pytest.raises(UsageError, match=r"unknown hyperparameter lrr\. .*lr"):
            await put({"lrr": 1})
        with pytest.raises(UsageError, match=r"parameter lr: fast is not a number\."):
            await put({"lr": "fast"})
        with pytest.raises(UsageError, match=r"optimizer is sgd\. Add optimizer=adam"):
            await put({"optimizer.adam.beta": 2})
        with pytest.raises(UsageError, match=r"there are no values\."):
            await put({})
        warnings = (await stage.coordinator.optimizations.one(made["id"]))["warnings"]
        assert warnings == ["trial 2 runs, but the optimizer is not told of it: steps is not searched, and always 3."]

    play(story)


def test_a_point_sent_twice_is_queued_once(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=5)

        first = await enqueue(stage, its_id, {"lr": 0.1}, "key")

        assert (await enqueue(stage, its_id, {"lr": 0.1}, "key"))["id"] == first["id"]
        with pytest.raises(Conflict, match=r"Idempotency-Key key came before with another request\."):
            await enqueue(stage, its_id, {"lr": 0.2}, "key")
        other = await stage.optimize(max_trials=5)
        with pytest.raises(Conflict, match=r"Idempotency-Key key came before with another request\."):
            await enqueue(stage, other, {"lr": 0.1}, "key")

    play(story)


# -- an earlier optimization ----------------------------------------------------------------------------------


def test_a_warm_start_begins_the_history_with_what_fits_and_does_not_shorten_the_warm_up(play: Play) -> None:
    optimizer = CountingOptimizer()

    async def story(stage: Stage) -> None:
        earlier = await stage.optimize(max_trials=3)
        agent = await stage.agent()
        for _ in range(3):
            claim = await agent.claim_one()
            await agent.deliver(claim, run(0.5 + claim["values"]["lr"]))

        body = request(max_trials=2, max_parallel=1, initial_random=1, space={"lr": "uniform(-1, 1.5)"})
        made = await stage.coordinator.optimizations.create(ADMIN, {**body, "warm_start": earlier[:6]})

        assert made["warnings"] == [
            f"1 of 3 trials of optimization {earlier} are left out, for they do not fit this space. "
            "The first: lr = 2.0 is not in uniform(-1, 1.5)."
        ]
        assert told(stage, made["id"]) == [(-1, 0.0, -0.5), (-1, 1.0, -1.5)]
        for _ in range(2):
            await agent.deliver(await agent.claim_one(), run(0.1))
        assert (await stage.coordinator.optimizations.one(made["id"]))["counts"] == {"DONE": 2}
        asks = [(ask.number, len(ask.history)) for ask in optimizer.asks if ask.optimization == made["id"]]
        assert asks == [(0, 2), (1, 3)]
        assert stage.coordinator.store.read_sync(check.violations) == []
        again = {**request(max_trials=2), "warm_start": made["id"]}
        third = await stage.coordinator.optimizations.create(ADMIN, again)
        assert [loss for _, _, loss in told(stage, third["id"])] == [-0.5, -1.5, -0.1, -0.1], "what it was told, too"

    play(story, optimizer)


def test_what_cannot_be_built_on_is_said(play: Play) -> None:
    async def story(stage: Stage) -> None:
        async def start(earlier: Any, model: str = "me/digits", **settings: Any) -> None:
            body = {**request(**settings), "definition": {**definition(**settings), "model": model}}
            await stage.coordinator.optimizations.create(ADMIN, {**body, "warm_start": earlier})

        earlier = await stage.optimize(max_trials=1)
        with pytest.raises(UsageError, match=r"cannot be built on: it has no ended trial\. Leave warm_start out\."):
            await start(earlier)
        agent = await stage.agent()
        await agent.deliver(await agent.claim_one(), run(0.5))
        with pytest.raises(UsageError, match=r"none of its trials fits this space\. The first: lr = 0\.0 is not in"):
            await start(earlier, space={"lr": "uniform(1, 2)"})
        with pytest.raises(UsageError, match=r"is of the model me/digits, not of me/other\."):
            await start(earlier, model="me/other")
        with pytest.raises(
            UsageError, match=r"the direction of optimization \w+ is maximize, that of the new one is min"
        ):
            await start(earlier, kpi={"direction": "minimize"})
        with pytest.raises(UsageError, match=r"warm_start is '3', no id\."):
            await start(3)
        assert (await stage.coordinator.optimizations.page())["total"] == 1

    play(story)


# -- the very points that hyperopt would draw -----------------------------------------------------------------

HAND = {"x": -0.5, "optimizer": "adam", "optimizer.adam.beta": 0.3}
BEFORE, AFTER = 32, 6  # tpe lets what is older than 25 trials weigh less


def objective(found: dict[str, Any]) -> dict[str, Any]:
    chosen = found["optimizer"]
    loss = loss_of(found["x"], chosen.get("lr"), chosen.get("beta"))
    return {"status": "fail"} if loss is None else {"status": "ok", "loss": float(loss)}


def insert(trials: hyperopt.Trials, vals: dict[str, float], loss: float | None) -> None:
    """Let hyperopt know of a trial that it did not suggest; every label is listed."""
    (tid,) = trials.new_trial_ids(1)
    labels = ("x", "optimizer", "optimizer.sgd.lr", "optimizer.adam.beta")
    found = {label: [vals[label]] if label in vals else [] for label in labels}
    idxs = {label: [tid] if label in vals else [] for label in labels}
    misc = {"tid": tid, "cmd": None, "workdir": None, "idxs": idxs, "vals": found}
    result = {"status": "fail"} if loss is None else {"status": "ok", "loss": loss}
    (doc,) = trials.new_trial_docs([tid], [None], [result], [misc])
    doc["state"] = hyperopt.JOB_STATE_DONE
    trials.insert_trial_doc(doc)
    trials.refresh()


def fmin(
    algorithm: str, trials: hyperopt.Trials, n: int, rng: np.random.Generator, known: int, space: Any = None
) -> None:
    tpe = partial(hyperopt.tpe.suggest, n_startup_jobs=RANDOM + known)
    suggest = tpe if algorithm == "tpe" else SUGGEST[algorithm]
    hyperopt.fmin(
        objective, space or SPACE, suggest, n, trials=trials, rstate=rng, show_progressbar=False, verbose=False
    )


def drawn(trials: hyperopt.Trials) -> list[dict[str, float]]:
    return [{name: found[0] for name, found in doc["misc"]["vals"].items() if found} for doc in trials.trials]


async def optimize(stage: Stage, algorithm: str, space: dict[str, str] | None = None, **more: Any) -> str:
    settings: dict[str, Any] = {**DEFINITION["optimization"], "max_trials": BEFORE + AFTER + 1}  # type: ignore[dict-item]
    settings["algorithm"] = algorithm
    if space is not None:
        settings["space"] = space
    body = {"definition": {**DEFINITION, "optimization": settings}, "commit": COMMIT, "folder": "", "source": {}}
    made = await stage.coordinator.optimizations.create(ADMIN, {**body, **more})
    return str(made["id"])


@pytest.mark.parametrize("algorithm", ["tpe", "annealing"])
def test_after_a_point_set_by_hand_the_asks_are_those_of_fmin_that_knows_it(play: Play, algorithm: str) -> None:
    async def story(stage: Stage) -> None:
        its_id = await optimize(stage, algorithm)
        agent = await stage.agent()
        seen = [await one_trial(stage, agent) for _ in range(BEFORE)]
        await enqueue(stage, its_id, HAND)
        seen += [await one_trial(stage, agent) for _ in range(AFTER + 1)]

        rng, trials = np.random.default_rng(SEED), hyperopt.Trials()
        fmin(algorithm, trials, BEFORE, rng, 0)
        by_hand = same_form(HAND)
        insert(trials, by_hand, loss_of(by_hand["x"], None, by_hand["optimizer.adam.beta"]))
        fmin(algorithm, trials, BEFORE + 1 + AFTER, rng, 0)
        assert seen[BEFORE] == HAND
        assert [same_form(values) for values in seen] == [pytest.approx(point, rel=1e-12) for point in drawn(trials)]
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


@pytest.mark.parametrize("algorithm", ["tpe", "annealing"])
def test_after_a_warm_start_the_asks_are_those_of_fmin_that_knows_the_earlier_trials(
    play: Play, algorithm: str
) -> None:
    """The new space is narrower and has its choices in another order: mapped by value, and filtered."""
    space: dict[str, str] = dict(DEFINITION["optimization"]["space"])  # type: ignore[index]
    space |= {"x": "uniform(-1, 1)", "optimizer": "choice(adam, sgd)"}
    theirs = {
        "x": hp.uniform("x", -1, 1),
        "optimizer": hp.choice(
            "optimizer",
            [
                {"name": "adam", "beta": hp.quniform("optimizer.adam.beta", 0, 1, 0.1)},
                {"name": "sgd", "lr": hp.loguniform("optimizer.sgd.lr", np.log(0.0001), np.log(1))},
            ],
        ),
    }

    async def story(stage: Stage) -> None:
        earlier = await optimize(stage, algorithm)
        agent = await stage.agent()
        before = [await one_trial(stage, agent) for _ in range(BEFORE)]
        await stage.coordinator.optimizations.stop(earlier)
        await optimize(stage, algorithm, space, warm_start=earlier)
        seen = []
        for _ in range(RANDOM + AFTER):
            (claim,) = await agent.claim()
            seen.append(await end(agent, claim))

        rng, trials = np.random.default_rng(SEED), hyperopt.Trials()
        fitting = [values for values in before if abs(values["x"]) <= 1]
        for values in fitting:
            mapped = {**values, "optimizer": ["adam", "sgd"].index(values["optimizer"])}
            insert(
                trials, mapped, loss_of(values["x"], mapped.get("optimizer.sgd.lr"), mapped.get("optimizer.adam.beta"))
            )
        known = len(fitting)
        fmin(algorithm, trials, known + RANDOM + AFTER, rng, known, theirs)
        assert 0 < known < BEFORE
        ours = [{**values, "optimizer": ["adam", "sgd"].index(values["optimizer"])} for values in seen]
        assert ours == [pytest.approx(point, rel=1e-12) for point in drawn(trials)[known:]]
        await stage.optimizer.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)
