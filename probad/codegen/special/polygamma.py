"""Derivatives of psi of any order.

Sources: recurrence, reflection and asymptotic series of DLMF 5.15.
"""

from __future__ import annotations

import math

from probad.ad.rules.incomplete import bernoulli_numbers
from probad.codegen.special.circular import sin_cos_pi
from probad.codegen.special.registry import except_for, family, polynomial
from probad.codegen.text import Value

N_STEPS, N_TERMS = 9, 10
BERNOULLI = bernoulli_numbers(N_TERMS)


def _power(x: Value, n: int) -> Value:
    """A whole power, n > 0, by repeated squaring."""
    out = None
    while n:
        if n & 1:
            out = x if out is None else out * x
        n >>= 1
        if n:
            x = x * x
    return out


def _positive(x: Value, n: int) -> Value:
    """(-1)^(n+1) psi^(n)(x) for x > 0: the series at y = x + 9, and what the recurrence adds."""
    y = x + float(N_STEPS)
    inverse = 1.0 / y
    u = inverse * inverse
    terms = [b * math.factorial(2 * k + n - 1) / math.factorial(2 * k) for k, b in enumerate(BERNOULLI, start=1)]
    lead = (inverse * (math.factorial(n) / 2) + math.factorial(n - 1)) + u * polynomial(u, terms)
    out = lead / _power(y, n)
    for j in reversed(range(N_STEPS)):  # the largest last
        out = out + math.factorial(n) / _power(x + float(j), n + 1)
    return out


def _cotangent(n: int) -> list[float]:
    """The n-th derivative of cot(pi x) as a polynomial in cot(pi x): c' = -pi (1 + c^2)."""
    c = [0.0, 1.0]
    for _ in range(n):
        slope = [-math.pi * k * a for k, a in enumerate(c)][1:]
        c = [a + b for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    return c


def _polygamma(n: int):
    sign = 1.0 if n % 2 else -1.0

    def reflected(x: Value) -> Value:
        """psi^(n)(x) = (-1)^n psi^(n)(1 - x) - pi cot^(n)(pi x) for x <= 0."""
        sine, cosine = sin_cos_pi(x)
        whole = x.eq(x.floor())
        ratio = whole.select(0.0, cosine / sine)
        out = -_positive(1.0 - x, n) - math.pi * polynomial(ratio, _cotangent(n))
        return whole.select(sign * math.inf, out)

    def emit(x: Value) -> Value:
        near = _positive(x, n) * sign
        return except_for(x.le(0.0), near, f"polygamma{n}_reflected", reflected, x)

    return emit


family("polygamma", _polygamma)
