"""What a commit only points to: submodules, and files that Git LFS keeps elsewhere. For bare repositories.

Whoever fetched a commit from a URL has neither, and nothing is fetched from addresses that a repository names
(CVE-2024-32002, CVE-2025-48384). So such a commit is refused, by the CLI when it is submitted and by the agent that
resolves it. Standard library only, Python 3.7.
"""

from __future__ import annotations

import re

from bough import _git
from bough.errors import UsageError

MAX_POINTER = 1024  # bytes; a larger file is no pointer (git-lfs, docs/spec.md)
LOOK_S = 120.0
POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n"
    rb"size ([0-9]+)\n"
)


def check(git_dir: str, commit: str, where: str) -> None:
    """Refuse a commit that is not whole.

    Args:
        git_dir: A repository that holds it.
        commit: Its id.
        where: Where it comes from, for the message.

    Raises:
        UsageError: It has submodules or pointers of Git LFS; says which, and what to do.
        GitFailed: The repository cannot be read.
    """
    links, pointers = find(git_dir, commit)
    if links:
        raise UsageError(
            "commit {} of {} has submodules ({}), which agents do not fetch.".format(commit[:12], where, _some(links)),
            "Clone it (git clone --recurse-submodules), and start from the clone: it sends their files too.",
        )
    if pointers:
        raise UsageError(
            "commit {} of {} has files that Git LFS keeps elsewhere ({}), which agents do not fetch.".format(
                commit[:12], where, _some(pointers)
            ),
            "Clone it (git lfs pull), and start from the clone: it sends their contents too.",
        )


def find(git_dir: str, commit: str) -> tuple[list[str], list[str]]:
    """Return the paths of the submodules of a commit, and of its pointers of Git LFS."""
    told = _git.run(["ls-tree", "-r", "-z", "--full-tree", commit], git_dir=git_dir, timeout_s=LOOK_S)
    entries = [line.partition(b"\t")[::2] for line in told.split(b"\0") if line]
    links = [_text(path) for head, path in entries if head.startswith(b"160000 ")]
    attributes = [_oid(head) for head, path in entries if path.rpartition(b"/")[2] == b".gitattributes"]
    if not any(b"lfs" in content for content in _contents(git_dir, attributes).values()):
        return links, []
    files = {_oid(head): path for head, path in entries if head.startswith(b"100")}
    asked = b"".join(oid + b"\n" for oid in files)
    command = ["cat-file", "--batch-check=%(objectname) %(objectsize)"]
    lines = _git.run(command, git_dir=git_dir, input=asked, timeout_s=LOOK_S).splitlines()
    sizes = [line.split(b" ") for line in lines]
    small = [oid for oid, size in sizes if size.isdigit() and int(size) <= MAX_POINTER]
    found = [oid for oid, content in _contents(git_dir, small).items() if POINTER.match(content)]
    return links, [_text(files[oid]) for oid in found]


def _contents(git_dir: str, oids: list[bytes]) -> dict[bytes, bytes]:
    if not oids:
        return {}
    asked = b"".join(oid + b"\n" for oid in oids)
    told = _git.run(["cat-file", "--batch"], git_dir=git_dir, input=asked, timeout_s=LOOK_S)
    found, at = {}, 0
    for oid in oids:
        end = told.index(b"\n", at)
        head = told[at:end].split()
        size = int(head[2]) if len(head) == 3 else -1
        if size >= 0:
            found[oid] = told[end + 1 : end + 1 + size]
        at = end + 1 if size < 0 else end + 2 + size
    return found


def _oid(head: bytes) -> bytes:
    return head.split(b" ")[2]


def _text(path: bytes) -> str:
    return _git.clean(path.decode("utf-8", "replace"))


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:3] + (["…"] if len(paths) > 3 else []))
