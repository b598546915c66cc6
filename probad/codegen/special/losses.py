"""Entropies, losses, the Box-Cox family, and functions that cancel near 0."""

from __future__ import annotations

import math

from probad.codegen.special.circular import sin
from probad.codegen.special.exponential import exp, expm1
from probad.codegen.special.logarithm import less_log1p, log, log1p
from probad.codegen.special.power import power
from probad.codegen.special.registry import family, polynomial, written
from probad.codegen.text import Value


# --- entropies --------------------------------------------------------------------------------------------------------
@written("entr")
def entr(x: Value) -> Value:
    """-x log(x)."""
    out = x.eq(0.0).select(0.0, -x * log(x))
    return x.lt(0.0).select(-math.inf, out)


def _log_of_ratio(p: Value, q: Value) -> Value:
    """log(p / q) for positive numbers: near 1 by the difference, and apart where the quotient leaves the range."""
    ratio = p / q
    near = ratio.gt(0.5).both(ratio.lt(2.0))
    inside = ratio.gt(1e-300).both(ratio.lt(1e300))
    out = log1p(near.select((p - q) / q, inside.select(ratio, p) - 1.0))
    return near.select(out, inside.select(log(ratio), log(p) - log(q)))


@written("rel_entr")
def rel_entr(p: Value, q: Value) -> Value:
    """The product p log(p / q), 0 where p is 0, infinite outside the domain."""
    inside = p.gt(0.0).both(q.gt(0.0))
    out = inside.select(p * _log_of_ratio(p, q), p.eq(0.0).both(q.ge(0.0)).select(p.like(0.0), math.inf))
    return p.ne(p).either(q.ne(q)).select(math.nan, out)


@written("kl_div")
def kl_div(p: Value, q: Value) -> Value:
    """The sum p log(p / q) - p + q, which is p (e - log(1 + e)) for q = p (1 + e); infinite outside the domain."""
    inside = p.gt(0.0).both(q.gt(0.0))
    excess = (q - p) / p
    near = excess.abs().lt(0.25)
    large, small = less_log1p(near.select(excess, 0.0))
    out = near.select(p * (large - small), p * _log_of_ratio(p, q) - p + q)
    out = inside.select(out, p.eq(0.0).both(q.ge(0.0)).select(q, math.inf))
    return p.ne(p).either(q.ne(q)).select(math.nan, out)


# --- losses -----------------------------------------------------------------------------------------------------------
@written("huber")
def huber(delta: Value, r: Value) -> Value:
    """r^2 / 2 near 0, a line further out."""
    size = r.abs()
    out = size.le(delta).select(r * r * 0.5, delta * (size - delta * 0.5))
    return delta.lt(0.0).select(math.inf, out)


@written("pseudo_huber")
def pseudo_huber(delta: Value, r: Value) -> Value:
    """delta^2 (sqrt(1 + (r / delta)^2) - 1), written without the difference."""
    v = r / delta
    out = (r * v) * (delta / ((v * v + 1.0).sqrt() + 1.0))
    out = v.abs().gt(1e150).select(delta * (r.abs() - delta), out)
    out = delta.eq(0.0).either(r.eq(0.0)).select(0.0, out)
    return delta.lt(0.0).select(math.inf, out)


# --- functions that cancel near 0 -------------------------------------------------------------------------------------
@written("exprel")
def exprel(x: Value) -> Value:
    """(exp(x) - 1) / x."""
    out = x.abs().lt(1e-16).select(1.0, expm1(x) / x)
    return x.gt(717.0).select(math.inf, out)


@written("cosm1")
def cosm1(x: Value) -> Value:
    """cos(x) - 1 = -2 sin(x / 2)^2."""
    s = sin(x * 0.5)
    return 0.0 - (s * s) * 2.0  # which is no -0 at 0


def _phi(n: int):
    """sum_k x^k / (n + k)!: exp(x) without the first n terms of its series, over x^n."""
    series = [1 / math.factorial(n + k) for k in range(25)]

    def emit(x: Value) -> Value:
        near = x.abs().lt(2.0)
        far, divisor = exp(x), near.select(2.0, x)
        for k in range(n):
            far = (far - 1 / math.factorial(k)) / divisor
        return near.select(polynomial(near.select(x, 0.0), series), far)

    return emit


family("phi", _phi)


# --- powers and the Box-Cox family ------------------------------------------------------------------------------------
@written("powm1")
def powm1(x: Value, y: Value) -> Value:
    """x^y - 1: where it is small, by the exponential of y log(x), less 1."""
    exponent = y * log(x)
    return exponent.abs().lt(0.5).select(expm1(exponent), power(x, y) - 1.0)


@written("boxcox")
def boxcox(x: Value, k: Value) -> Value:
    """(x^k - 1) / k, and log(x) where k is 0."""
    out = k.abs().lt(1e-19).select(log(x), powm1(x.exactly("add", 0.0), k) / k)  # -0 as 0
    return x.lt(0.0).select(math.nan, out)


@written("boxcox1p")
def boxcox1p(x: Value, k: Value) -> Value:
    """The same of 1 + x."""
    logarithm = log1p(x)
    exponent = k * logarithm
    return k.abs().lt(1e-19).either(exponent.abs().lt(1e-300)).select(logarithm, expm1(exponent) / k)


def _log_of_inverse(z: Value, k: Value) -> Value:
    """log(1 + k z) / k, and z where k is 0."""
    product = k * z
    return product.abs().lt(1e-154).either(k.eq(0.0)).select(z, log1p(product) / k)


@written("inv_boxcox")
def inv_boxcox(z: Value, k: Value) -> Value:
    """(1 + k z)^(1 / k), and exp(z) where k is 0."""
    return exp(_log_of_inverse(z, k))


@written("inv_boxcox1p")
def inv_boxcox1p(z: Value, k: Value) -> Value:
    """The same less 1."""
    return expm1(_log_of_inverse(z, k))
