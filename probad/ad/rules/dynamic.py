"""Choosing and reading by values that are traced themselves: conditions and indices computed inside a batch.

Outside a batch a condition or an index is always a plain array (`peel` sees to it), and `where` and `index` take it as
a parameter. Inside one it differs from element to element, so here it is an argument, though one without a derivative.
"""

from __future__ import annotations

import numpy as np

from probad.ad.box import Box, peel
from probad.ad.core import Primitive
from probad.ad.kinds import unbroadcast
from probad.ad.rules.indexing import _scatter
from probad.ad.rules.indexing import index as read


# --- conditions -----------------------------------------------------------------------------------------------------
def _select(condition, a, b):
    condition = _array(condition)
    return np.where(condition if condition.dtype.kind == "b" else condition > 0.5, a, b)[()]


def _select_push(tangents, y, values, params):
    a, b = (0.0 if t is None else t for t in tangents[1:])
    if tangents[1] is None and tangents[2] is None:
        return np.zeros_like(peel(y))
    out = select(values[0], a, b)
    return out if out.shape == y.shape else np.broadcast_to(out, y.shape)


def _select_pull(k, g, y, values, params):
    shape = values[k].shape
    if k == 0:
        return np.zeros_like(peel(values[0]), dtype=float)
    out = select(values[0], g, 0.0) if k == 1 else select(values[0], 0.0, g)
    return out if out.shape == shape else unbroadcast(out, shape)


# a where the condition is true (or, as a number, above 1/2), b elsewhere
select = Primitive(
    "select",
    _select,
    _select_push,
    _select_pull,
    lambda rng: [((np.array([1.0, 0.0, 1.0]), rng.normal(size=3), rng.normal(size=(2, 3))), {})],
)


# --- indices --------------------------------------------------------------------------------------------------------
HOLE = "hole"  # in a template: the place of the next index


def fill(template: tuple, indices) -> tuple:
    """The index made of a template and the indices for its holes, rounded to integers."""
    rest = iter(indices)
    return tuple(_whole(next(rest)) if part is HOLE else part for part in template)


def _array(x):
    """`x` as an array of whatever module it belongs to."""
    return x if hasattr(x, "dtype") else np.asarray(x)


def _whole(i):
    i = _array(i)
    return i if i.dtype.kind in "iu" else np.rint(i.astype(float)).astype(int)


def _lookup_pull(k, g, y, values, params):
    if k:
        return np.zeros_like(peel(values[k]), dtype=float)
    return deposit(g, *values[1:], shape=values[0].shape, **params)


# x[i, j, ...], where some of the indices are arguments
lookup = Primitive(
    "lookup",
    lambda x, *indices, template: x[fill(template, indices)],
    lambda tangents, y, values, params: (
        np.zeros_like(peel(y)) if tangents[0] is None else lookup(tangents[0], *values[1:], **params)
    ),
    _lookup_pull,
    lambda rng: [((rng.normal(size=(4, 3)), np.array([2.0, 0.0, 2.0])), {"template": (HOLE, slice(1, None))})],
)


def _deposit_pull(k, g, y, values, params):
    if k:
        return np.zeros_like(peel(values[k]), dtype=float)
    return unbroadcast(lookup(g, *values[1:], template=params["template"]), values[0].shape)


# the transpose of lookup: zeros of `shape` with `g` added in at the indices
deposit = Primitive(
    "deposit",
    lambda g, *indices, template, shape: _scatter(g, indices=[fill(template, indices)], shape=shape),
    lambda tangents, y, values, params: (
        np.zeros_like(peel(y)) if tangents[0] is None else deposit(tangents[0], *values[1:], **params)
    ),
    _deposit_pull,
    lambda rng: [((rng.normal(size=3), np.array([2.0, 0.0, 2.0])), {"template": (HOLE,), "shape": (4,)})],
)


def element(x, index):
    """``x[index]``, where parts of the index may be integers that are batched."""
    parts = index if type(index) is tuple else (index,)
    if Box not in map(type, parts):
        return read(x, index=index)
    if any(type(p) is Box and p.owner.answers and p.dtype.kind == "b" for p in parts):  # a mask that has one value
        parts = tuple(p.owner.concrete(p, "a mask") if type(p) is Box and p.dtype.kind == "b" else p for p in parts)
        return element(x, parts)
    for p in parts:
        if type(p) is Box and (p.owner.differentiates or p.dtype.kind not in "iu"):
            p.__index__()  # raises, and says what to do
    template = tuple(HOLE if type(p) is Box else p for p in parts)
    return lookup(x, *(p for p in parts if type(p) is Box), template=template)
