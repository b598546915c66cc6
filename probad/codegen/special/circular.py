"""Sine, cosine and tangent, and their inverses.

Sources: arguments are reduced by parts of pi/2 as in fdlibm, where each product with a whole number is exact; the
inverse functions by the addition theorem of the tangent (Cephes) and by halving the angle (fdlibm).
"""

from __future__ import annotations

import math

from probad.codegen.calls import call_by_element
from probad.codegen.coefficients import ARCSIN_TAIL, ARCTAN_TAIL, COS_TAIL, HALF_PI_PARTS, SIN_TAIL
from probad.codegen.special.registry import ROUNDER, except_for, polynomial, split, two_sum, written
from probad.codegen.text import Value

FAR = 1e6  # from here on whole multiples of pi/2 are no longer subtracted exactly
HALF_PI, HALF_PI_LOW = math.pi / 2, 6.123233995736766e-17
TAN_EIGHTH = math.sqrt(2) - 1


# --- sine and cosine --------------------------------------------------------------------------------------------------
def _quarter_turns(x: Value) -> tuple[Value, Value, Value]:
    """The whole number nearest to x / (pi/2), as bits, and what is left of x, as a sum of two."""
    shifted = (x * (2 / math.pi)).exactly("add", ROUNDER)
    n = shifted.exactly("sub", ROUNDER)
    first, second, third, last = HALF_PI_PARTS
    r = (-n).fma(x.like(first), x)
    r, error = two_sum(r, -(n * second))
    r, more = two_sum(r, -(n * third))
    low = (-n).fma(x.like(last), error + more)
    whole = r.exactly("add", low)
    return shifted.bits(), whole, low.exactly("sub", whole.exactly("sub", r))


def _sin_of(r: Value, low: Value) -> Value:
    """sin(r + low) for |r| <= pi/4."""
    z = r * r
    return r + (z * r).fma(polynomial(z, SIN_TAIL), low * (1.0 - z * 0.5))


def _cos_of(r: Value, low: Value) -> Value:
    """cos(r + low) for |r| <= pi/4."""
    z = r * r
    half = z * 0.5
    first = 1.0 - half
    rest = ((1.0 - first) - half) + ((z * z) * polynomial(z, COS_TAIL) - r * low)
    return first + rest


def _turned(n: Value, sine: Value, cosine: Value) -> Value:
    """What n quarter turns make of a sine; n is in the low bits."""
    odd = n.integer("shl", 63).lt(0)
    sign = n.integer("lshr", 1).integer("shl", 63)
    return odd.select(cosine, sine).flip(sign)


def _near_sin(x: Value) -> Value:
    n, r, low = _quarter_turns(x)
    return _turned(n, _sin_of(r, low), _cos_of(r, low))


def _near_cos(x: Value) -> Value:
    n, r, low = _quarter_turns(x)
    return _turned(n.integer("add", 1), _sin_of(r, low), _cos_of(r, low))


def _far(x: Value) -> Value:
    return (x.abs().le(FAR)).negate()


@written("sin")
def sin(x: Value) -> Value:
    """The sine; far from 0 the C library's."""
    near = x.eq(0.0).select(x, _near_sin(x))
    return except_for(_far(x), near, "sin_far", lambda x: call_by_element("sin", [x]), x)


@written("cos")
def cos(x: Value) -> Value:
    """The cosine; far from 0 the C library's."""
    return except_for(_far(x), _near_cos(x), "cos_far", lambda x: call_by_element("cos", [x]), x)


@written("tan")
def tan(x: Value) -> Value:
    """The tangent; far from 0 the C library's."""
    n, r, low = _quarter_turns(x)
    sine, cosine = _sin_of(r, low), _cos_of(r, low)
    odd = n.integer("shl", 63).lt(0)
    near = odd.select(-cosine, sine) / odd.select(sine, cosine)
    near = x.eq(0.0).select(x, near)
    return except_for(_far(x), near, "tan_far", lambda x: call_by_element("tan", [x]), x)


