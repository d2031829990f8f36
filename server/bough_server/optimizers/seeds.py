"""The seed of each ask, as `hyperopt.fmin` would draw it."""

from __future__ import annotations

import numpy as np


def seed_of_ask(seed: int, number: int) -> int:
    """Return the seed of ask `number` (0-based): that draw of ``default_rng(seed).integers(2**31 - 1)``.

    One vector draw gives the same numbers as single draws, so that nothing but (seed, number) has to be stored.
    """
    return int(np.random.default_rng(seed).integers(2**31 - 1, size=number + 1)[-1])
