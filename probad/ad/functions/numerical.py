"""Differences, sums over grids, convolution, interpolation and polynomials."""

from __future__ import annotations

import numpy as np

from probad.ad.box import peel
from probad.ad.dispatch import implements
from probad.ad.functions import reductions as red
from probad.ad.functions.elements import take
from probad.ad.functions.joining import concatenate
from probad.ad.functions.operands import as_operand, axes_of
from probad.ad.functions.shapes import moveaxis, ravel
from probad.ad.rules import convolution
from probad.ad.rules import elementwise as e
from probad.errors import UnsupportedFunctionError


# --- differences and sums -------------------------------------------------------------------------------------------
@implements(np.diff)
def diff(a, n=1, axis=-1, prepend=None, append=None):
    a = as_operand(a)
    axis %= len(a.shape)
    ends = [end for end in (prepend, append) if end is not None and end is not np._NoValue]
    if ends:
        edge = tuple(1 if i == axis else m for i, m in enumerate(a.shape))
        whole = [np.broadcast_to(as_operand(p), edge) if np.ndim(p) == 0 else as_operand(p) for p in ends]
        a = concatenate([whole[0], a, *whole[1:]] if prepend is ends[0] else [a, whole[0]], axis)
    window = (slice(None),) * axis
    for _ in range(n):
        a = a[(*window, slice(1, None))] - a[(*window, slice(None, -1))]
    return a


@implements(np.ediff1d)
def ediff1d(ary, to_end=None, to_begin=None):
    steps = diff(ravel(ary))
    parts = [to_begin, steps, to_end]
    return concatenate([ravel(as_operand(p)) for p in parts if p is not None])


@implements(np.trapezoid)
def trapezoid(y, x=None, dx=1.0, axis=-1):
    y = moveaxis(as_operand(y), axis, -1)
    if x is not None:
        x = as_operand(x)
        dx = diff(x if len(x.shape) == 1 else moveaxis(x, axis, -1))
    return red.sum(dx * (y[..., 1:] + y[..., :-1]) / 2.0, -1)


@implements(np.gradient)
def gradient(f, *varargs, axis=None, edge_order=1):
    f = as_operand(f)
    axes = axes_of(axis, len(f.shape))
    spacings = [1.0] * len(axes) if not varargs else list(varargs) * (len(axes) if len(varargs) == 1 else 1)
    if len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order not in (1, 2) or any(f.shape[i] < edge_order + 1 for i in axes):
        raise ValueError("the array is too small, or edge_order not 1 or 2")
    out = [
        moveaxis(_slopes(moveaxis(f, i, 0), as_operand(h), edge_order), 0, i)
        for i, h in zip(axes, spacings, strict=True)
    ]
    return out[0] if len(out) == 1 else tuple(out)


def _slopes(f, h, edge_order: int):
    """Second-order differences along the first axis, on a grid of step `h` or of coordinates `h`."""
    tail = (...,) + (None,) * (len(f.shape) - 1)
    steps = diff(h)[tail] if len(h.shape) else np.broadcast_to(h, (f.shape[0] - 1,))[tail]
    rise = diff(f, axis=0)
    chords = rise / steps
    left, right = steps[:-1], steps[1:]
    inner = (chords[:-1] * right + chords[1:] * left) / (left + right)
    first, last = chords[:1], chords[-1:]
    if edge_order == 2:  # the slope of the parabola through three points at its end
        first = first + (first - chords[1:2]) * steps[:1] / (steps[:1] + steps[1:2])
        last = last + (last - chords[-2:-1]) * steps[-1:] / (steps[-1:] + steps[-2:-1])
    return concatenate([first, inner, last], 0)


# --- convolution ----------------------------------------------------------------------------------------------------
@implements(np.convolve)
def convolve(a, v, mode="full"):
    a, v = ravel(as_operand(a)), ravel(as_operand(v))
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    n, m = a.shape[0], v.shape[0]
    full = convolution.convolve(a, v)
    if mode in ("full", 2):
        return full
    if mode in ("same", 1):
        start = (m - 1) // 2
        return full[start : start + n]
    if mode in ("valid", 0):
        return full[m - 1 : n]
    raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")


