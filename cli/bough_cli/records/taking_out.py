"""Records put into folders: a plain folder, or a worktree of the clone. Nothing that is there is ever written over."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bough import _git, _git_links
from bough.errors import UsageError
from bough_cli.records import objects
from bough_cli.records.record import Record

TIMEOUT_S = 600.0
# What is put out must not depend on the configuration of this machine.
_ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
_OPTIONS = (
    *("-c", "core.attributesFile=/dev/null", "-c", "core.excludesFile=/dev/null"),
    *("-c", "core.autocrlf=false", "-c", "core.sparseCheckout=false", "-c", "core.bare=false"),
)


def into_folder(record: Record, folder: Path) -> tuple[list[str], list[str]]:
    """Put code and ``.bough/`` of a record into a new or empty folder.

    Returns:
        The submodules that stayed empty, and the files that are pointers of Git LFS instead of their contents.

    Raises:
        UsageError: Something is in the folder, or it cannot be written.
    """
    _must_be_free(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be made: {error.strerror}.", "Name another one.") from None
    tree(record.git_dir, record.oid, folder)
    entries = record.files(with_code=True)
    pointers = [one.path for one in entries if one.size <= _git_links.MAX_POINTER and _is_pointer(folder / one.path)]
    return [entry.path for entry in entries if entry.mode == "160000"], pointers


def _is_pointer(path: Path) -> bool:
    try:
        return not path.is_symlink() and path.is_file() and _git_links.POINTER.match(path.read_bytes()) is not None
    except OSError:
        return False


def tree(git_dir: str, commit: str, folder: Path) -> None:
    """Put the tree of a commit into an empty folder, without a ``.git`` in it.

    Raises:
        UsageError: The clone does not hold all of it, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="bough-") as scratch:
        env = {**_ENV, "GIT_INDEX_FILE": os.path.join(scratch, "index"), "GIT_WORK_TREE": str(folder.absolute())}
        command = [*_OPTIONS, "read-tree", "--reset", "-u", commit]
        try:
            _git.run(command, cwd=str(folder), git_dir=git_dir, env=env, timeout_s=TIMEOUT_S)
        except _git.GitFailed as error:
            raise objects.damaged(git_dir, error) from None


def into_worktree(record: Record, folder: Path, branch: str | None) -> None:
    """Make a worktree of the clone at the record, detached or on a new branch.

    Raises:
        UsageError: Something is in the folder, the branch exists or is no name, or git refuses.
    """
    _must_be_free(folder)
    how = ["--detach"] if branch is None else ["-b", _checked_branch(record.git_dir, branch)]
    command = ["worktree", "add", "--quiet", *how, str(folder.absolute()), record.oid]
    try:
        _git.run(command, git_dir=record.git_dir, timeout_s=TIMEOUT_S)
    except _git.GitFailed as error:
        raise UsageError(f"the worktree {folder} cannot be made: {error.what}", error.do) from None


def _must_be_free(folder: Path) -> None:
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty.", "Name a folder that is, or that is not there yet.")


def _checked_branch(git_dir: str, branch: str) -> str:
    try:
        _git.run(["check-ref-format", f"refs/heads/{branch}"])
    except _git.GitFailed:
        raise UsageError(f"{branch!r} is no name of a branch.", "Choose another.") from None
    if branch.startswith("-"):
        raise UsageError(f"{branch!r} is no name of a branch.", "Choose another.")
    if objects.refs(git_dir, f"refs/heads/{branch}"):
        raise UsageError(f"there is a branch {branch} already.", "Choose another name.")
    return branch
