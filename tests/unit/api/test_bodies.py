"""JSON from outside: one meaning, or refused."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough.errors import UsageError
from bough_server.api.bodies import MAX_DEPTH, parse_object
from bough_server.archive.records import json_file


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "the body is not JSON: "),
        (b"\xff", "the body is not JSON: "),
        (b"[]", "the body is not a JSON object."),
        (b'{"a": NaN}', "NaN is not JSON."),
        (b'{"a": -Infinity}', "-Infinity is not JSON."),
        (b'{"a": 1, "a": 2}', "the key 'a' is there twice."),
        (b'{"a": 1e999}', "the number 1e999 is too large."),
        (b'{"a": 1' + b"0" * 40 + b"}", "does not fit into 64 bits."),
        (b'{"a": "\\ud800"}', "not proper Unicode, or a NUL"),
        (b'{"a": "\\u0000"}', "not proper Unicode, or a NUL"),
        (b'{"a\\u0000": 1}', "not proper Unicode, or a NUL"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper than 32 levels."),
        (b'{"a": ' + b"[" * 100_000, "nested deeper than 32 levels."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_readers_would_understand_differently_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_object(body)


def test_what_is_just_deep_enough_passes() -> None:
    body = b'{"a": ' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"

    assert parse_object(body)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_fail_in_another_way(body: bytes) -> None:
    with contextlib.suppress(UsageError):
        parse_object(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text("xyz", max_size=5), _JSON, max_size=5))
def test_proper_json_comes_through_unchanged(value: dict[str, object]) -> None:
    assert parse_object(json_file(value)) == value
