"""A space that a sampler of Optuna cannot express is refused with line and remedy, before anything starts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bough.definition import Definition, loads, parse
from bough.errors import DefinitionError, UsageError

TEXT = """\
model: a/b
command: x
hyperparameters:
  x: 0.5
  n: 3
  o: {type: choice_group, choices: {s: {lr: 0.1}, a: {lr: 0.2}}}
optimization:
  algorithm: ALGORITHM
  space:
    n: range(1, 9)
    LINE
"""
ALL = ("optuna-tpe", "optuna-gp", "optuna-cmaes")


def define(algorithm: str, line: str) -> Definition:
    return loads(TEXT.replace("ALGORITHM", algorithm).replace("LINE", line))


@pytest.mark.parametrize("algorithm", ALL)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x: normal(0, 1)", "x: normal has no bounds, and the algorithm is {}. Write uniform(low, high)."),
        ("x: lognormal(0, 1)", "x: lognormal has no bounds, and the algorithm is {}. Write loguniform(low, high)."),
        ("x: qnormal(0, 1, 1)", "x: qnormal has no bounds, and the algorithm is {}. Write quniform(low, high, q)."),
        ("x: qlognormal(0, 1, 1)", "x: qlognormal has no bounds, and the algorithm is {}. Write quniform("),
        ("x: qloguniform(1, 9, 1)", "x: qloguniform rounds what is even in the logarithm, and the algorithm is {}."),
        ("o: pchoice(s=0.3, a=0.7)", "o: pchoice has probabilities of its own, and the algorithm is {}. Write choice("),
        ("x: quniform(0, 1, 1e-10)", "x: quniform has more than 2**31 values, and the algorithm is {}. Take a"),
    ],
)
def test_what_no_sampler_can_express_is_refused(algorithm: str, line: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=re.escape("parameter " + said.format(algorithm)) + r".*\(.*line 11\)$"):
        define(algorithm, line)

    define("tpe", line)


@pytest.mark.parametrize("algorithm", ALL)
@pytest.mark.parametrize(
    "line",
    [
        "x: uniform(0, 1)",
        "x: loguniform(0.1, 1)",
        "x: quniform(0, 1, 0.25)",
        "x: range(0, 1, 0.25)",
        "x: randint(5)",
        "x: uniformint(1, 5)",
    ],
)
def test_what_has_bounds_is_taken(algorithm: str, line: str) -> None:
    assert define(algorithm, line).settings.algorithm == algorithm


def test_cmaes_takes_no_choices_and_the_others_do() -> None:
    with pytest.raises(
        DefinitionError,
        match=r"o: choice has no order, and the algorithm is optuna-cmaes\. Take this line out of space, or use",
    ):
        define("optuna-cmaes", "o: choice")

    assert set(define("optuna-tpe", "o: choice").space.searched) == {"n", "o"}
    assert set(define("optuna-gp", "o: choice").space.searched) == {"n", "o"}


def test_an_algorithm_given_on_the_command_line_is_checked_too() -> None:
    with pytest.raises(UsageError, match=r"x: normal has no bounds, and the algorithm is optuna-tpe\."):
        define("tpe", "x: normal(0, 1)").with_overrides({"algorithm": "optuna-tpe"})


def test_a_slip_in_the_name_names_the_nearest() -> None:
    raw: dict[str, Any] = {"model": "a/b", "command": "x", "hyperparameters": {"x": 0.5}}

    with pytest.raises(DefinitionError, match=r"algorithm optuna-cma is not known\..*optuna-cmaes"):
        parse({**raw, "optimization": {"algorithm": "optuna-cma", "space": {"x": "uniform(0, 1)"}}})
