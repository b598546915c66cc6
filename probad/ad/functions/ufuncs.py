"""Ufuncs that are not one primitive: several outputs, or a part that is piecewise constant."""

from __future__ import annotations

import numpy as np

from probad.ad import dispatch
from probad.ad.box import peel
from probad.ad.rules import bessel as b
from probad.ad.rules import elementwise as e
from probad.ad.rules import hypergeometric as h
from probad.ad.rules import incomplete, probability
from probad.scipy_special import special


def divmod_(a, b):
    """Quotient and remainder; the quotient is piecewise constant."""
    return np.floor_divide(peel(a), peel(b)), e.remainder(a, b)


def modf(x):
    """Fractional and integral part; the integral part is piecewise constant."""
    whole = np.trunc(peel(x))
    return x - whole, whole


def frexp(x):
    """Mantissa and exponent; the exponent is piecewise constant."""
    _, exponent = np.frexp(peel(x))
    return x * np.ldexp(1.0, -exponent), exponent


def ldexp(x, exponent):
    """X 2^exponent, for a plain exponent."""
    return x * np.ldexp(1.0, peel(exponent))


def nextafter(a, b):
    """The next number: a step to the side, which is constant."""
    return a + (np.nextafter(peel(a), peel(b)) - peel(a))


dispatch.UFUNCS.update({np.divmod: divmod_, np.modf: modf, np.frexp: frexp, np.ldexp: ldexp, np.nextafter: nextafter})


# --- SciPy ----------------------------------------------------------------------------------------------------------
def _each(*primitives):
    """One primitive for each output of a ufunc."""
    return lambda *args: tuple(primitive(*args) for primitive in primitives)


OF_SCIPY = {
    "airy": _each(b.airy_ai, b.airy_aip, b.airy_bi, b.airy_bip),
    "fresnel": _each(b.fresnel_s, b.fresnel_c),
    "sici": _each(h.sine_integral, h.cosine_integral),
    "shichi": _each(h.sinh_integral, h.cosh_integral),
    "ellipj": _each(h.ellipj_sn, h.ellipj_cn, h.ellipj_dn, h.ellipj_ph),
    **probability.COMPOSITIONS,
}
# special.zeta is a Python function around two ufuncs that are not public
NOT_PUBLIC = {
    "_zeta": lambda s, q: incomplete.zeta_derivative(0, s, q),
    "_riemann_zeta": lambda s: incomplete.zeta_derivative(0, s, np.float64(1.0)),
}


@special.when_loaded
def _enrol(module) -> None:
    dispatch.UFUNCS.update({getattr(module, name): function for name, function in OF_SCIPY.items()})
    for name, function in NOT_PUBLIC.items():
        if hasattr(module._ufuncs, name):
            dispatch.UFUNCS[getattr(module._ufuncs, name)] = function
