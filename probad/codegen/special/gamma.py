"""The logarithm of the gamma function and its derivatives.

Sources: Stirling's series and those of its derivatives (DLMF 5.11), with coefficients fitted down to 2.5 or 3; Euler's
reflection (DLMF 5.5.3). Below, the recurrence leads to an interval around a zero of the function.
"""

from __future__ import annotations

import math

from probad.codegen.coefficients import (
    GAMMALN_NEAR_2,
    LOG2_PARTS,
    PSI_NEAR_ROOT,
    PSI_ROOT_PARTS,
    PSI_TAIL,
    STIRLING,
    TRIGAMMA_TAIL,
)
from probad.codegen.special.circular import sin_cos_pi
from probad.codegen.special.logarithm import less_log1p, log, log_parts
from probad.codegen.special.registry import except_for, polynomial, times_polynomial, written
from probad.codegen.text import Value

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@written("gammaln")
def gammaln(x: Value) -> Value:
    """Log |Gamma(x)|: Stirling's series from 2.5 on; below log Gamma(2 + w), from which logarithms are taken."""
    return except_for(x.le(0.0), _positive_gammaln(x), "gammaln_reflected", _reflected_gammaln, x)


@written("loggamma")
def loggamma(x: Value) -> Value:
    """The principal logarithm of Gamma, which is no real number below 0."""
    return x.lt(0.0).select(math.nan, gammaln(x))


def _log_in_parts(x: Value) -> tuple[Value, Value]:
    """A logarithm as a sum of two, the first of which has few bits: of x from 2.5 on.

    Below, what `gammaln` subtracts: log(x (x + 1)), log x, and 0 from 1.35 on. `psi` uses the same logarithm.
    """
    factor = x.lt(0.5).select(x * (x + 1.0), x.lt(1.35).select(x, 1.0))
    k, f = log_parts(x.ge(2.5).select(x, factor))
    half_square, rest = less_log1p(f)
    part = f - (half_square - k.fma(k.like(LOG2_PARTS[1]), rest))
    return k * LOG2_PARTS[0], x.eq(math.inf).select(x, part)


def _positive_gammaln(x: Value) -> Value:
    """For x > 0, and below 2.5 by log Gamma(2 + w): Gamma(2 + w) = x (x + 1) Gamma(x) for w = x, and so on."""
    whole, part = _log_in_parts(x)
    w = x - x.lt(0.5).select(0.0, x.lt(1.35).select(x.like(1.0), 2.0))
    near = times_polynomial(w, GAMMALN_NEAR_2) - (whole + part)
    inverse = 1.0 / x
    series = inverse * polynomial(inverse * inverse, STIRLING)
    far = (x - 0.5) * (whole.exactly("sub", 1.0) + part) + (series + (HALF_LOG_2PI - 0.5))
    return x.ge(2.5).select(far, near)


def _reflected_gammaln(x: Value) -> Value:
    """For x <= 0: log(pi / |sin(pi x)|) - log Gamma(1 - x); infinite at the poles."""
    sine, _ = sin_cos_pi(x)
    out = log(math.pi / (sine * x).abs()) - _positive_gammaln(-x)
    tiny = x.gt(-1e-17)
    out = tiny.select(-log(-x), out)
    return x.eq(x.floor()).select(math.inf, out)


@written("psi")
def psi(x: Value) -> Value:
    """The derivative of log Gamma: its asymptotic series from 2.5 on, else a polynomial around its zero."""
    return except_for(x.le(0.0), _positive_psi(x), "psi_reflected", _reflected_psi, x)


def _positive_psi(x: Value) -> Value:
    whole, part = _log_in_parts(x)
    inverse, small = 1.0 / x, x.lt(1.0)
    root, root_middle, root_low = PSI_ROOT_PARTS
    w = ((x - small.select(x.like(root - 1.0), root)) - root_middle) - root_low
    near = times_polynomial(w, PSI_NEAR_ROOT) - small.select(inverse, 0.0)
    u = inverse * inverse
    far = (whole + part) - (u * polynomial(u, PSI_TAIL) + inverse * 0.5)
    return x.ge(2.5).select(far, near)


def _reflected_psi(x: Value) -> Value:
    """For x <= 0: psi(-x) - 1 / x - pi / tan(pi x)."""
    sine, cosine = sin_cos_pi(x)
    out = _positive_psi(-x) - 1.0 / x - math.pi * cosine / sine
    out = x.gt(-1e-17).select(-1.0 / x, out)
    out = x.eq(0.0).select(x.like(-math.inf).copysign(-x), out)
    return x.eq(x.floor()).both(x.ne(0.0)).select(math.nan, out)


@written("polygamma1")
def trigamma(x: Value) -> Value:
    """The derivative of psi: below 3 from the value at x + 3."""
    return except_for(x.le(0.0), _positive_trigamma(x), "trigamma_reflected", _reflected_trigamma, x)


def _positive_trigamma(x: Value) -> Value:
    small = x.lt(3.0)
    y = small.select(x + 3.0, x)
    inverse = 1.0 / y
    u = inverse * inverse
    series = inverse + (u * 0.5 + (u * inverse) * polynomial(u, TRIGAMMA_TAIL))
    first, a, b = 1.0 / x, (x + 1.0) * (x + 1.0), (x + 2.0) * (x + 2.0)
    return small.select(first * first + ((a + b) / (a * b) + series), series)


def _reflected_trigamma(x: Value) -> Value:
    """For x <= 0: (pi / sin(pi x))^2 + 1 / x^2 - psi'(-x)."""
    sine, _ = sin_cos_pi(x)
    ratio = math.pi / sine
    out = ratio * ratio + (1.0 / (x * x) - _positive_trigamma(-x))
    out = x.gt(-1e-10).select(1.0 / (x * x), out)
    return x.eq(x.floor()).select(math.inf, out)
