"""Everything of an optimization as tables: every trial, or every point.

Rows hold typed values (numbers as numbers, None where nothing is known); how they are written is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from bough_server.service import documents
from bough_server.service import kpi as kpis
from bough_server.store import reads
from bough_server.store.schema import agents, attempts

POINT_COLUMNS = ("number", "channel", "trace", "x", "y", "time", "attempt", "overrun")
_FIRST = ("number", "job_id", "state", "end_reason", "kpi", "kpi_last", "kpi_best", "kpi_best_x")
_LAST = (
    *("epochs", "created", "started", "ended", "duration_s", "exit_code"),
    *("attempts", "agent", "commit", "record", "message"),
)
Read = Callable[[Callable[[Connection], Any]], Any]


def trial_rows(
    tx: Connection, optimization_id: str, all_attempts: bool = False
) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Return the columns of the table of trials, in their stable order, and its rows by number.

    With ``all_attempts`` each attempt that did not become the trial's result has a row of its own before it.
    """
    columns, rows = trial_table(tx, optimization_id, all_attempts)
    return columns, iter(rows)


def trial_table(tx: Connection, optimization_id: str, all_attempts: bool) -> tuple[list[str], list[dict[str, Any]]]:
    """As `trial_rows`, read at once."""
    optimization = reads.optimization(tx, optimization_id)
    names = dict(tx.execute(select(agents.c.id, agents.c.name)).all())
    rows: list[dict[str, Any]] = []
    for job in reads.jobs_of(tx, optimization["id"]):
        if all_attempts:
            rows += _given_up(tx, job, names, optimization)
        rows.append(_trial(tx, job, names))
    return _columns(rows), rows


def _trial(tx: Connection, job: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    row = {name: job[name] for name in (*_FIRST, *_LAST) if name in job}
    row |= {name: counted(row[name]) for name in ("kpi_best_x", "epochs")}
    row |= {"job_id": job["id"], "attempts": job["attempt"], "agent": names.get(job["agent"] or "")}
    row |= {"created": iso(job["created_at"]), "started": iso(job["started_at"]), "ended": iso(job["ended_at"])}
    row |= {f"p.{path}": value for path, value in (job["values"] or {}).items()}
    last = reads.last_values(tx, [(job["id"], job["attempt"])]).get(job["id"], {})
    row |= {f"channel.{name}": value for name, value in last.items()}
    row |= {f"info.{name}": value for name, value in reads.infos(tx, job["id"]).items()}
    system = documents.rows(tx, job["id"], job["attempt"], "system")
    return row | {f"system.{one['name']}": one["value"] for one in system}


def _given_up(
    tx: Connection, job: Mapping[str, Any], names: Mapping[str, str], optimization: Mapping[str, Any]
) -> list[dict[str, Any]]:
    found = select(attempts).where(attempts.c.job == job["id"], attempts.c.attempt < job["attempt"])
    rows = []
    for attempt in tx.execute(found.order_by(attempts.c.attempt)).mappings():
        exit_ = attempt["exit"] or {}
        kpi = kpis.of_attempt(tx, job["id"], attempt["attempt"], optimization)
        row = {"number": job["number"], "job_id": job["id"], "state": attempt["state"].upper(), "end_reason": None}
        row |= {"kpi": kpi.value, "kpi_last": kpi.last, "kpi_best": kpi.best, "epochs": None}
        row |= {"kpi_best_x": counted(kpi.best_x)}
        row |= {"created": iso(job["created_at"]), "started": iso(attempt["started_at"])}
        row |= {"ended": iso(attempt["ended_at"]), "duration_s": exit_.get("duration_s")}
        row |= {"exit_code": exit_.get("exit_code"), "attempts": attempt["attempt"], "record": None}
        row |= {"agent": names.get(attempt["agent"]), "commit": job["commit"], "message": attempt["message"]}
        row |= {f"p.{path}": value for path, value in (job["values"] or {}).items()}
        last = reads.last_values(tx, [(job["id"], attempt["attempt"])]).get(job["id"], {})
        rows.append(row | {f"channel.{name}": value for name, value in last.items()})
    return rows


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return the order of columns: what is fixed, then every name in the order in which trials first had it."""
    seen: dict[str, None] = {}
    for row in rows:
        seen.update(dict.fromkeys(row))
    middle = [name for prefix in ("p.", "channel.", "info.", "system.") for name in seen if name.startswith(prefix)]
    return [*_FIRST, *middle, *_LAST]


def runs_of(tx: Connection, optimization_id: str, all_attempts: bool) -> list[tuple[str, int, int]]:
    """Return (job, trial number, attempt) of everything whose points belong into the export."""
    optimization = reads.optimization(tx, optimization_id)
    found = []
    for job in reads.jobs_of(tx, optimization["id"]):
        first = 1 if all_attempts else max(1, job["attempt"])
        found += [(job["id"], job["number"], attempt) for attempt in range(first, job["attempt"] + 1)]
    return found


def point_rows(
    tx: Connection, optimization_id: str, all_attempts: bool = False
) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Return the columns of the table of points and its rows: by trial, attempt, channel, time and trace."""
    found = runs_of(tx, optimization_id, all_attempts)
    return list(POINT_COLUMNS), point_rows_of(lambda work: work(tx), found)


def point_rows_of(read: Read, runs: list[tuple[str, int, int]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of all points of these attempts; each is read by one call of ``read`` when its turn comes."""
    for job_id, number, attempt in runs:
        for channel, points in read(partial(_points_of, job_id=job_id, attempt=attempt)):
            yield from _rows_of(number, attempt, channel, points)


def _points_of(tx: Connection, job_id: str, attempt: int) -> list[tuple[dict[str, Any], reads.Points]]:
    cut = reads.cuts(tx, job_id, attempt)
    return [(channel, reads.points_of(tx, channel, cut)) for channel in reads.channels(tx, job_id, attempt)]


def _rows_of(number: int, attempt: int, channel: Mapping[str, Any], points: reads.Points) -> Iterator[dict[str, Any]]:
    columns = [column if isinstance(column, list) else column.tolist() for column in points.y]
    for i, (x, t, overrun) in enumerate(
        zip(points.x.tolist(), points.t.tolist(), points.overrun.tolist(), strict=True)
    ):
        for trace, column in zip(channel["traces"], columns, strict=True):
            row = (number, channel["name"], trace, counted(x), column[i], iso(t), attempt, overrun)
            yield dict(zip(POINT_COLUMNS, row, strict=True))


def counted(x: float | None) -> float | int | None:
    """Return an x that is a whole number as one: epochs are counted, and stored as floats with everything else."""
    if x is None or not x.is_integer() or abs(x) >= 2**53:
        return x
    return int(x)


def iso(at: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC with milliseconds; None if there is none, or none that a calendar knows."""
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
