"""Optuna's samplers on bough's spaces: exact values, stateless asks, and Optuna's own points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bough.definition import Space, parse
from bough_server.optimizers.base import Outcome, Value
from bough_server.optimizers.extras import optional_versions
from bough_server.optimizers.registry import ALGORITHMS
from bough_server.optimizers.seeds import seed_of_ask

optuna = pytest.importorskip("optuna", reason="the extra optuna is not installed")
pytest.importorskip("cmaes", reason="the extra optuna is not installed")

WITH_GP = [
    "optuna-tpe",
    "optuna-cmaes",
    pytest.param(
        "optuna-gp", marks=pytest.mark.skipif("torch" not in optional_versions(), reason="torch is not installed")
    ),
]
RANDOM, SEED = 5, 3
Loss = Callable[[Mapping[str, Any]], float | None]


def space_of(algorithm: str, hyperparameters: dict[str, Any], lines: dict[str, str]) -> Space:
    section = {"algorithm": algorithm, "space": lines}
    return parse({"model": "a/b", "command": "x", "hyperparameters": hyperparameters, "optimization": section}).space


def search(algorithm: str, space: Space, trials: int, loss: Loss) -> list[Outcome]:
    """Return the history of one trial after the other."""
    optimizer = ALGORITHMS[algorithm](space, RANDOM)
    history: list[Outcome] = []
    for number in range(trials):
        values = space.complete(optimizer.ask(history, number, seed_of_ask(SEED, number)))
        history.append(Outcome(number, values, loss(values)))
    return history


NUMBERS = {"x": 0.5, "y": 0.5, "n": 3, "q": 0.5}
LINES = {"x": "uniform(-5, 5)", "y": "loguniform(0.001, 10)", "n": "range(1, 9, 2)", "q": "quniform(0, 1, 0.1)"}
GROUPS = {
    "o": {"type": "choice_group", "choices": {"s": {"lr": 0.1}, "a": {"lr": 0.2, "b": 3}}},
    "d": {"type": "group", "optional": True, "children": {"p": 0.5}},
    "c": {"type": "choice_number", "choices": [16, 32, 64]},
    "flag": True,
}
BRANCHES = {
    "o.a.b": "uniformint(1, 4)",  # before its parent: the order of the lines is the user's
    "o": "choice",
    "o.s.lr": "loguniform(0.0001, 1)",
    "o.a.lr": "uniform(0, 1)",
    "d": "on_off",
    "d.p": "range(0, 0.9, 0.1)",
    "c": "choice(16, 64)",
    "flag": "on_off",
}


def bowl(values: Mapping[str, Any]) -> float | None:
    """A failure where x > 4."""
    if values["x"] > 4:
        return None
    return float((values["x"] - 1) ** 2 + math.log10(values["y"]) ** 2 + abs(values["n"] - 3) + values["q"])


def branched(values: Mapping[str, Any]) -> float | None:
    """16 fails where d is on, or gives what is not a number; the branch s is better than a."""
    if values["c"] == 16 and values["d"]:
        return None if values["flag"] else math.nan
    return float(values.get("o.s.lr", 3)) + float(values.get("d.p", 1))


@st.composite
def bounded(draw: st.DrawFn) -> tuple[Any, str]:
    """Return a default and an expression."""
    name = draw(st.sampled_from(["uniform", "loguniform", "quniform", "uniformint", "randint", "range"]))
    if name in ("uniformint", "randint"):
        low = draw(st.integers(-1000, 1000))
        return 1, f"{name}({low}, {low + draw(st.integers(1, 500))})"
    if name == "range":
        step, low, count = draw(st.integers(1, 999)), draw(st.integers(-999, 999)), draw(st.integers(1, 300))
        scale = draw(st.sampled_from([1, 10, 1000]))
        return 0.5, f"range({low / scale!r}, {(low + step * count) / scale!r}, {step / scale!r})"
    least = draw(st.integers(1, 10**6)) * 1e-4 * (1 if "log" in name else draw(st.sampled_from([1, -1])))
    most = least + draw(st.integers(1, 10**6)) * 1e-3
    return 0.5, f"{name}({least!r}, {most!r}" + (f", {draw(st.integers(1, 1000)) / 100!r})" if name[0] == "q" else ")")


@pytest.mark.parametrize("algorithm", ["optuna-tpe", "optuna-cmaes"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=bounded(), seed=st.integers(0, 2**31 - 2))
def test_samples_stay_within_what_the_expression_promises(algorithm: str, case: tuple[Any, str], seed: int) -> None:
    """At random, then modelled; told back, no outcome is lost."""
    default, written = case
    space = space_of(algorithm, {"x": default}, {"x": written})
    optimizer = ALGORITHMS[algorithm](space, 2)
    history: list[Outcome] = []

    for number in range(6):
        value = optimizer.ask(history, number, seed_of_ask(seed, number))["x"]
        history.append(Outcome(number, {"x": value}, float(value)))

        assert space.searched["x"].contains(value), (written, value)
        assert type(value) is type(default)
        assert math.copysign(1, float(value)) == 1 or value != 0, "a negative zero"
    assert len(optimizer._trials) == 5  # type: ignore[attr-defined]  # nothing was dropped as unknown


def test_a_range_is_exact_and_each_of_its_values_comes() -> None:
    """200 draws of 8 values at random: odds of 2e-11 that one of them is missing."""
    space = space_of("optuna-tpe", {"x": 0.5}, {"x": "range(0.105, 0.14, 0.005)"})
    optimizer = ALGORITHMS["optuna-tpe"](space, 1000)

    drawn = {optimizer.ask([], number, seed_of_ask(1, number))["x"] for number in range(200)}

    assert sorted(drawn) == [0.105, 0.11, 0.115, 0.12, 0.125, 0.13, 0.135, 0.14]


def numbers_of(trial: Any) -> dict[str, Value]:
    """Return the space of LINES as one writes it for Optuna."""
    return {
        "x": trial.suggest_float("x", -5, 5),
        "y": trial.suggest_float("y", 0.001, 10, log=True),
        "n": 1 + 2 * trial.suggest_int("n", 0, 4),
        "q": trial.suggest_int("q", 0, 10) * 0.1,
    }


def branches_of(trial: Any) -> dict[str, Value]:
    """Return the space of BRANCHES as one writes it for Optuna."""
    values: dict[str, Value] = {"o": trial.suggest_categorical("o", ["s", "a"])}
    if values["o"] == "s":
        values["o.s.lr"] = trial.suggest_float("o.s.lr", 0.0001, 1, log=True)
    else:
        values["o.a.lr"] = trial.suggest_float("o.a.lr", 0, 1)
        values["o.a.b"] = trial.suggest_int("o.a.b", 1, 4)
    values["d"] = trial.suggest_categorical("d", [False, True])
    if values["d"]:
        values["d.p"] = trial.suggest_int("d.p", 0, 9) / 10
    values["c"] = trial.suggest_categorical("c", [16, 64])
    values["flag"] = trial.suggest_categorical("flag", [False, True])
    return values


def directly(algorithm: str, trials: int, draw: Callable[[Any], dict[str, Value]], loss: Loss) -> list[Any]:
    """Return the values of a study of Optuna that lives on between trials, with the same seeds."""
    samplers: dict[str, Callable[[int], Any]] = {
        "optuna-tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=1),
        "optuna-gp": lambda seed: optuna.samplers.GPSampler(seed=seed, n_startup_trials=1),
        "optuna-cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
    }
    study = optuna.create_study()
    found: list[Any] = []
    for number in range(trials):
        seed = seed_of_ask(SEED, number)
        is_random = number < RANDOM and algorithm != "optuna-cmaes"
        study.sampler = optuna.samplers.RandomSampler(seed) if is_random else samplers[algorithm](seed)
        trial = study.ask()
        found.append(draw(trial))
        value = loss(found[-1])
        if value is None or math.isnan(value):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, value)
    return found


@pytest.mark.parametrize("algorithm", WITH_GP)
def test_trials_with_failures_are_those_of_optuna_run_directly(algorithm: str) -> None:
    trials = 12 if algorithm == "optuna-gp" else 60

    history = search(algorithm, space_of(algorithm, NUMBERS, LINES), trials, bowl)

    assert [outcome.values for outcome in history] == directly(algorithm, trials, numbers_of, bowl)
    assert any(outcome.loss is None for outcome in history)


@pytest.mark.parametrize("algorithm", WITH_GP)
def test_an_ask_depends_on_the_history_alone(algorithm: str) -> None:
    """A fresh optimizer, given the whole history at once, repeats any ask of one that saw it grow."""
    space = space_of(algorithm, NUMBERS, LINES)
    history = search(algorithm, space, 10 if algorithm == "optuna-gp" else 30, bowl)

    for number in (0, 1, RANDOM, 9, *range(17, len(history), 5)):
        again = ALGORITHMS[algorithm](space, RANDOM).ask(history[:number], number, seed_of_ask(SEED, number))

        assert space.complete(again) == history[number].values


@pytest.mark.parametrize("algorithm", [one for one in WITH_GP if one != "optuna-cmaes"])
def test_branches_and_failures_in_the_history(algorithm: str) -> None:
    """Only what is active is asked for, with its own type, and the points are still those of Optuna."""
    trials = 12 if algorithm == "optuna-gp" else 60
    space = space_of(algorithm, GROUPS, BRANCHES)

    history = search(algorithm, space, trials, branched)

    assert [outcome.values for outcome in history] == directly(algorithm, trials, branches_of, branched)
    for values in (outcome.values for outcome in history):
        assert all(e.contains(values[path]) for path, e in space.searched.items() if path in values)
        assert type(values["flag"]) is bool
        assert type(values["c"]) is int
    assert {str(outcome.loss) for outcome in history} & {"None", "nan"}
    last = trials - 1
    again = ALGORITHMS[algorithm](space, RANDOM).ask(history[:last], last, seed_of_ask(SEED, last))
    assert space.complete(again) == history[last].values


@pytest.mark.parametrize("algorithm", WITH_GP)
@pytest.mark.parametrize("losses", [[], [None], [None] * 3, [math.nan, math.inf], [1.0] * 8, [1.0]])
def test_every_history_has_an_answer(algorithm: str, losses: list[float | None]) -> None:
    """Nothing ended yet though many were asked, only failures, only ties, a single one."""
    space = space_of(algorithm, NUMBERS, LINES)
    points = search(algorithm, space, len(losses), lambda values: 1.0)
    history = [Outcome(o.number, o.values, loss) for o, loss in zip(points, losses, strict=True)]

    values = space.complete(ALGORITHMS[algorithm](space, 0).ask(history, 20, 5))

    assert all(expression.contains(values[path]) for path, expression in space.searched.items())


@pytest.mark.parametrize("algorithm", ["optuna-tpe", "optuna-cmaes"])
def test_what_an_earlier_space_gave_is_used_where_it_still_fits(algorithm: str) -> None:
    wide = space_of(algorithm, NUMBERS, LINES)
    history = search(algorithm, wide, 20, bowl)
    narrow = space_of(algorithm, NUMBERS, {**LINES, "x": "uniform(-1, 1)"})
    fitting = [outcome for outcome in history if -1 <= float(outcome.values["x"]) <= 1]
    assert 0 < len(fitting) < 20

    values = ALGORITHMS[algorithm](narrow, 0).ask(history, 20, 7)

    assert values == ALGORITHMS[algorithm](narrow, 0).ask(fitting, 20, 7)
    assert -1 <= float(values["x"]) <= 1


@pytest.mark.parametrize("algorithm", ["optuna-tpe", "optuna-cmaes"])
def test_a_value_that_lies_a_last_bit_below_its_bound_is_known_all_the_same(algorithm: str) -> None:
    """Of hyperopt's history: exp(log(low)) is not always low."""
    space = space_of(algorithm, NUMBERS, LINES)
    below = math.nextafter(0.001, 0)
    history = [Outcome(0, space.complete({"y": below}), 1.0), Outcome(1, space.complete({"y": 0.001}), 1.0)]

    values = ALGORITHMS[algorithm](space, 0).ask(history, 2, 7)

    assert values == ALGORITHMS[algorithm](space, 0).ask([history[1]] * 2, 2, 7)


def test_a_fixed_group_leaves_its_branch_to_search() -> None:
    space = space_of("optuna-tpe", GROUPS, BRANCHES).fix_all({"o": "a", "d": False})

    assert set(ALGORITHMS["optuna-tpe"](space, 0).ask([], 0, 1)) == {"o.a.b", "o.a.lr", "c", "flag"}


@pytest.mark.parametrize("algorithm", ["optuna-tpe", "optuna-cmaes"])
def test_a_bowl_is_found(algorithm: str) -> None:
    """60 points at random come within 0.6 of the bottom in about one of twenty cases."""
    history = search(algorithm, space_of(algorithm, NUMBERS, LINES), 60, bowl)

    assert min(outcome.loss for outcome in history if outcome.loss is not None) < 0.6
