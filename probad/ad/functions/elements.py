"""Choosing, moving and sorting elements."""

from __future__ import annotations

import numpy as np

from probad.ad import dispatch
from probad.ad.core import Box, peel
from probad.ad.dispatch import implements
from probad.ad.functions.operands import as_operand
from probad.ad.functions.shapes import ravel, reshape
from probad.ad.kinds import constant
from probad.ad.rules import elementwise as e
from probad.ad.rules.dynamic import element


@implements(np.where)
def where(condition, x=None, y=None, /):
    if x is None or y is None:
        return dispatch.CONSTANTS["nonzero"](condition)
    return e.where(as_operand(x), as_operand(y), condition=_condition(condition))


def _condition(condition):
    condition = peel(condition)
    return condition if condition is not None else False


@implements(np.clip)
def clip(a, a_min=None, a_max=None, *, min=None, max=None):
    low, high = a_min if min is None else min, a_max if max is None else max
    a = as_operand(a)
    if low is not None:  # inside the bounds the derivative is 1, the bound included
        a = e.where(as_operand(low), a, condition=peel(a) < peel(low))
    if high is not None:
        a = e.where(as_operand(high), a, condition=peel(a) > peel(high))
    return a


@implements(np.take)
def take(a, indices, axis=None):
    a = as_operand(a)
    if axis is None:
        return element(ravel(a), indices)
    return element(a, (slice(None),) * (axis % len(a.shape)) + (indices,))


@implements(np.take_along_axis)
def take_along_axis(arr, indices, axis=-1):
    if axis is None:
        return element(ravel(arr), indices)
    n = len(arr.shape)
    grid = [np.arange(k).reshape(tuple(-1 if j == i else 1 for j in range(n))) for i, k in enumerate(arr.shape)]
    grid[axis % n] = indices if type(indices) is Box else np.asarray(indices)
    return element(arr, tuple(grid))


@implements(np.roll)
def roll(a, shift, axis=None):
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), a.shape)
    for n, i in zip(np.atleast_1d(shift), np.atleast_1d(axis), strict=True):
        order = (np.arange(a.shape[i]) - n) % a.shape[i]
        a = take(a, order, int(i))
    return a


@implements(np.repeat)
def repeat(a, repeats, axis=None):
    if axis is None:
        a, axis = ravel(a), 0
    return take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)


@implements(np.sort)
def sort(a, axis=-1):
    if axis is None:
        a, axis = ravel(a), 0
    return take_along_axis(a, np.argsort(peel(a), axis=axis, kind="stable"), axis)


@implements(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    finite = dispatch.CONSTANTS["finite_numbers"](x, nan=nan, posinf=posinf, neginf=neginf)
    return e.where(x, finite, condition=np.isfinite(peel(x)))


constant(np.nan_to_num, name="finite_numbers")
