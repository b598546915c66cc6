"""The metric: how the shape of a posterior enters a trajectory.

Momenta are kept whitened, p = L^T v with the inverse mass L L^T and the usual momentum v: they are standard normal, the
kinetic energy is half their square, and turns are told by their plain inner products, whatever the metric. Only
`whiten_gradient` and `drift` know L: a scale for each coordinate; a lower triangle, which is kept for them by rows and
by columns with padding; or a scale S and a few orthogonal directions U that are stretched by factors 1 + f,
L = S (I + U f U').
"""

from __future__ import annotations

from probad.mcmc.rows import inner_product, padded
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


def whiten_gradient(rows, counts, metric, gradient, force, dim):
    """The force on a whitened momentum: L^T grad_logp.

    Parameters
    ----------
    rows : (n_rows * dim,) array
    counts : (N_COUNTS,) integer array
    metric : array
        What L is made of besides the scale, see `probad.mcmc.workspace.Workspace`.
    gradient, force : int
        Row that is read, row that is written.
    dim : int
    """
    g = gradient * dim
    f = force * dim
    if counts[FORM] == DENSE:
        add_lower_transposed(rows, metric, f, g, dim)
    else:
        s = SCALE * dim
        for i in range(dim):
            rows[f + i] = rows[s + i] * rows[g + i]
        if counts[FORM] == LOW_RANK:
            add_directions(rows, counts, metric, f, g, DIRECTIONS * dim, UNIT_DIRECTIONS * dim, 1.0, dim)


def kick(rows, momentum, force, step, dim):
    """Change the momentum: p += step force."""
    p = momentum * dim
    f = force * dim
    for i in range(dim):
        rows[p + i] = rows[p + i] + step * rows[f + i]


def drift(rows, counts, metric, position, momentum, step, dim):
    """Change the position: q += step L p; the other arguments are those of `whiten_gradient`."""
    q = position * dim
    p = momentum * dim
    if counts[FORM] == DENSE:
        add_lower(rows, metric, q, p, step, dim)
    else:
        s = SCALE * dim
        for i in range(dim):
            rows[q + i] = rows[q + i] + step * rows[s + i] * rows[p + i]
        if counts[FORM] == LOW_RANK:
            add_directions(rows, counts, metric, q, p, UNIT_DIRECTIONS * dim, DIRECTIONS * dim, step, dim)


def add_lower(rows, metric, target, source, step, dim):
    """Add `step` times L times the vector at place `source` to that at place `target`."""
    columns = dim * (dim + padded(dim))
    for i in range(0, dim, 8):
        add_eight(rows, metric, target, source, columns, i, 0, min(i + 8, dim), step, dim)


def add_lower_transposed(rows, metric, target, source, dim):
    """Write L^T times the vector at place `source` to place `target`."""
    for i in range(dim):
        rows[target + i] = 0.0
    for i in range(0, dim, 8):
        add_eight(rows, metric, target, source, dim * dim, i, i, dim, 1.0, dim)


def add_eight(rows, metric, target, source, matrix, i, first, last, step, dim):
    """Add `step` times up to eight columns of a matrix times a vector to a vector.

    Parameters
    ----------
    rows, metric : arrays
    target, source : int
        Places of the vectors in `rows`.
    matrix : int
        Place of the matrix in `metric`, whose rows are `padded`.
    i : int
        The first of the columns.
    first, last : int
        Rows from `first` to before `last` count, the others are zero. They are taken in pairs, since the sums of one
        pair wait for those of the one before.
    step : float
    dim : int
    """
    s0 = 0.0
    s1 = 0.0
    s2 = 0.0
    s3 = 0.0
    s4 = 0.0
    s5 = 0.0
    s6 = 0.0
    s7 = 0.0
    width = padded(dim)
    pairs = last - (last - first) % 2
    for k in range(first, pairs, 2):
        x = rows[source + k]
        y = rows[source + k + 1]
        m = matrix + k * width + i
        n = m + width
        s0 = s0 + (x * metric[m] + y * metric[n])
        s1 = s1 + (x * metric[m + 1] + y * metric[n + 1])
        s2 = s2 + (x * metric[m + 2] + y * metric[n + 2])
        s3 = s3 + (x * metric[m + 3] + y * metric[n + 3])
        s4 = s4 + (x * metric[m + 4] + y * metric[n + 4])
        s5 = s5 + (x * metric[m + 5] + y * metric[n + 5])
        s6 = s6 + (x * metric[m + 6] + y * metric[n + 6])
        s7 = s7 + (x * metric[m + 7] + y * metric[n + 7])
    for k in range(pairs, last):
        x = rows[source + k]
        m = matrix + k * width + i
        s0 = s0 + x * metric[m]
        s1 = s1 + x * metric[m + 1]
        s2 = s2 + x * metric[m + 2]
        s3 = s3 + x * metric[m + 3]
        s4 = s4 + x * metric[m + 4]
        s5 = s5 + x * metric[m + 5]
        s6 = s6 + x * metric[m + 6]
        s7 = s7 + x * metric[m + 7]
    t = target + i
    n_left = dim - i
    rows[t] = rows[t] + step * s0
    if n_left > 1:
        rows[t + 1] = rows[t + 1] + step * s1
    if n_left > 2:
        rows[t + 2] = rows[t + 2] + step * s2
    if n_left > 3:
        rows[t + 3] = rows[t + 3] + step * s3
    if n_left > 4:
        rows[t + 4] = rows[t + 4] + step * s4
    if n_left > 5:
        rows[t + 5] = rows[t + 5] + step * s5
    if n_left > 6:
        rows[t + 6] = rows[t + 6] + step * s6
    if n_left > 7:
        rows[t + 7] = rows[t + 7] + step * s7


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
