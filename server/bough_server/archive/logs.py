"""The log of a job in its record: ``log.txt``, and of a long one all of it, compressed, as ``log.txt.gz``.

The text is for reading and stays short: of a long log the middle is left out. Nothing is lost by that: the whole log is
beside it, in git up to `INLINE_BYTES` of compressed text, above that in the content store, with a pointer in its place.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from bough_server.archive.files import INLINE_BYTES, pointed, pointer
from bough_server.store.contents import ContentStore

TEXT, WHOLE = "log.txt", "log.txt.gz"
HEAD_BYTES = 256 * 1024
TAIL_BYTES = 768 * 1024
MAX_RESTORED = 256 * 1024 * 1024  # bytes of a log that are read back into the store
_PIECE = 1024 * 1024
_GZIP = 31  # zlib's number for the format of gzip; its header holds no time
_OWNER = "records"
Read = Callable[[int, int], bytes]  # (start, limit) → bytes


def in_record(read: Read, total: int, contents: ContentStore | None) -> dict[str, bytes]:
    """Return the files of a log.

    Args:
        read: Reads it.
        total: Its length in bytes.
        contents: Where a large one goes; None leaves the middle of a long log out for good.
    """
    if total <= HEAD_BYTES + TAIL_BYTES:
        return {TEXT: read(0, total) if total else b""}
    head, tail = read(0, HEAD_BYTES), read(total - TAIL_BYTES, TAIL_BYTES)
    left_out = total - HEAD_BYTES - TAIL_BYTES
    where = b"" if contents is None else b"; all of it is in %s" % WHOLE.encode()
    files = {TEXT: head + b"\n... %d bytes were left out here%s ...\n" % (left_out, where) + tail}
    if contents is not None:
        files[WHOLE] = _kept(read, total, contents)
    return files


def restored(content: bytes) -> bytes | None:
    """Return the log that a compressed one holds; None where it is damaged, cut off or too large."""
    try:
        unpacking = zlib.decompressobj(_GZIP)
        found = unpacking.decompress(content, MAX_RESTORED)
    except zlib.error:
        return None
    return found if unpacking.eof else None


def of_store(content: bytes, contents: ContentStore) -> bytes | None:
    """As `restored`, of what stands in a record: it may be a pointer, whose content may not be here."""
    told = pointed(content)
    if told is None:
        return restored(content)
    sha256, size = told
    try:
        found = contents.path(sha256).read_bytes() if size <= MAX_RESTORED else b""
    except OSError:
        return None
    return restored(found) if hashlib.sha256(found).hexdigest() == sha256 else None


def _kept(read: Read, total: int, contents: ContentStore) -> bytes:
    with tempfile.SpooledTemporaryFile(max_size=16 * _PIECE) as file:
        digest, packing = hashlib.sha256(), zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        for start in range(0, total, _PIECE):
            _write(file, digest, packing.compress(read(start, _PIECE)))
        _write(file, digest, packing.flush())
        size = file.tell()
        file.seek(0)
        if size <= INLINE_BYTES:
            return file.read()
        for offset, piece in _pieces(file):
            contents.receive(_OWNER, f"{digest.hexdigest()}-{size}", offset, piece, size)
    contents.forget([_OWNER])
    return pointer({"sha256": digest.hexdigest(), "bytes": size})


def _write(file: IO[bytes], digest: hashlib._Hash, packed: bytes) -> None:
    file.write(packed)
    digest.update(packed)


def _pieces(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    at = 0
    while piece := file.read(_PIECE):
        yield at, piece
        at += len(piece)
