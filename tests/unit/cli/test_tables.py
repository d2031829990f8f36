"""Tables of many rows are printed without being laid out, and look the same where no terminal is."""

from __future__ import annotations

import pytest

from bough_cli import tables

ROWS = [[str(n), "ж" * (n % 3), "日本" if n % 7 == 0 else "plain", f"{n / 7:.6g}", "a\x1b[31mb\nc"] for n in range(40)]
COLUMNS = ["#", "NAME", "WIDE", "KPI#", "MESSAGE"]


def test_a_table_of_many_rows_is_the_one_that_rich_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.show_table(COLUMNS, ROWS, "none")
    laid_out = capsys.readouterr().out

    monkeypatch.setattr(tables, "MANY", len(ROWS) - 1)
    tables.show_table(COLUMNS, ROWS, "none")

    assert capsys.readouterr().out == laid_out
    assert "\x1b" not in laid_out
    assert len(laid_out.splitlines()) == 41
