"""Error functions, and the distribution function of the normal distribution and what belongs to it.

Sources: the scaled complementary error function after Shepherd and Laframboise (1981); the quantile function is
Wichura's algorithm AS 241 (1988).
"""

from __future__ import annotations

import math

from probad.codegen.coefficients import ERF_TAIL, SCALED_ERFC
from probad.codegen.special.exponential import exp_of_sum
from probad.codegen.special.logarithm import log_of, log_parts
from probad.codegen.special.registry import exact_square, polynomial, written
from probad.codegen.text import Value

SQRT_HALF, SQRT_PI, SQRT_2PI = math.sqrt(0.5), math.sqrt(math.pi), math.sqrt(2 * math.pi)
TWO_OVER_SQRT_PI, TWO_OVER_SQRT_PI_LOW = 1.1283791670955126, 1.533545961316588e-17

ASYMPTOTIC = (
    1.0,
    -1.0,
    3.0,
    -15.0,
    105.0,
    -945.0,
    10395.0,
)  # of sqrt(pi) x exp(x^2) erfc(x) in 1 / (2 x^2), DLMF 7.12.1


def _scaled_erfc(x: Value, factor: float = 1.0) -> Value:
    """exp(y^2) erfc(y) for y = factor x >= 0, which is not rounded itself."""
    far, middle = x.gt(28.0 / factor), 4.0 / factor
    t = (x / (x + middle)) * 2.0 - 1.0  # the same as (x - middle) / (x + middle), but exact for small x
    near = t.fma(polynomial(t, SCALED_ERFC[1:]), SCALED_ERFC[0])  # the first term is rounded only with the sum
    series = polynomial(0.5 / factor**2 / (x * x), ASYMPTOTIC) * (1 / (factor * SQRT_PI))
    return far.select(series, near) / far.select(x, (2.0 * factor) * x + 1.0)


def _exp_of_square(x: Value, factor: float) -> Value:
    """exp(factor x^2) for a power of two as factor, with the error of the square."""
    square, error = exact_square(x)
    return exp_of_sum(square * factor, error * factor)


# --- error functions --------------------------------------------------------------------------------------------------
def _erf_near_0(x: Value) -> Value:
    """erf(x) for |x| <= 1."""
    z = x * x
    return x.fma(x.like(TWO_OVER_SQRT_PI), x * z.fma(polynomial(z, ERF_TAIL), TWO_OVER_SQRT_PI_LOW))


def _bounded(x: Value, largest: float) -> Value:
    """|x|, but no more than what makes the result 0; nan stays."""
    t = x.abs()
    return t.gt(largest).select(largest, t)


@written("erf")
def erf(x: Value) -> Value:
    """By a polynomial for |x| < 1, else 1 - erfc."""
    t = _bounded(x, 8.0)
    far = 1.0 - _exp_of_square(t, -1.0) * _scaled_erfc(t)
    return t.lt(1.0).select(_erf_near_0(x), far.copysign(x))


@written("erfc")
def erfc(x: Value) -> Value:
    """By a polynomial below 1/2, else exp(-x^2) times the scaled function."""
    t = _bounded(x, 30.0)
    tail = _exp_of_square(t, -1.0) * _scaled_erfc(t)
    return t.lt(0.5).select(1.0 - _erf_near_0(x), x.lt(0.0).select(2.0 - tail, tail))


@written("erfcx")
def erfcx(x: Value) -> Value:
    """exp(x^2) erfc(x)."""
    scaled = _scaled_erfc(x.abs())
    t = _bounded(x, 27.0)
    below = x.lt(-27.0).select(math.inf, 2.0 * _exp_of_square(t, 1.0) - scaled)
    return x.lt(0.0).select(below, scaled)


# --- the normal distribution ------------------------------------------------------------------------------------------
def _tail(x: Value) -> tuple[Value, Value]:
    """For t = |x|: the probability beyond t, and the same times exp(t^2 / 2)."""
    t = _bounded(x, 40.0)
    scaled = 0.5 * _scaled_erfc(x.abs(), SQRT_HALF)
    return _exp_of_square(t, -0.5) * scaled, scaled


@written("ndtr")
def ndtr(x: Value) -> Value:
    """By the tail at |x|, which is small where it is not subtracted from 1."""
    tail, _ = _tail(x)
    near = 0.5 + 0.5 * _erf_near_0(x * SQRT_HALF)
    return x.abs().lt(0.7).select(near, x.gt(0.0).select(1.0 - tail, tail))


@written("log_ndtr")
def log_ndtr(x: Value) -> Value:
    """log(1 - tail) above 0; below, -x^2 / 2 and the logarithm of the scaled tail."""
    tail, scaled = _tail(x)
    above = x.gt(0.0)
    rest = 1.0 - tail
    error = (1.0 - rest) - tail  # of the rounding of 1 - tail
    u = above.select(rest, scaled)
    k, f = log_parts(u)
    square, more = exact_square(x)
    out = log_of(k, f, above.select(error / u, more * -0.5))
    out = above.select(out, out - square * 0.5)
    return x.lt(-1e150).select(-0.5 * x * x, out)


@written("inverse_mills")
def inverse_mills(x: Value) -> Value:
    """The density over the distribution function."""
    t = _bounded(x, 40.0)
    tail, scaled = _tail(x)
    density = _exp_of_square(t, -0.5)
    above = x.gt(0.0)
    return above.select(density, 1.0) / (above.select(1.0 - tail, scaled) * SQRT_2PI)
