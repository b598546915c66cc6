"""Elementwise arithmetic, powers, exponentials, logarithms, trigonometric and hyperbolic functions.

A row is the operation, then one partial derivative per argument as an expression of the output ``y`` and the inputs.
Where a function has a kink, the row says which subgradient it takes.
"""

from __future__ import annotations

import math
import operator

import numpy as np

from probad.ad.box import Box, peel
from probad.ad.core import PRIMITIVES, Primitive
from probad.ad.kinds import MINUS_ONE, ONE, POSITIVE, Inverse, constant, elementwise, unbroadcast
from probad.scipy_special import special

LN2, LN10 = np.log(2.0), np.log(10.0)


# --- arithmetic -----------------------------------------------------------------------------------------------------
add = elementwise(operator.add, ONE, ONE, name="add")
subtract = elementwise(operator.sub, ONE, MINUS_ONE, name="subtract")
multiply = elementwise(operator.mul, lambda y, a, b: b, lambda y, a, b: a, name="multiply")
divide = elementwise(
    operator.truediv, Inverse(lambda y, a, b: b), lambda y, a, b: -y / b, domain=POSITIVE, name="divide", singular=True
)
negative = elementwise(np.negative, MINUS_ONE)
reciprocal = elementwise(np.reciprocal, lambda y, x: -y * y, domain=POSITIVE, singular=True)
square = elementwise(np.square, lambda y, x: x + x)
# a mod b = a - b floor(a / b)
remainder = elementwise(
    np.remainder, ONE, lambda y, a, b: -np.floor_divide(a, b), domain=((0.1, 1.4), (1.6, 2.9)), singular=True
)
fmod = elementwise(
    np.fmod, ONE, lambda y, a, b: -np.trunc(peel(a) / peel(b)), domain=((0.1, 1.4), (1.6, 2.9)), singular=True
)


def _scale_push(tangents, y, values, params):
    g, p = values
    (tg, tp) = tangents
    parts = ([scale(tg, p)] if tg is not None else []) + ([scale(tp, g)] if tp is not None else [])
    total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    return total if total.shape == y.shape else np.broadcast_to(total, y.shape)


def _scale_pull(k, g, y, values, params):
    out = scale(g, values[1 - k])
    shape = values[k].shape
    return out if out.shape == shape else unbroadcast(out, shape)


def _scale(a, p):
    """The product of a cotangent and a singular partial, in which zero times infinity is zero."""
    out = a * p
    if np.isfinite(out).all():
        return out
    return np.where((a == 0) | (p == 0), 0.0, out)[()]


scale = Primitive(
    "scale", _scale, _scale_push, _scale_pull, lambda rng: [((rng.normal(size=3), rng.normal(size=(2, 3))), {})]
)


# --- powers ---------------------------------------------------------------------------------------------------------
def _power_base(y, a, b):
    """The partial b a^(b-1), and 0 where b = 0 whatever the base."""
    if type(b) in (int, float):
        return a + a if b == 2 else b * a ** (b - 1) if b else 0.0 * y
    zero = peel(b) == 0
    return np.where(zero, 0.0, b * a ** np.where(zero, 1.0, b - 1))


def _power_exponent(y, a, b):
    """The partial y log a, and 0 at a = 0, the limit from the right for b > 0."""
    return y * np.log(np.where(peel(a) == 0, 1.0, a))


power = elementwise(
    operator.pow, _power_base, _power_exponent, domain=(POSITIVE, (-2.0, 3.0)), name="power", singular=True
)
sqrt = elementwise(np.sqrt, lambda y, x: 0.5 / y, domain=POSITIVE, singular=True)
cbrt = elementwise(np.cbrt, Inverse(lambda y, x: 3 * y * y), domain=POSITIVE, singular=True)
# the 2-norm's subgradient at the origin is 0
hypot = elementwise(
    np.hypot, lambda y, a, b: a / np.where(peel(y) == 0, 1.0, y), lambda y, a, b: b / np.where(peel(y) == 0, 1.0, y)
)

# --- kinks ----------------------------------------------------------------------------------------------------------
# |x|: the subgradient at 0 is 0. max and min: a tie shares the derivative equally.
absolute = elementwise(np.absolute, lambda y, x: np.sign(x), domain=(0.2, 3.0))
maximum = elementwise(
    np.maximum,
    lambda y, a, b: np.heaviside(peel(a) - peel(b), 0.5),
    lambda y, a, b: np.heaviside(peel(b) - peel(a), 0.5),
)
minimum = elementwise(
    np.minimum,
    lambda y, a, b: np.heaviside(peel(b) - peel(a), 0.5),
    lambda y, a, b: np.heaviside(peel(a) - peel(b), 0.5),
)


def _chosen(y, a, b):
    """1 where fmax or fmin took `a`, 1/2 at a tie, 0 where it took `b`; a NaN is never taken."""
    y, a, b = peel(y), peel(a), peel(b)
    return np.where(a == b, 0.5, np.where(y == a, 1.0, 0.0))


fmax = elementwise(np.fmax, _chosen, lambda y, a, b: _chosen(y, b, a))
fmin = elementwise(np.fmin, _chosen, lambda y, a, b: _chosen(y, b, a))
copysign = elementwise(
    np.copysign,
    lambda y, a, b: np.sign(peel(a)) * np.sign(peel(y)),
    lambda y, a, b: 0.0 * peel(y),
    domain=(0.2, 3.0),
)

