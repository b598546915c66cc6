"""The diagonal metric: how it enters a trajectory, and its estimate from the draws of a warm-up window.

Momenta are kept whitened, p = L^T v with the inverse mass L L^T and the usual momentum v: they are standard normal, the
kinetic energy is half their square, and turns are told by their plain inner products, whatever the metric. Only `kick`
and `drift` know L. A metric of another form is another such pair and another estimate.
"""

from __future__ import annotations

import math

from probad.mcmc.workspace import INVERSE_MASS, POSITION, SCALE, WELFORD_COUNT, WELFORD_MEAN, WELFORD_SUM


def kick(rows, momentum, gradient, step, dim):
    """Change the momentum: p += step L^T grad_logp.

    Parameters
    ----------
    rows : (n_rows * dim,) array
    momentum, gradient : int
        Row that changes, row that is read.
    step : float
    dim : int
    """
    p = momentum * dim
    g = gradient * dim
    s = SCALE * dim
    for i in range(dim):
        rows[p + i] = rows[p + i] + step * rows[s + i] * rows[g + i]


def drift(rows, position, momentum, step, dim):
    """Change the position: q += step L p; the arguments are those of `kick`."""
    q = position * dim
    p = momentum * dim
    s = SCALE * dim
    for i in range(dim):
        rows[q + i] = rows[q + i] + step * rows[s + i] * rows[p + i]


def welford_add(rows, counts, dim):
    """Add the position to the running mean and sum of squares.

    Source: Welford, Technometrics 4 (1962) 419.
    """
    counts[WELFORD_COUNT] = counts[WELFORD_COUNT] + 1
    n = float(counts[WELFORD_COUNT])
    q = POSITION * dim
    m = WELFORD_MEAN * dim
    w = WELFORD_SUM * dim
    for i in range(dim):
        x = rows[q + i]
        delta = x - rows[m + i]
        mean = rows[m + i] + delta / n
        rows[m + i] = mean
        rows[w + i] = rows[w + i] + delta * (x - mean)


def welford_reset(rows, counts, dim):
    """Forget all draws."""
    counts[WELFORD_COUNT] = 0
    m = WELFORD_MEAN * dim
    w = WELFORD_SUM * dim
    for i in range(dim):
        rows[m + i] = 0.0
        rows[w + i] = 0.0


def adopt_variances(rows, counts, dim):
    """Make the variances of the window the inverse mass, shrunk towards 1e-3 as Stan does: n of n + 5 parts."""
    n = float(counts[WELFORD_COUNT])
    if n >= 2.0:
        weight = n / (n + 5.0)
        w = WELFORD_SUM * dim
        for i in range(dim):
            variance = weight * rows[w + i] / (n - 1.0) + 1e-3 * (1.0 - weight)
            rows[INVERSE_MASS * dim + i] = variance
            rows[SCALE * dim + i] = math.sqrt(variance)
