"""The densities of hyperopt's tpe, quicker and equal to the last bit.

Each function says which of hyperopt's (0.3.0, `hyperopt/tpe.py`) it equals. What makes it quicker: temporary arrays are
reused and kept small enough for the cache; equal bounds and equal components are computed once. What keeps it equal:
every number that counts comes from the same operations on the same numbers, and sums are made in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[Any]
Mixture = tuple[Array, Array, Array]  # weights, means and standard deviations, shape (k,) each, by rising mean

EPS = 1e-12
FORGETTING = 25  # the newest so many observations keep their full weight
_BLOCK = 16384  # numbers of a temporary array: 128 KiB


def forgetting_weights(count: int) -> Array:
    """Return the weights of so many observations, oldest first: `linear_forgetting_weights`, shape (count,)."""
    if count < FORGETTING:
        return np.ones(count)
    return np.concatenate([np.linspace(1 / count, 1.0, num=count - FORGETTING), np.ones(FORGETTING)])


def mixture(mus: Array, prior_weight: float, prior_mu: float, prior_sigma: float) -> Mixture:
    """Return the Parzen estimate of observations ``mus``, shape (n,), oldest first: `adaptive_parzen_normal`."""
    if len(mus) < 2:
        return _small_mixture(mus, prior_weight, prior_mu, prior_sigma)
    order = np.argsort(mus)
    rising = mus[order]
    place = int(np.searchsorted(rising, prior_mu))
    means = np.empty(len(mus) + 1)
    means[:place], means[place], means[place + 1 :] = rising[:place], prior_mu, rising[place:]
    gaps = means[1:] - means[:-1]
    sigma = np.empty_like(means)
    np.maximum(gaps[:-1], gaps[1:], out=sigma[1:-1])
    sigma[0], sigma[-1] = gaps[0], gaps[-1]
    weights = np.ones(len(means))
    if len(mus) > FORGETTING:
        by_age = forgetting_weights(len(mus))[order]
        weights[:place], weights[place + 1 :] = by_age[:place], by_age[place:]
    weights[place] = prior_weight
    return _finished(weights, means, sigma, place, prior_sigma)


def _small_mixture(mus: Array, prior_weight: float, prior_mu: float, prior_sigma: float) -> Mixture:
    """Return the estimate of at most one observation."""
    if len(mus) == 0:
        means, sigma, place = np.asarray([prior_mu]), np.asarray([prior_sigma]), 0
    elif prior_mu < mus[0]:
        means, sigma, place = np.asarray([prior_mu, mus[0]]), np.asarray([prior_sigma, prior_sigma * 0.5]), 0
    else:
        means, sigma, place = np.asarray([mus[0], prior_mu]), np.asarray([prior_sigma * 0.5, prior_sigma]), 1
    weights = np.ones(len(means))
    weights[place] = prior_weight
    return _finished(weights, means, sigma, place, prior_sigma)


def _finished(weights: Array, means: Array, sigma: Array, place: int, prior_sigma: float) -> Mixture:
    sigma = np.clip(sigma, prior_sigma / min(100.0, (1.0 + len(means))), prior_sigma)
    sigma[place] = prior_sigma
    weights /= weights.sum()
    return weights, means, sigma


# -- drawing --------------------------------------------------------------------------------------------------
def draw(rng: np.random.Generator, size: int, of: Mixture, low: float | None, high: float | None) -> Array:
    """Return ``size`` draws of a mixture, cut at the bounds: `GMM1` and, without its exp, `LGMM1`."""
    weights, mus, sigmas = of
    if low is None or high is None:
        active = np.argmax(rng.multinomial(1, weights, (size,)), axis=1)
        several: Array = rng.normal(loc=mus[active], scale=sigmas[active])
        return several
    found: list[float] = []
    means, deviations = mus.tolist(), sigmas.tolist()
    while len(found) < size:
        active = rng.multinomial(1, weights).argmax()
        drawn = rng.normal(means[active], deviations[active])
        if low <= drawn < high:
            found.append(drawn)
    return np.asarray(found)


# -- densities ------------------------------------------------------------------------------------------------
def normal_log_density(samples: Array, of: Mixture, low: float | None, high: float | None) -> Array:
    """Return `GMM1_lpdf` without q, shape of ``samples``, (n,)."""
    weights, mus, sigmas = of
    scale = np.maximum(sigmas, EPS)
    log_coef = np.log(weights / np.sqrt(2 * np.pi * sigmas**2) / _accepted(of, low, high))
    found, largest = np.empty(len(samples)), np.empty(len(samples))
    for rows, block in _blocks(len(samples), len(mus)):
        _squared(samples[rows, None], mus, scale, block)
        np.add(block, log_coef, out=block)
        _sum_exp(block, found[rows], largest[rows])
    return np.log(found) + largest


def lognormal_log_density(samples: Array, of: Mixture) -> Array:
    """Return `LGMM1_lpdf` without q, which does not look at the bounds; shape of ``samples``, (n,), all above 0."""
    weights, mus, sigmas = of
    sigmas = np.maximum(sigmas, EPS)
    starts, run = _runs(sigmas)
    log_z = np.log(sigmas[starts] * samples[:, None] * np.sqrt(2 * np.pi))  # few deviations differ: most are at a bound
    log_samples, log_weights = np.log(samples)[:, None], np.log(weights)
    found, largest = np.empty(len(samples)), np.empty(len(samples))
    for rows, block in _blocks(len(samples), len(mus)):
        _squared(log_samples[rows], mus, sigmas, block)
        np.subtract(block, log_z[rows].take(run, axis=1), out=block)
        np.add(block, log_weights, out=block)
        _sum_exp(block, found[rows], largest[rows])
    return np.log(found) + largest


def _blocks(samples: int, components: int) -> list[tuple[slice, Array]]:
    """Return slices over the samples, each with a matrix to work in, (samples of the slice, components)."""
    rows = max(1, min(samples, _BLOCK // components))
    work = np.empty((rows, components))
    starts = range(0, samples, rows)
    return [(slice(start, start + rows), work[: min(rows, samples - start)]) for start in starts]


def _squared(samples: Array, mus: Array, scale: Array, block: Array) -> None:
    """Set ``block`` to -0.5 ((samples - mus) / scale)². Where hyperopt has -(0.5 x), that is the same number."""
    np.subtract(samples, mus, out=block)
    block /= scale
    np.square(block, out=block)
    block *= -0.5


def _sum_exp(block: Array, found: Array, largest: Array) -> None:
    """Do the first half of `logsum_rows`: the sum of exp(row - its largest), and that largest."""
    block.max(axis=1, out=largest)
    block -= largest[:, None]
    np.exp(block, out=block)
    block.sum(axis=1, out=found)


def normal_log_mass(samples: Array, of: Mixture, low: float | None, high: float | None, q: float) -> Array:
    """Return `GMM1_lpdf` with q: the log of the mass in the cells of width q around the samples, shape (n,)."""
    values, back = np.unique(samples, return_inverse=True)
    upper, lower = values + q / 2, values - q / 2
    upper = upper if high is None else np.minimum(upper, high)
    lower = lower if low is None else np.maximum(lower, low)
    return _log_mass(upper, lower, of, _normal_below, _accepted(of, low, high))[back]


def lognormal_log_mass(samples: Array, of: Mixture, low: float | None, high: float | None, q: float) -> Array:
    """Return `LGMM1_lpdf` with q, shape (n,); low and high are logs."""
    values, back = np.unique(samples, return_inverse=True)
    upper, lower = values + q / 2, values - q / 2
    upper = upper if high is None else np.minimum(upper, np.exp(high))
    lower = np.maximum(0, lower if low is None else np.maximum(lower, np.exp(low)))
    return _log_mass(upper, lower, of, _lognormal_below, _accepted(of, low, high))[back]


def _log_mass(upper: Array, lower: Array, of: Mixture, below: Callable[..., Array], accepted: Any) -> Array:
    """Return the log of the mass between the bounds, shape (n,). Component after component is added, as hyperopt does.

    On a grid most observations repeat: of the components that follow each other with the same mean and deviation, one
    is computed, and of the bounds that are equal, too.
    """
    weights, mus, sigmas = of
    bounds, place = np.unique(np.concatenate([upper, lower]), return_inverse=True)
    starts, run = _runs(mus, sigmas)
    cumulated = below(bounds, mus[starts, None], sigmas[starts, None])
    mass, less = (cumulated[:, one][run] for one in (place[: len(upper)], place[len(upper) :]))
    mass *= weights[:, None]
    less *= weights[:, None]
    mass -= less
    found = np.add.accumulate(mass, axis=0)[-1] if mass.shape[1] == 1 else mass.sum(axis=0)
    log_mass: Array = np.log(found) - np.log(accepted)
    return log_mass


def _normal_below(x: Any, mu: Array, sigma: Array) -> Array:
    """Return `normal_cdf`."""
    below: Array = 0.5 * (1 + erf((x - mu) / np.maximum(np.sqrt(2) * sigma, EPS)))
    return below


def _lognormal_below(x: Array, mu: Array, sigma: Array) -> Array:
    """Return `lognormal_cdf`."""
    below: Array = 0.5 + 0.5 * erf((np.log(np.maximum(x, EPS)) - mu) / np.maximum(np.sqrt(2) * sigma, EPS))
    return below


def _accepted(of: Mixture, low: float | None, high: float | None) -> Any:
    """Return how much of a mixture lies between the bounds."""
    if low is None or high is None:
        return 1
    weights, mus, sigmas = of
    starts, run = _runs(mus, sigmas)
    inside = _normal_below(high, mus[starts], sigmas[starts]) - _normal_below(low, mus[starts], sigmas[starts])
    return np.sum(weights * inside[run])


def _runs(*columns: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where runs of equal neighbours begin, shape (runs,), and of which run each entry is, shape (k,)."""
    is_new = np.zeros(len(columns[0]), bool)
    is_new[0] = True
    for column in columns:
        is_new[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(is_new), np.cumsum(is_new) - 1
