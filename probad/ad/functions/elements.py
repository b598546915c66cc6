"""Choosing, moving and sorting elements."""

from __future__ import annotations

import numpy as np

from probad.ad import dispatch
from probad.ad.box import Box, peel
from probad.ad.dispatch import implements
from probad.ad.functions.operands import as_operand, axes_of
from probad.ad.functions.shapes import moveaxis, ravel, reshape, swapaxes
from probad.ad.kinds import constant
from probad.ad.rules import elementwise as e
from probad.ad.rules import indexing
from probad.ad.rules import shapes as s
from probad.ad.rules.dynamic import element
from probad.errors import UnsupportedFunctionError


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
    a = as_operand(a)
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), a.shape)
    for n, i in zip(*(np.ravel(v) for v in np.broadcast_arrays(shift, axis)), strict=True):
        order = (np.arange(a.shape[i]) - n) % a.shape[i]
        a = take(a, order, int(i))
    return a


@implements(np.repeat)
def repeat(a, repeats, axis=None):
    a = as_operand(a)
    if axis is None:
        a, axis = ravel(a), 0
    return take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)


@implements(np.sort)
def sort(a, axis=-1):
    a = as_operand(a)
    if axis is None:
        a, axis = ravel(a), 0
    return take_along_axis(a, np.argsort(peel(a), axis=axis, kind="stable"), axis)


@implements(np.partition)
def partition(a, kth, axis=-1):
    if axis is None:
        a, axis = ravel(a), 0
    return take_along_axis(a, np.argpartition(peel(a), kth, axis=axis), axis)


@implements(np.flip)
def flip(m, axis=None):
    m = as_operand(m)
    return s.flip(m, axis=axes_of(axis, len(m.shape)))


@implements(np.fliplr)
def fliplr(m):
    return s.flip(m, axis=(1,))


@implements(np.flipud)
def flipud(m):
    return s.flip(m, axis=(0,))


@implements(np.rot90)
def rot90(m, k=1, axes=(0, 1)):
    first, second = (a % len(m.shape) for a in axes)
    turned = m if k % 4 < 2 else s.flip(m, axis=(first, second))
    if k % 2:
        return s.flip(swapaxes(turned, first, second), axis=(first,))
    return turned


@implements(np.pad)
def pad(array, pad_width, mode="constant", *, constant_values=0, reflect_type="even"):
    """Pad by reading: the plain `np.pad` of the positions says which element goes where."""
    a = as_operand(array)
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap") or reflect_type != "even":
        raise UnsupportedFunctionError(
            f"np.pad on a traced value does not take mode={mode!r} with reflect_type={reflect_type!r}; use "
            "np.concatenate."
        )
    widths = _widths(pad_width, len(a.shape))
    if mode == "constant":
        fill = np.broadcast_to(as_operand(constant_values), (len(a.shape), 2))
        for axis, (before, after) in enumerate(widths):
            shapes = [tuple(n if i == axis else m for i, m in enumerate(a.shape)) for n in (before, after)]
            ends = [s.broadcast_to(fill[axis, k], shape=shape) for k, shape in enumerate(shapes)]
            a = s.concatenate(ends[0], a, ends[1], axis=axis)
        return a
    for axis, width in enumerate(widths):
        if any(width):
            a = take(a, np.pad(np.arange(a.shape[axis]), width, mode=mode), axis)
    return a


def _widths(pad_width, ndim: int) -> list:
    if isinstance(pad_width, dict):
        pairs = [pad_width.get(i, pad_width.get(i - ndim, 0)) for i in range(ndim)]
        return [tuple(np.broadcast_to(p, 2).tolist()) for p in pairs]
    return [tuple(pair) for pair in np.broadcast_to(pad_width, (ndim, 2)).tolist()]


# --- choosing -------------------------------------------------------------------------------------------------------
@implements(np.compress)
def compress(condition, a, axis=None):
    a = as_operand(a)
    if axis is None:
        a, axis = ravel(a), 0
    return take(a, np.flatnonzero(peel(condition)), axis)


@implements(np.extract)
def extract(condition, arr):
    return element(ravel(arr), np.flatnonzero(peel(condition)))


