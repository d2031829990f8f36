"""Documents and files of jobs as tables, one row each; see `service.export` for trials and points."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from sqlalchemy import Connection

from bough_server.service import documents, files
from bough_server.service.export import Read, iso
from bough_server.store import reads

DOCUMENT_COLUMNS = ("number", "job_id", "attempt", "kind", "name", "value", "time")
FILE_COLUMNS = ("number", "job_id", "attempt", "path", "bytes", "sha256", "state", "title", "time")
Runs = list[tuple[str, int, int]]  # job, number of the trial, attempt


def document_rows(read: Read, runs: Runs) -> Iterator[dict[str, Any]]:
    """Yield every document of these attempts; each attempt is read when its turn comes."""
    for job, number, attempt in runs:
        for row in read(partial(documents.rows, job=job, attempt=attempt)):
            named = {"number": number, "job_id": job, "attempt": attempt, "time": iso(row["at"])}
            yield named | {name: row[name] for name in ("kind", "name", "value")}


def file_rows(read: Read, runs: Runs) -> Iterator[dict[str, Any]]:
    """Yield every file of these attempts; each attempt is read when its turn comes."""
    for job, number, attempt in runs:
        for row in read(partial(_files, job=job, attempt=attempt)):
            named = {"number": number, "job_id": job, "attempt": attempt, "time": iso(row["at"])}
            yield named | {name: row[name] for name in ("path", "bytes", "sha256", "state", "title")}


def _files(tx: Connection, job: str, attempt: int) -> list[dict[str, Any]]:
    return files.rows(tx, reads.job(tx, job), attempt)
