"""Records brought from one repository to another: between clones, git remotes and coordinators.

What the other side has is looked at first, so that nothing is sent twice. A ref that both have, with commits of which
neither stands on the other, is never written over: what comes is kept below ``refs/bough/kept/``, and said.
Coordinators take records below ``refs/bough/incoming/``, where they check them before they make them their own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from bough import _git
from bough.errors import UsageError
from bough_cli.records import objects
from bough_cli.records.refs import INCOMING, JOBS, KEPT, MODELS, OPTIMIZATIONS, kept, plain

TRANSFER_S = 6 * 3600.0
LOOK_S = 120.0
PACK_FROM = 200  # new refs: so many files of one line each slow every later look
Refs = dict[str, str]  # name → id
Progress = Callable[[str, int], None]  # what git does, percent

_PROGRESS = re.compile(r"(?:remote: )?([A-Z][a-z]+ [a-z]+):\s+(\d+)%")
_CHATTER = re.compile(
    r"(?:remote: )?(?:Enumerating|Counting|Compressing|Total|Writing|Receiving|Resolving|Delta|Unpack)"
)
_DIFFERS = re.compile(r"! \[rejected\].*\((?:non-fast-forward|fetch first|already exists)\)")
_REF = re.compile(r"refs/bough/\S+")
_PART = re.compile(r"refs/bough/(jobs|optimizations|models)/")


@dataclass(frozen=True)
class Other:
    """A repository elsewhere.

    Attributes:
        address: What git is given: a URL or the name of a remote.
        shown: What people are told.
        token: The key of a coordinator; None for others.
        incoming: Whether what is brought there goes below ``refs/bough/incoming/``.
    """

    address: str
    shown: str
    token: str | None = None
    incoming: bool = False


@dataclass(frozen=True)
class Brought:
    """What a transfer did.

    Attributes:
        new: How many jobs' records were brought.
        known: How many were there already.
        kept: Names of what has a name that is another commit's on the other side, as it is called from now on.
    """

    new: int
    known: int
    kept: tuple[str, ...] = ()


def patterns(optimization: str | None) -> list[str]:
    """Return the prefixes of the refs to bring: of one optimization, or of everything."""
    if optimization is None:
        return [JOBS, OPTIMIZATIONS, MODELS]
    return [f"{JOBS}{optimization}/", OPTIMIZATIONS + optimization, MODELS]


def pull(git_dir: str, other: Other, optimization: str | None, progress: Progress) -> Brought:
    """Bring records from elsewhere into a clone.

    Args:
        git_dir: Of the clone.
        other: From where.
        optimization: The id of the only one to bring, None for all.
        progress: Is told how far git is.

    Raises:
        UsageError: The other side cannot be read.
    """
    there = _matching(look(git_dir, other, f"{_ROOT}*"), patterns(optimization))
    here = dict(objects.refs(git_dir, _ROOT))
    new = [name for name in there if here.get(name) != there[name]]
    kept_aside: list[str] = []
    if new:
        used = [pattern for pattern in patterns(optimization) if any(name.startswith(pattern) for name in new)]
        wanted = [f"{one}*:{one}*" if one.endswith("/") else f"{one}:{one}" for one in used]
        wanted += [f"{name}:{name}" for name in new if name.startswith(KEPT)]
        options = ["--progress", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--stdin"]
        given = "".join(f"{line}\n" for line in wanted)
        different = _run(["fetch", *options, "--end-of-options", other.address], git_dir, other, progress, given)
        _pack(git_dir, len(new))
        for name in different:
            new.remove(name)
            if not _is_ancestor(git_dir, there[name], here[name]):  # else ours is only newer
                kept_aside.append(kept(name, there[name]))
                _git.run(["update-ref", "--", kept_aside[-1], there[name]], git_dir=git_dir)
        _sweep(git_dir)
    return _brought(there, new, kept_aside)


def push(git_dir: str, other: Other, mine: Iterable[str], progress: Progress) -> Brought:
    """Bring records of a clone elsewhere.

    Args:
        git_dir: Of the clone.
        other: Where to.
        mine: Prefixes of the refs to bring, or whole refs.
        progress: Is told how far git is.

    Raises:
        UsageError: The other side cannot be read or written.
    """
    here = _matching(dict(objects.refs(git_dir, _ROOT)), list(mine))
    found = look(git_dir, other, f"{_ROOT}*")
    differing = [name for name in here if found.get(name, here[name]) != here[name]]
    _fetch_missing(git_dir, other, [(name, found[name]) for name in differing])
    older = {name for name in differing if _is_ancestor(git_dir, here[name], found[name])}
    newer = {name for name in differing if _is_ancestor(git_dir, found[name], here[name])}
    lines, kept_aside, new = [], [], []
    for name, oid in here.items():
        if found.get(name) == oid or name in older or found.get(plain(name)) == oid:
            continue
        named = name
        if name in differing and name not in newer and not other.incoming:  # a coordinator decides for itself
            named = kept(name, oid)
            kept_aside.append(named)
            if found.get(named) == oid:
                continue
        else:
            new.append(name)
        lines.append(f"{oid}:{_incoming(named) if other.incoming else named}")
    for start in range(0, len(lines), _AT_ONCE):
        command = ["push", "--progress", "--no-verify", "--end-of-options", other.address]
        _run([*command, *lines[start : start + _AT_ONCE]], git_dir, other, progress)
    return _brought(here, new, kept_aside)


def look(git_dir: str, other: Other, *wanted: str) -> Refs:
    """Return the refs of another repository that match these patterns."""
    command = ["ls-remote", "--quiet", "--end-of-options", other.address, *wanted]
    try:
        told = _git.run(command, git_dir=git_dir, token=other.token, timeout_s=LOOK_S, allow_file=True)
    except _git.GitFailed as error:
        raise UsageError(f"{other.shown} cannot be read: {error.what}", error.do) from None
    lines = (line.partition("\t") for line in told.decode("utf-8", "surrogateescape").splitlines())
    return {name: oid for oid, _, name in lines}


_ROOT = "refs/bough/"
_AT_ONCE = 1000  # refs on one command line


def _incoming(name: str) -> str:
    return INCOMING + name.removeprefix(_ROOT)


def _matching(refs: Mapping[str, str], prefixes: list[str]) -> Refs:
    whole = {prefix for prefix in prefixes if not prefix.endswith("/")}
    folders = tuple(prefix for prefix in prefixes if prefix.endswith("/"))
    return {
        name: oid
        for name, oid in refs.items()
        if _PART.match(shown := plain(name)) and (shown in whole or (folders and shown.startswith(folders)))
    }


def _fetch_missing(git_dir: str, other: Other, wanted: list[tuple[str, str]]) -> None:
    """Bring the commits of these refs of another repository, where they are not here, so that they can be compared."""
    missing = [name for name, oid in wanted if not _has(git_dir, oid)]
    if missing:
        options = ["--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--stdin"]
        given = "".join(f"{name}\n" for name in missing)
        _run(
            ["fetch", *options, "--end-of-options", other.address], git_dir, other, lambda _what, _percent: None, given
        )


def _has(git_dir: str, oid: str) -> bool:
    try:
        _git.run(["cat-file", "-e", f"{oid}^{{commit}}"], git_dir=git_dir)
    except _git.GitFailed:
        return False
    return True


def _sweep(git_dir: str) -> None:
    """Drop what is kept aside and stands below the commit that has its name by now."""
    here = dict(objects.refs(git_dir, _ROOT))
    for name, oid in here.items():
        if name.startswith(KEPT) and plain(name) in here and _is_ancestor(git_dir, oid, here[plain(name)]):
            _git.run(["update-ref", "-d", "--", name, oid], git_dir=git_dir)


def _is_ancestor(git_dir: str, older: str, newer: str) -> bool:
    try:
        _git.run(["merge-base", "--is-ancestor", older, newer], git_dir=git_dir)
    except _git.GitFailed:
        return False
    return True


def _brought(all_of_them: Iterable[str], new: list[str], kept_aside: list[str]) -> Brought:
    jobs = sum(1 for name in new if name.startswith(JOBS))
    total = sum(1 for name in all_of_them if name.startswith(JOBS))
    return Brought(jobs, total - jobs - sum(1 for name in kept_aside if "/jobs/" in name), tuple(kept_aside))


def _pack(git_dir: str, fresh: int) -> None:
    if fresh >= PACK_FROM:
        with suppress(_git.GitFailed):  # slower from now on, but nothing is lost
            _git.run(["pack-refs", "--all"], git_dir=git_dir, timeout_s=LOOK_S)


def _run(arguments: list[str], git_dir: str, other: Other, progress: Progress, given: str = "") -> tuple[str, ...]:
    """Run a fetch or push; return the refs that it left alone because the other content does not stand on theirs.

    Its progress, which git writes to stderr with carriage returns, is told as it comes.
    """
    process = subprocess.Popen(
        _git.command(arguments, git_dir=git_dir, with_token=other.token is not None),
        env=_git.environment(token=other.token, allow_file=True, remote=other.address),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    said: list[str] = []
    timer = threading.Timer(TRANSFER_S, lambda: _kill(process))
    timer.daemon = True
    timer.start()
    try:
        with suppress(BrokenPipeError):
            process.stdin.write(given.encode("utf-8", "surrogateescape"))
            process.stdin.close()
        for line in _lines(process.stderr):
            found = _PROGRESS.match(line)
            if found:
                progress(found[1], int(found[2]))
            elif not _CHATTER.match(line):
                said.append(_git.clean(line, other.token))
        process.wait()
    except BaseException:
        _kill(process)
        raise
    finally:
        timer.cancel()
        process.stderr.close()
    differing = [line for line in said if _DIFFERS.search(line)]
    if process.returncode != 0 and not differing:
        raise _failed(arguments[0], other, said)
    return tuple(found[0] for line in differing if (found := _REF.search(line)))


def _lines(stream: IO[bytes]) -> Iterable[str]:
    rest = b""
    while piece := os.read(stream.fileno(), 1 << 16):
        *whole, rest = re.split(rb"[\r\n]", rest + piece)
        yield from (line.decode("utf-8", "replace") for line in whole if line.strip())
    if rest.strip():
        yield rest.decode("utf-8", "replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def _failed(verb: str, other: Other, said: list[str]) -> UsageError:
    rejected = [line for line in said if "[remote rejected]" in line]
    if rejected:
        names = [found[0] for line in rejected if (found := _REF.search(line))]
        remote = next((line.removeprefix("remote: ").strip() for line in said if line.startswith("remote: ")), "")
        reason = re.search(r"\(([^)]*)\)\s*$", rejected[0])
        why = (remote or (reason[1] if reason else "it does not say why")).rstrip(".")
        return UsageError(f"{other.shown} refuses {', '.join(names[:3])}: {why}.", "See there what may be pushed.")
    faults = [line for line in said if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))] or said[-1:]
    told = faults[0].split(":", 1)[-1].strip().rstrip(".") if faults else "git ended without a word"
    return UsageError(f"git {verb} with {other.shown} failed: {told}.", "Check the address, the key and the network.")
