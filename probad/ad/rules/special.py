"""Elementwise special functions: the gamma and beta families, the logistic, the normal distribution, losses."""

from __future__ import annotations

import math

import numpy as np

from probad.ad.box import peel
from probad.ad.core import PRIMITIVES, Primitive
from probad.ad.kinds import POSITIVE, UNIT, constant, elementwise
from probad.scipy_special import special

SQRT_PI, SQRT_2, SQRT_2PI = np.sqrt(np.pi), np.sqrt(2.0), np.sqrt(2 * np.pi)


# --- gamma and beta -------------------------------------------------------------------------------------------------
def polygamma(n: int, x):
    """The n-th derivative of psi; each order is a primitive of its own, made when it is first needed."""
    return _polygamma(n)(x)


def _polygamma(n: int) -> Primitive:
    name = f"polygamma{n}"
    if name not in PRIMITIVES:
        sign_factorial = (-1.0) ** (n + 1) * math.factorial(n)
        elementwise(
            lambda x: sign_factorial * special.zeta(n + 1.0, x),
            lambda y, x: polygamma(n + 1, x),
            domain=POSITIVE,
            name=name,
        )
    return PRIMITIVES[name]


psi = elementwise(special.psi, lambda y, x: polygamma(1, x), domain=POSITIVE, name="psi")
gammaln = elementwise(special.gammaln, lambda y, x: special.psi(x), domain=POSITIVE, name="gammaln")
gamma = elementwise(special.gamma, lambda y, x: y * special.psi(x), domain=POSITIVE, name="gamma")
rgamma = elementwise(special.rgamma, lambda y, x: -y * special.psi(x), domain=POSITIVE, name="rgamma")
betaln = elementwise(
    special.betaln,
    lambda y, a, b: special.psi(a) - special.psi(a + b),
    lambda y, a, b: special.psi(b) - special.psi(a + b),
    domain=POSITIVE,
    name="betaln",
)
beta = elementwise(
    special.beta,
    lambda y, a, b: y * (special.psi(a) - special.psi(a + b)),
    lambda y, a, b: y * (special.psi(b) - special.psi(a + b)),
    domain=POSITIVE,
    name="beta",
)
_polygamma(1)

# --- logistic -------------------------------------------------------------------------------------------------------
expit = elementwise(special.expit, lambda y, x: y * special.expit(-x), name="expit")
log_expit = elementwise(special.log_expit, lambda y, x: special.expit(-x), name="log_expit")
logit = elementwise(special.logit, lambda y, x: 1 / (x * (1 - x)), domain=UNIT, name="logit", singular=True)

# --- entropies ------------------------------------------------------------------------------------------------------
# x log y is 0 at x = 0 whatever y, with subgradient 0: counts of zero say nothing
xlogy = elementwise(
    special.xlogy,
    lambda y, a, b: np.where(peel(a) == 0, 0.0, np.log(np.where(peel(a) == 0, 1.0, b))),
    lambda y, a, b: np.where(peel(a) == 0, 0.0, a / np.where(peel(a) == 0, 1.0, b)),
    domain=POSITIVE,
    name="xlogy",
    singular=True,
)
xlog1py = elementwise(
    special.xlog1py,
    lambda y, a, b: np.where(peel(a) == 0, 0.0, np.log1p(np.where(peel(a) == 0, 0.0, b))),
    lambda y, a, b: np.where(peel(a) == 0, 0.0, a / np.where(peel(a) == 0, 1.0, 1 + b)),
    domain=(POSITIVE, (-0.6, 3.0)),
    name="xlog1py",
    singular=True,
)
entr = elementwise(special.entr, lambda y, x: -np.log(x) - 1, domain=POSITIVE, name="entr", singular=True)

