"""Reductions and running sums: sum, prod, max, min, cumsum, logsumexp."""

from __future__ import annotations

import numpy as np

from probad.ad.box import holds, peel
from probad.ad.core import Primitive
from probad.ad.kinds import linear
from probad.ad.rules import like
from probad.ad.rules.shapes import broadcast_to, reshape


def _examples(low=-2.0, high=2.0):
    """Arrays reduced in every way: over all axes, one axis, several, with and without kept dimensions."""

    def examples(rng):
        x = rng.uniform(low, high, (2, 3, 4))
        cases = [(None, False), (1, False), ((0, -1), False), (2, True), (None, True)]
        return [((x,), {"axis": axis, "keepdims": keepdims}) for axis, keepdims in cases]

    return examples


def spread(g, shape: tuple, axis, keepdims: bool):
    """Repeat the reduced `g` along the axes it lost, back to `shape`."""
    if not keepdims and axis is not None:
        axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
        g = reshape(g, shape=tuple(1 if i in axes else n for i, n in enumerate(shape)))
    return broadcast_to(g, shape=shape)


def _sum_transpose(k, g, y, values, params):
    x = values[0]
    if type(g) is np.float64 and x.size <= 10_000:  # the common case, and a fill is faster than a view
        out = np.empty(x.shape)
        out.fill(g)
        return out
    return spread(g, x.shape, **params)


sum = linear("sum", np.add.reduce, _sum_transpose, _examples())


def _weighted(name, impl, weights_fn, examples):
    """A reduction whose gradient is a weight for each element: ``weights_fn(x, y)``, with `y` spread to x's shape."""

    def weights(y, values, params):
        x = values[0]
        return weights_fn(x, spread(y, x.shape, **params), params)

    def push(tangents, y, values, params):
        return sum(tangents[0] * weights(y, values, params), **params)

    def pull(k, g, y, values, params):
        return spread(g, values[0].shape, **params) * weights(y, values, params)

    return Primitive(name, impl, push, pull, examples)


def _shared(x, y, params):
    """1 where the extreme is attained; ties share it equally."""
    hit = (peel(x) == peel(y)).astype(float)
    return hit / hit.sum(axis=params["axis"], keepdims=True)


max = _weighted("max", lambda x, *, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims), _shared, _examples())
min = _weighted("min", lambda x, *, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims), _shared, _examples())


def _product_of_others(x, y, params):
    """Y / x, and the product itself where x is 0: prod has a derivative there, division has not."""
    if holds(peel(x) != 0):
        return y / x
    axis = params["axis"]
    shape = x.shape
    axes = tuple(range(len(shape))) if axis is None else tuple(a % len(shape) for a in np.atleast_1d(axis))
    rest = tuple(i for i in range(len(shape)) if i not in axes)
    lined = np.transpose(x, rest + axes)
    flat = reshape(lined, shape=(*(shape[i] for i in rest), int(np.prod([shape[i] for i in axes]))))
    n = flat.shape[-1]
    factors = np.where(like.counts(x, n)[:, None] == like.counts(x, n), 1.0, flat[..., None, :])
    others = product(factors, axis=-1, keepdims=False)
    return np.transpose(reshape(others, shape=lined.shape), tuple(np.argsort(rest + axes).tolist()))


product = _weighted(
    "prod",
    lambda x, *, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims),
    _product_of_others,
    lambda rng: [*_examples(0.5, 1.5)(rng), ((np.array([2.0, 0.0, 3.0]),), {"axis": None, "keepdims": False})],
)


def _softmax(x, y, params):
    """The weights of logsumexp; all zero where every term is exp(-inf)."""
    shifted = x - np.nan_to_num(peel(max(peel(x), axis=params["axis"], keepdims=True)), nan=np.nan)
    terms = np.exp(shifted)
    total = sum(terms, axis=params["axis"], keepdims=True)
    return terms / np.where(peel(total) == 0, 1.0, total)


def _logsumexp(x, *, axis, keepdims):
    top = np.max(x, axis=axis, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        out = np.log(np.add.reduce(np.exp(x - safe), axis=axis, keepdims=True)) + safe
    return (out if keepdims else np.squeeze(out, axis=axis))[()]


logsumexp = _weighted("logsumexp", _logsumexp, _softmax, _examples())

cumsum = linear(
    "cumsum",
    lambda x, *, axis: np.cumsum(x, axis=axis),
    lambda k, g, y, values, params: np.flip(cumsum(np.flip(g, params["axis"]), axis=params["axis"]), params["axis"]),
    lambda rng: [((rng.normal(size=(2, 3)),), {"axis": axis}) for axis in (0, -1)],
)
