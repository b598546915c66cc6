"""Hypergeometric functions, elliptic and exponential integrals, orthogonal polynomials: derivatives in the argument."""

from __future__ import annotations

import numpy as np

from probad.ad.box import peel
from probad.ad.kinds import POSITIVE, REAL, UNIT, elementwise, no_partial
from probad.ad.rules.special import spherical
from probad.scipy_special import special

PARAMETER = no_partial(
    "This function has no derivative rule in its parameters, only in its last argument. Pass "
    "pb.stop_gradient(parameter), or give the derivative with pb.custom_derivative."
)
MODULUS = no_partial(
    "ellipj has no derivative rule in m. Pass pb.stop_gradient(m), or give the derivative with pb.custom_derivative."
)
DEGREE = no_partial("A polynomial has no derivative in its degree or its weights. Pass pb.stop_gradient(n).")

# --- hypergeometric -------------------------------------------------------------------------------------------------
_PARAMETERS = ((0.3, 1.5),)
hyp2f1 = elementwise(
    special.hyp2f1,
    PARAMETER,
    PARAMETER,
    PARAMETER,
    lambda y, a, b, c, z: a * b / c * special.hyp2f1(a + 1, b + 1, c + 1, z),
    domain=(*_PARAMETERS * 2, (1.6, 2.5), (-0.7, 0.7)),
    name="hyp2f1",
)
hyp1f1 = elementwise(
    special.hyp1f1,
    PARAMETER,
    PARAMETER,
    lambda y, a, b, z: a / b * special.hyp1f1(a + 1, b + 1, z),
    domain=(*_PARAMETERS, (1.6, 2.5), REAL),
    name="hyp1f1",
)
hyp0f1 = elementwise(
    special.hyp0f1, PARAMETER, lambda y, v, z: special.hyp0f1(v + 1, z) / v, domain=((0.5, 2.5), REAL), name="hyp0f1"
)
hyperu = elementwise(
    special.hyperu,
    PARAMETER,
    PARAMETER,
    lambda y, a, b, x: -a * special.hyperu(a + 1, b + 1, x),
    domain=((0.5, 1.5), (0.3, 0.9), (0.5, 4.0)),
    name="hyperu",
    singular=True,
)
wright_bessel = elementwise(
    special.wright_bessel,
    PARAMETER,
    PARAMETER,
    lambda y, a, b, x: special.wright_bessel(a, a + b, x),
    domain=((0.3, 1.5), (0.5, 2.0), (0.1, 2.0)),
    name="wright_bessel",
)
log_wright_bessel = elementwise(
    special.log_wright_bessel,
    PARAMETER,
    PARAMETER,
    lambda y, a, b, x: np.exp(special.log_wright_bessel(a, a + b, x) - y),
    domain=((0.3, 1.5), (0.5, 2.0), (0.1, 2.0)),
    name="log_wright_bessel",
)
wrightomega = elementwise(special.wrightomega, lambda y, x: y / (1 + y), name="wrightomega")

# --- exponential, sine and cosine integrals -------------------------------------------------------------------------
exp1 = elementwise(special.exp1, lambda y, x: -np.exp(-x) / x, domain=POSITIVE, name="exp1", singular=True)
expi = elementwise(special.expi, lambda y, x: np.exp(x) / x, domain=POSITIVE, name="expi", singular=True)


def _expn_slope(y, n, x):
    """-E_(n-1)(x), with E_0(x) = exp(-x) / x and E_0' = -E_0 (1 + 1 / x)."""
    plain = peel(n)
    lower = np.where(plain > 1, special.expn(np.maximum(plain - 1, 0), x), np.exp(-x) / x)
    return -np.where(plain > 0, lower, y * (1 + 1 / x))


expn = elementwise(special.expn, PARAMETER, _expn_slope, domain=(range(0, 5), (0.3, 4.0)), name="expn", singular=True)
spence = elementwise(
    special.spence, lambda y, x: -special.hyp2f1(1.0, 1.0, 2.0, 1 - x), domain=(0.3, 1.9), name="spence", singular=True
)
sine_integral = elementwise(lambda x: special.sici(x)[0], lambda y, x: spherical(0, x), name="sine_integral")
cosine_integral = elementwise(
    lambda x: special.sici(x)[1], lambda y, x: np.cos(x) / x, domain=POSITIVE, name="cosine_integral", singular=True
)
sinh_integral = elementwise(
    lambda x: special.shichi(x)[0], lambda y, x: np.sinh(x) / x, domain=POSITIVE, name="sinh_integral"
)
cosh_integral = elementwise(
    lambda x: special.shichi(x)[1], lambda y, x: np.cosh(x) / x, domain=POSITIVE, name="cosh_integral", singular=True
)

# --- elliptic -------------------------------------------------------------------------------------------------------
# K' = pi/8 2F1(3/2, 3/2; 2; m) = pi/8 2F1(1/2, 1/2; 2; m) / (1 - m), E' = -pi/8 2F1(1/2, 3/2; 2; m): no 0/0 at m = 0
_EIGHTH = np.pi / 8
ellipk = elementwise(
    special.ellipk,
    lambda y, m: _EIGHTH * special.hyp2f1(0.5, 0.5, 2.0, m) / (1 - m),
    domain=(-0.6, 0.9),
    name="ellipk",
    singular=True,
)
ellipkm1 = elementwise(
    special.ellipkm1,
    lambda y, p: -_EIGHTH * special.hyp2f1(0.5, 0.5, 2.0, 1 - p) / p,
    domain=(0.1, 1.6),
    name="ellipkm1",
    singular=True,
)
ellipe = elementwise(
    special.ellipe, lambda y, m: -_EIGHTH * special.hyp2f1(0.5, 1.5, 2.0, m), domain=(-0.6, 0.9), name="ellipe"
)


