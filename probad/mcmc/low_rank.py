"""The low-rank metric: a scale for each coordinate, and the few directions in which the posterior is still stretched.

In the scale of the coordinates the inverse mass is the unit matrix but for some orthogonal directions. They are sought
among those in which draws vary most and those in which gradients do, by subspace iteration, so that no matrix of
dim x dim numbers is formed; in the space of these the inverse mass is the geometric mean of `probad.mcmc.estimates`.

Source: Seyboldt, Carlson and Carpenter, "Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence"
(2026), for the form; Golub and Van Loan, "Matrix Computations" (2013), section 8.2, for subspace iteration.
"""

from __future__ import annotations

import math

from probad.mcmc.matrices import diagonalise, dot, geometric_mean, orthonormalise_rows
from probad.mcmc.rows import inner_product
from probad.mcmc.workspace import DIRECTIONS, INVERSE_MASS, N_DIRECTIONS, RANK, SCALE, STRETCHES

PRIOR = 1.0  # draws for which the unit matrix counts; 5 of them need 40 % more gradients where scales are far apart
CUTOFF = 2.0  # eigenvalues between this and its inverse make no direction
ITERATIONS = 3  # of a subspace; it starts among the draws, where long directions are well represented


def take_directions(rows, counts, metric, draws, gradients, work, start, end, dim):
    """Adopt the directions of the iterations from `start` to before `end`, in the scale that is in `rows`.

    Parameters
    ----------
    rows, counts, metric, draws, gradients, work
        The arrays of a `probad.mcmc.workspace.Workspace`; `work` begins with the means and mean squares of draws and
        gradients, see `probad.mcmc.estimates.renew_metric`.
    start, end : int
    dim : int

    Returns
    -------
    float
        How many times longer than wide the posterior is in the scale alone, as far as draws and gradients tell; 1.0 if
        they do not, and then there are no directions.
    """
    inverse_scale = 4 * dim
    scale = 5 * dim
    x = 6 * dim
    basis = 7 * dim
    image = basis + 2 * RANK * dim
    norms = image + RANK * dim
    y = norms + 2 * RANK
    r = y + 2 * RANK
    k = r + 4 * RANK * RANK
    g = k + 4 * RANK * RANK
    v = g + 4 * RANK * RANK
    counts[N_DIRECTIONS] = 0
    for i in range(dim):
        work[scale + i] = rows[SCALE * dim + i]
        work[inverse_scale + i] = 1.0 / rows[SCALE * dim + i]
    n_long = find_subspace(draws, work, 0, inverse_scale, x, basis, image, start, end, dim)
    wide = basis + n_long * dim
    n_wide = find_subspace(gradients, work, 2 * dim, scale, x, wide, image, start, end, dim)
    m = orthonormalise_rows(work, basis, n_long + n_wide, dim)
    add_projected_moments(draws, work, 0, inverse_scale, x, basis, y, r, m, start, end, dim)
    add_projected_moments(gradients, work, 2 * dim, scale, x, basis, y, k, m, start, end, dim)
    if m == 0 or not geometric_mean(work, r, k, g, norms, m):
        return 1.0
    for i in range(m):
        for j in range(i):
            work[g + j * m + i] = work[g + i * m + j]
    diagonalise(work, g, v, m)
    low = 1.0
    high = 1.0
    for i in range(m):
        eigenvalue = work[g + i * m + i]
        if not (eigenvalue > 0.0 and eigenvalue < math.inf):
            return 1.0
        low = min(low, eigenvalue)
        high = max(high, eigenvalue)
    adopt_directions(rows, counts, metric, work, g, v, basis, m, dim)
    return math.sqrt(high / low)


def refine_scale(rows, counts, metric, draws, gradients, work, start, end, dim):
    """Take the scale of the coordinates again from draws and gradients without their directions, for another search.

    A long direction adds to the variance of each coordinate by how much it leans there, and so bends the scale that it
    is sought in; in the bent scale the rest of the posterior is no longer round. Takes and leaves arrays as
    `take_directions` does; returns whether there is another scale to search in.
    """
    inverse_scale = 4 * dim
    scale = 5 * dim
    x = 6 * dim
    spread = 7 * dim
    steepness = 8 * dim
    if counts[N_DIRECTIONS] == 0 or dim <= 2 * RANK:  # of few coordinates directions tell all
        return False
    for i in range(dim):
        work[spread + i] = 0.0
        work[steepness + i] = 0.0
    for row in range(start, end):
        take_row(draws, work, 0, inverse_scale, row, x, dim)
        for j in range(counts[N_DIRECTIONS]):
            f = metric[STRETCHES * dim + j]
            add_direction(metric, work, x, j, -f / (1.0 + f), dim)
        for i in range(dim):
            work[spread + i] = work[spread + i] + work[x + i] * work[x + i]
        take_row(gradients, work, 2 * dim, scale, row, x, dim)
        for j in range(counts[N_DIRECTIONS]):
            add_direction(metric, work, x, j, metric[STRETCHES * dim + j], dim)
        for i in range(dim):
            work[steepness + i] = work[steepness + i] + work[x + i] * work[x + i]
    for i in range(dim):
        if not (work[spread + i] > 0.0 and work[steepness + i] > 0.0):
            return False
    for i in range(dim):
        ratio = math.sqrt(work[spread + i] / work[steepness + i])
        rows[INVERSE_MASS * dim + i] = rows[INVERSE_MASS * dim + i] * ratio
        rows[SCALE * dim + i] = math.sqrt(rows[INVERSE_MASS * dim + i])
    return True


