"""Writing records into a repository: one ``git fast-import`` process per batch, which leaves all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bough import _git
from bough._git import GitFailed
from bough_server.archive.records import JOB_REFS, OPTIMIZATION_REFS, RecordData, stream

_TIMEOUT_S = 300.0
WITHOUT_CODE = "\n\nThe commit of the code was not in the coordinator's repository: this record has no parent."


def write(repository: Path, records: Sequence[RecordData]) -> None:
    """Write these records; those whose ref is there already are left as they are.

    A record whose parent is missing is written without one, and its message says so.

    Raises:
        GitFailed: git refused, was killed, or the disk is full. Nothing was written.
    """
    existing = dates(repository, [record.ref for record in records])
    fresh = [record for record in records if record.ref not in existing]
    if fresh:
        _import(repository, [*_with_known_parents(repository, fresh)])


def replace_tip(repository: Path, record: RecordData) -> None:
    """Write a record as the newest commit of its ref, on top of what the ref holds now.

    Nothing happens when the ref's commit has this record's date: it is that record.

    Raises:
        GitFailed: As `write`.
    """
    tip = dates(repository, [record.ref]).get(record.ref)
    if tip == int(record.ended_at):
        return
    _import(repository, [replace(record, parent=None if tip is None else f"{record.ref}^0")])


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
        )
    finally:
        for report in repository.glob("fast_import_crash_*"):  # holds what was being written
            report.unlink(missing_ok=True)


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


__all__ = ["WITHOUT_CODE", "GitFailed", "dates", "delete", "replace_tip", "write"]
