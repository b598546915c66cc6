"""The diagonal metric: momenta drawn from it, and its estimate from the draws of a warm-up window."""

from __future__ import annotations

import math

from probad.mcmc.random import fill_normal
from probad.mcmc.workspace import (
    INVERSE_MASS,
    MOMENTUM,
    MOMENTUM_SCALE,
    POSITION,
    WELFORD_COUNT,
    WELFORD_MEAN,
    WELFORD_SUM,
)


def draw_momentum(rows, random, dim):
    """Draw the momentum from a normal distribution whose covariance is the mass."""
    fill_normal(random, rows, MOMENTUM, dim)
    for i in range(dim):
        rows[MOMENTUM, i] = rows[MOMENTUM, i] * rows[MOMENTUM_SCALE, i]


def welford_add(rows, counts, dim):
    """Add the position to the running mean and sum of squares.

    Source: Welford, Technometrics 4 (1962) 419.
    """
    counts[WELFORD_COUNT] = counts[WELFORD_COUNT] + 1
    n = counts[WELFORD_COUNT]
    for i in range(dim):
        delta = rows[POSITION, i] - rows[WELFORD_MEAN, i]
        mean = rows[WELFORD_MEAN, i] + delta / n
        rows[WELFORD_MEAN, i] = mean
        rows[WELFORD_SUM, i] = rows[WELFORD_SUM, i] + delta * (rows[POSITION, i] - mean)


def welford_reset(rows, counts, dim):
    """Forget all draws."""
    counts[WELFORD_COUNT] = 0
    for i in range(dim):
        rows[WELFORD_MEAN, i] = 0.0
        rows[WELFORD_SUM, i] = 0.0


def adopt_variances(rows, counts, dim):
    """Make the variances of the window the inverse mass, shrunk towards 1e-3 as Stan does: n of n + 5 parts."""
    n = counts[WELFORD_COUNT]
    if n < 2:
        return
    weight = n / (n + 5.0)
    for i in range(dim):
        variance = weight * rows[WELFORD_SUM, i] / (n - 1.0) + 1e-3 * (1.0 - weight)
        rows[INVERSE_MASS, i] = variance
        rows[MOMENTUM_SCALE, i] = 1.0 / math.sqrt(variance)
