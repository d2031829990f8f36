"""From a record to what an agent is granted: the same commit, values, commands, environment variables and limits."""

from __future__ import annotations

from typing import Any

from bough import _git
from bough.errors import BoughError, UsageError
from bough_agent.messages import Claim, read_claim
from bough_cli.records import objects
from bough_cli.records.record import Record

TIMEOUT_S = 60.0


def claim_of(record: Record, marker: str, job_id: str) -> Claim:
    """Return the claim that runs a record again.

    Args:
        record: Whose code the clone must hold.
        marker: 32 hexadecimal digits that find the run's processes.
        job_id: What the run is called.

    Raises:
        UsageError: The code is not part of the record, the job never got that far, or the record is damaged.
    """
    job, run = record.job, run_of(record)
    check_code(record)
    row = {
        "job_id": job_id,
        "attempt": 1,
        "marker": marker,
        "git": "/git/of-the-clone",
        "optimization": record.row["optimization"],
        "number": record.row["number"],
        "values": record.values,
        **{name: job.get(name) for name in ("model", "commit", "folder", "max_epochs", "max_time_s")},
        **{name: run[name] for name in ("commands", "env", "working_dir", "grace_s", "term_s")},
        "kpi": {name: run["kpi"].get(name) for name in ("channel", "direction")},
    }
    try:
        return read_claim(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the record of {record.title} cannot be run: {error}.", "Look at it: bough job cat ID job.json."
        ) from None


def run_of(record: Record) -> dict[str, Any]:
    """Return how the job was run, as the record says it."""
    run = record.job.get("run")
    if not isinstance(run, dict) or not isinstance(run.get("kpi"), dict) or "commands" not in run:
        raise UsageError(
            f"the record of {record.title} does not say how the job was run.",
            "It was written by a coordinator older than this; look at it with: bough job checkout.",
        )
    return {"env": {}, "working_dir": None, "grace_s": 30.0, "term_s": 10.0, **run}


def check_code(record: Record) -> None:
    """Refuse a record that does not stand on the very commit that ran."""
    commit = str(record.job.get("commit"))
    try:
        told = _git.run(["rev-list", "--parents", "-n", "1", record.oid], git_dir=record.git_dir).decode().split()
    except _git.GitFailed as error:
        raise objects.damaged(record.git_dir, error) from None
    if len(told) < 2 and _is_shallow(record):
        raise _without(record, commit, "This clone is shallow: git fetch --unshallow.")
    if len(told) < 2:
        raise _without(record, commit, "The coordinator did not have it when the record was written.")
    if told[1] != commit:
        raise UsageError(
            f"the record of {record.title} says that commit {commit[:12]} ran, but stands on {told[1][:12]}.",
            "It was changed after it was written; fetch it again from where it comes.",
        )
    if not _holds(record, commit):
        raise _without(record, commit, "Fetch it again: bough pull.")


def _holds(record: Record, commit: str) -> bool:
    try:
        _git.run(["cat-file", "-e", f"{commit}^{{tree}}"], git_dir=record.git_dir)
    except BoughError:
        return False
    return True


def _is_shallow(record: Record) -> bool:
    try:
        told = _git.run(["rev-parse", "--is-shallow-repository"], git_dir=record.git_dir)
    except BoughError:
        return False
    return told.strip() == b"true"


def _without(record: Record, commit: str, do: str) -> UsageError:
    return UsageError(f"the clone does not hold commit {commit[:12]}, the code of {record.title}.", do)
