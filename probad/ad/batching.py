"""How each primitive acts on a batch: rules keyed by its name.

A rule is called as ``rule(primitive, n, values, batched, params)``: the values that are batched have an axis of length
`n` in front, and so has the result. A rule is written in primitives, so that batches nest in anything. A primitive
without a rule is applied to one element after the other, which is always right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from probad.ad.box import Box, is_foreign, raw
from probad.ad.core import PRIMITIVES
from probad.ad.kinds import PARTIALS, Constant
from probad.ad.rules import dynamic, indexing, like, shapes
from probad.errors import ConversionError

BATCHERS: dict[str, Callable] = {}


def rule_for(primitive) -> Callable:
    """The batching rule of a primitive or of a piecewise constant operation."""
    if not isinstance(primitive, Constant) and PRIMITIVES.get(primitive.name) is not primitive:
        return one_by_one  # made for one call, such as a function with a custom derivative
    rule = BATCHERS.get(primitive.name)
    if rule is None:
        is_elementwise = primitive.name in PARTIALS or isinstance(primitive.impl, np.ufunc)
        rule = elementwise if is_elementwise else one_by_one
    return rule


def batches(*names: str) -> Callable:
    """Register a batching rule for the primitives of these names."""

    def register(rule):
        for name in names:
            BATCHERS[name] = rule
        return rule

    return register


def _shape(x) -> tuple:
    if type(x) is float or type(x) is int:
        return ()
    return x.shape if hasattr(x, "shape") else np.shape(x)


def _in_batch(x, n: int, is_batched: bool):
    """An array with the axis of the batch in front, by repetition if it has none."""
    return x if is_batched else shapes.broadcast_to(x, shape=(n, *_shape(x)))


def _padded(x, rank: int):
    """A batched array whose elements have `rank` axes, new ones of length 1 in front of the old."""
    missing = rank - (len(x.shape) - 1)
    return shapes.reshape(x, shape=(x.shape[0], *(1,) * missing, *x.shape[1:])) if missing > 0 else x


# --- one element after the other ------------------------------------------------------------------------------------
def one_by_one(primitive, n, values, batched, params):
    """The rule of what has no rule."""
    results = [primitive(*[v[i] if b else v for v, b in zip(values, batched, strict=True)], **params) for i in range(n)]
    if isinstance(results[0], tuple):
        raise ConversionError(
            f"{primitive.name} gives results of a different shape for each element of a batch. Use np.where, or a loop."
        )
    if len({_shape(y) for y in results}) > 1:
        raise ConversionError(
            f"{primitive.name} gives shapes {_shape(results[0])}, {_shape(results[1])}, ... for the elements of one "
            "batch: its shape depends on values. Use np.where, or a loop."
        )
    return shapes.stack(*results, axis=0)


def of_the_first(primitive, n, values, batched, params):
    """An answer that depends on shapes and types alone."""
    return primitive(*[v[0] if b else v for v, b in zip(values, batched, strict=True)], **params)


for _name in ("iscomplexobj", "isrealobj", "result_type", "can_cast", "array_repr", "array_str", "array2string",
              "may_share_memory", "shares_memory", "min_scalar_type"):  # fmt: skip
    BATCHERS[_name] = of_the_first


# --- elementwise ----------------------------------------------------------------------------------------------------
@batches("where", "select", "scale", "isclose", "astype", "finite_numbers", "round", "around", "fix", "isneginf",
         "isposinf", "iscomplex", "isreal")  # fmt: skip
def elementwise(primitive, n, values, batched, params):
    """Bring the elements to one number of axes; NumPy's broadcasting does the rest."""
    ranks = [len(_shape(v)) - b for v, b in zip(values, batched, strict=True)]
    rank = max(ranks)
    if "condition" in params:
        rank = max(rank, np.ndim(params["condition"]))
    if rank and any(b and r < rank for b, r in zip(batched, ranks, strict=True)):
        values = [_padded(v, rank) if b else v for v, b in zip(values, batched, strict=True)]
    return primitive(*values, **params)


# --- along axes -----------------------------------------------------------------------------------------------------
def _shifted(axis, ndim: int):
    """Axes of an element as axes of the batch; None, all of them."""
    if axis is None:
        return tuple(range(1, ndim + 1))
    if isinstance(axis, tuple | list):
        return tuple(int(a) % ndim + 1 for a in axis)
    return int(axis) % ndim + 1


@batches("sum", "prod", "max", "min", "logsumexp", "cumsum", "flip", "any", "all", "count_nonzero")
def along_axes(primitive, n, values, batched, params):
    """For operations over one axis, several or all."""
    x, *rest = values
    if rest or not batched[0]:
        return one_by_one(primitive, n, values, batched, params)
    return primitive(x, **{**params, "axis": _shifted(params.get("axis"), len(x.shape) - 1)})


