"""What an agent need not keep of its caches: commits nobody has used for long, and the oldest where all are too large.

In a cache each commit is held by ``refs/bough/code/<sha>``; when it was used last is the time of an empty file
``used/<sha>`` beside the refs. Whoever prunes holds the cache's lock. What is dropped is fetched again when needed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bough import _git

MAX_AGE_S = 30 * 86400.0
MAX_BYTES = 20 * 1000**3  # of all caches of an agent
IN_USE_S = 86400.0  # so long after it was used last a cache is not dropped for its size
GC_S = 1800.0
_CODE = "refs/bough/code/"


def mark(cache: Path, commit: str) -> None:
    """Note that a commit is used now; where that cannot be written, it is only fetched again sooner."""
    with suppress(OSError):
        (cache / "used").mkdir(exist_ok=True)
        (cache / "used" / commit).touch()


def models(root: Path) -> list[str]:
    """Return the models of which there is a cache below this folder."""
    return sorted(str(path.relative_to(root))[: -len(".git")] for path in root.glob("*/*.git"))


def prune_commits(cache: Path, before: float, keep: Iterable[str]) -> list[str]:
    """Drop the commits that were used last before a time (seconds since the epoch) and are not to be kept.

    Returns:
        The ids of those that were dropped; none where the cache cannot be read.
    """
    kept = set(keep)
    try:
        told = _git.run(["for-each-ref", "--format=%(refname)", "--", _CODE], git_dir=str(cache)).decode()
        there = [name.removeprefix(_CODE) for name in told.split()]
        old = [commit for commit in there if commit not in kept and _used_at(cache, commit) < before]
        if old:
            orders = "".join(f"delete {_CODE}{commit}\n" for commit in old).encode()
            _git.run(["update-ref", "--stdin"], git_dir=str(cache), input=orders)
            _git.run(["repack", "-a", "-d", "-q"], git_dir=str(cache), timeout_s=GC_S)
            _git.run(["prune", "--expire=now"], git_dir=str(cache), timeout_s=GC_S)
    except _git.GitFailed:
        return []
    for commit in old:
        (cache / "used" / commit).unlink(missing_ok=True)
    return old


def too_much(root: Path, names: Iterable[str], now: float, max_bytes: int) -> list[str]:
    """Return the models whose caches have to go for all to fit, those used longest ago first."""
    caches = [(_last_use(root / f"{name}.git"), name, size(root / f"{name}.git")) for name in names]
    total = sum(bytes_ for _, _, bytes_ in caches)
    found = []
    for used_at, name, bytes_ in sorted(caches):
        if total <= max_bytes or now - used_at < IN_USE_S:
            break
        found.append(name)
        total -= bytes_
    return found


def _used_at(cache: Path, commit: str) -> float:
    """Return when a commit was used last; one of an older agent counts from when its cache was touched."""
    for place in (cache / "used" / commit, cache / "HEAD"):
        with suppress(OSError):
            return place.stat().st_mtime
    return 0.0


def _last_use(cache: Path) -> float:
    times = [path.stat().st_mtime for path in (cache / "used").glob("*")] if (cache / "used").is_dir() else []
    return max(times, default=_used_at(cache, ""))


def size(folder: Path) -> int:
    """Return how many bytes the files below a folder hold."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                seen = os.lstat(os.path.join(place, name))
                total += seen.st_size if stat.S_ISREG(seen.st_mode) else 0
    return total
