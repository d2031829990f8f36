"""Many objects of a repository by one process of git, however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bough import _git
from bough.errors import NotFound, UsageError

TIMEOUT_S = 300.0


def refs(git_dir: str, *patterns: str) -> list[tuple[str, str]]:
    """Return (name, id) of every ref below these prefixes, by name.

    Raises:
        UsageError: The repository cannot be read.
    """
    try:
        told = _git.run(["for-each-ref", "--format=%(refname) %(objectname)", "--", *patterns], git_dir=git_dir)
    except _git.GitFailed as error:
        raise UsageError(f"the repository {git_dir} cannot be read: {error.what}", error.do) from None
    lines = (line.rpartition(" ") for line in told.decode("utf-8", "surrogateescape").splitlines())
    return [(name, oid) for name, _, oid in lines]


def contents(git_dir: str, names: Sequence[str]) -> Iterator[bytes | None]:
    """Yield the content of each object named (``<id>:<path>`` or ``<id>``), None where there is none.

    Raises:
        UsageError: The repository is damaged.
    """
    asked = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
    try:
        told = _git.run(["cat-file", "--batch"], git_dir=git_dir, input=asked, timeout_s=TIMEOUT_S)
    except _git.GitFailed as error:
        raise damaged(git_dir, error) from None
    at = 0
    for _ in names:
        end = told.find(b"\n", at)
        if end < 0:
            raise damaged(git_dir, None)
        head = told[at:end]
        if head.endswith((b" missing", b" ambiguous")):
            yield None
            at = end + 1
            continue
        size = int(head.rsplit(b" ", 1)[1])
        yield told[end + 1 : end + 1 + size]
        at = end + 2 + size


def content(git_dir: str, name: str, what: str) -> bytes:
    """Return the content of one object; ``what`` is how people call it.

    Raises:
        NotFound: It is not there.
    """
    (found,) = contents(git_dir, [name])
    if found is None:
        raise NotFound(f"there is no {what}.", "See: bough job files ID.")
    return found


def damaged(git_dir: str, error: _git.GitFailed | None) -> UsageError:
    """Return the error for a repository whose objects cannot be read."""
    why = error.what if error is not None else "git ended in the middle of an object."
    return UsageError(f"the repository {git_dir} cannot be read: {why}", "Check it with: git fsck.")
