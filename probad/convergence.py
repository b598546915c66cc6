"""Whether chains agree and how much they have to say: R-hat and effective sample sizes, of all coordinates at once.

They equal ArviZ's, whose import takes a second longer than most runs; the tests compare the two.

Sources: Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization, folding, and localization", Bayesian
Analysis 16 (2021) 667; the initial monotone sequence of Geyer, Statistical Science 7 (1992) 473.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

TAILS = (0.05, 0.95)  # the quantiles whose effective sample sizes are those of the tails
RESOLUTION = 1e-15  # range below which draws count as constant


def bulk_effective_sample_size(draws: np.ndarray) -> np.ndarray:
    """Effective number of draws for the middle of each distribution: that of rank-normalised, split chains.

    Parameters
    ----------
    draws : (n_chains, n_draws, dim) array, finite

    Returns
    -------
    (dim,) array
    """
    return effective_sample_size(rank_normalised(split(draws)))


def tail_effective_sample_size(draws: np.ndarray) -> np.ndarray:
    """The smaller of the effective numbers of draws for the 5 % and the 95 % quantile; see `bulk_...`."""
    indicators = (draws <= np.quantile(draws, q, axis=(0, 1)) for q in TAILS)
    return np.minimum(*(effective_sample_size(split(i.astype(float))) for i in indicators))


def r_hat(draws: np.ndarray) -> np.ndarray:
    """Rank-normalised split R-hat of each coordinate: the larger of the ones of location and of scale.

    Parameters
    ----------
    draws : (n_chains, n_draws, dim) array, finite

    Returns
    -------
    (dim,) array
        NaN for a coordinate that is constant, huge if each chain is, at a place of its own.
    """
    halves = split(draws)
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    return np.fmax(*(_plain_r_hat(rank_normalised(x)) for x in (halves, folded)))


def effective_sample_size(draws: np.ndarray) -> np.ndarray:
    """Effective number of independent draws for the mean of each coordinate, of chains as they are.

    Parameters
    ----------
    draws : (n_chains, n_draws, dim) array, finite

    Returns
    -------
    (dim,) array
        At most ``n log10(n)`` for n draws in all, as for antithetic chains; n for a coordinate that is constant; NaN
        for a single draw of each chain.
    """
    n_chains, n, dim = draws.shape
    n_total = n_chains * n
    if n < 2:
        return np.full(dim, np.nan)
    means = draws.mean(axis=1)
    spectrum = np.fft.rfft(draws - means[:, None], n=2 * n, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n].mean(axis=0) / n  # (lag, dim)
    total = covariance[0] + (means.var(axis=0, ddof=1) if n_chains > 1 else 0.0)
    moving = np.ptp(draws, axis=(0, 1)) > RESOLUTION
    correlation = 1.0 - (covariance[0] * n / (n - 1) - covariance) / np.where(moving, total, 1.0)
    correlation[0] = 1.0
    time = np.maximum(_integrated_time(correlation), 1.0 / np.log10(n_total))
    return np.where(moving, n_total / time, float(n_total))


def _integrated_time(correlation: np.ndarray) -> np.ndarray:
    """Sum of the correlations at all lags, of shape (lag, dim), by Geyer's initial monotone sequence of pairs."""
    n_pairs = max(1, (len(correlation) - 1) // 2)  # the last lags are too noisy to be looked at
    pairs = correlation[: 2 * n_pairs].reshape(n_pairs, 2, -1).sum(axis=1)
    ended = pairs <= 0
    end = np.where(ended.any(axis=0), ended.argmax(axis=0), n_pairs - 1)  # of the sequence, for each coordinate
    inside = np.arange(n_pairs)[:, None] < end
    monotone = np.minimum.accumulate(np.where(inside, pairs, np.inf), axis=0)
    last = np.take_along_axis(correlation, 2 * end[None], axis=0)[0]
    last = np.where(np.take_along_axis(ended, end[None], axis=0)[0], np.maximum(last, 0.0), last)
    return -1.0 + 2.0 * np.where(inside, monotone, 0.0).sum(axis=0) + last


def split(draws: np.ndarray) -> np.ndarray:
    """The first and the second halves of chains as chains; of an odd number of draws the middle one is left out."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


def rank_normalised(draws: np.ndarray) -> np.ndarray:
    """Normal scores of the ranks of all draws of each coordinate."""
    n_chains, n, dim = draws.shape
    return ndtri((ranks(draws.reshape(-1, dim)) - 0.375) / (n_chains * n + 0.25)).reshape(draws.shape)


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 within each column of a (n, dim) array; equal values share their mean rank."""
    order = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    n, dim = values.shape
    place = np.arange(n)[:, None]
    begins = np.vstack([np.ones((1, dim), bool), ordered[1:] != ordered[:-1]])
    ends = np.vstack([begins[1:], np.ones((1, dim), bool)])
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=0)
    last = np.minimum.accumulate(np.where(ends, place, n)[::-1], axis=0)[::-1]
    found = np.empty(values.shape)
    np.put_along_axis(found, order, 1.0 + 0.5 * (first + last), axis=0)
    return found


def _plain_r_hat(draws: np.ndarray) -> np.ndarray:
    n = draws.shape[1]
    between = n * draws.mean(axis=1).var(axis=0, ddof=1)
    within = draws.var(axis=1, ddof=1).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that stand still, apart or together
        return np.sqrt((between / within + n - 1) / n)
