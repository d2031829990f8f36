"""The columns of the table of jobs: what each is called, what kind of value it holds, and how SQL finds it.

Names are those of the CSV: ``kpi``, ``p.<hyperparameter>``, ``channel.<name>``, ``info.<name>`` and so on, and
``tags``, ``star`` and ``note`` for what people marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, cast, func, select

from bough.errors import UsageError
from bough_server.store import reads
from bough_server.store.dialects import json_number, json_value, json_whole, text_of
from bough_server.store.schema import agents, channel_last, channels, infos, job_marks, jobs

NUMBER, TEXT, TIME, BOOLEAN, ANY = "number", "text", "time", "boolean", "any"


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        name: As in the address and the CSV.
        kind: number, text, time (seconds since the epoch), boolean, or any (a hyperparameter or info of any type).
        value: The SQL expression, evaluated per row of `jobs`.
    """

    name: str
    kind: str
    value: ColumnElement[Any]
    number: ColumnElement[Any] | None = None  # the value where it is a number; None: `value` is one, or never is


def _agent() -> ColumnElement[Any]:
    return select(agents.c.name).where(agents.c.id == jobs.c.agent).scalar_subquery()


def _mark(name: str) -> ColumnElement[Any]:
    return select(job_marks.c[name]).where(job_marks.c.job == jobs.c.id).scalar_subquery()


FIXED: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column("number", NUMBER, jobs.c.number),
        Column("job_id", TEXT, jobs.c.id),
        Column("model", TEXT, jobs.c.model),
        Column("optimization", TEXT, jobs.c.optimization),
        Column("state", TEXT, jobs.c.state),
        Column("end_reason", TEXT, jobs.c.end_reason),
        Column("kpi", NUMBER, jobs.c.kpi),
        Column("kpi_last", NUMBER, jobs.c.kpi_last),
        Column("kpi_best", NUMBER, jobs.c.kpi_best),
        Column("kpi_best_x", NUMBER, jobs.c.kpi_best_x),
        Column("epochs", NUMBER, jobs.c.epochs),
        Column("epochs_total", NUMBER, jobs.c.epochs_total),
        Column("created", TIME, jobs.c.created_at),
        Column("started", TIME, jobs.c.started_at),
        Column("ended", TIME, jobs.c.ended_at),
        Column("duration_s", NUMBER, jobs.c.duration_s),
        Column("exit_code", NUMBER, jobs.c.exit_code),
        Column("attempts", NUMBER, jobs.c.attempt),
        Column("agent", TEXT, _agent()),
        Column("commit", TEXT, jobs.c.commit),
        Column("record", TEXT, jobs.c.record),
        Column("message", TEXT, jobs.c.message),
        Column("status", TEXT, jobs.c.status),
        Column("tags", TEXT, _mark("tags")),
        Column("star", BOOLEAN, _mark("star")),
        Column("note", TEXT, _mark("note")),
        Column("generation", NUMBER, jobs.c.generation),
    )
}


def known(tx: Connection, where: list[ColumnElement[bool]]) -> list[dict[str, Any]]:
    """Return every column that jobs selected by ``where`` have something for, in the order of the CSV.

    Each is ``{"name", "kind", "main"}``; ``main`` marks the traces of main channels and of the KPI.
    """
    found = [{"name": name, "kind": column.kind, "main": name in _USUAL} for name, column in FIXED.items()]
    found += [{"name": f"p.{path}", "kind": ANY, "main": False} for path in _paths(tx, where)]
    found += _traces(tx, where)
    mine = select(infos.c.name).join(jobs, (jobs.c.id == infos.c.job) & (jobs.c.attempt == infos.c.attempt))
    names = tx.execute(mine.where(*where).distinct().order_by(infos.c.name)).scalars()
    return found + [{"name": f"info.{name}", "kind": ANY, "main": False} for name in names]


_USUAL = ("number", "state", "kpi", "duration_s", "agent")


def _paths(tx: Connection, where: list[ColumnElement[bool]]) -> list[str]:
    seen: dict[str, None] = {}
    for values in tx.execute(select(jobs.c["values"]).where(*where).distinct()).scalars():
        seen.update(dict.fromkeys(values or {}))
    return list(seen)


def _traces(tx: Connection, where: list[ColumnElement[bool]]) -> list[dict[str, Any]]:
    found = (
        select(channels.c.name, channels.c.traces, channels.c.type, channels.c.main, channels.c.kpi)
        .join(jobs, (jobs.c.id == channels.c.job) & (jobs.c.attempt == channels.c.attempt))
        .where(*where)
        .distinct()
    )
    seen: dict[str, dict[str, Any]] = {}
    for row in sorted(tx.execute(found), key=lambda row: (not row.main, row.name)):
        for trace in range(len(row.traces)):
            name = f"channel.{reads.trace_name(row.name, row.traces, trace)}"
            kind = TEXT if row.type == "text" else NUMBER
            seen.setdefault(name, {"name": name, "kind": kind, "main": bool(row.main or row.kpi)})
    return list(seen.values())


def column(tx: Connection, name: str) -> Column:
    """Return the column of that name.

    Raises:
        UsageError: There is no such column.
    """
    if name in FIXED:
        return FIXED[name]
    prefix, _, rest = name.partition(".")
    if prefix == "p" and rest:
        return Column(name, ANY, json_value(jobs.c["values"], rest), json_number(jobs.c["values"], rest))
    if prefix == "channel" and rest:
        return _channel(tx, name, rest)
    if prefix == "info" and rest:
        mine = (infos.c.job == jobs.c.id) & (infos.c.attempt == jobs.c.attempt) & (infos.c.name == rest)
        return Column(name, ANY, select(json_whole(infos.c.value)).where(mine).scalar_subquery())
    there = ", ".join(FIXED)
    raise UsageError(f"there is no column {name}.", f"There are: {there}, p.…, channel.… and info.….")


def _channel(tx: Connection, name: str, trace_name: str) -> Column:
    """A trace is named by its channel, and by itself where the channel has several: look which is meant."""
    channel, trace = trace_name, 0
    kind = tx.execute(select(channels.c.type).where(channels.c.name == channel).limit(1)).scalar_one_or_none()
    if kind is None and "/" in trace_name:
        channel, _, last = trace_name.rpartition("/")
        found = tx.execute(
            select(channels.c.type, channels.c.traces).where(channels.c.name == channel).limit(1)
        ).first()
        kind = found.type if found else None
        trace = found.traces.index(last) if found and last in found.traces else 0
    value: ColumnElement[Any] = channel_last.c.text if kind == "text" else channel_last.c.y
    mine = (channels.c.job == jobs.c.id) & (channels.c.attempt == jobs.c.attempt) & (channels.c.name == channel)
    last_one = (channel_last.c.channel == channels.c.id) & (channel_last.c.trace == trace)
    newest = select(value).select_from(channels).join(channel_last, last_one).where(mine).scalar_subquery()
    return Column(name, TEXT if kind == "text" else NUMBER, newest)


def as_number(found: Column) -> ColumnElement[Any]:
    """Return the column's value as a number in SQL."""
    return found.value if found.number is None else cast(found.number, Float)


def as_text(found: Column) -> ColumnElement[Any]:
    """Return the column's value as lower-case text in SQL."""
    return func.lower(text_of(found.value))
