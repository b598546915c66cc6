"""Estimates of the metric from the warm-up: from the draws alone, as Stan does, or from draws and gradients.

Draws tell the covariance of a posterior, gradients its inverse: each suffices where it is normal, and the geometric
mean of the two estimates is much better than either. In a scale in which draws and gradients have equal variances, with
A the second moments of draws and P those of gradients, the inverse mass is the matrix M with M P M = A.

Source: Seyboldt, Carlson and Carpenter, "Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence"
(2026), for the criterion.
"""

from __future__ import annotations

import math

from probad.mcmc.low_rank import PRIOR, refine_scale, take_directions
from probad.mcmc.matrices import cholesky, geometric_mean
from probad.mcmc.rows import padded
from probad.mcmc.workspace import (
    ADAPTATION,
    BY_DRAWS,
    DECISION,
    DENSE,
    FORM,
    INVERSE_MASS,
    LOW_RANK,
    ROOM,
    SCALE,
    WORTHWHILE,
)

LATEST = 3  # times as many iterations as before the first decision on the form of the metric are there before the last
STAN_PRIOR = 5.0  # draws for which a small multiple of the unit matrix counts, as in Stan
SMALLEST, LARGEST = 1e-20, 1e20  # of the elements of a diagonal inverse mass


def renew_metric(rows, scalars, counts, metric, draws, gradients, work, start, end, dim):
    """Estimate the metric from the iterations from `start` to before `end`; where they do not tell, it stays.

    Parameters
    ----------
    rows, scalars, counts, metric, draws, gradients, work
        The arrays of a `probad.mcmc.workspace.Workspace`.
    start, end : int
    dim : int
    """
    if end - start < 2:
        return
    note_moments(draws, work, 0, dim, start, end, dim)
    if counts[ADAPTATION] == BY_DRAWS:
        if counts[FORM] == DENSE:
            take_covariance(metric, draws, work, start, end, dim)
        else:
            take_variances(rows, work, end - start, dim)
    else:
        note_moments(gradients, work, 2 * dim, 3 * dim, start, end, dim)
        if counts[FORM] == DENSE:
            take_geometric_mean(metric, draws, gradients, work, start, end, dim)
        else:
            take_ratios(rows, work, dim)
            if counts[FORM] == LOW_RANK:
                take_directions(rows, counts, metric, draws, gradients, work, start, end, dim)
                refine_directions(rows, counts, metric, draws, gradients, work, start, end, dim)
            elif is_to_decide(counts, end):
                decide_on_form(rows, scalars, counts, metric, draws, gradients, work, start, end, dim)


def is_to_decide(counts, end):
    """Whether a diagonal metric that is renewed before iteration `end` may take another form."""
    first = counts[DECISION]
    return first >= 0 and end > first and end <= LATEST * (first + 1)


def refine_directions(rows, counts, metric, draws, gradients, work, start, end, dim):
    """Take the scale again that the directions leave, and the directions in that scale."""
    if refine_scale(rows, counts, metric, draws, gradients, work, start, end, dim):
        take_directions(rows, counts, metric, draws, gradients, work, start, end, dim)


def decide_on_form(rows, scalars, counts, metric, draws, gradients, work, start, end, dim):
    """Take the form that there is room for if the posterior is so much longer than wide that it pays."""
    longer = take_directions(rows, counts, metric, draws, gradients, work, start, end, dim)
    if longer > scalars[WORTHWHILE]:
        if counts[ROOM] == LOW_RANK:
            counts[FORM] = LOW_RANK
            refine_directions(rows, counts, metric, draws, gradients, work, start, end, dim)
        elif take_geometric_mean(metric, draws, gradients, work, start, end, dim):
            counts[FORM] = DENSE


def adopt_variance(rows, inverse_mass, i, dim):
    """Make a number the inverse mass of coordinate `i`."""
    rows[INVERSE_MASS * dim + i] = inverse_mass
    rows[SCALE * dim + i] = math.sqrt(inverse_mass)


def pack_factor(metric, dim):
    """Keep the factor as `probad.mcmc.metrics` reads it, by rows and by columns, behind itself."""
    width = padded(dim)
    by_rows = dim * dim
    by_columns = by_rows + dim * width
    for i in range(dim):
        for j in range(dim):
            metric[by_rows + i * width + j] = metric[i * dim + j]
            metric[by_columns + j * width + i] = metric[i * dim + j]


# --- moments of a window ----------------------------------------------------------------------------------------------
def note_moments(table, work, mean, square, start, end, dim):
    """Write mean and mean square deviation of rows of a table to places `mean` and `square`."""
    n = float(end - start)
    for i in range(dim):
        work[mean + i] = 0.0
        work[square + i] = 0.0
    for k in range(start, end):
        for i in range(dim):
            work[mean + i] = work[mean + i] + table[k * dim + i]
    for i in range(dim):
        work[mean + i] = work[mean + i] / n
    for k in range(start, end):
        for i in range(dim):
            deviation = table[k * dim + i] - work[mean + i]
            work[square + i] = work[square + i] + deviation * deviation
    for i in range(dim):
        work[square + i] = work[square + i] / n


