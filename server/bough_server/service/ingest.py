"""What a job reports, put into the store: journals become points and facts, the log is kept as it came.

A part is stored once, whatever is sent again: what counts is how many bytes of its stream are stored already. Nothing
in a journal can fail a message: a line that cannot be read is counted, and the rest is kept.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, bindparam, insert, update

from bough import _layout
from bough_server.service import contradiction, documents, files, states
from bough_server.service.changes import Changes
from bough_server.store import points as codec
from bough_server.store import reads
from bough_server.store.dialects import upsert
from bough_server.store.schema import channel_last, channels, infos, jobs, log_chunks, point_chunks, streams

MAX_LINE = 64 * 1024
MAX_CHANNELS = 1000  # of one attempt
MAX_NAME = 256
_MAX_SEQ = 2**53
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_LINE = msgspec.json.Decoder()
_STRONGER = {None: 0, "done": 1, "abort": 2, "fail": 3}


class Part(msgspec.Struct, frozen=True):
    """Some bytes of one stream of one attempt."""

    job: str
    attempt: int
    stream: str
    offset: int
    bytes: int
    crc: int


@dataclass
class Reported:
    """What the lines of one part say, apart from points."""

    points: dict[str, list[list[Any]]] = field(default_factory=lambda: defaultdict(list))
    declared: list[list[Any]] = field(default_factory=list)
    infos: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)  # columns of the job
    said: str | None = None
    said_message: str | None = None
    header: Any = None
    files: list[list[Any]] = field(default_factory=list)
    documents: list[list[Any]] = field(default_factory=list)
    bad: int = 0
    lost: int = 0


def store_part(tx: Connection, part: Part, data: bytes | memoryview, changes: Changes) -> int:
    """Store what is new in ``data`` and return how many bytes of the stream are stored.

    A gap before ``part.offset`` or a wrong checksum stores nothing.
    """
    key = {"job": part.job, "attempt": part.attempt, "stream": part.stream}
    of_attempt = reads.rows_of_attempt(tx, streams, part.job, part.attempt)
    row = next((row for row in of_attempt if row["stream"] == part.stream), None)
    acked: int = row["acked"] if row else 0
    if part.offset > acked or part.offset + part.bytes <= acked or zlib.crc32(data) != part.crc:
        return acked
    new = memoryview(data)[acked - part.offset :]
    stream: dict[str, Any] = (
        dict(row) if row else {**key, "acked": 0, "crc": 0, "bad_lines": 0, "lost_lines": 0, "header": None}
    )
    stream |= {"acked": acked + len(new), "crc": zlib.crc32(new, stream["crc"])}
    if part.stream == _layout.LOG_STREAM:
        _store_log(tx, part, acked, bytes(new), changes)
    else:
        _store_journal(tx, part, bytes(new), stream, changes)
    upsert(tx, streams, [stream], replace=("acked", "crc", "bad_lines", "lost_lines", "header"))
    changes.jobs.add(part.job)
    return int(stream["acked"])


def _store_log(tx: Connection, part: Part, offset: int, data: bytes, changes: Changes) -> None:
    chunk = {"job": part.job, "attempt": part.attempt, "offset": offset, "n": len(data), "data": zlib.compress(data, 1)}
    tx.execute(insert(log_chunks), chunk)
    changes.logs.append((part.job, offset, data))


def _store_journal(tx: Connection, part: Part, data: bytes, stream: dict[str, Any], changes: Changes) -> None:
    reported = read_lines(data)
    if is_system(part):
        reported = Reported(reported.points, reported.declared, bad=reported.bad)
    known = {row["name"]: row for row in reads.rows_of_attempt(tx, channels, part.job, part.attempt)}
    for line in reported.declared:
        if not _declare(tx, part, known, line):
            reported.bad += 1
    for name, lines in reported.points.items():
        reported.bad += _store_points(tx, part, known, name, lines, changes)
    _store_infos(tx, part, reported.infos)
    reported.bad += files.store_lines(tx, part.job, part.attempt, reported.files)
    reported.bad += documents.store_lines(tx, part.job, part.attempt, reported.documents)
    _store_facts(tx, part, reported)
    stream["bad_lines"] += reported.bad
    stream["lost_lines"] = min(stream["lost_lines"] + reported.lost, _MAX_SEQ)
    stream["header"] = stream["header"] or reported.header


def is_system(part: Part) -> bool:
    """Return whether the stream is the one in which a supervisor notes what the job uses."""
    return part.stream.startswith(_layout.JOURNAL_STREAM + _layout.SYSTEM_WRITER)


# -- lines ----------------------------------------------------------------------------------------------------


def read_lines(data: bytes) -> Reported:
    """Return what the lines of a journal say; those that cannot be read are counted as bad."""
    reported = Reported()
    try:
        lines: Iterable[Any] = _LINE.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        lines = _readable(data, reported)
    points = reported.points
    for line in lines:
        if type(line) is list and len(line) == 6 and line[0] == "p" and type(line[3]) is str:
            points[line[3]].append(line)
        elif not _read_other(line, reported):
            reported.bad += 1
    return reported


def _readable(data: bytes, reported: Reported) -> Iterable[Any]:
    for text in data.split(b"\n"):
        if not text.strip():
            continue
        try:
            yield _LINE.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            reported.bad += 1


def _read_other(line: Any, reported: Reported) -> bool:
    """Take one line that is no point; False if it means nothing."""
    if type(line) is not list or len(line) < 4 or type(line[0]) is not str:
        return False
    kind = line[0]
    if kind == "g" and len(line) == 5:
        return _read_progress(line, reported)
    if kind == "c" and len(line) == 5:
        reported.declared.append(line)
    elif kind == "i" and len(line) == 5 and _is_name(line[3]):
        reported.infos[line[3]] = line[4]
    elif kind == "s" and type(line[3]) is str:
        reported.job["status"] = line[3][:1000]
    elif kind == "e" and len(line) == 5 and type(line[3]) is str and line[3] in _STRONGER:
        _read_end(line, reported)
    elif kind == "f" and files.is_line(line):
        reported.files.append(line)
    elif kind == "d" and documents.is_line(line):
        reported.documents.append(line)
    elif kind == "h" and type(line[3]) is dict:
        reported.header = line[3]
    elif kind == "x" and type(line[3]) is int and 0 <= line[3] < _MAX_SEQ:
        reported.lost = min(reported.lost + line[3], _MAX_SEQ)
    elif kind != "l":
        return False
    return True


def _read_progress(line: list[Any], reported: Reported) -> bool:
    epochs, total = number(line[3]), number(line[4])
    if epochs is None or not math.isfinite(epochs):
        return False
    reported.job["epochs"] = epochs
    if total is not None and math.isfinite(total):
        reported.job["epochs_total"] = total
    return True


def _read_end(line: list[Any], reported: Reported) -> None:
    if _STRONGER[line[3]] >= _STRONGER[reported.said]:
        reported.said = line[3]
        reported.said_message = str(line[4])[:2000] if line[4] is not None else None


def number(value: Any) -> float | None:
    """Return ``value`` as a number as the journal writes them, or None if it is none."""
    if type(value) is float:
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return None
    return _NOT_FINITE.get(value) if type(value) is str else None


def _is_name(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_NAME


# -- channels and points --------------------------------------------------------------------------------------


def _declare(tx: Connection, part: Part, known: dict[str, dict[str, Any]], line: list[Any]) -> bool:
    name, spec = line[3], line[4]
    row = _channel_row(part, name, spec) if _is_name(name) and type(spec) is dict else None
    if row is None or (name not in known and len(known) >= MAX_CHANNELS):
        return False
    if name in known and known[name]["system"] is not row["system"]:
        return False
    if name not in known:
        known[name] = _insert_channel(tx, row)
        contradiction.stop_if_declared(tx, part.job, row)
        return True
    changed = {column: row[column] for column in ("main", "kpi", "kpi_trace", "maximize", "loss", "declared", "spec")}
    if known[name]["points"] == 0:
        changed |= {"type": row["type"], "traces": row["traces"]}
    elif row["kpi_trace"] >= len(known[name]["traces"]):
        return False
    known[name] |= changed
    tx.execute(update(channels).where(channels.c.id == known[name]["id"]).values(**changed))
    return True


def _channel_row(part: Part, name: str, spec: Mapping[str, Any]) -> dict[str, Any] | None:
    traces = spec.get("traces") or [name]
    if type(traces) is not list or len(traces) > MAX_CHANNELS or not all(map(_is_name, traces)):
        return None
    trace, maximize = spec.get("kpi_trace") or 0, spec.get("maximize")
    system = is_system(part)
    return {
        "job": part.job,
        "attempt": part.attempt,
        "name": name,
        "type": kind if (kind := spec.get("type")) in ("text", "image") else "number",
        "traces": traces,
        "main": bool(spec.get("main")) and not system,
        "kpi": bool(spec.get("kpi")) and not system,
        "kpi_trace": trace if type(trace) is int and 0 <= trace < len(traces) else 0,
        "maximize": maximize if type(maximize) is bool else None,
        "loss": bool(spec.get("loss")),
        "declared": True,
        "system": system,
        "spec": dict(spec),
        "points": 0,
    }


def _insert_channel(tx: Connection, row: dict[str, Any]) -> dict[str, Any]:
    made = tx.execute(_NEW_CHANNEL, row).scalar_one()
    return {**row, "id": made}


_NEW_CHANNEL = insert(channels).returning(channels.c.id)


def _undeclared(
    tx: Connection, part: Part, known: dict[str, dict[str, Any]], name: str, y: Any
) -> dict[str, Any] | None:
    """Return a new channel for points that came without a declaration, or None if there are too many."""
    if not _is_name(name) or len(known) >= MAX_CHANNELS:
        return None
    traces = [name] if type(y) is not list else [str(i) for i in range(len(y))]
    row = _channel_row(part, name, {"traces": traces})
    if row is None:
        return None
    known[name] = _insert_channel(tx, {**row, "declared": False, "spec": {}})
    return known[name]


def _store_points(
    tx: Connection,
    part: Part,
    known: dict[str, dict[str, Any]],
    name: str,
    lines: list[list[Any]],
    changes: Changes,
) -> int:
    """Store the points of one channel as one chunk; return how many lines were bad."""
    channel = known.get(name) or _undeclared(tx, part, known, name, lines[0][5])
    if channel is None or channel["system"] is not is_system(part):
        return len(lines)
    chunk = _chunk_of(lines, len(channel["traces"]), channel["type"] != "number")
    n = len(chunk.seq)
    if n == 0:
        return len(lines)
    writer = part.stream.removeprefix(_layout.JOURNAL_STREAM)
    row = {"channel": channel["id"], "writer": writer, "first_seq": int(chunk.seq[0]), "last_seq": int(chunk.seq[-1])}
    if not upsert(tx, point_chunks, [{**row, "n": n, "data": codec.encode(chunk)}]):
        return len(lines)
    channel["points"] += n
    tx.execute(_CHANNEL, {"its_id": channel["id"], "points": channel["points"]})
    upsert(tx, channel_last, _last_of(channel["id"], chunk), replace=("y", "text"))
    changes.points.append((part.job, name, chunk))
    return len(lines) - n


_CHANNEL = update(channels).where(channels.c.id == bindparam("its_id"))


def _last_of(channel: int, chunk: codec.Chunk) -> list[dict[str, Any]]:
    rows = []
    newest: list[Any] = [column[-1] for column in chunk.y]
    for trace, last in enumerate(newest):
        is_text = isinstance(last, str)
        is_nan = not is_text and math.isnan(last)
        text = last if isinstance(last, str) else "nan" if is_nan else None
        rows.append({"channel": channel, "trace": trace, "y": None if text is not None else float(last), "text": text})
    return rows


def _chunk_of(lines: list[list[Any]], traces: int, is_text: bool) -> codec.Chunk:
    if traces == 1 and not is_text:
        _, seq, t, _, x, y = zip(*lines, strict=True)
        if set(map(type, seq)) == {int} and set(map(type, (*t, *x, *y))) <= {float, int}:
            try:
                columns = [np.array(column, np.float64) for column in (x, t, y)]
                return codec.Chunk(np.array(seq, np.int64), columns[0], columns[1], [columns[2]])
            except OverflowError:
                pass
    return _checked_chunk(lines, traces, is_text)


def _checked_chunk(lines: list[list[Any]], traces: int, is_text: bool) -> codec.Chunk:
    good = [point for line in lines if (point := _point(line, traces, is_text)) is not None]
    seq = np.array([point[0] for point in good], np.int64)
    x, t = (np.array([point[i] for point in good], np.float64) for i in (1, 2))
    columns: list[Any] = [[point[3][i] for point in good] for i in range(traces)]
    return codec.Chunk(seq, x, t, columns if is_text else [np.array(column, np.float64) for column in columns])


def _point(line: list[Any], traces: int, is_text: bool) -> tuple[int, float, float, list[Any]] | None:
    _, seq, t, _, x, y = line
    values = y if type(y) is list else [y]
    if type(seq) is not int or not 0 <= seq < _MAX_SEQ or len(values) != traces:
        return None
    at, when = number(x), number(t)
    found = [v if type(v) is str else None for v in values] if is_text else [number(v) for v in values]
    if at is None or when is None or None in found:
        return None
    return seq, at, when, found


# -- facts ----------------------------------------------------------------------------------------------------


def _store_infos(tx: Connection, part: Part, found: Mapping[str, Any]) -> None:
    rows = [{"job": part.job, "attempt": part.attempt, "name": name, "value": value} for name, value in found.items()]
    upsert(tx, infos, rows, replace=("value",))


def _store_facts(tx: Connection, part: Part, reported: Reported) -> None:
    if reported.job:
        tx.execute(_NEWEST, {"its_id": part.job, "its_attempt": part.attempt, **reported.job})
    facts: dict[str, Any] = {}
    if "epochs" in reported.job:
        facts["progressed"] = True
    if reported.said is not None:
        facts |= {"said": reported.said, "said_message": reported.said_message}
    if facts:
        states.note_attempt(tx, part.job, part.attempt, **facts)


_NEWEST = update(jobs).where(jobs.c.id == bindparam("its_id"), jobs.c.attempt == bindparam("its_attempt"))
