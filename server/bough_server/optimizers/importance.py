"""Which hyperparameters matter: shares of the variance of the KPI over the space, by functional ANOVA on a forest.

How conditional hyperparameters are treated. Hutter et al. (2014, see `forest`) set what is not active to its default;
Optuna leaves out what some trials lack. Here every coordinate has its own measure, and the function is extended to the
whole cube: it does not depend on a coordinate where that is not active. The share of a hyperparameter inside a choice
or an optional group is then its main effect together with its interactions with the groups that decide whether it is
active, for without these it has no meaning. For two branches of one choice with effects a and b, each chosen half of
the time, that is Var(a)/2 and Var(b)/2, and the choice keeps the variance of the branches' means.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bough.definition import Space
from bough_server.optimizers.base import Outcome
from bough_server.optimizers.forest import Boxes, Forest
from bough_server.optimizers.unit_scale import cells, places

LEAST = 10  # trials below which nothing is said
FEW = 5  # trials per hyperparameter below which it is said that they are few
PAIRS_OF = 6  # the most important ones are looked at in pairs
ANCESTORS_MOST = 2  # groups around a hyperparameter that are looked at together with it
WEAK = 0.5  # explained variance below which the figures are called rough

Found = dict[str, Any]


def importance(space: Space, history: Sequence[Outcome], seed: int = 0) -> Found:
    """Return what `GET /optimizations/{id}/importance` says of the search, without whose search it is.

    Args:
        space: As it is searched now; trials that do not fit it are left out.
        history: Trials that ended; failures are left out.
        seed: Of the forest: the same history gives the same figures.

    Returns:
        ``{"trials", "failed", "left_out", "explained", "parameters": [{"path", "importance", "spread", "given"}],
        "interactions": [{"paths", "importance", "spread"}], "warnings", "reason"}``. ``importance`` is a share of the
        variance, 0 to 1; ``spread`` its standard deviation over the trees; ``given`` the groups that it was taken
        together with. ``reason`` is None, or a sentence why there are no figures.
    """
    fitting = [one for one in history if space.misfit(one.values) is None]
    used = [one for one in fitting if one.loss is not None and math.isfinite(one.loss)]
    told: Found = {
        "trials": len(used),
        "failed": len(fitting) - len(used),
        "left_out": len(history) - len(fitting),
        "explained": None,
        "parameters": [],
        "interactions": [],
        "warnings": [],
        "reason": _unsayable(space, used),
    }
    return told if told["reason"] else {**told, **_figures(space, used, seed)}


def _unsayable(space: Space, used: Sequence[Outcome]) -> str | None:
    if len(used) < LEAST:
        trials = "1 trial has" if len(used) == 1 else f"{len(used)} trials have"
        return f"{trials} a result, and importance takes at least {LEAST}."
    losses = {one.loss for one in used}
    if len(losses) == 1:
        return f"all {len(used)} trials have the same KPI: nothing makes a difference."
    if not any(_varies(space, path) for path in space.searched):
        return "the space has one point: nothing can make a difference."
    return None


def _varies(space: Space, path: str) -> bool:
    return space.searched[path].count != 1


def _figures(space: Space, used: Sequence[Outcome], seed: int) -> Found:
    paths = list(space.searched)
    x = places(space, [space.drawn(one.values)[0] for one in used])
    y = np.array([one.loss for one in used], float)
    forest = Forest(x, y, [cells(space.searched[path]) for path in paths], np.random.default_rng(seed))
    warnings = _warnings(len(used), len(paths), forest.explained)
    if not forest.trees:
        return {"explained": forest.explained, "warnings": warnings, "reason": "no tree found any difference."}
    given = {path: _ancestors(paths, path) for path in paths}
    shares = {path: [_share(tree, paths, path, given[path]) for tree in forest.trees] for path in paths}
    parameters: list[Found] = [{"path": path, **_summed(shares[path]), "given": given[path]} for path in paths]
    parameters.sort(key=lambda one: -float(one["importance"]))
    top = [str(one["path"]) for one in parameters[:PAIRS_OF] if one["importance"] > 0]
    interactions = list(_interactions(forest, paths, top, given))
    return {
        "explained": forest.explained,
        "parameters": parameters,
        "interactions": sorted(interactions, key=lambda one: -float(one["importance"])),
        "warnings": warnings,
    }


def _warnings(trials: int, parameters: int, explained: float) -> list[str]:
    found = []
    if trials < FEW * parameters:
        found.append(f"{trials} trials are few for {parameters} hyperparameters: take the figures as hints.")
    if explained < WEAK:
        share = max(0, round(100 * explained))
        found.append(f"a forest predicts only {share} % of the variance between trials: the figures are rough.")
    return found


def _ancestors(paths: Sequence[str], path: str) -> list[str]:
    """Return the searched groups around a hyperparameter, the nearest first."""
    around = [one for one in paths if path.startswith(one + ".")]
    return sorted(around, key=len, reverse=True)[:ANCESTORS_MOST]


def _share(tree: Boxes, paths: Sequence[str], path: str, given: Sequence[str]) -> float:
    """Return what a hyperparameter adds to the groups around it, as a share of the tree's variance."""
    around = [paths.index(one) for one in given]
    without = tree.closed_variance(around) if around else 0.0
    return max(0.0, tree.closed_variance([paths.index(path), *around]) - without) / tree.variance


def _interactions(
    forest: Forest, paths: Sequence[str], top: Sequence[str], given: Mapping[str, Sequence[str]]
) -> Iterable[Found]:
    """Yield the shares of pairs alone; what a hyperparameter shares with a group around it is its own already."""
    for one, other in itertools.combinations(top, 2):
        if one in given[other] or other in given[one]:
            continue
        pair = [paths.index(one), paths.index(other)]
        shares = []
        for tree in forest.trees:
            alone = sum(tree.closed_variance([i]) for i in pair)
            shares.append(max(0.0, tree.closed_variance(pair) - alone) / tree.variance)
        yield {"paths": [one, other], **_summed(shares)}


def _summed(shares: Sequence[float]) -> dict[str, float]:
    return {"importance": float(np.mean(shares)), "spread": float(np.std(shares))}
