"""All trials of an optimization by columns, and the curves of many of them: what its charts are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from bough.errors import NotFound, UsageError
from bough_server.service import views
from bough_server.service.thinning import thinned
from bough_server.store import reads
from bough_server.store.schema import agents, channels, jobs

MAX_CURVES = 500
_COLUMNS = ("id", "number", "state", "end_reason", "kpi", "epochs", "epochs_total", "duration_s", "unreachable")
_TIMES = ("created_at", "started_at", "ended_at")


def trials(tx: Connection, optimization_id: str) -> dict[str, Any]:
    """Return one list per column, all of the same length and in the order of the trials' numbers.

    Columns: id, number, state, end_reason, kpi, epochs, epochs_total, duration_s, unreachable, created_at, started_at,
    ended_at, agent (name); and ``values``, a mapping of each hyperparameter's path to its list, None where the trial
    does not have it.

    Raises:
        NotFound: There is no such optimization.
    """
    known = reads.optimization(tx, optimization_id)
    names = dict(tx.execute(select(agents.c.id, agents.c.name)).all())
    shown = [jobs.c[name] for name in (*_COLUMNS, *_TIMES, "agent", "values")]
    found = select(*shown).where(views.in_generation(known)).order_by(jobs.c.number)
    rows = tx.execute(found).mappings().all()
    columns: dict[str, Any] = {name: views.column([row[name] for row in rows]) for name in (*_COLUMNS, *_TIMES)}
    columns["agent"] = [names.get(row["agent"] or "") for row in rows]
    columns["values"] = _by_path([row["values"] or {} for row in rows])
    return {"optimization": known["id"], **columns}


def _by_path(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    paths: dict[str, None] = {}
    for row in rows:
        paths.update(dict.fromkeys(row))
    return {path: views.column([row.get(path) for row in rows]) for path in paths}


def curves(
    tx: Connection, optimization_id: str, channel: str | None, numbers: Sequence[int], most: int
) -> dict[str, Any]:
    """Return one trace in several trials: ``{"channel", "of", "trace", "channels", "curves"}``.

    Each curve is ``{"number", "id", "x", "y"}``. ``of`` and ``trace`` say which trace of which channel that is, as
    `points` events name it.

    Args:
        channel: A channel's name, or ``channel/trace`` where it has several; None: the KPI, or the first main one.
        numbers: Which trials; empty: the newest ones, up to `MAX_CURVES`.
        most: Points of a curve, at most.

    Raises:
        NotFound: There is no such optimization, or no trial has such a channel.
        UsageError: These are too many trials.
    """
    known = reads.optimization(tx, optimization_id)
    there = _traces(tx, known)
    chosen = channel or known["kpi_channel"] or known["kpi_channel_seen"] or next(iter(there), None)
    if channel is not None and channel not in there:
        raise NotFound(f"no trial of {known['id']} has a channel {channel}.", f"There are: {', '.join(there)}.")
    if len(numbers) > MAX_CURVES:
        raise UsageError(f"{len(numbers)} curves are too many.", f"Ask for up to {MAX_CURVES}.")
    if chosen not in there:
        return {"channel": chosen, "of": None, "trace": 0, "channels": list(there), "curves": []}
    name, trace = there[chosen]
    shown = select(jobs.c.id, jobs.c.number, channels.c.id.label("channel"), channels.c.traces, channels.c.type)
    shown = shown.join(channels, (channels.c.job == jobs.c.id) & (channels.c.attempt == jobs.c.attempt))
    shown = shown.where(views.in_generation(known), channels.c.name == name, channels.c.type == "number")
    shown = shown.where(jobs.c.number.in_(numbers)) if numbers else shown
    found = tx.execute(shown.order_by(jobs.c.number.desc()).limit(MAX_CURVES)).mappings().all()
    drawn = [_curve(tx, row, trace, most) for row in map(dict, reversed(found)) if trace < len(row["traces"])]
    return {"channel": chosen, "of": name, "trace": trace, "channels": list(there), "curves": drawn}


def _curve(tx: Connection, row: Mapping[str, Any], trace: int, most: int) -> dict[str, Any]:
    points = reads.points_of(tx, {**row, "id": row["channel"]}, {})
    kept = thinned([points.y[trace]], 0, most)
    x, y = views.column(points.x[kept]), views.column(points.y[trace][kept])
    return {"number": row["number"], "id": row["id"], "x": x, "y": y}


def _traces(tx: Connection, optimization: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Return name → (channel, index of the trace) of all that is reported in numbers, the KPI and main ones first."""
    found = (
        select(channels.c.name, channels.c.main, channels.c.kpi, channels.c.traces)
        .join(jobs, (jobs.c.id == channels.c.job) & (jobs.c.attempt == channels.c.attempt))
        .where(views.in_generation(optimization), channels.c.type == "number")
        .distinct()
    )
    rows = sorted(tx.execute(found), key=lambda row: (not row.kpi, not row.main, row.name))
    names: dict[str, tuple[str, int]] = {}
    for row in rows:
        for trace in range(len(row.traces)):
            names.setdefault(reads.trace_name(row.name, row.traces, trace), (row.name, trace))
    return names
