"""Writing records into a repository: one ``git fast-import`` process per batch, which leaves all of it or nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bough import _git
from bough._git import GitFailed
from bough_server.archive.records import JOB_REFS, OPTIMIZATION_REFS, RecordData, stream

_TIMEOUT_S = 300.0

_FEW = 8  # refs: so many files are synced sooner than all refs are packed

# git would wait for the disk with each ref; a hundred of them take four times as long as everything else.
LAZY_REFS = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsync", "GIT_CONFIG_VALUE_0": "objects"}
WITHOUT_CODE = "\n\nThe commit of the code was not in the coordinator's repository: this record has no parent."


def write(repository: Path, records: Sequence[RecordData]) -> None:
    """Write these records, in their order.

    One whose ref is there with the same date is that record, and left as it is; with another date (a job that was run
    again) the new record has the old one as its second parent. A record whose parent is missing is written without
    one, and its message says so. One that keeps files (`RecordData.keeps`) goes on top of what its ref holds.

    Raises:
        GitFailed: git refused, was killed, or the disk is full. Nothing was written.
    """
    existing = dates(repository, [record.ref for record in records])
    jobs = [record for record in records if not record.keeps and existing.get(record.ref) != int(record.ended_at)]
    ready = {record.ref: record for record in _with_known_parents(repository, jobs)}
    fresh = [_placed(ready.get(one.ref, one), existing) for one in records if one.keeps or one.ref in ready]
    if fresh:
        _import(repository, fresh)


def _placed(record: RecordData, existing: Mapping[str, int]) -> RecordData:
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
    )
    return (error.returncode or -1) > 0 and not any(text in error.stderr for text in cannot_write)


def tips(repository: Path, prefix: str) -> dict[str, str]:
    """Return the message of the commit of each ref below ``prefix``."""
    format = "%(refname)%00%(contents)%00%00"
    out = _git.run(["for-each-ref", f"--format={format}", "--", prefix], git_dir=str(repository))
    found = (entry.lstrip("\n").split("\0", 1) for entry in out.decode("utf-8", "replace").split("\0\0"))
    return {entry[0]: entry[1] for entry in found if len(entry) == 2}


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


def dates(repository: Path, refs: Iterable[str]) -> dict[str, int]:
    """Return the committer date, seconds since the epoch, of each of these refs that exists."""
    wanted = list(refs)
    format = "%(refname) %(committerdate:unix)"
    out = _git.run(["for-each-ref", f"--format={format}", "--", *wanted], git_dir=str(repository))
    found = (line.split() for line in out.decode().splitlines())
    return {name: int(date) for name, date in found}


def _import(repository: Path, records: Sequence[RecordData]) -> None:
    try:
        _git.run(
            ["fast-import", "--quiet", "--done"],
            git_dir=str(repository),
            input=stream(records),
            timeout_s=_TIMEOUT_S,
            env=LAZY_REFS,
        )
        _sync(repository, [record.ref for record in records])
    except BaseException:
        for left in repository.glob("objects/pack/tmp_pack_*"):  # ours: pushes have folders of their own
            left.unlink(missing_ok=True)
        raise
    finally:
        for report in repository.glob("fast_import_crash_*"):  # holds what was being written
            report.unlink(missing_ok=True)


def _sync(repository: Path, refs: Sequence[str]) -> None:
    """See to it that these refs are on the disk: many of them as one file."""
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


__all__ = ["WITHOUT_CODE", "GitFailed", "dates", "delete", "is_refusal", "tips", "write"]
