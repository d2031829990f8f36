"""The working tree of a repository as a commit that nobody sees: what ``--dirty`` sends.

The commit is written through an index of its own, so that the user's index, stash, branches and refs stay as they are;
only loose objects are added, which git's own housekeeping removes again. It holds tracked files as they are on disk,
staged and deleted ones, and untracked files that git does not ignore; `.bough/`, which runs without an agent write, is
left out.
The same tree on the same parent gives the same commit.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bough.errors import UsageError

if TYPE_CHECKING:
    import git

NO_RECORDS = ":(top,exclude,glob)**/.bough/**"
NOBODY = {"NAME": "bough", "EMAIL": "bough@localhost"}


def changes(repository: git.Repo) -> list[str]:
    """Return the files, relative to the root, that `commit` would take otherwise than HEAD has them."""
    told = _git(repository, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    paths = [entry[3:] for entry in told.split("\0") if entry]
    return [path for path in paths if not _is_record(path)]


def commit(repository: git.Repo) -> str:
    """Return the commit of the working tree; HEAD's where they are the same."""
    head = repository.head.commit
    with tempfile.TemporaryDirectory(prefix="bough-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        _copy_index(repository, Path(scratch) / "index")
        top = str(repository.working_tree_dir)
        _git(repository, "-C", top, "add", "--all", "--", ":(top)", NO_RECORDS, env=index)
        tree = _git(repository, "write-tree", env=index).strip()
    if tree == head.tree.hexsha:
        return str(head.hexsha)
    date = f"@{head.committed_date} +0000"
    who = {f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in NOBODY.items()}
    env = {**who, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    message = f"Working tree on {head.hexsha[:12]}"
    return _git(repository, "commit-tree", "--no-gpg-sign", tree, "-p", head.hexsha, "-m", message, env=env).strip()


def _copy_index(repository: git.Repo, copy: Path) -> None:
    """Start from the user's index: it knows what is staged, and spares git reading every unchanged file."""
    own = Path(repository.git_dir) / "index"
    if own.exists():
        shutil.copyfile(own, copy)


def _is_record(path: str) -> bool:
    return ".bough" in path.split("/")[:-1]


def _git(repository: git.Repo, *arguments: str, env: dict[str, str] | None = None) -> str:
    import git

    command = ["git", *arguments]
    try:
        # Optional locks are for refreshing the user's index, which is not ours to write.
        told = repository.git.execute(
            command, env={"GIT_OPTIONAL_LOCKS": "0", **(env or {})}, strip_newline_in_stdout=False
        )
    except git.GitCommandError as error:
        reason = " ".join(str(error.stderr).strip(" \n'").split())[:300]
        raise UsageError(f"git {arguments[0]} failed in {repository.working_tree_dir}: {reason}", "") from None
    assert isinstance(told, str)
    return told