def add_second_moments(table, work, mean, factor, prior, block, matrix, start, end, dim):
    """Sum the outer products of the deviations, times the vector at `factor`, to a lower triangle, four at a time.

    `block` is the place of four rows of scratch, `matrix` that of the result, to which `prior` unit matrices are added;
    then it is divided by the number of draws and those.
    """
    for i in range(dim):
        for j in range(dim):
            work[matrix + i * dim + j] = 0.0
    for first in range(start, end, 4):
        for b in range(4):
            k = first + b
            for i in range(dim):
                work[block + b * dim + i] = 0.0
            if k < end:
                for i in range(dim):
                    work[block + b * dim + i] = (table[k * dim + i] - work[mean + i]) * work[factor + i]
        for i in range(dim):
            x0 = work[block + i]
            x1 = work[block + dim + i]
            x2 = work[block + 2 * dim + i]
            x3 = work[block + 3 * dim + i]
            row = matrix + i * dim
            for j in range(i + 1):
                work[row + j] = work[row + j] + (
                    (x0 * work[block + j] + x1 * work[block + dim + j])
                    + (x2 * work[block + 2 * dim + j] + x3 * work[block + 3 * dim + j])
                )
    total = float(end - start) + prior
    for i in range(dim):
        row = matrix + i * dim
        for j in range(i):
            work[row + j] = work[row + j] / total
        work[row + i] = (work[row + i] + prior) / total


# --- from draws: Stan's estimates ------------------------------------------------------------------------------------
def take_variances(rows, work, n_draws, dim):
    """The variances of the draws, shrunk towards 1e-3 as Stan does: n of n + 5 parts."""
    n = float(n_draws)
    weight = n / (n + STAN_PRIOR)
    for i in range(dim):
        variance = work[dim + i] * n / (n - 1.0)
        adopt_variance(rows, weight * variance + 1e-3 * (1.0 - weight), i, dim)


def take_covariance(metric, draws, work, start, end, dim):
    """The covariance of the draws, shrunk towards 1e-3 times the unit matrix as Stan does."""
    n = float(end - start)
    ones = 4 * dim
    block = 5 * dim
    matrix = block + 4 * dim
    for i in range(dim):
        work[ones + i] = 1.0
    add_second_moments(draws, work, 0, ones, 0.0, block, matrix, start, end, dim)
    weight = n / (n + STAN_PRIOR)
    for i in range(dim):
        row = matrix + i * dim
        for j in range(i + 1):
            work[row + j] = weight * work[row + j] * n / (n - 1.0)
        work[row + i] = work[row + i] + 1e-3 * (1.0 - weight)
    if cholesky(work, matrix, dim):
        take_factor(metric, work, matrix, dim)


# --- from draws and gradients -----------------------------------------------------------------------------------------
def take_ratios(rows, work, dim):
    """The diagonal metric: the root of the variance of a coordinate over that of its derivative."""
    for i in range(dim):
        spread = work[dim + i]
        steepness = work[3 * dim + i]
        inverse_mass = math.sqrt(spread / max(steepness, 1e-300))
        if steepness == 0.0:  # a straight slope tells nothing
            inverse_mass = spread
        if inverse_mass > SMALLEST and inverse_mass < LARGEST:
            adopt_variance(rows, inverse_mass, i, dim)


def take_geometric_mean(metric, draws, gradients, work, start, end, dim):
    """The dense metric: M with M P M = A.

    Returns
    -------
    bool
        Whether draws and gradients tell the metric; if not, it stays.
    """
    scale = 4 * dim
    inverse_scale = 5 * dim
    norms = 6 * dim
    block = 7 * dim
    r = block + 4 * dim
    k = r + dim * dim
    g = k + dim * dim
    for i in range(dim):
        spread = work[dim + i]
        steepness = work[3 * dim + i]
        s = math.pow(spread / max(steepness, 1e-300), 0.25)
        if steepness == 0.0:
            s = math.sqrt(spread)
        if not (s > 1e-10 and s < 1e10):
            return False
        work[scale + i] = s
        work[inverse_scale + i] = 1.0 / s
    add_second_moments(draws, work, 0, inverse_scale, PRIOR, block, r, start, end, dim)
    add_second_moments(gradients, work, 2 * dim, scale, PRIOR, block, k, start, end, dim)
    if not (geometric_mean(work, r, k, g, norms, dim) and cholesky(work, g, dim)):
        return False
    for i in range(dim):  # in the units of the coordinates
        for j in range(i + 1):
            work[g + i * dim + j] = work[scale + i] * work[g + i * dim + j]
    take_factor(metric, work, g, dim)
    return True


def take_factor(metric, work, matrix, dim):
    """Make a Cholesky factor that of the inverse mass."""
    for i in range(dim * dim):
        metric[i] = work[matrix + i]
    pack_factor(metric, dim)
