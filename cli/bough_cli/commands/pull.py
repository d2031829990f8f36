"""`bough pull` and `bough push`: records brought from one repository to another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bough.errors import UsageError
from bough_cli import options, tables
from bough_cli.client import Address, Client
from bough_cli.recorded.folder import is_recorded
from bough_cli.records import clones, others, refs, transfer
from bough_cli.records.index import Index
from bough_cli.records.transfer import Brought, Progress

_SHARED = (
    click.option("--optimization", metavar="ID", help="Only the records of this optimization."),
    click.option("--model", metavar="OWNER/NAME", help="Of which model; default: that of the bough.yml here."),
    click.option("--repo", metavar="DIR", help="The clone; default: the one around this folder."),
    options.as_json,
    options.address,
)


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_SHARED):
        command = option(command)
    return command


@click.command("pull")
@click.argument("place", metavar="[COORDINATOR|REMOTE|URL]", required=False)
@_shared
def command(place: str | None, optimization: str | None, model: str | None, as_json: bool, **where: Any) -> None:
    """Bring records into this clone, from a coordinator or a git remote."""
    git_dir = _clone(where["repo"])
    address = others.coordinator(place, where["coordinator"], where["key"])
    with _bar(as_json) as progress:
        if address is None:
            brought = transfer.pull(git_dir, others.of_git(git_dir, place), _checked(optimization), progress)
        else:
            if optimization is not None:
                optimization, model = _known(address, optimization, model)
            with others.of_coordinator(address, model or _model(where["repo"])) as other:
                brought = transfer.pull(git_dir, other, optimization, progress)
        Index(git_dir, lambda done, total: progress("Reading records", 100 * done // total))
    _conclude("brought here", brought, as_json)


@click.command("push")
@click.argument("place", metavar="[COORDINATOR|REMOTE|URL|.bough/ID]", required=False)
@click.option("--follow", is_flag=True, help="Of .bough/ID: go on until its script has ended.")
@click.option("--ended", is_flag=True, help="Of .bough/ID: it has ended, where that cannot be seen from this machine.")
@_shared
def push(
    place: str | None,
    follow: bool,
    ended: bool,
    optimization: str | None,
    model: str | None,
    as_json: bool,
    **where: Any,
) -> None:
    """Bring the records of this clone to a coordinator or a git remote.

    With .bough/ID, a run that a script without an agent recorded becomes a job of the coordinator, once.
    """
    if place is not None and (follow or ended or is_recorded(place)):
        from bough_cli.recorded import showing

        showing.push(place, follow, ended, as_json, where["coordinator"], where["key"])
        return
    git_dir = _clone(where["repo"])
    index = Index(git_dir)
    chosen = None if optimization is None else index.optimization(optimization)
    address = others.coordinator(place, where["coordinator"], where["key"])
    if address is None:
        with _bar(as_json) as progress:
            brought = transfer.push(git_dir, others.of_git(git_dir, place), transfer.patterns(chosen), progress)
        _conclude("brought there", brought, as_json)
        return
    rows = index.rows(optimization=chosen, model=model, limit=sys.maxsize)
    whole = Brought(0, 0)
    with _bar(as_json) as progress:
        for name in sorted({str(row["model"]) for row in rows}):
            mine = [str(row["record"]) for row in rows if row["model"] == name]
            of_it = {row["optimization"] for row in rows if row["optimization"] and row["model"] == name}
            mine += sorted(refs.OPTIMIZATIONS + its_id for its_id in of_it)
            with others.of_coordinator(address, name) as other:
                found = transfer.push(git_dir, other, [*mine, refs.MODELS + name], progress)
            checked = _taken_in(address, name, found)
            whole = Brought(whole.new + checked.new, whole.known + checked.known, whole.kept + checked.kept)
    _conclude("brought there", whole, as_json)


def _taken_in(address: Address, model: str, brought: Brought) -> Brought:
    """Let the coordinator check what was pushed to it; what it does not take is told line by line."""
    if not brought.new:
        return brought
    with Client(address) as client:
        told = client.post("/incoming", {"model": model})
    new = sum(1 for name in told["accepted"] if name.startswith(refs.JOBS))
    for row in told["refused"]:
        click.echo(f"{row['ref']} was not taken: {row['detail']}", err=True)
    if told["refused"]:
        raise UsageError(f"{address.url} did not take {len(told['refused'])} of the refs.", "Why is said above.")
    kept = tuple(row["as"] for row in told["kept"])
    for row in told["kept"]:
        click.echo(f"{row['ref']} was not joined: {row['detail']}", err=True)
    aside = sum(1 for row in told["kept"] if row["ref"].startswith(refs.JOBS))
    return Brought(new, brought.known + brought.new - new - aside, kept)


def _clone(repo: str | None) -> str:
    found = clones.named(repo)
    if found is None:
        raise UsageError("here is no clone.", "Go to one, name one with --repo DIR, or make one: git init.")
    return found


def _known(address: Address, optimization: str, model: str | None) -> tuple[str, str]:
    """Return the whole id of an optimization, and its model, as the coordinator knows them."""
    with Client(address) as client:
        found = client.get(f"/optimizations/{optimization}")
    return str(found["id"]), model or str(found["model"])


def _checked(optimization: str | None) -> str | None:
    """The id goes into the name of a ref, so it has to be whole and one word."""
    if optimization is not None and refs.read(f"{refs.JOBS}{optimization}/1-x") is None:
        raise click.BadParameter(f"{optimization!r} is no id.", param_hint="--optimization")
    return optimization


def _model(repo: str | None) -> str:
    from bough import _standalone, definition

    path = _standalone.find_definition(str(Path(repo) if repo else Path.cwd()))
    if path is None:
        raise UsageError(
            "there is no bough.yml here that names a model.", "Name it: --model OWNER/NAME, or --optimization ID."
        )
    return str(definition.load(path).model)


def _conclude(verb: str, brought: Brought, as_json: bool) -> None:
    if as_json:
        tables.show_json({"new": brought.new, "known": brought.known, "kept": list(brought.kept)})
    else:
        count = f"{brought.new} record{'' if brought.new == 1 else 's'}"
        click.echo(f"{count} {verb}, {brought.known} were there already")
    if brought.kept:
        shown = ", ".join(brought.kept[:3]) + (", …" if len(brought.kept) > 3 else "")
        one = len(brought.kept) == 1
        click.echo(
            f"{len(brought.kept)} ref{' is' if one else 's are'} on both sides with commits of which neither stands on "
            f"the other. Nothing was written over: what came is kept as {shown}.",
            err=True,
        )


@contextmanager
def _bar(is_silent: bool) -> Iterator[Progress]:
    """Show what git does as a bar on a terminal, and not at all otherwise."""
    if is_silent or not sys.stderr.isatty():
        yield lambda _what, _percent: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(file=sys.stderr)
    with Progress(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), console=console) as bars:
        task = bars.add_task("looking", total=100)
        yield lambda what, percent: bars.update(task, description=what.lower(), completed=percent)
