"""Truncated Taylor arithmetic in one or two parameters, on plain arrays.

A jet has two leading axes: entry ``[i, j]`` is the coefficient of ``h^i k^j`` of a function of ``(a + h, b + k)``. It
turns any formula for a function into one for its derivatives in a parameter, of any order, to full accuracy.
"""

from __future__ import annotations

import numpy as np


def constant(value, order: tuple):
    """The jet of something that does not depend on the parameters."""
    out = np.zeros((order[0] + 1, order[1] + 1, *np.shape(value)))
    out[0, 0] = value
    return out


def variable(value, order: tuple, da: float = 0.0, db: float = 0.0):
    """The jet of ``value + da h + db k``."""
    out = constant(value, order)
    if order[0]:
        out[1, 0] = da
    if order[1]:
        out[0, 1] = db
    return out


def multiply(u, v):
    """The product of two jets."""
    out = np.zeros(np.broadcast_shapes(u.shape, v.shape))
    for i, j in np.ndindex(u.shape[:2]):
        if np.any(u[i, j]):
            out[i:, j:] += u[i, j] * v[: v.shape[0] - i, : v.shape[1] - j]
    return out


def exp(u):
    """The exponential of a jet: exp(u_0) times the series of the rest, which ends."""
    rest = u.copy()
    rest[0, 0] = 0.0
    out = power = constant(np.ones(u.shape[2:]), (u.shape[0] - 1, u.shape[1] - 1))
    for n in range(1, u.shape[0] + u.shape[1] - 1):
        power = multiply(power, rest) / n
        out = out + power
    return np.exp(u[0, 0]) * out


def reciprocal(u):
    """One over a jet: again a series that ends."""
    rest = -u / u[0, 0]
    rest[0, 0] = 0.0
    out = power = constant(np.ones(u.shape[2:]), (u.shape[0] - 1, u.shape[1] - 1))
    for _ in range(1, u.shape[0] + u.shape[1] - 1):
        power = multiply(power, rest)
        out = out + power
    return out / u[0, 0]


def sum_of_products(ratio_fn, log_ratio_fn, order: tuple, max_terms: int = 2**17):
    """The jet of ``1 + r_1 + r_1 r_2 + r_1 r_2 r_3 + ...``, a series of positive terms.

    Parameters
    ----------
    ratio_fn : callable
        ``ratio_fn(n)`` gives the values of r_n, with the axis of `n` last.
    log_ratio_fn : callable
        ``log_ratio_fn(i, j, n)`` gives the Taylor coefficient of log r_n of order i and j, not both 0.
    order : tuple of int
        Highest orders.
    """
    n_terms = 32
    while True:
        n = np.arange(1.0, n_terms + 1)
        terms = np.cumprod(ratio_fn(n), axis=-1)
        if n_terms >= max_terms or not np.any(terms[..., -1] > 1e-20 * (1 + terms.sum(axis=-1))):
            break
        n_terms *= 2
    logs = constant(np.zeros(terms.shape), order)
    for i, j in np.ndindex(order[0] + 1, order[1] + 1):
        if i + j:
            logs[i, j] = np.cumsum(log_ratio_fn(i, j, n), axis=-1)
    total = (exp(logs) * terms).sum(axis=-1)
    total[0, 0] += 1.0
    return total
