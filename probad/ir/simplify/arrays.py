"""The equations of operations that move the elements of arrays."""

from __future__ import annotations

from types import NoneType

import numpy as np

from probad.ir.simplify.builder import Builder, frozen
from probad.ir.simplify.rules import rule

WIDE = slice(None)


# --- shapes -----------------------------------------------------------------------------------------------------------
@rule("broadcast_to", "broadcast(x to its own shape) = x, broadcast(broadcast(x)) = broadcast(x)")
def _broadcast(b: Builder, x: int, *, shape) -> int | None:
    if b.shape(x) == tuple(shape):
        return x
    return b("broadcast_to", b.args(x)[0], shape=shape) if b.op(x) == "broadcast_to" else None


@rule("reshape", "reshape(x to its own shape) = x, reshape(reshape(x)) = reshape(x)")
def _reshape(b: Builder, x: int, *, shape) -> int | None:
    if b.shape(x) == (tuple(shape) if isinstance(shape, tuple | list) else (shape,)):
        return x
    return b("reshape", b.args(x)[0], shape=shape) if b.op(x) == "reshape" else None


@rule("transpose", "transpose(x in its own order) = x, transpose(transpose(x)) = transpose(x)")
def _transpose(b: Builder, x: int, *, axes) -> int | None:
    n = len(b.shape(x))
    order = _order(axes, n)
    if order == tuple(range(n)):
        return x
    if b.op(x) != "transpose":
        return None
    inner = _order(b.params(x)["axes"], n)
    return b("transpose", b.args(x)[0], axes=tuple(inner[a] for a in order))


def _order(axes, n: int) -> tuple[int, ...]:
    return tuple(range(n))[::-1] if axes is None else tuple(a % n for a in axes)


@rule("copy", "copy(x) = x")
def _copy(b: Builder, x: int) -> int:
    return x


# --- reading and writing ----------------------------------------------------------------------------------------------
@rule("index", "stack(x, y, ...)[i] = the i-th", "stack")
def _element(b: Builder, x: int, *, index) -> int | None:
    if type(index) is tuple and len(index) == 1:
        index = index[0]
    if type(index) is int and b.params(x)["axis"] in (0, -len(b.shape(x))):
        return b.args(x)[index]
    return None


@rule("index", "broadcast(s)[i] = broadcast(s)", "broadcast_to")
def _repeated(b: Builder, x: int, *, index) -> int | None:
    (inner,) = b.args(x)
    if b.shape(inner) != ():
        return None
    shape = np.shape(np.broadcast_to(0.0, b.shape(x))[index])
    return b("broadcast_to", inner, shape=shape) if shape else inner


@rule("index", "x[:] = x")
def _everything(b: Builder, x: int, *, index) -> int | None:
    parts = index if type(index) is tuple else (index,)
    whole = [type(p) is slice and range(n) == range(n)[p] for p, n in zip(parts, b.shape(x), strict=False)]
    return x if len(parts) <= len(b.shape(x)) and all(whole) else None


@rule("index", "x[i:] = x[i:n], x[-2:] = x[n-2:n]")
def _stated(b: Builder, x: int, *, index) -> int | None:
    """The same part is read by the same operation, however it was written."""
    if (
        type(index) is not slice
        or index.step not in (None, 1)
        or not all(type(i) in (int, NoneType) for i in (index.start, index.stop))
    ):
        return None
    start, stop, _ = index.indices(b.shape(x)[0])
    stated = slice(start, max(start, stop), None)
    return None if stated == index else b("index", x, index=stated)


@rule("scatter", "scatter(x to i, y to i) = scatter(x + y to i)")
def _scatter(b: Builder, *parts: int, indices, shape) -> int | None:
    places: dict = {}
    for part, index in zip(parts, indices, strict=True):
        places.setdefault(frozen(index, b.kept), []).append((part, index))
    if len(places) == len(parts):
        return None
    new = []
    for group in places.values():
        total = group[0][0]
        for part, _ in group[1:]:
            total = b("add", total, part)
        new.append((total, group[0][1]))
    return b("scatter", *(p for p, _ in new), indices=[i for _, i in new], shape=shape)
