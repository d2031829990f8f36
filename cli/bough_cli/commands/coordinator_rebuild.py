"""`bough coordinator rebuild`: a coordinator made anew from clones that hold its records."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bough.errors import UsageError
from bough_cli import options, tables


@click.command("rebuild")
@click.option(
    "--from",
    "sources",
    metavar="REPO",
    multiple=True,
    help="A clone with refs/bough/*, or a URL; several allowed. Default: the repositories of the home itself.",
)
@click.option(
    "--home",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Of the new coordinator. Default: ~/.bough/coordinator.",
)
@click.option("--database", metavar="URL", help="An empty postgresql://… for its store; default: a file in the home.")
@options.as_json
@click.pass_obj
def command(
    given: dict[str, Any], sources: tuple[str, ...], folder: Path | None, database: str | None, as_json: bool
) -> int:
    """Make the coordinator's home anew from git: models, optimizations, jobs, points, logs, files.

    A clone that has everything is made by `git clone --mirror` of what the coordinator hosts. Exit code 1 says that
    some records could not be used; everything else is there.
    """
    try:
        from bough_cli.commands import coordinator
        from bough_server.service.rebuild import LOST, rebuild
    except ImportError as error:
        raise UsageError(
            f"the coordinator needs packages that are not installed here ({error.name} is missing).",
            'Install them: pip install "bough[server]".',
        ) from None
    os.umask(0o077)
    settings = coordinator.settings(folder or given["folder"], database or given["database"])
    with _bar() as progress:
        found = rebuild(settings, sources, progress)
    if as_json:
        names = ("models", "optimizations", "jobs", "problems", "absent")
        tables.show_json({"home": str(settings.home), **{name: getattr(found, name) for name in names}})
        return 1 if found.problems else 0
    for problem in found.problems:
        click.echo(f"warning: {problem}", err=True)
    click.echo(
        f"{settings.home} holds {_count(len(found.models), 'model')}, "
        f"{_count(found.optimizations, 'optimization')} and {_count(found.jobs, 'job')}."
    )
    if found.absent:
        click.echo(
            f"{_count(found.absent, 'file')} of jobs were too large for git. To have them too, put the folder "
            f"{settings.contents.name} of the old home into a new one before it is rebuilt."
        )
    click.echo(LOST)
    return 1 if found.problems else 0


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show on stderr how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total or None)