def _root(phi, m):
    return np.sqrt(1 - m * np.sin(phi) ** 2)


ellipkinc = elementwise(
    special.ellipkinc,
    lambda y, phi, m: 1 / _root(phi, m),
    lambda y, phi, m: (
        (special.ellipeinc(phi, m) / (1 - m) - y) / (2 * m) - np.sin(2 * phi) / (4 * (1 - m) * _root(phi, m))
    ),
    domain=((0.2, 1.4), (0.2, 0.8)),
    name="ellipkinc",
)
ellipeinc = elementwise(
    special.ellipeinc,
    lambda y, phi, m: _root(phi, m),
    lambda y, phi, m: (y - special.ellipkinc(phi, m)) / (2 * m),
    domain=((0.2, 1.4), (0.2, 0.8)),
    name="ellipeinc",
)


def _jacobi_elliptic(k: int, name: str, slope):
    return elementwise(lambda u, m: special.ellipj(u, m)[k], slope, MODULUS, domain=((-2.0, 2.0), UNIT), name=name)


ellipj_sn = _jacobi_elliptic(0, "ellipj_sn", lambda y, u, m: ellipj_cn(u, m) * ellipj_dn(u, m))
ellipj_cn = _jacobi_elliptic(1, "ellipj_cn", lambda y, u, m: -ellipj_sn(u, m) * ellipj_dn(u, m))
ellipj_dn = _jacobi_elliptic(2, "ellipj_dn", lambda y, u, m: -m * ellipj_sn(u, m) * ellipj_cn(u, m))
ellipj_ph = _jacobi_elliptic(3, "ellipj_ph", lambda y, u, m: ellipj_dn(u, m))


def _agm_slope(y, a, b):
    """The derivative of agm in `a`: agm = pi/4 (a + b) / K(m), m = ((a - b) / (a + b))^2."""
    s = a + b
    r = (a - b) / s
    k = special.ellipk(r * r)
    slope = _EIGHTH * special.hyp2f1(0.5, 0.5, 2.0, r * r) / (1 - r * r)
    return y / s - y / k * slope * 4 * r * b / (s * s)


agm = elementwise(
    special.agm,
    _agm_slope,
    lambda y, a, b: _agm_slope(y, b, a),
    domain=((0.5, 3.0), (0.5, 3.0)),
    name="agm",
)


# --- orthogonal polynomials -----------------------------------------------------------------------------------------
def _lowered(function, n, *args):
    """The polynomial of degree n - 1, which is 0 for n = 0."""
    plain = peel(n)
    return np.where(plain >= 1, function(np.maximum(plain - 1, 0), *args), 0.0)


def _polynomial(name: str, slope, weights: tuple = (), domain=(-0.9, 0.9)):
    degrees = (range(0, 6), *weights)
    return elementwise(getattr(special, name), *[DEGREE] * len(degrees), slope, domain=(*degrees, domain), name=name)


_WEIGHT = (0.3, 1.5)
_polynomial("eval_legendre", lambda y, n, x: _lowered(special.eval_gegenbauer, n, 1.5, x))
_polynomial("eval_chebyt", lambda y, n, x: n * _lowered(special.eval_chebyu, n, x))
_polynomial("eval_chebyu", lambda y, n, x: 2 * _lowered(special.eval_gegenbauer, n, 2.0, x))
_polynomial("eval_chebyc", lambda y, n, x: n * _lowered(special.eval_chebyu, n, 0.5 * x), domain=(-1.8, 1.8))
_polynomial("eval_chebys", lambda y, n, x: _lowered(special.eval_gegenbauer, n, 2.0, 0.5 * x), domain=(-1.8, 1.8))
_polynomial("eval_hermite", lambda y, n, x: 2 * n * _lowered(special.eval_hermite, n, x))
_polynomial("eval_hermitenorm", lambda y, n, x: n * _lowered(special.eval_hermitenorm, n, x))
_polynomial("eval_laguerre", lambda y, n, x: -_lowered(special.eval_genlaguerre, n, 1.0, x), domain=(0.1, 4.0))
_polynomial(
    "eval_genlaguerre",
    lambda y, n, a, x: -_lowered(special.eval_genlaguerre, n, a + 1, x),
    weights=(_WEIGHT,),
    domain=(0.1, 4.0),
)
_polynomial(
    "eval_gegenbauer", lambda y, n, a, x: 2 * a * _lowered(special.eval_gegenbauer, n, a + 1, x), weights=(_WEIGHT,)
)
_polynomial(
    "eval_jacobi",
    lambda y, n, a, b, x: 0.5 * (n + a + b + 1) * _lowered(special.eval_jacobi, n, a + 1, b + 1, x),
    weights=(_WEIGHT, _WEIGHT),
)
_polynomial("eval_sh_legendre", lambda y, n, x: 2 * _lowered(special.eval_gegenbauer, n, 1.5, 2 * x - 1), domain=UNIT)
_polynomial("eval_sh_chebyt", lambda y, n, x: 2 * n * _lowered(special.eval_chebyu, n, 2 * x - 1), domain=UNIT)
_polynomial("eval_sh_chebyu", lambda y, n, x: 4 * _lowered(special.eval_gegenbauer, n, 2.0, 2 * x - 1), domain=UNIT)
_polynomial(
    "eval_sh_jacobi",
    lambda y, n, p, q, x: n * _lowered(special.eval_sh_jacobi, n, p + 2, q + 1, x),
    weights=((2.0, 3.0), (0.5, 1.5)),
    domain=UNIT,
)
