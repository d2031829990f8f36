"""`bough optimization edit` and `bough optimization set`: another space, other settings, while trials run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bough.errors import BoughError
from bough_cli import edit_text, options, tables
from bough_cli.client import Client
from bough_cli.wording import Row


@click.command("edit")
@click.argument("optimization")
@click.option("--file", metavar="FILE", type=click.Path(path_type=Path), help="Take all from this bough.yml.")
@click.option("--set", "search", metavar="NAME=EXPR", multiple=True, help="Search it so: 'lr=loguniform(1e-5, 1)'.")
@click.option("--fix", metavar="NAME=VALUE", multiple=True, help="Search it no longer: always this value.")
@click.option("--free", metavar="NAME", multiple=True, help="Search again what was fixed, as before.")
@click.option("--drop", metavar="NAME", multiple=True, help="Search it no longer: always its default.")
@click.option(
    "--add", metavar="NAME=SPEC", multiple=True, help="A new one, 'decay=0.0', or branch, 'opt.lion={lr: 0.1}'."
)
@click.option("--add-choice", metavar="NAME=CHOICE", multiple=True, help="One more choice: 'activation=gelu'.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@options.as_json
@options.connected
def edit(client: Client, optimization: str, as_json: bool, yes: bool, dry_run: bool, **given: Any) -> int:
    """Change what is searched while it runs; without options, in $EDITOR.

    Trials that have begun keep their values. Those whose values the new space could have drawn stay in the optimizer's
    history.
    """
    found: Row = client.get(f"/optimizations/{optimization}/definition")
    told = _told(given)
    if told and given["file"] is not None:
        raise click.UsageError("--file says all of it; leave the other options out.")
    if given["file"] is not None:
        path = given["file"] / "bough.yml" if given["file"].is_dir() else given["file"]
        told = edit_text.edit_of_file(str(path), found)
    if not told:
        return _in_editor(client, found, dry_run, as_json)
    is_asked = given["file"] is not None and not yes and not as_json and sys.stdin.isatty()
    if dry_run or is_asked:
        planned: Row = client.post(f"/optimizations/{found['id']}/edit", {**told, "dry_run": True})
        if dry_run and as_json:
            tables.show_json(planned["edit"])
            return 0
        _show_changes(planned["edit"])
        if dry_run or not planned["edit"]["changes"] or not click.confirm("Change it?"):
            return 0
    return _apply(client, found, told, as_json, is_silent=is_asked)


def _told(given: dict[str, Any]) -> dict[str, Any]:
    """Return the edit that the options mean; empty without any."""
    space: dict[str, Any] = {**_pairs(given["search"], "--set"), **dict.fromkeys(given["drop"])}
    fixed: dict[str, Any] = {**_pairs(given["fix"], "--fix"), **dict.fromkeys(given["free"])}
    _refuse_contradictions({**given, "set": _pairs(given["search"], "--set"), "fix": _pairs(given["fix"], "--fix")})
    add = {name: edit_text.value_of(text) for name, text in _pairs(given["add"], "--add").items()}
    for name, text in _several(given["add_choice"], "--add-choice"):
        add.setdefault(name, []).append(edit_text.value_of(text))
    return {name: part for name, part in (("space", space), ("fixed", fixed), ("add", add)) if part}


def _refuse_contradictions(given: dict[str, Any]) -> None:
    """Say which name is given to two options that cannot both be meant."""
    for one, other in (("fix", "free"), ("fix", "set"), ("fix", "drop"), ("drop", "set"), ("drop", "free")):
        both = [name for name in given[one] if name in given[other]]
        if both:
            raise click.UsageError(f"--{one} {both[0]} and --{other} {both[0]} contradict each other. Leave one out.")


def _several(given: Sequence[str], option: str) -> list[tuple[str, str]]:
    found = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not of the form name=value.", param_hint=option)
        found.append((name.strip(), value))
    return found


def _pairs(given: Sequence[str], option: str) -> dict[str, str]:
    pairs = _several(given, option)
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise click.BadParameter(f"{twice} is given twice.", param_hint=option)
    return dict(pairs)


def _in_editor(client: Client, found: Row, dry_run: bool, as_json: bool) -> int:
    """Let its user change the text until it is right, and agree to what would change."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("there is no terminal for an editor. Say what to change: --set, --fix, --file …")
    text = edit_text.written(found)
    while True:
        new = click.edit(text, extension=".yml")
        if new is None or new == text:
            click.echo("nothing was changed")
            return 0
        try:
            told = edit_text.edit_of(new, found, "your text")
            planned: Row = client.post(f"/optimizations/{found['id']}/edit", {**told, "dry_run": True})
        except BoughError as error:
            click.echo(f"bough: {error}", err=True)
            if not click.confirm("Edit it again?", default=True):
                return 1
            text = new
            continue
        _show_changes(planned["edit"])
        if dry_run or not planned["edit"]["changes"] or not click.confirm("Change it?"):
            return 0
        return _apply(client, found, told, as_json, is_silent=True)


def _apply(client: Client, found: Row, told: dict[str, Any], as_json: bool, is_silent: bool) -> int:
    row: Row = client.post(f"/optimizations/{found['id']}/edit", told)
    _say(row, as_json, is_silent)
    return 0


def _say(row: Row, as_json: bool, is_silent: bool = False) -> None:
    if as_json:
        tables.show_json(row)
        return
    if not is_silent:
        _show_changes(row["edit"])
    if row["edit"]["changes"]:
        what = f"its space is version {row['space_version']}" if row["edit"]["kept"] is not None else "its settings are"
        click.echo(f"optimization {row['id']}: {what} {'now' if row['edit']['kept'] is not None else 'changed'}")
    for warning in row.get("warnings") or []:
        click.echo(f"warning: {warning}")


def _show_changes(edit: Row) -> None:
    for line in edit["changes"]:
        click.echo(line)
    if not edit["changes"]:
        click.echo("nothing would change")
    if edit["kept"] is not None:
        total = edit["kept"] + edit["left_out"]
        do = "does" if edit["left_out"] == 1 else "do"
        first = f"; {edit['left_out']} {do} not fit: {edit['first_left_out']}" if edit["left_out"] else ""
        click.echo(f"{edit['kept']} of {total} ended trials stay in the optimizer's history{first}")


@click.command("set")
@click.argument("optimization")
@click.argument("settings", metavar="NAME=VALUE...", nargs=-1, required=True)
@options.as_json
@options.connected
def change(client: Client, optimization: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Change settings while it runs: max_parallel=4 max_time=10m kpi.reduce=best agents=[a,b]; NAME= is the default.

    Limits hold for trials that are started afterwards.
    """
    values = {name: edit_text.value_of(text) for name, text in _pairs(settings, "NAME=VALUE").items()}
    row: Row = client.patch(f"/optimizations/{optimization}", values)
    _say(row, as_json)


COMMANDS = (edit, change)
