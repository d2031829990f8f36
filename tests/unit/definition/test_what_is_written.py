"""A definition that is written as text reads back as the same data."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough import definition
from bough.definition import yaml_text
from bough.errors import DefinitionError

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
TRICKY = st.sampled_from(
    ["1e5", "012", "no", "on", "null", "~", "1_000", "0x1f", "12:30", ".5", "-", "a: b", "# x", "{{lr}}"]
)
SCALARS = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    TRICKY,
)
DATA = st.dictionaries(
    TEXT.filter(bool),
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
    ),
    max_size=5,
)


@given(DATA)
def test_what_is_written_reads_back_as_the_same_data(data: dict[str, object]) -> None:
    found, _ = yaml_text.read(definition.dumps(data), "bough.yml")
    assert found == (data or {}) or (not data and found in (None, {}))


def test_the_example_is_written_in_the_order_in_which_it_is_read() -> None:
    path = Path(__file__).parents[3] / "examples" / "digits" / "bough.yml"
    found = definition.load(str(path))
    text = definition.dumps(found.raw)
    assert definition.loads(text) == found
    assert [line.split(":")[0] for line in text.splitlines() if not line.startswith((" ", "-"))] == list(found.raw)


def test_an_error_says_at_which_key_it_is() -> None:
    raw = {"model": "me/x", "command": "x", "hyperparameters": {"lr": {"type": "number"}}}
    with pytest.raises(DefinitionError) as caught:
        definition.parse(raw)
    assert caught.value.at[:2] == ("hyperparameters", "lr")
