"""From the files of a job's record to rows of the store: the way back of `assembly`.

Nothing in a record is trusted: what is missing, of another type, or does not agree with the rest is a `BadRecord`
that says so. Rows are complete: they can be inserted as they are, apart from the ids of channels.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Boolean, Float, Integer, Table, Text

from bough import _layout, _paths
from bough_server.archive import logs, records
from bough_server.archive.assembly import ENVIRONMENT, OF_ENVIRONMENT, RECORDED
from bough_server.archive.gathering import OTHERS
from bough_server.archive.reading import Record
from bough_server.archive.records import FORMAT
from bough_server.store import points as codec
from bough_server.store import reads, schema
from bough_server.store.contents import read_name

Json = Mapping[str, Any]
TERMINAL = ("DONE", "FAILED", "ABORTED")
_NONCE = re.compile("[0-9a-f]{32}")
_LINES = msgspec.json.Decoder()
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class BadRecord(Exception):
    """What is wrong with a record; the end of a sentence that begins with its ref, with its full stop."""


@dataclass
class Channel:
    """A channel with its points, all of one writer: `reads.RECORDED`.

    Args:
        row: Of the table of channels, without an id.
        points: None if it has none.
        last: Rows of `channel_last`, without the channel's id.
    """

    row: dict[str, Any]
    points: codec.Chunk | None
    last: list[dict[str, Any]]


@dataclass
class JobRows:
    """Everything that a record says, as rows."""

    ref: str
    job: dict[str, Any]
    attempts: list[dict[str, Any]] = field(default_factory=list)
    agents: list[dict[str, Any]] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    streams: list[dict[str, Any]] = field(default_factory=list)
    infos: list[dict[str, Any]] = field(default_factory=list)
    others: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)
    environments: dict[int, dict[str, Any]] = field(default_factory=dict)  # what each attempt ran in
    contents: list[dict[str, Any]] = field(default_factory=list)
    recorded: list[dict[str, Any]] = field(default_factory=list)
    whole_logs: dict[int, bytes] = field(default_factory=dict)  # of attempts with a long one: log.txt.gz
    kpi_settings: dict[str, Any] = field(default_factory=dict)
    definition: Json | None = None


def job_rows(record: Record) -> JobRows:
    """Return what a job's record says.

    Raises:
        BadRecord: It is not whole, not of a format that is known, or not the record of the job that its ref names.
    """
    if record.faults:
        raise BadRecord(f"{record.faults[0]}.")
    told = mapping(record, "job.json")
    check_format(told)
    files = {name: file for name, file in record.files.items() if file is not None}
    values = mapping(record, "parameters.json")
    given = {**told, "values": values, "agent": _newest_agent(told), "record": record.ref, "desired": "run"}
    if not values and not told.get("attempt") and told.get("optimization") is not None:
        given["values"] = None  # a trial that never had any
    found = JobRows(record.ref, row(schema.jobs, {**given, "unreachable": False}, "job.json"))
    _check_job(record, found.job)
    found.kpi_settings = {f"kpi_{name}": value for name, value in _dict(_dict(told, "run"), "kpi").items()}
    found.definition = mapping(record, "definition.json") if "definition.json" in files else None
    environment = mapping(record, "environment.json")
    found.agents = _agents(environment)
    found.environments[found.job["attempt"]] = {k: v for k, v in environment.items() if k not in OF_ENVIRONMENT}
    _add_attempts(found, told, record)
    _add_recorded(found, _dict(told, RECORDED))
    _check_unique(schema.streams, found.streams)
    for table, rows in found.others.items():
        _check_unique(table, rows)
    return found


def check_format(told: Json) -> None:
    """Raise `BadRecord` if what was written is not of a format that is known here."""
    form = told.get("format")
    if not isinstance(form, int) or isinstance(form, bool) or form < 1:
        raise BadRecord("names no format.")
    if form > FORMAT:
        raise BadRecord(f"has format {form}, which is newer than this version of bough knows ({FORMAT}).")


def decoded(content: bytes | None, name: str) -> Any:
    """Return the JSON value of a file of a record; raise `BadRecord` if there is none."""
    if content is None:
        raise BadRecord(f"lacks {name}, or it is too large.")
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(f"has a {name} that cannot be read: {error}.") from None


def mapping(record: Record, name: str) -> dict[str, Any]:
    """Return the JSON mapping in a file of a record; raise `BadRecord` if it is none."""
    found = decoded(record.files.get(name), name)
    if not isinstance(found, dict):
        raise BadRecord(f"has a {name} that holds no mapping.")
    return found


def row(table: Table, told: Json, what: str) -> dict[str, Any]:
    """Return a row of a table from what a record tells, type by type; what it does not tell is the type's nothing.

    Raises:
        BadRecord: Something is of another type.
    """
    found = {}
    for name, nothing, fits, is_float in _columns(table):
        value = told.get(name)
        if is_float and type(value) is str:
            value = _NOT_FINITE.get(value, value)
        if value is None:
            found[name] = nothing
        elif fits(value):
            found[name] = value
        else:
            raise BadRecord(f"says {name} {str(value)[:60]!r} in {what}, which is of another type.")
    return found


@cache
def _columns(table: Table) -> list[tuple[str, Any, Callable[[Any], bool], bool]]:
    """Return name, value where nothing is told, check and whether it is a float, of all columns that are read."""
    return [
        (column.name, None if column.nullable else _nothing(column.type), _check(column.type), _is_float(column.type))
        for column in table.columns
        if not (table is schema.channels and column.name == "id")
    ]


def _check(kind: Any) -> Callable[[Any], bool]:
    if isinstance(kind, Boolean):
        return lambda value: type(value) is bool
    if isinstance(kind, Float):
        return lambda value: type(value) in (int, float)
    if isinstance(kind, Integer):
        return lambda value: type(value) is int and -(2**63) <= value < 2**63
    return (lambda value: type(value) is str) if isinstance(kind, Text) else (lambda value: True)


def _is_float(kind: Any) -> bool:
    return isinstance(kind, Float)


def _nothing(kind: Any) -> Any:
    if isinstance(kind, Boolean):
        return False
    if isinstance(kind, Integer | Float):
        return 0
    return "" if isinstance(kind, Text) else {}


def _check_job(record: Record, job: Json) -> None:
    """The ref, the commit and its date must say the same as the record."""
    if job["state"] not in TERMINAL or job["ended_at"] is None or job["end_reason"] is None:
        raise BadRecord(f"is of a job that has not ended: it is {str(job['state'])[:20]!r}.")
    own = records.job_ref(job["optimization"], job["number"], job["id"])
    if not record.ref.endswith("/jobs/" + own.removeprefix(records.JOB_REFS)):
        raise BadRecord(f"says that it is {own}.")
    if record.parents and job["commit"] and record.parents[0] != job["commit"]:
        raise BadRecord(f"grows from commit {record.parents[0]}, but says that commit {job['commit']} was run.")
    if not record.parents and job["commit"] and "no parent" not in record.message:
        raise BadRecord(f"does not grow from commit {job['commit']}, which was run.")
    if not math.isfinite(job["ended_at"]) or record.date != int(job["ended_at"]):
        raise BadRecord("has another date than the end of its job.")


def _newest_agent(told: Json) -> str | None:
    attempts = _list(told, "attempts")
    found = [one.get("agent_id") for one in attempts if one.get("attempt") == told.get("attempt")]
    return found[0] if found else None


def _add_recorded(found: JobRows, told: Json) -> None:
    """Read by what the script is known: pushed again, it is this job."""
    if not told:
        return
    given = row(schema.recorded, {**told, "job": found.job["id"]}, "job.json")
    if not _NONCE.fullmatch(given["nonce"]):
        raise BadRecord(f"says nonce {given['nonce'][:60]!r}, which is none.")
    found.recorded.append(given)


def _check_unique(table: Table, rows: Sequence[Json]) -> None:
    names = [column.name for column in table.primary_key]
    if len({tuple(one[name] for name in names) for one in rows}) < len(rows):
        raise BadRecord(f"has the same row of {table.name} twice.")


def _agents(environment: Json) -> list[dict[str, Any]]:
    found = []
    for agent_id, told in _dict(environment, "agents").items():
        if not isinstance(told, dict):
            raise BadRecord("has an environment.json that holds no mapping for an agent.")
        given = row(schema.agents, {**told, "id": agent_id, "key": f"record/{agent_id}"}, "environment.json")
        found.append(given | {"labels": given["labels"] or []})
    return found


def _add_attempts(found: JobRows, told: Json, record: Record) -> None:
    job_id, agents = found.job["id"], {agent["id"] for agent in found.agents}
    for one in _list(told, "attempts"):
        is_accepted = one.get("attempt") == found.job["attempt"]
        exit_ = decoded(record.files.get("exit.json"), "exit.json") if is_accepted else one.get("exit")
        given = {**one, "job": job_id, "agent": one.get("agent_id"), "exit": exit_}
        attempt = row(schema.attempts, given, "job.json")
        if attempt["agent"] not in agents:
            raise BadRecord(f"knows nothing of the agent of attempt {attempt['attempt']}.")
        if exit_ is not None and not isinstance(exit_, dict):
            raise BadRecord("has an exit.json that holds no mapping.")
        found.attempts.append(attempt)
        number = attempt["attempt"]
        folder = "" if is_accepted else f"attempts/{number}/"
        report = told if is_accepted else mapping(record, f"{folder}report.json")
        if not is_accepted:
            found.environments[number] = _dict(report, ENVIRONMENT)
        _add_report(found, report, record, folder, number)
        _add_journals(found, _list(one, "journals"), number)
        _add_others(found, record, folder, number)
    numbers = [attempt["attempt"] for attempt in found.attempts]
    if sorted(set(numbers)) != numbers:
        raise BadRecord("has attempts that are not in order.")


def _add_report(found: JobRows, report: Json, record: Record, folder: str, attempt: int) -> None:
    key = {"job": found.job["id"], "attempt": attempt}
    last = _dict(report, "last")
    for told in _list(report, "channels"):
        found.channels.append(_channel({**told, **key}, last, record, folder))
    for name, value in _dict(report, "infos").items():
        found.infos.append({**key, "name": name, "value": value})
    if whole := record.files.get(f"{folder}{logs.WHOLE}"):
        found.whole_logs[attempt] = whole
    add_log(found, attempt, record.files.get(f"{folder}{logs.TEXT}") or b"")


def add_log(found: JobRows, attempt: int, log: bytes) -> None:
    """Add the log of an attempt, in the place of what was taken for it before."""
    key = {"job": found.job["id"], "attempt": attempt}
    found.logs = [one for one in found.logs if one["attempt"] != attempt]
    found.streams = [one for one in found.streams if (one["attempt"], one["stream"]) != (attempt, _layout.LOG_STREAM)]
    for offset in range(0, len(log), _LOG_CHUNK):
        piece = log[offset : offset + _LOG_CHUNK]
        found.logs.append({**key, "offset": offset, "n": len(piece), "data": zlib.compress(piece, 1)})
    if log:
        stream = {**key, "stream": _layout.LOG_STREAM, "acked": len(log), "crc": zlib.crc32(log)}
        found.streams.append({**stream, "bad_lines": 0, "lost_lines": 0, "header": None})


_LOG_CHUNK = 1024 * 1024


def _add_journals(found: JobRows, journals: Iterable[Json], attempt: int) -> None:
    for one in journals:
        given = {**one, "job": found.job["id"], "attempt": attempt}
        stream = row(schema.streams, given, "job.json")
        if not stream["stream"].startswith(_layout.JOURNAL_STREAM):
            raise BadRecord(f"says that {stream['stream'][:60]!r} is a journal.")
        found.streams.append(stream | {"header": None})


def _add_others(found: JobRows, record: Record, folder: str, attempt: int) -> None:
    """Read the tables that are recorded as they are; one that is not known here is of another version, and left out."""
    for table in OTHERS:
        rows = lines_of(record, f"{folder}tables/{table.name}.jsonl")
        given = ({**one, "job": found.job["id"], "attempt": attempt} for one in rows)
        found.others.setdefault(table, []).extend(row(table, one, table.name) for one in given)
    for file in found.others[schema.job_files]:
        if _paths.fault_of(file["path"]) is not None or read_name(f"{file['sha256']}-{file['bytes']}") is None:
            raise BadRecord(f"names a file {file['path'][:60]!r} that cannot be.")


def lines_of(record: Record, path: str) -> list[dict[str, Any]]:
    """Return the mappings in a file that holds one a line; none where there is no such file."""
    try:
        lines: list[Any] = _LINES.decode_lines(record.files.get(path) or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(f"has a {path} that cannot be read: {error}.") from None
    if not all(isinstance(line, dict) for line in lines):
        raise BadRecord(f"has a {path} that does not hold a mapping a line.")
    return lines


def _channel(told: Json, last: Json, record: Record, folder: str) -> Channel:
    same = {name: told.get(name) for name in ("traces", "type", "main", "kpi", "kpi_trace", "maximize", "loss")}
    given = row(schema.channels, {**told, "spec": {**same, **_dict(told, "spec")}}, "job.json")
    name, traces = given["name"], given["traces"]
    if not isinstance(traces, list) or not all(isinstance(trace, str) for trace in traces):
        raise BadRecord(f"has no list of traces for channel {name[:60]!r}.")
    if given["type"] not in ("number", "text", "image") or not 0 <= given["kpi_trace"] < max(1, len(traces)):
        raise BadRecord(f"has a channel {name[:60]!r} that cannot be: {given['type']!r}, trace {given['kpi_trace']}.")
    file = f"{folder}channels/{records.channel_file_name(name)}"
    content = record.files.get(file)
    if content is None:
        raise BadRecord(f"lacks {file}, or it is too large.")
    is_text = given["type"] != "number"
    points = curve(content, len(traces), is_text, file)
    if (0 if points is None else len(points.seq)) != given["points"]:
        raise BadRecord(f"has another number of points in {file} than it says.")
    return Channel(given, points, _last(given, last, is_text))


def _last(channel: Json, last: Json, is_text: bool) -> list[dict[str, Any]]:
    rows = []
    for i in range(len(channel["traces"])):
        name = reads.trace_name(channel["name"], channel["traces"], i)
        if name not in last:
            continue
        value = last[name]
        if not is_text and value in ("inf", "-inf"):
            value = _NOT_FINITE[value]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number and not isinstance(value, str):
            raise BadRecord(f"has a last value of {name[:60]!r} that is no number.")
        rows.append({"trace": i, "y": value if is_number else None, "text": None if is_number else value})
    return rows


def curve(content: bytes, traces: int, is_text: bool, file: str) -> codec.Chunk | None:
    """Return the points of a channel's CSV as one chunk, None if there are none.

    Raises:
        BadRecord: It is no table of as many traces.
    """
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        head = next(lines, [])
        rows = list(lines)
        if len(head) != traces + 3 or any(len(one) != traces + 3 for one in rows):
            raise ValueError
        if not rows:
            return None
        columns = list(zip(*rows, strict=True))
        overrun = np.array([_FLAG[flag] for flag in columns[-1]], np.int64)
        y: Sequence[Any] = [list(c) if is_text else _floats(c) for c in columns[2:-1]]
        seq = np.arange(len(rows), dtype=np.int64) + overrun * reads.OVERRUN_FROM
        return codec.Chunk(seq, _floats(columns[0]), _floats(columns[1]), y)
    except (ValueError, KeyError, csv.Error):
        raise BadRecord(f"has a {file} that is no table of {traces} traces.") from None


_FLAG = {"0": 0, "1": 1}


def _floats(column: Iterable[str]) -> Any:
    return np.array(list(map(float, column)), np.float64)


def _dict(told: Json, name: str) -> dict[str, Any]:
    found = told.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadRecord(f"says {name} {str(found)[:60]!r}, which is no mapping.")
    return found


def _list(told: Json, name: str) -> list[dict[str, Any]]:
    found = told.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadRecord(f"says {name} {str(found)[:60]!r}, which is no list of mappings.")
    return found
