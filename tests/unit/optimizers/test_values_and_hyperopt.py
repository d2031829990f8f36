"""What hyperopt draws becomes values and back, within what each expression promises."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import hyperopt
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bough.definition import Definition, parse
from bough_server.optimizers import annealing, random_search, tpe
from bough_server.optimizers.base import Maker, Outcome, Value
from bough_server.optimizers.hyperopt_space import drawn_in, drawn_of, found_in, hyperopt_space, value_of
from bough_server.optimizers.seeds import seed_of_ask

pytestmark = pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning")


def define(hyperparameters: dict[str, Any], space: dict[str, Any]) -> Definition:
    return parse({"model": "a/b", "command": "x", "hyperparameters": hyperparameters, "optimization": {"space": space}})


def draws(definition: Definition, count: int, seed: int = 1) -> list[Any]:
    """Return `count` draws of hyperopt for the hyperparameter x, as hyperopt stores them."""
    domain = hyperopt.base.Domain(None, hyperopt_space(definition.space))
    documents = hyperopt.rand.suggest(list(range(count)), domain, hyperopt.Trials(), seed)
    return [document["misc"]["vals"]["x"][0] for document in documents]


def small(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False).map(lambda value: float(f"{value:.6g}"))


@st.composite
def bounded(draw: st.DrawFn) -> tuple[Any, str]:
    """Return a default and an expression."""
    name = draw(st.sampled_from(["uniform", "quniform", "loguniform", "qloguniform", "uniformint", "randint", "range"]))
    if name in ("uniformint", "randint"):
        low = draw(st.integers(-1000, 1000))
        return 1, f"{name}({low}, {low + draw(st.integers(1, 500))})"
    if name == "range":
        step, low, count = draw(st.integers(1, 999)), draw(st.integers(-999, 999)), draw(st.integers(1, 300))
        scale = draw(st.sampled_from([1, 10, 1000]))
        texts = [repr(number / scale) for number in (low, low + step * count, step)]
        return 0.5, f"range({', '.join(texts)})"
    low_float = draw(small(1e-6, 1e3)) * (1 if "log" in name else draw(st.sampled_from([1, -1])))
    high = low_float + draw(small(1e-3, 1e3))
    return 0.5, f"{name}({low_float!r}, {high!r}" + (f", {draw(small(1e-2, 10))!r})" if name[0] == "q" else ")")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bounded(), st.integers(0, 2**31 - 2))
def test_samples_stay_within_what_the_expression_promises(case: tuple[Any, str], seed: int) -> None:
    default, written = case
    definition = define({"x": default}, {"x": written})
    expression = definition.space.searched["x"]

    for drawn in draws(definition, 20, seed):
        value = value_of(expression, drawn)

        assert expression.contains(value), (written, value)
        assert type(value) is type(default)
        assert math.copysign(1, float(value)) == 1 or value != 0, "a negative zero"
        assert value_of(expression, drawn_of(expression, value)) == value
        assert drawn_of(expression, value) == drawn


@pytest.mark.parametrize(
    ("default", "written"),
    [
        (0.5, "normal(0, 1)"),
        (0.5, "qnormal(0, 3, 0.5)"),
        (0.5, "lognormal(0, 1)"),
        (0.5, "qlognormal(0, 1, 0.25)"),
        (3, "qnormal(0, 3, 2)"),
        (3, "qloguniform(1, 100, 1)"),
        (True, "on_off"),
        (3, "choice(1, 2, 4)"),
        ("a", "pchoice(a=0.25, b=0.75)"),
    ],
)
def test_a_value_goes_back_to_what_was_drawn(default: Any, written: str) -> None:
    definition = define({"x": default}, {"x": written})
    expression = definition.space.searched["x"]

    for drawn in draws(definition, 200):
        value = value_of(expression, drawn)

        assert type(value) is type(default)
        assert expression.contains(value)
        assert drawn_of(expression, value) == drawn


def test_a_range_gives_each_of_its_values_equal_mass() -> None:
    """9 values, 9,000 draws: a cell beyond 5 standard deviations (±149) has odds of 1 in 190,000 for a right one.

    With half a cell at the ends, as quniform over the bounds has it, the ends would lack 437.
    """
    definition = define({"x": 0.5}, {"x": "range(0, 0.8, 0.1)"})
    expression = definition.space.searched["x"]

    counts = Counter(value_of(expression, drawn) for drawn in draws(definition, 9000))

    assert sorted(counts) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    deviation = math.sqrt(9000 * (1 / 9) * (8 / 9))
    assert all(abs(count - 1000) < 5 * deviation for count in counts.values()), counts


GROUPS = {
    "o": {"type": "choice_group", "choices": {"s": {"lr": 0.1}, "a": {"lr": 0.2}}},
    "d": {"type": "group", "optional": True, "children": {"p": 0.5}},
    "n": 3,
}
LINES = {
    "o": "choice",
    "o.s.lr": "uniform(0, 1)",
    "o.a.lr": "uniform(0, 1)",
    "d": "on_off",
    "d.p": "uniform(0, 1)",
    "n": "range(1, 9, 2)",
}


def test_a_document_lists_every_label_and_gives_the_values_back() -> None:
    space = define(GROUPS, LINES).space
    values: dict[str, Value] = {"o": "a", "o.a.lr": 0.25, "d": False, "n": 5}

    vals = drawn_in(space, values)

    assert vals == {"o": [1], "o.s.lr": [], "o.a.lr": [0.25], "d": [0], "d.p": [], "n": [2.0]}
    assert vals is not None
    assert space.complete(found_in(space, vals)) == values


def test_values_of_an_earlier_space_are_mapped_by_value_or_left_out() -> None:
    values: dict[str, Value] = {"o": "a", "o.a.lr": 0.25, "d": False, "n": 5}
    reordered = {**GROUPS, "o": {"type": "choice_group", "choices": {"new": {}, "a": {"lr": 0.2}, "s": {"lr": 0.1}}}}
    without = {**GROUPS, "o": {"type": "choice_group", "choices": {"s": {"lr": 0.1}, "new": {}}}}
    more = {**GROUPS, "freed": 0.125}

    moved = drawn_in(define(reordered, LINES).space, values)
    assert moved is not None
    assert moved["o"] == [1]
    assert drawn_in(define(without, {"o": "choice"}).space, values) is None
    assert drawn_in(define(GROUPS, {**LINES, "n": "range(1, 3, 2)"}).space, values) is None
    assert drawn_in(define(GROUPS, {**LINES, "o.a.lr": "uniform(0.5, 1)"}).space, values) is None
    freed = drawn_in(define(more, {**LINES, "freed": "uniform(0, 1)"}).space, values)
    assert freed is not None
    assert freed["freed"] == [0.125]


def test_a_fixed_choice_group_leaves_only_its_branch_to_search() -> None:
    space = define(GROUPS, LINES).space.fix("o", "a").fix("d", False)
    optimizer = random_search.make(space, 0)

    assert set(optimizer.ask([], 0, 1)) == {"o.a.lr", "n"}


def test_seeds_are_those_that_fmin_draws() -> None:
    rstate = np.random.default_rng(7)

    assert [seed_of_ask(7, number) for number in range(50)] == [int(rstate.integers(2**31 - 1)) for _ in range(50)]


def outcomes(count: int, loss: float | None) -> list[Outcome]:
    optimizer = random_search.make(define(GROUPS, LINES).space, 0)
    space = define(GROUPS, LINES).space
    return [Outcome(i, space.complete(optimizer.ask([], i, seed_of_ask(3, i))), loss) for i in range(count)]


@pytest.mark.parametrize("make", [random_search.make, tpe.make, annealing.make])
@pytest.mark.parametrize("history", [[], outcomes(1, None), outcomes(5, None), outcomes(5, math.nan), outcomes(5, 1.0)])
def test_every_history_has_an_answer(make: Maker, history: list[Outcome]) -> None:
    """Nothing ended yet though many were asked, only failures, only ties."""
    space = define(GROUPS, LINES).space

    values = space.complete(make(space, 3).ask(history, 10, 5))

    assert drawn_in(space, values) is not None


@pytest.mark.parametrize("make", [random_search.make, tpe.make, annealing.make])
def test_the_order_of_ends_and_a_cache_do_not_change_the_answer(make: Maker) -> None:
    space = define(GROUPS, LINES).space
    history = [Outcome(o.number, o.values, (o.number * 7) % 5 if o.number % 4 else None) for o in outcomes(30, 0.0)]
    history = history[::2] + history[1::2]
    cached = make(space, 3)
    for end in range(0, 30, 7):
        cached.ask(history[:end], 30, 9)

    assert cached.ask(history, 30, 9) == make(space, 3).ask(history, 30, 9)


def test_a_diverged_trial_does_not_attract_the_search() -> None:
    """A NaN loss given to hyperopt as it is would draw most asks into the region that diverges."""
    space = define({"x": 0.5}, {"x": "uniform(0, 1)"}).space
    history: list[Outcome] = []
    optimizer = tpe.make(space, 10)
    for number in range(60):
        x = float(optimizer.ask(history, number, seed_of_ask(1, number))["x"])
        history.append(Outcome(number, {"x": x}, math.nan if x > 0.5 else (x - 0.2) ** 2))

    late = [float(outcome.values["x"]) for outcome in history[20:]]
    assert sum(x > 0.5 for x in late) <= 0.5 * len(late)
