"""Where a command finds jobs and records: a coordinator, this clone, or a cache of what was fetched from the first.

A list comes from the coordinator where one is known, since only it knows what still runs; from the clone otherwise, or
where the coordinator does not answer. A record comes from the clone where that holds it, else it is fetched.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bough.errors import BoughError, Conflict, NotFound, Unavailable
from bough_cli import client as clients
from bough_cli import home, options
from bough_cli.records import clones
from bough_cli.records.index import Index
from bough_cli.records.record import Record
from bough_cli.wording import Row

if TYPE_CHECKING:
    from bough_cli.client import Client

FETCH_S = 600.0
PROGRESS_FROM = 4000  # records to be read: below that it is over before a bar is of use


@dataclass(frozen=True)
class Sources:
    """Where to look.

    Attributes:
        repo: A clone that was named; None takes the one around the current folder.
        coordinator: Its address, as given.
        key: Its key, as given.
    """

    repo: str | None = None
    coordinator: str | None = None
    key: str | None = None

    @functools.cached_property
    def clone(self) -> str | None:
        """The git directory of the clone, None where there is none."""
        return clones.named(self.repo)

    @functools.cached_property
    def index(self) -> Index | None:
        """The records of the clone, None where it has none or there is no clone."""
        if self.clone is None:
            return None
        with _bar() as progress:
            found = Index(self.clone, progress)
        return found if len(found) or self.repo is not None else None

    @contextmanager
    def client(self) -> Iterator[Client | None]:
        """Give a client of the coordinator, None where none is known or a clone was named instead."""
        address = None if self.repo is not None else clients.find(self.coordinator, self.key)
        if address is None:
            yield None
            return
        with clients.Client(address) as client:
            yield client

    def rows(self, limit: int, **filters: Any) -> list[Row]:
        """Return jobs, newest first or sorted; filters are those of `Index.rows`.

        Raises:
            Unavailable: There is neither a coordinator nor a clone with records.
        """
        with self.client() as client:
            if client is not None:
                try:
                    return client.pages("/jobs", limit, **{name: value for name, value in filters.items() if value})
                except Unavailable as error:
                    if self.index is None:
                        raise
                    _note(error)
        if self.index is None:
            raise nowhere()
        return self.index.rows(limit=limit, **filters)

    @contextmanager
    def of_coordinator(self, name: str) -> Iterator[tuple[Client | None, Row]]:
        """Give the coordinator and the job that a name means there; (None, {}) where the clone is to be asked.

        Raises:
            NotFound: The coordinator does not know it, and there is no clone to ask.
        """
        with self.client() as client:
            row: Row | None = None
            if client is not None:
                try:
                    row = job_of(client, name)
                except (Unavailable, NotFound):
                    if self.index is None:
                        raise
            yield (None, {}) if client is None or row is None else (client, row)

    def job(self, name: str) -> Row:
        """Return a job with its channels, infos and attempts.

        Raises:
            NotFound: Neither the coordinator nor the clone knows it.
        """
        with self.of_coordinator(name) as (client, row):
            if client is not None:
                whole: Row = client.get(f"/jobs/{row['id']}")
                return whole
        return self.record(name).whole()

    def record(self, name: str) -> Record:
        """Return the record that a name means.

        Raises:
            NotFound: Neither the clone nor the coordinator has one.
            Conflict: The job has not ended.
        """
        missing: BoughError = nowhere()
        if self.index is not None and self.clone is not None:
            try:
                return Record.of(self.clone, self.index.find(name))
            except NotFound as error:
                missing = error
        with self.client() as client:
            if client is None:
                raise missing
            try:
                return fetched(client, job_of(client, name))
            except Unavailable:
                if self.index is None:
                    raise
                raise missing from None


def job_of(client: Client, name: str) -> Row:
    """Return the job that a name means to a coordinator: an id, its beginning, or ``OPTIMIZATION/NUMBER``.

    Raises:
        NotFound: There is none, or several.
    """
    found = re.fullmatch(r"([^/]+)/([0-9]{1,18})(?:-[A-Za-z0-9_-]*)?", name)
    row: Row
    if found is None:
        row = client.get(f"/jobs/{quoted(name)}")
        return row
    number = int(found[2])
    # Numbers are given without gaps, from 1 on.
    page = client.get(f"/optimizations/{quoted(found[1])}/trials", sort="number", limit=1, offset=max(0, number - 1))
    for row in page["rows"]:
        if row["number"] == number:
            return row
    raise NotFound(f"there is no trial {number} of optimization {found[1]}.", "List them: bough job ls.")


def fetched(client: Client, job: Row) -> Record:
    """Bring the record of a job from the coordinator into a bare cache of the home, and return it.

    Raises:
        Conflict: It has none yet.
    """
    from bough import _git

    ref = job.get("record")
    if not ref:
        raise Conflict(
            f"job {job['id']} is {job['state']} and has no record yet.", "A job becomes a record when it has ended."
        )
    folder = home.folder("records", hashlib.sha256(client.url.encode()).hexdigest()[:16])
    cache = folder / f"{hashlib.sha256(str(job['model']).encode()).hexdigest()[:16]}.git"
    if not (cache / "HEAD").exists():
        _git.run(["init", "--quiet", "--bare", str(cache)])
    url = f"{client.url}/git/{job['model']}.git"
    command = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", url, f"+{ref}:{ref}"]
    _git.run(command, git_dir=str(cache), token=client.address.key, timeout_s=FETCH_S)
    return Record.of(str(cache), Index(str(cache)).find(str(ref)))


def nowhere() -> Unavailable:
    """Return the error for a place without records and without a coordinator."""
    return Unavailable(
        "no coordinator is known, and here is no clone with records.",
        "Go to a clone and bring them (bough pull, or git fetch origin 'refs/bough/*:refs/bough/*'), name one with "
        "--repo DIR, or name a coordinator with `bough login URL`.",
    )


def places(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --repo, --coordinator and --key, and hand the command its `Sources` as the first argument."""

    @click.option("--repo", metavar="DIR", help="A clone that holds records; default: the one around this folder.")
    @options.address
    @functools.wraps(command)
    def run(*, repo: str | None, coordinator: str | None, key: str | None, **given: Any) -> Any:
        return command(Sources(repo, coordinator, key), **given)

    return run


def _note(error: BoughError) -> None:
    click.echo(f"{error.what} Shown is what this clone holds.", err=True)


def quoted(name: str, safe: str = "") -> str:
    """Return a name as a part of a URL."""
    from urllib.parse import quote

    return quote(name, safe=safe)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal when many records are read."""
    if not sys.stderr.isatty():
        yield None
        return
    shown: list[Any] = []

    def progress(done: int, total: int) -> None:
        if total < PROGRESS_FROM:
            return
        if not shown:
            shown.append(click.progressbar(length=total, label="reading records", file=sys.stderr))
            shown[0].__enter__()
        shown[0].update(done - shown[0].pos)

    try:
        yield progress
    finally:
        for bar in shown:
            bar.__exit__(None, None, None)


def folder_for(record: Record) -> Path:
    """Return the folder into which a record is put unless another is named: ``p7tq2m4x-7``, or the job's id."""
    row = record.row
    return Path(row["id"] if row["optimization"] is None else f"{row['optimization']}-{row['number']}")
