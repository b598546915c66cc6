"""Exponentials and hyperbolic functions."""

from __future__ import annotations

from probad.codegen.coefficients import EXP_TAIL, LOG2_PARTS
from probad.codegen.special.registry import ROUNDER, polynomial, written
from probad.codegen.special.tables import exp_of_one, exp_of_one_below_one
from probad.codegen.text import Value

LOG2_E = 1.4426950408889634


def reduced(x: Value, low: Value | None = None) -> tuple[Value, Value]:
    """For exp: the whole number n nearest to x / log 2 as bits, and r = x + low - n log 2."""
    shifted = x.fma(x.like(LOG2_E), ROUNDER)
    n = shifted.exactly("sub", ROUNDER)
    r = (-n).fma(x.like(LOG2_PARTS[0]), x)
    if low is not None:
        return shifted.bits(), r + (-n).fma(x.like(LOG2_PARTS[1]), low)
    return shifted.bits(), (-n).fma(x.like(LOG2_PARTS[1]), r)


def power_of_two(shifted: Value) -> tuple[Value, Value]:
    """2^n as a product of two powers that do not overflow; n is in the low bits."""
    low = shifted.integer("shl", 32).integer("ashr", 32)
    half = low.integer("ashr", 1)
    rest = low.fn.write(f"sub {low.type} {low.name}, {half.name}", low.type)
    return tuple(p.integer("add", 1023).integer("shl", 52).real() for p in (half, rest))


def tail(r: Value) -> Value:
    """exp(r) - 1 for small r."""
    return (r * r).fma(polynomial(r, EXP_TAIL), r)


def quick_tail(r: Value) -> Value:
    """The same with one operation less to wait for, rounded twice: for what 1 is added to."""
    square = r * r
    near, far = square.fma(polynomial(r, EXP_TAIL[:4]), r), polynomial(r, EXP_TAIL[4:])
    return (square * (square * square)).fma(far, near)


@written("exp")
def exp(x: Value) -> Value:
    """The exponential; overflow, subnormal results, infinities and nan as in C."""
    return exp_of_sum(x, None)


def exp_of_sum(x: Value, low: Value | None) -> Value:
    """exp(x + low) for |low| far below 1."""
    if x.lanes == 1:
        return exp_of_one(x, low)
    x = x.gt(710.0).select(710.0, x)
    x = x.lt(-746.0).select(-746.0, x)
    shifted, r = reduced(x, low)
    a, b = power_of_two(shifted)
    return ((tail(r) + 1.0) * a) * b


@written("exp_below_one")
def exp_below_one(x: Value) -> Value:
    """exp(x) for x <= 0, in fewer steps one after the other."""
    if x.lanes == 1:
        return exp_of_one_below_one(x)
    x = x.lt(-746.0).select(-746.0, x)
    shifted, r = reduced(x)
    a, b = power_of_two(shifted)
    scale = a * b
    return scale.fma(quick_tail(r), scale)


@written("expm1")
def expm1(x: Value) -> Value:
    """2^n (exp(r) - 1) + (2^n - 1), where the second difference is exact; for large x just exp(x)."""
    bounded = x.gt(710.0).select(710.0, x)
    bounded = bounded.lt(-50.0).select(-50.0, bounded)
    shifted, r = reduced(bounded)
    a, b = power_of_two(shifted)
    rest, scale = tail(r), a * b
    out = x.gt(50.0).select(((rest + 1.0) * a) * b, scale.fma(rest, scale - 1.0))
    return x.eq(0.0).select(x, out)


def _expm1_of_size(x: Value, largest: float) -> tuple[Value, Value]:
    """exp(t) - 1 and exp(t) / 2 for t = |x|, or `largest` if that is less; the first for t < 700."""
    t = x.abs()
    t = t.gt(largest).select(largest, t)
    shifted, r = reduced(t)
    a, b = power_of_two(shifted)
    rest, scale = tail(r), a * b
    return scale.fma(rest, scale - 1.0), ((rest + 1.0) * a) * (b * 0.5)


@written("tanh")
def tanh(x: Value) -> Value:
    """The quotient t / (t + 2) with t = exp(2 |x|) - 1."""
    t, _ = _expm1_of_size(x + x, 50.0)
    return (t / (t + 2.0)).copysign(x)


@written("sinh")
def sinh(x: Value) -> Value:
    """(t + t / (t + 1)) / 2 with t = exp(|x|) - 1; for large arguments exp(|x|) / 2."""
    t, half = _expm1_of_size(x, 711.0)
    return x.abs().gt(30.0).select(half, (t + t / (t + 1.0)) * 0.5).copysign(x)


@written("cosh")
def cosh(x: Value) -> Value:
    """The sum h + 1 / (4 h) with h = exp(|x|) / 2."""
    _, half = _expm1_of_size(x, 711.0)
    return half + 0.25 / half
