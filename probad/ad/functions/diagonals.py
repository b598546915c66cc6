"""Diagonals and triangles of matrices."""

from __future__ import annotations

import numpy as np

from probad.ad.dispatch import implements
from probad.ad.functions.creation import zeros_like
from probad.ad.functions.reductions import sum as sum_
from probad.ad.functions.shapes import moveaxis
from probad.ad.rules import elementwise as e
from probad.ad.rules import shapes as s


@implements(np.diag)
def diag(v, k=0):
    if len(v.shape) == 2:
        return diagonal(v, k)
    i = np.arange(v.shape[0])
    out = s.copy(zeros_like(v, shape=(v.shape[0] + abs(k),) * 2))
    out[i + max(-k, 0), i + max(k, 0)] = v
    return out


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
    return e.where(m, 0.0, condition=np.tri(*m.shape[-2:], k=k, dtype=bool))


@implements(np.triu)
def triu(m, k=0):
    return e.where(m, 0.0, condition=~np.tri(*m.shape[-2:], k=k - 1, dtype=bool))
