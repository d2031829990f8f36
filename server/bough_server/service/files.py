"""Files that jobs hand in: names come by the journal, contents by streams of their own, and a job ends with both.

A content that the agent holds is waited for like a journal. One that it does not hold (a trial removed it, or it was
refused) never comes: the file is shown as lost, and the job as partial.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, select

from bough import _layout, _paths
from bough_server.store.contents import Received, read_name
from bough_server.store.dialects import upsert
from bough_server.store.schema import contents, job_files, refused_contents

MAX_FILES = 20_000  # names of one attempt
MAX_TITLE = 500
HERE, COMING, LOST, REFUSED = "here", "coming", "lost", "refused"


def is_line(line: Sequence[Any]) -> bool:
    """Return whether a journal line of kind f means something."""
    if len(line) != 5 or type(line[3]) is not str or type(line[4]) is not dict:
        return False
    sha256, size, title = (line[4].get(name) for name in ("sha256", "bytes", "title"))
    is_content = type(sha256) is str and type(size) is int and read_name(f"{sha256}-{size}") is not None
    is_time = type(line[2]) in (int, float)
    is_title = title is None or (type(title) is str and len(title) <= MAX_TITLE)
    return is_content and is_time and is_title and _paths.fault_of(line[3]) is None


def store_lines(tx: Connection, job: str, attempt: int, lines: Sequence[Sequence[Any]]) -> int:
    """Store the files that these lines name, the last of a name; return how many were too many."""
    if not lines:
        return 0
    mine = (job_files.c.job == job) & (job_files.c.attempt == attempt)
    known = set(tx.execute(select(job_files.c.path).where(mine)).scalars())
    rows: dict[str, dict[str, Any]] = {}
    too_many = 0
    for _, _, at, path, facts in lines:
        if path not in known and len(known) >= MAX_FILES:
            too_many += 1
            continue
        known.add(path)
        row = {"job": job, "attempt": attempt, "path": path, "at": float(at), "title": facts.get("title")}
        rows[path] = {**row, "sha256": facts["sha256"], "bytes": facts["bytes"]}
    upsert(tx, job_files, list(rows.values()), replace=("sha256", "bytes", "title", "at"))
    return too_many


def store_content(tx: Connection, job: str, attempt: int, stream: str, received: Received, now: float) -> None:
    """Note that a content has arrived, or that it was refused."""
    sha256, size = read_name(stream.removeprefix(_layout.FILE_STREAM)) or ("", 0)
    if received.refusal is not None:
        reason = f"the file {received.refusal}."
        upsert(tx, refused_contents, [{"job": job, "attempt": attempt, "sha256": sha256, "reason": reason}])
    elif received.is_whole:
        upsert(tx, contents, [{"sha256": sha256, "bytes": size, "at": now}])


def missing(tx: Connection, job: str, attempt: int, held: Collection[str]) -> tuple[list[str], bool]:
    """Return the contents that are waited for, and whether some will never come.

    Args:
        tx: A connection.
        job: Its id.
        attempt: Of the job.
        held: What its agent holds: ``<sha256>-<bytes>``.
    """
    rows = tx.execute(_ABSENT, {"its_job": job, "its_attempt": attempt}).all()
    if not rows:
        return [], False
    of_attempt = (refused_contents.c.job == job) & (refused_contents.c.attempt == attempt)
    refused = set(tx.execute(select(refused_contents.c.sha256).where(of_attempt)).scalars())
    coming = set(held)
    waited = [f"{sha256}-{size}" for sha256, size in rows if f"{sha256}-{size}" in coming and sha256 not in refused]
    return waited, len(waited) < len(rows)


_ABSENT = (
    select(job_files.c.sha256, job_files.c.bytes)
    .outerjoin(contents, and_(job_files.c.sha256 == contents.c.sha256, job_files.c.bytes == contents.c.bytes))
    .where(job_files.c.job == bindparam("its_job"), job_files.c.attempt == bindparam("its_attempt"))
    .where(contents.c.sha256.is_(None))
    .distinct()
)


def rows(tx: Connection, job: Mapping[str, Any], attempt: int) -> list[dict[str, Any]]:
    """Return the files of an attempt by path: path, sha256, bytes, title, at, and their state.

    ``here``: it can be read; ``coming``; ``lost``: its content never came; ``refused``, with a ``reason``.
    """
    found = (
        select(job_files, contents.c.sha256.label("here"), refused_contents.c.reason)
        .outerjoin(contents, and_(job_files.c.sha256 == contents.c.sha256, job_files.c.bytes == contents.c.bytes))
        .outerjoin(
            refused_contents,
            and_(
                refused_contents.c.job == job_files.c.job,
                refused_contents.c.attempt == job_files.c.attempt,
                refused_contents.c.sha256 == job_files.c.sha256,
            ),
        )
        .where(job_files.c.job == job["id"], job_files.c.attempt == attempt)
        .order_by(job_files.c.path)
    )
    is_over = job["ended_at"] is not None or attempt < job["attempt"]
    return [_shown(dict(row), is_over) for row in tx.execute(found).mappings()]


def count(tx: Connection, job: str, attempt: int) -> tuple[int, int]:
    """Return how many files an attempt handed in, and their bytes."""
    mine = (job_files.c.job == job) & (job_files.c.attempt == attempt)
    row = tx.execute(select(func.count(), func.sum(job_files.c.bytes)).where(mine)).one()
    return int(row[0]), int(row[1] or 0)


def drop_unused(tx: Connection, before: float) -> list[str]:
    """Forget the contents that no job names any more; return their checksums, for whoever removes them.

    Args:
        tx: A writing connection.
        before: Only those that came before this time: a content may come before its name.
    """
    is_named = select(job_files.c.sha256).where(job_files.c.sha256 == contents.c.sha256).exists()
    unused = (contents.c.at < before) & ~is_named
    found = list(tx.execute(select(contents.c.sha256).where(unused)).scalars())
    tx.execute(delete(contents).where(unused))
    return found


def _shown(row: dict[str, Any], is_over: bool) -> dict[str, Any]:
    state = HERE if row["here"] else REFUSED if row["reason"] else LOST if is_over else COMING
    same = {name: row[name] for name in ("path", "sha256", "bytes", "title", "at")}
    return {**same, "state": state, "reason": None if state == HERE else row["reason"]}