# --- exponentials and logarithms ------------------------------------------------------------------------------------
exp = elementwise(np.exp, lambda y, x: y)
exp2 = elementwise(np.exp2, lambda y, x: LN2 * y)
expm1 = elementwise(np.expm1, lambda y, x: np.exp(x))
log = elementwise(np.log, Inverse(lambda y, x: x), domain=POSITIVE, singular=True)
log2 = elementwise(np.log2, Inverse(lambda y, x: LN2 * x), domain=POSITIVE, singular=True)
log10 = elementwise(np.log10, Inverse(lambda y, x: LN10 * x), domain=POSITIVE, singular=True)
log1p = elementwise(np.log1p, Inverse(lambda y, x: 1 + x), domain=(-0.6, 3.0), singular=True)


def _gap(a, b):
    """The difference, and 0 for equal infinities."""
    if (type(a) is float and math.isfinite(a)) or (type(b) is float and math.isfinite(b)):  # the common case
        return a if type(b) is float and b == 0 else a - b
    return np.where(peel(a) == peel(b), 0.0, a - b)


logaddexp = elementwise(
    np.logaddexp, lambda y, a, b: special.expit(_gap(a, b)), lambda y, a, b: special.expit(_gap(b, a))
)
logaddexp2 = elementwise(
    np.logaddexp2, lambda y, a, b: special.expit(LN2 * _gap(a, b)), lambda y, a, b: special.expit(LN2 * _gap(b, a))
)

# --- trigonometric --------------------------------------------------------------------------------------------------
sin = elementwise(np.sin, lambda y, x: np.cos(x))
cos = elementwise(np.cos, lambda y, x: -np.sin(x))
tan = elementwise(np.tan, lambda y, x: 1 + y * y, domain=(-1.3, 1.3))
arcsin = elementwise(np.arcsin, Inverse(lambda y, x: np.sqrt((1 - x) * (1 + x))), domain=(-0.9, 0.9), singular=True)
arccos = elementwise(np.arccos, lambda y, x: -1 / np.sqrt((1 - x) * (1 + x)), domain=(-0.9, 0.9), singular=True)
arctan = elementwise(np.arctan, Inverse(lambda y, x: 1 + x * x))
arctan2 = elementwise(
    np.arctan2, lambda y, a, b: b / (a * a + b * b), lambda y, a, b: -a / (a * a + b * b), singular=True
)
deg2rad = elementwise(np.deg2rad, lambda y, x: np.pi / 180)
rad2deg = elementwise(np.rad2deg, lambda y, x: 180 / np.pi)

# --- hyperbolic -----------------------------------------------------------------------------------------------------
sinh = elementwise(np.sinh, lambda y, x: np.cosh(x))
cosh = elementwise(np.cosh, lambda y, x: np.sinh(x))
# 1 - tanh^2 cancels for large x; the product of the two logistic functions does not
tanh = elementwise(np.tanh, lambda y, x: 4 * special.expit(2 * x) * special.expit(-2 * x))
arcsinh = elementwise(np.arcsinh, Inverse(lambda y, x: np.sqrt(1 + x * x)))
arccosh = elementwise(np.arccosh, Inverse(lambda y, x: np.sqrt((x - 1) * (x + 1))), domain=(1.2, 4.0), singular=True)
arctanh = elementwise(np.arctanh, Inverse(lambda y, x: (1 - x) * (1 + x)), domain=(-0.9, 0.9), singular=True)

# --- piecewise constant ---------------------------------------------------------------------------------------------
for _ufunc in (
    np.sign, np.floor, np.ceil, np.trunc, np.rint, np.heaviside, np.floor_divide, np.signbit,
    np.isfinite, np.isinf, np.isnan, np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.logical_and, np.logical_or, np.logical_xor, np.logical_not, np.spacing,
    np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert,
):  # fmt: skip
    constant(_ufunc)
constant(lambda x, *, dtype: np.asarray(x).astype(dtype)[()], name="astype")


# --- selection ------------------------------------------------------------------------------------------------------
def _where_push(tangents, y, values, params):
    a, b = (0.0 if t is None else t for t in tangents)
    out = where(a, b, condition=params["condition"])
    return out if out.shape == y.shape else np.broadcast_to(out, y.shape)


def _where_pull(k, g, y, values, params):
    condition = params["condition"]
    out = where(g, 0.0, condition=condition) if k == 0 else where(0.0, g, condition=condition)
    shape = values[k].shape
    return out if out.shape == shape else unbroadcast(out, shape)


class Where(Primitive):
    """Selection by a plain condition; one that is batched makes it another primitive."""

    __slots__ = ()

    def __call__(self, a, b, *, condition):
        """Choose `a` where the condition holds, `b` elsewhere."""
        if type(condition) is Box:
            return PRIMITIVES["select"](condition, a, b)
        return Primitive.__call__(self, a, b, condition=condition)


where = Where(
    "where",
    lambda a, b, *, condition: np.where(condition, a, b)[()],
    _where_push,
    _where_pull,
    lambda rng: [((rng.normal(size=3), rng.normal(size=(2, 3))), {"condition": np.array([True, False, True])})],
)
