"""Diagonals and triangles of matrices."""

from __future__ import annotations

import numpy as np

from probad.ad.dispatch import implements
from probad.ad.functions.creation import zeros_like
from probad.ad.functions.reductions import sum as sum_
from probad.ad.functions.shapes import broadcast_to, moveaxis, ravel
from probad.ad.rules import elementwise as e
from probad.ad.rules import like
from probad.ad.rules import shapes as s


@implements(np.diag)
def diag(v, k=0):
    if len(v.shape) == 2:
        return diagonal(v, k)
    i = np.arange(v.shape[0])
    out = s.copy(zeros_like(v, shape=(v.shape[0] + abs(k),) * 2))
    out[i + max(-k, 0), i + max(k, 0)] = v
    return out


@implements(np.diagflat)
def diagflat(v, k=0):
    return diag(ravel(v), k)


@implements(np.diagonal)
def diagonal(a, offset=0, axis1=0, axis2=1):
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    n = max(0, min(a.shape[-2] + min(offset, 0), a.shape[-1] - max(offset, 0)))
    i = np.arange(n)
    return a[..., i - min(offset, 0), i + max(offset, 0)]


@implements(np.trace)
def trace(a, offset=0, axis1=0, axis2=1):
    return sum_(diagonal(a, offset, axis1, axis2), -1)


@implements(np.tril)
def tril(m, k=0):
    return e.where(_matrix(m), 0.0, condition=like.tri(_matrix(m), k))


@implements(np.triu)
def triu(m, k=0):
    return e.where(_matrix(m), 0.0, condition=~like.tri(_matrix(m), k - 1))


def _matrix(m):
    return m if len(m.shape) > 1 else broadcast_to(m, m.shape * 2)


@implements(np.vander)
def vander(x, N=None, increasing=False):
    n = x.shape[0] if N is None else N
    powers = np.arange(n) if increasing else np.arange(n - 1, -1, -1)
    return x[:, None] ** powers.astype(float)


@implements(np.linalg.diagonal)
def matrix_diagonal(x, /, *, offset=0):
    return diagonal(x, offset, -2, -1)


@implements(np.linalg.trace)
def matrix_trace(x, /, *, offset=0):
    return trace(x, offset, -2, -1)
