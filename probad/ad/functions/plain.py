"""Functions with a plain answer: piecewise constant ones, and those that ask about structure."""

from __future__ import annotations

import numpy as np

from probad.ad import dispatch
from probad.ad.dispatch import implements
from probad.ad.kinds import constant

for _function in (
    np.argmax, np.argmin, np.argsort, np.searchsorted, np.nonzero, np.flatnonzero, np.count_nonzero, np.any, np.all,
    np.isclose, np.allclose, np.array_equal, np.digitize, np.round, np.around, np.fix,
    np.iscomplexobj, np.isrealobj, np.result_type, np.can_cast, np.array_repr, np.array_str, np.array2string,
    np.may_share_memory, np.shares_memory, np.bincount, np.unique, np.isin, np.array_equiv, np.min_scalar_type,
    np.isneginf, np.isposinf, np.iscomplex, np.isreal, np.argwhere, np.lexsort, np.argpartition,
):  # fmt: skip
    dispatch.FUNCTIONS[_function] = constant(_function)


@implements(np.shape)
def shape(a):
    return a.shape


@implements(np.ndim)
def ndim(a):
    return len(a.shape)


@implements(np.size)
def size(a, axis=None):
    return a.size if axis is None else int(np.prod([a.shape[i] for i in np.atleast_1d(axis)]))


@implements(np.real)
def real(val):
    return val
