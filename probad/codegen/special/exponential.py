"""Exponentials and hyperbolic functions."""

from __future__ import annotations

from probad.codegen.coefficients import EXP_TAIL, LOG2_PARTS
from probad.codegen.special.registry import ROUNDER, polynomial, written
from probad.codegen.text import Value

LOG2_E = 1.4426950408889634


def reduced(x: Value) -> tuple[Value, Value, Value]:
    """For exp: the whole number n nearest to x / log 2 as bits and as a double, and r = x - n log 2."""
    shifted = (x * LOG2_E).exactly("add", ROUNDER)
    n = shifted.exactly("sub", ROUNDER)
    r = (-n).fma(x.like(LOG2_PARTS[0]), x)
    r = (-n).fma(x.like(LOG2_PARTS[1]), r)
    return shifted.bits(), n, r


def power_of_two(shifted: Value) -> tuple[Value, Value]:
    """2^n as a product of two powers that do not overflow; n is in the low bits."""
    low = shifted.integer("shl", 32).integer("ashr", 32)
    half = low.integer("ashr", 1)
    rest = low.fn.write(f"sub {low.type} {low.name}, {half.name}", low.type)
    return tuple(p.integer("add", 1023).integer("shl", 52).real() for p in (half, rest))


def tail(r: Value) -> Value:
    """exp(r) - 1 for small r."""
    return (r * r).fma(polynomial(r, EXP_TAIL), r)


@written("exp")
def exp(x: Value) -> Value:
    """The exponential; overflow, subnormal results, infinities and nan as in C."""
    x = x.gt(710.0).select(710.0, x)
    x = x.lt(-746.0).select(-746.0, x)
    shifted, _, r = reduced(x)
    a, b = power_of_two(shifted)
    return ((tail(r) + 1.0) * a) * b


def exp_below_one(x: Value) -> Value:
    """exp(x) for x <= 0, in fewer steps one after the other."""
    x = x.lt(-746.0).select(-746.0, x)
    shifted, _, r = reduced(x)
    a, b = power_of_two(shifted)
    return (tail(r) + 1.0) * (a * b)


@written("expm1")
def expm1(x: Value) -> Value:
    """2^n (exp(r) - 1) + (2^n - 1), where the second difference is exact."""
    bounded = x.gt(709.0).select(709.0, x)
    bounded = bounded.lt(-50.0).select(-50.0, bounded)
    shifted, _, r = reduced(bounded)
    a, b = power_of_two(shifted)
    scale = a * b
    out = scale.fma(tail(r), scale - 1.0)
    return x.gt(709.0).select(exp(x), x.eq(0.0).select(x, out))


@written("tanh")
def tanh(x: Value) -> Value:
    """By exp(-2 |x|) - 1, which is exact near 0."""
    t = expm1(x.abs() * -2.0)
    return (-t / (t + 2.0)).copysign(x)


@written("sinh")
def sinh(x: Value) -> Value:
    """By exp(x) - 1; large arguments by the square of exp(x / 2)."""
    t = expm1(x.abs())
    half = exp(x.abs() * 0.5)
    out = x.abs().gt(700.0).select((half * 0.5) * half, (t + t / (t + 1.0)) * 0.5)
    return out.copysign(x)


@written("cosh")
def cosh(x: Value) -> Value:
    """By exp(x) and its reciprocal; large arguments by the square of exp(x / 2)."""
    e = exp(x.abs())
    half = exp(x.abs() * 0.5)
    return x.abs().gt(700.0).select((half * 0.5) * half, (e + 1.0 / e) * 0.5)
