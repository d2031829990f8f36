"""How points lie in the store: compressed columns, many points a chunk.

A chunk holds consecutive points of one writer in one channel of one attempt. Its first byte is the version of the
encoding. Numbers come back bit for bit, NaN and infinities too.

::

    version u1 = 1 | kind u1 (0 number, 1 text) | deflated u1 | traces u2 | n u4 | body
    body of numbers   seq as i8 differences, then x, t and y of each trace as f8; each column's bytes are grouped by
                      significance (byte 0 of all values, byte 1 of all, …), which is what makes them compress
    body of text      seq, x and t as above, then u4 length and UTF-8 of a JSON list of lists (one list per trace)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_VERSION = 1
_HEAD = struct.Struct("<BBBHI")
_NUMBER, _TEXT = 0, 1
_WORTH_DEFLATING = 64  # bytes


@dataclass(frozen=True)
class Chunk:
    """Consecutive points of one writer in one channel.

    Args:
        seq: Line numbers in the writer's journal, shape (n,), rising.
        x: Shape (n,).
        t: Seconds since the epoch by the script's clock, shape (n,).
        y: One column per trace, each of shape (n,): floats, or a list of texts in a text channel.
    """

    seq: Integers
    x: Floats
    t: Floats
    y: Sequence[Floats] | Sequence[list[str]]


def encode(chunk: Chunk) -> bytes:
    """Return ``chunk`` as bytes."""
    is_text = bool(chunk.y) and isinstance(chunk.y[0], list)
    columns: list[NDArray[Any]] = [np.diff(chunk.seq, prepend=0), chunk.x, chunk.t]
    if not is_text:
        columns += [np.asarray(column) for column in chunk.y]
    body = b"".join(map(_shuffled, columns))
    if is_text:
        texts = msgspec.json.encode(chunk.y)
        body += struct.pack("<I", len(texts)) + texts
    deflated = zlib.compress(body, 1) if len(body) > _WORTH_DEFLATING else body
    is_smaller = len(deflated) < len(body)
    head = _HEAD.pack(_VERSION, _TEXT if is_text else _NUMBER, is_smaller, len(chunk.y), len(chunk.seq))
    return head + (deflated if is_smaller else body)


def decode(data: bytes) -> Chunk:
    """Return what `encode` was given.

    Raises:
        ValueError: These bytes are no chunk, or one of a newer version.
    """
    version, kind, is_deflated, traces, n = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise ValueError(f"a chunk of points has version {version}, not {_VERSION}")
    body = memoryview(zlib.decompress(data[_HEAD.size :]) if is_deflated else data[_HEAD.size :])
    numbers = 3 if kind == _TEXT else 3 + traces
    columns = [body[8 * n * i : 8 * n * (i + 1)] for i in range(numbers)]
    seq = np.cumsum(_unshuffled(columns[0], n).view("<i8"))
    x, t = _unshuffled(columns[1], n), _unshuffled(columns[2], n)
    if kind == _TEXT:
        return Chunk(seq, x, t, _texts(body[8 * n * numbers :]))
    return Chunk(seq, x, t, [_unshuffled(column, n) for column in columns[3:]])


def joined(chunks: Iterable[Chunk], traces: int, is_text: bool = False) -> Chunk:
    """Return ``chunks`` one after the other as one; empty columns for ``traces`` traces if there are none."""
    parts = list(chunks)
    if not parts:
        none = np.empty(0)
        empty: Any = [[] if is_text else none for _ in range(traces)]
        return Chunk(np.empty(0, np.int64), none, none, empty)
    columns: Any = [_concatenated([part.y[i] for part in parts]) for i in range(len(parts[0].y))]
    return Chunk(
        np.concatenate([part.seq for part in parts]),
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.t for part in parts]),
        columns,
    )


def _concatenated(columns: Sequence[Any]) -> Any:
    if isinstance(columns[0], list):
        return [text for column in columns for text in column]
    return np.concatenate(columns)


def _shuffled(column: NDArray[Any]) -> bytes:
    little = np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(-1, 8).T.tobytes()


def _unshuffled(data: memoryview, n: int) -> Floats:
    return np.frombuffer(data, np.uint8).reshape(8, n).T.copy().reshape(-1).view("<f8")


def _texts(data: memoryview) -> list[list[str]]:
    (length,) = struct.unpack_from("<I", data)
    found: list[list[str]] = msgspec.json.decode(data[4 : 4 + length], type=list[list[str]])
    return found
