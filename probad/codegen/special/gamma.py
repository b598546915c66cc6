"""The logarithm of the gamma function and its derivatives.

Sources: Stirling's series and those of its derivatives (DLMF 5.11), with coefficients fitted down to 2 or 3; Euler's
reflection (DLMF 5.5.3). Below, the recurrence leads to an interval around a zero of the function.
"""

from __future__ import annotations

import math

from probad.codegen.coefficients import (
    GAMMALN_NEAR_2,
    PSI_NEAR_ROOT,
    PSI_ROOT_PARTS,
    PSI_TAIL,
    STIRLING,
    TRIGAMMA_TAIL,
)
from probad.codegen.special.circular import sin_cos_pi
from probad.codegen.special.logarithm import log
from probad.codegen.special.registry import except_for, polynomial, times_polynomial, written
from probad.codegen.text import Value

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@written("gammaln")
def gammaln(x: Value) -> Value:
    """Log |Gamma(x)|: Stirling's series from 3.5 on; below log Gamma(2 + w), from which logarithms are taken."""
    return except_for(x.le(0.0), _positive_gammaln(x), "gammaln_reflected", _reflected_gammaln, x)


@written("loggamma")
def loggamma(x: Value) -> Value:
    """The principal logarithm of Gamma, which is no real number below 0."""
    return x.lt(0.0).select(math.nan, gammaln(x))


def _positive_gammaln(x: Value) -> Value:
    large = x.ge(3.5)
    tiny, one, two = x.lt(0.5), x.lt(1.35), x.lt(2.5)
    # Gamma(2 + w) = x (x + 1) Gamma(x) for w = x, x Gamma(x) for w = x - 1, Gamma(x) / (x - 1) for w = x - 3
    w = x - tiny.select(0.0, one.select(x.like(1.0), two.select(x.like(2.0), 3.0)))
    factor = tiny.select(x * (x + 1.0), one.select(x, two.select(x.like(1.0), x - 1.0)))
    logarithm = log(large.select(x, factor))
    near = times_polynomial(w, GAMMALN_NEAR_2) + one.select(-logarithm, logarithm)
    inverse = 1.0 / x
    series = inverse * polynomial(inverse * inverse, STIRLING)
    far = (x - 0.5) * (logarithm - 1.0) + (series + (HALF_LOG_2PI - 0.5))
    return large.select(far, near)


def _reflected_gammaln(x: Value) -> Value:
    """For x <= 0: log(pi / |sin(pi x)|) - log Gamma(1 - x); infinite at the poles."""
    sine, _ = sin_cos_pi(x)
    out = log(math.pi / (sine * x).abs()) - _positive_gammaln(-x)
    tiny = x.gt(-1e-17)
    out = tiny.select(-log(-x), out)
    return x.eq(x.floor()).select(math.inf, out)


@written("psi")
def psi(x: Value) -> Value:
    """The derivative of log Gamma: its asymptotic series from 2 on, else a polynomial around its zero."""
    return except_for(x.le(0.0), _positive_psi(x), "psi_reflected", _reflected_psi, x)


def _positive_psi(x: Value) -> Value:
    large, small = x.ge(2.0), x.lt(1.0)
    inverse = 1.0 / x
    root, root_low = PSI_ROOT_PARTS
    w = (x - small.select(x.like(root - 1.0), root)) - root_low
    near = times_polynomial(w, PSI_NEAR_ROOT) - small.select(inverse, 0.0)
    u = inverse * inverse
    far = log(x) - (u * polynomial(u, PSI_TAIL) + inverse * 0.5)
    return large.select(far, near)


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
