"""The metric: how the shape of a posterior enters a trajectory.

Momenta are kept whitened, p = L^T v with the inverse mass L L^T and the usual momentum v: they are standard normal, the
kinetic energy is half their square, and turns are told by their plain inner products, whatever the metric. Only `kick`
and `drift` know L: a scale for each coordinate; a lower triangle, kept by rows and, behind them, by columns; or a scale
S and a few orthogonal directions U that are stretched by factors 1 + f, L = S (I + U f U').
"""

from __future__ import annotations

from probad.mcmc.rows import inner_product
from probad.mcmc.workspace import (
    DENSE,
    DIRECTIONS,
    FORM,
    LOW_RANK,
    N_DIRECTIONS,
    SCALE,
    STRETCHES,
    UNIT_DIRECTIONS,
)


def kick(rows, counts, metric, momentum, gradient, step, dim):
    """Change the momentum: p += step L^T grad_logp.

    Parameters
    ----------
    rows : (n_rows * dim,) array
    counts : (N_COUNTS,) integer array
    metric : array
        What L is made of besides the scale, see `probad.mcmc.workspace.Workspace`.
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
        if counts[FORM] == LOW_RANK:
            add_directions(rows, counts, metric, p, g, DIRECTIONS * dim, UNIT_DIRECTIONS * dim, step, dim)


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
        if counts[FORM] == LOW_RANK:
            add_directions(rows, counts, metric, q, p, UNIT_DIRECTIONS * dim, DIRECTIONS * dim, step, dim)


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


def add_directions(rows, counts, metric, target, source, seen, moved, step, dim):
    """Add what each direction is stretched by: the vector at place `target` moves along the directions at `moved`.

    How far tells the share of the vector at place `source` in the directions at `seen`. They are taken four at a time:
    their number is a multiple of 4, since some may be zero.
    """
    for first in range(0, counts[N_DIRECTIONS], 4):
        f = STRETCHES * dim + first
        u = seen + first * dim
        a0 = step * metric[f] * inner_product(metric, u, rows, source, dim)
        a1 = step * metric[f + 1] * inner_product(metric, u + dim, rows, source, dim)
        a2 = step * metric[f + 2] * inner_product(metric, u + 2 * dim, rows, source, dim)
        a3 = step * metric[f + 3] * inner_product(metric, u + 3 * dim, rows, source, dim)
        m = moved + first * dim
        for i in range(dim):
            rows[target + i] = rows[target + i] + (
                (a0 * metric[m + i] + a1 * metric[m + dim + i])
                + (a2 * metric[m + 2 * dim + i] + a3 * metric[m + 3 * dim + i])
            )
