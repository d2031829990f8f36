"""A forest of regression trees over the unit cube, and what shares of its variance belong to which coordinates.

Functional ANOVA: Hooker 2007, "Generalized Functional ANOVA Diagnostics"; exactly, on the leaves of random forests:
Hutter, Hoos & Leyton-Brown 2014, "An Efficient Approach for Assessing Hyperparameter Importance", §4. The coordinates
are independent and uniform (`unit_scale`), so that the measure of a box is its volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

Array = NDArray[np.float64]

TREES = 64
ROWS = 4000  # of the sample that one tree is grown on: bounds the time at any number of trials
LEAF = 3  # trials in a leaf at least: single outliers make no interactions
CELLS_MOST = 2_000_000  # of the grid on which a marginal is integrated


@dataclass(frozen=True)
class Boxes:
    """The leaves of one tree.

    Attributes:
        low: Lower corners, shape (leaves, coordinates).
        high: Upper corners, the same.
        y: Predictions, shape (leaves,).
    """

    low: Array
    high: Array
    y: Array

    @property
    def mean(self) -> float:
        """The mean over the cube."""
        return float((self.y * (self.high - self.low).prod(axis=1)).sum())

    @property
    def variance(self) -> float:
        """The variance over the cube."""
        return float((((self.y - self.mean) ** 2) * (self.high - self.low).prod(axis=1)).sum())

    def closed_variance(self, coordinates: Sequence[int]) -> float:
        """Return the variance of the marginal over these coordinates, all others being averaged out.

        The marginal is constant between neighbouring corners; it is summed up from the leaves by differences, as an
        integral image is.

        Raises:
            MemoryError: The grid of corners has more than `CELLS_MOST` cells.
        """
        chosen = list(coordinates)
        others = np.delete(np.arange(self.low.shape[1]), chosen)
        weight = self.y * (self.high - self.low)[:, others].prod(axis=1)
        edges = [np.unique(np.concatenate([self.low[:, i], self.high[:, i]])) for i in chosen]
        shape = [len(one) for one in edges]
        if np.prod(shape) > CELLS_MOST:
            raise MemoryError(f"{shape} cells")
        corners = [
            (np.searchsorted(edge, self.low[:, i]), np.searchsorted(edge, self.high[:, i]))
            for edge, i in zip(edges, chosen, strict=True)
        ]
        grid = np.zeros(shape)
        for which in np.ndindex(*(2 for _ in chosen)):
            at = tuple(corner[side] for corner, side in zip(corners, which, strict=True))
            np.add.at(grid, at, weight if sum(which) % 2 == 0 else -weight)
        volume: Any = 1.0
        for axis, edge in enumerate(edges):
            grid = np.cumsum(grid, axis=axis).take(range(len(edge) - 1), axis=axis)
            widths = np.diff(edge).reshape([-1 if i == axis else 1 for i in range(len(edges))])
            volume = volume * widths
        return float((((grid - self.mean) ** 2) * volume).sum())


class Forest:
    """Trees over `x`, each on a sample of its own in which coordinates that are not active are drawn at random.

    A coordinate that is not active has no influence; drawn at random and anew for each tree it tells nothing, neither
    that it is not active: what makes it so keeps that.

    Args:
        x: Shape (n, coordinates), from 0 to 1, nan where not active.
        y: Shape (n,).
        cells: For each coordinate the edges of its cells where its values are finite, else None.
        rng: Draws samples.

    Attributes:
        trees: Boxes of those trees that found anything.
        explained: Share of the variance of y that trees predict that did not see it (R², out of bag); may be below 0.
    """

    def __init__(self, x: Array, y: Array, cells: Sequence[Array | None], rng: np.random.Generator) -> None:
        self.trees: list[Boxes] = []
        summed, seen = np.zeros(len(y)), np.zeros(len(y))
        for _ in range(TREES):
            filled = np.where(np.isnan(x), rng.random(x.shape), x)
            rows = rng.integers(len(y), size=min(len(y), ROWS))
            some = max(1, round(0.7 * x.shape[1]))
            tree = DecisionTreeRegressor(
                min_samples_leaf=LEAF, max_features=some, random_state=int(rng.integers(2**31))
            ).fit(filled[rows], y[rows])
            unseen = np.ones(len(y), bool)
            unseen[rows] = False
            if unseen.any():
                summed[unseen] += tree.predict(filled[unseen])
                seen[unseen] += 1
            found = boxes(tree.tree_, x.shape[1], cells)
            if found.variance > 0:
                self.trees.append(found)
        was_seen = seen > 0
        error = (y[was_seen] - summed[was_seen] / seen[was_seen]) ** 2
        spread = (y[was_seen] - y.mean()) ** 2
        self.explained = 1 - float(error.sum() / spread.sum()) if spread.sum() > 0 else 0.0


def boxes(tree: Any, coordinates: int, cells: Sequence[Array | None]) -> Boxes:
    """Return the leaves of scikit-learn's tree; a bound between two cells of a coordinate is put on their edge."""
    low, high, y = [], [], []
    todo = [(0, np.zeros(coordinates), np.ones(coordinates))]
    while todo:
        node, below, above = todo.pop()
        if tree.children_left[node] < 0:
            low.append(below)
            high.append(above)
            y.append(float(tree.value[node].ravel()[0]))
            continue
        i = tree.feature[node]
        cut = _on_edge(float(tree.threshold[node]), cells[i])
        left, right = above.copy(), below.copy()
        left[i], right[i] = min(cut, above[i]), max(cut, below[i])
        todo += [(tree.children_left[node], below, left), (tree.children_right[node], right, above)]
    return Boxes(np.array(low), np.array(high), np.array(y))


def _on_edge(cut: float, edges: Array | None) -> float:
    """Return the edge nearest to the cut among those that part the same cell middles; the cut where there are none."""
    if edges is None:
        return min(max(cut, 0.0), 1.0)
    middles = (edges[1:] + edges[:-1]) / 2
    return float(edges[np.searchsorted(middles, cut)])
