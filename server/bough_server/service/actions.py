"""Actions: what a running script lets people call, the calls, and their answers.

A call is told to the job's agent with every reply until its answer has come by the journal; a script takes each once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select

from bough.errors import Conflict, NotFound, UsageError
from bough_server.service import documents, states
from bough_server.service.changes import Changes
from bough_server.store import reads
from bough_server.store.schema import action_calls

MAX_WAITING = 100  # calls of one attempt without an answer
ENDED = {"error": "the attempt ended before it answered."}
_SHOWN = ("id", "attempt", "name", "args", "asked_at", "answer", "answered_at")


def call(
    tx: Connection,
    job_id: str,
    name: str,
    args: Any,
    key_id: str,
    now: float,
    new_id: Callable[[], str],
    changes: Changes,
) -> str:
    """Ask a running job to run one of its actions; return the id of the call.

    Raises:
        Conflict: It does not run, or too many calls wait.
        NotFound: It has not registered such an action.
        UsageError: The arguments are no mapping of names.
    """
    job = reads.job(tx, job_id)
    if job["state"] not in (states.RUNNING, states.PAUSED):
        raise Conflict(f"job {job['id']} is {job['state']}: it can run no action.", "Actions need a running job.")
    known = [row["name"] for row in documents.rows(tx, job["id"], job["attempt"], "action")]
    if name not in known:
        there = f"It has: {', '.join(known)}." if known else "Its script registers them with job.register_action."
        raise NotFound(f"job {job['id']} has no action {name[:200]}.", there)
    if not isinstance(args, dict):
        raise UsageError("args is no mapping of arguments by name.", 'Send {"args": {"name": value}}.')
    mine = _of_attempt(job["id"], job["attempt"]) & action_calls.c.answered_at.is_(None)
    if tx.execute(select(func.count()).select_from(action_calls).where(mine)).scalar_one() >= MAX_WAITING:
        raise Conflict(f"{MAX_WAITING} calls of job {job['id']} wait for an answer.", "Wait until it has answered.")
    row = {"id": new_id(), "job": job["id"], "attempt": job["attempt"], "name": name, "args": args}
    tx.execute(insert(action_calls), {**row, "asked_at": now, "asked_by": key_id})
    changes.of_job(job)
    changes.rung.add(job["agent"])
    return str(row["id"])


def waiting(tx: Connection, attempts: list[tuple[str, int]]) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """Return the calls without an answer of these attempts, as in the protocol."""
    if not attempts:
        return []
    table = action_calls.c
    found = select(table.job, table.attempt, table.id, table.name, table.args).where(
        table.job.in_({job for job, _ in attempts}), table.answered_at.is_(None)
    )
    calls: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in tx.execute(found.order_by(table.asked_at, table.id)):
        calls[row.job, row.attempt].append({"id": row.id, "name": row.name, "args": row.args})
    return [(*key, calls[key]) for key in attempts if key in calls]


def rows(tx: Connection, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every call of a job, oldest first; what can no longer be answered says so."""
    found = select(action_calls).where(action_calls.c.job == job["id"]).order_by(action_calls.c.asked_at)
    return [_shown(dict(row), job) for row in tx.execute(found).mappings()]


def _shown(row: dict[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in _SHOWN}
    is_over = job["ended_at"] is not None or row["attempt"] < job["attempt"]
    return {**shown, "answer": ENDED} if is_over and row["answered_at"] is None else shown


def _of_attempt(job: str, attempt: int) -> Any:
    return (action_calls.c.job == job) & (action_calls.c.attempt == attempt)
