"""What is asked of the store about jobs, by everyone who shows, exports or archives them.

Each function takes the connection of a `Database.read` (or `write`) and returns plain values.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Integer, Select, Table, bindparam, select, update

from bough.errors import NotFound
from bough_server.store import points as codec
from bough_server.store import sight
from bough_server.store.schema import (
    attempts as attempts_table,
)
from bough_server.store.schema import (
    channel_last,
    log_chunks,
    optimizations,
    point_chunks,
)
from bough_server.store.schema import (
    channels as channels_table,
)
from bough_server.store.schema import (
    infos as infos_table,
)
from bough_server.store.schema import (
    jobs as jobs_table,
)

Row = Mapping[str, Any]
_TERMINAL = ("DONE", "FAILED", "ABORTED")
_NO_CUT = np.iinfo(np.int64).max

# Points that were read back from a record have this writer; they are numbered in the order in which the record holds
# them, those that are overrun from this number on (a journal has fewer lines).
RECORDED = "record"
OVERRUN_FROM = 2**53


@dataclass(frozen=True)
class Points:
    """The points of one channel of one attempt, in the order in which they were reported.

    Args:
        seq: Line number in the writer's journal, shape (n,).
        x: Shape (n,).
        t: Seconds since the epoch by the script's clock, shape (n,).
        y: One column per trace, each shape (n,); lists of text in a text channel.
        writer: Which process reported it, length n.
        overrun: True where the point came after the stop was decided: it does not count for the KPI. Shape (n,).
    """

    seq: NDArray[np.int64]
    x: NDArray[np.float64]
    t: NDArray[np.float64]
    y: list[Any]
    writer: list[str]
    overrun: NDArray[np.bool_]


def job(tx: Connection, job_id: str) -> dict[str, Any]:
    """Return the row of that job; an unambiguous beginning of the id will do.

    Raises:
        NotFound: There is none, or several begin like that.
    """
    return _by_prefix(tx, jobs_table, job_id, "job")


def optimization(tx: Connection, optimization_id: str) -> dict[str, Any]:
    """Return the row of that optimization; an unambiguous beginning of the id will do.

    Raises:
        NotFound: There is none, or several begin like that.
    """
    return _by_prefix(tx, optimizations, optimization_id, "optimization")


def jobs_of(tx: Connection, optimization_id: str, generation: int | None = None) -> list[dict[str, Any]]:
    """Return the rows of the trials of that optimization, by generation (None: of all) and number."""
    found = select(jobs_table).where(jobs_table.c.optimization == optimization_id)
    if generation is not None:
        found = found.where(jobs_table.c.generation == generation)
    found = found.order_by(jobs_table.c.generation, jobs_table.c.number)
    return [dict(row) for row in tx.execute(found).mappings()]


def attempts(tx: Connection, job_id: str) -> list[dict[str, Any]]:
    """Return the rows of the attempts of that job, oldest first."""
    found = select(attempts_table).where(attempts_table.c.job == job_id).order_by(attempts_table.c.attempt)
    return [dict(row) for row in tx.execute(found).mappings()]


def channels(tx: Connection, job_id: str, attempt: int) -> list[dict[str, Any]]:
    """Return the rows of the channels of that attempt: main ones first, system ones last, else as first mentioned."""
    found = rows_of_attempt(tx, channels_table, job_id, attempt)
    return sorted(found, key=lambda row: (not row["main"], row["system"], row["id"]))


def points(tx: Connection, job_id: str, attempt: int, channel: str) -> Points:
    """Return all points of that channel.

    Raises:
        NotFound: The attempt has no such channel.
    """
    by_name = {row["name"]: row for row in channels(tx, job_id, attempt)}
    if channel not in by_name:
        raise NotFound(f"job {job_id} has no channel {channel}.", _known("channels", by_name))
    return points_of(tx, by_name[channel], cuts(tx, job_id, attempt))


def points_of(tx: Connection, channel: Row, cut: Mapping[str, int]) -> Points:
    """As `points`, for a row of `channels` and the attempt's `cuts`."""
    chunks = (
        select(point_chunks.c.writer, point_chunks.c.data)
        .where(point_chunks.c.channel == channel["id"])
        .order_by(point_chunks.c.writer, point_chunks.c.first_seq)
    )
    return points_in([(row.writer, row.data) for row in tx.execute(chunks)], channel, cut)


