"""Drives hyperopt's `suggest` functions from stored outcomes, so that the points are those of `hyperopt.fmin`.

Trial ids are made from our own ask numbers, one id per suggestion; failures are told without a loss; nothing is run
here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hyperopt import Trials
from hyperopt.base import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Domain

from bough.definition import Space
from bough_server.optimizers.base import Outcome, Value
from bough_server.optimizers.hyperopt_space import drawn_in, found_in, hyperopt_space

Suggest = Callable[..., list[dict[str, Any]]]
Choose = Callable[[int, int], Suggest]  # (number of this ask, outcomes known) → a suggest function of hyperopt
_BETWEEN = 2**20  # so many outcomes that were not asked for have a place between two asks


class HyperoptSearch:
    """An `Optimizer` that lets `choose` pick hyperopt's suggest function for each ask."""

    def __init__(self, space: Space, choose: Choose) -> None:
        self._space = space
        self._choose = choose
        self._domain = Domain(None, hyperopt_space(space))
        self._trials = Trials()
        self._told = 0  # outcomes of the history that are in self._trials, or could not be
        self._unasked = 0  # of those that are, how many nobody had asked for

    def ask(self, history: Sequence[Outcome], number: int, seed: int) -> dict[str, Value]:
        """Return the values hyperopt suggests for ask `number`; see `Optimizer`."""
        self._tell(history[self._told :])
        # As fmin numbers it. Annealing adds this to the seed; ids of documents are only compared.
        suggest = self._choose(number, len(self._trials))
        (document,) = suggest([number + self._unasked], self._domain, self._trials, seed)
        return found_in(self._space, document["misc"]["vals"])

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        documents = [document for outcome in outcomes if (document := self._document(outcome)) is not None]
        if documents:
            self._trials.insert_trial_docs(documents)
            self._trials.refresh()
        self._told += len(outcomes)

    def _document(self, outcome: Outcome) -> dict[str, Any] | None:
        vals = drawn_in(self._space, outcome.values)
        if vals is None:
            return None
        tid = self._tid(outcome.number)
        idxs = {label: [tid] if drawn else [] for label, drawn in vals.items()}
        return {
            "state": JOB_STATE_DONE,
            "tid": tid,
            "spec": None,
            "result": _result(outcome.loss),
            "misc": {"tid": tid, "cmd": self._domain.cmd, "workdir": None, "idxs": idxs, "vals": vals},
            "exp_key": None,
            "owner": None,
            "version": 0,
            "book_time": None,
            "refresh_time": None,
        }

    def _tid(self, number: int) -> int:
        """Return the id of an outcome. hyperopt only compares ids: the lower the older, and old ones weigh less."""
        if number >= 0:
            return number * _BETWEEN
        self._unasked += 1
        return (-number - 2) * _BETWEEN + self._unasked


def _result(loss: float | None) -> dict[str, Any]:
    """A failure must carry no loss: hyperopt would use it, and drops a NaN silently."""
    if loss is None or not math.isfinite(loss):
        return {"status": STATUS_FAIL}
    return {"status": STATUS_OK, "loss": loss}
