"""What a job handed in, in its record: small files as they are, larger ones as a pointer to the content store.

A pointer is a text of three lines (`pointer`); whether a file is one is told by ``tables/job_files.jsonl``, which names
size and SHA-256 of every content. A content of up to `INLINE_BYTES` is in git, as long as those of one attempt are not
more than `TOGETHER_BYTES`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough_server.archive.gathering import Attempt
from bough_server.store.contents import ContentStore

TABLE = "job_files"
FOLDER = "files/"
INLINE_BYTES = 1024 * 1024
TOGETHER_BYTES = 16 * INLINE_BYTES
_POINTER = re.compile(rb"bough content\nsha256 ([0-9a-f]{64})\nbytes ([0-9]{1,15})\n")
Row = Mapping[str, Any]


def pointer(row: Row) -> bytes:
    """Return what stands in the place of a content that is not in git."""
    return f"bough content\nsha256 {row['sha256']}\nbytes {row['bytes']}\n".encode()


def pointed(content: bytes) -> tuple[str, int] | None:
    """Return SHA-256 and length of the content that a pointer stands for; None where it is no pointer."""
    found = _POINTER.fullmatch(content)
    return None if found is None else (found[1].decode(), int(found[2]))


def handed_in(attempt: Attempt, contents: ContentStore | None) -> Iterator[tuple[str, bytes]]:
    """Yield path below ``files/`` and content, or pointer, of each file of an attempt.

    A name that is also the folder of another one is only in the table: a tree cannot hold both.
    """
    rows = attempt.others.get(TABLE, [])
    folders = {parent for row in rows for parent in _parents(row["path"])}
    room = TOGETHER_BYTES
    for row in rows:
        if row["path"] in folders:
            continue
        is_small = row["bytes"] <= min(INLINE_BYTES, room)
        content = _content(contents, row) if is_small and contents is not None else None
        room -= 0 if content is None else len(content)
        yield row["path"], pointer(row) if content is None else content


def _parents(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:i]) for i in range(1, len(parts)))


def _content(contents: ContentStore, row: Row) -> bytes | None:
    try:
        content = contents.path(row["sha256"]).read_bytes()
    except FileNotFoundError:
        return None  # it was lost or refused: the table has its name
    return content if len(content) == row["bytes"] else None


def is_here(contents: ContentStore, row: Row) -> bool:
    """Tell whether the content store holds the content of a file."""
    path = contents.path(row["sha256"])
    return path.is_file() and path.stat().st_size == row["bytes"]


def keep(contents: ContentStore, row: Row, found: bytes | None) -> bool:
    """Put what a record holds for a file into the content store, and tell whether it was the content itself."""
    if found is None or len(found) != row["bytes"] or hashlib.sha256(found).hexdigest() != row["sha256"]:
        return False
    name = f"{row['sha256']}-{row['bytes']}"
    received = contents.receive("records", name, 0, found, len(found))
    contents.forget(["records"])
    return received.is_whole
