"""Which algorithms there are, by the name that `optimization: algorithm:` gives them."""

from __future__ import annotations

from importlib import import_module

from bough.definition import Space
from bough_server.optimizers import annealing, grid, random_search, tpe
from bough_server.optimizers.base import Maker, Optimizer
from bough_server.optimizers.extras import check_installed


def _of_optuna(algorithm: str, maker: str) -> Maker:
    """Return what makes it: Optuna is an extra, and imported when it is first asked for."""

    def make(space: Space, initial_random: int) -> Optimizer:
        check_installed(algorithm)
        makers = import_module("bough_server.optimizers.optuna_search")
        optimizer: Optimizer = getattr(makers, maker)(space, initial_random)
        return optimizer

    return make


ALGORITHMS: dict[str, Maker] = {
    "random": random_search.make,
    "tpe": tpe.make,
    "annealing": annealing.make,
    "grid": grid.make,
    "optuna-tpe": _of_optuna("optuna-tpe", "make_tpe"),
    "optuna-gp": _of_optuna("optuna-gp", "make_gp"),
    "optuna-cmaes": _of_optuna("optuna-cmaes", "make_cmaes"),
}