# --- normal distribution --------------------------------------------------------------------------------------------
erf = elementwise(special.erf, lambda y, x: (2 / SQRT_PI) * np.exp(-x * x), name="erf")
erfc = elementwise(special.erfc, lambda y, x: (-2 / SQRT_PI) * np.exp(-x * x), name="erfc")
erfcx = elementwise(special.erfcx, lambda y, x: 2 * x * y - 2 / SQRT_PI, name="erfcx")
erfinv = elementwise(
    special.erfinv, lambda y, x: (SQRT_PI / 2) * np.exp(y * y), domain=(-0.9, 0.9), name="erfinv", singular=True
)
erfcinv = elementwise(
    special.erfcinv, lambda y, x: (-SQRT_PI / 2) * np.exp(y * y), domain=(0.1, 1.9), name="erfcinv", singular=True
)
ndtr = elementwise(special.ndtr, lambda y, x: np.exp(-0.5 * x * x) / SQRT_2PI, name="ndtr")
ndtri = elementwise(
    special.ndtri, lambda y, p: SQRT_2PI * np.exp(0.5 * y * y), domain=UNIT, name="ndtri", singular=True
)
# The inverse Mills ratio phi(x) / Phi(x), by erfcx so that neither factor underflows in the left tail.
mills = elementwise(
    lambda x: np.sqrt(2 / np.pi) / special.erfcx(-x / SQRT_2), lambda y, x: -y * (x + y), name="inverse_mills"
)
log_ndtr = elementwise(special.log_ndtr, lambda y, x: mills(x), name="log_ndtr")
ndtri_exp = elementwise(
    special.ndtri_exp, lambda y, p: 1 / mills(y), domain=(-4.0, -0.1), name="ndtri_exp", singular=True
)
owens_t = elementwise(
    special.owens_t,
    lambda y, h, a: -np.exp(-0.5 * h * h) * special.erf(a * h / SQRT_2) / (2 * SQRT_2PI),
    lambda y, h, a: np.exp(-0.5 * h * h * (1 + a * a)) / (2 * np.pi * (1 + a * a)),
    name="owens_t",
)
erfi = elementwise(special.erfi, lambda y, x: (2 / SQRT_PI) * np.exp(x * x), domain=(-1.5, 1.5), name="erfi")
dawsn = elementwise(special.dawsn, lambda y, x: 1 - 2 * x * y, name="dawsn")

# --- products and quotients of gamma functions ----------------------------------------------------------------------
loggamma = elementwise(special.loggamma, lambda y, x: special.psi(x), domain=POSITIVE, name="loggamma")
constant(special.gammasgn, name="gammasgn")
poch = elementwise(
    special.poch,
    lambda y, z, m: y * (special.psi(z + m) - special.psi(z)),
    lambda y, z, m: y * special.psi(z + m),
    domain=POSITIVE,
    name="poch",
)
binom = elementwise(
    special.binom,
    lambda y, n, k: y * (special.psi(n + 1) - special.psi(n - k + 1)),
    lambda y, n, k: y * (special.psi(n - k + 1) - special.psi(k + 1)),
    domain=((2.0, 5.0), (0.1, 1.9)),
    name="binom",
)


# --- functions that cancel near 0 -----------------------------------------------------------------------------------
def phi(n: int, x):
    """phi_n(x) = sum_k x^k / (n + k)!, so that phi_0 = exp and phi_1 = exprel; phi_n' = phi_n - n phi_(n+1)."""
    name = f"phi{n}"
    if name not in PRIMITIVES:

        def impl(x):
            near = np.abs(x) < 2.0
            small, large = np.where(near, x, 0.0), np.where(near, 3.0, x)
            series = 0.0
            for k in range(24, -1, -1):
                series = series * small + 1 / special.factorial(n + k)
            far = np.exp(large)
            for k in range(n):
                far = (far - 1 / special.factorial(k)) / large
            return np.where(near, series, far)[()]

        elementwise(impl, lambda y, x: y - n * phi(n + 1, x), name=name)
    return PRIMITIVES[name](x)


exprel = elementwise(special.exprel, lambda y, x: y - phi(2, x), name="exprel")


def spherical(n: int, x):
    """j_n(x) / x^n, an even function without a singularity; its derivative is -x j_(n+1)(x) / x^(n+1)."""
    name = f"spherical{n}"
    if name not in PRIMITIVES:

        def impl(x):
            near = np.abs(x) < n + 2.0
            small, large = np.where(near, x, 0.0), np.where(near, n + 3.0, x)
            term = total = 1 / special.factorial2(2 * n + 1) + 0.0 * small
            for k in range(1, 24 + n):
                term = term * (-0.5 * small * small / (k * (2 * (n + k) + 1)))
                total = total + term
            size = np.abs(large)
            far = np.sqrt(np.pi / (2 * size)) * special.jv(n + 0.5, size) / size**n if n else np.sin(large) / large
            return np.where(near, total, far)[()]

        elementwise(impl, lambda y, x: -x * spherical(n + 1, x), name=name)
    return PRIMITIVES[name](x)


