"""The working tree of a repository as a commit that nobody sees: what ``--dirty`` sends.

The commit is written through an index of its own, so that the user's index, stash, branches and refs stay as they are;
only loose objects are added, which git's own housekeeping removes again. It holds tracked files as they are on disk
(also those that git was told to take for unchanged), staged and deleted ones, and untracked files that git does not
ignore; `.bough/`, which runs without an agent write, is left out. Much that is new is only sent when somebody agreed.
The same tree on the same parent gives the same commit.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bough.errors import UsageError

if TYPE_CHECKING:
    import git

NO_RECORDS = ":(top,exclude,glob)**/.bough/**"
NOBODY = {"NAME": "bough", "EMAIL": "bough@localhost"}
LARGE_BYTES = 100 * 1000**2  # that git does not hold yet: below, nobody is asked
Agree = Callable[[str], bool]  # told what would be sent, says whether to
# No program is asked what changed: git looks itself, since what is sent is what is on the disk. Clean filters, which
# the user's own configuration defines, run as they do for `git add`: without them other content would be sent than the
# user commits, such as in clear what git holds encrypted. A hook runs for none of these commands.
_NO_PROGRAMS = ("-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit", "-c", "core.hooksPath=/dev/null")
# An index of our own is written whole, whether or not the user's is split over several files.
_INDEX_OPTIONS = (
    "-c",
    "core.splitIndex=false",
    "-c",
    "core.untrackedCache=false",
    "-c",
    "advice.addEmbeddedRepo=false",
)


def refuse(_question: str) -> bool:
    """Nobody is there to agree."""
    return False


def changes(repository: git.Repo) -> list[str]:
    """Return the files, relative to the root, that `commit` would take otherwise than HEAD has them."""
    told = run(
        repository,
        *("status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none"),
    )
    paths = [entry[3:] for entry in told.split("\0") if entry]
    return [path for path in paths if not _is_record(path)]


def commit(repository: git.Repo, agree: Agree = refuse) -> str:
    """Return the commit of the working tree; HEAD's where they are the same.

    Raises:
        UsageError: It holds more new files than anybody agreed to send, or git cannot read all of it.
    """
    head = repository.head.commit
    top = str(repository.working_tree_dir)
    check_sizes(top, sizes(Path(top), changes(repository)), agree)
    with tempfile.TemporaryDirectory(prefix="bough-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        _copy_index(repository, Path(scratch) / "index")
        _look_at_all(repository, index)
        _add_all(repository, top, index)
        tree = run(repository, "write-tree", env=index).strip()
    if tree == head.tree.hexsha:
        return str(head.hexsha)
    return commit_tree(repository, tree, str(head.hexsha), f"Working tree on {head.hexsha[:12]}")


def commit_tree(
    repository: git.Repo, tree: str, parent: str, message: str, env: Mapping[str, str] | None = None
) -> str:
    """Return the commit of a tree on a parent; it has that one's date, and nobody's name."""
    date = f"@{run(repository, 'show', '--no-patch', '--format=%ct', parent).strip()} +0000"
    who = {f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in NOBODY.items()}
    given = {**who, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, **(env or {})}
    return run(repository, "commit-tree", "--no-gpg-sign", tree, "-p", parent, "-m", message, env=given).strip()


def sizes(top: Path, paths: Sequence[str]) -> dict[str, int]:
    """Return the bytes of those of these files that are there."""
    found = {}
    for path in paths:
        place = top / path
        if place.is_file() and not place.is_symlink():
            found[path] = place.lstat().st_size
    return found


def check_sizes(top: str, found: Mapping[str, int], agree: Agree) -> None:
    """Refuse to send much that git does not hold yet unless somebody agrees.

    Raises:
        UsageError: Nobody did.
    """
    total = sum(found.values())
    if total <= LARGE_BYTES:
        return
    largest = sorted(found, key=lambda path: (-found[path], path))
    shown = ", ".join(f"{_shown(path)} {bytes_text(found[path])}" for path in largest[:3] if found[path])
    what = (
        f"{bytes_text(total)} in {len(found)} files of {top} would be sent ({shown}{', …' if len(found) > 3 else ''})"
    )
    if not agree(f"{what}. Send them?"):
        raise UsageError(
            f"{what}.", "Name them in .gitignore (data: in bough.yml brings data to agents), or start with --large."
        )


def bytes_text(count: float) -> str:
    """Return ``2.1 GB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def blobs(repository: git.Repo, oids: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of objects by id."""
    if not oids:
        return {}
    import subprocess

    process = repository.git.cat_file("--batch", as_process=True, istream=subprocess.PIPE)
    found = {}
    for oid in dict.fromkeys(oids):
        process.stdin.write(f"{oid}\n".encode())
        process.stdin.flush()
        head = process.stdout.readline().split()
        if len(head) == 3:
            found[oid] = process.stdout.read(int(head[2]) + 1)[:-1]
    process.stdin.close()
    process.wait()
    return found


def _copy_index(repository: git.Repo, copy: Path) -> None:
    """Start from the user's index: it knows what is staged, and spares git reading every unchanged file.

    The copy keeps its time: git reads again what has the same second as the index (racy-git.txt).
    """
    own = Path(repository.git_dir) / "index"
    if own.exists():
        shutil.copy2(own, copy)


def _add_all(repository: git.Repo, top: str, index: Mapping[str, str]) -> None:
    try:
        run(repository, "-C", top, "add", "--all", "--", ":(top)", NO_RECORDS, env=index)
    except UsageError as error:
        found = re.search(r"'([^']*)/' does not have a commit checked out", error.what)
        if found is None:
            raise
        raise UsageError(
            f"the repository {found[1]} inside of {top} has no commit yet, so it cannot be sent.",
            "Commit in it, or name it in .gitignore.",
        ) from None


def _look_at_all(repository: git.Repo, index: Mapping[str, str]) -> None:
    """Let git look also at the files that it was told to take for unchanged; what is sent is what is on disk."""
    told = run(repository, "ls-files", "-v", "-z", "--full-name", env=index)
    unwatched = [line[2:] for line in told.split("\0") if line[:1].islower()]
    if unwatched:
        top = str(repository.working_tree_dir)
        given = "".join(f"{path}\0" for path in unwatched)
        run(
            repository,
            *("-C", top, "update-index", "--no-assume-unchanged", "-z", "--stdin"),
            env=index,
            given=given,
        )


def _is_record(path: str) -> bool:
    return ".bough" in path.split("/")[:-1]


def _shown(path: str) -> str:
    return path if path.isprintable() else repr(path)


def run(repository: git.Repo, *arguments: str, env: Mapping[str, str] | None = None, given: str | None = None) -> str:
    """Run git in the user's repository and return what it said; ``given`` is what it reads.

    Raises:
        UsageError: It failed, in one sentence.
    """
    import git

    more = {"GIT_OPTIONAL_LOCKS": "0", **(env or {})}  # optional locks are for refreshing the user's index
    with tempfile.TemporaryFile() as stdin:
        if given is not None:
            stdin.write(given.encode("utf-8", "surrogateescape"))
            stdin.seek(0)
        try:
            told = repository.git.execute(
                ["git", *_NO_PROGRAMS, *(_INDEX_OPTIONS if "GIT_INDEX_FILE" in more else ()), *arguments],
                env=more,
                istream=stdin,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        except git.GitCommandError as error:
            reason = " ".join(str(error.stderr).strip(" \n'").removeprefix("stderr:").split()).strip("' ")[:300]
            verb = next(word for word in arguments if not word.startswith("-") and "=" not in word and "/" not in word)
            raise UsageError(f"git {verb} failed in {repository.working_tree_dir}: {reason}", "") from None
    assert isinstance(told, bytes)
    return told.decode("utf-8", "surrogateescape")
