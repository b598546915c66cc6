"""Colour the columns of a sparse matrix so that one product per colour gives all of its entries.

Columns of one colour are summed into one direction. For a Jacobian they must not meet in any row. For a Hessian a
star colouring is enough, because each entry can be read from either of two products: neighbours differ in colour, and
no path of four vertices has two colours alone (Coleman and Moré 1984).
"""

from __future__ import annotations

import numpy as np


def colour_columns(pattern) -> np.ndarray:
    """Colours of the columns such that no two of one colour have an entry in the same row.

    Parameters
    ----------
    pattern : (m, n) sparse array
        Its entries are those that may differ from zero.

    Returns
    -------
    (n,) ndarray of int
        Colours, from 0. The better of two greedy orders: as the columns stand, and those with most conflicts first.
    """
    columns = pattern.tocsc()
    starts, rows = columns.indptr.tolist(), columns.indices.tolist()
    conflicts = np.bincount(
        pattern.indices, weights=np.repeat(*2 * [np.diff(pattern.indptr)]), minlength=pattern.shape[1]
    )
    best = None
    for order in (range(pattern.shape[1]), np.argsort(-conflicts, kind="stable").tolist()):
        taken = [0] * pattern.shape[0]  # for each row the colours it has met, as the bits of an integer
        colours = [0] * pattern.shape[1]
        for j in order:
            mine = rows[starts[j] : starts[j + 1]]
            forbidden = 0
            for i in mine:
                forbidden |= taken[i]
            free = ~forbidden & (forbidden + 1)  # the lowest bit that is not set
            colours[j] = free.bit_length() - 1
            for i in mine:
                taken[i] |= free
        if best is None or max(colours, default=-1) < max(best, default=-1):
            best = colours
    return np.array(best, dtype=int)


def star_colouring(pattern) -> np.ndarray:
    """Colours of the vertices of a symmetric pattern's graph, neighbours and four on a path told apart.

    Parameters
    ----------
    pattern : (n, n) sparse array
        Symmetric; the diagonal plays no part.

    Returns
    -------
    (n,) ndarray of int
        Colours, from 0. The better of two greedy orders: as the vertices stand, and those with most neighbours first.

    Notes
    -----
    Source: Gebremedhin, Tarafdar, Manne and Pothen, SIAM J. Sci. Comput. 29 (2007) 1042, with the colours around a
    vertex kept as bits, so that a vertex with many neighbours costs no more than its edges.
    """
    starts, others = pattern.indptr.tolist(), pattern.indices.tolist()
    n = pattern.shape[0]
    neighbours = [[w for w in others[starts[v] : starts[v + 1]] if w != v] for v in range(n)]
    by_degree = sorted(range(n), key=lambda v: -len(neighbours[v]))
    first, second = _star(neighbours, range(n)), _star(neighbours, by_degree)
    return np.array(min(first, second, key=lambda colours: max(colours, default=0)), dtype=int)


def _star(neighbours: list[list[int]], order) -> list[int]:
    n = len(neighbours)
    colours = [-1] * n
    around = [0] * n  # the colours of a vertex's neighbours, as bits
    counts: list[dict[int, int]] = [{} for _ in range(n)]  # how many neighbours it has of each colour
    first: list[dict[int, int]] = [{} for _ in range(n)]  # the first of them
    # the colours of those neighbours of w that have another neighbour of w's colour: a path w - x - y that must not
    # grow at w by a vertex of x's colour
    hubs = [0] * n
    for v in order:
        forbidden = 0
        for w in neighbours[v]:
            k = colours[w]
            if k >= 0:
                forbidden |= 1 << k | (around[w] if counts[v][k] > 1 else hubs[w])
        bit = ~forbidden & (forbidden + 1)
        c = colours[v] = bit.bit_length() - 1
        for w in neighbours[v]:
            k = colours[w]
            if k >= 0 and counts[v][k] > 1:  # v is the hub of a star with w
                hubs[w] |= bit
            count = counts[w][c] = counts[w].get(c, 0) + 1
            if count == 1:
                first[w][c] = v
                around[w] |= bit
            elif k >= 0:  # w is the hub of a star with v
                hubs[v] |= 1 << k
                if count == 2:
                    hubs[first[w][c]] |= 1 << k
    return colours
