"""Keeping the repositories quick: refs and packs are gathered now and then, never by git's own gc.

Every batch of records leaves a pack and a file per ref. When there are many, or a while after the last of them,
`git pack-refs` and `git repack --geometric=2` put them together: packs are merged only with packs of about their size,
so that an object is written again a logarithmic number of times. Differences between objects are not searched anew
(``--window=0``): fast-import has found them, and looking again took ten times as long for 0.2 % of the bytes. Whoever
reads or writes meanwhile is not disturbed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bough import _git
from bough_server.archive import packed_refs

REFS = 1000  # written since refs were packed
BATCHES = 25  # written since packs were packed
REST_S = 600.0  # after the last batch, however few there were
_TIMEOUT_S = 600.0

log = logging.getLogger("bough.archive")


@dataclass
class _Since:
    refs: int = 0
    batches: int = 0
    at: float = 0.0  # of the last batch


class Upkeep:
    """Counts what is written, and packs it when it is time.

    Args:
        monotonic: Seconds that only grow.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since: dict[Path, _Since] = {}

    def note(self, repository: Path, refs: int) -> None:
        """Count a batch that wrote so many refs; where that is enough for now, pack."""
        since = self._since.setdefault(repository, _Since())
        since.refs += refs
        since.batches += 1
        since.at = self._monotonic()

    def work(self) -> None:
        """Pack whatever is due. What fails is logged, and tried again with the next batch."""
        for repository, since in list(self._since.items()):
            has_rested = self._monotonic() - since.at >= REST_S
            if has_rested or since.refs >= REFS or since.batches >= BATCHES:
                del self._since[repository]
                try:
                    pack(repository)
                except _git.GitFailed as error:
                    log.warning("%s is not packed: %s", repository, error)


def pack(repository: Path) -> None:
    """Gather refs and packs of a repository now.

    Raises:
        GitFailed: git refused, or the disk is full; nothing is lost.
    """
    packed_refs.break_stale_lock(repository)
    _git.run(["pack-refs", "--all"], git_dir=str(repository), timeout_s=_TIMEOUT_S)
    _git.run(
        ["repack", "--geometric=2", "-d", "-q", "--no-write-bitmap-index", "--window=0"],
        git_dir=str(repository),
        timeout_s=_TIMEOUT_S,
    )
