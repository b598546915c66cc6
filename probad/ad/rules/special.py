"""Elementwise special functions: the gamma and beta families, the logistic, the normal distribution, Bessel."""

from __future__ import annotations

import numpy as np
from scipy import special

from probad.ad.core import PRIMITIVES, peel
from probad.ad.kinds import POSITIVE, UNIT, elementwise

SQRT_PI, SQRT_2, SQRT_2PI = np.sqrt(np.pi), np.sqrt(2.0), np.sqrt(2 * np.pi)


# --- gamma and beta -------------------------------------------------------------------------------------------------
def polygamma(n: int, x):
    """The n-th derivative of psi; each order is a primitive of its own, made when it is first needed."""
    name = f"polygamma{n}"
    if name not in PRIMITIVES:
        sign_factorial = (-1.0) ** (n + 1) * special.factorial(n)
        elementwise(
            lambda x: sign_factorial * special.zeta(n + 1.0, x),
            lambda y, x: polygamma(n + 1, x),
            domain=POSITIVE,
            name=name,
        )
    return PRIMITIVES[name](x)


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
polygamma(1, np.float64(1.0))

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

# --- Bessel ---------------------------------------------------------------------------------------------------------
i0 = elementwise(special.i0, lambda y, x: special.i1(x), name="i0")
i1 = elementwise(special.i1, lambda y, x: special.i0(x) - y / x, domain=POSITIVE, name="i1")
i0e = elementwise(special.i0e, lambda y, x: special.i1e(x) - np.sign(x) * y, domain=POSITIVE, name="i0e")
i1e = elementwise(special.i1e, lambda y, x: special.i0e(x) - y * (np.sign(x) + 1 / x), domain=POSITIVE, name="i1e")
j0 = elementwise(special.j0, lambda y, x: -special.j1(x), domain=POSITIVE, name="j0")
j1 = elementwise(special.j1, lambda y, x: special.j0(x) - y / x, domain=POSITIVE, name="j1")
