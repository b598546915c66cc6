"""Functions with a plain answer: piecewise constant ones, and those that ask about structure."""

from __future__ import annotations

import numpy as np

from probad.ad import dispatch
from probad.ad.box import peel
from probad.ad.dispatch import implements
from probad.ad.functions.operands import as_operand
from probad.ad.kinds import constant
from probad.ad.rules import bessel, indexing, special
from probad.ad.rules import elementwise as e

for _function in (
    np.argmax, np.argmin, np.argsort, np.searchsorted, np.nonzero, np.flatnonzero, np.count_nonzero, np.any, np.all,
    np.isclose, np.allclose, np.array_equal, np.digitize, np.round, np.around, np.fix,
    np.iscomplexobj, np.isrealobj, np.result_type, np.can_cast, np.array_repr, np.array_str, np.array2string,
    np.may_share_memory, np.shares_memory, np.isin, np.array_equiv, np.min_scalar_type,
    np.isneginf, np.isposinf, np.iscomplex, np.isreal, np.argwhere, np.argpartition, np.nanargmax,
    np.nanargmin, np.common_type, np.tril_indices_from, np.triu_indices_from, np.diag_indices_from,
    np.linalg.matrix_rank, np.angle, np.imag, np.einsum_path,
):  # fmt: skip
    dispatch.FUNCTIONS[_function] = constant(_function)


@implements(np.lexsort)
def lexsort(keys, axis=-1):
    return np.lexsort([peel(key) for key in keys], axis=axis)


@implements(np.shape)
def shape(a):
    return a.shape


@implements(np.ndim)
def ndim(a):
    return len(a.shape)


@implements(np.size)
def size(a, axis=None):
    return a.size if axis is None else int(np.prod([a.shape[i] for i in np.atleast_1d(axis)]))


@implements(np.real, np.real_if_close)
def real(val):
    return val


@implements(np.astype)
def astype(x, dtype, /, *, copy=True):
    return x.astype(dtype)


@implements(np.bincount)
def bincount(x, /, weights=None, minlength=0):
    """The counts are plain; the weights have derivatives."""
    x = np.asarray(peel(x))
    if weights is None:
        return np.bincount(x, minlength=minlength)
    n = max(int(x.max(initial=-1)) + 1, minlength)
    return indexing.scatter(as_operand(weights), indices=[(x,)], shape=(n,))


@implements(np.sinc)
def sinc(x):
    return special.sinc(as_operand(x))


@implements(np.i0)
def i0(x):
    return bessel.i0(e.absolute(x))
