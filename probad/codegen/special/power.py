"""Powers, and logarithms and exponentials to other bases.

Source: the logarithm to the base 2 as a sum of two doubles follows fdlibm's e_pow.c and e_log2.c.
"""

from __future__ import annotations

import math

from probad.codegen.coefficients import (
    ATANH_TAIL,
    LOG2_E_PARTS,
    LOG10_2_PARTS,
    LOG10_E_PARTS,
    POWER_TAIL,
    TWO_THIRDS_LOG2_E_PARTS,
)
from probad.codegen.special.exponential import power_of_two, tail
from probad.codegen.special.logarithm import log_parts
from probad.codegen.special.registry import ROUNDER, polynomial, split, two_sum, written
from probad.codegen.text import Value

LOG2_10 = math.log2(10)


# --- exponentials -----------------------------------------------------------------------------------------------------
def _exp2_of(x: Value, low: Value | None = None) -> Value:
    """2^(x + low) for |low| far below 1."""
    x = x.gt(1100.0).select(1100.0, x)
    x = x.lt(-1100.0).select(-1100.0, x)
    shifted = x.exactly("add", ROUNDER)
    r = x.exactly("sub", shifted.exactly("sub", ROUNDER))
    a, b = power_of_two(shifted.bits())
    return ((tail((r if low is None else r + low) * math.log(2)) + 1.0) * a) * b


@written("exp2")
def exp2(x: Value) -> Value:
    """Powers of two."""
    return _exp2_of(x)


@written("exp10")
def exp10(x: Value) -> Value:
    """Powers of ten: 2^n 10^r."""
    x = x.gt(330.0).select(330.0, x)
    x = x.lt(-330.0).select(-330.0, x)
    shifted = (x * LOG2_10).exactly("add", ROUNDER)
    n = shifted.exactly("sub", ROUNDER)
    r = (-n).fma(x.like(LOG10_2_PARTS[0]), x)
    r = (-n).fma(x.like(LOG10_2_PARTS[1]), r)
    a, b = power_of_two(shifted.bits())
    return ((tail(r * math.log(10)) + 1.0) * a) * b


# --- logarithms -------------------------------------------------------------------------------------------------------
def _log_to(x: Value, inverse: tuple, per_power: tuple | None) -> Value:
    """log(x) times a constant, which is a sum of two; exact for powers of two where those give whole numbers."""
    k, f = log_parts(x)
    s = f / (f + 2.0)
    z = s * s
    half_square = (f * 0.5) * f
    rest = z * polynomial(z, ATANH_TAIL)
    high, _ = split(f.exactly("sub", half_square))
    low = f.exactly("sub", high).exactly("sub", half_square) + s * (half_square + rest)
    first, second = inverse
    whole = k if per_power is None else k * per_power[0]
    small = (low + high) * second + low * first
    if per_power is not None:
        small = k.fma(k.like(per_power[1]), small)
    product = high * first
    total, error = two_sum(whole, product)
    out = total + (error + small)
    out = x.eq(math.inf).select(x, out)
    out = x.eq(0.0).select(-math.inf, out)
    return x.ge(0.0).select(out, math.nan)


@written("log2")
def log2(x: Value) -> Value:
    """The logarithm to the base 2."""
    return _log_to(x, LOG2_E_PARTS, None)


@written("log10")
def log10(x: Value) -> Value:
    """The logarithm to the base 10."""
    return _log_to(x, LOG10_E_PARTS, LOG10_2_PARTS)


# --- powers -----------------------------------------------------------------------------------------------------------
def _log2_in_parts(x: Value) -> tuple[Value, Value]:
    """log2(x) for x > 0 as a sum of two, the first with 26 bits; together about 65."""
    k, f = log_parts(x)
    inverse = 1.0 / (f + 2.0)
    s = f * inverse
    s_high, _ = split(s)
    d_high, _ = split(f + 2.0)
    d_low = f.exactly("sub", d_high.exactly("sub", 2.0))
    s_low = inverse * ((f - s_high * d_high) - s_high * d_low)
    # log(1 + f) = 2/3 s (3 + s^2 + ...)
    z = s * s
    rest = (z * z) * polynomial(z, POWER_TAIL) + s_low * (s_high + s)
    square = s_high * s_high
    t_high, _ = split((square + 3.0) + rest)
    t_low = rest.exactly("sub", t_high.exactly("sub", 3.0).exactly("sub", square))
    u, v = s_high * t_high, s_low * t_high + t_low * s
    p_high, _ = split(u + v)
    p_low = v.exactly("sub", p_high.exactly("sub", u))
    first, second = TWO_THIRDS_LOG2_E_PARTS
    main, small = p_high * first, p_high * second + p_low * (first + second)
    high, _ = split((main + small) + k)
    return high, small.exactly("sub", high.exactly("sub", k).exactly("sub", main))


@written("power")
def power(x: Value, y: Value) -> Value:
    """x^y with the limits that C gives it at 0, infinity and 1; negative x with whole y."""
    t = x.abs()
    high, low = _log2_in_parts(t)
    bounded = y.gt(1e20).select(1e20, y)
    bounded = bounded.lt(-1e20).select(-1e20, bounded)
    y_high, y_low = split(bounded)
    main, small = high * y_high, y_low * high + bounded * low
    total, error = two_sum(main, small)
    out = _exp2_of(total, total.abs().lt(1100.0).select(error, 0.0))
    grows = y.gt(0.0)
    out = t.eq(0.0).select(grows.select(out.like(0.0), math.inf), out)
    out = t.eq(math.inf).select(grows.select(out.like(math.inf), 0.0), out)
    half = y * 0.5
    whole, odd = y.floor().eq(y), half.floor().ne(half)
    out = whole.both(odd).both(x.signbit()).select(-out, out)
    out = whole.negate().both(x.lt(0.0)).both(t.lt(math.inf)).select(math.nan, out)
    out = x.ne(x).either(y.ne(y)).select(x + y, out)
    return y.eq(0.0).either(x.eq(1.0)).select(1.0, out)


@written("hypot")
def hypot(a: Value, b: Value) -> Value:
    """The root of a^2 + b^2, scaled by a power of two where the squares would leave the range."""
    a, b = a.abs(), b.abs()
    largest = a.maximum(b)
    large, small = largest.gt(2.0**500), largest.lt(2.0**-500)
    down = large.select(a.like(2.0**-600), small.select(a.like(2.0**600), 1.0))
    up = large.select(a.like(2.0**600), small.select(a.like(2.0**-600), 1.0))
    x, y = a * down, b * down
    out = (x * x + y * y).sqrt() * up
    return a.eq(math.inf).either(b.eq(math.inf)).select(math.inf, out)
