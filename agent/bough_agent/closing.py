"""What keeps an attempt's folder trustworthy: syncs while it runs; sizes, checksums and the overrun when it ends.

The coordinator accepts the end of an attempt only when it has every byte that is listed here. Files that another
process reads are written beside their place and renamed into it.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
import time
import zlib
from typing import Any, BinaryIO

from bough import _failpoints
from bough import _layout as layout

SYNC_S = 5.0  # how much of the journals a power failure may cost
CHUNK = 1 << 20
FULL = 1 << 16  # bytes that are free on a disk that counts as full
TAIL = 256 * 1024  # holds several lines: one is at most 64 KiB


def write_json(path: str, document: object, *, is_durable: bool) -> None:
    """Write a JSON document beside its place and rename it into it.

    Args:
        path: The file.
        document: What it holds.
        is_durable: Whether it must survive a power failure: then file and folder are synced.
    """
    beside = f"{path}.{os.getpid()}.tmp"
    for place in (beside, path):
        _clear(place)
    with open(beside, "w", opener=_private) as file:
        json.dump(document, file)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())
    _failpoints.reach(os.path.basename(path) + ".before")
    os.rename(beside, path)
    _failpoints.reach(os.path.basename(path) + ".after")
    if is_durable:
        sync_folder(os.path.dirname(path))


def _clear(path: str) -> None:
    """Remove what a trial put where a file of ours belongs and cannot be written over: a folder, a pipe, a link."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        shutil.rmtree(path, ignore_errors=True)
    elif not stat.S_ISREG(mode):
        os.unlink(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def open_regular(path: str) -> BinaryIO:
    """Open a file that a trial may have replaced, for reading: no link is followed, and no pipe is waited for.

    Raises:
        OSError: There is none, or it is no ordinary file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(path)
    return open(handle, "rb")


def is_full(folder: str) -> bool:
    """Return whether the disk of a folder has no room for as much as a line."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < FULL


def sync_folder(path: str) -> None:
    """Make the names in a folder survive a power failure."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: str) -> None:
    """Make the contents of a file survive a power failure; one that is gone needs nothing."""
    try:
        with open_regular(path) as file:
            os.fdatasync(file.fileno())
    except OSError:
        return


def journal_sizes(folder: str) -> dict[str, int]:
    """Return the size in bytes of every journal of an attempt, by its writer."""
    try:
        entries = list(os.scandir(os.path.join(folder, layout.JOURNALS)))
        found = [entry for entry in entries if entry.name.endswith(".jsonl") and entry.is_file(follow_symlinks=False)]
        return {entry.name.removesuffix(".jsonl"): entry.stat(follow_symlinks=False).st_size for entry in found}
    except OSError:  # the trial removed it, or put something else there: the agent sees that too, and says so
        return {}


def journal_path(folder: str, writer: str) -> str:
    """Return the path of a writer's journal."""
    return os.path.join(folder, layout.JOURNALS, writer + ".jsonl")


def measure(path: str) -> dict[str, int]:
    """Return {"bytes": size, "crc": CRC-32} of a file; of an empty one where there is none to be read."""
    size = crc = 0
    try:
        with open_regular(path) as file:
            while chunk := file.read(CHUNK):
                size += len(chunk)
                crc = zlib.crc32(chunk, crc)
    except OSError:
        pass
    return {"bytes": size, "crc": crc}


def lines_written(path: str, size: int) -> int:
    """Return how many lines the writer of a journal had written when the file was so many bytes long.

    This is one more than the number in the last complete line, so lines that a full disk swallowed or tore are
    counted like any other. A file without a readable line is counted by its line ends.
    """
    try:
        with open_regular(path) as file:
            file.seek(max(0, size - TAIL))
            tail = file.read(min(size, TAIL))
    except OSError:
        return 0
    complete = tail.split(b"\n")[:-1]
    for line in reversed(complete):
        number = _number(line)
        if number is not None:
            return number + 1
    return len(complete)


def _number(line: bytes) -> int | None:
    """Return the number of a journal line, or None for a torn one."""
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_line = isinstance(row, list) and len(row) > 1 and isinstance(row[1], int)
    return row[1] if is_line else None


def measure_journals(folder: str, sizes_at_stop: dict[str, int] | None) -> dict[str, dict[str, int | None]]:
    """Return for each journal its size, checksum and where its overrun begins.

    Args:
        folder: The attempt's folder.
        sizes_at_stop: The sizes of the journals when the stop was decided; None when there was none. A journal that
            began later is overrun from its first line.
    """
    found: dict[str, dict[str, int | None]] = {}
    for writer in sorted(journal_sizes(folder)):
        path = journal_path(folder, writer)
        cut = None if sizes_at_stop is None else lines_written(path, sizes_at_stop.get(writer, 0))
        found[writer] = {**measure(path), "cut": cut}
    return found


class Sync:
    """Brings journals to disk every few seconds, in a thread: a slow disk must not hold up a limit."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._sizes: dict[str, int] = {}
        self._at = time.monotonic()
        self._thread: threading.Thread | None = None

    def perhaps(self, now: float) -> None:
        """Start a sync if it is time, none is under way, and a journal has grown."""
        if now - self._at < SYNC_S or (self._thread is not None and self._thread.is_alive()):
            return
        self._at = now
        sizes = journal_sizes(self._folder)
        reported = {writer: size for writer, size in sizes.items() if not writer.startswith(layout.SYSTEM_WRITER)}
        grown = [writer for writer, size in reported.items() if size != self._sizes.get(writer)]
        if grown:
            self._sizes = sizes
            self._thread = threading.Thread(target=self._run, args=(grown,), daemon=True)
            self._thread.start()

    def join(self) -> None:
        """Wait for a sync that is under way."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, writers: list[str]) -> None:
        for writer in writers:
            sync_file(journal_path(self._folder, writer))
