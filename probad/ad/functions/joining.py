"""Several arrays into one, and one into several."""

from __future__ import annotations

import itertools

import numpy as np

from probad.ad.dispatch import implements
from probad.ad.functions.operands import as_operand
from probad.ad.functions.shapes import atleast_1d, atleast_2d, ravel, reshape
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


@implements(np.split, np.array_split)
def split(ary, indices_or_sections, axis=0):
    n = ary.shape[axis]
    pieces = np.array_split(np.arange(n), indices_or_sections)
    window = (slice(None),) * (axis % len(ary.shape))
    bounds = np.cumsum([0, *map(len, pieces)]).tolist()
    return [ary[(*window, slice(lo, hi))] for lo, hi in itertools.pairwise(bounds)]
