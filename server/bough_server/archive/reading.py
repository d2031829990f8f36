"""From git to what a record holds: its commit, and the files below ``.bough/``. What they mean is `parsing`'s."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from bough_server.archive.objects import TREE, Entries, Objects, entries

TOGETHER = 200  # records that are read at once
FOLDER = ".bough"
_FILES = "files"  # what the job handed in: listed, not read
_DEPTH = 40
_MAX_FILES = 20_000  # of one record
_SHARED = ("definition.json", "space.json", "environment.json")  # the same in many records
_KEPT = 1000


@dataclass
class Record:
    """A record as git holds it.

    Attributes:
        ref: Its ref.
        oid: Its commit.
        parents: Ids of its parents, the code's commit first.
        date: When it was committed, seconds since the epoch.
        message: Of the commit.
        code: What is in its root besides ``.bough``.
        files: Path below ``.bough/`` → content; None where it is too large, or one of those the job handed in.
        ids: The same paths → ids.
        faults: What is wrong with it as a tree, each the end of a sentence that begins with its ref.
    """

    ref: str
    oid: str
    parents: list[str] = field(default_factory=list)
    date: int = 0
    message: str = ""
    code: Entries = field(default_factory=dict)
    files: dict[str, bytes | None] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Reader:
    """Reads records of one repository, many at once.

    Args:
        objects: Of that repository.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._shared: dict[str, bytes | None] = {}
        self._codes: dict[str, Entries | None] = {}

    def read(self, refs: Mapping[str, str]) -> Iterator[Record]:
        """Yield the record of each ref (name → id), in their order.

        Raises:
            GitFailed: The repository is damaged.
        """
        waiting = iter(refs.items())
        while some := [Record(ref, oid) for ref, oid in islice(waiting, TOGETHER)]:
            trees = self._commits(some)
            self._roots(some, trees)
            self._blobs(some)
            yield from some

    def content(self, oid: str) -> bytes | None:
        """Return a blob; None if there is none, or it is too large."""
        (found,) = self._objects.read([oid])
        return None if found is None else found.content

    def code_of(self, commit: str) -> Entries | None:
        """Return what is in the root of a commit besides ``.bough``; None if there is no such commit."""
        if commit not in self._codes:
            (found,) = self._objects.read([f"{commit}^{{tree}}"])
            is_tree = found is not None and found.type == "tree" and found.content is not None
            code = entries(found.content, len(found.oid) // 2) if is_tree and found and found.content else {}
            self._codes[commit] = {k: v for k, v in code.items() if k != FOLDER} if is_tree else None
        return self._codes[commit]

    def _commits(self, records: list[Record]) -> list[str | None]:
        trees: list[str | None] = []
        for record, found in zip(records, self._objects.read([one.oid for one in records]), strict=True):
            trees.append(None)
            if found is None or found.type != "commit" or found.content is None:
                record.faults.append("is no commit")
                continue
            head, _, message = found.content.decode("utf-8", "replace").partition("\n\n")
            record.message = message
            for line in head.splitlines():
                name, _, value = line.partition(" ")
                if name == "tree":
                    trees[-1] = value
                elif name == "parent":
                    record.parents.append(value)
                elif name == "committer":
                    record.date = _date(value)
        return trees

    def _roots(self, records: list[Record], trees: list[str | None]) -> None:
        """Read trees, one level after the other: those of all records of a level together."""
        whole = [(record, "", tree) for record, tree in zip(records, trees, strict=True) if tree is not None]
        for depth in range(_DEPTH + 1):
            deeper = []
            for (record, path, _), found in zip(whole, self._objects.read([one[2] for one in whole]), strict=True):
                content = None if found is None or found.type != "tree" else found.content
                if content is None:
                    record.faults.append(f"lacks the folder {path or '/'}")
                    continue
                try:
                    inside = entries(content, len(record.oid) // 2)
                except ValueError:
                    record.faults.append(f"has a damaged folder {path or '/'}")
                    continue
                if depth == 0:
                    record.code = {name: entry for name, entry in inside.items() if name != FOLDER}
                    inside = {FOLDER: inside[FOLDER]} if FOLDER in inside else {}
                for name, (mode, oid) in inside.items():
                    below = "" if depth == 0 else path + name
                    if mode == TREE:
                        deeper.append((record, below + "/" if below else "", oid))
                    elif len(record.ids) < _MAX_FILES and mode in ("100644", "100755"):
                        record.ids[below] = oid
            whole = deeper
            if not whole:
                return

    def _blobs(self, records: list[Record]) -> None:
        wanted = []
        for record in records:
            for path, oid in record.ids.items():
                if is_file(path):
                    record.files[path] = None
                elif path in _SHARED and oid in self._shared:
                    record.files[path] = self._shared[oid]
                else:
                    wanted.append((record, path, oid))
        for (record, path, oid), found in zip(wanted, self._objects.read([one[2] for one in wanted]), strict=True):
            if found is None or found.type != "blob":
                record.faults.append(f"lacks the file {path}")
                continue
            record.files[path] = found.content
            if path in _SHARED:
                if len(self._shared) >= _KEPT:
                    self._shared.clear()
                self._shared[oid] = found.content


def is_file(path: str) -> bool:
    """Tell whether a path below ``.bough/`` is a file that the job handed in."""
    parts = path.split("/", 3)
    return parts[0] == _FILES or (parts[0] == "attempts" and len(parts) == 4 and parts[2] == _FILES)


def _date(committer: str) -> int:
    """Return the seconds in a line such as ``name <mail> 1700000000 +0000``; 0 where there are none."""
    parts = committer.split()
    return int(parts[-2]) if len(parts) > 1 and parts[-2].isdigit() else 0
