"""The searches of `hyperopt.fmin` that ours are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import hyperopt
import numpy as np
from hyperopt.base import JOB_STATE_DONE

from bough.definition import Space
from bough_server.optimizers.base import Outcome, Value
from bough_server.optimizers.hyperopt_space import drawn_in, found_in, hyperopt_space

Loss = Callable[[Mapping[str, Value]], float | None]


def algorithms(initial_random: int) -> dict[str, Any]:
    """Return hyperopt's own, by our names."""
    tpe = partial(hyperopt.tpe.suggest, n_startup_jobs=initial_random)
    return {"random": hyperopt.rand.suggest, "tpe": tpe, "annealing": hyperopt.anneal.suggest}


def values_of_fmin(
    space: Space, suggest: Any, loss: Loss, seed: int, count: int, before: Sequence[Outcome] = ()
) -> list[dict[str, Value]]:
    """Return the complete values of ``count`` trials of `fmin`.

    Args:
        space: Searched.
        suggest: hyperopt's algorithm.
        loss: None: the trial fails.
        seed: Of the generator, from which as many draws are taken as there are trials before.
        count: Of trials.
        before: Trials of an earlier version of the space; those that this one could not have drawn are left out.
    """
    found: list[dict[str, Value]] = []

    def objective(expr: Any, memo: Any, ctrl: Any) -> dict[str, Any]:
        found.append(space.complete(found_in(space, ctrl.current_trial["misc"]["vals"])))
        return result(loss(found[-1]))

    objective.fmin_pass_expr_memo_ctrl = True  # type: ignore[attr-defined]  # pyright: ignore
    rstate = np.random.default_rng(seed)
    rstate.integers(2**31 - 1, size=len(before))
    trials = mapped(space, before)
    hyperopt.fmin(
        objective, hyperopt_space(space), suggest, len(trials) + count, trials=trials, rstate=rstate,
        show_progressbar=False, verbose=False, return_argmin=False,
    )  # fmt: skip
    return found


def result(loss: float | None) -> dict[str, Any]:
    return {"status": "fail"} if loss is None else {"status": "ok", "loss": loss}


def mapped(space: Space, before: Sequence[Outcome]) -> hyperopt.Trials:
    """Return the documents of earlier trials in the words of this space; ids of those left out are not given again."""
    trials = hyperopt.Trials()
    for outcome in before:
        vals = drawn_in(space, outcome.values)
        if vals is not None:
            tid = outcome.number
            idxs = {label: [tid] if drawn else [] for label, drawn in vals.items()}
            misc = {"tid": tid, "cmd": ("domain_attachment", "FMinIter_Domain"), "idxs": idxs, "vals": vals}
            (document,) = trials.new_trial_docs([tid], [None], [result(outcome.loss)], [misc])
            trials.insert_trial_doc({**document, "state": JOB_STATE_DONE})
    trials.refresh()
    trials._ids.update(range(len(before)))
    return trials
