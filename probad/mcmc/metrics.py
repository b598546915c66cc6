"""The metric: how the shape of a posterior enters a trajectory.

Momenta are kept whitened, p = L^T v with the inverse mass L L^T and the usual momentum v: they are standard normal, the
kinetic energy is half their square, and turns are told by their plain inner products, whatever the metric. Only `kick`
and `drift` know L: a scale for each coordinate, or a lower triangle, kept by rows and, behind them, by columns.
"""

from __future__ import annotations

from probad.mcmc.workspace import DENSE, FORM, SCALE


def kick(rows, counts, metric, momentum, gradient, step, dim):
    """Change the momentum: p += step L^T grad_logp.

    Parameters
    ----------
    rows : (n_rows * dim,) array
    counts : (N_COUNTS,) integer array
    metric : (2 * dim * dim,) array
        The factor L by rows and by columns, if the metric is dense.
    momentum, gradient : int
        Row that changes, row that is read.
    step : float
    dim : int
    """
    p = momentum * dim
    g = gradient * dim
    if counts[FORM] == DENSE:
        add_rows(rows, metric, p, g, step, dim)
    else:
        s = SCALE * dim
        for i in range(dim):
            rows[p + i] = rows[p + i] + step * rows[s + i] * rows[g + i]


def drift(rows, counts, metric, position, momentum, step, dim):
    """Change the position: q += step L p; the arguments are those of `kick`."""
    q = position * dim
    p = momentum * dim
    if counts[FORM] == DENSE:
        add_columns(rows, metric, q, p, step, dim)
    else:
        s = SCALE * dim
        for i in range(dim):
            rows[q + i] = rows[q + i] + step * rows[s + i] * rows[p + i]


def add_rows(rows, metric, p, g, step, dim):
    """Add the sum of the rows of L, each times `step` and an element from place `g`, to the vector at place `p`.

    Four rows at a time: the zeros right of the diagonal of three of them are added as well.
    """
    whole = dim // 4 * 4
    for i in range(0, whole, 4):
        a0 = step * rows[g + i]
        a1 = step * rows[g + i + 1]
        a2 = step * rows[g + i + 2]
        a3 = step * rows[g + i + 3]
        m = i * dim
        for j in range(i + 4):
            rows[p + j] = rows[p + j] + (
                (a0 * metric[m + j] + a1 * metric[m + dim + j])
                + (a2 * metric[m + 2 * dim + j] + a3 * metric[m + 3 * dim + j])
            )
    for i in range(whole, dim):
        a = step * rows[g + i]
        m = i * dim
        for j in range(i + 1):
            rows[p + j] = rows[p + j] + a * metric[m + j]


def add_columns(rows, metric, q, p, step, dim):
    """Add the sum of the columns of L, each times `step` and an element from place `p`, to the vector at place `q`."""
    columns = dim * dim
    whole = dim // 4 * 4
    for j in range(0, whole, 4):
        a0 = step * rows[p + j]
        a1 = step * rows[p + j + 1]
        a2 = step * rows[p + j + 2]
        a3 = step * rows[p + j + 3]
        m = columns + j * dim
        for i in range(j, dim):
            rows[q + i] = rows[q + i] + (
                (a0 * metric[m + i] + a1 * metric[m + dim + i])
                + (a2 * metric[m + 2 * dim + i] + a3 * metric[m + 3 * dim + i])
            )
    for j in range(whole, dim):
        a = step * rows[p + j]
        m = columns + j * dim
        for i in range(j, dim):
            rows[q + i] = rows[q + i] + a * metric[m + i]
