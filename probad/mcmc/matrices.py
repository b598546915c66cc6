"""Linear algebra for kernels on matrices in flat arrays: products, the Cholesky factor, orthogonal rows, a mean of two.

A matrix starts at a place in its array and is stored by rows. The dimension is that of a posterior whose whole
covariance is estimated, a hundred or so: plain loops over contiguous rows are as fast there as a library, need no
threads of their own, and give the same numbers on every machine.
"""

from __future__ import annotations

import math

from probad.mcmc.rows import inner_product

EIGEN_SWEEPS = 30  # six to ten are enough
SWEEPS = 12  # of rotations; six are enough for all but nearly singular matrices
DEPENDENT = 1e-8  # share of a row that others do not span below which it is rounding
ORTHOGONAL = 1e-9  # cosine between rows below which they count as orthogonal: a metric needs no more


def dot(array, a, b, n):
    """Inner product of `n` elements from place `a` and from place `b`."""
    return inner_product(array, a, array, b, n)


def cholesky(array, a, n):
    """Replace the lower triangle of a symmetric matrix by its Cholesky factor, and the rest by zeros.

    Returns
    -------
    bool
        Whether the matrix is positive definite, as far as floats tell; if not, it is left spoilt.
    """
    for i in range(n):
        row = a + i * n
        for j in range(i):
            other = a + j * n
            array[row + j] = (array[row + j] - dot(array, row, other, j)) / array[other + j]
        pivot = array[row + i] - dot(array, row, row, i)
        if not (pivot > 0.0 and pivot < math.inf):
            return False
        array[row + i] = math.sqrt(pivot)
        for j in range(i + 1, n):
            array[row + j] = 0.0
    return True


def transposed_product(array, a, b, result, n):
    """Write A' B, of two lower triangles, to `result`."""
    for i in range(n):
        row = result + i * n
        for j in range(n):
            array[row + j] = 0.0
        for k in range(i, n):
            factor = array[a + k * n + i]
            other = b + k * n
            for j in range(k + 1):
                array[row + j] = array[row + j] + factor * array[other + j]


def orthogonalise_rows(array, a, norms, n):
    """Rotate the rows of a matrix in pairs until they are orthogonal; write their squared lengths to place `norms`.

    The matrix becomes U' A with U orthogonal, so that A' A stays what it is.

    Source: Hestenes, J. SIAM 6 (1958) 51; the rotation as in Demmel and Veselic, SIAM J. Matrix Anal. 13 (1992) 1204.
    """
    rotated = True
    sweep = 0
    while rotated and sweep < SWEEPS:
        rotated = False
        sweep = sweep + 1
        for i in range(n):
            array[norms + i] = dot(array, a + i * n, a + i * n, n)
        for i in range(n - 1):
            p = a + i * n
            for j in range(i + 1, n):
                q = a + j * n
                alpha = array[norms + i]
                beta = array[norms + j]
                gamma = dot(array, p, q, n)
                if abs(gamma) > ORTHOGONAL * math.sqrt(alpha * beta):
                    rotated = True
                    zeta = (beta - alpha) / (2.0 * gamma)
                    t = 1.0 / (abs(zeta) + math.sqrt(1.0 + zeta * zeta))
                    if zeta < 0.0:
                        t = -t
                    c = 1.0 / math.sqrt(1.0 + t * t)
                    s = c * t
                    array[norms + i] = alpha - t * gamma
                    array[norms + j] = beta + t * gamma
                    for k in range(n):
                        x = array[p + k]
                        y = array[q + k]
                        array[p + k] = c * x - s * y
                        array[q + k] = s * x + c * y
    for i in range(n):
        array[norms + i] = dot(array, a + i * n, a + i * n, n)


