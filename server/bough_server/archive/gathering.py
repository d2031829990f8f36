"""Everything that the store knows of some ended jobs, read together: a query costs as much for a batch as for one."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, case, func, select, tuple_

from bough import _layout
from bough_server.store import reads, schema

Row = Mapping[str, Any]

# Tables that belong to attempts of jobs and have no form of their own in a record: recorded as they are, whatever they
# hold, so that a new one is not forgotten.
_WITH_FORM = ("attempts", "streams", "channels", "log_chunks", "infos")
OTHERS = tuple(
    table
    for table in schema.metadata.sorted_tables
    if table.name not in _WITH_FORM
    and {"job", "attempt"} <= set(table.c.keys())
    and not any(isinstance(column.type, LargeBinary) for column in table.c)
)
BATCH_BYTES = 64 * 1024 * 1024  # of points and logs that are read at once
_POINT_BYTES = 64  # of a point as text, about
_LOG_BYTES = 1024 * 1024  # more of a log, or a file, is not in a record
_SHORT_LOG = 64 * 1024


@dataclass
class Attempt:
    """One attempt of a job, with all that it reported.

    Args:
        row: Of the table of attempts.
        channels: Its channels in the order of their first mention.
        points: Chunks of points by channel's id: (writer, bytes).
        last: Newest value of each trace, by the name of the trace.
        infos: What the script said of itself.
        journals: Rows of its streams, without that of the log.
        log_bytes: Length of the log.
        log: The log where it is short; else None, and `Ended.log` reads it.
        others: Rows of all other tables that belong to it, by the table's name (`OTHERS`).
    """

    row: Row
    channels: list[Row] = field(default_factory=list)
    points: dict[int, list[tuple[str, bytes]]] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)
    infos: dict[str, Any] = field(default_factory=dict)
    journals: list[Row] = field(default_factory=list)
    log_bytes: int = 0
    log: bytes | None = None
    others: dict[str, list[Row]] = field(default_factory=dict)


@dataclass
class Ended:
    """An ended job.

    Args:
        job: Its row.
        attempts: Oldest first; empty if it never started.
        agents: Rows of the agents that ran it, by id.
        optimization: The row of its optimization, None for a manual job.
        space: The version of the space that its values were drawn from, None for a manual job.
        definition: The bough.yml as JSON, None if it is not known.
        log: Reads (attempt, start, limit) of a log.
        environments: What attempts ran in, by digest.
        recorded: The row that says which script recorded it without an agent; None for other jobs.
    """

    job: Row
    attempts: list[Attempt]
    agents: Mapping[str, Row]
    optimization: Row | None
    space: Row | None
    definition: Row | None
    log: Callable[[int, int, int], bytes]
    environments: Mapping[str, Row] = field(default_factory=dict)
    recorded: Row | None = None


def fitting(tx: Connection, jobs: Sequence[Row]) -> int:
    """Return how many of these jobs, from the first on, may be gathered at once; at least one."""
    ids = [job["id"] for job in jobs]
    sizes: dict[str, int] = defaultdict(int)
    points = select(schema.channels.c.job, func.sum(schema.channels.c.points)).where(schema.channels.c.job.in_(ids))
    for job_id, n in tx.execute(points.group_by(schema.channels.c.job)):
        sizes[job_id] += _POINT_BYTES * n
    logs = select(schema.log_chunks.c.job, func.sum(schema.log_chunks.c.n)).where(schema.log_chunks.c.job.in_(ids))
    for job_id, n in tx.execute(logs.group_by(schema.log_chunks.c.job)):
        sizes[job_id] += min(n, _LOG_BYTES)
    most = case((schema.job_files.c.bytes > _LOG_BYTES, 0), else_=schema.job_files.c.bytes)
    files = select(schema.job_files.c.job, func.sum(most)).where(schema.job_files.c.job.in_(ids))
    for job_id, n in tx.execute(files.group_by(schema.job_files.c.job)):
        sizes[job_id] += min(n, 16 * _LOG_BYTES)
    total = 0
    for i, job_id in enumerate(ids):
        total += sizes[job_id]
        if total > BATCH_BYTES and i:
            return i
    return len(ids)


def gather(tx: Connection, jobs: Sequence[Row]) -> list[Ended]:
    """Return all that is known of these jobs (rows), in their order."""
    ids = [job["id"] for job in jobs]
    attempts = _attempts(tx, ids)
    agents = _by(tx, schema.agents, "id", {a.row["agent"] for found in attempts.values() for a in found})
    optimizations = _by(tx, schema.optimizations, "id", {job["optimization"] for job in jobs if job["optimization"]})
    spaces = _spaces(tx, list(optimizations))
    definitions = _definitions(tx, {(job["model"], job["revision"]) for job in jobs})
    environments = _environments(tx, attempts.values())
    recorded = _by(tx, schema.recorded, "job", set(ids))
    found = []
    for job in jobs:
        optimization = optimizations.get(job["optimization"] or "")
        space = spaces.get((job["optimization"], space_version(job, optimization))) if optimization else None
        definition = definitions.get((job["model"], job["revision"]))
        mine = attempts.get(job["id"], [])
        log = _log_reader(tx, job["id"])
        by_hand = recorded.get(job["id"])
        found.append(Ended(job, mine, agents, optimization, space, definition, log, environments, by_hand))
    return found


def space_version(job: Row, optimization: Row) -> int:
    """Return the version of the space that the values of ``job`` were drawn from."""
    newest = int(optimization["space_version"])
    if job["ask_number"] is None or job["ask_number"] < 0:
        return newest
    known = [one for one in optimization["versions"] if one["from_ask"] <= job["ask_number"]]
    return int(known[-1].get("space_version") or newest) if known else newest


def _attempts(tx: Connection, ids: list[str]) -> dict[str, list[Attempt]]:
    found: dict[tuple[str, int], Attempt] = {}
    for row in _rows(tx, schema.attempts, ids, schema.attempts.c.attempt):
        found[row["job"], row["attempt"]] = Attempt(row)
    channels: dict[int, tuple[Attempt, Row]] = {}
    for row in _rows(tx, schema.channels, ids, schema.channels.c.id):
        attempt = found[row["job"], row["attempt"]]
        attempt.channels.append(row)
        channels[row["id"]] = (attempt, row)
    _points(tx, ids, channels)
    for row in _rows(tx, schema.infos, ids, schema.infos.c.name):
        found[row["job"], row["attempt"]].infos[row["name"]] = row["value"]
    for row in _rows(tx, schema.streams, ids, schema.streams.c.stream):
        if row["stream"] != _layout.LOG_STREAM:
            found[row["job"], row["attempt"]].journals.append(row)
    for table in OTHERS:
        for row in _rows(tx, table, ids, table.c.attempt, *table.primary_key):
            found[row["job"], row["attempt"]].others.setdefault(table.name, []).append(row)
    _logs(tx, ids, found)
    grouped: dict[str, list[Attempt]] = defaultdict(list)
    for (job_id, _), attempt in found.items():
        grouped[job_id].append(attempt)
    return grouped


def _points(tx: Connection, ids: list[str], channels: Mapping[int, tuple[Attempt, Row]]) -> None:
    of_jobs = schema.channels.c.job.in_(ids)
    chunks = schema.point_chunks
    order = (chunks.c.channel, chunks.c.writer, chunks.c.first_seq)
    joined = select(chunks.c.channel, chunks.c.writer, chunks.c.data).join(
        schema.channels, schema.channels.c.id == chunks.c.channel
    )
    for channel, writer, data in tx.execute(joined.where(of_jobs).order_by(*order)):
        channels[channel][0].points.setdefault(channel, []).append((writer, data))
    last = schema.channel_last
    newest = select(last).join(schema.channels, schema.channels.c.id == last.c.channel).where(of_jobs)
    order_shown = (schema.channels.c.main.desc(), schema.channels.c.id, last.c.trace)
    for row in tx.execute(newest.order_by(*order_shown)).mappings():
        attempt, channel_row = channels[row["channel"]]
        name = reads.trace_name(channel_row["name"], channel_row["traces"], row["trace"])
        attempt.last[name] = reads.last_value(dict(row))


def _logs(tx: Connection, ids: list[str], found: Mapping[tuple[str, int], Attempt]) -> None:
    table = schema.log_chunks.c
    lengths = select(table.job, table.attempt, func.sum(table.n)).where(table.job.in_(ids))
    long = set()
    for job_id, number, n in tx.execute(lengths.group_by(table.job, table.attempt)):
        found[job_id, number].log_bytes = n
        if n > _SHORT_LOG:
            long.add(job_id)
    short = [job_id for job_id in ids if job_id not in long]
    chunks = select(table.job, table.attempt, table.data).where(table.job.in_(short))
    for job_id, number, data in tx.execute(chunks.order_by(table.job, table.attempt, table.offset)):
        attempt = found[job_id, number]
        attempt.log = (attempt.log or b"") + zlib.decompress(data)


def _rows(tx: Connection, table: Table, ids: list[str], *order: Any) -> list[dict[str, Any]]:
    found = select(table).where(table.c.job.in_(ids)).order_by(table.c.job, *order)
    return [dict(row) for row in tx.execute(found).mappings()]


def _by(tx: Connection, table: Table, column: str, values: Iterable[str]) -> dict[str, dict[str, Any]]:
    found = tx.execute(select(table).where(table.c[column].in_(sorted(values)))).mappings()
    return {row[column]: dict(row) for row in found}


def _environments(tx: Connection, attempts: Iterable[Sequence[Attempt]]) -> dict[str, Row]:
    exits = (one.row["exit"] for found in attempts for one in found if one.row["exit"])
    table = schema.environments.c
    wanted = sorted({exit_["environment"] for exit_ in exits if exit_.get("environment")})
    rows = tx.execute(select(table.digest, table.content).where(table.digest.in_(wanted)))
    return {row.digest: row.content for row in rows}


def _spaces(tx: Connection, optimizations: list[str]) -> dict[tuple[str, int], dict[str, Any]]:
    table = schema.space_versions
    found = tx.execute(select(table).where(table.c.optimization.in_(optimizations))).mappings()
    return {(row["optimization"], row["version"]): dict(row) for row in found}


def _definitions(tx: Connection, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], Row]:
    table = schema.model_revisions
    found = select(table.c.model, table.c.number, table.c.definition)
    rows = tx.execute(found.where(tuple_(table.c.model, table.c.number).in_(sorted(wanted))))
    return {(row.model, row.number): row.definition for row in rows}


def _log_reader(tx: Connection, job_id: str) -> Callable[[int, int, int], bytes]:
    return lambda attempt, start, limit: reads.log_bytes(tx, job_id, attempt, start, limit)[0]
