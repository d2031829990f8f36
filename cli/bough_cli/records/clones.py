"""Which repository is meant: the one around a folder, or a bare one that a folder is.

A clone is handed on as its git directory. Git's own check of who owns it is made once, here: what belongs to somebody
else is refused with git's guidance, because reading it would obey its configuration.
"""

from __future__ import annotations

import os
from pathlib import Path

from bough import _git
from bough.errors import UsageError


def around(place: Path) -> str | None:
    """Return the git directory of the repository around a folder (shared by its worktrees), None where there is none.

    Raises:
        UsageError: It is damaged, or belongs to another user.
    """
    place = place.absolute()
    if is_bare(place):
        _check_owner(place)
        return str(place.resolve())
    if not any(os.path.lexists(folder / ".git") for folder in (place, *place.parents)):
        return None
    try:
        told = _git.run(["rev-parse", "--path-format=absolute", "--git-common-dir"], cwd=str(place))
    except _git.GitFailed as error:
        raise UsageError(f"the repository around {place} cannot be read: {error.what}", error.do) from None
    return os.fsdecode(told.rstrip(b"\n"))


def named(place: str | None) -> str | None:
    """Return the git directory that ``--repo`` names, or the one around the current folder where it is not given.

    Raises:
        UsageError: What was named is no repository.
    """
    if place is None:
        return around(Path.cwd())
    if not Path(place).is_dir():
        raise UsageError(f"there is no directory {place}.", "Name a clone that holds records.")
    found = around(Path(place))
    if found is None:
        raise UsageError(f"{place} is not in a git repository.", "Name a clone that holds records.")
    return found


def is_bare(place: Path) -> bool:
    """Tell whether a folder is a bare repository itself."""
    return (place / "HEAD").is_file() and (place / "objects").is_dir() and (place / "refs").is_dir()


def _check_owner(place: Path) -> None:
    owner = place.stat().st_uid
    if owner not in (os.geteuid(), int(os.environ.get("SUDO_UID") or -1)):
        raise UsageError(
            f"the repository {place} belongs to another user.",
            "Run as that user, or clone it: git clone --mirror.",
        )
