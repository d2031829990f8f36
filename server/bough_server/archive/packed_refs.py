"""Many new refs at once, in git's own file of packed refs: one write of one file, where git makes a file for each.

Git writes a hundred refs as a hundred files, and packing them removes those again; on a busy ext4 that alone costs
more than the hundred commits they point to. The format is that of git 2.15 and newer ("peeled fully-peeled sorted",
gitrepository-layout(5), refs/packed-backend.c), and so is the way of writing: `packed-refs.lock` is held, the new file
is written beside, synced and moved into place, so that git processes at the same time see the old file or the new.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bough._git import GitFailed

FILE, LOCK, FRESH = "packed-refs", "packed-refs.lock", "packed-refs.new"
HEADER = b"# pack-refs with: peeled fully-peeled sorted \n"
WAIT_S = 10.0  # for git, which holds the lock for as long as it writes the file
STALE_S = 60.0  # a lock that is older was left by a process that was killed
_SORTED = b" sorted "


def add(repository: Path, refs: Mapping[str, str]) -> bool:
    """Add refs that do not exist yet; return False, having done nothing, where git has written another format.

    Args:
        repository: A bare repository.
        refs: Full name → id of a commit, 40 hex.

    Raises:
        GitFailed: The file cannot be written, or another process holds its lock for too long. Nothing was written.
    """
    try:
        with _locked(repository):
            known = _read(repository / FILE)
            if known is None:
                return False
            _replace(repository, HEADER + b"".join(_merged(known, refs)))
    except OSError as error:
        raise GitFailed(
            f"refs of {repository} cannot be written: unable to write {FILE}: {error.strerror}.",
            "Free some disk space." if error.errno == 28 else "Check the disk and the rights.",
        ) from None
    return True


def break_stale_lock(repository: Path) -> None:
    """Remove the lock of a process that was killed while it wrote; git itself would wait for it for ever."""
    lock = repository / LOCK
    with contextlib.suppress(FileNotFoundError):
        if time.time() - lock.stat().st_mtime > STALE_S:
            (repository / FRESH).unlink(missing_ok=True)
            lock.unlink()


@contextlib.contextmanager
def _locked(repository: Path) -> Iterator[None]:
    lock, deadline = repository / LOCK, time.monotonic() + WAIT_S
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError:
            break_stale_lock(repository)
            if time.monotonic() > deadline:
                raise GitFailed(
                    f"refs of {repository} cannot be written: unable to lock {FILE}.",
                    f"If no git runs there, remove {lock}.",
                ) from None
            time.sleep(0.01)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    """Return the lines of all refs, without the first one; None for a format that is not known."""
    try:
        head, _, rest = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return b""
    return rest if head.startswith(b"# pack-refs with:") and _SORTED in head + b" " else None


def _merged(known: bytes, refs: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the lines with these refs among them. Places are searched, lines not counted: there may be many."""
    at = 0
    for name, oid in sorted((name.encode(), oid.encode()) for name, oid in refs.items()):
        place, end = _place(known, name, at)
        yield known[at:place]
        yield b"%s %s\n" % (oid, name)
        at = end
    yield known[at:]


def _place(known: bytes, name: bytes, low: int) -> tuple[int, int]:
    """Return where the entry of a ref begins and ends, or would: a line, and what the tag in it points to."""
    high = len(known)
    while low < high:
        start, end, found = _entry(known, (low + high) // 2, low)
        if found == name:
            return start, end
        low, high = (end, high) if found < name else (low, start)
    return low, low


def _entry(known: bytes, at: int, low: int) -> tuple[int, int, bytes]:
    """Return where the entry around a place begins and ends, and its name; none begins before ``low``."""
    start = known.rfind(b"\n", low, at) + 1 or low
    if known.startswith(b"^", start):
        start = known.rfind(b"\n", low, start - 1) + 1 or low
    end = known.index(b"\n", start)
    name = known[start:end].partition(b" ")[2]
    if known.startswith(b"^", end + 1):
        end = known.index(b"\n", end + 1)
    return start, end + 1, name


def _replace(repository: Path, content: bytes) -> None:
    fresh = repository / FRESH
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, repository / FILE)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(repository, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
