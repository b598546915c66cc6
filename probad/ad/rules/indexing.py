"""Reading elements (`index`), assigning to them (`index_set`) and adding into them (`scatter`).

An index is anything NumPy accepts: integers, slices, ``None``, ellipsis, integer arrays, boolean masks.
"""

from __future__ import annotations

import math

import numpy as np

from probad.ad.core import Primitive
from probad.ad.kinds import linear, unbroadcast
from probad.ad.rules import like
from probad.ad.views import PUT_BACK, view_of


def _examples(rng):
    x = rng.normal(size=(3, 4))
    mask = np.arange(12).reshape(3, 4) % 3 == 0
    indices = [(1, 2), (slice(None, None, -2),), ([0, 2, 0], [1, 1, 1]), (mask,), (None, ..., 1)]
    return [((x,), {"index": index}) for index in indices]


def _gather(parts):
    """The cotangent of an array from those of everything that was read out of it."""
    shape = parts[0][2]
    if all(type(g) is np.float64 or type(g) is np.ndarray for g, _, _ in parts):  # the common case
        out = np.zeros(shape)
        for g, params, _ in parts:
            _add_into(out, params["index"], g)
        return out
    return scatter(*(g for g, _, _ in parts), indices=[params["index"] for _, params, _ in parts], shape=shape)


index = linear(
    "index",
    lambda x, *, index: x[index],
    lambda k, g, y, values, params: scatter(g, indices=[params["index"]], shape=values[0].shape),
    _examples,
    view_fn=view_of,
    gather_fn=_gather,
)
PUT_BACK["index"] = lambda base, new, params: index_set(base, new, index=params["index"])


_BASIC = frozenset({int, slice, type(None), type(...), np.int64, np.int32, np.intp})


def is_basic(index) -> bool:
    """Whether NumPy treats an index as basic: no element is then reached twice."""
    if type(index) in _BASIC:
        return True
    return type(index) is tuple and all(type(p) in _BASIC for p in index)


def _scatter(*parts, indices, shape):
    out = np.zeros_like(parts[0], shape=shape)
    for g, where in zip(parts, indices, strict=True):
        _add_into(out, where, g)
    return out


def _add_into(out, where, g) -> None:
    if is_basic(where):
        out[where] += g
    else:
        np.add.at(out, where, g)


scatter = Primitive(
    "scatter",
    _scatter,
    lambda tangents, y, values, params: scatter(
        *(t for t in tangents if t is not None),
        indices=[i for i, t in zip(params["indices"], tangents, strict=True) if t is not None],
        shape=params["shape"],
    ),
    lambda k, g, y, values, params: unbroadcast(g[params["indices"][k]], values[k].shape),
    lambda rng: [((rng.normal(size=3), rng.normal()), {"indices": [([0, 2, 0],), (1,)], "shape": (4,)})],
)


# --- assignment -----------------------------------------------------------------------------------------------------
def _index_set(x, value, *, index):
    out = np.copy(x)
    out[index] = value
    return out


def _last_writers(index, y):
    """For each position written by ``x[index] = value``, 1.0 where that write is the one that stays."""
    board = np.full_like(like.bottom(y), -1, shape=y.shape, dtype=int)
    region = board[index].shape
    order = like.counts(y, math.prod(region)).reshape(region)
    board[index] = order
    return (board[index] == order).astype(float)


def _index_set_push(tangents, y, values, params):
    tx, tv = (like.zeros(values[0], np.shape(v)) if t is None else t for t, v in zip(tangents, values, strict=True))
    return index_set(tx, tv, index=params["index"])


def _index_set_pull(k, g, y, values, params):
    where = params["index"]
    if k == 0:
        return index_set(g, 0.0, index=where)
    part = g[where]
    if not is_basic(where):
        part = part * _last_writers(where, y)
    return unbroadcast(part, values[1].shape)


index_set = Primitive(
    "index_set",
    _index_set,
    _index_set_push,
    _index_set_pull,
    lambda rng: [
        ((rng.normal(size=(3, 4)), rng.normal(size=4)), {"index": 1}),
        ((rng.normal(size=5), rng.normal(size=3)), {"index": ([0, 2, 0],)}),
    ],
)
