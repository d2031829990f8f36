"""optuna-tpe, optuna-gp and optuna-cmaes: the samplers of Optuna, each with Optuna's own settings.

Each ask makes a study in memory from the history and seeds the sampler with the ask's own seed, so that the answer
depends on (history, number, seed) alone. Nothing is stored, and nothing but errors is logged. `range` and `quniform`
are whole positions on their grid, so that the values come out exact. What cannot be expressed in Optuna's distributions
was refused by `bough.definition.optuna_space`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna  # pyright: ignore[reportMissingImports]

from bough.definition import ChoiceGroup, Expression, Group, Parameter, Space
from bough_server.optimizers.base import Optimizer, Outcome, Value

Choose = Callable[[int, int], optuna.samplers.BaseSampler]  # (number, seed) of an ask → the sampler that answers it

optuna.logging.set_verbosity(optuna.logging.ERROR)


class OptunaSearch:
    """An `Optimizer` that lets `choose` make a sampler for each ask. The trials it keeps are a cache."""

    def __init__(self, space: Space, choose: Choose) -> None:
        self._space = space
        self._choose = choose
        self._distributions = {path: distribution_of(expression) for path, expression in space.searched.items()}
        self._trials: list[optuna.trial.FrozenTrial] = []
        self._told = 0  # outcomes of the history that are in self._trials, or could not be

    def ask(self, history: Sequence[Outcome], number: int, seed: int) -> dict[str, Value]:
        """Return the values the sampler suggests for ask `number`; see `Optimizer`."""
        for outcome in history[self._told :]:
            drawn = drawn_in(self._space, outcome.values)
            if drawn is not None:
                self._tell(drawn, outcome.loss)
        self._told = len(history)
        study = optuna.create_study(sampler=self._choose(number, seed))
        study.add_trials(self._trials)
        found: dict[str, Value] = {}
        self._draw(study.ask(), self._space.root, found)
        return found

    def _tell(self, drawn: dict[str, Any], loss: float | None) -> None:
        states = optuna.trial.TrialState
        told = optuna.trial.create_trial(
            state=states.FAIL if is_failure(loss) else states.COMPLETE,
            value=None if is_failure(loss) else loss,
            params=drawn,
            distributions={path: self._distributions[path] for path in drawn},
        )
        self._trials.append(told)

    def _draw(self, trial: optuna.trial.Trial, node: Parameter | Group | ChoiceGroup, found: dict[str, Value]) -> None:
        """Ask for what is searched in `node` and, once it is known what is active, below it."""
        value = self._space.fixed.get(node.path, node.default)
        if node.path in self._space.searched:
            drawn = suggest(trial, node.path, self._distributions[node.path])
            value = found[node.path] = value_of(self._space.searched[node.path], drawn)
        if isinstance(node, ChoiceGroup):
            self._draw(trial, node.choices[str(value)], found)
        elif isinstance(node, Group) and (value or not node.optional):
            for child in node.children.values():
                self._draw(trial, child, found)


class CmaEsSearch(OptunaSearch):
    """CMA-ES keeps its mean and covariance in attributes of the trials, so that each outcome is asked for and told."""

    def __init__(self, space: Space) -> None:
        super().__init__(space, lambda number, seed: cmaes_sampler(seed))
        self._study = optuna.create_study(sampler=cmaes_sampler(0))  # the seed decides no attribute that is used again

    def _tell(self, drawn: dict[str, Any], loss: float | None) -> None:
        self._study.enqueue_trial(drawn)
        trial = self._study.ask(dict(self._distributions))
        _ = trial.relative_params  # computed now: notes the trial's generation, and updates the state after a whole one
        if is_failure(loss):
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, loss)
        self._trials.append(self._study.get_trials(deepcopy=False)[-1])


def is_failure(loss: float | None) -> bool:
    """Whether a trial has nothing that could be minimized."""
    return loss is None or not math.isfinite(loss)


# -- the three algorithms -------------------------------------------------------------------------------------
def make_tpe(space: Space, initial_random: int) -> Optimizer:
    """Return Optuna's TPE over `space`, random while the ask's number is below `initial_random`."""
    return OptunaSearch(space, after_random(initial_random, tpe_sampler))


def make_gp(space: Space, initial_random: int) -> Optimizer:
    """Return Optuna's Gaussian process over `space`, random while the ask's number is below `initial_random`."""
    return OptunaSearch(space, after_random(initial_random, gp_sampler))


def make_cmaes(space: Space, initial_random: int) -> Optimizer:
    """Return Optuna's CMA-ES over `space`; it begins in the middle, so `initial_random` changes nothing."""
    return CmaEsSearch(space)