def sinc(x):
    """sin(pi x) / (pi x), with derivatives of any order at and near 0."""
    return spherical(0, np.pi * x)


# --- powers and the Box-Cox family ----------------------------------------------------------------------------------
def _slope_of_exprel(x):
    return phi(1, x) - phi(2, x)


powm1 = elementwise(
    special.powm1,
    lambda y, a, b: b * a ** (b - 1),
    lambda y, a, b: (y + 1) * np.log(a),
    domain=(POSITIVE, (-2.0, 3.0)),
    name="powm1",
    singular=True,
)
boxcox = elementwise(
    special.boxcox,
    lambda y, x, k: x ** (k - 1),
    lambda y, x, k: np.log(x) ** 2 * _slope_of_exprel(k * np.log(x)),
    domain=(POSITIVE, (-2.0, 2.0)),
    name="boxcox",
    singular=True,
)
boxcox1p = elementwise(
    special.boxcox1p,
    lambda y, x, k: (1 + x) ** (k - 1),
    lambda y, x, k: np.log1p(x) ** 2 * _slope_of_exprel(k * np.log1p(x)),
    domain=((-0.6, 3.0), (-2.0, 2.0)),
    name="boxcox1p",
    singular=True,
)
# from the derivatives of boxcox at the output
inv_boxcox = elementwise(
    special.inv_boxcox,
    lambda y, z, k: y ** (1 - k),
    lambda y, z, k: -(y ** (1 - k)) * np.log(y) ** 2 * _slope_of_exprel(k * np.log(y)),
    domain=((0.1, 0.9), (-0.9, 2.0)),
    name="inv_boxcox",
    singular=True,
)
inv_boxcox1p = elementwise(
    special.inv_boxcox1p,
    lambda y, z, k: (1 + y) ** (1 - k),
    lambda y, z, k: -((1 + y) ** (1 - k)) * np.log1p(y) ** 2 * _slope_of_exprel(k * np.log1p(y)),
    domain=((0.1, 0.9), (-0.9, 2.0)),
    name="inv_boxcox1p",
    singular=True,
)

# --- elementary functions in other units ----------------------------------------------------------------------------
DEGREE = np.pi / 180
exp10 = elementwise(special.exp10, lambda y, x: np.log(10.0) * y, name="exp10")
cosm1 = elementwise(special.cosm1, lambda y, x: -np.sin(x), name="cosm1")
sindg = elementwise(special.sindg, lambda y, x: DEGREE * special.cosdg(x), domain=(-80.0, 80.0), name="sindg")
cosdg = elementwise(special.cosdg, lambda y, x: -DEGREE * special.sindg(x), domain=(-80.0, 80.0), name="cosdg")
tandg = elementwise(special.tandg, lambda y, x: DEGREE * (1 + y * y), domain=(-70.0, 70.0), name="tandg")
cotdg = elementwise(special.cotdg, lambda y, x: -DEGREE * (1 + y * y), domain=(20.0, 70.0), name="cotdg")
radian = elementwise(
    special.radian,
    lambda y, d, m, s: DEGREE,
    lambda y, d, m, s: DEGREE / 60,
    lambda y, d, m, s: DEGREE / 3600,
    name="radian",
)

# --- losses and divergences -----------------------------------------------------------------------------------------
huber = elementwise(
    special.huber,
    lambda y, d, r: np.where(np.abs(peel(r)) <= peel(d), 0.0, np.abs(r) - d),
    lambda y, d, r: np.where(np.abs(peel(r)) <= peel(d), r, d * np.sign(r)),
    domain=((0.5, 1.5), (-3.0, 3.0)),
    name="huber",
)
pseudo_huber = elementwise(
    special.pseudo_huber,
    lambda y, d, r: 2 * y / d - r * r / np.hypot(d, r),
    lambda y, d, r: r * d / np.hypot(d, r),
    domain=((0.5, 1.5), (-3.0, 3.0)),
    name="pseudo_huber",
)
kl_div = elementwise(
    special.kl_div,
    lambda y, p, q: np.log(p / q),
    lambda y, p, q: 1 - p / q,
    domain=POSITIVE,
    name="kl_div",
    singular=True,
)
rel_entr = elementwise(
    special.rel_entr,
    lambda y, p, q: np.log(p / q) + 1,
    lambda y, p, q: -p / q,
    domain=POSITIVE,
    name="rel_entr",
    singular=True,
)
