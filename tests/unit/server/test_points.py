"""The encoding of points gives back exactly what went in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough_server.store.points import Chunk, decode, encode, joined

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True, width=64)


@st.composite
def chunks(draw: st.DrawFn) -> Chunk:
    n = draw(st.integers(0, 60))
    traces = draw(st.integers(1, 3))

    def column() -> list[float]:
        return draw(st.lists(ANY_FLOAT, min_size=n, max_size=n))

    seq = sorted(draw(st.sets(st.integers(0, 2**53), min_size=n, max_size=n)))
    y: object = [np.array(column(), float) for _ in range(traces)]
    if draw(st.booleans()):
        y = [draw(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=n, max_size=n))]
    return Chunk(np.array(seq, np.int64), np.array(column(), float), np.array(column(), float), y)  # type: ignore[arg-type]


def bits(column: object) -> object:
    return column if isinstance(column, list) else np.asarray(column).tobytes()


def same(a: Chunk, b: Chunk) -> bool:
    columns = zip([a.seq, a.x, a.t, *a.y], [b.seq, b.x, b.t, *b.y], strict=True)
    return all(bits(one) == bits(other) for one, other in columns)


@given(chunks())
def test_every_point_comes_back_bit_for_bit(chunk: Chunk) -> None:
    assert same(decode(encode(chunk)), chunk)


@given(chunks())
def test_a_chunk_joined_with_itself_holds_everything_twice(chunk: Chunk) -> None:
    twice = joined([chunk, chunk], len(chunk.y))

    assert list(twice.seq) == [*chunk.seq, *chunk.seq]
    assert all(len(column) == 2 * len(chunk.seq) for column in twice.y)


def test_a_steady_curve_takes_a_quarter_of_its_plain_size() -> None:
    n = 2000
    steady = Chunk(np.arange(n), np.arange(n, dtype=float), 1.7e9 + np.arange(n) / 8, [np.linspace(0, 1, n).round(3)])

    assert len(encode(steady)) < 8 * 4 * n / 4


def test_a_chunk_of_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="a chunk of points has version 9, not 1"):
        decode(b"\x09" + bytes(20))
