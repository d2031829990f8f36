"""Models by URL: the agent resolves a branch or tag, and brings that one commit to the coordinator.

The coordinator opens no connection, so the first agent that is granted such a job fetches the code, with this user's
rights (ssh keys, git's credential helpers), into a bare repository of its own, and pushes the commit as
``refs/bough/code/<sha>``. From there it is fetched like any other, by this agent too. Every refusal says what to do.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bough import _git, _git_code, _git_links
from bough.errors import BoughError, NotFound, UsageError
from bough_agent import pruning
from bough_agent.workspace import remove

FETCH_S = 1800.0
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@+-]{0,250}")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Unresolved(BoughError):
    """The code cannot be had; trying again without a change would not help."""

    code = "checkout"


class Sources:
    """What an agent fetches from elsewhere.

    Args:
        folder: Where the bare repositories are kept, one for each URL.
        coordinator_url: Where commits are brought, without a trailing slash.
        key: The agent's key.
        allowed: Folders of this machine that ``file://`` URLs may lie in.
        allow_file: Whether the coordinator itself may be a ``file://`` URL.
    """

    def __init__(
        self,
        folder: Path,
        coordinator_url: str,
        key: str | None,
        allowed: tuple[Path, ...] = (),
        allow_file: bool = False,
    ) -> None:
        self._folder = folder
        self._url = coordinator_url
        self._key = key
        self._allowed = allowed
        self._allow_file = allow_file

    def resolve(self, git: str, url: str, ref: str | None) -> str:
        """Return the commit that a branch or tag at a URL names now, once the coordinator has it.

        Args:
            git: Path of the model's repository on the coordinator, as in the claim.
            url: Where the code is.
            ref: Branch, tag or full id of a commit; None is the branch that the repository names as its own.

        Raises:
            Unresolved: It cannot be fetched, or not be pushed; in one sentence.
        """
        if ref is not None and (not _REF.fullmatch(ref) or ".." in ref):
            raise Unresolved(f"{ref!r} is no name of a branch or tag.", "Correct it in the model's source.")
        try:
            _git.check_url(url, allow_file=True)
            if url.startswith("file:"):
                self._check_file(url)
        except UsageError as error:
            raise Unresolved(error.what, error.do) from None
        with self._repository(url) as repository:
            commit = self._fetched(repository, url, ref)
            self._push(repository, git, commit)
        return commit

    def prune(self, now: float, max_age_s: float = pruning.MAX_AGE_S, max_bytes: int = pruning.MAX_BYTES) -> None:
        """Drop repositories that nobody has used for long, and the oldest where all are too large.

        What was used in the last day, or is in use, stays; what is dropped is fetched again when needed.

        Args:
            now: Seconds since the epoch.
            max_age_s: How long one is kept after it was used last.
            max_bytes: How much all may be.
        """
        total = 0
        for used_at, repository in sorted(_by_use(self._folder), reverse=True):
            total += pruning.size(repository)
            age_s = now - used_at
            if age_s >= max_age_s or (total > max_bytes and age_s >= pruning.IN_USE_S):
                with suppress(BlockingIOError), self._locked(repository.stem, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    remove(repository)

    def _check_file(self, url: str) -> None:
        """A file is this user's own where the coordinator runs on this machine too, or lies in an allowed folder."""
        place = Path(unquote(urlsplit(url).path)).resolve()
        if any(place == folder.resolve() or place.is_relative_to(folder.resolve()) for folder in self._allowed):
            return
        is_local = urlsplit(self._url).hostname in _LOOPBACK or self._url.startswith("file:")
        try:
            is_own = place.stat().st_uid == os.geteuid()
        except OSError:
            raise UsageError(f"there is no repository {place} on this machine.", "Correct the URL.") from None
        if not (is_local and is_own):
            why = "belongs to another user" if is_local else "is a file on one machine"
            raise UsageError(
                f"{url} {why}, and this agent does not allow it.",
                f"Start the agent with --allow-file-repo {place.parent}, or use https:// or ssh://.",
            )

    def _fetched(self, repository: Path, url: str, ref: str | None) -> str:
        kept = "refs/bough/fetched/" + hashlib.sha256((ref or "HEAD").encode()).hexdigest()[:16]
        command = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", url]
        try:
            _git.run(
                [*command, f"+{ref or 'HEAD'}:{kept}"], git_dir=str(repository), timeout_s=FETCH_S, allow_file=True
            )
            commit = _git.resolve(str(repository), kept)
            _git_links.check(str(repository), commit, _git.clean(url))
        except _git.GitFailed as error:
            raise _explained(url, ref, error) from None
        except NotFound:  # git leaves out what would make this repository shallow too
            raise Unresolved(
                f"{_git.clean(url)} is a shallow clone, and the coordinator keeps whole histories.",
                "Complete it there: git fetch --unshallow.",
            ) from None
        except UsageError as error:
            raise Unresolved(error.what, error.do) from None
        return commit

    def _push(self, repository: Path, git: str, commit: str) -> None:
        url = self._url + git
        try:
            _git_code.push(str(repository), url, commit, self._key, FETCH_S, allow_file=self._allow_file)
        except _git.GitFailed as error:
            raise Unresolved(
                f"commit {commit[:12]} cannot be brought to the coordinator: {error.what}", error.do
            ) from None

    @contextmanager
    def _repository(self, url: str) -> Iterator[Path]:
        """Give the bare repository of a URL, held against other slots and processes."""
        name = hashlib.sha256(url.encode()).hexdigest()[:20]
        repository = self._folder / f"{name}.git"
        with self._locked(name, fcntl.LOCK_EX):
            if not (repository / "HEAD").exists():
                _git.run(["init", "--quiet", "--bare", str(repository)])
            os.utime(repository)  # when it was used last: what is old is pruned
            yield repository

    @contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / f"{name}.lock").open("wb") as lock:
            fcntl.flock(lock, how)
            yield


def _by_use(folder: Path) -> Iterator[tuple[float, Path]]:
    """Give each repository in a folder with the time of its last use."""
    for repository in folder.glob("*.git"):
        with suppress(OSError):
            yield repository.stat().st_mtime, repository


def _explained(url: str, ref: str | None, error: _git.GitFailed) -> Unresolved:
    said, shown = error.stderr, _git.clean(url)
    host = urlsplit(url).hostname if "://" in url else url.partition(":")[0].rpartition("@")[2]
    if "find remote ref" in said:
        if ref is None:
            return Unresolved(f"the repository {shown} has no commit yet.", "Push one, or name a branch.")
        return Unresolved(f"there is no branch or tag {ref} in {shown}.", "Correct it, or push it there.")
    if "Could not resolve host" in said:
        return Unresolved(f"the host {host} is unknown to this agent.", "Check its name, and this machine's network.")
    if "Host key verification failed" in said:
        return Unresolved(
            f"this agent's user has not yet met the ssh host {host}.",
            f"On the agent: ssh-keyscan {host} >> ~/.ssh/known_hosts, after a look at the key.",
        )
    if any(text in said for text in _WANTS_RIGHTS):
        return Unresolved(
            f"{shown} wants authentication that this agent does not have.",
            "Give the agent's user an ssh key or a git credential helper, or start from a clone: bough optimize DIR.",
        )
    return Unresolved(f"{shown} cannot be fetched: {error.what}", error.do or "Check it on the agent: git ls-remote.")


_WANTS_RIGHTS = ("Authentication failed", "could not read Username", "Permission denied", "terminal prompts disabled")
