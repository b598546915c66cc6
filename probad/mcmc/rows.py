"""What kernels do to whole rows of a workspace: copy, add, sum products.

Sums are eight partial sums, since a processor adds several numbers at a time if the order of additions lets it; the
order is part of the result, so it is the same in Python. Rows are numbered as in `probad.mcmc.workspace`.
"""

from __future__ import annotations


def padded(dim):
    """`dim`, filled up to a multiple of 8."""
    return (dim + 7) // 8 * 8


def copy_row(rows, source, target, dim):
    """Copy one row to another."""
    a = source * dim
    b = target * dim
    for i in range(dim):
        rows[b + i] = rows[a + i]


def add_row(rows, source, target, dim):
    """Add one row to another."""
    a = source * dim
    b = target * dim
    for i in range(dim):
        rows[b + i] = rows[b + i] + rows[a + i]


def inner_product(x, a, y, b, n):
    """Inner product of `n` elements of two arrays, which may be one, from places `a` and `b`."""
    s0 = 0.0
    s1 = 0.0
    s2 = 0.0
    s3 = 0.0
    s4 = 0.0
    s5 = 0.0
    s6 = 0.0
    s7 = 0.0
    whole = n // 8 * 8
    for i in range(0, whole, 8):
        s0 = s0 + x[a + i] * y[b + i]
        s1 = s1 + x[a + i + 1] * y[b + i + 1]
        s2 = s2 + x[a + i + 2] * y[b + i + 2]
        s3 = s3 + x[a + i + 3] * y[b + i + 3]
        s4 = s4 + x[a + i + 4] * y[b + i + 4]
        s5 = s5 + x[a + i + 5] * y[b + i + 5]
        s6 = s6 + x[a + i + 6] * y[b + i + 6]
        s7 = s7 + x[a + i + 7] * y[b + i + 7]
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for i in range(whole, n):
        total = total + x[a + i] * y[b + i]
    return total


def squared_norm(rows, row, dim):
    """Sum of the squares of a row."""
    return inner_product(rows, row * dim, rows, row * dim, dim)


def along_sum(rows, row, first, second, dim):
    """Inner product of a row with the sum of two others."""
    p = row * dim
    a = first * dim
    b = second * dim
    s0 = 0.0
    s1 = 0.0
    s2 = 0.0
    s3 = 0.0
    s4 = 0.0
    s5 = 0.0
    s6 = 0.0
    s7 = 0.0
    whole = dim // 8 * 8
    for i in range(0, whole, 8):
        s0 = s0 + rows[p + i] * (rows[a + i] + rows[b + i])
        s1 = s1 + rows[p + i + 1] * (rows[a + i + 1] + rows[b + i + 1])
        s2 = s2 + rows[p + i + 2] * (rows[a + i + 2] + rows[b + i + 2])
        s3 = s3 + rows[p + i + 3] * (rows[a + i + 3] + rows[b + i + 3])
        s4 = s4 + rows[p + i + 4] * (rows[a + i + 4] + rows[b + i + 4])
        s5 = s5 + rows[p + i + 5] * (rows[a + i + 5] + rows[b + i + 5])
        s6 = s6 + rows[p + i + 6] * (rows[a + i + 6] + rows[b + i + 6])
        s7 = s7 + rows[p + i + 7] * (rows[a + i + 7] + rows[b + i + 7])
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for i in range(whole, dim):
        total = total + rows[p + i] * (rows[a + i] + rows[b + i])
    return total
