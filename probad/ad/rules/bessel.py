"""Bessel functions and their relatives: derivatives in the argument, by recurrences in the order.

The derivative in the order has no useful form; an order that is traced is refused.
"""

from __future__ import annotations

import numpy as np

from probad.ad.box import peel
from probad.ad.kinds import POSITIVE, elementwise, no_partial
from probad.scipy_special import special

ORDER = no_partial(
    "A Bessel function has no derivative rule in its order. Pass pb.stop_gradient(order), or give the derivative with "
    "pb.custom_derivative."
)

# --- orders 0 and 1 -------------------------------------------------------------------------------------------------
i0 = elementwise(special.i0, lambda y, x: special.i1(x), name="i0")
i1 = elementwise(special.i1, lambda y, x: 0.5 * (special.i0(x) + special.iv(2, x)), name="i1")
i0e = elementwise(special.i0e, lambda y, x: special.i1e(x) - np.sign(x) * y, domain=POSITIVE, name="i0e")
i1e = elementwise(
    special.i1e,
    lambda y, x: 0.5 * (special.i0e(x) + special.ive(2, x)) - np.sign(x) * y,
    domain=POSITIVE,
    name="i1e",
)
j0 = elementwise(special.j0, lambda y, x: -special.j1(x), name="j0")
j1 = elementwise(special.j1, lambda y, x: 0.5 * (special.j0(x) - special.jv(2, x)), name="j1")
k0 = elementwise(special.k0, lambda y, x: -special.k1(x), domain=POSITIVE, name="k0", singular=True)
k1 = elementwise(special.k1, lambda y, x: -special.k0(x) - y / x, domain=POSITIVE, name="k1", singular=True)
k0e = elementwise(special.k0e, lambda y, x: y - special.k1e(x), domain=POSITIVE, name="k0e", singular=True)
k1e = elementwise(special.k1e, lambda y, x: y - special.k0e(x) - y / x, domain=POSITIVE, name="k1e", singular=True)
y0 = elementwise(special.y0, lambda y, x: -special.y1(x), domain=POSITIVE, name="y0", singular=True)
y1 = elementwise(special.y1, lambda y, x: special.y0(x) - y / x, domain=POSITIVE, name="y1", singular=True)


# --- any order ------------------------------------------------------------------------------------------------------
def _by_order(function, slope, *, name=None, orders=(-1.5, 2.5), domain=POSITIVE):
    name = name or function.__name__
    return elementwise(function, ORDER, slope, domain=(orders, domain), name=name, singular=True)


def _half_difference(function):
    return lambda y, v, x: 0.5 * (function(v - 1, x) - function(v + 1, x))


def _half_sum(function):
    return lambda y, v, x: 0.5 * (function(v - 1, x) + function(v + 1, x))


jv = _by_order(special.jv, _half_difference(special.jv), name="jv")
jve = _by_order(special.jve, _half_difference(special.jve), name="jve")
yv = _by_order(special.yv, _half_difference(special.yv), name="yv")
yve = _by_order(special.yve, _half_difference(special.yve), name="yve")
yn = _by_order(special.yn, _half_difference(special.yv), name="yn", orders=range(0, 3))
iv = _by_order(special.iv, _half_sum(special.iv), name="iv")
ive = _by_order(
    special.ive,
    lambda y, v, x: 0.5 * (special.ive(v - 1, x) + special.ive(v + 1, x)) - np.sign(peel(x)) * y,
    name="ive",
)
kv = _by_order(special.kv, lambda y, v, x: -0.5 * (special.kv(v - 1, x) + special.kv(v + 1, x)), name="kv")
kn = _by_order(
    special.kn,
    lambda y, v, x: -0.5 * (special.kv(v - 1, x) + special.kv(v + 1, x)),
    name="kn",
    orders=range(0, 3),
)
kve = _by_order(special.kve, lambda y, v, x: y - 0.5 * (special.kve(v - 1, x) + special.kve(v + 1, x)), name="kve")


def _struve_source(v, x):
    return (0.5 * x) ** v / (np.sqrt(np.pi) * special.gamma(v + 1.5))


# DLMF 11.4.25 to 11.4.28
struve = _by_order(
    special.struve,
    lambda y, v, x: 0.5 * (special.struve(v - 1, x) - special.struve(v + 1, x) + _struve_source(v, x)),
    orders=(0.2, 2.0),
)
modstruve = _by_order(
    special.modstruve,
    lambda y, v, x: 0.5 * (special.modstruve(v - 1, x) + special.modstruve(v + 1, x) + _struve_source(v, x)),
    orders=(0.2, 2.0),
)

# --- Kelvin functions: real and imaginary part of x^2 w'' + x w' = i x^2 w -------------------------------------------
for _real, _imaginary in (("ber", "bei"), ("ker", "kei")):
    for _name, _other, _sign in ((_real, _imaginary, -1.0), (_imaginary, _real, 1.0)):
        _function, _slope = getattr(special, _name), getattr(special, f"{_name}p")
        _partner = getattr(special, _other)
        elementwise(_function, lambda y, x, slope=_slope: slope(x), domain=POSITIVE, name=_name, singular=True)
        elementwise(
            _slope,
            lambda y, x, partner=_partner, sign=_sign: sign * partner(x) - y / x,
            domain=POSITIVE,
            name=f"{_name}p",
            singular=True,
        )


# --- functions with several outputs, one primitive for each ----------------------------------------------------------
def _output(function, k: int):
    return lambda *args: function(*args)[k]


AIRY = (-3.0, 2.0)
airy_ai = elementwise(_output(special.airy, 0), lambda y, x: airy_aip(x), domain=AIRY, name="airy_ai")
airy_aip = elementwise(_output(special.airy, 1), lambda y, x: x * airy_ai(x), domain=AIRY, name="airy_aip")
airy_bi = elementwise(_output(special.airy, 2), lambda y, x: airy_bip(x), domain=AIRY, name="airy_bi")
airy_bip = elementwise(_output(special.airy, 3), lambda y, x: x * airy_bi(x), domain=AIRY, name="airy_bip")
fresnel_s = elementwise(_output(special.fresnel, 0), lambda y, x: np.sin(0.5 * np.pi * x * x), name="fresnel_s")
fresnel_c = elementwise(_output(special.fresnel, 1), lambda y, x: np.cos(0.5 * np.pi * x * x), name="fresnel_c")
