"""Drives hyperopt from stored outcomes, so that the points are those of `hyperopt.fmin`.

Trial ids are made from our own ask numbers, one id per suggestion; failures are told without a loss; nothing is run
here. `Stock` is hyperopt as it is, on its documents; `Quick` gives the same answers, to the last bit, from columns.
``BOUGH_STOCK_HYPEROPT=1`` in the coordinator's environment, or another hyperopt than those in `COMPARED_WITH`,
chooses `Stock`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import hyperopt
from hyperopt import Trials, anneal, rand, tpe
from hyperopt.base import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Domain

from bough.definition import Space
from bough_server.optimizers.base import Outcome, Value
from bough_server.optimizers.columns import Columns
from bough_server.optimizers.hyperopt_space import drawn_in, found_in, hyperopt_space
from bough_server.optimizers.quick_annealing import suggest as quick_annealing
from bough_server.optimizers.quick_tpe import QuickTpe, Unsupported

RANDOM, TPE, ANNEALING = "random", "tpe", "annealing"
SWITCH = "BOUGH_STOCK_HYPEROPT"
COMPARED_WITH = ("0.3.0",)  # versions of hyperopt whose answers the tests compare with those of `Quick`
_BETWEEN = 2**20  # so many outcomes that were not asked for have a place between two asks

Choose = Callable[[int, int], str]  # (number of this ask, outcomes known) → RANDOM, TPE or ANNEALING
Vals = Mapping[str, Sequence[Any]]


class Engine(Protocol):
    """hyperopt's side of a search: it is told documents' contents and suggests those of the next one."""

    def __len__(self) -> int:
        """Return how many outcomes it knows."""
        ...

    def tell(self, tid: int, vals: Vals, loss: float | None) -> None:
        """Add an outcome under an id of its own; of ``vals`` every label is there, with at most one number."""
        ...

    def suggest(self, algorithm: str, number: int, seed: int) -> Vals:
        """Return the `vals` of document ``number``."""
        ...


class Stock:
    """An `Engine` that is hyperopt as it is."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._trials = Trials()
        self._new: list[dict[str, Any]] = []
        self._suggest = {
            RANDOM: rand.suggest,
            TPE: lambda *args: tpe.suggest(*args, n_startup_jobs=0, verbose=False),
            ANNEALING: anneal.suggest,
        }

    def __len__(self) -> int:
        return len(self._trials) + len(self._new)

    def tell(self, tid: int, vals: Vals, loss: float | None) -> None:
        """Add an outcome; see `Engine`."""
        idxs = {label: [tid] if drawn else [] for label, drawn in vals.items()}
        document = {
            "state": JOB_STATE_DONE,
            "tid": tid,
            "spec": None,
            # A failure must carry no loss: hyperopt would use it, and drops a NaN silently.
            "result": {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss},
            "misc": {"tid": tid, "cmd": self._domain.cmd, "workdir": None, "idxs": idxs, "vals": vals},
            "exp_key": None,
            "owner": None,
            "version": 0,
            "book_time": None,
            "refresh_time": None,
        }
        self._new.append(document)

    def suggest(self, algorithm: str, number: int, seed: int) -> Vals:
        """Return the next document's `vals`; see `Engine`."""
        if self._new:
            self._trials.insert_trial_docs(self._new)
            self._trials.refresh()
            self._new = []
        (document,) = self._suggest[algorithm]([number], self._domain, self._trials, seed)
        vals: Vals = document["misc"]["vals"]
        return vals


class Quick:
    """An `Engine` whose answers are those of `Stock`, many times sooner when much is known.

    Raises:
        Unsupported: By its making, for a space that only `Stock` can search.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._columns = Columns(domain.params)
        self._tpe = QuickTpe(domain)
        self._none = Trials()

    def __len__(self) -> int:
        return len(self._columns)

    def tell(self, tid: int, vals: Vals, loss: float | None) -> None:
        """Add an outcome; see `Engine`."""
        self._columns.append(tid, loss, vals)

    def suggest(self, algorithm: str, number: int, seed: int) -> Vals:
        """Return the next document's `vals`; see `Engine`."""
        if algorithm == TPE:
            return self._tpe(number, self._columns, seed)
        if algorithm == ANNEALING:
            return quick_annealing(self._domain, number, self._columns, seed)
        (document,) = rand.suggest([number], self._domain, self._none, seed)
        vals: Vals = document["misc"]["vals"]
        return vals


def engine_of(domain: Domain, is_stock: bool | None = None) -> Engine:
    """Return the engine for a space; None for ``is_stock``: as the environment and the version of hyperopt say."""
    if is_stock is None:
        is_stock = os.environ.get(SWITCH, "0") not in ("", "0") or hyperopt.__version__ not in COMPARED_WITH
    if is_stock:
        return Stock(domain)
    try:
        return Quick(domain)
    except Unsupported:
        return Stock(domain)


class HyperoptSearch:
    """An `Optimizer` that lets `choose` pick hyperopt's algorithm for each ask."""

    def __init__(self, space: Space, choose: Choose) -> None:
        self._space = space
        self._choose = choose
        self._engine = engine_of(Domain(None, hyperopt_space(space)))
        self._told = 0  # outcomes of the history that the engine knows, or cannot
        self._unasked = 0  # of those that it does, how many nobody had asked for

    def ask(self, history: Sequence[Outcome], number: int, seed: int) -> dict[str, Value]:
        """Return the values hyperopt suggests for ask `number`; see `Optimizer`."""
        for outcome in history[self._told :]:
            vals = drawn_in(self._space, outcome.values)
            if vals is not None:
                self._engine.tell(self._tid(outcome.number), vals, _finite(outcome.loss))
        self._told = len(history)
        algorithm = self._choose(number, len(self._engine))
        # As fmin numbers it. Annealing adds this to the seed; ids of documents are only compared.
        return found_in(self._space, self._engine.suggest(algorithm, number + self._unasked, seed))

    def _tid(self, number: int) -> int:
        """Return the id of an outcome. hyperopt only compares ids: the lower the older, and old ones weigh less."""
        if number >= 0:
            return number * _BETWEEN
        self._unasked += 1
        return (-number - 2) * _BETWEEN + self._unasked


def _finite(loss: float | None) -> float | None:
    return loss if loss is not None and math.isfinite(loss) else None
