"""Writing records into a repository: one ``git fast-import`` process per batch.

Nothing of a batch is known before all of it is on the disk: the records' refs are written last, those of many new
records together (`packed_refs`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from bough import _git
from bough._git import GitFailed
from bough_server.archive import packed_refs
from bough_server.archive.records import JOB_REFS, OPTIMIZATION_REFS, RecordData, stream
from bough_server.archive.repositories import sweep

_TIMEOUT_S = 300.0

_PROBE_BYTES = 256 * 1024
_FEW = 8  # refs: so many files are synced sooner than the file of all refs is written
_PLAIN_REF = re.compile(r"refs/bough/jobs/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+")  # git need not be asked whether it is one

# git would wait for the disk with each ref; a hundred of them take four times as long as everything else.
LAZY_REFS = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsync", "GIT_CONFIG_VALUE_0": "objects"}
# A parent's id is not looked up among the refs; and git's memory for each file is not given back and asked for again
# (mallopt(3)): together a third of its time.
_IMPORT = {
    **LAZY_REFS,
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_1": "core.warnAmbiguousRefs",
    "GIT_CONFIG_VALUE_1": "false",
    "MALLOC_TOP_PAD_": str(8 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024),
}
WITHOUT_CODE = "\n\nThe commit of the code was not in the coordinator's repository: this record has no parent."


@dataclass(frozen=True)
class Tip:
    """The commit of a ref: its date, seconds since the epoch, and its message."""

    date: int
    message: str


def write(repository: Path, records: Sequence[RecordData]) -> None:
    """Write these records, in their order.

    One whose ref is there with the same date and message is that record, and left as it is; with others (a job that was
    run again) the new record has the old one as its second parent. A record whose parent is missing is written without
    one, and its message says so. One that keeps files (`RecordData.keeps`) goes on top of what its ref holds.

    Raises:
        GitFailed: git refused, was killed, or the disk is full. Nothing was written.
    """
    existing = tips(repository, *(record.ref for record in records))
    jobs = [record for record in records if not record.keeps and not _is_same(record, existing.get(record.ref))]
    ready = {record.ref: record for record in _with_known_parents(repository, jobs)}
    fresh = [_placed(ready.get(one.ref, one), existing) for one in records if one.keeps or one.ref in ready]
    new = {one.ref for one in fresh if not one.keeps and one.ref not in existing and _PLAIN_REF.fullmatch(one.ref)}
    if fresh:
        _import(repository, fresh, new if len(new) > _FEW else set())


def _placed(record: RecordData, existing: Mapping[str, Tip]) -> RecordData:
    tip = f"{record.ref}^0" if record.ref in existing else None
    return replace(record, parent=tip) if record.keeps else replace(record, also=tip)


def is_refusal(error: GitFailed) -> bool:
    """Tell whether git objects to what it was given; otherwise it was killed, or could not write just now."""
    cannot_write = (
        "diskspace",
        "No space left",
        "quota",
        "too large",
        "write error",
        "Read-only",
        "denied",
        "unable to ",
        "cannot create keep file",
        "couldn't write",
    )
    return (error.returncode or -1) > 0 and not any(text in error.stderr for text in cannot_write)


def has_room(repository: Path) -> bool:
    """Tell whether something can be written there at all: git has many words for a disk that is full."""
    probe = repository / "objects" / "pack" / "tmp_probe"
    try:
        probe.write_bytes(bytes(_PROBE_BYTES))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True


def tips(repository: Path, *prefixes: str) -> dict[str, Tip]:
    """Return date and message of the commit of each of these refs, and of those below them, that exists."""
    format = "%(refname)%00%(committerdate:unix)%00%(contents)%00%00"
    out = _git.run(["for-each-ref", f"--format={format}", "--", *prefixes], git_dir=str(repository))
    found = (entry.lstrip("\n").split("\0", 2) for entry in out.decode("utf-8", "replace").split("\0\0"))
    return {entry[0]: Tip(int(entry[1] or 0), entry[2]) for entry in found if len(entry) == 3}


def join(repository: Path, ours: str, theirs: str, whole: str) -> str:
    """Make a commit that stands on two tips of a chain, and return its id; it says what ``whole``, one of them, says.

    The same two give the same commit.
    """
    told = _git.run(["show", "-s", "--no-patch", "--format=%ct%n%T%n%B", whole], git_dir=str(repository)).decode()
    _, tree, message = told.split("\n", 2)
    dates = _git.run(["show", "-s", "--format=%ct", ours, theirs], git_dir=str(repository)).decode().split()
    who = {"NAME": "bough", "EMAIL": "bough@coordinator", "DATE": f"{max(map(int, dates))} +0000"}
    env = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in who.items()}
    command = ["commit-tree", "-p", ours, "-p", theirs, "-F", "-", tree]
    return _git.run(command, git_dir=str(repository), input=message.encode(), env=env).decode().strip()


def delete(repository: Path, optimization_id: str) -> int:
    """Delete the refs of an optimization's records, all or none; return how many there were.

    Raises:
        GitFailed: git refused.
    """
    own = (f"{JOB_REFS}{optimization_id}/", f"{OPTIMIZATION_REFS}{optimization_id}")
    refs = _git.run(["for-each-ref", "--format=%(refname)", "--", *own], git_dir=str(repository)).decode().split()
    if refs:
        orders = "".join(f"delete {ref}\0\0" for ref in refs).encode()
        _git.run(["update-ref", "--stdin", "-z"], git_dir=str(repository), input=orders)
    return len(refs)


def _is_same(record: RecordData, tip: Tip | None) -> bool:
    said = record.message.encode("utf-8", "replace").decode().rstrip()
    return tip is not None and tip.date == int(record.ended_at) and tip.message.startswith(said)


def _import(repository: Path, records: Sequence[RecordData], together: Set[str]) -> None:
    """Write these records; those of the refs in ``together``, which are new, get them by one write of one file."""
    try:
        told = _git.run(
            ["fast-import", "--quiet", "--done"],
            git_dir=str(repository),
            input=stream(records, together),
            timeout_s=_TIMEOUT_S,
            env=_IMPORT,
        )
    except BaseException:
        sweep(repository)
        raise
    named = [record.ref for record in records if record.ref not in together]
    _sync(repository, named)
    if together:
        refs = (record.ref for record in records if record.ref in together)
        _name(repository, dict(zip(refs, told.decode().split(), strict=True)))


def _name(repository: Path, commits: Mapping[str, str]) -> None:
    """Give commits their refs, which are new."""
    if not packed_refs.add(repository, commits):
        orders = "".join(f"update {ref}\0{oid}\0\0" for ref, oid in commits.items()).encode()
        _git.run(["update-ref", "--stdin", "-z"], git_dir=str(repository), input=orders, env=LAZY_REFS)
        _sync(repository, list(commits))


def _sync(repository: Path, refs: Sequence[str]) -> None:
    """See to it that these refs, each a file, are on the disk: many of them as one file."""
    if len(refs) > _FEW:
        _git.run(["pack-refs", "--all"], git_dir=str(repository), timeout_s=_TIMEOUT_S)
        return
    folders = set()
    for ref in refs:
        path = repository / ref
        folders.add(path.parent)
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:  # or it was packed meanwhile
            os.fsync(file.fileno())
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _with_known_parents(repository: Path, records: Sequence[RecordData]) -> Iterable[RecordData]:
    parents = sorted({record.parent for record in records if record.parent is not None})
    present = _commits(repository, parents)
    for record in records:
        if record.parent is None or record.parent in present:
            yield record
        else:
            yield replace(record, parent=None, message=record.message + WITHOUT_CODE)


def _commits(repository: Path, ids: Sequence[str]) -> set[str]:
    """Return which of these ids are commits that the repository holds."""
    if not ids:
        return set()
    asked = "".join(f"{id}\n" for id in ids).encode()
    out = _git.run(["cat-file", "--batch-check=%(objectname) %(objecttype)"], git_dir=str(repository), input=asked)
    return {line.split()[0] for line in out.decode().splitlines() if line.endswith(" commit")}


__all__ = ["WITHOUT_CODE", "GitFailed", "Tip", "delete", "has_room", "is_refusal", "join", "tips", "write"]
