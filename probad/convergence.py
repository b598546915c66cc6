"""Whether chains agree and how much they have to say: R-hat and effective sample sizes, of all coordinates at once.

They equal ArviZ's, whose import takes a second longer than most runs; the tests compare the two.

Sources: Vehtari, Gelman, Simpson, Carpenter and Bürkner, "Rank-normalization, folding, and localization", Bayesian
Analysis 16 (2021) 667; the initial monotone sequence of Geyer, Statistical Science 7 (1992) 473.
"""

from __future__ import annotations

import numpy as np

from probad.normal import quantile

TAILS = (0.05, 0.95)  # the quantiles whose effective sample sizes are those of the tails
RESOLUTION = 1e-15  # range below which draws count as constant


def figures(draws: np.ndarray) -> dict[str, np.ndarray]:
    """Bulk and tail effective sample size and R-hat, in two thirds of the time that they take one by one.

    Parameters
    ----------
    draws : (n_chains, n_draws, dim) array, finite

    Returns
    -------
    dict
        ``ess_bulk``, ``ess_tail`` and ``r_hat``, each of shape (dim,).
    """
    x = _by_coordinate(draws)
    scores = _scores(_split(x))
    return {"ess_bulk": _effective_size(scores), "ess_tail": _tail(x), "r_hat": _r_hat(_split(x), scores)}


def bulk_effective_sample_size(draws: np.ndarray) -> np.ndarray:
    """Effective number of draws for the middle of each distribution: that of rank-normalised, split chains.

    Parameters
    ----------
    draws : (n_chains, n_draws, dim) array, finite

    Returns
    -------
    (dim,) array
    """
    return _effective_size(_scores(_split(_by_coordinate(draws))))


def tail_effective_sample_size(draws: np.ndarray) -> np.ndarray:
    """The smaller of the effective numbers of draws for the 5 % and the 95 % quantile; see `bulk_...`."""
    return _tail(_by_coordinate(draws))


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
    halves = _split(_by_coordinate(draws))
    return _r_hat(halves, _scores(halves))


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
    return _effective_size(_by_coordinate(draws))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 within each row of a (dim, n) array; equal values share their mean rank."""
    return _in_order(*_ranks_in_order(values))


# --- of arrays (dim, n_chains, n) ------------------------------------------------------------------------------------
def _by_coordinate(draws: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(draws, 2, 0), dtype=float)


def _split(x: np.ndarray) -> np.ndarray:
    """The first and the second halves of chains as chains; of an odd number of draws the middle one is left out."""
    half = x.shape[2] // 2
    return np.concatenate([x[..., :half], x[..., x.shape[2] - half :]], axis=1)


def _scores(x: np.ndarray) -> np.ndarray:
    """Normal scores of the ranks of all draws of each coordinate."""
    n = x.shape[1] * x.shape[2]
    order, ordered = _ranks_in_order(x.reshape(len(x), n))
    if len(ordered) == 1:
        scores = quantile((ordered - 0.375) / (n + 0.25))
    else:  # mean ranks of equal values are halves of whole numbers
        scores = quantile((0.5 * np.arange(2, 2 * n + 1) - 0.375) / (n + 0.25))[(2 * ordered - 2).astype(np.intp)]
    return _in_order(order, scores).reshape(x.shape)


def _ranks_in_order(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of a (dim, n) array what sorts it, and the ranks of the sorted row: one row for all without ties."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    place = np.arange(1.0, values.shape[1] + 1.0)[None]
    new = ordered[:, 1:] != ordered[:, :-1]
    if new.all():
        return order, place
    always = np.ones((len(values), 1), bool)
    first = np.maximum.accumulate(np.where(np.hstack([always, new]), place, 0.0), axis=1)
    last = np.minimum.accumulate(np.where(np.hstack([new, always]), place, np.inf)[:, ::-1], axis=1)[:, ::-1]
    return order, 0.5 * (first + last)


def _in_order(order: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Rows put where they were before they were sorted."""
    found = np.empty(order.shape)
    np.put_along_axis(found, order, np.broadcast_to(ordered, order.shape), axis=1)
    return found


def _tail(x: np.ndarray) -> np.ndarray:
    limits = np.quantile(x.reshape(len(x), -1), TAILS, axis=1)
    return np.minimum(*(_effective_size(_split((x <= limit[:, None, None]).astype(float))) for limit in limits))


def _r_hat(halves: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """R-hat from split chains and their normal scores."""
    folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
    return np.fmax(_plain_r_hat(scores), _plain_r_hat(_scores(folded)))


def _plain_r_hat(x: np.ndarray) -> np.ndarray:
    n = x.shape[2]
    between = n * x.mean(axis=2).var(axis=1, ddof=1)
    within = x.var(axis=2, ddof=1).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that stand still, apart or together
        return np.sqrt((between / within + n - 1) / n)


def _effective_size(x: np.ndarray) -> np.ndarray:
    dim, n_chains, n = x.shape
    if n < 2:
        return np.full(dim, np.nan)
    means = x.mean(axis=2)
    power = np.abs(np.fft.rfft(x - means[..., None], n=2 * n)) ** 2
    covariance = np.fft.irfft(power.mean(axis=1))[:, :n] / n  # (dim, lag)
    total = covariance[:, 0] + (means.var(axis=1, ddof=1) if n_chains > 1 else 0.0)
    moving = np.ptp(x, axis=(1, 2)) > RESOLUTION
    total = np.where(moving, total, 1.0)
    correlation = 1.0 - (covariance[:, :1] * n / (n - 1) - covariance) / total[:, None]
    correlation[:, 0] = 1.0
    n_total = n_chains * n
    time = np.maximum(_integrated_time(correlation), 1.0 / np.log10(n_total))
    return np.where(moving, n_total / time, float(n_total))


def _integrated_time(correlation: np.ndarray) -> np.ndarray:
    """Sum of the correlations at all lags, of shape (dim, lag), by Geyer's initial monotone sequence of pairs."""
    n_pairs = max(1, (correlation.shape[1] - 1) // 2)  # the last lags are too noisy to be looked at
    even, odd = correlation[:, : 2 * n_pairs : 2], correlation[:, 1 : 2 * n_pairs : 2]
    pairs = even + odd
    ended = pairs <= 0
    has_end = ended.any(axis=1)
    end = np.where(has_end, ended.argmax(axis=1), n_pairs - 1)  # of the sequence, for each coordinate
    longest = int(end.max())
    inside = np.arange(longest)[None] < end[:, None]
    monotone = np.minimum.accumulate(np.where(inside, pairs[:, :longest], np.inf), axis=1)
    last = np.take_along_axis(even, end[:, None], axis=1)[:, 0]
    last = np.where(has_end, np.maximum(last, 0.0), last)
    return -1.0 + 2.0 * np.where(inside, monotone, 0.0).sum(axis=1) + last