@batches("argmax", "argmin", "argsort")
def along_one_axis(primitive, n, values, batched, params):
    """For operations whose answer is a position along an axis, or in the whole array."""
    x, *rest = values
    default = -1 if primitive.name == "argsort" else None
    axis = params.get("axis", default)
    if rest or (axis is None and params.get("keepdims")):
        return one_by_one(primitive, n, values, batched, params)
    if axis is None:
        return primitive(shapes.reshape(x, shape=(n, int(np.prod(x.shape[1:])))), **{**params, "axis": 1})
    return primitive(x, **{**params, "axis": _shifted(axis, len(x.shape) - 1)})


# --- shapes ---------------------------------------------------------------------------------------------------------
@batches("reshape")
def _reshape(primitive, n, values, batched, params):
    return primitive(values[0], shape=(n, *params["shape"]))


@batches("transpose")
def _transpose(primitive, n, values, batched, params):
    return primitive(values[0], axes=(0, *(a + 1 for a in params["axes"])))


@batches("broadcast_to")
def _broadcast_to(primitive, n, values, batched, params):
    shape = params["shape"]
    return primitive(_padded(values[0], len(shape)), shape=(n, *shape))


@batches("copy", "cholesky", "inv", "pinv", "det", "logabsdet", "eigh", "svd", "qr")
def as_it_is(primitive, n, values, batched, params):
    """For operations that take stacks of matrices, or arrays of any shape."""
    return primitive(*values, **params)


@batches("rfft")
def _rfft(primitive, n, values, batched, params):
    """The real and imaginary parts are the first axis of the result."""
    y = primitive(values[0], **params)
    return shapes.transpose(y, axes=(1, 0, *range(2, len(y.shape))))


@batches("irfft")
def _irfft(primitive, n, values, batched, params):
    (z,) = values
    return primitive(shapes.transpose(z, axes=(1, 0, *range(2, len(z.shape)))), **params)


@batches("concatenate", "stack")
def _join(primitive, n, values, batched, params):
    whole = [_in_batch(v, n, b) for v, b in zip(values, batched, strict=True)]
    rank = len(whole[0].shape) - (primitive.name == "concatenate")
    return primitive(*whole, axis=params["axis"] % rank + 1)


# --- elements -------------------------------------------------------------------------------------------------------
def _counts(x, n: int):
    """The integers 0 to n - 1, of the array module of `x`."""
    return like.counts(x, n) if is_foreign(raw(x)) else np.arange(n)


def _positions(index, shape: tuple, x):
    """The flat positions that an index reaches in the elements of `x`, in the shape of what it reads."""
    return _counts(x, int(np.prod(shape))).reshape(shape)[index]


def _region_rank(index, shape: tuple) -> int:
    """How many axes there are in what a basic index reaches."""
    return np.ndim(np.broadcast_to(0.0, shape)[index])


def _flat(x, n: int):
    return shapes.reshape(x, shape=(n, int(np.prod(x.shape[1:]))))


def _inner_index(index) -> tuple:
    """A basic index, for each element of the batch."""
    return (slice(None), *(index if type(index) is tuple else (index,)))


@batches("index")
def _index(primitive, n, values, batched, params):
    x, index = values[0], params["index"]
    if indexing.is_basic(index):
        return primitive(x, index=_inner_index(index))
    return primitive(_flat(x, n), index=(slice(None), _positions(index, x.shape[1:], x)))


def _fitted(v, is_batched: bool, rank: int):
    """A value that is written to a region of `rank` axes: NumPy drops leading axes of length 1, and adds them."""
    if not is_batched:
        return v
    if len(v.shape) - 1 > rank:
        return shapes.reshape(v, shape=(v.shape[0], *v.shape[len(v.shape) - rank :]))
    return _padded(v, rank)


@batches("index_set")
def _index_set(primitive, n, values, batched, params):
    x, v = values
    index = params["index"]
    x = _in_batch(x, n, batched[0])
    if indexing.is_basic(index):
        v = _fitted(v, batched[1], _region_rank(index, x.shape[1:]))
        return primitive(x, v, index=_inner_index(index))
    positions = _positions(index, x.shape[1:], x)
    v = _fitted(v, batched[1], positions.ndim)
    return shapes.reshape(primitive(_flat(x, n), v, index=(slice(None), positions)), shape=x.shape)


@batches("scatter")
def _scatter(primitive, n, values, batched, params):
    shape, indices = tuple(params["shape"]), params["indices"]
    if all(map(indexing.is_basic, indices)):
        ranks = [_region_rank(index, shape) for index in indices]
        parts = [_fitted(_in_batch(v, n, b), True, r) for v, b, r in zip(values, batched, ranks, strict=True)]
        return primitive(*parts, indices=list(map(_inner_index, indices)), shape=(n, *shape))
    positions = [_positions(index, shape, values[0]) for index in indices]
    parts = [_fitted(_in_batch(v, n, b), True, np.ndim(p)) for v, b, p in zip(values, batched, positions, strict=True)]
    flat = (n, int(np.prod(shape)))
    out = primitive(*parts, indices=[(slice(None), p) for p in positions], shape=flat)
    return shapes.reshape(out, shape=(n, *shape))


