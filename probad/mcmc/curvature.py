"""A Riemannian metric inside the kernels: a point with its metric, velocities, and forces.

A block of rows holds a point: its position, gradient and log density, and of the matrix A there the eigenvectors v_k
(as rows), the eigenvalues l_k, and what the metric G = sum of f(l_k) v_k v_k' is made of: f(l_k) and slopes f'(l_k).

With softening a, f(l) = l coth(a l), a smooth absolute value (SoftAbs); with none, f(l) = l, and A must be positive
definite. Derivatives of functions of G are contractions of the derivative of A: with J_kl = (f_k - f_l) / (l_k - l_l),
f'(l_k) where both are equal, and u = f^-1 v' p,

    d log det G = <sum of f'_k / f_k v_k v_k', dA>       d (p' G^-1 p) = -<sum of J_kl u_k u_l v_k v_l', dA>

Source: Betancourt, "A general metric for Riemannian manifold Hamiltonian Monte Carlo" (2013), arXiv:1212.4693.
"""

from __future__ import annotations

import math

from probad.mcmc.intrinsics import CONTRACTION, FIELD, evaluate_geometry
from probad.mcmc.matrices import diagonalise, dot
from probad.mcmc.rows import copy_row
from probad.mcmc.workspace import N_CONTRACTIONS, N_FIELDS, SOFTENING, STACK

PLACE, SLOPE, MATRIX = 0, 1, 2  # rows of a block; behind the matrix the log density, then what follows, by `end_of`
VECTORS, EIGENVALUES, SOFTENED, RATES = 1, 2, 3, 4  # VECTORS are dim rows, the others follow them
FEW = 3  # blocks: where the chain is, and both ends of a step
CLOSE = 1e-5  # eigenvalues closer than that, relatively, take the slope for the ratio of differences


def rows_of_a_block(dim):
    """Rows of one point."""
    return 2 * dim + 6


def block(number, dim):
    """First row of a block."""
    return STACK + 3 + number * rows_of_a_block(dim)


def weights_row(dim):
    """First of the rows that a contraction reads: a position and a matrix; a matrix of scratch follows."""
    return block(FEW, dim)


def n_more_rows(dim):
    """Rows of a workspace behind those that all samplers have."""
    return FEW * rows_of_a_block(dim) + 2 * dim + 6


def end_of(point, dim):
    """The row of the log density in a block, in its first place."""
    return point + MATRIX + dim


def is_known(rows, point, position, dim):
    """Whether a block belongs to the position in a row."""
    known = rows[(end_of(point, dim) + SOFTENED + dim - 1) * dim] > 0.0
    for i in range(dim):
        if rows[(point + PLACE) * dim + i] != rows[position * dim + i]:
            known = False
    return known


def copy_block(rows, source, target, dim):
    """Copy all of a point."""
    for i in range(rows_of_a_block(dim) * dim):
        rows[target * dim + i] = rows[source * dim + i]


# --- the metric at a point --------------------------------------------------------------------------------------------
def softened(x, softening):
    """The smooth absolute value of an eigenvalue."""
    if softening == 0.0:
        return x
    y = abs(softening * x)
    if y < 0.01:
        return (1.0 + y * y / 3.0 - y * y * y * y / 45.0) / softening
    e = math.exp(-2.0 * y)
    return abs(x) * (1.0 + e) / (1.0 - e)


def rate(x, softening):
    """The derivative of `softened`."""
    if softening == 0.0:
        return 1.0
    y = abs(softening * x)
    size = 0.0
    if y < 0.01:
        size = y * (2.0 / 3.0 - y * y * (4.0 / 45.0 - y * y * 4.0 / 315.0))
    else:
        e = math.exp(-2.0 * y)
        size = (1.0 + e) / (1.0 - e) - 4.0 * y * e / ((1.0 - e) * (1.0 - e))
    if x < 0.0:
        return -size
    return size


def ratio(a, b, fa, fb, softening):
    """Difference of two softened eigenvalues over that of the eigenvalues themselves."""
    if softening == 0.0:
        return 1.0
    if abs(a - b) <= CLOSE * (abs(a) + abs(b) + 1.0 / softening):
        return rate(0.5 * (a + b), softening)
    return (fa - fb) / (a - b)


