"""Numbers and texts in a journal come back as they were."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough import _numbers
from bough.errors import UsageError


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_finite_float_comes_back_bit_for_bit(value: float) -> None:
    again = json.loads(_numbers.number(value, "channel a"))

    assert type(again) is float
    assert math.copysign(1, again) == math.copysign(1, value)
    assert again == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_integer_comes_back_as_that_integer(value: int) -> None:
    assert json.loads(_numbers.number(value, "channel a")) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), '"nan"'),
        (float("inf"), '"inf"'),
        (float("-inf"), '"-inf"'),
        (True, "1"),
        (False, "0"),
        (2**63, "9.223372036854776e+18"),
        (-(10**400), '"-inf"'),
        (Decimal("0.5"), "0.5"),
        (Fraction(1, 4), "0.25"),
        (np.int64(7), "7"),
        (np.bool_(True), "1.0"),
        (np.float64(0.1), "0.1"),
        (np.float32(0.5), "0.5"),
        (np.array(3), "3"),
        (np.float64("nan"), '"nan"'),
    ],
)
def test_every_make_of_number_is_written(value: object, written: str) -> None:
    assert _numbers.number(value, "channel a") == written


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("abc", r"channel a takes numbers, got the text 'abc'\. Create it with type='text', or send a number\."),
        (b"1", r"channel a takes numbers, got the text b'1'\."),
        (None, r"channel a takes numbers, got None \(NoneType\)\. Send a number\."),
        ([1], r"channel a takes numbers, got \[1\] \(list\)\."),
        (1j, r"channel a takes numbers, got 1j \(complex\)\."),
        ("x" * 200, r"got the text 'x{59}…\."),
    ],
)
def test_what_is_no_number_is_refused_by_name(value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _numbers.number(value, "channel a")


@given(st.text())
def test_a_text_comes_back_and_a_lone_surrogate_becomes_a_question_mark(value: str) -> None:
    again = json.loads(_numbers.text(value))

    assert again == value.encode("utf-8", "replace").decode("utf-8")


@given(st.sampled_from(["x", "é", "\n", "😀"]), st.integers(5_000, 200_000))
def test_a_text_that_is_too_long_for_a_line_is_cut_and_marked(letter: str, length: int) -> None:
    written = _numbers.text(letter * length)

    assert len(written) <= _numbers.MAX_TEXT
    again = json.loads(written)
    assert again == letter * length or again.endswith(_numbers.CUT_MARK)


class Odd:
    def __repr__(self) -> str:
        return "odd"


def test_any_value_becomes_the_nearest_that_json_can_say() -> None:
    value = {"a": [1, float("nan"), None, True], 2: (np.float32(0.5), np.arange(2)), "c": Odd(), "d": {"é\ud800"}}

    assert json.loads(_numbers.any_value(value)) == {
        "a": [1, "nan", None, True], "2": [0.5, [0, 1]], "c": "odd", "d": ["é?"],
    }  # fmt: skip


def test_a_value_that_holds_itself_ends_as_text() -> None:
    value: list[object] = []
    value.append(value)

    assert _numbers.any_value(value).startswith("[[[")
