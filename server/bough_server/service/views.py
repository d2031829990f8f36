"""Rows of the store as the API shows them: JSON-able, in the shapes of docs/protocol.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from bough.errors import NotFound
from bough_server.service import documents, environments, files
from bough_server.service import kpi as kpis
from bough_server.service.eligible import slots_of
from bough_server.service.states import DONE, FAILED, WITH_AGENT
from bough_server.service.thinning import thinned, within
from bough_server.store import reads, sight
from bough_server.store.schema import agents, jobs, optimizations, space_versions, streams

Row = Mapping[str, Any]
_JOB = [
    "id",
    "optimization",
    "number",
    "model",
    "state",
    "end_reason",
    "message",
    "generation",
    "retries",
    "reused_from",
    "kpi",
    "kpi_last",
    "kpi_best",
    "kpi_best_x",
    "epochs",
    "epochs_total",
    "created_at",
    "started_at",
    "ended_at",
    "duration_s",
    "exit_code",
    "attempt",
    "commit",
    "record",
    "unreachable",
    "partial",
    "status",
]
_OPTIMIZATION = [
    "id",
    "model",
    "revision",
    "state",
    "reason",
    "created_at",
    "ended_at",
    "algorithm",
    "max_trials",
    "initial_random",
    "max_parallel",
    "max_epochs",
    "max_time_s",
    "total_time_s",
    "seed",
    "agents",
    "priority",
    "pruning",
    "duplicates",
    "generation",
    "begun_at",
    "space_version",
    "commit",
    "folder",
    "source",
    "warnings",
]


def plain(value: Any) -> Any:
    """Return ``value`` with numbers that JSON cannot hold as the texts nan, inf and -inf."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {key: plain(found) for key, found in value.items()}
    if isinstance(value, list | tuple):
        return [plain(found) for found in value]
    return value


