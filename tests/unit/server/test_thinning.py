"""A thinned curve looks like the whole one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bough_server.service.thinning import thinned

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(arrays(np.float64, st.integers(0, 400), elements=NUMBERS), st.integers(0, 50), st.integers(4, 60))
def test_a_thinned_curve_rises_in_index_begins_and_ends_like_the_whole_and_has_its_extremes(
    y: np.ndarray, after: int, most: int
) -> None:
    kept = thinned([y], after, most)
    assert len(kept) <= most
    assert (np.diff(kept) > 0).all()
    rest = y[after:]
    if len(rest):
        assert (kept[0], kept[-1]) == (after, len(y) - 1)
    finite = rest[np.isfinite(rest)]
    if len(finite):
        shown = y[kept][np.isfinite(y[kept])]
        assert (shown.min(), shown.max()) == (finite.min(), finite.max())


def test_a_curve_of_few_points_stays_as_it_is() -> None:
    assert thinned([np.arange(10.0)], 0, 10).tolist() == list(range(10))
    assert thinned([np.arange(10.0)], 12, 10).tolist() == []
    assert thinned([], 0, 10).tolist() == []


def test_each_trace_keeps_its_extremes() -> None:
    up, down = np.zeros(1000), np.zeros(1000)
    up[333], down[777] = 5.0, -5.0
    kept = thinned([up, down], 0, 40)
    assert {333, 777} <= set(kept.tolist())
