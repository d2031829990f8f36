"""Cells of exported files."""

from __future__ import annotations

import csv
import io
import json
import math

from hypothesis import given
from hypothesis import strategies as st

from bough_server.api.export import cell, csv_lines, jsonl_lines

TRIGGERS = "=+-@\t\r\n\0"


@given(st.text())
def test_no_text_begins_as_a_formula_does(text: str) -> None:
    shown = next(csv.reader(io.StringIO(cell(text), newline=""), strict=True), [""])[0]

    assert not shown.startswith(tuple(TRIGGERS))
    assert shown in (text, "'" + text)


@given(st.floats())
def test_a_number_reads_back_as_the_same_float_and_is_never_taken_for_text(value: float) -> None:
    shown = cell(value)

    assert not shown.startswith("'")
    assert float(shown) == value or math.isnan(value)


def test_a_cell_says_nothing_true_false_or_json() -> None:
    assert [cell(value) for value in (None, True, False, 3, -0.001, [1, math.nan], {"a": 1})] == [
        "",
        "true",
        "false",
        "3",
        "-0.001",
        '"[1, ""nan""]"',
        '"{""a"": 1}"',
    ]


@given(st.lists(st.fixed_dictionaries({"a": st.text('xy,"\r\n', max_size=5), "b": st.none() | st.integers()})))
def test_a_file_has_one_record_per_row_as_rfc_4180_says(rows: list[dict[str, object]]) -> None:
    text = "".join(csv_lines(["a", "b"], rows))

    assert text.endswith("\r\n")
    read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len(read) == 1 + len(rows)
    assert read[0] == ["a", "b"]


def test_json_lines_hold_what_json_can_hold() -> None:
    lines = list(jsonl_lines(["a", "b"], [{"a": math.inf}, {"a": "ä", "b": 1.5}]))

    assert [json.loads(line) for line in lines] == [{"a": "inf", "b": None}, {"a": "ä", "b": 1.5}]
