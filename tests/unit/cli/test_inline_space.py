"""A space written in Python becomes the sections of a bough.yml: types follow from expressions."""

from __future__ import annotations

from typing import Any

import pytest

from bough.errors import BoughError
from bough_cli.inline_space import definition, sections


@pytest.mark.parametrize(
    ("written", "declared"),
    [
        ("loguniform(1e-4, 1)", 0.5),
        ("quniform(0, 10, 1)", 0.5),
        ("range(1, 9, 2)", 1),
        ("range(0, 0.5, 0.1)", 0.5),
        ("uniformint(1, 5)", 1),
        ("on_off", False),
        ("choice(true, false)", False),
        ("choice(relu, tanh)", {"type": "choice_string", "choices": ["relu", "tanh"], "default": "relu"}),
        ("pchoice(a=0.3, b=0.7)", {"type": "choice_string", "choices": ["a", "b"], "default": "a"}),
        ("choice(16, 32)", {"type": "choice_number", "choices": [16, 32], "default": 16}),
        ({"normal": {"mu": 0, "sigma": 1}}, 0.5),
        ({"pchoice": [[16, 0.5], [32, 0.5]]}, {"type": "choice_number", "choices": [16, 32], "default": 16}),
    ],
)
def test_the_type_follows_from_the_expression(written: Any, declared: Any) -> None:
    found = sections({"x": written})

    assert found == {"hyperparameters": {"x": declared}, "space": {"x": written}}
    assert list(definition(found, "a/b", {}).space.searched) == ["x"]


def test_a_dict_is_a_group_and_both_sections_are_taken_as_they_are() -> None:
    groups = sections({"net": {"lr": "uniform(0, 1)", "inner": {"n": "randint(5)"}}})
    whole = {"hyperparameters": {"x": 0.5, "y": 3}, "space": {"x": "uniform(0, 1)"}}

    assert groups["hyperparameters"] == {"net": {"lr": 0.5, "inner": {"n": 1}}}
    assert groups["space"] == {"net.lr": "uniform(0, 1)", "net.inner.n": "randint(5)"}
    assert sections(whole) == whole


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "the space is empty, or no dict."),
        ([1], "the space is empty, or no dict."),
        ({"x": "uniform(1, 0)"}, "parameter x: low 1 is above high 0."),
        ({"x": "foo(1)"}, "parameter x: foo is no expression."),
        ({"x": 3}, "parameter x: 3 is no expression."),
        ({"hyperparameters": {}, "space": {}, "seed": 1}, "the space has seed beside hyperparameters and space."),
    ],
    ids=["empty", "list", "bounds", "unknown", "number", "more"],
)
def test_a_space_that_is_none_is_refused_with_a_sentence(space: Any, said: str) -> None:
    with pytest.raises(BoughError) as raised:
        definition(sections(space), "a/b", {})

    assert str(raised.value).startswith(said)
