"""What the functions of this folder take: anything array-like, and axes as NumPy counts them."""

from __future__ import annotations

import numpy as np

from probad.ad.box import Box, is_foreign
from probad.ad.rules import shapes as s
from probad.errors import ConversionError

FLOAT64 = np.dtype(np.float64)


def as_operand(x):
    """Anything array-like as something a primitive takes; nested lists of traced scalars become one box."""
    kind = type(x)
    if kind is Box or kind is np.float64 or (kind is np.ndarray and x.dtype is FLOAT64 and x.ndim) or is_foreign(x):
        return x
    array = np.asarray(x)
    if array.dtype.kind != "O":
        return array if array.ndim else array[()]
    try:
        return s.stack(*[_number(v) for v in array.ravel()], axis=0).reshape(array.shape)
    except (TypeError, ValueError) as error:
        raise ConversionError(f"Cannot make a numeric array of {x!r}.") from error


def _number(x):
    return x if type(x) is Box else np.float64(x)


def axes_of(axis, ndim: int) -> tuple:
    """An axis argument as a tuple of non-negative integers; None means all."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(np.lib.array_utils.normalize_axis_tuple(axis, ndim))
