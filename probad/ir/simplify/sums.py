"""The equations of sums: what is scalar leaves them, and data are summed beforehand.

A rewritten sum has at most the rounding errors of the elements of the original one. That rules out the obvious: a sum
over data y of (y - s)^2 is not made of the sums of y^2 and y, which cancel, but of the spread of the data about their
mean and the distance of the mean from s.
"""

from __future__ import annotations

import math

import numpy as np

from probad.ir.simplify.builder import Builder
from probad.ir.simplify.equations import equations
from probad.ir.simplify.rules import WHOLE, rule

FEW = 8  # parts that are summed one by one
NEGLIGIBLE = 2.0**-55

equations(
    "sum(-a) = -sum(a)",
    "sum(s * a) = s * sum(a)",
    "sum(a / s) = sum(a) / s",
    "sum(square(a / s)) = sum(square(a)) / square(s)",
    ("sum(square(c * a)) = (c * c) * sum(square(a))", lambda c: 1e-150 < abs(c) < 1e150),
)


@rule("sum", "sum(s) = s, and over all axes by name = over everything")
def _axes(b: Builder, x: int, *, axis, keepdims) -> int | None:
    n = len(b.shape(x))
    if n == 0:
        return x
    if axis is None or keepdims:
        return None
    axes = {a % n for a in (axis if isinstance(axis, tuple) else (axis,))}
    return b("sum", x, **WHOLE) if len(axes) == n else None


@rule(
    "sum", "sum(x in another shape) = sum(x), sum(sum(x over an axis)) = sum(x)", "reshape", "transpose", "flip", "sum"
)
def _moved(b: Builder, x: int, *, axis, keepdims) -> int | None:
    return b("sum", b.args(x)[0], **WHOLE) if axis is None and not keepdims else None


@rule("sum", "sum(x repeated n times) = n sum(x)", "broadcast_to")
def _repeated(b: Builder, x: int, *, axis, keepdims) -> int | None:
    (inner,) = b.args(x)
    if axis is not None or keepdims or not b.size(inner):
        return None
    return b("multiply", b.constant(b.size(x) / b.size(inner)), b("sum", inner, **WHOLE))


@rule("sum", "sum(x and y joined) = sum(x) + sum(y)", "stack", "concatenate")
def _joined(b: Builder, x: int, *, axis, keepdims) -> int | None:
    parts = b.args(x)
    if axis is not None or keepdims or len(parts) > FEW:
        return None
    total = b("sum", parts[0], **WHOLE)
    for part in parts[1:]:
        total = b("add", total, b("sum", part, **WHOLE))
    return total


# --- sums over data ---------------------------------------------------------------------------------------------------
@rule("sum", "sum(y + s) = n (mean(y) + s), sum(t y + s) = n (t mean(y) + s) for data y; sum(r + s) = sum(r) + n s for "
      "squares r", "add", "subtract")  # fmt: skip
def _sum_of_terms(b: Builder, x: int, *, axis, keepdims) -> int | None:
    """Of other arrays it is not done: where r and -s nearly cancel, their sums would lose digits that r + s has."""
    if axis is not None or keepdims:
        return None
    op, (x, y), n = b.op(x), b.args(x), b.constant(float(b.size(x)))
    for array, s, order in ((x, y, 1), (y, x, -1)):
        if b.shape(s) == () and b.shape(array):
            values = b.data(array)
            if values is not None:
                mean, rest = _mean(values)
                total = b("multiply", n, b(op, *(b.constant(mean), s)[::order]))
                rest = rest * values.size * (-1 if op == "subtract" and order == -1 else 1)
                return b("add", total, b.constant(rest)) if rest else total
            scaled = _scaled_mean(b, array)
            if scaled is not None:
                return b("multiply", n, b(op, *(scaled, s)[::order]))
            if _is_square(b, array):
                return b(op, *(b("sum", array, **WHOLE), b("multiply", n, s))[::order])
    return None


def _mean(values: np.ndarray) -> tuple[float, float]:
    """The mean of data, as a double and what it lacks, if that matters.

    Where data lie far from zero, the rounding error of their mean is larger than those of their distances to a number
    near them, which are none.
    """
    mean = float(np.mean(values, dtype=float))
    about = values - mean
    rest = float(np.mean(about))
    return mean, rest if abs(rest) > NEGLIGIBLE * np.std(about) else 0.0


def _scaled_mean(b: Builder, x: int) -> int | None:
    """The mean of a scalar times data."""
    op, args = b.op(x), b.args(x)
    if op == "negative":
        inner = _scaled_mean(b, args[0])
        return None if inner is None else b("negative", inner)
    if op not in ("multiply", "divide"):
        return None
    for data, s in (args, args[::-1]) if op == "multiply" else (args,):
        values = b.data(data)
        if values is not None and b.shape(s) == ():
            return b(op, b.constant(_mean(values)[0]), s)
    return None


def _is_square(b: Builder, x: int) -> bool:
    """Whether an array is a square, or a scalar times a square."""
    while b.op(x) in ("negative", "multiply", "divide"):
        inner = [a for a in b.args(x) if b.shape(a)]
        if len(inner) != 1:
            return False
        x = inner[0]
    return b.op(x) == "square"


@rule("sum", "sum((y - s)^2) = sum((y - mean(y))^2) + n (mean(y) - s)^2 for data y", "square")
def _sum_of_squares(b: Builder, x: int, *, axis, keepdims) -> int | None:
    (x,) = b.args(x)
    op, args = b.op(x), b.args(x)
    if axis is not None or keepdims or op not in ("add", "subtract"):
        return None
    for data, s in (args, args[::-1]):
        values = b.data(data)
        if values is not None and b.shape(s) == ():
            mean, rest = _mean(values)
            spread = float(np.sum(((values - mean) - rest) ** 2))
            if not math.isfinite(spread):
                return None
            about = b(op, b.constant(mean), s)  # the square of y - s and of s - y is the same
            about = b("add", about, b.constant(rest)) if rest else about
            return b("add", b.constant(spread), b("multiply", b.constant(float(values.size)), b("square", about)))
    return None
