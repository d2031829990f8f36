"""A history as arrays: for each label of a space its values and the trials that have them, in the order of ids.

hyperopt's documents say the same in dictionaries; at ten thousand trials these alone cost an ask a tenth of a second
and the worker fifty megabytes. Ids come in any order, for trials end in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Column:
    """The values of one label, in the order in which they were told, and the trial of each; both grow."""

    def __init__(self) -> None:
        self._values: Array = np.empty(16)
        self._rows: NDArray[np.int64] = np.empty(16, np.int64)
        self._n = 0

    def append(self, row: int, value: float) -> None:
        """Add the value that trial number ``row`` (in the order of telling) has."""
        if self._n == 0 and isinstance(value, Integral):
            self._values = np.empty(16, np.int64)  # of one label, all are whole or none is
        if self._n == len(self._rows):
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._values[self._n], self._rows[self._n] = value, row
        self._n += 1

    def ordered(self, rank: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], Array]:
        """Return positions and values in the order of ids. Of ``rank``: place of each row, None where it is the row."""
        rows, values = self._rows[: self._n], self._values[: self._n]
        if rank is None:
            return rows, values
        positions = rank[rows]
        order = np.argsort(positions, kind="stable")
        return positions[order], values[order]


class Columns:
    """What hyperopt's algorithms look at: the ids and losses of trials, and the values of each label.

    Args:
        labels: All labels of the space.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._columns = {label: Column() for label in labels}
        self._tids: list[int] = []
        self._losses: list[float] = []

    def __len__(self) -> int:
        return len(self._tids)

    def append(self, tid: int, loss: float | None, vals: Mapping[str, Sequence[float]]) -> None:
        """Add a trial: its id, which no other has; its loss, None if it failed; a list of at most one value a label."""
        row = len(self._tids)
        self._tids.append(tid)
        self._losses.append(float("inf") if loss is None else float(loss))
        for label, drawn in vals.items():
            if drawn:
                self._columns[label].append(row, drawn[0])

    def in_order(self) -> Ordered:
        """Return everything in the order of ids, as it is now."""
        tids, losses = np.array(self._tids, np.int64), np.array(self._losses)
        if np.all(tids[1:] > tids[:-1]):
            return Ordered(self._columns, tids, losses, None)
        order = np.argsort(tids, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return Ordered(self._columns, tids[order], losses[order], rank)


class Ordered:
    """`Columns` in the order of ids.

    Attributes:
        tids: Ids, rising, shape (n,).
        losses: Of these trials, inf where one failed, shape (n,).
    """

    def __init__(
        self, columns: Mapping[str, Column], tids: NDArray[np.int64], losses: Array, rank: NDArray[np.int64] | None
    ) -> None:
        self.tids, self.losses = tids, losses
        self._columns, self._rank = columns, rank
        self._known: dict[str, tuple[NDArray[np.int64], Array]] = {}

    def column(self, label: str) -> tuple[NDArray[np.int64], Array]:
        """Return the places in `tids` of the trials that have the label, rising, and their values; shape (m,) each."""
        if label not in self._known:
            self._known[label] = self._columns[label].ordered(self._rank)
        return self._known[label]
