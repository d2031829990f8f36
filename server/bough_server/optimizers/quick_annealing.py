"""hyperopt's annealing from columns instead of documents: the same draws and the same answer as `anneal.suggest`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hyperopt import Trials
from hyperopt.algobase import SuggestAlgo
from hyperopt.anneal import AnnealingAlgo
from hyperopt.base import Domain

from bough_server.optimizers.columns import Columns

AVERAGE_RANK, SHRINKING = 2.0, 0.1  # hyperopt's own settings


class QuickAnnealing(AnnealingAlgo):  # type: ignore[misc]
    """One ask. What hyperopt looks up in lists and dictionaries is read from columns; everything else is its own."""

    def __init__(self, domain: Domain, columns: Columns, seed: int) -> None:
        SuggestAlgo.__init__(self, domain, _NONE, seed=seed)
        self.avg_best_idx, self.shrink_coef = AVERAGE_RANK, SHRINKING
        self.known = columns.in_order()
        self.node_vals = {label: self.known.column(label)[1] for label in domain.params}
        self.best_rows: list[int] = []

    def choose_ltv(self, label: str, size: int) -> tuple[Any, Any, Any]:
        """Return loss, place and value of the best trial chosen before, or of another good one."""
        rows, values = self.known.column(label)
        if size == 1:
            for row in self.best_rows:
                at = int(np.searchsorted(rows, row))
                if at < len(rows) and rows[at] == row:
                    return self.known.losses[row], row, values[at].item()
        losses = self.known.losses[rows]
        rank = self.rng.geometric(1 / self.avg_best_idx, size=size) - 1
        rank = np.clip(rank, 0, len(rows) - 1).astype("int32")
        picks = np.argsort(losses)[rank]
        if size == 1:
            self.best_rows.append(int(rows[picks][0]))
        return losses[picks], rows[picks], values[picks]


_NONE = Trials()


def suggest(domain: Domain, number: int, columns: Columns, seed: int) -> dict[str, list[Any]]:
    """Return the `vals` of the next document: label → list of at most one number. Arguments as of `QuickTpe`."""
    (document,) = QuickAnnealing(domain, columns, seed)(number)
    vals: dict[str, list[Any]] = document["misc"]["vals"]
    return vals