@implements(np.correlate)
def correlate(a, v, mode="valid"):
    a, v = ravel(as_operand(a)), ravel(as_operand(v))
    n, m = a.shape[0], v.shape[0]
    if mode in ("same", 1) and n < m:  # NumPy swaps the two and reverses the result
        return correlate(v, a, mode)[::-1]
    full = convolution.convolve(a, v[::-1])
    if mode in ("full", 2):
        return full
    if mode in ("same", 1):
        start = (m - 1) // 2
        return full[start : start + n]
    return full[min(n, m) - 1 : max(n, m)]


# --- interpolation and polynomials ----------------------------------------------------------------------------------
@implements(np.interp)
def interp(x, xp, fp, left=None, right=None):
    """Piecewise linear; at a knot the derivative in `x` is the slope to its right, beyond the ends it is 0."""
    x, xp, fp = as_operand(x), as_operand(xp), as_operand(fp)
    plain, knots = peel(x), peel(xp)
    n = xp.shape[0]
    j = np.clip(np.searchsorted(knots, plain, side="right") - 1, 0, max(n - 2, 0))
    here, there = take(xp, j, 0), take(xp, np.minimum(j + 1, n - 1), 0)
    width = e.where(there - here, 1.0, condition=peel(there) > peel(here))
    inside = take(fp, j, 0) + (x - here) * ((take(fp, np.minimum(j + 1, n - 1), 0) - take(fp, j, 0)) / width)
    out = e.where(as_operand(fp[0] if left is None else left), inside, condition=plain < knots[0])
    end = as_operand(fp[n - 1] if right is None else right)
    out = e.where(end, out, condition=plain > knots[n - 1])
    return e.where(out, fp[n - 1], condition=plain != knots[n - 1])


@implements(np.unwrap)
def unwrap(p, discont=None, axis=-1, *, period=2 * np.pi):
    plain = peel(p)
    return p + (np.unwrap(plain, discont=discont, axis=axis, period=period) - plain)


@implements(np.polyval)
def polyval(p, x):
    p, x = as_operand(p), as_operand(x)
    out = 0.0 * x
    for k in range(p.shape[0]):
        out = out * x + p[k]
    return out


@implements(np.polyadd)
def polyadd(a1, a2):
    a1, a2 = ravel(as_operand(a1)), ravel(as_operand(a2))
    n = max(a1.shape[0], a2.shape[0])
    left, right = (concatenate([np.zeros(n - a.shape[0]), a]) for a in (a1, a2))
    return left + right


@implements(np.polysub)
def polysub(a1, a2):
    return polyadd(a1, -as_operand(a2))


@implements(np.polymul)
def polymul(a1, a2):
    return convolve(a1, a2)


@implements(np.polyder)
def polyder(p, m=1):
    for _ in range(m):
        n = p.shape[0]
        p = p[:-1] * np.arange(n - 1, 0, -1.0)
    return p


@implements(np.polyint)
def polyint(p, m=1, k=None):
    constants = np.broadcast_to(0.0 if k is None else as_operand(k), (m,))
    for i in range(m):
        n = p.shape[0]
        p = concatenate([p / np.arange(n, 0, -1.0), constants[i : i + 1]])
    return p


@implements(np.poly)
def poly(seq_of_zeros):
    """The coefficients of the polynomial with these zeros."""
    zeros = as_operand(seq_of_zeros)
    if len(zeros.shape) != 1:
        raise UnsupportedFunctionError(
            "np.poly on a traced value takes the zeros, not a matrix; use np.linalg.eigvalsh for a symmetric one."
        )
    out = np.ones(1)
    for k in range(zeros.shape[0]):
        out = convolve(out, np.stack([0.0 * zeros[k] + 1.0, -zeros[k]]))
    return out
