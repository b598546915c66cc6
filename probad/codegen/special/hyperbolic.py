"""Inverse hyperbolic functions, and the cube root.

Sources: fdlibm's s_asinh.c, e_acosh.c, e_atanh.c and s_cbrt.c.
"""

from __future__ import annotations

import math

from probad.codegen.special.logarithm import log1p
from probad.codegen.special.registry import written
from probad.codegen.text import Value

LARGE = 1e17  # from here on 1 is nothing beside x, and log(1 + x) is log(x)
THIRD_OF_BIAS = 0x2A9F789300000 - 0.0


@written("arcsinh")
def arcsinh(x: Value) -> Value:
    """log(x + sqrt(x^2 + 1)), with what is added to 1 in sight."""
    t = x.abs()
    large = t.gt(LARGE)
    square = t * t
    more = large.select(t, t + square / ((square + 1.0).sqrt() + 1.0))
    return (log1p(more) + large.select(x.like(math.log(2)), 0.0)).copysign(x)


@written("arccosh")
def arccosh(x: Value) -> Value:
    """log(x + sqrt(x^2 - 1)), with what is added to 1 in sight."""
    large, t = x.gt(LARGE), x - 1.0
    more = large.select(x, t + (t * (x + 1.0)).sqrt())
    out = log1p(more) + large.select(x.like(math.log(2)), 0.0)
    return x.ge(1.0).select(out, math.nan)


@written("arctanh")
def arctanh(x: Value) -> Value:
    """log((1 + x) / (1 - x)) / 2."""
    t = x.abs()
    return (log1p((t + t) / (1.0 - t)) * 0.5).copysign(x)


@written("cbrt")
def cbrt(x: Value) -> Value:
    """A third of the exponent for a start, two steps of Halley's method, and one that sees the rounding."""
    t = x.abs()
    tiny = t.lt(2.2250738585072014e-308)
    t = tiny.select(t * 2.0**54, t)
    # the first 52 bits as a whole number, divided by 3; the constant is 2/3 of the exponent's bias, and a little less
    whole = t.bits().integer("lshr", 12).integer("or", 0x4330000000000000).real().exactly("sub", 2.0**52)
    third = (whole * (1 / 3) + THIRD_OF_BIAS).exactly("add", 2.0**52)
    y = third.bits().integer("shl", 12).real()
    for _ in range(2):
        cube = y * y * y
        y = y * ((cube * 0.5 + t) / (cube + t * 0.5))
    y = y.bits().integer("and", -(1 << 30)).real()  # so that its square has no error
    r = t / (y * y)
    y = y + y * ((r - y) / (y + y + r))
    y = tiny.select(y * 2.0**-18, y).copysign(x)
    return x.eq(0.0).either(x.abs().lt(math.inf).negate()).select(x, y)
