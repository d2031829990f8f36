"""Many objects of a repository through one process of git, one after the other."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType

from bough import _git

MAX_BYTES = 64 * 1024 * 1024  # of an object; nothing that a record is read from is larger
_ASKED = 200  # at a time: their names fit into a pipe, so that neither side waits for the other
TREE = "40000"


@dataclass(frozen=True, slots=True)
class Found:
    """An object.

    Attributes:
        oid: Its id.
        type: commit, tree, blob or tag.
        content: None where it is larger than `MAX_BYTES`.
        bytes: Its size.
    """

    oid: str
    type: str
    content: bytes | None
    bytes: int


class Objects:
    """Reads objects of one repository; a context manager."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository

    def __enter__(self) -> Objects:
        self._process = subprocess.Popen(
            _git.command(["cat-file", "--batch"], git_dir=str(self._repository)),
            env=_git.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        if kind is not None:
            process.kill()
        process.stdout.close()
        process.wait()

    def read(self, names: Iterable[str]) -> Iterator[Found | None]:
        """Yield the object of each name (an id, or an id and a path), None where there is none.

        Raises:
            GitFailed: The repository is damaged.
        """
        waiting = iter(names)
        while some := list(islice(waiting, _ASKED)):
            assert self._process.stdin is not None
            try:
                self._process.stdin.write("".join(f"{name}\n" for name in some).encode())
                self._process.stdin.flush()
            except OSError:
                raise self._damaged() from None
            for _ in some:
                yield self._next()

    def _next(self) -> Found | None:
        out = self._process.stdout
        assert out is not None
        head = out.readline().decode("utf-8", "replace").split()
        if len(head) < 2:
            raise self._damaged()
        if head[-1] in ("missing", "ambiguous", "loop", "notdir"):
            return None
        oid, type_, size = head[0], head[1], int(head[2])
        content = out.read(size) if size <= MAX_BYTES else None
        left = 0 if content is not None else size
        while left > 0 and (skipped := out.read(min(left, 1 << 20))):
            left -= len(skipped)
        if out.read(1) != b"\n" or left:
            raise self._damaged()
        return Found(oid, type_, content, size)

    def _damaged(self) -> _git.GitFailed:
        return _git.GitFailed(
            f"an object of {self._repository} cannot be read.", f"See: git -C {self._repository} fsck --full."
        )


def entries(tree: bytes, id_bytes: int) -> dict[str, tuple[str, str]]:
    """Return what is in a tree: name → (mode, id); ``id_bytes`` is 20, or 32 in a repository of SHA-256."""
    found, at = {}, 0
    while at < len(tree):
        space = tree.index(b" ", at)
        end = tree.index(b"\0", space)
        mode, name = tree[at:space].decode(), tree[space + 1 : end].decode("utf-8", "surrogateescape")
        found[name] = (mode, tree[end + 1 : end + 1 + id_bytes].hex())
        at = end + 1 + id_bytes
    return found


def refs(repository: Path, prefix: str) -> dict[str, str]:
    """Return name and id of each ref below a prefix, in the order of names."""
    out = _git.run(
        ["for-each-ref", "--format=%(refname) %(objectname)", "--", prefix], git_dir=str(repository), timeout_s=300.0
    )
    return dict(line.split(" ", 1) for line in out.decode("utf-8", "replace").splitlines())


Entries = Mapping[str, tuple[str, str]]
