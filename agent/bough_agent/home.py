"""The agent's folder ``<BOUGH_HOME>/agents/<name>/``: who may use it, where things lie, and the key.

Promises: folders are 0700 and the key is 0600; one agent at a time has the folder; the key is asked for once.

::

    agent.lock  key  epoch.json  attempts/  fenced/  checkpoints/  cache/  trees/  sdk/  shims/
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import time
from pathlib import Path

from bough import _failpoints, _layout
from bough.errors import Denied, UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FENCED_KEPT_S = 7 * 86400.0  # how long the folder of an attempt that was given up is kept


def bough_home() -> Path:
    """Return the folder of everything bough keeps for this user: $BOUGH_HOME, or ~/.bough."""
    return Path(os.environ.get(_layout.HOME) or Path.home() / ".bough").absolute()


class Home:
    """One agent's folder, held by this process until `close`.

    Args:
        root: The folder; it is made when it is not there.

    Raises:
        UsageError: Another agent has it, or it cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        os.umask(0o077)
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in ("attempts", "fenced", "checkpoints"):
                (root / name).mkdir(exist_ok=True, mode=0o700)
            os.chmod(root, 0o700)
            self._lock = (root / "agent.lock").open("a+b")
        except OSError as error:
            raise UsageError(
                f"the agent's folder {root} cannot be used: {error.strerror}.", "Choose another --home."
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UsageError(
                f"another agent is running in {root}.", "Stop it, or start this one with another --name or --home."
            ) from None

    def close(self) -> None:
        """Let another agent have the folder."""
        self._lock.close()

    def attempt(self, job_id: str, attempt: int) -> Path:
        """Return the folder of an attempt, whether it exists or not."""
        return self.root / "attempts" / f"{job_id}.{attempt}"

    def checkpoints(self, job_id: str) -> Path:
        """Return the folder that a job keeps across its attempts on this agent; it is made when it is not there."""
        folder = self.root / "checkpoints" / job_id
        folder.mkdir(exist_ok=True)
        return folder

    def epoch(self, boot_id: str) -> str:
        """Return what tells this agent from another of the same name.

        It lasts as long as the machine is up: the lock keeps a second process out of the folder, so that an agent
        which comes back is itself, while a copy of the folder on another machine is not.
        """
        path = self.root / "epoch.json"
        try:
            known = json.loads(path.read_text())
            if known["boot_id"] == boot_id:
                return str(known["epoch"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        epoch = secrets.token_hex(16)
        write_atomically(path, json.dumps({"boot_id": boot_id, "epoch": epoch}))
        return epoch

    def retire(self, folder: Path) -> None:
        """Put the folder of an attempt that was given up aside, for whoever wants to look at it."""
        target = self.root / "fenced" / folder.name
        shutil.rmtree(target, ignore_errors=True)
        if folder.exists():
            os.rename(folder, target)

    def sweep(self, now: float) -> None:
        """Remove what was put aside more than a week ago; ``now`` is wall-clock time."""
        for folder in (self.root / "fenced").iterdir():
            if now - folder.lstat().st_mtime > FENCED_KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)

    def key(self, given: str | None) -> str:
        """Return the key: the given one, which is stored, else $BOUGH_SECURE_KEY, else the stored one.

        Raises:
            Denied: There is none.
        """
        path = self.root / "key"
        key = (given or os.environ.get(_layout.KEY) or "").strip()
        if key:
            write_atomically(path, key + "\n")
            return key
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            raise Denied(
                "this agent has no key.", "Start it with --secure-key KEY (bough key create makes one)."
            ) from None


def agent_home(name: str) -> Path:
    """Return the folder of the agent of this name.

    Raises:
        UsageError: The name cannot be the name of a folder.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"agent name {name!r} is not possible.", "Use letters, digits, '.', '_' and '-', at most 64.")
    return bough_home() / "agents" / name


def boot_id() -> str:
    """Return what changes when the machine starts again."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        import psutil

        return str(int(psutil.boot_time()))


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is read by others: they see the old text or the new one. Mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    _failpoints.reach(f"{path.name}.before")
    os.replace(temporary, path)
    _failpoints.reach(f"{path.name}.after")