def jobs_view(tx: Connection, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return jobs as the API shows them, in the order of ``rows``."""
    names = _agent_names(tx)
    steps = documents.steps(tx, [(row["id"], row["attempt"]) for row in rows if row["state"] in WITH_AGENT])
    last = reads.last_values(tx, [(row["id"], row["attempt"]) for row in rows])
    return [_job(row, names, last.get(row["id"], {})) | {"steps": plain(steps.get(row["id"], {}))} for row in rows]


def job_view(tx: Connection, row: Row) -> dict[str, Any]:
    """Return one job as the API shows it in a list."""
    return jobs_view(tx, [row])[0]


def _job(row: Row, names: Mapping[str, str], last: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in _JOB}
    shown |= {"values": row["values"] or {}, "attempts": row["attempt"], "agent": names.get(row["agent"] or "")}
    shown["commit"] = row["commit"] or None  # an agent has still to find it
    return {**shown, "last": dict(last)} if all(map(_is_plain, last.values())) else {**shown, "last": plain(dict(last))}


def _is_plain(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def whole_job(tx: Connection, row: Row) -> dict[str, Any]:
    """Return one job with its channels, infos and attempts."""
    return {
        **job_view(tx, row),
        "channels": _channels(tx, row),
        "infos": infos_of(tx, row),
        "attempts": row["attempt"],
        "files": dict(zip(("count", "bytes"), files.count(tx, row["id"], row["attempt"]), strict=True)),
        "documents": plain(documents.by_kind(tx, row["id"], row["attempt"])),
        "journal": _journal(tx, row),
        **{name: row[name] for name in ("revision", "folder", "source", "max_epochs", "max_time_s")},
        "environment": _environment(tx, row),
        "history": [_attempt(tx, attempt) for attempt in reads.attempts(tx, row["id"])],
    }


def _environment(tx: Connection, job: Row) -> Any:
    """Return what the newest attempt ran in, as its agent told it with the exit; None until then."""
    exits = [attempt["exit"] for attempt in reads.attempts(tx, job["id"]) if attempt["exit"]]
    return environments.of_exit(tx, exits[-1]) if exits else None


def _journal(tx: Connection, job: Row) -> dict[str, int]:
    """Return how many processes reported, and how many lines could not be read or were lost on a full disk."""
    journals = [row for row in reads.rows_of_attempt(tx, streams, job["id"], job["attempt"]) if row["stream"] != "log"]
    counted = {name: sum(row[name] for row in journals) for name in ("bad_lines", "lost_lines")}
    return {"writers": len(journals), **counted}


def infos_of(tx: Connection, job: Row) -> dict[str, Any]:
    """Return what a job says about itself, and which one's result it took if it did not run."""
    reused = {} if job["reused_from"] is None else {"reused_from": job["reused_from"]}
    return {**plain(reads.infos(tx, job["id"])), **reused}


def _channels(tx: Connection, job: Row) -> list[dict[str, Any]]:
    """Return the channels of the job's newest attempt; the one that counts is marked as the KPI, whoever named it."""
    found = [_channel(channel) for channel in reads.channels(tx, job["id"], job["attempt"])]
    settings = kpis.settings_of(tx, job)
    counts, trace = kpis.chosen(found, settings["kpi_channel"])
    for channel in found:
        channel["kpi"] = channel is counts
        if channel is counts:
            direction = settings["kpi_direction"] or kpis.declared_direction(channel)
            channel |= {"kpi_trace": trace, "maximize": direction == kpis.MAXIMIZE}
    return found


def _channel(row: Row) -> dict[str, Any]:
    same = ("name", "traces", "type", "kpi", "kpi_trace", "main", "maximize", "loss", "points", "system")
    extra = {name: row["spec"].get(name) for name in ("xaxis", "yaxis", "layout")}
    return {name: row[name] for name in same} | extra


def _attempt(tx: Connection, row: Row) -> dict[str, Any]:
    names = _agent_names(tx)
    same = ("attempt", "state", "claimed_at", "started_at", "ended_at", "python", "message", "exit")
    shown: dict[str, Any] = {name: row[name] for name in same} | {"agent": names.get(row["agent"])}
    if shown["exit"] is not None:
        shown["exit"] = {name: value for name, value in shown["exit"].items() if name != "files"}
    return shown


def _agent_names(tx: Connection) -> dict[str, str]:
    return dict(tx.execute(select(agents.c.id, agents.c.name)).all())


def points_view(
    tx: Connection,
    channel: Row,
    found: reads.Points,
    after: int,
    most: int | None = None,
    stretch: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Return the points of one channel from index ``after`` on, thinned to about ``most`` if given.

    With a ``stretch`` (lowest and highest x) only what lies in it, and the points on either side: its lines are whole.
    """
    overrun = found.overrun.nonzero()[0]
    same = {name: channel[name] for name in ("name", "traces", "type", "kpi", "main", "system")}
    kept: Any = slice(after, None)
    if stretch is not None and channel["type"] != "text":
        inside = within(found.x, *stretch)
        kept = inside if most is None else inside[thinned([trace[inside] for trace in found.y], 0, most)]
    elif most is not None and channel["type"] != "text":
        kept = thinned(found.y, after, most)
    return {
        **same,
        "x": column(found.x[kept]),
        "y": [column(trace[kept]) for trace in found.y],
        "t": column(found.t[kept]),
        "overrun": int(overrun[0]) if len(overrun) else None,
        "cut": _place(int(overrun[0]), after, kept) if len(overrun) else None,
        "points": len(found.x),
    }


def _place(index: int, after: int, kept: Any) -> int:
    """Return where the first point from ``index`` on stands among those that are kept."""
    return max(0, index - after) if isinstance(kept, slice) else int(kept.searchsorted(index))


def column(values: Any) -> list[Any]:
    """Return an array or list as a JSON-able list."""
    found: list[Any] = values if isinstance(values, list) else values.tolist()
    return found if all(map(_is_plain, found)) else plain(found)


def optimization_view(tx: Connection, row: Row) -> dict[str, Any]:
    """Return one optimization as the API shows it."""
    counts = _counts(tx, row)
    best = best_trial(tx, row)
    kpi_channel = row["kpi_channel"] or row["kpi_channel_seen"]
    direction = row["kpi_direction"] or row["kpi_direction_seen"]
    return {
        **{name: row[name] for name in _OPTIMIZATION},
        "commit": row["commit"] or None,
        "kpi": {"channel": kpi_channel, "direction": direction, "reduce": row["kpi_reduce"]},
        "on_failure": {"retry": row["retry"], "stop_after": row["stop_after"]},
        "counts": counts,
        "finished": counts.get(DONE, 0) + counts.get(FAILED, 0),
        "best": None if best is None else job_view(tx, best),
        "space": row["searched"],
        "repository": f"/git/{row['model']}.git",
    }


def _counts(tx: Connection, optimization: Row) -> dict[str, int]:
    found = select(jobs.c.state, func.count()).where(in_generation(optimization)).group_by(jobs.c.state)
    return dict(tx.execute(found).all())


def in_generation(optimization: Row) -> ColumnElement[bool]:
    """Select the trials of the generation of an optimization (its row)."""
    return and_(jobs.c.optimization == optimization["id"], jobs.c.generation == optimization["generation"])


def best_trial(tx: Connection, optimization: Row) -> dict[str, Any] | None:
    """Return the row of the best trial that is DONE, the first of equals; None if there is none."""
    direction = optimization["kpi_direction"] or optimization["kpi_direction_seen"]
    order = jobs.c.kpi.asc() if direction == kpis.MINIMIZE else jobs.c.kpi.desc()
    mine = in_generation(optimization) & (jobs.c.state == DONE) & jobs.c.kpi.is_not(None)
    row = tx.execute(select(jobs).where(mine).order_by(order, jobs.c.number).limit(1)).mappings().first()
    return None if row is None else dict(row)


def space_of(tx: Connection, optimization: Row) -> dict[str, Any]:
    """Return the newest version of the optimization's space as JSON."""
    mine = (space_versions.c.optimization == optimization["id"]) & (
        space_versions.c.version == optimization["space_version"]
    )
    found: dict[str, Any] = tx.execute(select(space_versions.c.space).where(mine)).scalar_one()
    return found


def agents_view(tx: Connection, online: Iterable[str]) -> list[dict[str, Any]]:
    """Return all agents, by name; ``online`` are the ids of those that were heard of within their lease."""
    there = set(online)
    live = select(jobs.c.agent, func.count()).where(jobs.c.state.in_(WITH_AGENT)).group_by(jobs.c.agent)
    running: dict[str | None, int] = dict(tx.execute(live).all())
    same = ["id", "name", "version", "host", "system", "labels", "drain", "registered_at", "seen_at", "usage"]
    same += ["offers", "quarantine"]
    rows = tx.execute(select(agents).where(agents.c.slots > 0).order_by(agents.c.name)).mappings()
    return [
        {name: row[name] for name in same}
        | {"slots": slots_of(row), "online": row["id"] in there, "running": running.get(row["id"], 0)}
        for row in rows
    ]


def optimizations_page(
    tx: Connection, limit: int, offset: int, where: Sequence[ColumnElement[bool]] = ()
) -> dict[str, Any]:
    """Return one page of the optimizations that ``where`` selects, newest first."""
    order = (optimizations.c.created_at.desc(), optimizations.c.id)
    mine = [*where, sight.visible(optimizations.c.model)]
    found = select(optimizations).where(*mine).order_by(*order).limit(max(0, min(limit, 1000))).offset(max(0, offset))
    rows = [dict(row) for row in tx.execute(found).mappings()]
    total = tx.execute(select(func.count()).select_from(optimizations).where(*mine)).scalar_one()
    return {"rows": [optimization_view(tx, row) for row in rows], "total": total}


def all_points(
    tx: Connection,
    job: Row,
    channel: str | None,
    attempt: int | None,
    after: int,
    most: int | None = None,
    stretch: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Return the points of one channel of a job, or of all its channels, from index ``after`` on; see `thinned`.

    Raises:
        NotFound: It has no such channel.
    """
    chosen: int = attempt or job["attempt"]
    rows = reads.channels(tx, job["id"], chosen)
    if channel is not None:
        rows = [row for row in rows if row["name"] == channel]
        if not rows:
            raise NotFound(f"job {job['id']} has no channel {channel}.", "See bough job show for its channels.")
    cut = reads.cuts(tx, job["id"], chosen)
    shown = [points_view(tx, row, reads.points_of(tx, row, cut), max(0, after), most, stretch) for row in rows]
    return {"channels": shown}
