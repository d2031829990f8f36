"""Asking once more for other values: what to ask when the answer was tried before.

Promises: a try depends on the ask and its number alone, so that a replay needs nothing but that number. The first tries
are the algorithm's own, with other seeds; the later ones are drawn at random; below 0 are points of a finite space by
their number.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bough.definition import Space
from bough.definition.grid import grid_point
from bough_server.optimizers.base import Ask, Value

OWN_TRIES = 4  # of the algorithm itself
TRIES = 8  # those and the random ones


def ask_again(ask: Ask, again: int) -> Ask:
    """Return the ask whose answer is try number ``again`` of ``ask``, from 0, which is ``ask`` itself."""
    if again <= 0:
        return ask
    seed = int(np.random.default_rng([ask.seed, again]).integers(2**31 - 1))
    if again < OWN_TRIES:
        return replace(ask, seed=seed)
    return replace(ask, optimization=ask.optimization + " at random", algorithm="random", seed=seed)


def counted_point(ask: Ask, again: int) -> dict[str, Value] | None:
    """Return the values of a try below 0: point ``-again - 1`` of the space, all of whose expressions are finite."""
    if again >= 0:
        return None
    space = Space.from_json(ask.space)
    return space.complete(grid_point(space, -again - 1))
