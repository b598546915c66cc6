"""Incomplete gamma and beta functions, the Hurwitz zeta function, and their derivatives in the parameters.

The derivatives in a parameter have no closed form. Here they come from the series and integrals of the functions
themselves in Taylor arithmetic (`probad.ad.rules.jets`), to about 1e-13. Each order is a primitive of its own, made
when it is first needed.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from probad.ad.box import Box, holds, is_foreign
from probad.ad.core import PRIMITIVES, ForwardTrace, Primitive, peel
from probad.ad.kinds import POSITIVE, UNIT, elementwise
from probad.ad.rules import jets, like
from probad.errors import ConversionError
from probad.scipy_special import special


def slope(f, x):
    """The derivative of an elementwise expression, itself to be differentiated further."""
    with ForwardTrace() as trace:
        y = f(Box(x, trace, like.ones(x, x.shape) if hasattr(x, "shape") else 1.0))
        return y.node if type(y) is Box and y.owner is trace and y.node is not None else 0.0


def repeated_slope(f, x, n: int):
    """The n-th derivative of an elementwise expression."""
    return f(x) if n == 0 else slope(lambda x: repeated_slope(f, x, n - 1), x)


def _by_region(f, inside, *args):
    """Apply `f` where `inside` holds, to flat arrays, some thousand elements at a time; 0 elsewhere."""
    args = np.broadcast_arrays(*args)
    out = np.zeros(args[0].shape)
    places = np.flatnonzero(np.broadcast_to(inside, out.shape))
    for start in range(0, len(places), 2000):
        part = places[start : start + 2000]
        out.flat[part] = f(*(a.flat[part] for a in args))
    return out


def _check_on_host(function: str, parameter: str, args) -> None:
    """Refuse arrays of other modules where derivatives are computed by code for NumPy arrays."""
    for a in args:
        if is_foreign(a):
            kind = f"{type(a).__module__}.{type(a).__qualname__}"
            raise ConversionError(
                f"The derivative of scipy.special.{function} in {parameter} is computed on the host, also inside the "
                f"functions that are built on it{_BUILT_ON[function]}; got an array of type {kind}. Copy the arguments "
                "to NumPy before the differentiated function is called (for CuPy by cupy.asnumpy), or hold "
                f"{parameter} constant by pb.stop_gradient: the other derivatives stay where the data are."
            )


_BUILT_ON = {
    "gammainc": " (gammaincc, gammaincinv, chdtr, gdtr, pdtr and their inverses)",
    "betainc": " (betaincc, betaincinv, stdtr, fdtr, bdtr, nbdtr and their inverses)",
    "zeta": " (zetac)",
}


# --- gamma ----------------------------------------------------------------------------------------------------------
LARGE = 16.0  # from here on Stirling's series, which does not subtract large numbers from each other


def log_front(a, x):
    """The logarithm of x^a e^-x / Gamma(a + 1), without the cancellation that costs digits for large `a`.

    Source: Loader, "Fast and accurate computation of binomial probabilities" (2000), for the idea.
    """
    small = special.xlogy(a, x) - x - special.gammaln(a + 1)
    large = (peel(a) > LARGE) & (peel(x) > 0)
    if holds(~large):
        return small
    a, x = np.where(large, a, LARGE), np.where(large, x, LARGE)
    excess = (x - a) / a
    inverse = 1 / (a * a)
    stirling = 1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse * (1 / 1188))))
    return np.where(large, a * (np.log1p(excess) - excess) - 0.5 * np.log(2 * np.pi * a) - stirling / a, small)


def _lower_series(k: int, a, x):
    """P(a, x) = x^a e^-x / Gamma(a + 1) sum_n x^n / ((a + 1) ... (a + n)), k-th derivative in `a` (DLMF 8.7.1)."""
    wide = a[:, None]
    total = jets.sum_of_products(
        lambda n: x[:, None] / (wide + n), lambda i, j, n: (-1.0) ** i / (i * (wide + n) ** i), (k, 0)
    )
    front = jets.variable(log_front(a, x), (k, 0), np.log(x) - special.psi(a + 1))
    for j in range(2, k + 1):
        front[j, 0] = -special.polygamma(j - 1, a + 1) / math.factorial(j)
    return math.factorial(k) * jets.multiply(jets.exp(front), total)[k, 0]


@functools.cache
def _quadrature() -> tuple:
    """Nodes and weights of Gauss and Legendre, made when they are first needed."""
    return np.polynomial.legendre.leggauss(120)


def _upper_integral(k: int, a, x):
    """Q(a, x), the integral of the density from x > a + 1 on, k-th derivative in `a`, by Gauss and Legendre."""
    reach = 50.0 + 4.0 * np.maximum(a, 1.0)
    for _ in range(20):  # Newton: where the density has fallen by exp(-42)
        excess = reach - (a - 1) * np.log1p(reach / x) - 42.0
        reach = np.maximum(reach - excess / (1 - (a - 1) / (x + reach)), 1e-3)
    nodes, weights = _quadrature()
    t = x[:, None] + 0.5 * reach[:, None] * (nodes + 1)
    wide = a[:, None]
    density = log_front(wide, t) + np.log(wide / t)
    logs = jets.variable(density, (k, 0), np.log(t) - special.psi(wide))
    for j in range(2, k + 1):
        logs[j, 0] = -special.polygamma(j - 1, wide) / math.factorial(j)
    return math.factorial(k) * 0.5 * reach * (jets.exp(logs)[k, 0] @ weights)


def gammainc_derivative(k: int, a, x):
    """The k-th derivative of the regularised lower incomplete gamma function in `a`."""
    name = f"gammainc_d{k}"
    if name not in PRIMITIVES:

        def impl(a, x):
            _check_on_host("gammainc", "its shape a", (a, x))
            valid = (x > 0) & np.isfinite(x) & (a > 0)
            with np.errstate(all="ignore"):
                low = _by_region(lambda a, x: _lower_series(k, a, x), valid & (x < a + 1), a, x)
                high = _by_region(lambda a, x: _upper_integral(k, a, x), valid & (x >= a + 1), a, x)
            return np.where((a > 0) & (x >= 0), low - high, np.nan)[()]

        elementwise(
            impl,
            lambda y, a, x: gammainc_derivative(k + 1, a, x),
            lambda y, a, x: repeated_slope(lambda a: gamma_density(a, x), a, k),
            domain=(0.3, 4.0),
            name=name,
            singular=True,
        )
    return PRIMITIVES[name](a, x)


def gamma_density(a, x):
    """The derivative of P(a, x) in `x`."""
    small = special.xlogy(a - 1, x) - x - special.gammaln(a)
    large = (peel(a) > LARGE) & (peel(x) > 0)
    if holds(~large):
        return np.exp(small)
    ratio = np.where(large, a, 1.0) / np.where(large, x, 1.0)
    return np.exp(np.where(large, log_front(a, x) + np.log(ratio), small))


gammainc = elementwise(
    special.gammainc,
    lambda y, a, x: gammainc_derivative(1, a, x),
    lambda y, a, x: gamma_density(a, x),
    domain=POSITIVE,
    name="gammainc",
    singular=True,
)
gammaincc = elementwise(
    special.gammaincc,
    lambda y, a, x: -gammainc_derivative(1, a, x),
    lambda y, a, x: -gamma_density(a, x),
    domain=POSITIVE,
    name="gammaincc",
    singular=True,
)
gammaincinv = elementwise(
    special.gammaincinv,
    lambda y, a, p: -gammainc_derivative(1, a, y) / gamma_density(a, y),
    lambda y, a, p: 1 / gamma_density(a, y),
    domain=((0.8, 4.0), (0.2, 0.9)),
    name="gammaincinv",
    singular=True,
)
gammainccinv = elementwise(
    special.gammainccinv,
    lambda y, a, q: -gammainc_derivative(1, a, y) / gamma_density(a, y),
    lambda y, a, q: -1 / gamma_density(a, y),
    domain=((0.8, 4.0), (0.1, 0.8)),
    name="gammainccinv",
    singular=True,
)


# --- beta -----------------------------------------------------------------------------------------------------------
def _beta_series(i: int, j: int, a, b, x):
    """I_x(a, b), derivative of order i in `a` and j in `b`, for x not far above its mean (DLMF 8.17.8).

    x^a (1 - x)^b Gamma(a + b) / (Gamma(a + 1) Gamma(b)) sum_n (a + b)_n / (a + 1)_n x^n
    """
    wide_a, wide_b = a[:, None], b[:, None]

    def log_ratio(p, q, n):
        sign = -((-1.0) ** (p + q))
        out = sign * math.comb(p + q, p) / ((p + q) * (wide_a + wide_b + n - 1) ** (p + q))
        return out if q else out - sign / (p * (wide_a + n) ** p)

    total = jets.sum_of_products(lambda n: x[:, None] * (1 + (wide_b - 1) / (wide_a + n)), log_ratio, (i, j))
    front = a * np.log(x) + b * np.log1p(-x) + special.gammaln(a + b) - special.gammaln(a + 1) - special.gammaln(b)
    log_front = jets.constant(front, (i, j))
    for p, q in np.ndindex(i + 1, j + 1):
        if p + q:
            log_front[p, q] = _front_derivative(p, q, a, b, x) / (math.factorial(p) * math.factorial(q))
    return math.factorial(i) * math.factorial(j) * jets.multiply(jets.exp(log_front), total)[i, j]


def _front_derivative(p: int, q: int, a, b, x):
    """Derivatives of a log x + b log(1 - x) + log Gamma(a + b) - log Gamma(a + 1) - log Gamma(b)."""
    n = p + q - 1
    out = special.polygamma(n, a + b)
    if q == 0:
        out = out - special.polygamma(n, a + 1) + (np.log(x) if p == 1 else 0.0)
    elif p == 0:
        out = out - special.polygamma(n, b) + (np.log1p(-x) if q == 1 else 0.0)
    return out


def betainc_derivative(i: int, j: int, a, b, x):
    """The derivative of the regularised incomplete beta function, of order i in `a` and j in `b`."""
    name = f"betainc_d{i}{j}"
    if name not in PRIMITIVES:

        def impl(a, b, x):
            _check_on_host("betainc", "its shapes a and b", (a, b, x))
            valid = (x > 0) & (x < 1) & (a > 0) & (b > 0)
            below = x <= (a + 1) / (a + b + 2)
            with np.errstate(all="ignore"):
                low = _by_region(lambda a, b, x: _beta_series(i, j, a, b, x), valid & below, a, b, x)
                high = _by_region(lambda a, b, x: _beta_series(j, i, b, a, 1 - x), valid & ~below, a, b, x)
            return np.where((a > 0) & (b > 0) & (x >= 0) & (x <= 1), low - high, np.nan)[()]

        elementwise(
            impl,
            lambda y, a, b, x: betainc_derivative(i + 1, j, a, b, x),
            lambda y, a, b, x: betainc_derivative(i, j + 1, a, b, x),
            lambda y, a, b, x: repeated_slope(lambda a: repeated_slope(lambda b: beta_density(a, b, x), b, j), a, i),
            domain=((0.5, 4.0), (0.5, 4.0), UNIT),
            name=name,
            singular=True,
        )
    return PRIMITIVES[name](a, b, x)


def beta_density(a, b, x):
    """The derivative of I_x(a, b) in `x`."""
    return np.exp(special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b))


_BETA_DOMAIN = ((0.5, 4.0), (0.5, 4.0), UNIT)
betainc = elementwise(
    special.betainc,
    lambda y, a, b, x: betainc_derivative(1, 0, a, b, x),
    lambda y, a, b, x: betainc_derivative(0, 1, a, b, x),
    lambda y, a, b, x: beta_density(a, b, x),
    domain=_BETA_DOMAIN,
    name="betainc",
    singular=True,
)
betaincc = elementwise(
    special.betaincc,
    lambda y, a, b, x: -betainc_derivative(1, 0, a, b, x),
    lambda y, a, b, x: -betainc_derivative(0, 1, a, b, x),
    lambda y, a, b, x: -beta_density(a, b, x),
    domain=_BETA_DOMAIN,
    name="betaincc",
    singular=True,
)
_INVERSE_DOMAIN = ((1.0, 4.0), (1.0, 4.0), (0.2, 0.8))
betaincinv = elementwise(
    special.betaincinv,
    lambda y, a, b, p: -betainc_derivative(1, 0, a, b, y) / beta_density(a, b, y),
    lambda y, a, b, p: -betainc_derivative(0, 1, a, b, y) / beta_density(a, b, y),
    lambda y, a, b, p: 1 / beta_density(a, b, y),
    domain=_INVERSE_DOMAIN,
    name="betaincinv",
    singular=True,
)
betainccinv = elementwise(
    special.betainccinv,
    lambda y, a, b, q: -betainc_derivative(1, 0, a, b, y) / beta_density(a, b, y),
    lambda y, a, b, q: -betainc_derivative(0, 1, a, b, y) / beta_density(a, b, y),
    lambda y, a, b, q: -1 / beta_density(a, b, y),
    domain=_INVERSE_DOMAIN,
    name="betainccinv",
    singular=True,
)

# --- zeta -----------------------------------------------------------------------------------------------------------
_N_TERMS = 12


def bernoulli_numbers(n: int) -> list[float]:
    """B_2, B_4, ..., B_2n, from the tangent numbers T_k: B_2k = (-1)^(k+1) 2k T_k / (4^k (4^k - 1)).

    Source: Brent and Harvey, "Fast computation of Bernoulli, tangent and secant numbers" (2013).
    """
    tangent = [math.factorial(k) for k in range(n)]
    for k in range(1, n):
        for j in range(k, n):
            tangent[j] = (j - k) * tangent[j - 1] + (j - k + 2) * tangent[j]
    return [(-1) ** k * 2 * (k + 1) * t / (4 ** (k + 1) * (4 ** (k + 1) - 1)) for k, t in enumerate(tangent)]


_BERNOULLI = np.array(bernoulli_numbers(12))


def _zeta_jet(k: int, s, q):
    """The k-th derivative in `s` of sum_n (n + q)^-s, by Euler and Maclaurin (DLMF 25.11.28)."""
    order = (k, 0)
    js = jets.variable(s, order, 1.0)

    def power(base, shift=0.0):  # base^-(s + shift)
        return jets.exp(jets.variable(-(s + shift) * np.log(base), order, 0.0) + _linear(-np.log(base), order))

    total = jets.constant(np.zeros(s.shape), order)
    for n in range(_N_TERMS):
        total = total + power(q + n)
    end = q + _N_TERMS
    total = (
        total + jets.multiply(power(end, -1.0), jets.reciprocal(jets.variable(s - 1, order, 1.0))) + 0.5 * power(end)
    )
    rising = js
    for m, bernoulli in enumerate(_BERNOULLI, start=1):
        total = total + bernoulli / math.factorial(2 * m) * jets.multiply(rising, power(end, 2.0 * m - 1))
        rising = jets.multiply(rising, jets.multiply(js + _shift(js, 2 * m - 1), js + _shift(js, 2 * m)))
    return math.factorial(k) * total[k, 0]


def _linear(c, order: tuple):
    out = jets.constant(np.zeros(np.shape(c)), order)
    if order[0]:
        out[1, 0] = c
    return out


def _shift(u, c: float):
    return jets.constant(np.full(u.shape[2:], float(c)), (u.shape[0] - 1, u.shape[1] - 1))


def zeta_derivative(k: int, s, q):
    """The k-th derivative in `s` of the Hurwitz zeta function, for s > 1 and q > 0."""
    return _zeta_derivative(k)(s, q)


def _zeta_derivative(k: int) -> Primitive:
    name = f"zeta_d{k}" if k else "zeta"
    if name not in PRIMITIVES:

        def impl(s, q):
            if k == 0:
                return special.zeta(s, q)
            _check_on_host("zeta", "its exponent s", (s, q))
            return _by_region(lambda s, q: _zeta_jet(k, s, q), (s > 1) & (q > 0), s, q)[()]

        def partial_q(y, s, q):  # the derivative of -s zeta(s + 1, q), k times in s
            return -s * zeta_derivative(k, s + 1, q) - (k * zeta_derivative(k - 1, s + 1, q) if k else 0.0)

        elementwise(
            impl,
            lambda y, s, q: zeta_derivative(k + 1, s, q),
            partial_q,
            domain=((1.5, 6.0), (0.3, 4.0)),
            name=name,
        )
    return PRIMITIVES[name]


_zeta_derivative(0)
zetac = elementwise(special.zetac, lambda y, s: zeta_derivative(1, s, np.float64(1.0)), domain=(1.5, 6.0), name="zetac")
