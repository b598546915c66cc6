"""Arrays of another shape: reshape, transpose, broadcast, tile."""

from __future__ import annotations

import numpy as np

from probad.ad.box import raw
from probad.ad.dispatch import implements
from probad.ad.functions.operands import as_operand, axes_of
from probad.ad.rules import shapes as s
from probad.errors import UnsupportedFunctionError


@implements(np.reshape)
def reshape(a, /, shape=None, order="C", **newshape):
    a = as_operand(a)
    shape = newshape.get("newshape", shape)
    shape = (int(shape),) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)
    if order not in ("C", "A"):
        raise UnsupportedFunctionError("np.reshape on a traced value takes order='C' alone; transpose first.")
    if -1 in shape:
        size, known = int(np.prod(a.shape)), int(np.prod([n for n in shape if n != -1]))
        if sum(n == -1 for n in shape) == 1 and known and size % known == 0:
            shape = tuple(size // known if n == -1 else n for n in shape)
    return s.reshape(a, shape=shape)


@implements(np.ravel)
def ravel(a, order="C"):
    flat = reshape(a, -1, order=order)
    contiguous = getattr(getattr(raw(flat), "flags", None), "c_contiguous", True)
    return flat if contiguous else s.copy(flat)  # as NumPy's: one that is not contiguous is copied


@implements(np.transpose, np.permute_dims)
def transpose(a, axes=None):
    a = as_operand(a)
    n = len(a.shape)
    return s.transpose(a, axes=tuple(reversed(range(n))) if axes is None else tuple(i % n for i in axes))


@implements(np.swapaxes)
def swapaxes(a, axis1, axis2):
    order = list(range(len(a.shape)))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(a, order)


@implements(np.moveaxis)
def moveaxis(a, source, destination):
    n = len(a.shape)
    source, destination = axes_of(source, n), axes_of(destination, n)
    order = [i for i in range(n) if i not in source]
    for to, frm in sorted(zip(destination, source, strict=True)):
        order.insert(to, frm)
    return transpose(a, order)


@implements(np.broadcast_to)
def broadcast_to(array, shape):
    shape = (int(shape),) if np.ndim(shape) == 0 else tuple(shape)
    return s.broadcast_to(array, shape=shape)


@implements(np.broadcast_arrays)
def broadcast_arrays(*args):
    args = [as_operand(a) for a in args]
    shape = np.broadcast_shapes(*(a.shape for a in args))
    return tuple(broadcast_to(a, shape) for a in args)


@implements(np.expand_dims)
def expand_dims(a, axis):
    a = as_operand(a)
    axes = axes_of(axis, len(a.shape) + np.size(axis))
    rest = iter(a.shape)
    return reshape(a, tuple(1 if i in axes else next(rest) for i in range(len(a.shape) + len(axes))))


@implements(np.squeeze)
def squeeze(a, axis=None):
    axes = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else axes_of(axis, len(a.shape))
    if any(a.shape[i] != 1 for i in axes):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return reshape(a, tuple(n for i, n in enumerate(a.shape) if i not in axes))


@implements(np.atleast_1d)
def atleast_1d(*arrays):
    out = [reshape(a, (1,)) if not a.shape else a for a in map(as_operand, arrays)]
    return out[0] if len(out) == 1 else tuple(out)


@implements(np.atleast_2d)
def atleast_2d(*arrays):
    out = [a if len(a.shape) > 1 else reshape(a, (1, -1)) for a in map(as_operand, arrays)]
    return out[0] if len(out) == 1 else tuple(out)


@implements(np.tile)
def tile(A, reps):
    reps = (reps,) if np.ndim(reps) == 0 else tuple(reps)
    shape = (1,) * (len(reps) - len(A.shape)) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    spread = tuple(k for n, rep in zip(shape, reps, strict=True) for k in (rep, n))
    once = reshape(A, tuple(k for n in shape for k in (1, n)))
    return reshape(broadcast_to(once, spread), tuple(n * rep for n, rep in zip(shape, reps, strict=True)))


@implements(np.copy)
def copy(a):
    return s.copy(a)


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x, /):
    return swapaxes(x, -1, -2)


@implements(np.rollaxis)
def rollaxis(a, axis, start=0):
    n = len(a.shape)
    axis, start = axis % n, start + n if start < 0 else start
    return moveaxis(a, axis, start - 1 if axis < start else start)


@implements(np.atleast_3d)
def atleast_3d(*arrays):
    out = []
    for a in map(as_operand, arrays):
        shape = {0: (1, 1, 1), 1: (1, *a.shape, 1), 2: (*a.shape, 1)}.get(len(a.shape), a.shape)
        out.append(reshape(a, shape))
    return out[0] if len(out) == 1 else tuple(out)


@implements(np.meshgrid)
def meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    vectors = [ravel(x) for x in xi]
    n = len(vectors)
    place = list(range(n))
    if indexing == "xy" and n > 1:
        place[:2] = 1, 0
    grids = [reshape(v, tuple(-1 if i == place[k] else 1 for i in range(n))) for k, v in enumerate(vectors)]
    return tuple(grids) if sparse else tuple(broadcast_arrays(*grids))


@implements(np.ix_)
def ix_(*args):
    n = len(args)
    return tuple(reshape(a, tuple(-1 if i == k else 1 for i in range(n))) for k, a in enumerate(args))
