"""Two records side by side: code, hyperparameters, environment, result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bough import _git
from bough_cli.records import objects
from bough_cli.records.record import Record, flat, read_ahead

TIMEOUT_S = 120.0
_RESULT = ("state", "end_reason", "kpi", "kpi_last", "kpi_best", "kpi_best_x", "epochs", "duration_s", "exit_code")
_CODE = ("--", ".", ":(top,exclude).bough")
# Neither the user's configuration nor a repository's attributes choose a program that shows the difference.
_PLAIN = ("--no-ext-diff", "--no-textconv", "-M", "--src-prefix=a/", "--dst-prefix=b/", "--ignore-submodules=none")
Sides = dict[str, tuple[Any, Any]]  # name → (of the one, of the other); None where it has none


@dataclass(frozen=True)
class Comparison:
    """What differs between two records.

    Attributes:
        code: (path, lines added, lines deleted); None for the lines of a binary file.
        parameters: Hyperparameters that differ, or that only one has.
        environment: The same of what was recorded of interpreter, machine and packages.
        result: State, KPI and the last values of all channels, also where they are equal.
    """

    code: list[tuple[str, int | None, int | None]]
    parameters: Sides
    environment: Sides
    result: Sides


def compare(one: Record, other: Record) -> Comparison:
    """Return what differs from the one to the other."""
    read_ahead((one, other), "parameters.json", "environment.json")
    return Comparison(
        _changes(one, other),
        differing(one.values, other.values),
        differing(flat(one.environment), flat(other.environment)),
        {**_results(one, other), **_sides(_last(one), _last(other))},
    )


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Sides:
    """Return the names whose values differ, or that only one of them has."""
    return {name: pair for name, pair in _sides(one, other).items() if not _is_same(*pair)}


def diff(one: Record, other: Record, *options: str) -> bytes:
    """Return git's difference of the code of two records, ``.bough/`` left out, with these options of ``git diff``."""
    env = {}
    if one.git_dir != other.git_dir:
        env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(Path(other.git_dir) / "objects")}
    command = ["diff", *_PLAIN, *options, one.oid, other.oid, *_CODE]
    try:
        return _git.run(command, git_dir=one.git_dir, env=env, timeout_s=TIMEOUT_S)
    except _git.GitFailed as error:
        raise objects.damaged(one.git_dir, error) from None


def _changes(one: Record, other: Record) -> list[tuple[str, int | None, int | None]]:
    told = diff(one, other, "--numstat", "-z", "--no-renames").decode("utf-8", "surrogateescape")
    found = []
    for line in told.split("\0"):
        if line:
            added, deleted, path = line.split("\t", 2)
            found.append((path, _count(added), _count(deleted)))
    return found


def _count(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _results(one: Record, other: Record) -> Sides:
    return {name: (one.row.get(name), other.row.get(name)) for name in _RESULT}


def _last(record: Record) -> dict[str, Any]:
    last = record.row.get("last")
    return {f"last.{name}": value for name, value in last.items()} if isinstance(last, Mapping) else {}


def _sides(one: Mapping[str, Any], other: Mapping[str, Any]) -> Sides:
    names = [*one, *(name for name in other if name not in one)]
    return {name: (one.get(name), other.get(name)) for name in names}


def _is_same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