def points_in(chunks: Sequence[tuple[str, bytes]], channel: Row, cut: Mapping[str, int]) -> Points:
    """As `points_of`, of chunks that were read already: (writer, bytes), by writer and first line."""
    decoded = [(writer, codec.decode(data)) for writer, data in chunks]
    whole = codec.joined((chunk for _, chunk in decoded), len(channel["traces"]), channel["type"] != "number")
    lengths = [len(chunk.seq) for _, chunk in decoded]
    writers = [name for (writer, _), n in zip(decoded, lengths, strict=True) for name in [writer] * n]
    limits = np.repeat(np.array([_limit(writer, cut) for writer, _ in decoded], np.int64), lengths)
    found = Points(whole.seq, whole.x, whole.t, list(whole.y), writers, whole.seq >= limits)
    return found if len({writer for writer, _ in decoded}) < 2 else _in_order_of_time(found)


def arrived(
    tx: Connection, items: Iterable[list[Any]]
) -> tuple[list[tuple[str, str, codec.Chunk]], list[tuple[str, int, bytes]]]:
    """Return the chunks of points and of logs that another coordinator stored.

    Args:
        tx: A connection.
        items: ``["points", job, channel, first seq]`` or ``["log", job, offset]`` each.

    Returns:
        (job, channel, points) each, and (job, offset, bytes) each; as in `bough_server.service.changes.Changes`.
    """
    points, logs = [], []
    of_channel = select(channels_table.c.id).where(
        channels_table.c.job == bindparam("job"), channels_table.c.name == bindparam("name")
    )
    chunks = select(point_chunks.c.data).where(
        point_chunks.c.channel.in_(of_channel), point_chunks.c.first_seq == bindparam("first")
    )
    pieces = select(log_chunks.c.data).where(
        log_chunks.c.job == bindparam("job"), log_chunks.c.offset == bindparam("first")
    )
    for kind, job_id, *where in items:
        if kind == "points":
            for data in tx.execute(chunks, {"job": job_id, "name": where[0], "first": where[1]}).scalars():
                points.append((job_id, where[0], codec.decode(data)))
        else:
            for data in tx.execute(pieces, {"job": job_id, "first": where[0]}).scalars():
                logs.append((job_id, where[0], zlib.decompress(data)))
    return points, logs


def _limit(writer: str, cut: Mapping[str, int]) -> int:
    return OVERRUN_FROM if writer == RECORDED else cut.get(writer, _NO_CUT)


def cuts(tx: Connection, job_id: str, attempt: int) -> dict[str, int]:
    """Return for each writer the line from which on its points are overrun; writers without one are absent."""
    found = select(attempts_table.c.exit).where(attempts_table.c.job == job_id, attempts_table.c.attempt == attempt)
    return cuts_of(tx.execute(found).scalar_one_or_none())


def cuts_of(exit_: Row | None) -> dict[str, int]:
    """As `cuts`, of exit.json; None if there is none."""
    journals = (exit_ or {}).get("journals") or {}
    return {writer: entry["cut"] for writer, entry in journals.items() if entry.get("cut") is not None}


def last_values(tx: Connection, jobs: list[tuple[str, int]]) -> dict[str, dict[str, Any]]:
    """Return for each (job, attempt) the newest value of each trace of the script's own; see `trace_name`."""
    return {job_id: _last_values_of(tx, job_id, attempt) for job_id, attempt in jobs if attempt}


def _last_values_of(tx: Connection, job_id: str, attempt: int) -> dict[str, Any]:
    found = (
        select(channels_table.c.name, channels_table.c.traces, channel_last)
        .join(channel_last, channel_last.c.channel == channels_table.c.id)
        .where(channels_table.c.job == job_id, channels_table.c.attempt == attempt, ~channels_table.c.system)
        .order_by(channels_table.c.main.desc(), channels_table.c.id, channel_last.c.trace)
    )
    rows = [dict(row) for row in tx.execute(found).mappings()]
    return {trace_name(row["name"], row["traces"], row["trace"]): last_value(row) for row in rows}


def trace_name(channel: str, traces: list[str], trace: int) -> str:
    """Return how one trace of a channel is called: the channel's name alone if it has only one."""
    return channel if len(traces) == 1 else f"{channel}/{traces[trace]}"


def last_value(row: Row) -> Any:
    """Return what a row of `channel_last` holds."""
    if row["text"] is None:
        return row["y"]
    return float("nan") if row["text"] == "nan" and row["y"] is None else row["text"]