def sin_cos_pi(x: Value) -> tuple[Value, Value]:
    """The sine and the cosine of pi x for |x| < 2^51, exact where they are 0 and where they are 1."""
    shifted = (x * 2.0).exactly("add", ROUNDER)
    r = x - shifted.exactly("sub", ROUNDER) * 0.5
    high, low = split(r)
    pi_high, pi_low = 3.1415926218032837, 3.178650954705639e-08  # 26 bits, and the rest
    whole = high * pi_high
    rest = high * pi_low + (low * pi_high + low * pi_low)
    angle = whole.exactly("add", rest)
    error = rest.exactly("sub", angle.exactly("sub", whole))
    n, sine, cosine = shifted.bits(), _sin_of(angle, error), _cos_of(angle, error)
    return _turned(n, sine, cosine), _turned(n.integer("add", 1), sine, cosine)


# --- inverse functions ------------------------------------------------------------------------------------------------
def _arctan_of(r: Value) -> Value:
    """arctan(r) - r for |r| up to the tangent of pi/8."""
    z = r * r
    return (r * z) * polynomial(z, ARCTAN_TAIL)


@written("arctan")
def arctan(x: Value) -> Value:
    """arctan(t) = c + arctan(r): of t as it is, of (t - 1) / (t + 1) with c = pi/4, or of -1 / t with c = pi/2."""
    t = x.abs()
    small, large = t.le(TAN_EIGHTH), t.gt(1 / TAN_EIGHTH)
    above = large.select(-1.0, small.select(t, t - 1.0))
    below = large.select(t, small.select(1.0, t + 1.0))
    return _from_octant(above / below, small, large).copysign(x)


def _from_octant(r: Value, small: Value, large: Value) -> Value:
    base = small.select(0.0, large.select(r.like(HALF_PI), HALF_PI / 2))
    low = small.select(0.0, large.select(r.like(HALF_PI_LOW), HALF_PI_LOW / 2))
    return base + (r + (_arctan_of(r) + low))


@written("arctan2")
def arctan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y), from the quotient of the smaller by the larger coordinate."""
    a, b = y.abs(), x.abs()
    both = a.eq(math.inf).both(b.eq(math.inf))
    a, b = both.select(1.0, a), both.select(1.0, b)
    steep = a.gt(b)
    above, below = a.minimum(b), a.maximum(b)
    scale = below.gt(1e300).select(x.like(2.0**-100), 1.0)
    above, below = above * scale, below * scale
    small = above.le(below * TAN_EIGHTH)
    below = below.eq(0.0).select(1.0, below)
    r = small.select(above, above - below) / small.select(below, above + below)
    # the angle to the nearer axis, then away from the positive one: c + d (base + r + ...)
    base = small.select(r.like(0.0), HALF_PI / 2)
    base_low = small.select(r.like(0.0), HALF_PI_LOW / 2)
    left = x.signbit()
    c = steep.select(r.like(HALF_PI), left.select(r.like(math.pi), 0.0))
    c_low = steep.select(r.like(HALF_PI_LOW), left.select(r.like(2 * HALF_PI_LOW), 0.0))
    away = steep.differs(left)
    sum_, error = two_sum(c, away.select(-base, base))
    rest = _arctan_of(r) + base_low
    out = sum_ + (away.select(-r, r) + (away.select(-rest, rest) + (c_low + error)))
    return x.ne(x).either(y.ne(y)).select(x + y, out).copysign(y)


def _half_angle(x: Value) -> tuple[Value, Value, Value]:
    """For |x| > 1/2 the root s of (1 - |x|) / 2, else |x|; then arcsin(s) - s, and whether the root was taken."""
    t = x.abs()
    large = t.gt(0.5)
    z = large.select((1.0 - t) * 0.5, t * t)
    s = large.select(z.sqrt(), t)
    return s, (s * z) * polynomial(z, ARCSIN_TAIL), large


@written("arcsin")
def arcsin(x: Value) -> Value:
    """From |x| > 1/2 on by pi/2 - 2 arcsin(s)."""
    s, rest, large = _half_angle(x)
    return large.select(HALF_PI - (2.0 * s + (2.0 * rest - HALF_PI_LOW)), s + rest).copysign(x)


@written("arccos")
def arccos(x: Value) -> Value:
    """By 2 arcsin(s) near 1, pi - 2 arcsin(s) near -1, and pi/2 - arcsin(x) between."""
    s, rest, large = _half_angle(x)
    negative = x.lt(0.0)
    near = negative.select(HALF_PI + (s + (rest + HALF_PI_LOW)), HALF_PI - (s + (rest - HALF_PI_LOW)))
    far = 2.0 * s + 2.0 * rest
    back = math.pi - (2.0 * s + (2.0 * rest - 2 * HALF_PI_LOW))
    return large.select(negative.select(back, far), near)
