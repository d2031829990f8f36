"""What programs print in flow style: read as YAML reads it, and as C, R and Java print numbers."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bough_agent.flow import Malformed, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{aetros: create-channel, name: loss, traces: [validation, training]}",
         {"aetros": "create-channel", "name": "loss", "traces": ["validation", "training"]}),
        ('{"bough": "channel", "name": "a b", "x": 1, "y": 0.5}',
         {"bough": "channel", "name": "a b", "x": 1, "y": 0.5}),
        ("{bough: channel, name: accuracy, x: 3, y: 6.}", {"bough": "channel", "name": "accuracy", "x": 3, "y": 6.0}),
        ("{a: -1e+05, b: .5, c: +7, d: 1E3}", {"a": -1e5, "b": 0.5, "c": 7, "d": 1000.0}),
        ("{a: TRUE, b: false, c: null, d: ~, e: }", {"a": True, "b": False, "c": None, "d": None, "e": None}),
        ("{a: it's 5 o'clock, b: 'it''s', c: \"q\\u00fc\\n\"}", {"a": "it's 5 o'clock", "b": "it's", "c": "qü\n"}),
        ("{a: http://host:80/x, b: 12:30, c: 1-2}", {"a": "http://host:80/x", "b": "12:30", "c": "1-2"}),
        ("{a: {b: [1, [2, x], {}], c: []}}", {"a": {"b": [1, [2, "x"], {}], "c": []}}),
        ("{a: [1, 2,], }", {"a": [1, 2]}),
        ("{'a b': 1}", {"a b": 1}),
    ],
)  # fmt: skip
def test_a_line_in_flow_style_says_what_yaml_says(text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize("word", ["nan", "NaN", "-nan", "nan(0x8)", ".nan", "NAN"])
def test_what_is_no_number_in_any_language_is_nan(word: str) -> None:
    assert math.isnan(parse("{y: " + word + "}")["y"])


@pytest.mark.parametrize("word", ["inf", "Inf", "Infinity", "-inf", "-Infinity", ".inf", "-.inf"])
def test_what_is_infinite_in_any_language_is_so(word: str) -> None:
    assert parse("{y: " + word + "}")["y"] == (-math.inf if word.startswith("-") else math.inf)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{a: 1, b}", "a colon is missing after b"),
        ("{a: 0,5}", "a colon is missing after 5"),
        ("{a: [1, 2}", "a comma or ] is missing before '}'"),
        ('{a: "open}', "a quote is not closed"),
        ("{a: 1", "it ends early"),
        ("{a: 1} {b: 2}", "'{b: 2}' follows its end"),
        ('{a: "\\q"}', "holds an escape that is none"),
        ("{a: " + "[" * 50 + "}", "it is too deep"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(text)

    assert reason in str(caught.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_json_is_read_as_json_and_with_blanks_as_flow(value: dict[str, Any]) -> None:
    assert parse(json.dumps(value)) == value
    assert parse("[" + json.dumps(value) + ", ]") == [value]  # no longer JSON


WORDS = st.from_regex(r"[a-zA-Z0-9_./-]{1,8}", fullmatch=True)


@given(st.dictionaries(WORDS, WORDS | st.lists(WORDS, max_size=3), max_size=4))
def test_plain_words_are_what_a_yaml_parser_makes_of_them(value: dict[str, Any]) -> None:
    """But for what bough reads as the languages print it; yaml's own dates, octals and sixties stay words."""
    text = (
        "{"
        + ", ".join(f"{k}: {'[' + ', '.join(v) + ']' if isinstance(v, list) else v}" for k, v in value.items())
        + "}"
    )
    found = parse(text)
    expected = yaml.load(text, yaml.BaseLoader)

    assert [str(key) for key in found] == [_shown(key) for key in expected]


def _shown(word: str) -> str:
    from bough_agent.flow import resolved

    return str(resolved(word))


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    with contextlib.suppress(Malformed):
        parse("{bough: " + text)
