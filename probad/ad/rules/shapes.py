"""Operations that move elements about: reshape, transpose, broadcast, concatenate, stack."""

from __future__ import annotations

import math

import numpy as np

from probad.ad.core import Primitive
from probad.ad.kinds import linear, unbroadcast
from probad.ad.rules import like
from probad.ad.views import PUT_BACK, view_of


def _example(size, /, **params):
    return lambda rng: [((rng.normal(size=size),), params)]


reshape = linear(
    "reshape",
    lambda x, *, shape: np.reshape(x, shape),
    lambda k, g, y, values, params: reshape(g, shape=values[0].shape),
    _example((2, 3), shape=(3, 2)),
    view_fn=view_of,
)
PUT_BACK["reshape"] = lambda base, new, params: reshape(new, shape=base.shape)

transpose = linear(
    "transpose",
    lambda x, *, axes: np.transpose(x, axes),
    lambda k, g, y, values, params: transpose(g, axes=_inverse(params["axes"])),
    _example((2, 3, 4), axes=(2, 0, 1)),
    view_fn=view_of,
)
PUT_BACK["transpose"] = lambda base, new, params: transpose(new, axes=_inverse(params["axes"]))


def _broadcast_to(x, *, shape):
    if math.prod(shape) > 10_000:
        return np.broadcast_to(x, shape)
    out = np.empty_like(x, shape=shape)  # for small arrays a copy is five times faster than a view
    out[...] = x
    return out


broadcast_to = linear(
    "broadcast_to",
    _broadcast_to,
    lambda k, g, y, values, params: unbroadcast(g, values[0].shape),
    _example((3, 1), shape=(2, 3, 4)),
)

flip = linear(
    "flip",
    lambda x, *, axis: np.flip(x, axis),
    lambda k, g, y, values, params: flip(g, axis=params["axis"]),
    _example((2, 3), axis=(1,)),
    view_fn=view_of,
)
PUT_BACK["flip"] = lambda base, new, params: flip(new, axis=params["axis"])

copy = linear("copy", lambda x: np.copy(x)[()], lambda k, g, y, values, params: g, _example((2, 3)))


def _inverse(axes: tuple) -> tuple:
    return tuple(np.argsort(axes).tolist())


# --- joining --------------------------------------------------------------------------------------------------------
# Written out rather than `linear`: an argument without a tangent needs zeros of its own shape.
def _filled(tangents, values):
    return [like.zeros(values[0], np.shape(v)) if t is None else t for t, v in zip(tangents, values, strict=True)]


def _concatenate_pull(k, g, y, values, params):
    axis = params["axis"]
    start = sum(v.shape[axis] for v in values[:k])
    window = [slice(None)] * len(y.shape)
    window[axis] = slice(start, start + values[k].shape[axis])
    return g[tuple(window)]


concatenate = Primitive(
    "concatenate",
    lambda *arrays, axis: np.concatenate(arrays, axis=axis),
    lambda tangents, y, values, params: concatenate(*_filled(tangents, values), **params),
    _concatenate_pull,
    lambda rng: [((rng.normal(size=(2, 1)), rng.normal(size=(2, 3))), {"axis": 1})],
)


def _stack_pull(k, g, y, values, params):
    return g[(slice(None),) * params["axis"] + (k,)]


stack = Primitive(
    "stack",
    lambda *arrays, axis: np.stack(arrays, axis=axis),
    lambda tangents, y, values, params: stack(*_filled(tangents, values), **params),
    _stack_pull,
    lambda rng: [((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), {"axis": 1})],
)
