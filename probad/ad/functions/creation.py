"""New arrays in the image of a traced one, and ranges between traced bounds."""

from __future__ import annotations

import numpy as np

from probad.ad.core import Box
from probad.ad.dispatch import implements
from probad.ad.functions.operands import as_operand
from probad.ad.functions.shapes import broadcast_to
from probad.ad.rules import shapes as s


def _like(numpy_function, fill):
    """Make the traced version of zeros_like and its kin: a constant, yet traced, so that it can be assigned to."""

    def like(a, *, dtype=None, order=None, subok=True, shape=None):
        if dtype is not None and np.dtype(dtype).kind != "f":
            return np.full(a.shape if shape is None else shape, fill, dtype=dtype)
        return Box(np.full(a.shape if shape is None else shape, fill), a.owner, None)

    return implements(numpy_function)(like)


zeros_like = _like(np.zeros_like, 0.0)
ones_like = _like(np.ones_like, 1.0)
empty_like = _like(np.empty_like, 0.0)


@implements(np.full_like)
def full_like(a, fill_value, *, dtype=None, order=None, subok=True, shape=None):
    shape = a.shape if shape is None else shape
    fill_value = as_operand(fill_value)
    if type(fill_value) is Box:
        return s.copy(broadcast_to(fill_value, shape))
    return Box(np.full(shape, fill_value, dtype=float), a.owner, None)


@implements(np.linspace)
def linspace(start, stop, num=50, *, endpoint=True):
    step = np.arange(num) / (num - 1 if endpoint else num)
    start, stop = as_operand(start), as_operand(stop)
    extra = (slice(None),) + (None,) * max(len(start.shape), len(stop.shape))
    return start + (stop - start) * step[extra]
