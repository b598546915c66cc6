"""Constants of the same array module as the data they will meet, so that no rule mixes modules."""

from __future__ import annotations

import numpy as np

from probad.ad.box import raw


def bottom(x):
    """The array at the very bottom of a traced value: it says which module makes arrays."""
    return raw(x)


def zeros(x, shape):
    """Zeros of the module of `x`."""
    x = bottom(x)
    return np.zeros_like(x, shape=shape, dtype=float)[()] if hasattr(x, "shape") else np.zeros(shape)[()]


def ones(x, shape):
    """Ones of the module of `x`."""
    x = bottom(x)
    return np.ones_like(x, shape=shape, dtype=float)[()] if hasattr(x, "shape") else np.ones(shape)[()]


def counts(x, n: int):
    """The integers 0 to n - 1."""
    return np.cumsum(np.ones_like(bottom(x), shape=(n,), dtype=int)) - 1


def tri(x, k: int = 0):
    """True on and below the k-th diagonal of a matrix of the shape of `x`'s last two axes."""
    n, m = x.shape[-2:]
    return counts(x, n)[:, None] + k >= counts(x, m)


def eye(x):
    """True on the diagonal of a matrix of the shape of `x`'s last two axes."""
    n, m = x.shape[-2:]
    return counts(x, n)[:, None] == counts(x, m)