def log_bytes(tx: Connection, job_id: str, attempt: int, start: int, limit: int) -> tuple[bytes, int]:
    """Return up to ``limit`` bytes of that attempt's log from byte ``start`` on, and how many bytes it has in all.

    A negative ``start`` counts from the end.
    """
    table = log_chunks.c
    mine = (table.job == job_id) & (table.attempt == attempt)
    newest = tx.execute(select(table.offset, table.n).where(mine).order_by(table.offset.desc()).limit(1)).first()
    total = 0 if newest is None else newest.offset + newest.n
    start = max(0, total + start) if start < 0 else start
    rows = select(table.offset, table.data).where(mine, table.offset + table.n > start, table.offset < start + limit)
    found = bytearray()
    for offset, data in tx.execute(rows.order_by(table.offset)):
        text = zlib.decompress(data)
        found += text[max(0, start - offset) : start + limit - offset]
    return bytes(found), total


def infos(tx: Connection, job_id: str) -> dict[str, Any]:
    """Return what the newest attempt of the job said about itself: name → JSON value."""
    newest = select(jobs_table.c.attempt).where(jobs_table.c.id == job_id).scalar_subquery()
    found = select(infos_table.c.name, infos_table.c.value).where(
        infos_table.c.job == job_id, infos_table.c.attempt == newest
    )
    return {row.name: row.value for row in tx.execute(found.order_by(infos_table.c.name))}


def unrecorded_jobs(tx: Connection, limit: int) -> list[dict[str, Any]]:
    """Return up to ``limit`` rows of jobs that ended and have no record yet, oldest end first."""
    rows = [row for state in _TERMINAL for row in tx.execute(_UNRECORDED, {"its": state, "most": limit}).mappings()]
    return [dict(row) for row in sorted(rows, key=lambda row: row["ended_at"] or 0.0)[:limit]]


# One state at a time: only so does SQLite read the few that have no record from their index, in their order.
_UNRECORDED = (
    select(jobs_table)
    .where(jobs_table.c.state == bindparam("its"), jobs_table.c.record.is_(None))
    .order_by(jobs_table.c.ended_at)
    .limit(bindparam("most", type_=Integer))
)


def set_record(tx: Connection, job_id: str, ref: str) -> None:
    """Note the ref of the commit that the job became."""
    tx.execute(update(jobs_table).where(jobs_table.c.id == job_id).values(record=ref))


def _in_order_of_time(found: Points) -> Points:
    """Merge several processes of one machine by its clock; equal times keep the order of the writers."""
    order = np.argsort(found.t, kind="stable")
    columns = [[y[i] for i in order] if isinstance(y, list) else y[order] for y in found.y]
    writers = [found.writer[i] for i in order]
    return Points(found.seq[order], found.x[order], found.t[order], columns, writers, found.overrun[order])


def _by_prefix(tx: Connection, table: Any, prefix: str, noun: str) -> dict[str, Any]:
    row = tx.execute(_by_id(table), {"its_id": prefix}).mappings().first()
    if row is not None and sight.is_visible(row["model"]):
        return dict(row)
    rows = list(_beginning_with(tx, table, prefix)) if prefix else []
    if len(rows) == 1:
        return rows[0]
    if not rows:
        raise NotFound(f"there is no {noun} {prefix}.", f"List them: bough {noun} ls.")
    raise NotFound(
        f"{noun} {prefix} is ambiguous: {rows[0]['id']} and {rows[1]['id']} begin like that.", "Give more of it."
    )


@cache
def _by_id(table: Table) -> Select[Any]:
    return select(table).where(table.c.id == bindparam("its_id"))


@cache
def _of_attempt(table: Table) -> Select[Any]:
    return select(table).where(table.c.job == bindparam("its_job"), table.c.attempt == bindparam("its_attempt"))


def rows_of_attempt(tx: Connection, table: Table, job_id: str, attempt: int) -> list[dict[str, Any]]:
    """Return the rows of a table that belong to that attempt."""
    found = tx.execute(_of_attempt(table), {"its_job": job_id, "its_attempt": attempt})
    return [dict(row) for row in found.mappings()]


def _beginning_with(tx: Connection, table: Any, prefix: str) -> Iterator[dict[str, Any]]:
    mine = table.c.id.startswith(prefix, autoescape=True) & sight.visible(table.c.model)
    found = select(table).where(mine).order_by(table.c.id).limit(2)
    return (dict(row) for row in tx.execute(found).mappings())


def _known(noun: str, names: Mapping[str, Any]) -> str:
    return f"Its {noun}: {', '.join(names)}." if names else f"It has no {noun}."
