"""The promise of the design: same seed, same points as `hyperopt.fmin`, failures and restarts included."""

from __future__ import annotations

import asyncio
import json
import math
import os
from functools import partial
from typing import Any

import hyperopt
import numpy as np
import pytest
from hyperopt import hp

from bough.definition import Space, parse
from bough_server.optimizers.client import Ask, OptimizerProcess, Outcome
from bough_server.optimizers.registry import ALGORITHMS
from bough_server.optimizers.seeds import seed_of_ask

Point = dict[str, Any]
INITIAL_RANDOM = 10
TRIALS = 200
NEW_PROCESS_AT = (12, 130)  # asks that a new process answers from what is stored

DEFINITION = parse(
    {
        "model": "me/everything",
        "command": "python train.py",
        "hyperparameters": {
            "batch": 32,
            "rate": 0.1,
            "steps": 0.175,
            "q": 0.5,
            "ql": 10.0,
            "n": 0.0,
            "qn": 0.0,
            "ln": 1.0,
            "qln": 1.0,
            "r1": 3,
            "r2": 5,
            "u": 3,
            "untouched": 7,
            "flag": True,
            "act": {"type": "choice_string", "choices": ["relu", "tanh", "gelu"], "default": "relu"},
            "size": {"type": "choice_number", "choices": [16, 32, 64]},
            "dense": {"type": "group", "optional": True, "children": {"neurons": 64, "dropout": 0.2}},
            "plain": {"inner": 0.5, "deeper": {"z": 0.5}},
            "opt": {
                "type": "choice_group",
                "default": "sgd",
                "choices": {
                    "sgd": {
                        "lr": 0.01,
                        "momentum": 0.9,
                        "decay": {"type": "choice_group", "choices": {"step": {"every": 10}, "none": {}}},
                    },
                    "adam": {"lr": 0.001},
                    "lbfgs": None,
                },
            },
        },
        "optimization": {
            "space": {
                "batch": "range(16, 128, 16)",
                "steps": "range(0, 0.5, 0.005)",
                "rate": "uniform(0, 1)",
                "q": "quniform(-1, 1, 0.1)",
                "ql": {"qloguniform": {"low": 1, "high": 1000, "q": 5}},
                "n": "normal(0, 1)",
                "qn": "qnormal(0, 5, 0.5)",
                "ln": "lognormal(0, 1)",
                "qln": "qlognormal(1, 1, 0.5)",
                "r1": "randint(7)",
                "r2": "randint(3, 9)",
                "u": "uniformint(1, 8)",
                "flag": "on_off",
                "act": "pchoice(relu=0.5, gelu=0.3, tanh=0.2)",
                "size": "choice",
                "dense": "on_off",
                "dense.neurons": "qloguniform(8, 256, 1)",
                "dense.dropout": "uniform(0, 0.5)",
                "plain.deeper.z": "uniform(0, 1)",
                "opt": "choice",
                "opt.sgd.lr": "loguniform(1e-4, 1)",
                "opt.sgd.decay": "choice",
                "opt.sgd.decay.step.every": "uniformint(1, 20)",
                "opt.adam.lr": "loguniform(1e-5, 1e-2)",
            }
        },
    }
)


def by_hand() -> Point:
    """The same space as a user of hyperopt would write it, every hyperparameter a number, a text or a dict."""
    ln = math.log
    return {
        "batch": hp.quniform("batch", -0.5, 7.5, 1),
        "steps": hp.quniform("steps", -0.5, 100.5, 1),
        "rate": hp.uniform("rate", 0, 1),
        "q": hp.quniform("q", -1, 1, 0.1),
        "ql": hp.qloguniform("ql", ln(1), ln(1000), 5),
        "n": hp.normal("n", 0, 1),
        "qn": hp.qnormal("qn", 0, 5, 0.5),
        "ln": hp.lognormal("ln", 0, 1),
        "qln": hp.qlognormal("qln", 1, 1, 0.5),
        "r1": hp.randint("r1", 7),
        "r2": hp.randint("r2", 3, 9),
        "u": hp.uniformint("u", 1, 8),
        "flag": hp.choice("flag", [False, True]),
        "act": hp.pchoice("act", [(0.5, "relu"), (0.3, "gelu"), (0.2, "tanh")]),
        "size": hp.choice("size", [16, 32, 64]),
        "dense": hp.choice(
            "dense",
            [
                {},
                {
                    "neurons": hp.qloguniform("dense.neurons", ln(8), ln(256), 1),
                    "dropout": hp.uniform("dense.dropout", 0, 0.5),
                },
            ],
        ),
        "plain": {"deeper": {"z": hp.uniform("plain.deeper.z", 0, 1)}},
        "opt": hp.choice(
            "opt",
            [
                {
                    "lr": hp.loguniform("opt.sgd.lr", ln(1e-4), ln(1)),
                    "decay": hp.choice(
                        "opt.sgd.decay", [{"every": hp.uniformint("opt.sgd.decay.step.every", 1, 20)}, {}]
                    ),
                },
                {"lr": hp.loguniform("opt.adam.lr", ln(1e-5), ln(1e-2))},
                {},
            ],
        ),
    }


