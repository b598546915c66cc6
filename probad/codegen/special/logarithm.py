"""Logarithms, logistic functions, and products with logarithms."""

from __future__ import annotations

import math

from probad.codegen.coefficients import ATANH_TAIL, LOG1P_TAIL, LOG2_PARTS
from probad.codegen.special.exponential import LOG2_E, exp_below_one
from probad.codegen.special.registry import ROUNDER, polynomial, written
from probad.codegen.special.tables import log1p_of_one, log_of_one
from probad.codegen.text import Value


def log_parts(x: Value) -> tuple[Value, Value]:
    """Positive x as 2^k (1 + f) with 1 + f between the square roots of 1/2 and of 2: k and f."""
    tiny = x.lt(2.2250738585072014e-308)
    bits = tiny.select(x * 18014398509481984.0, x).bits()
    exponent = bits.integer("sub", 0x3FE6A09E667F3BCD).integer("ashr", 52)  # from the bits of the root of 1/2 on
    back = exponent.integer("shl", 52)
    mantissa = bits.fn.write(f"sub {bits.type} {bits.name}, {back.name}", bits.type).real()
    # the exponent as a double: by the bits of a large number whose low bits it becomes
    k = exponent.integer("add", 0x4338000000000000).real().exactly("sub", ROUNDER)
    return tiny.select(k - 54.0, k), mantissa.exactly("sub", 1.0)


def less_log1p(f: Value) -> tuple[Value, Value]:
    """F - log(1 + f) as a difference of two, of which the first is f^2 / 2 and much the larger."""
    s = f / (f + 2.0)
    z = s * s
    half_square = (f * 0.5) * f
    return half_square, s * (half_square + z * polynomial(z, ATANH_TAIL))


def log_of(k: Value, f: Value, low: Value) -> Value:
    """The sum k log 2 + log(1 + f) + low."""
    half_square, rest = less_log1p(f)
    small = rest + k.fma(k.like(LOG2_PARTS[1]), low)
    return k.fma(k.like(LOG2_PARTS[0]), f - (half_square - small))


@written("log")
def log(x: Value) -> Value:
    """The natural logarithm."""
    if x.lanes == 1:
        return log_of_one(x)
    k, f = log_parts(x)
    out = log_of(k, f, x.like(0.0))
    out = x.eq(math.inf).select(x, out)
    out = x.eq(0.0).select(-math.inf, out)
    return x.ge(0.0).select(out, math.nan)


def _one_plus(x: Value) -> tuple[Value, Value]:
    """1 + x rounded, and the error of the rounding."""
    u = x.exactly("add", 1.0)
    error = x.exactly("sub", u.exactly("sub", 1.0))
    large = x.exactly("sub", u).exactly("add", 1.0)  # the same where x is large
    return u, x.abs().gt(1.0).select(large, error)


@written("log1p")
def log1p(x: Value) -> Value:
    """log(u) + c / u for u = 1 + x rounded, with the error c of the rounding."""
    if x.lanes == 1:
        return log1p_of_one(x)
    u, error = _one_plus(x)
    k, f = log_parts(u)
    out = log_of(k, f, error / u)
    out = x.eq(math.inf).select(x, out)
    out = x.eq(-1.0).select(-math.inf, out)
    out = x.eq(0.0).select(x, out)  # with its sign
    return x.ge(-1.0).select(out, math.nan)


def log1p_of_part(e: Value) -> Value:
    """log(1 + e) for e between 0 and 1: without a division, for which others would wait."""
    return e * polynomial(e, LOG1P_TAIL)


# --- logistic ---------------------------------------------------------------------------------------------------------
@written("expit")
def expit(x: Value) -> Value:
    """1 / (1 + exp(-x)), with an exponential that cannot overflow."""
    e = exp_below_one(-x.abs())
    return x.ge(0.0).select(1.0, e) / (e + 1.0)


@written("log_expit")
def log_expit(x: Value) -> Value:
    """-log(1 + exp(-x))."""
    return -((-x).maximum(0.0) + log1p_of_part(exp_below_one(-x.abs())))


@written("logit")
def logit(x: Value) -> Value:
    """log(x / (1 - x)), from 0.3 on as the logarithm of 1 + (2 x - 1) / (1 - x)."""
    small, rest = x.lt(0.3), 1.0 - x
    quotient = small.select(x, 2.0 * x - 1.0) / rest
    u, error = _one_plus(quotient)
    u, error = small.select(quotient, u), small.select(0.0, error / u)
    k, f = log_parts(u)
    out = log_of(k, f, error)
    out = x.eq(1.0).select(math.inf, x.eq(0.0).select(-math.inf, out))
    return x.ge(0.0).both(x.le(1.0)).select(out, math.nan)


@written("logaddexp")
def logaddexp(a: Value, b: Value) -> Value:
    """log(exp(a) + exp(b))."""
    out = a.maximum(b) + log1p_of_part(exp_below_one(-(a - b).abs()))
    return a.eq(b).select(a + math.log(2), out)  # also of infinities, which have no difference


@written("logaddexp2")
def logaddexp2(a: Value, b: Value) -> Value:
    """log2(2^a + 2^b)."""
    out = a.maximum(b) + log1p_of_part(exp_below_one((a - b).abs() * -math.log(2))) * LOG2_E
    return a.eq(b).select(a + 1.0, out)


# --- products ---------------------------------------------------------------------------------------------------------
@written("xlogy")
def xlogy(a: Value, b: Value) -> Value:
    """The product a log(b), and 0 where a is 0."""
    return a.eq(0.0).both(b.eq(b)).select(0.0, a * log(b))


@written("xlog1py")
def xlog1py(a: Value, b: Value) -> Value:
    """The product a log(1 + b), and 0 where a is 0."""
    return a.eq(0.0).both(b.eq(b)).select(0.0, a * log1p(b))
