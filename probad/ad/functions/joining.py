"""Several arrays into one, and one into several."""

from __future__ import annotations

import itertools

import numpy as np

from probad.ad.dispatch import implements
from probad.ad.functions.operands import as_operand
from probad.ad.functions.shapes import atleast_1d, atleast_2d, atleast_3d, ravel, reshape
from probad.ad.rules import shapes as s


@implements(np.concatenate, np.concat)
def concatenate(arrays, /, axis=0):
    arrays = [as_operand(a) for a in arrays]
    if axis is None:
        return s.concatenate(*map(ravel, arrays), axis=0)
    return s.concatenate(*arrays, axis=axis % len(arrays[0].shape))


@implements(np.stack)
def stack(arrays, axis=0):
    arrays = [as_operand(a) for a in arrays]
    return s.stack(*arrays, axis=axis % (len(arrays[0].shape) + 1))


@implements(np.hstack)
def hstack(tup):
    arrays = [atleast_1d(a) for a in tup]
    return concatenate(arrays, 0 if len(arrays[0].shape) == 1 else 1)


@implements(np.vstack)
def vstack(tup):
    return concatenate([atleast_2d(a) for a in tup], 0)


@implements(np.column_stack)
def column_stack(tup):
    arrays = [as_operand(a) for a in tup]
    return concatenate([a if len(a.shape) == 2 else reshape(a, (-1, 1)) for a in arrays], 1)


@implements(np.dstack)
def dstack(tup):
    return concatenate([atleast_3d(a) for a in tup], 2)


@implements(np.block)
def block(arrays):
    depth = _depth(arrays)
    ndim = max(depth, *(len(a.shape) for a in _leaves(arrays)))
    return _joined(arrays, ndim, -depth)


def _depth(nest) -> int:
    return 1 + _depth(nest[0]) if isinstance(nest, list) else 0


def _leaves(nest) -> list:
    return [leaf for part in nest for leaf in _leaves(part)] if isinstance(nest, list) else [as_operand(nest)]


def _joined(nest, ndim: int, axis: int):
    if isinstance(nest, list):
        return concatenate([_joined(part, ndim, axis + 1) for part in nest], axis)
    a = as_operand(nest)
    return reshape(a, (1,) * (ndim - len(a.shape)) + a.shape)


@implements(np.split)
def split(ary, indices_or_sections, axis=0):
    if np.ndim(indices_or_sections) == 0 and ary.shape[axis] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return array_split(ary, indices_or_sections, axis)


@implements(np.hsplit)
def hsplit(ary, indices_or_sections):
    return split(ary, indices_or_sections, 0 if len(ary.shape) == 1 else 1)


@implements(np.vsplit)
def vsplit(ary, indices_or_sections):
    return split(ary, indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary, indices_or_sections):
    return split(ary, indices_or_sections, 2)


def unstack(x, /, *, axis=0):
    window = (slice(None),) * (axis % len(x.shape))
    return tuple(x[(*window, k)] for k in range(x.shape[axis]))


if hasattr(np, "unstack"):  # NumPy 2.1
    implements(np.unstack)(unstack)


@implements(np.array_split)
def array_split(ary, indices_or_sections, axis=0):
    n = ary.shape[axis]
    pieces = np.array_split(np.arange(n), indices_or_sections)
    window = (slice(None),) * (axis % len(ary.shape))
    bounds = np.cumsum([0, *map(len, pieces)]).tolist()
    return [ary[(*window, slice(lo, hi))] for lo, hi in itertools.pairwise(bounds)]
