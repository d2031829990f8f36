"""What an ended job becomes in git: pure functions from plain data to a ``git fast-import`` stream.

A record is a commit: the tree is the code that ran plus ``.bough/``, the parent is the commit of the code, the dates
are the end of the job. The same data gives the same commit, so that writing a record twice is harmless.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

FORMAT = 1  # of records, as docs/records.md describes it
JOB_REFS = "refs/bough/jobs/"
OPTIMIZATION_REFS = "refs/bough/optimizations/"
MODEL_REFS = "refs/bough/models/"
INCOMING_REFS = "refs/bough/incoming/"  # what others push, named as below refs/bough/, until it is checked
KEPT_REFS = "refs/bough/kept/"  # what could not be joined: …/<first 12 of the commit>/<its name below refs/bough/>
MANUAL = "manual"  # stands for the optimization in the ref of a job that has none

_AUTHOR = b"bough <bough@coordinator>"
_NO_REF = b"refs/bough/unnamed"  # what git is told of commits that get their refs later; never written
_FOLDER = ".bough"


@dataclass(frozen=True, slots=True)
class RecordData:
    """One commit to be written.

    Attributes:
        ref: The full name of the ref that will point to it.
        parent: The commit it grows from (40 hex or a ref), or None for a commit without code.
        ended_at: Seconds since the epoch; author and committer date.
        message: What the commit says; one subject line, then details.
        files: Path below ``.bough/`` → content.
        also: A second parent: the record that this one replaces, or None.
        keeps: Whether the files of the parent's ``.bough/`` stay, so that only what changed is given.
    """

    ref: str
    parent: str | None
    ended_at: float
    message: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    also: str | None = None
    keeps: bool = False


def kept_ref(name: str, oid: str) -> str:
    """Return under which name a commit is kept that could not become ``name``."""
    return f"{KEPT_REFS}{oid[:12]}/{name.removeprefix('refs/bough/')}"


def job_ref(optimization: str | None, number: int | None, job_id: str) -> str:
    """Return the ref of a job's record: ``refs/bough/jobs/<optimization or manual>/<number, 4 digits>-<job>``."""
    return f"{JOB_REFS}{optimization or MANUAL}/{number or 0:04d}-{job_id}"


def stream(records: Iterable[RecordData], unnamed: Collection[str] = ()) -> bytes:
    """Return the bytes that make ``git fast-import`` write all of these records.

    All files of one name come one after the other: git then stores each as its difference from the one before. The
    same content is sent once.

    Args:
        records: What to write.
        unnamed: Refs of those for which git makes no ref, but prints the id of the commit: a line each, in order.
    """
    found = list(records)
    marks: dict[bytes, int] = {}
    lines: list[bytes] = []
    for path, i in sorted((path, i) for i, record in enumerate(found) for path in record.files):
        content = found[i].files[path]
        if content not in marks:
            marks[content] = len(marks) + 1
            lines.append(b"blob\nmark :%d\ndata %d\n%s\n" % (marks[content], len(content), content))
    asked: list[bytes] = []
    for record in found:
        if record.ref not in unnamed:
            lines.append(_commit(record, marks, b"commit %s\n" % record.ref.encode()))
            continue
        mark = len(marks) + len(asked) + 1
        begin = b"reset %s\ncommit %s\nmark :%d\n" % (_NO_REF, _NO_REF, mark)
        lines.append(_commit(record, marks, begin))
        asked.append(b"get-mark :%d\n" % mark)
    if asked:
        lines.append(b"reset %s\n" % _NO_REF)
    return b"".join([*lines, *asked, b"done\n"])


def _commit(record: RecordData, marks: Mapping[bytes, int], begin: bytes) -> bytes:
    message = record.message.encode("utf-8", "replace")
    lines = [
        begin,
        b"committer %s %d +0000\n" % (_AUTHOR, int(record.ended_at)),
        b"data %d\n%s\n" % (len(message), message),
    ]
    if record.parent is not None:
        lines.append(b"from %s\n" % record.parent.encode())
    if record.also is not None:
        lines.append(b"merge %s\n" % record.also.encode())
    if record.parent is not None and not record.keeps:
        lines.append(b"D %s\n" % _FOLDER.encode())  # code that holds such a folder must not leak into the record
    for path, content in sorted(record.files.items()):
        lines.append(b"M 100644 :%d %s\n" % (marks[content], _quoted(f"{_FOLDER}/{path}")))
    return b"".join([*lines, b"\n"])


def _quoted(path: str) -> bytes:
    """Return a path as fast-import's C-style string, every byte beyond plain ASCII escaped."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./-_ "
    raw = path.encode()
    if not raw.strip(plain):  # nearly all of them
        return b'"' + raw + b'"'
    return b'"' + b"".join(bytes([c]) if c in plain else b"\\%03o" % c for c in raw) + b'"'


def json_file(value: Any) -> bytes:
    """Return JSON as records hold it: indented, UTF-8, never a number that JSON does not have.

    Keys keep their order: in values and infos it is that of the columns of an export.
    """
    return stored_json_file(finite(value))


def stored_json_file(value: Any) -> bytes:
    """As `json_file`, of what came out of JSON columns of the store: all numbers in there are finite."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def json_lines(rows: Iterable[Any]) -> bytes:
    """Return one JSON value a line."""
    return b"".join(msgspec.json.encode(finite(row)) + b"\n" for row in rows)


def finite(value: Any) -> Any:
    """Return a JSON value with "nan", "inf" and "-inf" in the place of numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return number_text(value)
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def number_text(value: float) -> str:
    """Return a number so that reading it gives the same bits: ``repr``, or nan, inf, -inf; 3.0 becomes 3."""
    text = repr(float(value))  # numpy's own repr is another
    return text[:-2] if text.endswith(".0") and text != "-0.0" else text


def channel_file_name(name: str) -> str:
    """Return the file name of a channel: its own where it is a plain one, else escaped like a URL, without collision.

    ``loss/validation`` becomes ``loss%2Fvalidation.csv``: any name of any script is one file in one folder.
    """
    plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ "
    kept = "".join(
        c if c in plain or (c == "." and i > 0) else "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "replace"))
        for i, c in enumerate(name)
    )
    if len(kept) > 200:  # file systems end at 255 bytes
        kept = f"{kept[:180]}%{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return f"{kept or '%'}.csv"


def channel_csv(traces: Sequence[str], columns: Sequence[Sequence[Any]]) -> bytes:
    """Return a channel as CSV: x, time, one column per trace, overrun; in the order the points came.

    Args:
        traces: Names of the traces.
        columns: x, t, y of each trace (numbers, or texts), overrun (booleans).
    """
    cells = [_cells(column) for column in columns[:-1]]
    lines = [",".join(map(_text_cell, ["x", "time", *traces, "overrun"]))]
    lines += map(",".join, zip(*cells, ["1" if one else "0" for one in columns[-1]], strict=True))
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _cells(column: Sequence[Any]) -> list[str]:
    try:
        texts = map(float.__repr__, column)  # a column of numbers: most of what a record costs
        return [text[:-2] if text.endswith(".0") and text != "-0.0" else text for text in texts]
    except TypeError:
        return [_text_cell(one) if isinstance(one, str) else number_text(one) for one in column]


def _text_cell(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(c in value for c in ',"\n\r') else value
