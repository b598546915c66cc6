"""Distribution functions of SciPy and their inverses, from the incomplete gamma and beta functions.

An inverse in any one argument is differentiated implicitly: if F(v, w) = p defines v, then v_p = 1 / F_v and
v_w = -F_w / F_v.
"""

from __future__ import annotations

import numpy as np

from probad.ad.box import peel
from probad.ad.kinds import UNIT, elementwise
from probad.ad.rules.incomplete import slope
from probad.scipy_special import special


# --- distribution functions, as compositions ------------------------------------------------------------------------
def chdtr(v, x):
    """Chi-square distribution function."""
    return special.gammainc(v / 2, x / 2)


def gdtr(a, b, x):
    """Gamma distribution function, of rate a and shape b."""
    return special.gammainc(b, a * x)


def pdtr(k, m):
    """Poisson distribution function; piecewise constant in k."""
    return special.gammaincc(_whole(k) + 1, m)


def fdtr(n, d, x):
    """F distribution function."""
    return special.betainc(n / 2, d / 2, n * x / (d + n * x))


def bdtr(k, n, p):
    """Binomial distribution function; piecewise constant in k."""
    return special.betaincc(_whole(k) + 1, n - _whole(k), p)


def nbdtr(k, n, p):
    """Negative binomial distribution function; piecewise constant in k."""
    return special.betainc(n, _whole(k) + 1, p)


def _whole(k):
    return np.floor(peel(k))


def _fdtri(n, d, p):
    z = special.betaincinv(n / 2, d / 2, p)
    return d * z / (n * (1 - z))


COMPOSITIONS = {
    "chdtr": chdtr,
    "chdtrc": lambda v, x: special.gammaincc(v / 2, x / 2),
    "chdtri": lambda v, p: 2 * special.gammainccinv(v / 2, p),
    "gdtr": gdtr,
    "gdtrc": lambda a, b, x: special.gammaincc(b, a * x),
    "gdtria": lambda p, b, x: special.gammaincinv(b, p) / x,
    "gdtrix": lambda a, b, p: special.gammaincinv(b, p) / a,
    "pdtr": pdtr,
    "pdtrc": lambda k, m: special.gammainc(_whole(k) + 1, m),
    "pdtri": lambda k, p: special.gammainccinv(_whole(k) + 1, p),
    "fdtr": fdtr,
    "fdtrc": lambda n, d, x: special.betainc(d / 2, n / 2, d / (d + n * x)),
    "fdtri": _fdtri,
    "bdtr": bdtr,
    "bdtrc": lambda k, n, p: special.betainc(_whole(k) + 1, n - _whole(k), p),
    "bdtri": lambda k, n, y: special.betainccinv(_whole(k) + 1, n - _whole(k), y),
    "nbdtr": nbdtr,
    "nbdtrc": lambda k, n, p: special.betaincc(n, _whole(k) + 1, p),
    "nbdtri": lambda k, n, y: special.betaincinv(n, _whole(k) + 1, y),
    "nrdtrimn": lambda p, sd, x: x - sd * special.ndtri(p),
    "nrdtrisd": lambda mean, p, x: (x - mean) / special.ndtri(p),
}


# --- inverses in a parameter ----------------------------------------------------------------------------------------
def _inverse(ufunc, function, position: int, domain: tuple, name: str | None = None):
    """Register ``v = ufunc(..., p, ...)``, which solves ``function(..., v, ...) = p`` with v in p's `position`."""

    def along(y, args, k):
        """The derivative of `function` in argument k at the solution."""
        point = [*args[:position], y, *args[position + 1 :]]
        return slope(lambda value: function(*point[:k], value, *point[k + 1 :]), point[k])

    def partial(k):
        if k == position:
            return lambda y, *args: 1 / along(y, args, position)
        return lambda y, *args: -along(y, args, k) / along(y, args, position)

    n = len(domain)
    elementwise(ufunc, *map(partial, range(n)), domain=domain, name=name or ufunc.__name__, singular=True)


_MIDDLE, _SHAPE = (0.2, 0.8), (1.0, 4.0)
_inverse(special.chdtriv, chdtr, 0, (_MIDDLE, (1.0, 6.0)))
_inverse(special.gdtrib, gdtr, 1, ((0.5, 2.0), _MIDDLE, _SHAPE))
_inverse(special.btdtria, special.betainc, 0, (_MIDDLE, _SHAPE, _MIDDLE))
_inverse(special.btdtrib, special.betainc, 1, (_SHAPE, _MIDDLE, _MIDDLE))
_inverse(special.pdtrik, lambda k, m: special.gammaincc(k + 1, m), 0, (_MIDDLE, _SHAPE))


# --- Student's t ----------------------------------------------------------------------------------------------------
def t_density(df, t):
    """Density of Student's t."""
    front = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - 0.5 * np.log(np.pi * df)
    return np.exp(front - (df + 1) / 2 * np.log1p(t * t / df))


def _t_distribution(df, t):
    """The distribution function by the incomplete beta function, in the form that keeps its accuracy."""
    plain = peel(t)
    far, centre = plain * plain > peel(df), plain == 0
    distant, near = np.where(far, t, 2 * np.sqrt(df)), np.where(far | centre, 1.0, t)
    outside = 0.5 * special.betainc(0.5 * df, 0.5, df / (df + distant * distant))
    inside = 0.5 - 0.5 * special.betainc(0.5, 0.5 * df, near * near / (df + near * near))
    tail = np.where(far, outside, np.where(centre, 0.5, inside))
    return np.where(plain < 0, tail, 1 - tail)


stdtr = elementwise(
    special.stdtr,
    lambda y, df, t: slope(lambda df: _t_distribution(df, t), df),
    lambda y, df, t: t_density(df, t),
    domain=((0.8, 6.0), (0.3, 3.0)),
    name="stdtr",
    singular=True,
)
_inverse(special.stdtrit, special.stdtr, 1, ((1.5, 6.0), UNIT))
