"""What a coordinator is told when it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bough import _layout
from bough.errors import UsageError

DEFAULT_PORT = 8400


@dataclass(frozen=True)
class Config:
    """Where a coordinator lives and how patient it is. The times are checked against each other on creation.

    Args:
        home: Its folder: database, repositories, keys. Made 0700 on start.
        host: Address to bind.
        port: Port to bind; 0 lets the system choose.
        heartbeat_s: How often an agent reports when nothing happens.
        lease_ttl_s: A job not heard of for so long is shown as UNREACHABLE.
        lost_after_s: A job not heard of for so long is queued again.
        drain_timeout_s: An ended job whose data does not come is ended without it after so long.
        max_lost: So many lost attempts of one job end it.
        claim_wait_s: How long a request for work may wait for an optimizer's answer.
        patience_s: How long a less busy agent is given to take a job first.
        file_bytes: The most bytes of one file that a job hands in.
        files_bytes: The most bytes of all its files.
        files: How many files a job may hand in.
        journal_bytes: The most bytes of all journals of an attempt; one that reports more is stopped.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    heartbeat_s: float = 5.0
    lease_ttl_s: float = 30.0
    lost_after_s: float = 900.0
    drain_timeout_s: float = 24 * 3600.0
    max_lost: int = 10
    claim_wait_s: float = 0.3
    patience_s: float = 1.0
    file_bytes: int = _layout.LIMITS["file_bytes"]
    files_bytes: int = _layout.LIMITS["files_bytes"]
    files: int = _layout.LIMITS["files"]
    journal_bytes: int = _layout.LIMITS["journal_bytes"]

    def __post_init__(self) -> None:
        """Check the times against each other."""
        if not 0 < self.heartbeat_s <= self.lease_ttl_s / 2:
            raise UsageError(
                f"heartbeat_s {self.heartbeat_s:g} is more than half of lease_ttl_s {self.lease_ttl_s:g}.",
                "A lease must outlive at least one missed heartbeat.",
            )
        if self.lost_after_s < self.lease_ttl_s:
            raise UsageError(
                f"lost_after_s {self.lost_after_s:g} is below lease_ttl_s {self.lease_ttl_s:g}.",
                "A job must be unreachable before it is lost.",
            )
        for name, limit in self.limits.items():
            if limit <= 0:
                raise UsageError(f"{name} {limit} is not above 0.", "Give a limit that a job can keep.")

    @property
    def limits(self) -> dict[str, int]:
        """How much a job may report: as in a claim."""
        return {name: getattr(self, name) for name in _layout.LIMITS}

    @property
    def contents(self) -> Path:
        """The folder of what jobs handed in, by checksum."""
        return self.home / "contents"

    @property
    def database(self) -> Path:
        """The file of the store."""
        return self.home / "coordinator.db"

    @property
    def repositories(self) -> Path:
        """The folder of the bare repositories, ``<owner>/<model>.git`` each."""
        return self.home / "git"


def default_home() -> Path:
    """Return the coordinator's folder: ``$BOUGH_HOME/coordinator``, else ``~/.bough/coordinator``."""
    return Path(os.environ.get(_layout.HOME) or Path.home() / ".bough") / "coordinator"
