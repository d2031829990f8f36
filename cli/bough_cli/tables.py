"""Tables and JSON on the terminal. Without a terminal a table has no colours and is as wide as its content."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 10_000  # so that a program that reads the table gets whole lines
MANY = 200  # rows: more are not laid out to fit a terminal, which takes a millisecond a row


def console() -> Console:
    """Return the terminal as rich writes to it."""
    from rich.console import Console

    return Console(
        file=sys.stdout,
        highlight=False,
        soft_wrap=False,
        markup=False,
        emoji=False,
        width=None if sys.stdout.isatty() else PIPE_WIDTH,
    )


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print a table; a column whose name ends with ``#`` holds numbers. Without rows print the sentence ``empty``."""
    if not rows:
        click.echo(empty)
        return
    if len(rows) > MANY:
        _show_plain(columns, [[_harmless(cell) for cell in row] for row in rows])
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        right = "right" if name.endswith("#") else "left"
        table.add_column(name.rstrip("#"), justify=right, overflow="fold", no_wrap=index == 0)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(Text(_harmless(cell)) for cell in row))
    console().print(table)


def _show_plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as rich does where it is no terminal: aligned, each row one line."""
    whole = [[name.rstrip("#") for name in columns], *rows]
    aligned = [_aligned(cells, name.endswith("#")) for name, *cells in zip(columns, *whole, strict=True)]
    click.echo("\n".join(map("  ".join, zip(*aligned, strict=True))))


def _aligned(cells: Sequence[str], right: bool) -> list[str]:
    """Return the cells of a column, all as wide as the widest one on a terminal, where some letters take two places."""
    from rich.cells import cell_len

    widths = [len(cell) if cell.isascii() else cell_len(cell) for cell in cells]
    most = max(widths)
    gaps = [" " * (most - width) for width in widths]
    return [gap + cell if right else cell + gap for cell, gap in zip(cells, gaps, strict=True)]


def show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print ``name  value`` lines, the values in one column."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{name:<{width}}  {_harmless(value)}")


def show_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns, indented: quicker than a table, where time counts."""
    shown = [[_harmless(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        click.echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _harmless(text: str) -> str:
    """Text of a job must not steer the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
