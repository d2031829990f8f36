"""One record: a commit whose tree is the code that ran and ``.bough/``, read without touching any working tree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bough import _git
from bough.errors import NotFound, UsageError
from bough_cli.records import objects
from bough_cli.records.index import Found
from bough_cli.wording import Row

FOLDER = ".bough/"
FORMAT = 1  # the newest that this code knows


@dataclass(frozen=True)
class Entry:
    """A file of a record: its path from the root, its mode as git writes it, and its size in bytes."""

    path: str
    mode: str
    size: int


@dataclass(frozen=True)
class Record:
    """A record in a clone.

    Attributes:
        git_dir: Of the clone.
        oid: The commit.
        row: The job in the shape of the protocol.
    """

    git_dir: str
    oid: str
    row: Row

    @classmethod
    def of(cls, git_dir: str, found: Found) -> Record:
        """Return the record that was found in the index of a clone."""
        return cls(git_dir, found.oid, found.row)

    @property
    def title(self) -> str:
        """What people call it: ``trial 7 of p7tq2m4x``, or ``job k3f9a2bq``."""
        if self.row["optimization"] is None:
            return f"job {self.row['id']}"
        return f"trial {self.row['number']} of {self.row['optimization']}"

    @cached_property
    def job(self) -> dict[str, Any]:
        """The whole of job.json.

        Raises:
            UsageError: It was written by a newer version of bough, or is damaged.
        """
        found = self._json("job.json")
        if found.get("format", FORMAT) != FORMAT:
            raise UsageError(
                f"the record of {self.title} has format {found['format']}, and this bough knows only {FORMAT}.",
                "Install a newer one: pip install -U bough.",
            )
        return found

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Interpreter, machine and packages, as far as they were recorded."""
        return self._json("environment.json")

    @cached_property
    def values(self) -> dict[str, Any]:
        """The hyperparameters, flat, keyed by the full path."""
        return self._json("parameters.json")

    @cached_property
    def _ahead(self) -> dict[str, bytes | None]:
        """What `read_ahead` has read."""
        return {}

    def files(self, with_code: bool = False) -> list[Entry]:
        """Return what is below ``.bough/``, or everything."""
        command = ["ls-tree", "-r", "-l", "-z", "--full-tree", self.oid, *([] if with_code else [FOLDER])]
        try:
            told = _git.run(command, git_dir=self.git_dir)
        except _git.GitFailed as error:
            raise objects.damaged(self.git_dir, error) from None
        return [_entry(line) for line in told.decode("utf-8", "surrogateescape").split("\0") if line]

    def read(self, path: str) -> bytes:
        """Return the content of a file: below ``.bough/`` or, if there is none of that name, of the code.

        Raises:
            NotFound: The record holds no such file.
        """
        clean = path.removeprefix("./").strip("/")
        is_inside = not {"", ".", ".."} & set(clean.split("/"))  # git takes ./x as relative to a working tree
        if is_inside and "\n" not in clean and "\0" not in clean:
            for name in (FOLDER + clean, clean):
                (found,) = objects.contents(self.git_dir, [f"{self.oid}:{name}"])
                if found is not None:
                    return found
        raise NotFound(f"the record of {self.title} holds no file {path}.", f"See: bough job files {self.row['id']}.")

    def whole(self) -> Row:
        """Return the job with its channels, infos and attempts, as the coordinator shows it."""
        attempts = self.job.get("attempts")
        return {
            **self.row,
            "channels": self.job.get("channels") or [],
            "infos": self.job.get("infos") or {},
            "history": attempts if isinstance(attempts, list) else [],
        }

    def _json(self, file: str) -> dict[str, Any]:
        what = f"file {FOLDER}{file} in the record of {self.title}"
        content = self._ahead.get(file) or objects.content(self.git_dir, f"{self.oid}:{FOLDER}{file}", what)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise UsageError(f"the {what} is damaged.", "Fetch it again from where it was written: bough pull.")
        return found


def read_ahead(records: Sequence[Record], *files: str) -> None:
    """Read these files of ``.bough/`` of some records by one process of git for each clone, not one for each file."""
    for git_dir in dict.fromkeys(record.git_dir for record in records):
        wanted = [(record, file) for record in records if record.git_dir == git_dir for file in files]
        found = objects.contents(git_dir, [f"{record.oid}:{FOLDER}{file}" for record, file in wanted])
        for (record, file), content in zip(wanted, found, strict=True):
            record._ahead[file] = content


def _entry(line: str) -> Entry:
    head, _, path = line.partition("\t")
    mode, _, _, size = head.split()
    return Entry(path, mode, int(size) if size.isdigit() else 0)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return a nested JSON object as ``{"agent.system.cpus": 2, …}``; lists are values."""
    if not isinstance(value, Mapping):
        return {path: value} if path else {}
    found: dict[str, Any] = {}
    for name, item in value.items():
        below = f"{path}.{name}" if path else str(name)
        found.update(flat(item, below) if isinstance(item, Mapping) else {below: item})
    return found
