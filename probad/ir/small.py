"""Small arrays written out: each operation on arrays of a few elements as operations on scalars.

An array is an int array of the numbers of its elements, and a rule makes such arrays from such arrays. `do` carries
out an elementwise operation on numbers and gives the number of the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

SMALL = 64  # elements
PRODUCTS = 512  # multiplications in one product of arrays
Do = Callable[..., int]
RULES: dict[str, Callable] = {}


def rule(*names: str) -> Callable:
    """Register ``rule(do, *arrays, **params)``, which may return None for forms that it does not cover."""

    def register(rule_fn):
        RULES.update(dict.fromkeys(names, rule_fn))
        return rule_fn

    return register


def elementwise(do: Do, op: str, arrays) -> np.ndarray:
    """An elementwise operation on arrays that broadcast."""
    arrays = np.broadcast_arrays(*arrays)
    out = [do(op, *numbers) for numbers in zip(*(a.ravel().tolist() for a in arrays), strict=True)]
    return np.array(out, np.int64).reshape(arrays[0].shape)


# --- reductions -------------------------------------------------------------------------------------------------------
def _reduce(rule_fn: Callable, x, axis, keepdims: bool):
    """Apply a function of a list of numbers along axes."""
    axes = tuple(range(x.ndim)) if axis is None else axis if type(axis) is tuple else (axis,)
    axes = tuple(sorted(a % x.ndim for a in axes))
    kept = [a for a in range(x.ndim) if a not in axes]
    lined = x.transpose(*kept, *axes).reshape(math.prod(x.shape[a] for a in kept), -1)
    if not lined.size:
        return None
    out = np.array([rule_fn(row) for row in lined.tolist()], np.int64)
    return out.reshape([1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes])


def _chain(do: Do, op: str, numbers) -> int:
    """Combine numbers one after another."""
    total, *rest = numbers
    for number in rest:
        total = do(op, total, number)
    return total


@rule("sum")
def _sum(do, x, *, axis, keepdims):
    return _reduce(lambda row: _chain(do, "add", row), x, axis, keepdims)


@rule("prod")
def _prod(do, x, *, axis, keepdims):
    return _reduce(lambda row: _chain(do, "multiply", row), x, axis, keepdims)


@rule("max")
def _max(do, x, *, axis, keepdims):
    return _reduce(lambda row: _chain(do, "maximum", row), x, axis, keepdims)


@rule("min")
def _min(do, x, *, axis, keepdims):
    return _reduce(lambda row: _chain(do, "minimum", row), x, axis, keepdims)


@rule("cumsum")
def _cumsum(do, x, *, axis):
    lines = np.moveaxis(x.copy(), axis, -1)
    for place in np.ndindex(lines.shape[:-1]):
        lines[place] = list(itertools.accumulate(lines[place].tolist(), lambda a, b: do("add", a, b)))
    return np.moveaxis(lines, -1, axis)


@rule("logsumexp")
def _logsumexp(do, x, *, axis, keepdims):
    """Log of the sum of exponentials over the largest, which is no matter of derivatives; -inf where every term is."""

    def of(row):
        top = _chain(do, "maximum", [do("stop", a) for a in row])
        shift = do("select", do("isfinite", top), top, do(None, 0.0))
        total = _chain(do, "add", [do("exp", do("subtract", a, shift)) for a in row])
        empty = do("equal", total, do(None, 0.0))
        return do("add", do("log", do("select", empty, do(None, 1.0), total)),
                  do("select", empty, do(None, -np.inf), shift))  # fmt: skip

    return _reduce(of, x, axis, keepdims)


# --- products ---------------------------------------------------------------------------------------------------------
def _dot(do: Do, a, b) -> int:
    return _chain(do, "add", [do("multiply", x, y) for x, y in zip(a, b, strict=True)])


@rule("matmul")
def _matmul(do, a, b):
    if a.ndim > 2 or b.ndim > 2 or a.size * b.size > PRODUCTS * a.shape[-1] or not a.shape[-1]:
        return None
    rows = np.atleast_2d(a).tolist()
    columns = np.atleast_2d(b if b.ndim == 1 else b.T).tolist()
    out = np.array([[_dot(do, row, column) for column in columns] for row in rows], np.int64)
    return out.reshape(a.shape[:-1] + (b.shape[1:] if b.ndim == 2 else ()))


@rule("einsum")
def _einsum(do, *operands, subscripts):
    words, _, output = subscripts.partition("->")
    words = words.split(",")
    if "." in subscripts or "->" not in subscripts:
        return None
    lengths = {c: n for word, x in zip(words, operands, strict=True) for c, n in zip(word, x.shape, strict=True)}
    summed = sorted(set(lengths) - set(output))
    if not 0 < math.prod(lengths.values()) <= PRODUCTS:
        return None

    def element(at):
        terms = []
        for rest in itertools.product(*(range(lengths[c]) for c in summed)):
            where = {**dict(zip(output, at, strict=True)), **dict(zip(summed, rest, strict=True))}
            factors = [int(x[tuple(where[c] for c in word)]) for word, x in zip(words, operands, strict=True)]
            terms.append(_chain(do, "multiply", factors))
        return _chain(do, "add", terms)

    shape = tuple(lengths[c] for c in output)
    return np.array([element(at) for at in np.ndindex(shape)], np.int64).reshape(shape)


# --- matrices of at most two rows -------------------------------------------------------------------------------------
def _determinant(do: Do, a) -> int:
    if len(a) == 1:
        return int(a[0, 0])
    (a, b), (c, d) = a.tolist()
    return do("subtract", do("multiply", a, d), do("multiply", b, c))


def _is_tiny(a) -> bool:
    return a.ndim == 2 and len(a) in (1, 2)


@rule("det")
def _det(do, a):
    return np.array(_determinant(do, a)) if _is_tiny(a) else None


@rule("logabsdet")
def _logabsdet(do, a):
    return np.array(do("log", do("absolute", _determinant(do, a)))) if _is_tiny(a) else None


@rule("inv")
def _inv(do, a):
    """The adjugate over the determinant."""
    if not _is_tiny(a):
        return None
    if len(a) == 1:
        return np.array([[do("divide", do(None, 1.0), int(a[0, 0]))]])
    determinant = _determinant(do, a)
    (a, b), (c, d) = a.tolist()
    adjugate = [[d, do("negative", b)], [do("negative", c), a]]
    return np.array([[do("divide", x, determinant) for x in row] for row in adjugate])


@rule("solve")
def _solve(do, a, b):
    """Cramer's rule."""
    if not _is_tiny(a) or b.ndim > 2:
        return None
    columns = np.atleast_2d(b if b.ndim == 1 else b.T).tolist()
    determinant = _determinant(do, a)
    if len(a) == 1:
        out = [[do("divide", x, determinant)] for (x,) in columns]
    else:
        (p, q), (r, s) = a.tolist()
        out = [
            [
                do("divide", do("subtract", do("multiply", x, s), do("multiply", q, y)), determinant),
                do("divide", do("subtract", do("multiply", p, y), do("multiply", x, r)), determinant),
            ]
            for x, y in columns
        ]
    out = np.array(out, np.int64)
    return out[0] if b.ndim == 1 else out.T


