"""A curve thinned to what a screen shows.

Thinning keeps the first, lowest, highest and last point of each stretch (min/max decimation), so that no spike is
lost and the picture is the same as with all points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def thinned(traces: Sequence[NDArray[np.float64]], after: int, most: int) -> Indices:
    """Return the indices, rising, of about ``most`` points from index ``after`` on that look like all of them.

    Args:
        traces: The y of each trace, all of the same length n; the extremes of each are kept.
        after: Index of the first point that may be returned.
        most: How many points, at most, if there is one trace; each further one may add half as many.

    Points that are no numbers are never an extreme; a stretch without any number keeps its ends.
    """
    n = len(traces[0]) if traces else 0
    if n - after <= most:
        return np.arange(after, max(n, after))
    stretches = max(1, most // 4)
    edges = np.linspace(after, n, stretches + 1).astype(np.int64)
    width = int(np.diff(edges).max())
    index = np.minimum(edges[:-1, None] + np.arange(width), edges[1:, None] - 1)
    row = np.arange(stretches)
    kept = [edges[:-1], edges[1:] - 1]
    for trace in traces:
        values = np.asarray(trace)[index]
        is_none = ~np.isfinite(values)
        kept.append(index[row, np.where(is_none, np.inf, values).argmin(axis=1)])
        kept.append(index[row, np.where(is_none, -np.inf, values).argmax(axis=1)])
    found: Indices = np.unique(np.concatenate(kept))
    return found


def within(x: NDArray[np.float64], low: float, high: float) -> Indices:
    """Return the indices, rising, of the points with ``low <= x <= high``, and of those on either side of them."""
    inside = (x >= low) & (x <= high)
    wider = inside.copy()
    wider[1:] |= inside[:-1]
    wider[:-1] |= inside[1:]
    found: Indices = np.flatnonzero(wider)
    return found
