"""Which algorithms there are, by the name that `optimization: algorithm:` gives them."""

from __future__ import annotations

from bough_server.optimizers import annealing, grid, random_search, tpe
from bough_server.optimizers.base import Maker

ALGORITHMS: dict[str, Maker] = {
    "random": random_search.make,
    "tpe": tpe.make,
    "annealing": annealing.make,
    "grid": grid.make,
}
