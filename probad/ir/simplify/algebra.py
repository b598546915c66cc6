"""The equations of elementwise operations.

Each holds for all real numbers for which the left side is defined, up to rounding, and so does its derivative. The
right side may be finite where the left side overflows on the way, or has lost all digits; never is it finite where the
left side has no value. Products of scalars are formed before they multiply arrays, and leave the range of doubles
sooner than the left side only beyond 1e-150 and 1e150.
"""

from __future__ import annotations

import math

import numpy as np

from probad.ir.simplify.builder import Builder
from probad.ir.simplify.equations import equations
from probad.ir.simplify.rules import rule


def _is_finite(c: float) -> bool:
    return math.isfinite(c)


def _is_normal(x: float) -> bool:
    """Whether a constant is a number of full precision."""
    return math.isfinite(x) and abs(x) > 1e-300


def _product(c: float, d: float) -> bool:
    return _is_normal(c) and _is_normal(d) and _is_normal(c * d)


def _quotient(c: float, d: float) -> bool:
    return _is_normal(c) and _is_normal(d) and _is_normal(c / d)


def _power_of_two(c: float) -> bool:
    return _is_normal(c) and abs(math.frexp(c)[0]) == 0.5 and abs(math.frexp(c)[1]) < 1000


# --- sums and differences ---------------------------------------------------------------------------------------------
equations(
    "x + 0 = x",
    "x + x = 2 * x",
    "x + -y = x - y",
    "x - 0 = x",
    "0 - x = -x",
    "x - -y = x + y",
    "-x - y = -(x + y)",
    "-(-x) = x",
    "-(x - y) = y - x",
    ("-(c * x) = -c * x", _is_finite),
    "-(s * a) = -s * a",
)

# --- products and quotients -------------------------------------------------------------------------------------------
equations(
    "1 * x = x",
    "-1 * x = -x",
    "-x * -y = x * y",
    "x * x = square(x)",
    ("(c * x) * x = c * square(x)", _is_finite),
    ("c * -x = -c * x", _is_finite),
    ("c * (d * x) = (c * d) * x", _product),
    ("c * (x / d) = (c / d) * x", _quotient),
    ("c * (d / x) = (c * d) / x", _product),
    "s * (t * a) = (s * t) * a",
    "x / 1 = x",
    ("x / c = (1 / c) * x", _power_of_two),
    ("(c * x) / d = (c / d) * x", _quotient),
    ("c / (d * x) = (c / d) / x", _quotient),
    "-x / y = -(x / y)",
    "x / -y = -(x / y)",
    "(s * a) / t = (s / t) * a",
    "1 / (1 + exp(x)) = expit(-x)",
    "exp(x) / (1 + exp(x)) = expit(x)",
    "reciprocal(x) = 1 / x",
)


@rule("multiply", "x * c = c * x")
def _constant_first(b: Builder, x: int, y: int) -> int | None:
    return b("multiply", y, x) if b.scalar(y) is not None and b.scalar(x) is None else None


# --- powers -----------------------------------------------------------------------------------------------------------
equations(
    "x ** 1 = x",
    "x ** 2 = square(x)",
    "x ** 3 = square(x) * x",
    "x ** 4 = square(square(x))",
    "x ** -1 = 1 / x",
    "x ** -2 = 1 / square(x)",
    "x ** 0.5 = sqrt(x)",  # except at minus infinity
    "x ** -0.5 = 1 / sqrt(x)",  # likewise
    "square(-x) = square(x)",
    "square(absolute(x)) = square(x)",
    "sqrt(square(x)) = absolute(x)",
    "absolute(-x) = absolute(x)",
    "absolute(absolute(x)) = absolute(x)",
    "absolute(square(x)) = square(x)",
    "absolute(exp(x)) = exp(x)",
    "maximum(x, x) = x",
    "minimum(x, x) = x",
)

# --- exponentials and logarithms: the right sides keep digits that the left sides lose --------------------------------
equations(
    "exp(x) - 1 = expm1(x)",
    "1 - exp(x) = -expm1(x)",
    "1 - expit(x) = expit(-x)",
    "log(1 + x) = log1p(x)",
    "log(1 - x) = log1p(-x)",
    "log(1 / x) = -log(x)",
    "log(sqrt(x)) = 0.5 * log(x)",
    "log1p(exp(x)) = logaddexp(0, x)",
    "log1p(expm1(x)) = x",
    "log1p(-expit(x)) = log_expit(-x)",
    "logit(expit(x)) = x",
)


@rule("log", "log(exp(x)) = x, log(exp(x) + exp(y)) = logaddexp(x, y), log(sum(exp(x))) = logsumexp(x), ...",
      "exp", "expit", "add", "multiply", "divide", "sum", "square")  # fmt: skip
def _log(b: Builder, x: int) -> int | None:
    """The logarithm of what is made of exponentials by sums, products and quotients, without any of them."""
    return _make_log(b, x) if _is_exponential(b, x) else None


def _is_exponential(b: Builder, x: int) -> bool:
    """Whether a value is made of exponentials and is no constant, so that it is positive whatever they are."""
    op, args = b.op(x), b.args(x)
    if op in ("exp", "expit"):
        return True
    if op in ("add", "multiply", "divide"):
        found = [_is_exponential(b, a) for a in args]
        return any(found) and all(f or _is_positive(b, a) for f, a in zip(found, args, strict=True))
    return (op == "square" or (op == "sum" and b.size(args[0]) > 0)) and _is_exponential(b, args[0])


def _is_positive(b: Builder, x: int) -> bool:
    c = b.scalar(x)
    return c is not None and c > 0 and math.isfinite(c)


def _make_log(b: Builder, x: int) -> int:
    op, args = b.op(x), b.args(x)
    if x < 0:
        return b.constant(np.log(b.scalar(x)))
    if op == "exp":
        return args[0]
    if op == "expit":
        return b("log_expit", args[0])
    if op == "square":
        return b("multiply", b.constant(2.0), _make_log(b, args[0]))
    if op == "sum":
        return b("logsumexp", _make_log(b, args[0]), **b.params(x))
    parts = [_make_log(b, a) for a in args]
    return b({"add": "logaddexp", "multiply": "add", "divide": "subtract"}[op], *parts)


# --- selection --------------------------------------------------------------------------------------------------------
@rule("select", "select(c, x, x) = x, select(true, x, y) = x, select(false, x, y) = y")
def _select(b: Builder, condition: int, x: int, y: int) -> int | None:
    if x == y:
        return x
    return _settled(b, b.graph.value(condition), x, y) if condition < 0 else None


# The derivative at x = c becomes that of x: this is what is left of logaddexp's derivative where c is zero.
@rule("select", "select(x == c, c, x) = x", "equal")
def _select_equal(b: Builder, condition: int, x: int, y: int) -> int | None:
    asked = b.args(condition)
    if b.scalar(x) is None or y not in asked:
        return None
    other = asked[0] if asked[1] == y else asked[1]
    return y if b.scalar(other) == b.scalar(x) else None


@rule("where", "where(x, x) = x, where(x, y, true) = x, where(x, y, false) = y")
def _where(b: Builder, x: int, y: int, *, condition) -> int | None:
    return x if x == y else _settled(b, np.asarray(condition, dtype=bool), x, y)


def _settled(b: Builder, condition, x: int, y: int) -> int | None:
    """What a constant condition chooses, if it is the same everywhere."""
    condition = np.asarray(condition)
    condition = condition if condition.dtype.kind == "b" else condition > 0.5
    if condition.size == 0:
        return None
    return x if condition.all() else y if not condition.any() else None
