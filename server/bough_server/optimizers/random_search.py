"""random: every ask is an independent draw from the space."""

from __future__ import annotations

from bough.definition import Space
from bough_server.optimizers.base import Optimizer
from bough_server.optimizers.hyperopt_search import RANDOM, HyperoptSearch


def make(space: Space, initial_random: int) -> Optimizer:
    """Return random search over `space`; it has no warm-up, so `initial_random` changes nothing."""
    return HyperoptSearch(space, lambda number, known: RANDOM)
