"""New arrays in the image of a traced one, and ranges between traced bounds."""

from __future__ import annotations

import numpy as np

from probad.ad.box import Box
from probad.ad.dispatch import implements
from probad.ad.functions.operands import as_operand
from probad.ad.functions.shapes import broadcast_to, moveaxis
from probad.ad.rules import elementwise as e
from probad.ad.rules import like
from probad.ad.rules import shapes as s


def _like(numpy_function, fill, make):
    """Make the traced version of zeros_like and its kin: a constant, yet traced, so that it can be assigned to."""

    def made(a, *, dtype=None, order=None, subok=True, shape=None):
        if dtype is not None and np.dtype(dtype).kind != "f":
            return np.full(a.shape if shape is None else shape, fill, dtype=dtype)
        return Box(make(a, a.shape if shape is None else shape), a.owner, None)

    return implements(numpy_function)(made)


zeros_like = _like(np.zeros_like, 0.0, like.zeros)
ones_like = _like(np.ones_like, 1.0, like.ones)
empty_like = _like(np.empty_like, 0.0, like.zeros)


@implements(np.full_like)
def full_like(a, fill_value, *, dtype=None, order=None, subok=True, shape=None):
    shape = a.shape if shape is None else shape
    fill_value = as_operand(fill_value)
    if type(fill_value) is Box:
        return s.copy(broadcast_to(fill_value, shape))
    return Box(like.zeros(a, shape) + fill_value, a.owner, None)


@implements(np.linspace)
def linspace(start, stop, num=50, *, endpoint=True, retstep=False, axis=0):
    n_steps = num - 1 if endpoint else num
    start, stop = as_operand(start), as_operand(stop)
    extra = (slice(None),) + (None,) * max(len(start.shape), len(stop.shape))
    weight = (np.arange(num) / max(n_steps, 1))[extra]
    out = moveaxis(start + (stop - start) * weight, 0, axis)
    return (out, (stop - start) / n_steps) if retstep else out


@implements(np.logspace)
def logspace(start, stop, num=50, endpoint=True, base=10.0, *, axis=0):
    return e.power(as_operand(base), linspace(start, stop, num, endpoint=endpoint, axis=axis))


@implements(np.geomspace)
def geomspace(start, stop, num=50, endpoint=True, *, axis=0):
    """From `start` to `stop`, of one sign, by equal factors."""
    start, stop = as_operand(start), as_operand(stop)
    return start * e.exp(linspace(0.0 * start, e.log(stop / start), num, endpoint=endpoint, axis=axis))
