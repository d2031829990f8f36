"""Contents of the files that a job handed in: in its record, or where a pointer of the record leads.

A record names all of them in ``tables/job_files.jsonl``, by size and SHA-256. What is too large for git is a pointer
there; its content is in the store of a coordinator: on this machine, or behind its address. A content is what its
checksum says, wherever it came from.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bough.errors import BoughError, NotFound, UsageError
from bough_cli import home
from bough_cli.records import objects
from bough_cli.records.record import FOLDER, Record
from bough_cli.records.sources import Sources, quoted

if TYPE_CHECKING:
    from bough_cli.client import Client

_TABLE = re.compile(r"\.bough/((?:attempts/([0-9]{1,9})/)?)tables/job_files\.jsonl")
_SHA256 = re.compile("[0-9a-f]{64}")
_STORE = "contents"  # folder of a coordinator's home: <2 hex>/<sha256>
_CHUNK = 1 << 20
WHOLE_LOG = "log.txt.gz"  # of a job whose log.txt lacks its middle
_POINTER = re.compile(rb"bough content\nsha256 ([0-9a-f]{64})\nbytes ([0-9]{1,15})\n")
_GZIP = 31  # what zlib calls the format


@dataclass(frozen=True)
class HandedIn:
    """A file that a job handed in.

    Attributes:
        path: From the root of the record: ``.bough/files/model.bin``.
        name: As the job named it.
        attempt: Which attempt handed it in.
        sha256: Of its content.
        size: Of its content, in bytes.
        in_git: Whether the record holds the content itself.
        place: Where a coordinator of this machine keeps it, None where none does.
    """

    path: str
    name: str
    attempt: int
    sha256: str
    size: int
    in_git: bool
    place: Path | None


def of(record: Record) -> dict[str, HandedIn]:
    """Return the files that a job handed in, by their path from the root of the record."""
    entries = {entry.path: entry for entry in record.files()}
    found = {}
    for table in filter(None, map(_TABLE.fullmatch, entries)):
        attempt = int(table[2] or record.row.get("attempt") or 1)
        for line in record.read(table[0]).splitlines():
            name, sha256, size = _row(line, table[0], record)
            path = f"{FOLDER}{table[1]}files/{name}"
            entry = entries.get(path)
            in_git = entry is not None and entry.size == size and not _is_pointer(record, path, sha256, size)
            found[path] = HandedIn(path, name, attempt, sha256, size, in_git, _place(record, sha256, size))
    return found


def named(record: Record, path: str) -> HandedIn | None:
    """Return the file whose content is not in git although the record names it; None for any other path."""
    clean = path.removeprefix("./").strip("/").removeprefix(FOLDER)
    if not clean.startswith(("files/", "attempts/")):
        return None
    found = of(record).get(FOLDER + clean)
    return None if found is None or found.in_git else found


def content(where: Sources, record: Record, file: HandedIn) -> Iterator[bytes]:
    """Yield the content of a file in pieces.

    Raises:
        NotFound: It is neither in git nor in the store of a coordinator that can be asked.
        UsageError: What came is not what its checksum says.
    """
    pieces = _of_coordinator(where, record, file) if file.place is None else _of_file(file.place)
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        yield piece
    if (digest.hexdigest(), size) != (file.sha256, file.size):
        raise UsageError(
            f"the content of {file.name} is not what its checksum in the record says.",
            "What was printed is damaged; take it from a backup of the coordinator.",
        )


def log(record: Record) -> bytes:
    """Return the log of a record: all of it where that can be had here, else its beginning and its end."""
    try:
        packed = record.read(WHOLE_LOG)
    except NotFound:
        return record.read("log.txt")
    found = _POINTER.fullmatch(packed)
    if found is not None:
        place = _place(record, found[1].decode(), int(found[2]))
        packed = b"" if place is None else place.read_bytes()
    try:
        return zlib.decompress(packed, _GZIP)
    except zlib.error:
        return record.read("log.txt")


def _row(line: bytes, table: str, record: Record) -> tuple[str, str, int]:
    try:
        row = json.loads(line)
        name, sha256, size = row["path"], row["sha256"], row["bytes"]
        if isinstance(name, str) and isinstance(size, int) and _SHA256.fullmatch(sha256):
            return name, sha256, size
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UsageError(
        f"the file {table} in the record of {record.title} is damaged.",
        "Fetch it again from where it was written: bough pull.",
    )


def _is_pointer(record: Record, path: str, sha256: str, size: int) -> bool:
    """Tell whether a file of the size of its pointer is the pointer."""
    pointer = f"bough content\nsha256 {sha256}\nbytes {size}\n".encode()
    if size != len(pointer):
        return False
    (found,) = objects.contents(record.git_dir, [f"{record.oid}:{path}"])
    return found == pointer


def _place(record: Record, sha256: str, size: int) -> Path | None:
    """Return where a coordinator's home has it: that of this user, or the one that the repository is part of."""
    homes = [home.coordinator_home(), *Path(record.git_dir).parents[2:3]]
    for one in homes:
        place = one / _STORE / sha256[:2] / sha256
        try:
            if place.stat().st_size == size:
                return place
        except OSError:
            continue
    return None


def _of_file(place: Path) -> Iterator[bytes]:
    with place.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _of_coordinator(where: Sources, record: Record, file: HandedIn) -> Iterator[bytes]:
    why = "no coordinator is known that could be asked"
    with where.client() as client:
        if client is not None:
            path = f"/jobs/{quoted(record.row['id'])}/files/{quoted(file.name, '/')}"
            pieces = client.download(path, attempt=file.attempt)
            try:
                first = next(pieces, b"")
            except BoughError as error:
                why = f"{client.url} says: {error.what.rstrip('.')}"
            else:
                yield first
                yield from _rest(pieces, client)
                return
    raise NotFound(
        f"{file.name} has {file.size} bytes, which are not in git but in the store of a coordinator: {why}.",
        "Name the one that ran the job with --coordinator URL, or its own repository with --repo HOME/git/MODEL.git.",
    )


def _rest(pieces: Iterator[bytes], client: Client) -> Iterator[bytes]:
    from requests import RequestException

    try:
        yield from pieces
    except RequestException:
        raise client.silent() from None