def as_values(point: Point) -> Point:
    """Return a point of `by_hand` as bough's flat values."""
    values = {key: value for key, value in point.items() if key not in ("dense", "plain", "opt")}
    values["batch"] = 16 + 16 * round(point["batch"])
    values["steps"] = round(5 * point["steps"]) / 1000
    values.update({"untouched": 7, "plain.inner": 0.5, "plain.deeper.z": point["plain"]["deeper"]["z"]})
    dense, opt = point["dense"], point["opt"]
    values["dense"] = bool(dense)
    if dense:
        values.update({"dense.neurons": round(dense["neurons"]), "dense.dropout": dense["dropout"]})
    if "decay" in opt:
        values.update({"opt": "sgd", "opt.sgd.lr": opt["lr"], "opt.sgd.momentum": 0.9})
        values["opt.sgd.decay"] = "step" if opt["decay"] else "none"
        if opt["decay"]:
            values["opt.sgd.decay.step.every"] = opt["decay"]["every"]
    elif opt:
        values.update({"opt": "adam", "opt.adam.lr": opt["lr"]})
    else:
        values["opt"] = "lbfgs"
    return values


def loss_of(values: Point) -> float | None:
    """A bumpy objective; about one trial in eight fails, and one in eight diverges."""
    if values["r1"] >= 5:
        return None if values["r1"] == 6 else math.nan
    lr = float(values.get("opt.sgd.lr") or values.get("opt.adam.lr") or 0.5)
    return float(
        (values["rate"] - 0.3) ** 2
        + abs(math.log10(lr) + 2)
        + abs(values["batch"] - 64) / 100
        + abs(values["n"])
        + values["ln"] / 10
        + (0.0 if values["flag"] else 0.2)
        + values.get("dense.dropout", 0.1)
        + {"relu": 0.0, "gelu": 0.1, "tanh": 0.3}[values["act"]]
    )


def with_fmin(suggest: Any, seed: int) -> list[Point]:
    points: list[Point] = []

    def objective(point: Point) -> Point:
        values = as_values(point)
        points.append(values)
        loss = loss_of(values)
        return {"status": "ok", "loss": loss} if loss is not None and math.isfinite(loss) else {"status": "fail"}

    rstate = np.random.default_rng(seed)
    hyperopt.fmin(
        objective, by_hand(), algo=suggest, max_evals=TRIALS, rstate=rstate, show_progressbar=False, return_argmin=False
    )
    return points


async def with_bough(algorithm: str, seed: int) -> list[Point]:
    """Ask one by one; everything goes through JSON, and now and then a new process starts from that alone."""
    history: list[Outcome] = []
    process = OptimizerProcess()
    try:
        for number in range(TRIALS):
            if number in NEW_PROCESS_AT:
                await process.stop()
                process = OptimizerProcess()
                history = reread(history)
            space = json.loads(json.dumps(DEFINITION.space.to_json()))
            values = await process.ask(Ask("o", algorithm, space, history, number, seed, INITIAL_RANDOM))
            history.append(Outcome(number, values, loss_of(values)))
    finally:
        await process.stop()
    return [dict(outcome.values) for outcome in history]


def reread(history: list[Outcome]) -> list[Outcome]:
    """Return a history as it comes out of the store."""
    stored = json.dumps([[outcome.number, outcome.values, outcome.loss] for outcome in history])
    return [Outcome(*row) for row in json.loads(stored)]


def asked_anew(algorithm: str, points: list[Point], seed: int) -> dict[int, Point]:
    """Return what optimizers answer that are made for one ask each: the first forty, then every eighth, or all."""
    stored = reread([Outcome(number, point, loss_of(point)) for number, point in enumerate(points)])
    found: dict[int, Point] = {}
    for number in range(len(points)) if os.environ.get("BOUGH_PARITY") else [*range(40), *range(40, len(points), 8)]:
        space = Space.from_json(json.loads(json.dumps(DEFINITION.space.to_json())))
        optimizer = ALGORITHMS[algorithm](space, INITIAL_RANDOM)
        found[number] = space.complete(optimizer.ask(stored[:number], number, seed_of_ask(seed, number)))
    return found


# hyperopt takes the logarithm of a 0 that qloguniform drew, and goes on as it means to.
@pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning")
@pytest.mark.parametrize(
    ("algorithm", "suggest"),
    [
        ("random", hyperopt.rand.suggest),
        ("tpe", partial(hyperopt.tpe.suggest, n_startup_jobs=INITIAL_RANDOM)),
        ("annealing", hyperopt.anneal.suggest),
    ],
)
def test_two_hundred_trials_in_a_row_are_those_of_fmin(algorithm: str, suggest: Any) -> None:
    """With failures and diverged trials among them; in several processes, and with an optimizer of its own per ask."""
    expected = with_fmin(suggest, seed=1)

    points = asyncio.run(with_bough(algorithm, seed=1))

    assert points == expected
    losses = [loss_of(point) for point in points]
    assert losses.count(None) >= 5, "too few trials failed: this would prove less"
    assert sum(loss is not None and math.isnan(loss) for loss in losses) >= 5
    anew = asked_anew(algorithm, points, seed=1)
    assert anew == {number: expected[number] for number in anew}