def _positions_each(template, indices, batched, shape: tuple, n: int):
    """The flat positions that the indices of each element of the batch reach, or None if another level batches too."""
    if any(type(i) is Box for i in indices):
        return None
    each = [dynamic.fill(template, [i[k] if b else i for i, b in zip(indices, batched, strict=True)]) for k in range(n)]
    return np.stack([_positions(index, shape, indices[0]) for index in each])


def _rows(positions):
    """The number of the element of the batch, beside its positions."""
    n = positions.shape[0]
    return _counts(positions, n).reshape(n, *(1,) * (positions.ndim - 1))


@batches("lookup")
def _lookup(primitive, n, values, batched, params):
    x, *indices = values
    shape = x.shape[1:] if batched[0] else _shape(x)
    positions = _positions_each(params["template"], indices, batched[1:], shape, n)
    if positions is None:
        return one_by_one(primitive, n, values, batched, params)
    if batched[0]:
        return indexing.index(_flat(x, n), index=(_rows(positions), positions))
    return indexing.index(shapes.reshape(x, shape=(int(np.prod(shape)),)), index=positions)


@batches("deposit")
def _deposit(primitive, n, values, batched, params):
    g, *indices = values
    shape = tuple(params["shape"])
    positions = _positions_each(params["template"], indices, batched[1:], shape, n)
    if positions is None:
        return one_by_one(primitive, n, values, batched, params)
    g = _fitted(_in_batch(g, n, batched[0]), True, positions.ndim - 1)
    flat = indexing.scatter(g, indices=[(_rows(positions), positions)], shape=(n, int(np.prod(shape))))
    return shapes.reshape(flat, shape=(n, *shape))


# --- products -------------------------------------------------------------------------------------------------------
@batches("matmul")
def _matmul(primitive, n, values, batched, params):
    """Vectors become matrices of one row or column; the axes of stacks are aligned."""
    a, b = values
    a_rank, b_rank = (len(_shape(v)) - is_batched for v, is_batched in zip(values, batched, strict=True))
    if a_rank == 1 and not batched[1] and b_rank <= 2:
        return primitive(a, b)  # a stack of rows times one matrix or vector
    if b_rank == 1 and not batched[0] and a_rank <= 2:
        return primitive(b, a if a_rank == 1 else shapes.transpose(a, axes=(1, 0)))
    if a_rank == 1:
        a = shapes.reshape(a, shape=(*a.shape[:-1], 1, a.shape[-1]))
    if b_rank == 1:
        b = shapes.reshape(b, shape=(*b.shape, 1))
    rank = max(a_rank, b_rank, 2)
    y = primitive(_padded(a, rank) if batched[0] else a, _padded(b, rank) if batched[1] else b)
    dropped = [axis for axis, is_vector in ((-2, a_rank == 1), (-1, b_rank == 1)) if is_vector]
    kept = [k for i, k in enumerate(y.shape) if i - len(y.shape) not in dropped]
    return shapes.reshape(y, shape=tuple(kept)) if dropped else y


@batches("einsum")
def _einsum(primitive, n, values, batched, params):
    inputs, output = params["subscripts"].split("->")
    letter = next(c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkjihgfedcba" if c not in params["subscripts"])
    terms = [letter + t if b else t for t, b in zip(inputs.split(","), batched, strict=True)]
    return primitive(*values, subscripts=f"{','.join(terms)}->{letter}{output}")


@batches("solve")
def stacks(primitive, n, values, batched, params):
    """For operations that broadcast stacks of matrices."""
    rank = max(len(_shape(v)) - b for v, b in zip(values, batched, strict=True))
    return primitive(*[_padded(v, rank) if b else v for v, b in zip(values, batched, strict=True)], **params)


# --- triangular systems ---------------------------------------------------------------------------------------------
@batches("solve_triangular")
def _solve_triangular(primitive, n, values, batched, params):
    a, b = values
    a_rank, b_rank = (len(_shape(v)) - is_batched for v, is_batched in zip(values, batched, strict=True))
    is_vector = b_rank == 1 or b_rank == a_rank - 1
    if is_vector:
        b = shapes.reshape(b, shape=(*_shape(b), 1))
        b_rank += 1
    if not batched[0] and a_rank == b_rank == 2:  # one matrix: the right-hand sides stand side by side
        rows, columns = b.shape[1:]
        side_by_side = shapes.reshape(shapes.transpose(b, axes=(1, 0, 2)), shape=(rows, n * columns))
        y = shapes.reshape(primitive(a, side_by_side, **params), shape=(rows, n, columns))
        y = shapes.transpose(y, axes=(1, 0, 2))
    else:
        rank = max(a_rank, b_rank)
        a, b = (_padded(_in_batch(v, n, is_b), rank) for v, is_b in zip((a, b), batched, strict=True))
        y = primitive(a, b, **params)
    return shapes.reshape(y, shape=y.shape[:-1]) if is_vector else y


# --- what cannot be batched -----------------------------------------------------------------------------------------
@batches("nonzero", "flatnonzero", "argwhere")
def _ragged(primitive, n, values, batched, params):
    raise ConversionError(
        f"np.{primitive.name} of a batched value has as many results as each element of the batch says. Use "
        "np.where(condition, a, b), or np.sum(x, where=condition)."
    )
