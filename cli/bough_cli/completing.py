"""What a commit only points to, put into it: submodules, repositories nested in it, files kept by Git LFS.

Agents fetch one commit from the coordinator and nothing from anywhere else, and a record must run again from a clone
alone. So the commit that is sent holds the files themselves: it is made here, from what this machine has, on top of
the user's commit, which stays its parent. Where nothing is pointed to, the commit is the user's own. Contents that are
not on this machine are named with the command that brings them.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bough import _git_links
from bough.errors import UsageError
from bough_cli import snapshot

if TYPE_CHECKING:
    import git

LINK = "160000"  # the mode of a commit of another repository in a tree
MAX_DEPTH = 8  # of submodules in submodules


@dataclass(frozen=True)
class Entry:
    """An entry of a tree: its mode, the id of its object, and its path from the root."""

    mode: str
    oid: str
    path: str


@dataclass(frozen=True)
class Completed:
    """A commit that points to nothing outside of it.

    Attributes:
        commit: Its id; the user's own where nothing had to be put in.
        objects: Object folders of the repositories that its files come from.
        inside: The paths of the submodules and files that were put in.
    """

    commit: str
    objects: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()


@dataclass
class _Parts:
    """What is to be put in: trees by path, blobs by path."""

    trees: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, tuple[str, str]] = field(default_factory=dict)  # path → (mode, blob)
    objects: list[str] = field(default_factory=list)


def complete(
    repository: git.Repo, commit: str, dirty: bool, agree: snapshot.Agree = snapshot.refuse, depth: int = 0
) -> Completed:
    """Return a commit that holds what this one points to.

    Args:
        repository: The user's, which holds the commit.
        commit: What is to be sent.
        dirty: Whether submodules are taken as their working trees are, not as they were committed.
        agree: Asked before much is sent.
        depth: How deep in submodules this is.

    Raises:
        UsageError: Something of it is not on this machine.
    """
    entries = tree_of(repository, commit)
    links = [entry for entry in entries if entry.mode == LINK]
    pointers = _pointers(repository, entries)
    if not links and not pointers:
        return Completed(commit)
    parts = _Parts()
    for link in links:
        _take_repository(repository, link, dirty, agree, depth, parts)
    _take_large(repository, pointers, agree, parts)
    return Completed(_commit(repository, commit, parts), tuple(parts.objects), (*parts.trees, *parts.blobs))


def tree_of(repository: git.Repo, commit: str) -> list[Entry]:
    """Return all entries of a commit's tree but folders."""
    told = snapshot.run(repository, "ls-tree", "-r", "-z", "--full-tree", commit)
    heads = (line.partition("\t") for line in told.split("\0") if line)
    return [Entry(head.split(" ")[0], head.split(" ")[2], path) for head, _, path in heads]


# -- repositories inside of it --------------------------------------------------------------------------------


def _take_repository(
    repository: git.Repo, link: Entry, dirty: bool, agree: snapshot.Agree, depth: int, parts: _Parts
) -> None:
    import git

    place = Path(str(repository.working_tree_dir)) / link.path
    if depth >= MAX_DEPTH:
        raise UsageError(f"the submodules at {place} are nested too deep.", f"At most {MAX_DEPTH} levels are sent.")
    if not (place / ".git").exists() or place.is_symlink():
        raise UsageError(
            f"the submodule {link.path} is not checked out here, so its files cannot be sent.",
            f"Run: git submodule update --init -- {link.path}.",
        )
    with git.Repo(place, odbt=git.GitCmdObjectDB) as inner:
        commit = snapshot.commit(inner, agree) if dirty else _held(inner, link)
        found = complete(inner, commit, dirty, agree, depth + 1)
        parts.trees[link.path] = snapshot.run(
            inner, "rev-parse", "--verify", f"{found.commit}^{{tree}}", env=_alternates(found.objects)
        ).strip()
        parts.objects += [str(Path(inner.common_dir).resolve() / "objects"), *found.objects]


