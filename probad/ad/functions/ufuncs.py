"""Ufuncs that are not one primitive: several outputs, or a part that is piecewise constant."""

from __future__ import annotations

import numpy as np

from probad.ad import dispatch
from probad.ad.core import peel
from probad.ad.rules import elementwise as e


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