@implements(np.choose)
def choose(a, choices):
    a, choices = peel(a), [as_operand(c) for c in choices]
    out = choices[-1]
    if np.any((a < 0) | (a >= len(choices))):
        raise ValueError("invalid entry in choice array")
    for k, choice in enumerate(choices[:-1]):
        out = e.where(choice, out, condition=a == k)
    return s.broadcast_to(out, shape=np.broadcast_shapes(a.shape, *(c.shape for c in choices)))


@implements(np.select)
def select(condlist, choicelist, default=0):
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    out = as_operand(default)
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = where(condition, choice, out)
    return out


@implements(np.piecewise)
def piecewise(x, condlist, funclist, *args, **kw):
    conditions = peel(condlist) if not isinstance(condlist, list | tuple) else condlist
    conditions = [conditions] if np.ndim(conditions) == np.ndim(peel(x)) and np.ndim(x) else list(conditions)
    conditions = [np.asarray(peel(c), dtype=bool) for c in conditions]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    if len(funclist) != len(conditions):
        raise ValueError("with n conditions, either n or n+1 functions are expected")
    out = s.copy(x) * 0.0
    for condition, function in zip(conditions, funclist, strict=True):
        value = function(x[condition], *args, **kw) if callable(function) else function
        out = indexing.index_set(out, as_operand(value), index=condition)
    return out


@implements(np.append)
def append(arr, values, axis=None):
    arrays = [as_operand(arr), as_operand(values)]
    if axis is None:
        return s.concatenate(*map(ravel, arrays), axis=0)
    return s.concatenate(*arrays, axis=axis % len(arrays[0].shape))


@implements(np.delete)
def delete(arr, obj, axis=None):
    arr = as_operand(arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    return take(arr, np.delete(np.arange(arr.shape[axis]), obj), axis)


@implements(np.insert)
def insert(arr, obj, values, axis=None):
    """Put old and new elements side by side and read them in the order in which `np.insert` has them."""
    arr, values = as_operand(arr), as_operand(values)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis %= len(arr.shape)
    n = arr.shape[axis]
    n_new = len(np.insert(np.arange(n), obj, -1)) - n
    if np.ndim(obj) == 0 and not isinstance(obj, slice):  # NumPy: values[:, 0] takes its first axis to `axis`
        values = moveaxis(reshape(values, (1,) * (len(arr.shape) - len(values.shape)) + values.shape), 0, axis)
        n_new = values.shape[axis]
    new = s.broadcast_to(values, shape=tuple(n_new if i == axis else m for i, m in enumerate(arr.shape)))
    if np.ndim(obj) == 0 and not isinstance(obj, slice):
        obj = [obj] * n_new
    order = np.insert(np.arange(n), obj, n + np.arange(n_new))
    return take(s.concatenate(arr, new, axis=axis), order, axis)


@implements(np.trim_zeros)
def trim_zeros(filt, trim="fb"):
    kept = np.flatnonzero(peel(filt))
    first = kept[0] if "f" in trim.lower() and len(kept) else 0
    last = kept[-1] + 1 if "b" in trim.lower() and len(kept) else len(filt)
    return filt[first:last] if len(kept) else filt[:0]


@implements(np.resize)
def resize(a, new_shape):
    shape = (new_shape,) if np.ndim(new_shape) == 0 else tuple(new_shape)
    order = np.resize(np.arange(a.size), shape)
    return element(ravel(a), order)


@implements(np.unique)
def unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, equal_nan=True):
    """The elements keep their derivatives; indices and counts are plain."""
    plain = peel(ar)
    found = np.unique(plain, return_index=True, return_inverse=True, return_counts=True, axis=axis, equal_nan=equal_nan)
    values = take(ar, found[1], axis)
    wanted = [part for part, flag in zip(found[1:], (return_index, return_inverse, return_counts), strict=True) if flag]
    return (values, *wanted) if wanted else values


def _first_of(numpy_function):
    """The functions unique_all and so on: NumPy's named tuple with traced values in it."""

    def function(x, /):
        plain = numpy_function(peel(x))
        values = unique(x)
        return plain._replace(values=values) if hasattr(plain, "_replace") else values

    return implements(numpy_function)(function)


for _function in (np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values):
    _first_of(_function)


# --- repaired numbers -----------------------------------------------------------------------------------------------
@implements(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    finite = dispatch.CONSTANTS["finite_numbers"](x, nan=nan, posinf=posinf, neginf=neginf)
    return e.where(x, finite, condition=np.isfinite(peel(x)))


constant(np.nan_to_num, name="finite_numbers")
