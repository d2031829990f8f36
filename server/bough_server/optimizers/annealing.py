"""annealing: hyperopt's `anneal`, draws around good trials in a neighbourhood that shrinks."""

from __future__ import annotations

from bough.definition import Space
from bough_server.optimizers.base import Optimizer
from bough_server.optimizers.hyperopt_search import ANNEALING, HyperoptSearch


def make(space: Space, initial_random: int) -> Optimizer:
    """Return annealing over `space`; it begins by itself at random, so `initial_random` changes nothing."""
    return HyperoptSearch(space, lambda number, known: ANNEALING)
