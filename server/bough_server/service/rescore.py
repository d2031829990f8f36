"""The KPI is reckoned otherwise from now on: ended trials are judged again from what is stored.

Their losses are appended to the history as further words about the same trials (`told`); what earlier asks saw stays,
so that a replay comes out as before. What is another number now is recorded again: its record in git gets a further
one on top, with the earlier as its second parent, as that of a job that ran once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, update

from bough_server.service import ends, states, told
from bough_server.service import kpi as kpis
from bough_server.service.changes import Changes
from bough_server.service.kpi import Kpi
from bough_server.service.states import DONE, FAILED
from bough_server.service.verdict import judge
from bough_server.store import reads
from bough_server.store.schema import attempts, jobs, optimizations

_NO_RESULT = (kpis.NO_KPI, kpis.NAN_KPI)
_KPIS = ("kpi", "kpi_last", "kpi_best", "kpi_best_x")


def rescore(tx: Connection, before: Mapping[str, Any], row: Mapping[str, Any], now: float, changes: Changes) -> None:
    """Judge what ended in this generation again.

    Args:
        tx: A writing connection.
        before: The row of the optimization as it was.
        row: As it is now.
        now: The time.
        changes: What changed is noted here.
    """
    if before["kpi_channel"] != row["kpi_channel"]:  # what the script declared of another one says nothing
        unseen = {"kpi_channel_seen": None, "kpi_direction_seen": None}
        tx.execute(update(optimizations).where(optimizations.c.id == row["id"]).values(**unseen))
    row = reads.optimization(tx, row["id"])
    scored: dict[str, Kpi] = {}
    ended = [job for job in reads.jobs_of(tx, row["id"], row["generation"]) if _is_scored(job)]
    for job in ended:
        if job["reused_from"] is None:
            scored[job["id"]] = _judged_again(tx, job, row, changes)
    for job in ended:
        if job["reused_from"] in scored:
            scored[job["id"]] = scored[job["reused_from"]]
            _note(tx, job, scored[job["id"]], changes)
    _tell(tx, reads.optimization(tx, row["id"]), scored, now)


def _is_scored(job: Mapping[str, Any]) -> bool:
    return job["state"] == DONE or (job["state"] == FAILED and job["end_reason"] in _NO_RESULT)


def _judged_again(tx: Connection, job: Mapping[str, Any], row: Mapping[str, Any], changes: Changes) -> Kpi:
    (attempt,) = reads.rows_of_attempt(tx, attempts, job["id"], job["attempt"])
    kpi = kpis.of_attempt(tx, job["id"], job["attempt"], row)
    verdict = judge(ends.ending_of(tx, job, attempt, kpi, row))
    ends.remember_kpi(tx, reads.optimization(tx, row["id"]), kpi)
    if verdict.state != job["state"] and verdict.state in (DONE, FAILED):
        move = "approve" if verdict.state == DONE else "disapprove"
        states.move_job(tx, job["id"], move, end_reason=verdict.reason, message=verdict.message)
    _note(tx, job, kpi, changes)
    return kpi


def _note(tx: Connection, job: Mapping[str, Any], kpi: Kpi, changes: Changes) -> None:
    values: dict[str, Any] = dict(zip(_KPIS, (kpi.value, kpi.last, kpi.best, kpi.best_x), strict=True))
    if any(job[name] != value for name, value in values.items()):
        values["record"] = None
    tx.execute(update(jobs).where(jobs.c.id == job["id"]).values(**values))
    changes.of_job(job)


def _tell(tx: Connection, row: Mapping[str, Any], scored: Mapping[str, Kpi], now: float) -> None:
    """Append the losses that are others now, those of earlier optimizations' trials among them."""
    again = []
    for entry in told.newest(tx, row):
        kpi = scored.get(entry["job"]) or _of_earlier(tx, entry, row)
        if kpi is None:
            continue
        loss = None if kpi.value is None else kpis.loss(kpi.value, kpi.direction)
        if loss != entry["loss"]:
            again.append({**entry, "loss": loss, "ended_at": now})
    told.append(tx, row, again)


def _of_earlier(tx: Connection, entry: Mapping[str, Any], row: Mapping[str, Any]) -> Kpi | None:
    """Return the KPI of a trial that another optimization ran, if that is still there."""
    row_of_job = tx.execute(jobs.select().where(jobs.c.id == entry["job"])).mappings().first()
    if row_of_job is None:
        return None
    found = dict(row_of_job)
    if found["optimization"] == row["id"] or not _is_scored(found) or not found["attempt"]:
        return None
    return kpis.of_attempt(tx, found["id"], found["attempt"], row)
