"""Each density is hyperopt's, bit for bit: a search would hide most last bits, for it looks at the largest alone."""

from __future__ import annotations

import numpy as np
import pytest
from hyperopt import tpe
from hypothesis import given, settings
from hypothesis import strategies as st

from bough_server.optimizers import parzen

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SIZES = [0, 1, 2, 5, 25, 26, 27, 300, 3000]


def observed(rng: np.random.Generator, size: int, q: float | None) -> parzen.Array:
    seen = rng.uniform(-2, 3, size)
    return seen if q is None else np.round(seen / q) * q


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from(SIZES), st.sampled_from([None, 0.1, 1.0]),
    st.booleans(), st.sampled_from([1, 2, 24]), st.sampled_from([0.05, 1.0, 6.0]),
)  # fmt: skip
def test_estimates_and_densities_are_equal_to_the_last_bit(
    seed: int, size: int, q: float | None, is_bounded: bool, count: int, sigma: float
) -> None:
    rng = np.random.default_rng(seed)
    low, high = (-2.0, 3.0) if is_bounded else (None, None)
    seen = observed(rng, size, q)

    of = parzen.mixture(seen, 1.0, 0.25, sigma)

    for mine, theirs in zip(of, tpe.adaptive_parzen_normal(seen, 1.0, 0.25, sigma), strict=True):
        assert np.array_equal(mine, theirs)
    drawn = mine_drawn(of, seed, count, low, high)
    assert np.array_equal(drawn, theirs_drawn(of, seed, count, low, high))
    samples = drawn if q is None else np.round(drawn / q) * q
    expected = tpe.GMM1_lpdf(samples, *of, low, high, q)
    if q is None:
        assert np.array_equal(parzen.normal_log_density(samples, of, low, high), expected)
    else:
        assert np.array_equal(parzen.normal_log_mass(samples, of, low, high, q), expected)


def mine_drawn(of: parzen.Mixture, seed: int, count: int, low: float | None, high: float | None) -> parzen.Array:
    return parzen.draw(np.random.default_rng(seed), count, of, low, high)


def theirs_drawn(of: parzen.Mixture, seed: int, count: int, low: float | None, high: float | None) -> parzen.Array:
    drawn: parzen.Array = tpe.GMM1(*of, low, high, rng=np.random.default_rng(seed), size=(count,))
    return drawn


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from(SIZES), st.sampled_from([None, 0.1, 1.0]),
    st.booleans(), st.sampled_from([1, 2, 24]),
)  # fmt: skip
def test_log_densities_are_equal_to_the_last_bit(
    seed: int, size: int, q: float | None, is_bounded: bool, count: int
) -> None:
    rng = np.random.default_rng(seed)
    low, high = (-2.0, 3.0) if is_bounded else (None, None)
    seen = np.log(np.maximum(np.exp(observed(rng, size, None)), parzen.EPS))
    of = parzen.mixture(np.round(seen, 1) if q else seen, 1.0, 0.25, 5.0)

    samples = np.exp(parzen.draw(rng, count, of, low, high))

    if q is None:
        expected = tpe.LGMM1_lpdf(samples, *of, low, high, q)
        assert np.array_equal(parzen.lognormal_log_density(samples, of), expected)
    else:
        samples = np.round(samples / q) * q
        expected = tpe.LGMM1_lpdf(samples, *of, low, high, q)
        assert np.array_equal(parzen.lognormal_log_mass(samples, of, low, high, q), expected, equal_nan=True)
