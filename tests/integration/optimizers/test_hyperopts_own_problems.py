"""The problems with which hyperopt tests itself: the quick engine goes through them as `fmin` does.

After `hyperopt/tests/unit/test_domains.py` (hyperopt 0.3.0), written anew; they use expressions that no `bough.yml` can
write, such as one variable in two branches. Losses are computed from the drawn variables, noise included.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import hyperopt
import numpy as np
import pytest
from hyperopt import anneal, fmin, hp, pyll, rand, tpe
from hyperopt.base import Domain

from bough_server.optimizers.hyperopt_search import ANNEALING, RANDOM, TPE, Quick, engine_of
from bough_server.optimizers.seeds import seed_of_ask

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
TRIALS, SEED, INITIAL_RANDOM = 200 if os.environ.get("BOUGH_PARITY") else 80, 5, 20
scope: Any = pyll.scope  # its functions are made at run time


def quadratic1() -> Any:
    return (hp.uniform("x", -5, 5) - 3) ** 2


def q1_choice() -> Any:
    found = hp.choice("o_x", [(-3, hp.uniform("x_neg", -5, 5)), (3, hp.uniform("x_pos", -5, 5))])
    return (found[0] - found[1]) ** 2


def q1_lognormal() -> Any:
    return scope.min(0.1 * (hp.lognormal("x", 0, 2) - 10) ** 2, 10)


def n_arms() -> Any:
    arm = hp.choice("x", [0, 1])
    return scope.normal(scope.switch(arm, -1, 0), 1, rng=np.random.default_rng(123))


def distractor() -> Any:
    x = hp.uniform("x", -15, 15)
    return -1 / (1 + scope.exp(-x)) - 2 * scope.exp(-((x + 10) ** 2))


def gauss_wave() -> Any:
    x = hp.uniform("x", -20, 20)
    t = hp.choice("curve", [x, x + np.pi])
    return -(scope.sin(t) + 2 * scope.exp(-((t / 5) ** 2)))


def gauss_wave2() -> Any:
    x, amp = hp.uniform("x", -20, 20), hp.uniform("amp", 0, 1)
    t = scope.normal(0, 0.1, rng=np.random.default_rng(123)) + 2 * scope.exp(-((x / 5) ** 2))
    return -hp.choice("hf", [t, t + scope.sin(x) * amp])


def many_dists() -> Any:
    z = (
        hp.choice("a", [0, 1, 2]) + hp.randint("b", 10) + hp.randint("bb", 12, 25) + hp.uniform("c", 4, 7)
        + hp.loguniform("d", -2, 0) + hp.quniform("e", 0, 10, 3) + hp.qloguniform("f", 0, 3, 2)
        + hp.normal("g", 4, 7) + hp.lognormal("h", -2, 2) + hp.qnormal("i", 0, 10, 2) + hp.qlognormal("j", 0, 2, 1)
        + hp.pchoice("k", [(0.1, 0), (0.9, 1)])
    )  # fmt: skip
    return scope.float(scope.log(1e-12 + z**2))


def branin() -> Any:
    x, y = hp.uniform("x", -5.0, 10.0), hp.uniform("y", 0.0, 15.0)
    bend = (y - (5.1 / (4 * np.pi**2)) * x**2 + 5 * x / np.pi - 6) ** 2
    return bend + 10 * (1 - 1 / (8 * np.pi)) * scope.cos(x) + 10


def some_fail() -> Any:
    """A coin flip too: what fails carries no loss."""
    return hp.choice("flip", [hp.quniform("q", 0, 6, 2) - 2, hp.normal("n", 0, 1)])


PROBLEMS = [
    quadratic1, q1_choice, q1_lognormal, n_arms, distractor, gauss_wave, gauss_wave2, many_dists, branin, some_fail,
]  # fmt: skip
SUGGEST = {
    RANDOM: rand.suggest,
    TPE: partial(tpe.suggest, n_startup_jobs=INITIAL_RANDOM),
    ANNEALING: anneal.suggest,
}


@pytest.mark.parametrize("algorithm", [RANDOM, TPE, ANNEALING])
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.__name__)
def test_eighty_trials_are_those_of_fmin(problem: Callable[[], Any], algorithm: str) -> None:
    trials = hyperopt.Trials()
    fmin(
        lambda loss: {"status": "fail"} if loss == 0 else {"status": "ok", "loss": float(loss)},
        problem(), SUGGEST[algorithm], TRIALS, trials=trials, rstate=np.random.default_rng(SEED),
        show_progressbar=False, verbose=False, return_argmin=False,
    )  # fmt: skip
    engine = engine_of(Domain(None, problem()))
    assert isinstance(engine, Quick)

    for number, document in enumerate(trials.trials):
        chosen = RANDOM if algorithm == TPE and number < INITIAL_RANDOM else algorithm
        vals = engine.suggest(chosen, number, seed_of_ask(SEED, number))

        expected = document["misc"]["vals"]
        assert {name: list(found) for name, found in vals.items()} == {name: list(v) for name, v in expected.items()}
        engine.tell(number, vals, document["result"].get("loss"))
    assert len(trials.trials) == TRIALS