@rule("cholesky")
def _cholesky(do, a):
    """L L' = A from the lower triangle of A; NaN where there is none."""
    if not _is_tiny(a):
        return None
    zero = do(None, 0.0)
    first = do("sqrt", int(a[0, 0]))
    if len(a) == 1:
        return np.array([[first]])
    below = do("divide", int(a[1, 0]), first)
    rest = do("sqrt", do("subtract", int(a[1, 1]), do("multiply", below, below)))
    return np.array([[first, zero], [below, rest]])


@rule("solve_triangular")
def _solve_triangular(do, a, b, *, lower, trans):
    """Substitution."""
    if not _is_tiny(a) or b.ndim > 2:
        return None
    if trans:
        a, lower = a.T, not lower
    columns = np.atleast_2d(b if b.ndim == 1 else b.T).tolist()
    order = list(range(len(a))) if lower else list(range(len(a)))[::-1]
    out = []
    for right in columns:
        x: dict[int, int] = {}
        for i in order:
            total = right[i]
            for j in x:
                total = do("subtract", total, do("multiply", int(a[i, j]), x[j]))
            x[i] = do("divide", total, int(a[i, i]))
        out.append([x[i] for i in range(len(a))])
    out = np.array(out, np.int64)
    return out[0] if b.ndim == 1 else out.T
