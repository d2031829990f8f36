"""JSON by the C parts of the standard library alone: the same as the package says, in every interpreter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough._json import loads, quoted

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(anything)
def test_what_json_writes_is_read_as_json_reads_it(value: Any) -> None:
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps(value, indent=1) + "\n") == value


@given(st.text())
def test_text_is_quoted_as_json_quotes_it(text: str) -> None:
    assert quoted(text) == json.dumps(text)


@pytest.mark.parametrize("text", ["", "{", "nothing", '{"a": }', "[1, 2", "1 2", '"open', "{1: 2}"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"(is not JSON|follows its JSON)"):
        loads(text)
