"""The code of an attempt: a bare cache per model, and one pooled tree per slot that is made clean for each attempt.

Promises:

* only pinned commits are fetched, one commit deep, into ``cache/<owner>/<model>.git``, and only from the coordinator;
* a tree ``trees/<slot>/<owner>/<model>`` is exactly the commit: what an earlier attempt left, changed or hid from git
  (ignored files, nested repositories, closed folders) is gone;
* no ``.git`` is in a tree: the index lies beside it, so a script cannot change what the next attempt gets;
* a damaged cache is thrown away and fetched again, once; then it is an error in one sentence.

A tree costs two git processes, about 5 ms for 50 files, when the commit is in the cache; none when nothing in it has
changed since it was made, which the times, sizes and inodes of its entries tell.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bough import _git, _git_links
from bough.errors import BoughError, UsageError
from bough_agent import pruning

FETCH_TIMEOUT_S = 1800.0
FETCH_TRIES = 3
FETCH_PAUSE_S = 2.0  # at most so long before the second try, twice that before the third
MISSES = 2  # trials that left something behind: the next ones will too, so their trees are not looked at any more
RACY_NS = 50_000_000  # a change within one tick of a file system's clock may leave no trace: ticks are shorter

# The tree must not depend on the configuration of this machine.
_TREE_ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
_TREE_OPTIONS = ("-c", "core.excludesFile=/dev/null", "-c", "core.attributesFile=/dev/null")


class CheckoutFailed(BoughError):
    """The commit or the folder is not there: trying again would not help."""

    code = "checkout"


class FetchFailed(BoughError):
    """The coordinator or the network did not deliver: another try, or another agent, may succeed."""

    code = "infra"


# Of each entry: path, mode, inode, links, size, time of the last write and of the last change of any kind. A program
# can set back the time of the last write, but not that of the last change.
_Traces = list[tuple[str, int, int, int, int, int, int]]


@dataclass(frozen=True)
class _Seen:
    """What a tree looked like when it was exactly ``commit``."""

    commit: str
    traces: _Traces
    is_racy: bool  # an entry had only just changed: a trial could change it again within the same tick


class Workspace:
    """Caches and trees below an agent's home. Methods may be called from several threads, one per slot at a time.

    Args:
        home: The agent's folder.
        coordinator_url: Where caches fetch from, without a trailing slash.
        key: The agent's key, sent as bearer token; None sends none.
        rng: Spreads retries.
        allow_file: Whether the coordinator may be a ``file://`` URL.
        sleep: Waits between two tries.
    """

    def __init__(
        self,
        home: Path,
        coordinator_url: str,
        key: str | None,
        rng: random.Random,
        allow_file: bool = False,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._home = home
        self._url = coordinator_url
        self._key = key
        self._rng = rng
        self._allow_file = allow_file
        self._sleep = sleep
        self._seen: dict[tuple[int, str], _Seen] = {}  # (slot, model) → its tree after it was last made
        self._misses: dict[tuple[int, str, str], int] = {}  # … and commit → trials in a row that left something
        self._known: dict[tuple[str, str], float] = {}  # (model, commit) seen in the cache by this process, last use
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    def tree(self, slot: int, model: str, git: str, commit: str) -> Path:
        """Return the folder that holds exactly ``commit`` of ``model``, for the attempt in ``slot``.

        Args:
            slot: Which pool: no two running attempts may share it.
            model: ``owner/name``.
            git: Path of the model's repository on the coordinator, as in the claim.
            commit: Full id.

        Raises:
            CheckoutFailed: The commit is not there, or the tree cannot be written.
            FetchFailed: The coordinator did not deliver it.
        """
        # An attempt that was given back while it was prepared may still be at it when the slot has its next one.
        with self._locked(f"slot {slot}"):
            return self._tree(slot, model, git, commit)

    def _tree(self, slot: int, model: str, git: str, commit: str) -> Path:
        self._have(model, git, commit)
        if self._is_untouched(slot, model, commit):
            return self._paths(slot, model)[0]
        tree = self._made(slot, model, git, commit)
        if self._misses.get((slot, model, commit), 0) < MISSES:
            traces = _traces(tree)
            newest = max((trace[-1] for trace in traces), default=0)
            self._seen[slot, model] = _Seen(commit, traces, is_racy=time.time_ns() - newest < RACY_NS)
        return tree

    def _is_untouched(self, slot: int, model: str, commit: str) -> bool:
        seen = self._seen.pop((slot, model), None)
        if seen is None or seen.commit != commit or seen.is_racy:
            return False
        try:
            is_untouched = _traces(self._paths(slot, model)[0]) == seen.traces
        except OSError:  # a closed folder, or none at all
            is_untouched = False
        if is_untouched:
            self._seen[slot, model] = seen
        key = slot, model, commit
        self._misses[key] = 0 if is_untouched else self._misses.get(key, 0) + 1
        return is_untouched

    def _made(self, slot: int, model: str, git: str, commit: str) -> Path:
        try:
            return self._fill(slot, model, commit)
        except (_git.GitFailed, OSError) as first:
            if "No space left" in (first.stderr if isinstance(first, _git.GitFailed) else str(first)):
                raise FetchFailed(f"the disk of {self._home} is full.", "Free some space.") from None
        # A closed folder, a damaged index or a damaged cache: start each of them anew, once.
        self._remove_tree(slot, model)
        if not self._is_sound(model, commit):
            self._renew(model, git, commit)
        try:
            return self._fill(slot, model, commit)
        except _git.GitFailed as error:
            raise CheckoutFailed(
                f"commit {commit[:7]} of {model} cannot be checked out: {error.what}", error.do
            ) from None

    # -- the cache ------------------------------------------------------------------------------------------
    def _cache(self, model: str) -> Path:
        return self._home / "cache" / (model + ".git")

    def _have(self, model: str, git: str, commit: str) -> None:
        if (model, commit) in self._known:
            self._known[model, commit] = time.time()
            return
        with self._lock(model):
            if not self._holds(model, commit):
                self._fetch(model, git, commit)
            self._check(model, commit)
            self._known[model, commit] = time.time()

    def _check(self, model: str, commit: str) -> None:
        """Look once how much a commit is, and note that it was used."""
        try:
            _git_links.check_size(str(self._cache(model)), commit, model)
        except UsageError as error:
            raise CheckoutFailed(error.what, error.do) from None
        except _git.GitFailed:
            return  # damaged: what fills the tree finds out, and mends it
        pruning.mark(self._cache(model), commit)

    def _renew(self, model: str, git: str, commit: str) -> None:
        with self._lock(model):
            self._forget(model)
            remove(self._cache(model))
            self._fetch(model, git, commit)

    def _holds(self, model: str, commit: str) -> bool:
        """Tell whether the commit was fetched: its ref is made when all its objects are there."""
        try:
            _git.run(
                ["rev-parse", "--verify", "--quiet", f"refs/bough/code/{commit}^{{tree}}"],
                git_dir=str(self._cache(model)),
            )
        except _git.GitFailed:
            return False
        return True

    def _is_sound(self, model: str, commit: str) -> bool:
        try:
            _git.run(
                ["fsck", "--connectivity-only", "--no-dangling", commit], git_dir=str(self._cache(model)), timeout_s=600
            )
            _git.run(
                ["archive", "--format=tar", "-o", os.devnull, commit], git_dir=str(self._cache(model)), timeout_s=600
            )
        except _git.GitFailed:
            return False
        return True

    def _fetch(self, model: str, git: str, commit: str) -> None:
        cache = self._cache(model)
        for attempt in range(1, FETCH_TRIES + 1):
            try:
                if not (cache / "HEAD").exists():
                    cache.mkdir(parents=True, exist_ok=True)
                    _git.run(["init", "-q", "--bare", str(cache)])
                self._fetch_once(cache, git, commit)
                return
            except _git.GitFailed as error:
                self._judge(error, model, commit, last=attempt == FETCH_TRIES)
                if "shallow" in error.stderr or "corrupt" in error.stderr or "not a git repository" in error.stderr:
                    remove(cache)
            self._sleep(self._rng.uniform(0, FETCH_PAUSE_S * attempt))

    def _fetch_once(self, cache: Path, git: str, commit: str) -> None:
        refspec = f"+{commit}:refs/bough/code/{commit}"
        args = ["fetch", "-q", "--depth=1", "--no-tags", "--no-write-fetch-head", "--", self._url + git, refspec]
        _git.run(
            args,
            git_dir=str(cache),
            token=self._key,
            timeout_s=FETCH_TIMEOUT_S,
            allow_file=self._allow_file,
        )

    def _judge(self, error: _git.GitFailed, model: str, commit: str, last: bool) -> None:
        """Raise what a failed fetch means for the attempt; return when it is worth another try."""
        said = error.stderr
        if "not our ref" in said or "couldn't find remote ref" in said:
            raise CheckoutFailed(
                f"commit {commit[:7]} is not in {model} on the coordinator.",
                "Push it, or start with --dirty to send the working tree.",
            ) from None
        if last:
            raise FetchFailed(f"commit {commit[:7]} of {model} could not be fetched: {error.what}", error.do) from None

    def _locked(self, name: str) -> threading.Lock:
        with self._locks_lock:
            return self._locks.setdefault(name, threading.Lock())

    def prune(self, now: float, max_age_s: float = pruning.MAX_AGE_S, max_bytes: int = pruning.MAX_BYTES) -> None:
        """Drop commits that nobody has used for long, and whole caches, the oldest first, where they are too large.

        What this process or another agent has used since, or in the last day, stays.

        Args:
            now: Seconds since the epoch.
            max_age_s: How long a commit is kept after it was used last.
            max_bytes: How much all caches may be.
        """
        models = pruning.models(self._home / "cache")
        for model in models:
            with self._lock(model):
                self._forget(model, now - max_age_s)
                pruning.prune_commits(self._cache(model), now - max_age_s, self._used(model))
        for model in pruning.too_much(self._home / "cache", models, now, max_bytes):
            with self._lock(model):
                self._forget(model, now - pruning.IN_USE_S)
                if not self._used(model):
                    remove(self._cache(model))

    def _used(self, model: str) -> set[str]:
        return {commit for known, commit in list(self._known) if known == model}

    def _forget(self, model: str, before: float = float("inf")) -> None:
        """Look in the cache again before these commits, used last before a time, are used."""
        for known, used_at in list(self._known.items()):
            if known[0] == model and used_at < before:
                self._known.pop(known, None)

    @contextlib.contextmanager
    def _lock(self, model: str) -> Iterator[None]:
        """Hold the cache of one model, against other slots and against other processes."""
        path = self._home / "cache" / (model + ".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(model), path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # -- the tree -------------------------------------------------------------------------------------------
    def _fill(self, slot: int, model: str, commit: str) -> Path:
        tree, index = self._paths(slot, model)
        if tree.is_symlink() or tree.is_file():
            tree.unlink()  # a trial put something else in its place
        tree.mkdir(parents=True, exist_ok=True)
        index.parent.mkdir(parents=True, exist_ok=True)
        if not _is_open(tree):
            _open_up(tree)
        with contextlib.suppress(FileNotFoundError):
            index.with_name(index.name + ".lock").unlink()
        env = {**_TREE_ENV, "GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(tree)}
        for args in (["clean", "-ffdxq"], ["read-tree", "--reset", "-u", commit]):
            _git.run(
                [*_TREE_OPTIONS, *args],
                cwd=str(tree),
                git_dir=str(self._cache(model)),
                env=env,
                timeout_s=FETCH_TIMEOUT_S,
            )
        return tree

    def _paths(self, slot: int, model: str) -> tuple[Path, Path]:
        pool = self._home / "trees" / str(slot)
        return pool / model, pool / ".index" / model

    def _remove_tree(self, slot: int, model: str) -> None:
        tree, index = self._paths(slot, model)
        remove(tree)
        index.unlink(missing_ok=True)


def inside(tree: Path, *parts: str | None) -> Path:
    """Return the folder ``tree/part/part``, which must exist and lie in the tree also after following links.

    Raises:
        CheckoutFailed: It is not there, is no folder, or lies outside.
    """
    name = "/".join(part.strip("/") for part in parts if part and part.strip("/") not in ("", "."))
    folder = (tree / name).resolve()
    if not folder.is_relative_to(tree.resolve()):
        raise CheckoutFailed(f"folder {name} leads out of the repository.", "Name a folder of the repository.")
    if not folder.is_dir():
        raise CheckoutFailed(f"there is no folder {name} in this commit.", "Check its spelling, or commit it.")
    return folder


def _traces(tree: Path) -> _Traces:
    """Return the traces of the tree's folder and of everything below it, in the order of the file system."""
    found = [_trace(".", os.lstat(tree))]
    pending = [str(tree)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                found.append(_trace(entry.path, entry.stat(follow_symlinks=False)))
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    return found


def _trace(path: str, seen: os.stat_result) -> tuple[str, int, int, int, int, int, int]:
    return path, seen.st_mode, seen.st_ino, seen.st_nlink, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _is_open(tree: Path) -> bool:
    """Tell whether git can see and remove everything in the tree: no closed folder, no ``.git``."""
    folders = [str(tree)]
    for folder in folders:
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return False
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.lower() == ".git":
                    return False
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return True


def _open_up(tree: Path) -> None:
    """Make every folder readable, and drop each ``.git``, which ``git clean`` steps over. Links are not followed."""
    for entry in _walk(tree):
        if entry.name.lower() == ".git":
            remove(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, closed folders included."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for _ in _walk(path):
        pass  # opens the folders
    shutil.rmtree(path)


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all entries below a folder, folders before what is in them; each folder is made accessible first."""
    pending = [str(folder)]
    while pending:
        path = pending.pop()
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            os.chmod(path, stat.S_IRWXU)
        with os.scandir(path) as found:
            entries = list(found)
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            yield entry
            if is_folder and os.path.lexists(entry.path):
                pending.append(entry.path)
