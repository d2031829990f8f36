"""The quick tpe and annealing give the answers of hyperopt's own functions, equal to the last bit."""

from __future__ import annotations

import math
from typing import Any

import hyperopt
import numpy as np
import pytest
from hyperopt import Trials, hp, rand
from hyperopt.base import Domain
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bough_server.optimizers import hyperopt_search
from bough_server.optimizers.hyperopt_search import ANNEALING, SWITCH, TPE, Quick, Stock, engine_of

# hyperopt takes logarithms of zeros that its own rounding made, divides by densities that are zero, and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@st.composite
def leaves(draw: st.DrawFn, label: str) -> Any:
    """Return a random variable of any kind that hyperopt has, with any parameters."""
    kind = draw(st.sampled_from(KINDS))
    low = draw(st.sampled_from([-3.5, -0.5, 0.0, 2.0]))
    width, q = draw(st.sampled_from([0.01, 1.0, 7.5, 100.0])), draw(st.sampled_from([0.1, 1, 2.5]))
    if kind in ("randint", "uniformint"):
        return getattr(hp, kind)(label, int(low), int(low) + draw(st.integers(2, 9)))
    if kind == "randint of one":
        return hp.randint(label, draw(st.integers(1, 9)))
    if kind == "choice":
        return hp.choice(label, list(range(draw(st.integers(1, 5)))))
    if kind == "pchoice":
        shares = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
        return hp.pchoice(label, [(share / sum(shares), i) for i, share in enumerate(shares)])
    if "log" in kind:
        low, width = low / 2, min(width, 7.5) / 2
    args = [low, width if "normal" in kind else low + width, *([q] if kind.startswith("q") else [])]
    return getattr(hp, kind)(label, *args)


KINDS = [
    "uniform", "quniform", "loguniform", "qloguniform", "normal", "qnormal", "lognormal", "qlognormal",
    "randint", "randint of one", "uniformint", "choice", "pchoice",
]  # fmt: skip


@st.composite
def spaces(draw: st.DrawFn, prefix: str = "", depth: int = 2) -> dict[str, Any]:
    """Return a space: variables, and choices between spaces."""
    names = [f"{prefix}{i}" for i in range(draw(st.integers(1, 3)))]
    found = {name: draw(leaves(name)) for name in names}
    for i in range(draw(st.integers(0, 2 if depth else 0))):
        name = f"{prefix}c{i}"
        branches = [draw(spaces(f"{name}.{j}.", depth - 1)) for j in range(draw(st.integers(1, 3)))]
        if draw(st.booleans()):
            found[name] = hp.choice(name, branches)
        else:
            found[name] = hp.pchoice(name, [(1 / len(branches), branch) for branch in branches])
    return found


def history_of(domain: Domain, size: int, seed: int) -> list[tuple[int, dict[str, Any], float | None]]:
    """Return trials that ended in another order than they began, with failures, ties, repetitions and infinities."""
    rng = np.random.default_rng(seed)
    documents = rand.suggest(list(range(size)), domain, Trials(), seed)
    few = documents[: max(1, size // 4)]
    documents = [few[rng.integers(len(few))] if rng.random() < 0.2 else one for one in documents]
    losses = [[None, math.inf, 0.0, 1.0][rng.integers(4)] if rng.random() < 0.3 else rng.normal() for _ in documents]
    tids = rng.permutation(size) if rng.random() < 0.5 else np.arange(size)
    vals = [
        {k: [getattr(x, "item", lambda x=x: x)() for x in v] for k, v in d["misc"]["vals"].items()} for d in documents
    ]
    return [(int(tid) * 2**20, *rest) for tid, *rest in zip(tids, vals, losses, strict=True)]  # type: ignore[misc]


def assert_equal(space: Any, size: int, seed: int, asks: int = 2) -> None:
    domain = Domain(None, space)
    stock, quick = Stock(domain), Quick(domain)
    for trial in history_of(domain, size, seed):
        stock.tell(*trial)
        quick.tell(*trial)
    assert len(stock) == len(quick) == size
    for algorithm in (TPE, ANNEALING):
        for i in range(asks):
            expected = stock.suggest(algorithm, size + i, seed + i)
            answer = quick.suggest(algorithm, size + i, seed + i)
            assert {label: list(vals) for label, vals in answer.items()} == {k: list(v) for k, v in expected.items()}
            assert [type(x) for v in answer.values() for x in v] == [type(x) for v in expected.values() for x in v]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(spaces(), st.sampled_from([1, 2, 3, 7, 26, 60, 250]), st.integers(0, 2**31 - 100))
@example({"x": hp.uniform("x", 0, 1)}, 1, 1)
@example({"x": hp.qlognormal("x", 0, 2, 1), "y": hp.qloguniform("y", -2, 0, 1)}, 60, 1)
def test_any_space_and_history(space: Any, size: int, seed: int) -> None:
    assert_equal(space, size, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_variable_at_two_thousand_trials(kind: str) -> None:
    """So many that the work is split into blocks, and the sums of numpy take another way than for few."""
    special: dict[str, list[Any]] = {"choice": [[0, 1, 2]], "pchoice": [[(0.3, 0), (0.7, 1)]], "randint of one": [7]}
    usual = [-2, 5] if "int" in kind else [0.5, 3.0, *([0.25] if kind.startswith("q") else [])]
    args = special.get(kind, usual)

    assert_equal({"x": getattr(hp, kind.split()[0])("x", *args)}, 2000, 5, asks=3)


def test_what_is_told_between_two_asks_is_seen_by_the_second() -> None:
    domain = Domain(None, {"x": hp.uniform("x", 0, 1), "n": hp.randint("n", 5)})
    stock, quick = Stock(domain), Quick(domain)
    for i, trial in enumerate(history_of(domain, 120, 4)):
        stock.tell(*trial)
        quick.tell(*trial)
        if i % 7 == 0:
            assert dict(quick.suggest(TPE, i, i)) == dict(stock.suggest(TPE, i, i))


def test_the_stock_functions_are_used_when_told_so_and_for_what_was_never_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    domain = Domain(None, {"x": hp.uniform("x", 0, 1)})

    assert isinstance(engine_of(domain), Quick)
    monkeypatch.setenv(SWITCH, "0")
    assert isinstance(engine_of(domain), Quick)
    monkeypatch.setenv(SWITCH, "1")
    assert isinstance(engine_of(domain), Stock)
    monkeypatch.delenv(SWITCH)
    monkeypatch.setattr(hyperopt, "__version__", "0.3.1")
    assert isinstance(engine_of(domain), Stock)
    monkeypatch.undo()
    assert hyperopt.__version__ in hyperopt_search.COMPARED_WITH, "compare with it, then say so"
