"""Sums, products, extremes and moments along axes."""

from __future__ import annotations

import numpy as np

from probad.ad import dispatch
from probad.ad.box import Box, peel
from probad.ad.dispatch import implements
from probad.ad.functions.elements import take_along_axis
from probad.ad.functions.operands import as_operand, axes_of
from probad.ad.functions.shapes import broadcast_to, ravel, reshape
from probad.ad.rules import elementwise as e
from probad.ad.rules import like
from probad.ad.rules import reductions as r
from probad.ad.rules import shapes as s
from probad.errors import UnsupportedFunctionError


def _reduced(numpy_function, primitive, neutral):
    apply = primitive.__call__  # a method is called faster than an object

    def reduce(a, axis=None, *, keepdims=False, where=None, initial=None):
        if where is None and initial is None and type(a) is Box:  # the common case
            return apply(a, axis=axis, keepdims=keepdims is True)
        a = as_operand(a)
        if where is not None and where is not np._NoValue and where is not True:
            if neutral is None:
                raise UnsupportedFunctionError(f"np.{numpy_function.__name__} on a traced value does not take where=.")
            a = e.where(a, neutral, condition=peel(where))
        out = primitive(a, axis=axis, keepdims=keepdims is True)
        if initial is not None and initial is not np._NoValue:
            out = {np.sum: e.add, np.prod: e.multiply, np.max: e.maximum, np.min: e.minimum}[numpy_function](
                out, initial
            )
        return out

    return implements(numpy_function)(reduce)


sum = _reduced(np.sum, r.sum, 0.0)
prod = _reduced(np.prod, r.product, 1.0)
max = _reduced(np.max, r.max, -np.inf)
min = _reduced(np.min, r.min, np.inf)
dispatch.FUNCTIONS[np.amax] = max
dispatch.FUNCTIONS[np.amin] = min


def _count(a, axis, keepdims: bool, where):
    """How many elements each reduction runs over."""
    if where is None or where is np._NoValue or where is True:
        n = [a.shape[i] for i in axes_of(axis, len(a.shape))]
        return float(np.prod(n))
    return np.sum(np.broadcast_to(peel(where), a.shape), axis=axis, keepdims=keepdims)


@implements(np.mean)
def mean(a, axis=None, *, keepdims=False, where=None):
    a = as_operand(a)
    return sum(a, axis, keepdims=keepdims, where=where) / _count(a, axis, keepdims is True, where)


@implements(np.var)
def var(a, axis=None, *, ddof=0, keepdims=False, where=None):
    a = as_operand(a)
    centred = a - mean(a, axis, keepdims=True, where=where)
    return sum(centred * centred, axis, keepdims=keepdims, where=where) / (
        _count(a, axis, keepdims is True, where) - ddof
    )


@implements(np.std)
def std(a, axis=None, *, ddof=0, keepdims=False, where=None):
    return e.sqrt(var(a, axis, ddof=ddof, keepdims=keepdims, where=where))


@implements(np.ptp)
def ptp(a, axis=None, *, keepdims=False):
    return max(a, axis, keepdims=keepdims) - min(a, axis, keepdims=keepdims)


@implements(np.cumsum)
def cumsum(a, axis=None):
    a = as_operand(a)
    return r.cumsum(ravel(a), axis=0) if axis is None else r.cumsum(a, axis=axis)


@implements(np.cumprod)
def cumprod(a, axis=None):
    """By doubling: the products of 1, 2, 4, ... neighbours; no division, so that zeros do no harm."""
    a = as_operand(a)
    if axis is None:
        a, axis = ravel(a), 0
    window = (slice(None),) * (axis % len(a.shape))
    n, reach = a.shape[axis], 1
    while reach < n:
        head, tail = a[(*window, slice(None, reach))], a[(*window, slice(reach, None))]
        a = s.concatenate(head, tail * a[(*window, slice(None, n - reach))], axis=len(window))
        reach *= 2
    return a


def cumulative_max(a, axis=0, *, sign=1.0):
    """The largest element so far (the smallest for sign -1), as np.maximum.accumulate gives it."""
    a = as_operand(a)
    axis %= len(a.shape)
    plain = sign * peel(a)
    here = np.arange(a.shape[axis]).reshape(tuple(-1 if i == axis else 1 for i in range(len(a.shape))))
    holder = np.maximum.accumulate(np.where(plain == np.maximum.accumulate(plain, axis=axis), here, 0), axis=axis)
    return take_along_axis(a, holder, axis)


dispatch.METHODS["accumulate"] = cumulative_max


def _cumulative(function, neutral):
    def cumulative(x, /, *, axis=None, include_initial=False):
        x = as_operand(x)
        if axis is None:
            if len(x.shape) != 1:
                raise ValueError("axis must be given for an array of more than one dimension")
            axis = 0
        out = function(x, axis)
        if not include_initial:
            return out
        shape = tuple(1 if i == axis % len(x.shape) else n for i, n in enumerate(x.shape))
        return s.concatenate(like.zeros(x, shape) + neutral, out, axis=axis % len(x.shape))

    return cumulative


if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    implements(np.cumulative_sum)(_cumulative(cumsum, 0.0))
    implements(np.cumulative_prod)(_cumulative(cumprod, 1.0))


@implements(np.average)
def average(a, axis=None, weights=None, *, keepdims=False):
    if weights is None:
        return mean(a, axis, keepdims=keepdims)
    a, weights = as_operand(a), as_operand(weights)
    if axis is not None and weights.shape != a.shape:
        weights = reshape(weights, tuple(n if i == axis % len(a.shape) else 1 for i, n in enumerate(a.shape)))
    total = sum(broadcast_to(weights, a.shape), axis, keepdims=keepdims)
    return sum(a * weights, axis, keepdims=keepdims) / total
