"""hyperopt's tpe from columns instead of documents: the same draws and the same answer as `hyperopt.tpe.suggest`.

The graph in which hyperopt evaluates a space is followed once and written down as a program. In it each random variable
is one step: estimate, draw, compare. A label that is not active costs nothing, and what is drawn is drawn in hyperopt's
order. (Bergstra, Bardenet, Bengio & Kégl 2011, "Algorithms for Hyper-Parameter Optimization", §4.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hyperopt import pyll
from hyperopt.base import Domain

from bough_server.optimizers import parzen
from bough_server.optimizers.columns import Array, Columns, Ordered

CANDIDATES, GAMMA, PRIOR_WEIGHT = 24, 0.25, 1.0  # hyperopt's own settings

Vals = dict[str, list[Any]]


class Unsupported(Exception):
    """A space that only hyperopt itself can evaluate."""


@dataclass(frozen=True)
class Step:
    """One evaluation: the places of its arguments, and where its result goes."""

    call: Callable[..., Any] | str  # a name: the label whose posterior is to be drawn from
    kind: str
    args: tuple[int, ...]
    named: tuple[tuple[str, int], ...]
    into: int


class QuickTpe:
    """Answers as `hyperopt.tpe.suggest` does with no warm-up and otherwise its own settings.

    Args:
        domain: The space.

    Raises:
        Unsupported: The space has something that this does not know; hyperopt itself may.
    """

    def __init__(self, domain: Domain) -> None:
        self._labels = {node: label for label, node in domain.vh.vals_by_label().items()}
        self._offsets = {label: _offset(node) for label, node in domain.params.items()}
        idxs, vals = domain.vh.idxs_by_label(), domain.vh.vals_by_label()
        top = pyll.as_apply([idxs, vals])
        self._places: dict[Any, int] = {}
        self._constants: dict[int, Any] = {}
        self._ids, self._rng = self._place(domain.s_new_ids), self._place(domain.s_rng)
        self._steps = self._program(top, {domain.s_new_ids, domain.s_rng})
        self._idxs = {label: self._places[node] for label, node in idxs.items()}
        self._vals = {label: self._places[node] for label, node in vals.items()}

    def __call__(self, number: int, columns: Columns, seed: int) -> Vals:
        """Return the `vals` of the next document: label → list of at most one number.

        Args:
            number: What hyperopt would call the new document's id: it is drawn for ids above it.
            columns: What is known, at least one trial.
            seed: Of this ask.
        """
        known = columns.in_order()
        good = _good(known.losses)
        first = max(int(known.tids[-1]), number) + 2
        cells: list[Any] = [None] * len(self._places)
        for place, value in self._constants.items():
            cells[place] = value
        cells[self._ids] = list(range(first, first + CANDIDATES))
        cells[self._rng] = np.random.default_rng(seed)
        for step in self._steps:
            args = [cells[place] for place in step.args]
            named = {name: cells[place] for name, place in step.named}
            if isinstance(step.call, str):
                cells[step.into] = self._best(step.call, step.kind, known, good, args, **named)
            else:
                cells[step.into] = step.call(*args, **named)
        return {label: self._first(label, first, cells) for label in self._vals}

    def _first(self, label: str, first: int, cells: list[Any]) -> list[Any]:
        """Return what the first candidate has of a label; all have the same."""
        idxs, vals = cells[self._idxs[label]], cells[self._vals[label]]
        drawn = [value for place, value in zip(idxs, vals, strict=True) if place == first]
        offset = self._offsets[label]
        return drawn if offset is None else [value + offset for value in drawn]

    # -- the program --
    def _place(self, node: Any) -> int:
        return self._places.setdefault(node, len(self._places))

    def _program(self, top: Any, given: set[Any]) -> list[Step]:
        """Return the steps in the order in which `pyll.rec_eval` takes them."""
        steps: list[Step] = []
        done = set(given)
        todo = [top]
        while todo:
            node = todo.pop()
            if node in done:
                continue
            if isinstance(node, pyll.Literal):
                self._constants[self._place(node)] = node.obj
            elif waiting := [one for one in node.inputs() if one not in done]:
                todo += [node, *waiting]
                continue
            elif node is not top:
                steps.append(self._step(node))
            done.add(node)
        return steps

    def _step(self, node: Any) -> Step:
        label = self._labels.get(node)
        if node.name == "switch" or (label is not None and node.name not in _POSTERIORS):
            raise Unsupported(node.name)
        call = label if label is not None else pyll.scope._impls[node.name]
        args = tuple(self._place(one) for one in node.pos_args)
        named = tuple((name, self._place(one)) for name, one in node.named_args)
        return Step(call, node.name, args, named, self._place(node))

    def _best(
        self, label: str, kind: str, known: Ordered, good: Array, args: list[Any], *, size: Any, rng: Any, **more: Any
    ) -> list[Any]:
        """Return the best of ``size`` draws for a label, that often: `broadcast_best`."""
        if size == 0:
            return []
        rows, values = known.column(label)
        is_good = good[rows]
        candidates, below, above = _POSTERIORS[kind](values[is_good], values[~is_good], rng, size, *args, **more)
        return [candidates[np.argmax(below - above)]] * size


def _offset(node: Any) -> int | None:
    """Return what hyperopt adds again to the draws of a randint with two bounds."""
    return node.pos_args[0].obj if node.name == "randint" and len(node.pos_args) == 2 else None


def _good(losses: Array) -> Array:
    """Return which trials are the best few, shape of ``losses``: `ap_split_trials`."""
    few = min(int(np.ceil(GAMMA * np.sqrt(len(losses)))), parzen.FORGETTING)
    is_good = np.zeros(len(losses), bool)
    is_good[np.argsort(losses)[:few]] = True
    return is_good


# -- one posterior per distribution: (good, bad, rng, size, *prior) → candidates and their two log densities ----------
Compared = tuple[Array, Array, Array]


def _normals(
    good: Array, bad: Array, rng: Any, size: int, mu: float, sigma: float, q: float | None = None,
    low: float | None = None, high: float | None = None,
) -> Compared:  # fmt: skip
    below, above = (parzen.mixture(seen, PRIOR_WEIGHT, mu, sigma) for seen in (good, bad))
    drawn = parzen.draw(rng, size, below, low, high)
    if q is None:
        one, other = (parzen.normal_log_density(drawn, of, low, high) for of in (below, above))
    else:
        drawn = np.round(drawn / q) * q
        one, other = (parzen.normal_log_mass(drawn, of, low, high, q) for of in (below, above))
    return drawn, one, other


def _uniform(good: Array, bad: Array, rng: Any, size: int, low: float, high: float, q: float | None = None) -> Compared:
    return _normals(good, bad, rng, size, 0.5 * (high + low), 1.0 * (high - low), q, low, high)


def _lognormals(
    good: Array, bad: Array, rng: Any, size: int, mu: float, sigma: float, q: float | None = None,
    low: float | None = None, high: float | None = None,
) -> Compared:  # fmt: skip
    below, above = (parzen.mixture(np.log(seen), PRIOR_WEIGHT, mu, sigma) for seen in (good, bad))
    drawn = parzen.draw(rng, size, below, low, high)
    drawn = np.asarray([np.exp(one) for one in drawn]) if low is not None else np.exp(drawn)
    if q is None:
        one, other = (parzen.lognormal_log_density(drawn, of) for of in (below, above))
    else:
        drawn = np.round(drawn / q) * q
        one, other = (parzen.lognormal_log_mass(drawn, of, low, high, q) for of in (below, above))
    return drawn, one, other


def _qlognormal(good: Array, bad: Array, rng: Any, size: int, mu: float, sigma: float, q: float) -> Compared:
    good, bad = (np.maximum(seen, parzen.EPS) for seen in (good, bad))
    return _lognormals(good, bad, rng, size, mu, sigma, q)


def _loguniform(good: Array, bad: Array, rng: Any, size: int, low: float, high: float) -> Compared:
    return _lognormals(good, bad, rng, size, 0.5 * (high + low), 1.0 * (high - low), None, low, high)


def _qloguniform(good: Array, bad: Array, rng: Any, size: int, low: float, high: float, q: float) -> Compared:
    least = np.maximum(parzen.EPS, np.exp(low))  # what was rounded below the lower bound
    good, bad = (np.maximum(seen, least) for seen in (good, bad))
    return _lognormals(good, bad, rng, size, 0.5 * (high + low), 1.0 * (high - low), q, low, high)


def _randint(good: Array, bad: Array, rng: Any, size: int, low: int, high: int | None = None) -> Compared:
    count, offset = (low, 0) if high is None else (high - low, low)
    return _categories(rng, size, *(_counted(seen, offset, count) + PRIOR_WEIGHT for seen in (good, bad)))


def _categorical(good: Array, bad: Array, rng: Any, size: int, p: Any) -> Compared:
    p = p[0] if p.ndim == 2 else p
    return _categories(rng, size, *(_counted(seen, 0, len(p)) + p.size * (PRIOR_WEIGHT * p) for seen in (good, bad)))


def _counted(seen: Array, offset: int, count: int) -> Array:
    return np.bincount(np.asarray(seen, int) - offset, parzen.forgetting_weights(len(seen)), count)


def _categories(rng: Any, size: int, good: Array, bad: Array) -> Compared:
    below, above = (counts / np.sum(counts) for counts in (good, bad))
    drawn = np.dot(rng.multinomial(n=1, pvals=below, size=size), np.arange(len(below)))
    return drawn, np.log(below)[drawn], np.log(above)[drawn]


_POSTERIORS: Mapping[str, Callable[..., Compared]] = {
    "uniform": _uniform,
    "quniform": _uniform,
    "loguniform": _loguniform,
    "qloguniform": _qloguniform,
    "normal": _normals,
    "qnormal": _normals,
    "lognormal": _lognormals,
    "qlognormal": _qlognormal,
    "randint": _randint,
    "categorical": _categorical,
}
