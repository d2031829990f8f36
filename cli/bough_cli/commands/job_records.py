"""`bough job files|cat|diff|checkout`: jobs that have ended, from git alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bough_cli import options, tables, wording
from bough_cli.records import comparing, handed_in, sources, taking_out
from bough_cli.records.record import Record
from bough_cli.records.sources import Sources


@click.command("files")
@click.argument("job")
@click.option("--code", "with_code", is_flag=True, help="The code that ran too.")
@options.as_json
@sources.places
def files(where: Sources, job: str, with_code: bool, as_json: bool) -> None:
    """List the files of a job's record, those it handed in with the size of their contents."""
    record = where.record(job)
    entries, contents = record.files(with_code), handed_in.of(record)
    found: dict[str, tuple[str | None, int]] = {entry.path: (entry.mode, entry.size) for entry in entries}
    found |= {path: (found.get(path, (None, 0))[0], file.size) for path, file in contents.items()}
    if as_json:
        rows = [
            {"path": path, "mode": mode, "size": size, **_where(contents.get(path))}
            for path, (mode, size) in sorted(found.items())
        ]
        tables.show_json(wording.harmless(rows))
        return
    for path, (_, size) in sorted(found.items()):
        click.echo(f"{size:>12}  {_one_line(path)}{_elsewhere(contents.get(path))}")


@click.command("cat")
@click.argument("job")
@click.argument("path")
@sources.places
def cat(where: Sources, job: str, path: str) -> None:
    """Print a file of a job's record: of .bough/ (job.json, channels/loss.csv) or of the code.

    What the job handed in and is too large for git is read from the coordinator that keeps it.
    """
    record = where.record(job)
    file = handed_in.named(record, path)
    if file is None:
        write(record.read(path))
        return
    for piece in handed_in.content(where, record, file):
        write(piece)


@click.command("diff")
@click.argument("one")
@click.argument("other")
@click.option("--patch", "-u", is_flag=True, help="Show the whole difference of the code.")
@options.as_json
@sources.places
def diff(where: Sources, one: str, other: str, patch: bool, as_json: bool) -> None:
    """Show what differs between two jobs: code, hyperparameters, environment and result."""
    first, second = where.record(one), where.record(other)
    found = comparing.compare(first, second)
    if as_json:
        tables.show_json(wording.harmless(_as_json(first, second, found, patch)))
        return
    click.echo("code")
    colour = f"--color={'always' if sys.stdout.isatty() else 'never'}"
    if found.code:
        write(comparing.diff(first, second, "--patch" if patch else "--stat", colour))
    else:
        click.echo("  the same")
    names = (first.title, second.title)
    _show("hyperparameters", names, found.parameters)
    _show("environment", names, found.environment)
    _show("result", names, found.result)


@click.command("checkout")
@click.argument("job")
@click.argument("folder", metavar="[DIR]", required=False)
@click.option("--worktree", is_flag=True, help="Make DIR a worktree of the clone, to go on from there.")
@click.option("--branch", metavar="NAME", help="… on a new branch of this name.")
@sources.places
def checkout(where: Sources, job: str, folder: str | None, worktree: bool, branch: str | None) -> None:
    """Put the code of a job, and what it reported, into a new folder."""
    record = where.record(job)
    place = Path(folder) if folder else sources.folder_for(record)
    if worktree or branch is not None:
        if record.git_dir != where.clone:
            raise click.UsageError("A worktree belongs to a clone that holds the record. Bring it first: bough pull.")
        taking_out.into_worktree(record, place, branch)
        click.echo(f"{record.title} is in {place}, {'detached' if branch is None else f'on branch {branch}'}")
        return
    empty, pointers = taking_out.into_folder(record, place)
    click.echo(f"{record.title} is in {place}: its code, and in .bough/ what it reported")
    for path in empty:
        click.echo(f"{_one_line(path)} is a submodule, and its commit is not part of the record.", err=True)
    for path in pointers:
        click.echo(f"{_one_line(path)} is a pointer of Git LFS: its content is not part of the record.", err=True)


COMMANDS = (files, cat, diff, checkout)


def write(content: bytes) -> None:
    """Write bytes to stdout as they are, or to a terminal without what would steer it."""
    sys.stdout.buffer.write(wording.harmless_log(content) if sys.stdout.isatty() else content)
    sys.stdout.buffer.flush()


def _where(file: handed_in.HandedIn | None) -> dict[str, Any]:
    """Return what more is told of a file that the job handed in."""
    if file is None:
        return {}
    place = None if file.in_git or file.place is None else str(file.place)
    return {"sha256": file.sha256, "in_git": file.in_git, "place": place}


def _elsewhere(file: handed_in.HandedIn | None) -> str:
    if file is None or file.in_git:
        return ""
    return "  (not in git, but on this machine)" if file.place is not None else "  (not in git: at its coordinator)"


def _one_line(path: str) -> str:
    shown = path.encode("utf-8", "replace").decode()
    return shown if shown.isprintable() else repr(shown)


def _show(title: str, names: tuple[str, str], sides: comparing.Sides) -> None:
    click.echo(f"\n{title}")
    if not sides:
        click.echo("  the same")
        return
    rows = [(name, _text(one), _text(other)) for name, (one, other) in sides.items()]
    tables.show_columns([("", *names), *rows])


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        import json

        return json.dumps(value, ensure_ascii=False)
    return wording.number(value)


def _as_json(one: Record, other: Record, found: comparing.Comparison, patch: bool) -> dict[str, Any]:
    code = [{"path": path, "added": added, "deleted": deleted} for path, added, deleted in found.code]
    more = {"patch": comparing.diff(one, other, "--patch").decode("utf-8", "replace")} if patch else {}
    return {
        "jobs": [one.row["id"], other.row["id"]],
        "code": code,
        "parameters": {name: list(pair) for name, pair in found.parameters.items()},
        "environment": {name: list(pair) for name, pair in found.environment.items()},
        "result": {name: list(pair) for name, pair in found.result.items()},
        **more,
    }
