"""Small arrays written out: each operation on arrays of a few elements as operations on scalars.

An array is an int array of the numbers of its elements, and a rule makes such arrays from such arrays. Its first
argument carries out elementwise operations, ``do(op, *arrays)``, or ``do.scalar(op, *numbers)`` on single elements, and
``do.constant(x)`` gives the number of a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

SMALL = 64  # elements
PRODUCTS = 512  # multiplications in one product of arrays
LARGEST = float(np.finfo(float).max)
RULES: dict[str, Callable] = {}


def rule(*names: str) -> Callable:
    """Register ``rule(do, *arrays, **params)``, which may return None for forms that it does not cover."""

    def register(rule_fn):
        RULES.update(dict.fromkeys(names, rule_fn))
        return rule_fn

    return register


# --- reductions -------------------------------------------------------------------------------------------------------
def _reduce(rule_fn: Callable, x, axis, keepdims: bool):
    """Apply a function that reduces the last of two axes."""
    axes = tuple(range(x.ndim)) if axis is None else axis if type(axis) is tuple else (axis,)
    axes = tuple(sorted(a % x.ndim for a in axes))
    kept = [a for a in range(x.ndim) if a not in axes]
    lined = x.transpose(*kept, *axes).reshape(math.prod(x.shape[a] for a in kept), -1)
    return rule_fn(lined).reshape([1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes])


def _chain(do, op: str, x) -> np.ndarray:
    """Combine the columns of a table, one after another."""
    total = x[:, 0]
    for k in range(1, x.shape[1]):
        total = do(op, total, x[:, k])
    return total


def _reduction(name: str, op: str) -> None:
    @rule(name)
    def reduce(do, x, *, axis, keepdims):
        return _reduce(lambda table: _chain(do, op, table), x, axis, keepdims)


for _name, _op in (("sum", "add"), ("prod", "multiply"), ("max", "maximum"), ("min", "minimum")):
    _reduction(_name, _op)


@rule("cumsum")
def _cumsum(do, x, *, axis):
    lines = [np.take(x, 0, axis)]
    for k in range(1, x.shape[axis]):
        lines.append(do("add", lines[-1], np.take(x, k, axis)))
    return np.stack(lines, axis)


@rule("logsumexp")
def _logsumexp(do, x, *, axis, keepdims):
    """The largest m plus log(sum(exp(x - m))), where m is no matter of derivatives.

    In the exponent m is kept finite. The sum is at least 1 unless every term is exp(-inf); then 1/2 stands in for it,
    which has no derivative.
    """
    least, most, half = (np.array(do.constant(c)) for c in (-LARGEST, LARGEST, 0.5))

    def of(table):
        top = _chain(do, "maximum", do("stop", table))
        shift = do("minimum", do("maximum", top, least), most)
        total = _chain(do, "add", do("exp", do("subtract", table, shift[:, None])))
        return do("add", do("log", do("maximum", total, half)), top)

    return _reduce(of, x, axis, keepdims)


# --- products ---------------------------------------------------------------------------------------------------------
@rule("matmul")
def _matmul(do, a, b):
    if a.ndim > 2 or b.ndim > 2 or a.size * b.size > PRODUCTS * a.shape[-1]:
        return None
    rows = np.atleast_2d(a).tolist()
    columns = np.atleast_2d(b.T).tolist()
    out = [_dot(do.scalar, row, column) for row in rows for column in columns]
    return np.array(out, np.int64).reshape(a.shape[:-1] + (b.shape[1:] if b.ndim == 2 else ()))


def _dot(scalar: Callable, a, b) -> int:
    total = scalar("multiply", a[0], b[0])
    for x, y in zip(a[1:], b[1:], strict=True):
        total = scalar("add", total, scalar("multiply", x, y))
    return total


@rule("einsum")
def _einsum(do, *operands, subscripts):
    """All letters are axes of one product, which is summed over those that the output lacks."""
    words, arrow, output = subscripts.partition("->")
    words = words.split(",")
    if "." in subscripts or not arrow:
        return None
    lengths = {c: n for word, x in zip(words, operands, strict=True) for c, n in zip(word, x.shape, strict=True)}
    letters = output + "".join(sorted(set(lengths) - set(output)))
    shape = [lengths[c] for c in letters]
    if math.prod(shape) > PRODUCTS:
        return None
    at = dict(zip(letters, np.indices(shape), strict=True))
    product = None
    for word, x in zip(words, operands, strict=True):
        factor = x[tuple(at[c] for c in word)]
        product = factor if product is None else do("multiply", product, factor)
    summed = tuple(range(len(output), len(letters)))
    return _reduce(lambda table: _chain(do, "add", table), product, summed, False) if summed else product


# --- matrices of at most two rows -------------------------------------------------------------------------------------
def _is_tiny(a) -> bool:
    return a.ndim == 2 and len(a) in (1, 2)


def _determinant(do, a) -> np.ndarray:
    if len(a) == 1:
        return a[0, 0]
    (a, b), (c, d) = a.tolist()
    return np.array(do.scalar("subtract", do.scalar("multiply", a, d), do.scalar("multiply", b, c)))


@rule("det")
def _det(do, a):
    return _determinant(do, a) if _is_tiny(a) else None


@rule("logabsdet")
def _logabsdet(do, a):
    return do("log", do("absolute", _determinant(do, a))) if _is_tiny(a) else None


@rule("inv")
def _inv(do, a):
    """The adjugate over the determinant."""
    if not _is_tiny(a):
        return None
    if len(a) == 1:
        return do("divide", np.array(do.constant(1.0)), a)
    adjugate = [[a[1, 1], do("negative", a[0, 1])], [do("negative", a[1, 0]), a[0, 0]]]
    return do("divide", np.array(adjugate), _determinant(do, a))


@rule("solve")
def _solve(do, a, b):
    """Cramer's rule."""
    if not _is_tiny(a) or b.ndim > 2:
        return None
    if len(a) == 1:
        return do("divide", b, a[0, 0])
    determinant = _determinant(do, a)
    x = do("subtract", do("multiply", b[0], a[1, 1]), do("multiply", a[0, 1], b[1]))
    y = do("subtract", do("multiply", a[0, 0], b[1]), do("multiply", b[0], a[1, 0]))
    return do("divide", np.stack([x, y]), determinant)


@rule("cholesky")
def _cholesky(do, a):
    """L L' = A from the lower triangle of A; NaN where there is none."""
    if not _is_tiny(a):
        return None
    first = do("sqrt", a[0, 0])
    if len(a) == 1:
        return first.reshape(1, 1)
    below = do("divide", a[1, 0], first)
    rest = do("sqrt", do("subtract", a[1, 1], do("multiply", below, below)))
    return np.array([[first, do.constant(0.0)], [below, rest]])


@rule("solve_triangular")
def _solve_triangular(do, a, b, *, lower, trans):
    """Substitution."""
    if not _is_tiny(a) or b.ndim > 2:
        return None
    if trans:
        a, lower = a.T, not lower
    order = list(range(len(a))) if lower else list(range(len(a)))[::-1]
    x: dict[int, np.ndarray] = {}
    for i in order:
        total = b[i]
        for j in x:
            total = do("subtract", total, do("multiply", a[i, j], x[j]))
        x[i] = do("divide", total, a[i, i])
    return np.stack([x[i] for i in range(len(a))])
