"""Contents of files, on the coordinator's disk: ``<folder>/<2 hex>/<sha256>``, each once, whoever handed it in.

What is on its way lies in ``incoming/<owner>/<sha256>-<bytes>`` and is acknowledged by its size, so that nothing has to
be remembered elsewhere: bytes that were acknowledged are on the disk. A content takes its place only after its
checksum was found right.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bough import _failpoints

_NAME = re.compile(r"([0-9a-f]{64})-([0-9]{1,15})")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Received:
    """How far a content has come.

    Args:
        acked: How many of its bytes the coordinator has; all of them also where it was refused.
        is_whole: It is in the store.
        refusal: Why it will not be taken; the end of a sentence.
    """

    acked: int
    is_whole: bool = False
    refusal: str | None = None


def read_name(name: str) -> tuple[str, int] | None:
    """Return (sha256, bytes) of a content's name, None if it is none."""
    found = _NAME.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))


class ContentStore:
    """The store in that folder. Its functions use the disk: call them beside the event loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"
        self._lock = threading.Lock()  # between finding a content here and removing it

    def path(self, sha256: str) -> Path:
        """Return where the content with that checksum is, or would be."""
        return self.folder / sha256[:2] / sha256

    def receive(self, owner: str, name: str, offset: int, data: bytes | memoryview, most: int) -> Received:
        """Take some bytes of a content; what it has already is harmless.

        Args:
            owner: Who sends it: a name for a folder, so that nobody writes into another's.
            name: ``<sha256>-<bytes>``.
            offset: Where the bytes begin.
            data: The bytes.
            most: A content may have so many.

        Raises:
            OSError: The disk does not take it.
        """
        sha256, size = _known(name)
        if self._has(sha256, size):
            return Received(size, is_whole=True)
        if size > most:
            return Received(size, refusal=f"has {size} bytes, a file may have {most}")
        folder = self._incoming / owner
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            have = os.fstat(handle).st_size
            new = memoryview(data)[max(0, have - offset) :] if offset <= have else memoryview(b"")
            if have + len(new) > size:
                return Received(size, refusal="has more bytes than its name says")
            if new:
                os.pwrite(handle, new, have)
                os.fdatasync(handle)
            have += len(new)
            if have < size:
                return Received(have)
            if _sha256(handle) != sha256:
                os.ftruncate(handle, 0)
                return Received(size, refusal="is not what its checksum says")
        finally:
            os.close(handle)
        self._place(folder / name, sha256)
        return Received(size, is_whole=True)

    def forget(self, owners: Iterable[str]) -> None:
        """Remove what these owners began to send and nobody waits for any more."""
        for owner in owners:
            shutil.rmtree(self._incoming / owner, ignore_errors=True)

    def remove(self, sha256s: Iterable[str], unused_s: float) -> int:
        """Remove contents that nobody names, but for those that somebody sent or asked for lately; return how many.

        Args:
            sha256s: Which.
            unused_s: Those found or made in the last so many seconds stay.
        """
        removed = 0
        for sha256 in sha256s:
            with self._lock, contextlib.suppress(FileNotFoundError):
                if time.time() - self.path(sha256).stat().st_mtime >= unused_s:
                    self.path(sha256).unlink()
                    removed += 1
        return removed

    def owners(self) -> list[str]:
        """Return who has begun to send something."""
        with contextlib.suppress(FileNotFoundError):
            return os.listdir(self._incoming)
        return []

    def _has(self, sha256: str, size: int) -> bool:
        """Return whether a content is here; from then on it counts as used."""
        with self._lock, contextlib.suppress(FileNotFoundError):
            if self.path(sha256).stat().st_size == size:
                os.utime(self.path(sha256))
                return True
        return False

    def _place(self, file: Path, sha256: str) -> None:
        place = self.path(sha256)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.chmod(file, 0o400)
        _failpoints.reach("content.before_place")
        os.replace(file, place)
        _failpoints.reach("content.after_place")
        for folder in (place.parent, self.folder):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _known(name: str) -> tuple[str, int]:
    found = read_name(name)
    if found is None:
        raise ValueError(f"{name!r} is no content")
    return found


def _sha256(handle: int) -> str:
    digest, at = hashlib.sha256(), 0
    while chunk := os.pread(handle, _CHUNK, at):
        digest.update(chunk)
        at += len(chunk)
    return digest.hexdigest()
