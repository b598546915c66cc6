"""How much chains have to say: effective sample sizes, for choosing between samplers while they run.

Reports on results take ArviZ's; this one needs no result object and works on all coordinates at once.
"""

from __future__ import annotations

import numpy as np


def effective_sample_size(draws: np.ndarray) -> np.ndarray:
    """Effective number of independent draws for the mean of each coordinate.

    Parameters
    ----------
    draws : (n_chains, n_draws, dim) array

    Returns
    -------
    (dim,) array
        At most ``n log10(n)`` for n draws in all, as for antithetic chains; 1 for a coordinate that does not move.

    Source: Gelman et al., Bayesian Data Analysis (2013), section 11.5, with the initial monotone sequence of Geyer,
    Statistical Science 7 (1992) 473.
    """
    n_chains, n, dim = draws.shape
    centred = draws - draws.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * n, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n].mean(axis=0) / n  # (lag, dim)
    within = covariance[0] * n / (n - 1)
    between = draws.mean(axis=1).var(axis=0, ddof=1) if n_chains > 1 else np.zeros(dim)
    total = covariance[0] + between
    moving = total > 0
    correlation = 1.0 - (within - covariance * n / (n - 1)) / np.where(moving, total, 1.0)
    correlation[0] = 1.0
    pairs = correlation[: n // 2 * 2].reshape(-1, 2, dim).sum(axis=1)
    positive = np.logical_and.accumulate(pairs > 0, axis=0)
    monotone = np.minimum.accumulate(np.where(positive, pairs, 0.0), axis=0)
    n_total = n_chains * n
    time = np.maximum(-1.0 + 2.0 * monotone.sum(axis=0), 1.0 / np.log10(n_total))
    return np.where(moving, n_total / time, 1.0)


def worst_efficiency(draws: np.ndarray, n_gradients: float) -> float:
    """Smallest effective sample size of any coordinate and of its squared deviation, per gradient."""
    squares = (draws - draws.mean(axis=(0, 1))) ** 2
    return float(min(effective_sample_size(draws).min(), effective_sample_size(squares).min()) / n_gradients)
