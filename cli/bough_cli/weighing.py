"""How `bough optimization importance` shows what the coordinator found."""

from __future__ import annotations

import click

from bough_cli import tables
from bough_cli.wording import Row

BAR = 24  # characters of the bar of something that explains everything
LEAST = 0.005  # an interaction below it is not shown


def show(found: Row) -> None:
    """Print shares with bars, interactions worth a line, and what to think of the figures."""
    failed = f", {found['failed']} failed" if found["failed"] else ""
    left_out = f", {found['left_out']} no longer fit the space" if found["left_out"] else ""
    click.echo(f"optimization {found['optimization']}: {found['trials']} trials with a result{failed}{left_out}")
    if found["reason"]:
        click.echo(found["reason"])
        return
    click.echo()
    rows = [[one["path"], *_shares(one), _given(one)] for one in found["parameters"]]
    tables.show_table(["HYPERPARAMETER", "IMPORTANCE#", "±#", "", "TOGETHER WITH"], rows, "")
    pairs = [one for one in found["interactions"] if one["importance"] >= LEAST]
    if pairs:
        click.echo()
        rows = [[" × ".join(one["paths"]), *_shares(one)] for one in pairs]
        tables.show_table(["INTERACTION", "IMPORTANCE#", "±#", ""], rows, "")
    click.echo()
    explained = max(0, round(100 * (found["explained"] or 0)))
    click.echo(f"Shares of the variance of the KPI over the space; the forest behind predicts {explained} % of it.")
    for warning in found["warnings"]:
        click.echo(f"warning: {warning}")


def _shares(one: Row) -> list[str]:
    share = float(one["importance"])
    return [f"{100 * share:.1f} %", f"{100 * float(one['spread']):.1f} %", "█" * round(BAR * share)]


def _given(one: Row) -> str:
    return ", ".join(one["given"]) or "-"
