"""Inverses of the error functions and of the distribution function of the normal distribution.

The constants of the three regions (`probad.normal`) are chosen element by element.
"""

from __future__ import annotations

import math

from probad.codegen.special.logarithm import log
from probad.codegen.special.registry import written
from probad.codegen.text import Value
from probad.normal import DENOMINATORS, NUMERATORS


def _quantile(q: Value, tail: Value) -> Value:
    """The standard normal quantile at 1/2 + q, where `tail` is 1/2 - |q|."""
    middle = q.abs().le(0.425)
    r = (-log(middle.select(0.5, tail))).sqrt()
    near = r.le(5.0)
    x = middle.select(0.180625 - q * q, r - near.select(r.like(1.6), 5.0))

    def ratio(rows) -> Value:
        """The polynomial of the region, by Horner's scheme."""
        terms = [middle.select(x.like(a), near.select(x.like(b), c)) for a, b, c in zip(*rows, strict=True)]
        out = terms.pop()
        while terms:
            out = out.fma(x, terms.pop())
        return out

    out = ratio(NUMERATORS) / ratio(DENOMINATORS)
    out = middle.select(q * out, out.copysign(q))
    out = tail.eq(0.0).select(q.like(math.inf).copysign(q), out)
    return tail.ge(0.0).select(out, math.nan)


@written("ndtri")
def ndtri(p: Value) -> Value:
    """The inverse of ndtr."""
    return _quantile(p - 0.5, p.minimum(1.0 - p))


@written("erfinv")
def erfinv(y: Value) -> Value:
    """The inverse of erf."""
    out = _quantile(y * 0.5, 0.5 * (1.0 - y.abs())) * math.sqrt(0.5)
    return y.abs().lt(1e-300).select(y * (math.sqrt(math.pi) / 2), out)


@written("erfcinv")
def erfcinv(y: Value) -> Value:
    """The inverse of erfc."""
    return _quantile(0.5 * (1.0 - y), 0.5 * y.minimum(2.0 - y)) * math.sqrt(0.5)