def _held(inner: git.Repo, link: Entry) -> str:
    told = snapshot.run(inner, "cat-file", "--batch-check", given=f"{link.oid}\n")
    if not told.startswith(f"{link.oid} commit "):
        raise UsageError(
            f"commit {link.oid[:12]} of the submodule {link.path} is not on this machine.",
            f"Run: git submodule update -- {link.path}.",
        )
    return link.oid


# -- large files ----------------------------------------------------------------------------------------------


def _pointers(repository: git.Repo, entries: Sequence[Entry]) -> list[tuple[Entry, str, int]]:
    """Return (entry, SHA-256, size) of the files that Git LFS keeps elsewhere."""
    attributes = [entry.oid for entry in entries if entry.path.rpartition("/")[2] == ".gitattributes"]
    if not any(b"lfs" in content for content in snapshot.blobs(repository, attributes).values()):
        return []
    files = {entry.oid: entry for entry in entries if entry.mode.startswith("100")}
    asked = "".join(f"{oid}\n" for oid in files)
    told = snapshot.run(repository, "cat-file", "--batch-check=%(objectname) %(objectsize)", given=asked)
    sizes = (line.split(" ") for line in told.splitlines())
    small = [oid for oid, size in sizes if size.isdigit() and int(size) <= _git_links.MAX_POINTER]
    found = {
        oid: match
        for oid, content in snapshot.blobs(repository, small).items()
        if (match := _git_links.POINTER.match(content))
    }
    return [
        (entry, found[entry.oid][1].decode(), int(found[entry.oid][2]))
        for entry in entries
        if entry.oid in found and entry.mode.startswith("100")
    ]


def _take_large(
    repository: git.Repo, pointers: Sequence[tuple[Entry, str, int]], agree: snapshot.Agree, parts: _Parts
) -> None:
    if not pointers:
        return
    sizes = {entry.path: size for entry, _, size in pointers}
    snapshot.check_sizes(str(repository.working_tree_dir), sizes, agree)
    places = [_content(repository, entry, digest) for entry, digest, _ in pointers]
    told = snapshot.run(
        repository, "hash-object", "-w", "--no-filters", "--stdin-paths", given="\n".join(places) + "\n"
    )
    for (entry, _, _), oid in zip(pointers, told.split(), strict=True):
        parts.blobs[entry.path] = (entry.mode, oid)


def _content(repository: git.Repo, entry: Entry, digest: str) -> str:
    """Return where the content of a pointer lies: in the store of Git LFS, or in the working tree."""
    stored = Path(repository.common_dir).resolve() / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    there = Path(str(repository.working_tree_dir)) / entry.path
    for place in (stored, there):
        if place.is_file() and not place.is_symlink() and "\n" not in str(place) and _sha256(place) == digest:
            return str(place)
    raise UsageError(f"{entry.path} is kept by Git LFS, and its content is not on this machine.", "Run: git lfs pull.")


def _sha256(place: Path) -> str:
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- the commit -----------------------------------------------------------------------------------------------


def _commit(repository: git.Repo, commit: str, parts: _Parts) -> str:
    with tempfile.TemporaryDirectory(prefix="bough-") as scratch:
        env = {"GIT_INDEX_FILE": str(Path(scratch) / "index"), **_alternates(parts.objects)}
        snapshot.run(repository, "read-tree", commit, env=env)
        gone = "".join(f"0 {'0' * len(commit)}\t{path}\0" for path in parts.trees)
        blobs = "".join(f"{mode} {oid}\t{path}\0" for path, (mode, oid) in parts.blobs.items())
        snapshot.run(repository, "update-index", "-z", "--index-info", given=gone + blobs, env=env)
        for path, tree in parts.trees.items():
            snapshot.run(repository, "read-tree", f"--prefix={path}/", tree, env=env)
        tree = snapshot.run(repository, "write-tree", env=env).strip()
        return snapshot.commit_tree(repository, tree, commit, f"All of {commit[:12]}", _alternates(parts.objects))


def _alternates(objects: Sequence[str]) -> Mapping[str, str]:
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": alternates(objects)} if objects else {}


def alternates(objects: Sequence[str]) -> str:
    """Return object folders as git reads them from its environment; a quoted path may hold a colon."""
    return ":".join('"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"' for path in dict.fromkeys(objects))
