"""The folder where bough keeps what belongs to this user on this machine: ``BOUGH_HOME``, else ``~/.bough``.

::

    login.json          url and key of the coordinator that was logged into      0600
    coordinator/        a coordinator that runs here (its own files)
    agents/<name>/      agents that run here (their own files)
    sources/            bare caches of repositories given by URL
    exports/            the CSV of each followed optimization
    logs/               output of a coordinator and an agent that were started here

Everything in it is made for this user alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
from pathlib import Path
from typing import Any

from bough import _layout
from bough.errors import UsageError


def home() -> Path:
    """Return the home, which may not exist yet."""
    return Path(os.environ.get(_layout.HOME) or "~/.bough").expanduser().absolute()


def folder(*parts: str) -> Path:
    """Return a folder of the home, made if need be.

    Raises:
        UsageError: It cannot be made.
    """
    path = home().joinpath(*parts)
    try:
        home().parent.mkdir(parents=True, exist_ok=True)
        for each in (home(), *reversed(path.relative_to(home()).parents), path):
            (home() / each).mkdir(mode=0o700, exist_ok=True)  # `parents=True` would make the ones above for everybody
    except OSError as error:
        raise UsageError(
            f"the folder {path} cannot be made: {error.strerror}.",
            "Free some disk, or set BOUGH_HOME to another place.",
        ) from None
    return path


def coordinator_home() -> Path:
    """Return where a coordinator of this user lives."""
    return home() / "coordinator"


def machine_name() -> str:
    """Return the name an agent here has unless it is given one: the host's, in the letters that names may have."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname().split(".")[0]).strip("-._")
    return name[:64] or "machine"


def running_agents() -> list[Path]:
    """Return the folders of this home in which an agent runs."""
    return [folder for folder in sorted((home() / "agents").glob("*")) if is_held(folder)]


def is_held(folder: Path) -> bool:
    """Tell whether an agent runs in a folder: it keeps a lock there as long as it lives."""
    try:
        with open(folder / "agent.lock", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, all of it or nothing."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a file; None where there is no such file or it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def read_text(path: Path) -> str | None:
    """Return the stripped text of a file, or None where it cannot be read or is empty."""
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
