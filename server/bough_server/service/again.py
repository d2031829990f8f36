"""Trials that failed run once more, with the same values; what they did before stays to be seen.

A trial keeps its number and its ask. Its end is told to the optimizer again, and that last word counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, update

from bough.errors import Conflict, UsageError
from bough_server.service import definitions, edits, ends, states
from bough_server.service import optimizations as lifecycle
from bough_server.service.changes import Changes
from bough_server.service.states import ABORTED, CREATED, DONE, FAILED, PAUSED, RUNNING, STOPPED
from bough_server.service.trials import make_room, started
from bough_server.store import reads
from bough_server.store.schema import attempts, jobs, optimizations

LOST = ("lost", "supervisor_lost", "host_reboot", "journal")  # reasons that are no fault of the script
_GONE = "given_up"  # state of an attempt that was lost, and must not come back
ONCE_MORE: Mapping[str, Any] = {  # of the row of a job that had ended
    **dict.fromkeys(("end_reason", "message", "ended_at", "started_at", "duration_s", "exit_code", "status", "record")),
    **dict.fromkeys(("kpi", "kpi_last", "kpi_best", "kpi_best_x", "epochs", "epochs_total", "desired_cause")),
    "desired": "run",
    "failures": 0,
    "lost": 0,
    "partial": False,
    "unreachable": False,
}


def retry(
    tx: Connection, optimization_id: str, body: Mapping[str, Any], now: float, key_id: str, changes: Changes
) -> tuple[str, list[int]]:
    """Queue trials that failed again.

    Args:
        tx: A writing connection.
        optimization_id: Whose; the beginning will do.
        body: ``failed``, ``lost`` (true or false), ``trials`` (numbers), and ``commit`` with ``source``, as in the
            request: the code of these trials, and of all that are started from now on. Without the first three: all
            that failed, for whatever reason.
        now: The time.
        key_id: Who wants it.
        changes: What changed is noted here.

    Returns:
        The full id, and the numbers of the trials.

    Raises:
        UsageError: Something in ``body`` is wrong.
        Conflict: There is nothing to try again, or the optimization cannot go on.
    """
    row = reads.optimization(tx, optimization_id)
    chosen = _chosen(tx, row, body)
    code = code_of_retry(tx, row, body)
    if not chosen:
        raise Conflict(f"optimization {row['id']} has no such trial that failed.", "See: bough optimization show.")
    go_on(tx, row, now)
    for job in chosen:
        once_more(tx, job, now, changes, code)
    if code:
        mine = jobs.c.optimization == row["id"]
        tx.execute(update(jobs).where(mine, jobs.c.state == CREATED).values(**code))
        tx.execute(update(optimizations).where(optimizations.c.id == row["id"]).values(**code))
    grown = make_room(tx, row["id"])
    numbers = [int(job["number"]) for job in chosen]
    with_commit = f" with commit {code['commit'][:12]}" if "commit" in code else ""
    edits.note(tx, row, "retry", [f"trials {_listed(numbers)} run again{with_commit}", *grown], now, key_id)
    changes.optimizations.add(row["id"])
    return str(row["id"]), numbers


def code_of_retry(tx: Connection, row: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the code that is run instead, empty for the same: of a job or an optimization (``row``)."""
    if body.get("commit") is None:
        return {}
    given = {"folder": row["folder"], "source": row["source"], **body}
    return lifecycle.code_of(given, definitions.of_revision(tx, row["model"], row["revision"]))


def _chosen(tx: Connection, row: Mapping[str, Any], body: Mapping[str, Any]) -> list[dict[str, Any]]:
    numbers, failed, lost = _numbers(body), _flag(body, "failed"), _flag(body, "lost")
    if not (numbers or failed or lost):
        failed = lost = True
    found = []
    for job in reads.jobs_of(tx, row["id"], row["generation"]):
        is_lost = job["end_reason"] in LOST
        wanted = job["state"] == FAILED and (lost if is_lost else failed)
        if job["number"] in numbers:
            numbers.remove(job["number"])
            check_ended(job)
            wanted = True
        if wanted:
            found.append(job)
    if numbers:
        raise UsageError(
            f"optimization {row['id']} has no trial {min(numbers)}.", f"Its trials are numbered up to {row['numbers']}."
        )
    return found


def check_ended(job: Mapping[str, Any]) -> None:
    """Raise `Conflict` unless the job is one that may run once more."""
    name = ends.label(job)
    if job["state"] == ABORTED and job["values"] is None:
        raise Conflict(
            f"{name} was stopped before it had values: there is nothing to run again.",
            f"Another one took its place. For one more: bough optimization extend {job['optimization']} --by 1.",
        )
    if job["state"] in (FAILED, ABORTED):
        return
    if job["state"] == DONE:
        raise Conflict(f"{name} is DONE: it has a result.", "To run its values once more: bough optimization enqueue.")
    raise Conflict(f"{name} is {job['state']}: it has not failed.", "Wait for its end, or stop it first.")


def once_more(tx: Connection, job: Mapping[str, Any], now: float, changes: Changes, code: Mapping[str, Any]) -> None:
    """Queue a job that ended again; its attempts stay, and an agent that still holds the last one is told to end it."""
    newest = and_(attempts.c.job == job["id"], attempts.c.attempt == job["attempt"])
    said = what_was_said(job)
    tx.execute(update(attempts).where(newest, attempts.c.state == ends.LOST).values(state=_GONE))
    if said is not None:
        tx.execute(update(attempts).where(newest).values(message=said))
    values = {**ONCE_MORE, **code, "retries": job["retries"] + 1, "queued_at": now}
    states.move_job(tx, job["id"], "retry", of_attempt=job["attempt"], **values)
    changes.of_job(job)


def what_was_said(job: Mapping[str, Any]) -> str | None:
    """Return how a job had ended, as its attempt says it from then on; None if there was no message."""
    return f"{job['state']} ({job['end_reason']}): {job['message']}" if job["message"] else None


def go_on(tx: Connection, row: Mapping[str, Any], now: float) -> None:
    """Let the optimization run, where it had ended or failures had paused it; raise `Conflict` if it cannot."""
    lifecycle.check_time(row, now)
    values: dict[str, Any] = {"reason": None, "failures_in_row": 0, "ended_at": None, "stopped_by": None}
    if row["state"] == PAUSED and row["reason"] is None:  # its user wants that
        values, move = {"failures_in_row": 0}, None
    elif row["state"] in (RUNNING, PAUSED, DONE):
        move = "extend"
    elif row["state"] == STOPPED:
        move = "extend"
        values["max_trials"] = max(1, started(tx, row))  # these trials, and no new ones
    else:
        raise Conflict(f"optimization {row['id']} is {row['state']}.", "Wait until it is STOPPED, then try again.")
    mine = optimizations.c.id == row["id"]
    if move is None:
        tx.execute(update(optimizations).where(mine).values(**values))
    else:
        states.move_optimization(tx, row["id"], move, **values)


def _numbers(body: Mapping[str, Any]) -> set[int]:
    found = body.get("trials")
    if found is None:
        return set()
    if not isinstance(found, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in found):
        raise UsageError(f"trials is {str(found)[:100]!r}, no list of numbers.", 'Send {"trials": [3, 5]}.')
    return set(found)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"{name} is neither true nor false.", f'Send {{"{name}": true}} or leave it out.')
    return value


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return shown if len(numbers) <= 20 else f"{shown}, … ({len(numbers)} in all)"
