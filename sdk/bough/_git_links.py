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
MAX_FILES = 2000000  # of a commit; a tree that repeats itself can have more than there are atoms
MAX_DEPTH = 200  # of folders
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
    check_size(git_dir, commit, where)
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


def check_size(git_dir: str, commit: str, where: str) -> None:
    """Refuse a commit whose tree would fill any disk, before anything walks it.

    Each folder's object is read once, however often it occurs, so that a few objects that stand for ten to the
    tenth files cost nothing.

    Raises:
        UsageError: It has more than 2,000,000 files, or folders nested deeper than 200.
        GitFailed: The repository cannot be read.
    """
    root = _git.run(["rev-parse", "--verify", "--end-of-options", commit + "^{tree}"], git_dir=git_dir).strip()
    known: dict[bytes, tuple[int, list[bytes]]] = {}  # tree → how many files are in it, which trees
    todo = [root]
    for _ in range(MAX_DEPTH):
        for oid, content in _contents(git_dir, todo).items():
            known[oid] = _read_tree(content, len(root) // 2)
        todo = sorted({child for oid in todo if oid in known for child in known[oid][1] if child not in known})
        if not todo:
            break
    counts: dict[bytes, int] = {}
    if todo or _count(root, known, counts) > MAX_FILES:
        raise UsageError(
            "commit {} of {} has too many files, or too deep folders.".format(commit[:12], where),
            "At most {:,} files and {} levels are run.".format(MAX_FILES, MAX_DEPTH),
        )


def _read_tree(content: bytes, width: int) -> tuple[int, list[bytes]]:
    """Return how many files a tree object lists, and which trees; ``width`` is that of an id in bytes."""
    files, trees, at = 0, [], 0
    while at < len(content):
        end = content.index(b"\0", at)
        oid = content[end + 1 : end + 1 + width].hex().encode()
        if content[at:end].split(b" ", 1)[0] in (b"40000", b"040000"):
            trees.append(oid)
        else:
            files += 1
        at = end + 1 + width
    return files, trees


def _count(oid: bytes, known: dict[bytes, tuple[int, list[bytes]]], counts: dict[bytes, int]) -> int:
    if oid not in counts:
        files, trees = known.get(oid, (0, []))
        counts[oid] = files + sum(_count(child, known, counts) for child in trees)
    return counts[oid]


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
