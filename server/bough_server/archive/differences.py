"""What differs between the code of two commits, file by file, read by git in a bare repository.

What git reads came from elsewhere: no driver, no filter and no configuration of a commit runs, large files are only
said to differ, and an answer is bounded, whatever was changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bough import _git

MOST_FILES = 500  # files that are listed
MOST_LINES = 5000  # changed lines that are shown, of all files together
LARGE_BYTES = 1 << 20  # files above that count as binary
_TIMEOUT_S = 20.0
_OPTIONS = ["diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index"]
_PARTS = re.compile(rb"(?m)^(?=diff --git )")


@dataclass(frozen=True)
class Difference:
    """One file that differs.

    Args:
        path: Its path in the newer commit, or in the older one if it is not in the newer.
        old_path: Where it was before, if it was moved; else None.
        added: Lines added; None where its content is no text, or too large.
        removed: Lines removed; None likewise.
        patch: The unified diff, its header lines included; None where it is not shown.
    """

    path: str
    old_path: str | None
    added: int | None
    removed: int | None
    patch: str | None


def between(repository: Path, old: str, new: str, others: Sequence[Path] = ()) -> tuple[list[Difference], int]:
    """Return what differs between two commits, at most `MOST_FILES`, and how many files differ in all.

    Args:
        repository: A bare repository with one of the commits.
        old: The full id of one commit.
        new: The full id of the other.
        others: Repositories that may have the commit that is not there.

    Raises:
        GitFailed: A commit is in none of them, or git took too long.
    """
    counted = _counted(_run(repository, others, ["--numstat", "-z", old, new]))
    listed = counted[:MOST_FILES]
    shown: list[str] = []
    lines = 0
    for one in listed:
        lines += (one.added or 0) + (one.removed or 0)
        if one.added is None or lines > MOST_LINES:
            continue
        shown.append(one.path)
    patches = dict(zip(shown, _patches(repository, others, old, new, listed, shown), strict=False))
    return [Difference(o.path, o.old_path, o.added, o.removed, patches.get(o.path)) for o in listed], len(counted)


def _patches(
    repository: Path, others: Sequence[Path], old: str, new: str, listed: Sequence[Difference], shown: Sequence[str]
) -> list[str]:
    """Return the patches of the files that are shown, in git's order, which is that of its counting."""
    if not shown:
        return []
    paths = [path for one in listed if one.path in shown for path in (one.path, one.old_path) if path]
    text = _run(repository, others, ["-p", old, new, "--", *paths])
    parts = [part.decode(errors="replace") for part in _PARTS.split(text) if part]
    return parts if len(parts) == len(shown) else []


def _counted(text: bytes) -> list[Difference]:
    """Read ``--numstat -z``: ``added TAB removed TAB path NUL``, and of a moved file ``TAB NUL old NUL new NUL``."""
    fields = iter(text.decode(errors="replace").split("\0"))
    found = []
    for field in fields:
        if not field:
            continue
        added, removed, path = field.split("\t", 2)
        old_path = None if path else next(fields)
        is_text = added != "-"
        lines = (int(added), int(removed)) if is_text else (None, None)
        found.append(Difference(path or next(fields), old_path, lines[0], lines[1], None))
    return found


def _run(repository: Path, others: Sequence[Path], args: Sequence[str]) -> bytes:
    env = {
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": ":".join(f'"{other / "objects"}"' for other in others),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bigFileThreshold",
        "GIT_CONFIG_VALUE_0": str(LARGE_BYTES),
    }
    return _git.run([*_OPTIONS, *args], git_dir=str(repository), timeout_s=_TIMEOUT_S, env=env)
