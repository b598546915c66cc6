"""What the primitives should compute, in arbitrary precision, written without the project's own rules."""

from __future__ import annotations

import mpmath as mp
import numpy as np


def _choose(better):
    return lambda a, b: a if better(a, b) else b


# Elementwise primitives by name; the derivatives of these are the truth for the contract tests.
ELEMENTWISE = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "scale": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negative": lambda x: -x,
    "reciprocal": lambda x: 1 / x,
    "square": lambda x: x * x,
    "remainder": lambda a, b: a - b * mp.floor(a / b),
    "fmod": lambda a, b: a - b * mp.floor(a / b),
    "power": mp.power,
    "sqrt": mp.sqrt,
    "cbrt": lambda x: mp.root(x, 3),
    "hypot": lambda a, b: mp.sqrt(a * a + b * b),
    "absolute": abs,
    "maximum": _choose(lambda a, b: a > b),
    "minimum": _choose(lambda a, b: a < b),
    "fmax": _choose(lambda a, b: a > b),
    "fmin": _choose(lambda a, b: a < b),
    "copysign": lambda a, b: abs(a) * mp.sign(b),
    "exp": mp.exp,
    "exp2": lambda x: mp.power(2, x),
    "expm1": lambda x: mp.exp(x) - 1,
    "log": mp.log,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "log10": lambda x: mp.log(x) / mp.log(10),
    "log1p": lambda x: mp.log(1 + x),
    "logaddexp": lambda a, b: mp.log(mp.exp(a) + mp.exp(b)),
    "logaddexp2": lambda a, b: mp.log(mp.power(2, a) + mp.power(2, b)) / mp.log(2),
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    "arctan2": mp.atan2,
    "deg2rad": lambda x: x * mp.pi / 180,
    "rad2deg": lambda x: x * 180 / mp.pi,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "arcsinh": mp.asinh,
    "arccosh": mp.acosh,
    "arctanh": mp.atanh,
    "psi": lambda x: mp.psi(0, x),
    "gammaln": mp.loggamma,
    "gamma": mp.gamma,
    "rgamma": mp.rgamma,
    "betaln": lambda a, b: mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b),
    "beta": mp.beta,
    "expit": lambda x: 1 / (1 + mp.exp(-x)),
    "log_expit": lambda x: -mp.log(1 + mp.exp(-x)),
    "logit": lambda x: mp.log(x / (1 - x)),
    "xlogy": lambda a, b: a * mp.log(b),
    "xlog1py": lambda a, b: a * mp.log(1 + b),
    "entr": lambda x: -x * mp.log(x),
    "erf": mp.erf,
    "erfc": mp.erfc,
    "erfcx": lambda x: mp.exp(x * x) * mp.erfc(x),
    "erfinv": mp.erfinv,
    "erfcinv": lambda x: mp.erfinv(1 - x),
    "ndtr": mp.ncdf,
    "ndtri": lambda p: mp.sqrt(2) * mp.erfinv(2 * p - 1),
    "inverse_mills": lambda x: mp.npdf(x) / mp.ncdf(x),
    "log_ndtr": lambda x: mp.log(mp.ncdf(x)),
    "i0": lambda x: mp.besseli(0, x),
    "i1": lambda x: mp.besseli(1, x),
    "i0e": lambda x: mp.exp(-abs(x)) * mp.besseli(0, x),
    "i1e": lambda x: mp.exp(-abs(x)) * mp.besseli(1, x),
    "j0": lambda x: mp.besselj(0, x),
    "j1": lambda x: mp.besselj(1, x),
}


def polygamma(order: int):
    """The primitives polygamma1, polygamma2, ... are made on demand."""
    return lambda x: mp.psi(order, x)


def _logsumexp(x, *, axis, keepdims):
    return np.vectorize(mp.log, otypes=[object])(
        np.add.reduce(np.vectorize(mp.exp, otypes=[object])(x), axis=axis, keepdims=keepdims)
    )


def _scatter(*parts, indices, shape):
    out = np.full(shape, mp.mpf(0))
    for g, where in zip(parts, indices, strict=True):
        flat = np.arange(out.size).reshape(shape)[where]
        for position, value in zip(flat.ravel(), np.broadcast_to(g, flat.shape).ravel(), strict=True):
            out.flat[position] += value
    return out


def _solve_triangular(a, b, *, lower, trans):
    mask = np.tri(a.shape[-1], dtype=bool)
    a = np.where(mask if lower else mask.T, a, mp.mpf(0))
    a = mp.matrix((a.T if trans else a).tolist())
    columns = b.reshape(len(b), -1).T
    solved = [list(mp.lu_solve(a, mp.matrix(column.tolist()))) for column in columns]
    return np.array(solved, dtype=object).T.reshape(b.shape)


def _cholesky(a):
    return np.array(mp.cholesky(mp.matrix(((a + a.T) / 2).tolist())).tolist(), dtype=object)


# Primitives over whole arrays; those not listed are exact on object arrays as they are.
ARRAY = {
    "logsumexp": _logsumexp,
    "scatter": _scatter,
    "solve_triangular": _solve_triangular,
    "cholesky": _cholesky,
}


def exact(primitive):
    """The oracle of a primitive: a function of object arrays of mpmath numbers."""
    name = primitive.name
    if name.startswith("polygamma"):
        return np.vectorize(polygamma(int(name.removeprefix("polygamma"))), otypes=[object])
    if name in ELEMENTWISE:
        return np.vectorize(ELEMENTWISE[name], otypes=[object])
    return ARRAY.get(name, primitive.impl)