def locate(address, ctx, rows, scalars, counts, point, dim):
    """Evaluate a block at its position: log density, gradient, and the metric by its eigenvectors.

    Returns
    -------
    int
        0; 1 where there is no finite density or no positive definite metric; 2 if the density failed.
    """
    end = end_of(point, dim)
    counts[N_FIELDS] = counts[N_FIELDS] + 1
    rows[(end + SOFTENED + dim - 1) * dim] = 0.0
    status = evaluate_geometry(address, ctx, FIELD, rows, point + PLACE, point + SLOPE, dim)
    if status != 0:
        return status
    matrix = (point + MATRIX) * dim
    diagonalise(rows, matrix, (end + VECTORS) * dim, dim)
    values = (end + EIGENVALUES + dim - 1) * dim
    for k in range(dim):
        x = rows[matrix + k * dim + k]
        f = softened(x, scalars[SOFTENING])
        if not (f > 0.0 and f < math.inf):
            status = 1
        rows[values + k] = x
        rows[values + dim + k] = f
        rows[values + 2 * dim + k] = rate(x, scalars[SOFTENING])
    if status != 0:
        rows[values + dim] = 0.0
    return status


def log_volume(rows, point, dim):
    """Half the logarithm of the determinant of the metric."""
    place = (end_of(point, dim) + SOFTENED + dim - 1) * dim
    total = 0.0
    for k in range(dim):
        total = total + math.log(rows[place + k])
    return 0.5 * total


def to_eigenvectors(rows, point, vector, result, power, dim):
    """Write f^power v' x to a row: the components of a vector along the eigenvectors, scaled."""
    end = end_of(point, dim)
    f = (end + SOFTENED + dim - 1) * dim
    for k in range(dim):
        component = dot(rows, (end + VECTORS + k) * dim, vector * dim, dim)
        rows[result * dim + k] = component * math.pow(rows[f + k], power)


def from_eigenvectors(rows, point, components, result, power, step, dim):
    """Add step times the sum of f^power x_k v_k, of the components x, to a row."""
    end = end_of(point, dim)
    f = (end + SOFTENED + dim - 1) * dim
    for k in range(dim):
        factor = step * rows[components * dim + k] * math.pow(rows[f + k], power)
        v = (end + VECTORS + k) * dim
        for i in range(dim):
            rows[result * dim + i] = rows[result * dim + i] + factor * rows[v + i]


def force(address, ctx, rows, scalars, counts, point, momentum, components, result, dim):
    """Write the derivative of the Hamiltonian by position, at a point and a momentum, to a row.

    Half the difference of the two contractions above, minus the gradient. `components` is a row of scratch.

    Returns
    -------
    int
        The status of the geometry.
    """
    end = end_of(point, dim)
    values = (end + EIGENVALUES + dim - 1) * dim
    vectors = (end + VECTORS) * dim
    weights = weights_row(dim)
    matrix = (weights + 1) * dim
    product = (weights + 1 + dim) * dim
    a = scalars[SOFTENING]
    to_eigenvectors(rows, point, momentum, components, -1.0, dim)
    u = components * dim
    for k in range(dim):
        row = product + k * dim
        for i in range(dim):
            rows[row + i] = rows[values + 2 * dim + k] / rows[values + dim + k] * rows[vectors + k * dim + i]
        for m in range(dim):
            j = ratio(rows[values + k], rows[values + m], rows[values + dim + k], rows[values + dim + m], a)
            factor = j * rows[u + k] * rows[u + m]
            for i in range(dim):
                rows[row + i] = rows[row + i] - factor * rows[vectors + m * dim + i]
    for i in range(dim * dim):
        rows[matrix + i] = 0.0
    for k in range(dim):
        for i in range(dim):
            factor = 0.5 * rows[vectors + k * dim + i]
            for m in range(dim):
                rows[matrix + i * dim + m] = rows[matrix + i * dim + m] + factor * rows[product + k * dim + m]
    copy_row(rows, point + PLACE, weights, dim)
    counts[N_CONTRACTIONS] = counts[N_CONTRACTIONS] + 1
    status = evaluate_geometry(address, ctx, CONTRACTION, rows, weights, result, dim)
    if status == 0:
        for i in range(dim):
            rows[result * dim + i] = rows[result * dim + i] - rows[(point + SLOPE) * dim + i]
    return status