def after_random(initial_random: int, sampler: Callable[[int], optuna.samplers.BaseSampler]) -> Choose:
    """Return the choice of the warm-up: our rule, as for hyperopt's tpe, not the number of complete trials."""

    def choose(number: int, seed: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.RandomSampler(seed) if number < initial_random else sampler(seed)

    return choose


def tpe_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Return Optuna's TPE: at random only while no trial is complete."""
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=1)


def gp_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Return Optuna's Gaussian process: at random only while no trial is complete."""
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=1, warn_independent_sampling=False)


def cmaes_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Return Optuna's CMA-ES: at random until one trial is complete, then in generations."""
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


# -- values ---------------------------------------------------------------------------------------------------
def distribution_of(expression: Expression) -> optuna.distributions.BaseDistribution:
    """Return the distribution that stands for an expression."""
    name, args = expression.name, expression.args
    if expression.options is not None:
        return optuna.distributions.CategoricalDistribution(expression.options)
    if name in ("uniform", "loguniform"):
        return optuna.distributions.FloatDistribution(args["low"], args["high"], log=name == "loguniform")
    if name == "quniform":
        return optuna.distributions.IntDistribution(round(args["low"] / args["q"]), round(args["high"] / args["q"]))
    assert expression.count is not None
    first = 0 if name == "range" else int(args["low"])
    return optuna.distributions.IntDistribution(first, first + expression.count - 1)


def suggest(trial: optuna.trial.Trial, path: str, distribution: optuna.distributions.BaseDistribution) -> Any:
    """Return what the sampler of the trial's study draws."""
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return trial.suggest_categorical(path, distribution.choices)
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(path, distribution.low, distribution.high)
    assert isinstance(distribution, optuna.distributions.FloatDistribution)
    return trial.suggest_float(path, distribution.low, distribution.high, log=distribution.log)


def value_of(expression: Expression, drawn: Any) -> Value:
    """Return the value that something drawn by Optuna stands for."""
    if expression.options is not None:
        return expression.options[expression.options.index(drawn)]
    if expression.name == "range":
        return expression.at(drawn)
    return expression.number(drawn * expression.args["q"] if expression.name == "quniform" else drawn)


def drawn_of(expression: Expression, value: Value) -> Value:
    """Return what Optuna would have drawn for a value that the expression contains."""
    if expression.options is not None:
        return expression.options[expression.options.index(value)]
    assert not isinstance(value, str)
    low, high = expression.args["low"], expression.args["high"]
    if expression.name == "range":
        index = expression.index(value)
        assert index is not None, f"{value!r} is not in {expression!r}"
        return index
    if expression.name == "quniform":
        return round(value / expression.args["q"])
    if expression.count is not None:
        return int(value)
    return min(max(float(value), float(low)), float(high))  # exp(log(low)) may lie a bit below low


def drawn_in(space: Space, values: Mapping[str, Value]) -> dict[str, Value] | None:
    """Return what Optuna would have drawn for values that were tried, perhaps in an earlier version of the space.

    Returns:
        None when this space could not have drawn them (`Space.misfit` says why).
    """
    drawn, misfit = space.drawn(values)
    return None if misfit is not None else {path: drawn_of(space.searched[path], one) for path, one in drawn.items()}