def orthonormalise_rows(array, a, n_rows, n):
    """Make the rows of a matrix, of `n` columns, unit vectors at right angles that span the same space.

    Rows that others span already, up to rounding, are left out and the ones behind them move up.

    Returns
    -------
    int
        How many rows there are now.

    Source: Gram and Schmidt's process, twice, as Giraud, Langou and Rozloznik, Numer. Math. 101 (2005) 87, advise.
    """
    kept = 0
    for j in range(n_rows):
        row = a + j * n
        length = math.sqrt(dot(array, row, row, n))
        for _ in range(2):
            for i in range(kept):
                share = dot(array, a + i * n, row, n)
                for k in range(n):
                    array[row + k] = array[row + k] - share * array[a + i * n + k]
        rest = math.sqrt(dot(array, row, row, n))
        if rest > DEPENDENT * length and rest < math.inf:
            for k in range(n):
                array[a + kept * n + k] = array[row + k] / rest
            kept = kept + 1
    return kept


def geometric_mean(array, r, k, g, norms, n):
    """Write the lower triangle of the matrix M with M P M = A to place `g`; A is at place `r` and P at place `k`.

    With the Cholesky factors A = R R' and P = K K', and G = K' R, M is R (G' G)^(-1/2) R'. Rotations of the rows of G
    leave G' G as it is and make it the sum of g g' over orthogonal rows g, whose power -1/2 is that of g g' / |g|^3.

    Returns
    -------
    bool
        Whether there is one, as far as floats tell.
    """
    if not (cholesky(array, r, n) and cholesky(array, k, n)):
        return False
    transposed_product(array, k, r, g, n)
    orthogonalise_rows(array, g, norms, n)
    for i in range(n):
        if not (array[norms + i] > 0.0 and array[norms + i] < math.inf):
            return False
    for i in range(n):
        weight = math.pow(array[norms + i], -0.75)
        for j in range(n):
            array[k + i * n + j] = weight * dot(array, g + i * n, r + j * n, j + 1)
    for i in range(n):
        for j in range(n):
            array[g + i * n + j] = 0.0
    for row in range(n):
        place = k + row * n
        for i in range(n):
            factor = array[place + i]
            for j in range(i + 1):
                array[g + i * n + j] = array[g + i * n + j] + factor * array[place + j]
    return True


def diagonalise(array, a, v, n):
    """Replace a symmetric matrix by its eigenvalues, on the diagonal, and write the eigenvectors to the rows at `v`.

    Source: Jacobi's rotations, as in Golub and Van Loan, "Matrix Computations" (2013), section 8.5.
    """
    for i in range(n):
        for j in range(n):
            array[v + i * n + j] = 0.0
        array[v + i * n + i] = 1.0
    sweep = 0
    rotated = True
    while rotated and sweep < EIGEN_SWEEPS:
        rotated = False
        sweep = sweep + 1
        for i in range(n - 1):
            for j in range(i + 1, n):
                off = array[a + i * n + j]
                size = abs(array[a + i * n + i]) + abs(array[a + j * n + j])
                if abs(off) > 1e-16 * size and off != 0.0:
                    rotated = True
                    rotate(array, a, v, i, j, off, n)


def rotate(array, a, v, i, j, off, n):
    """One rotation of rows and columns i and j, after which element (i, j), that is `off`, is zero."""
    theta = (array[a + j * n + j] - array[a + i * n + i]) / (2.0 * off)
    t = 1.0 / (abs(theta) + math.sqrt(theta * theta + 1.0))
    if theta < 0.0:
        t = -t
    c = 1.0 / math.sqrt(t * t + 1.0)
    s = t * c
    for k in range(n):
        x = array[a + k * n + i]
        y = array[a + k * n + j]
        array[a + k * n + i] = c * x - s * y
        array[a + k * n + j] = s * x + c * y
    for k in range(n):
        x = array[a + i * n + k]
        y = array[a + j * n + k]
        array[a + i * n + k] = c * x - s * y
        array[a + j * n + k] = s * x + c * y
    array[a + i * n + j] = 0.0
    array[a + j * n + i] = 0.0
    for k in range(n):
        x = array[v + i * n + k]
        y = array[v + j * n + k]
        array[v + i * n + k] = c * x - s * y
        array[v + j * n + k] = s * x + c * y
