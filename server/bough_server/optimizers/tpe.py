"""tpe: hyperopt's tree of Parzen estimators after a random warm-up.

(Bergstra, Bardenet, Bengio & Kégl 2011, "Algorithms for Hyper-Parameter Optimization", §4.)
"""

from __future__ import annotations

from bough.definition import Space
from bough_server.optimizers.base import Optimizer
from bough_server.optimizers.hyperopt_search import RANDOM, TPE, HyperoptSearch


def make(space: Space, initial_random: int) -> Optimizer:
    """Return tpe over `space`, random while the ask's number is below `initial_random`.

    hyperopt counts documents, which would restart the warm-up when an edit of the space drops some; the number of the
    ask does not. One after the other, the two rules are the same. Without any outcome there is nothing to model.
    """

    def choose(number: int, known: int) -> str:
        return RANDOM if number < initial_random or known == 0 else TPE

    return HyperoptSearch(space, choose)