def add_direction(metric, work, x, j, factor, dim):
    """Add to the vector at `x` its part along direction number j, times a factor."""
    share = factor * inner_product(metric, j * dim, work, x, dim)
    for i in range(dim):
        work[x + i] = work[x + i] + share * metric[j * dim + i]


def find_subspace(table, work, mean, factor, x, basis, image, start, end, dim):
    """Write orthonormal rows that span the directions of largest variance of a table, scaled, to place `basis`.

    `mean` and `factor` are places of what is taken off the rows of the table, and of what they are multiplied by; `x`
    and `image` are scratch. Returns how many there are.
    """
    n = min(RANK, end - start)
    for j in range(n):
        take_row(table, work, mean, factor, start + j * (end - start) // n, basis + j * dim, dim)
    n = orthonormalise_rows(work, basis, n, dim)
    for _ in range(ITERATIONS):
        for i in range(n * dim):
            work[image + i] = 0.0
        for row in range(start, end):
            take_row(table, work, mean, factor, row, x, dim)
            for j in range(n):
                share = dot(work, basis + j * dim, x, dim)
                place = image + j * dim
                for i in range(dim):
                    work[place + i] = work[place + i] + share * work[x + i]
        for i in range(n * dim):
            work[basis + i] = work[image + i]
        n = orthonormalise_rows(work, basis, n, dim)
    return n


def take_row(table, work, mean, factor, row, target, dim):
    """Write a row of a table to place `target`, without its mean and times a factor for each coordinate."""
    for i in range(dim):
        work[target + i] = (table[row * dim + i] - work[mean + i]) * work[factor + i]


def add_projected_moments(table, work, mean, factor, x, basis, y, matrix, m, start, end, dim):
    """Write the second moments of a table, scaled, in the space of `m` rows; `PRIOR` unit matrices count as draws."""
    for i in range(m * m):
        work[matrix + i] = 0.0
    for row in range(start, end):
        take_row(table, work, mean, factor, row, x, dim)
        for a in range(m):
            work[y + a] = dot(work, basis + a * dim, x, dim)
        for a in range(m):
            for b in range(a + 1):
                work[matrix + a * m + b] = work[matrix + a * m + b] + work[y + a] * work[y + b]
    total = float(end - start) + PRIOR
    for a in range(m):
        for b in range(a + 1):
            work[matrix + a * m + b] = work[matrix + a * m + b] / total
        work[matrix + a * m + a] = work[matrix + a * m + a] + PRIOR / total


def adopt_directions(rows, counts, metric, work, eigenvalues, vectors, basis, m, dim):
    """Keep the directions whose eigenvalues, on the diagonal of a matrix of m rows, are farthest from 1."""
    n = 0
    searching = True
    while searching and n < RANK:
        best = 0
        farthest = 0.0
        for i in range(m):
            distance = abs(math.log(work[eigenvalues + i * m + i]))
            if distance > farthest:
                farthest = distance
                best = i
        searching = farthest > math.log(CUTOFF)
        if searching:
            metric[STRETCHES * dim + n] = math.sqrt(work[eigenvalues + best * m + best]) - 1.0
            work[eigenvalues + best * m + best] = 1.0
            combine_rows(rows, metric, work, vectors + best * m, basis, n, m, dim)
            n = n + 1
    while n % 4 != 0:
        metric[STRETCHES * dim + n] = 0.0
        for i in range(dim):
            metric[n * dim + i] = 0.0
            metric[(DIRECTIONS + n) * dim + i] = 0.0
        n = n + 1
    counts[N_DIRECTIONS] = n


def combine_rows(rows, metric, work, shares, basis, n, m, dim):
    """Make a sum of the rows at `basis`, each times its share, the direction number n."""
    for i in range(dim):
        metric[n * dim + i] = 0.0
    for j in range(m):
        share = work[shares + j]
        for i in range(dim):
            metric[n * dim + i] = metric[n * dim + i] + share * work[basis + j * dim + i]
    for i in range(dim):
        metric[(DIRECTIONS + n) * dim + i] = rows[SCALE * dim + i] * metric[n * dim + i]
