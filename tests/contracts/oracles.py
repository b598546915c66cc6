"""What the primitives should compute, in arbitrary precision, written without the project's own rules."""

from __future__ import annotations

import mpmath as mp
import numpy as np
from scipy import special

from probad.ad.kinds import refusals


def _root(f, slope, start):
    """The zero of `f` by Newton's method from a floating-point approximation."""
    x = mp.mpf(float(start))
    for _ in range(20):
        step = f(x) / slope(x)
        x -= step
        if abs(step) < mp.mpf(10) ** (-mp.mp.dps // 2 - 2) * abs(x):  # the next error is its square
            return x
    raise ArithmeticError("no convergence")


def _gamma_density(a, x):
    return mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a))


def _beta(a, b, x):
    return mp.re(mp.betainc(a, b, 0, x, regularized=True))


def _beta_density(a, b, x):
    return x ** (a - 1) * (1 - x) ** (b - 1) / mp.beta(a, b)


def _lower_gamma(a, x):
    return mp.gammainc(a, 0, x, regularized=True)


def _inverse_gamma(a, p):
    return _root(
        lambda x: _lower_gamma(a, x) - p, lambda x: _gamma_density(a, x), special.gammaincinv(float(a), float(p))
    )


def _inverse_beta(a, b, p):
    start = special.betaincinv(float(a), float(b), float(p))
    return _root(lambda x: _beta(a, b, x) - p, lambda x: _beta_density(a, b, x), start)


def _degree(f):
    return lambda n, *args: f(int(n), *args)


def _student_density(df, t):
    front = mp.gamma((df + 1) / 2) / mp.gamma(df / 2) / mp.sqrt(mp.pi * df)
    return front * (1 + t * t / df) ** (-(df + 1) / 2)


def _student(df, t):
    tail = _beta(df / 2, mp.mpf(1) / 2, df / (df + t * t)) / 2
    return tail if t < 0 else 1 - tail


def _inverse_student(df, p):
    return _root(lambda t: _student(df, t) - p, lambda t: _student_density(df, t), special.stdtrit(float(df), float(p)))


def _secant(f, start):
    """The zero of `f` near a floating-point approximation, without its derivative."""
    x = mp.mpf(float(start))
    return mp.re(mp.findroot(f, (x, x * (1 + mp.mpf(10) ** -8)), tol=mp.mpf(10) ** (6 - 2 * mp.mp.dps), verify=False))


def _wright(a, b, x):
    return mp.fsum(x**k * mp.rgamma(a * k + b) / mp.factorial(k) for k in range(100))


def _box_cox(x, k):
    return (x**k - 1) / k


def _inverse_box_cox(z, k):
    return (k * z + 1) ** (1 / k)


def _owens_t(h, a):
    def density(t):
        return mp.exp(-h * h * (1 + t * t) / 2) / (1 + t * t)

    return mp.quad(density, [0, a / 2, a], method="gauss-legendre", maxdegree=5) / (2 * mp.pi)


def _shifted_jacobi(n, p, q, x):
    return mp.jacobi(n, p - q, q - 1, 2 * x - 1) / mp.binomial(2 * n + p - 1, n)


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
    "gammainc": _lower_gamma,
    "gammaincc": lambda a, x: 1 - _lower_gamma(a, x),
    "gammaincinv": _inverse_gamma,
    "gammainccinv": lambda a, q: _inverse_gamma(a, 1 - q),
    "betainc": _beta,
    "betaincc": lambda a, b, x: 1 - _beta(a, b, x),
    "betaincinv": _inverse_beta,
    "betainccinv": lambda a, b, q: _inverse_beta(a, b, 1 - q),
    "btdtria": lambda p, b, x: _secant(lambda a: _beta(a, b, x) - p, special.btdtria(float(p), float(b), float(x))),
    "btdtrib": lambda a, p, x: _secant(lambda b: _beta(a, b, x) - p, special.btdtrib(float(a), float(p), float(x))),
    "chdtriv": lambda p, x: _secant(lambda v: _lower_gamma(v / 2, x / 2) - p, special.chdtriv(float(p), float(x))),
    "gdtrib": lambda a, p, x: _secant(
        lambda b: _lower_gamma(b, a * x) - p, special.gdtrib(float(a), float(p), float(x))
    ),
    "pdtrik": lambda p, m: _secant(lambda k: 1 - _lower_gamma(k + 1, m) - p, special.pdtrik(float(p), float(m))),
    "stdtr": _student,
    "stdtrit": _inverse_student,
    "owens_t": _owens_t,
    "ndtri_exp": lambda y: mp.sqrt(2) * mp.erfinv(2 * mp.exp(y) - 1),
    "erfi": mp.erfi,
    "dawsn": lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x),
    "loggamma": mp.loggamma,
    "poch": mp.rf,
    "binom": mp.binomial,
    "exprel": lambda x: (mp.exp(x) - 1) / x,
    "powm1": lambda a, b: a**b - 1,
    "boxcox": _box_cox,
    "boxcox1p": lambda x, k: _box_cox(1 + x, k),
    "inv_boxcox": _inverse_box_cox,
    "inv_boxcox1p": lambda z, k: _inverse_box_cox(z, k) - 1,
    "exp10": lambda x: mp.power(10, x),
    "cosm1": lambda x: mp.cos(x) - 1,
    "sindg": lambda x: mp.sin(x * mp.pi / 180),
    "cosdg": lambda x: mp.cos(x * mp.pi / 180),
    "tandg": lambda x: mp.tan(x * mp.pi / 180),
    "cotdg": lambda x: mp.cot(x * mp.pi / 180),
    "radian": lambda d, m, s: (d + m / 60 + s / 3600) * mp.pi / 180,
    "huber": lambda d, r: r * r / 2 if abs(r) <= d else d * (abs(r) - d / 2),
    "pseudo_huber": lambda d, r: d * d * (mp.sqrt(1 + (r / d) ** 2) - 1),
    "kl_div": lambda p, q: p * mp.log(p / q) - p + q,
    "rel_entr": lambda p, q: p * mp.log(p / q),
    "jv": mp.besselj,
    "jve": mp.besselj,
    "yv": mp.bessely,
    "yve": mp.bessely,
    "yn": mp.bessely,
    "iv": mp.besseli,
    "ive": lambda v, x: mp.exp(-x) * mp.besseli(v, x),
    "kv": mp.besselk,
    "kn": mp.besselk,
    "kve": lambda v, x: mp.exp(x) * mp.besselk(v, x),
    "k0": lambda x: mp.besselk(0, x),
    "k1": lambda x: mp.besselk(1, x),
    "k0e": lambda x: mp.exp(x) * mp.besselk(0, x),
    "k1e": lambda x: mp.exp(x) * mp.besselk(1, x),
    "y0": lambda x: mp.bessely(0, x),
    "y1": lambda x: mp.bessely(1, x),
    "struve": mp.struveh,
    "modstruve": mp.struvel,
    "ber": lambda x: mp.ber(0, x),
    "bei": lambda x: mp.bei(0, x),
    "ker": lambda x: mp.ker(0, x),
    "kei": lambda x: mp.kei(0, x),
    "berp": lambda x: (mp.ber(1, x) + mp.bei(1, x)) / mp.sqrt(2),
    "beip": lambda x: (mp.bei(1, x) - mp.ber(1, x)) / mp.sqrt(2),
    "kerp": lambda x: (mp.ker(1, x) + mp.kei(1, x)) / mp.sqrt(2),
    "keip": lambda x: (mp.kei(1, x) - mp.ker(1, x)) / mp.sqrt(2),
    "airy_ai": mp.airyai,
    "airy_aip": lambda x: mp.airyai(x, derivative=1),
    "airy_bi": mp.airybi,
    "airy_bip": lambda x: mp.airybi(x, derivative=1),
    "fresnel_s": mp.fresnels,
    "fresnel_c": mp.fresnelc,
    "hyp2f1": mp.hyp2f1,
    "hyp1f1": mp.hyp1f1,
    "hyp0f1": mp.hyp0f1,
    "hyperu": mp.hyperu,
    "wright_bessel": _wright,
    "log_wright_bessel": lambda a, b, x: mp.log(_wright(a, b, x)),
    "wrightomega": lambda x: mp.re(mp.lambertw(mp.exp(x))),
    "exp1": mp.e1,
    "expi": mp.ei,
    "expn": mp.expint,
    "spence": lambda x: mp.re(mp.polylog(2, 1 - x)),
    "sine_integral": mp.si,
    "cosine_integral": mp.ci,
    "sinh_integral": mp.shi,
    "cosh_integral": mp.chi,
    "ellipk": mp.ellipk,
    "ellipkm1": lambda p: mp.ellipk(1 - p),
    "ellipe": mp.ellipe,
    "ellipkinc": mp.ellipf,
    "ellipeinc": mp.ellipe,
    "ellipj_sn": lambda u, m: mp.ellipfun("sn", u, m),
    "ellipj_cn": lambda u, m: mp.ellipfun("cn", u, m),
    "ellipj_dn": lambda u, m: mp.ellipfun("dn", u, m),
    "ellipj_ph": lambda u, m: mp.atan2(mp.ellipfun("sn", u, m), mp.ellipfun("cn", u, m)),
    "agm": mp.agm,
    "eval_legendre": _degree(mp.legendre),
    "eval_chebyt": _degree(mp.chebyt),
    "eval_chebyu": _degree(mp.chebyu),
    "eval_chebyc": _degree(lambda n, x: 2 * mp.chebyt(n, x / 2)),
    "eval_chebys": _degree(lambda n, x: mp.chebyu(n, x / 2)),
    "eval_hermite": _degree(mp.hermite),
    "eval_hermitenorm": _degree(lambda n, x: mp.hermite(n, x / mp.sqrt(2)) / mp.sqrt(2) ** n),
    "eval_laguerre": _degree(lambda n, x: mp.laguerre(n, 0, x)),
    "eval_genlaguerre": _degree(mp.laguerre),
    "eval_gegenbauer": _degree(mp.gegenbauer),
    "eval_jacobi": _degree(mp.jacobi),
    "eval_sh_legendre": _degree(lambda n, x: mp.legendre(n, 2 * x - 1)),
    "eval_sh_chebyt": _degree(lambda n, x: mp.chebyt(n, 2 * x - 1)),
    "eval_sh_chebyu": _degree(lambda n, x: mp.chebyu(n, 2 * x - 1)),
    "eval_sh_jacobi": _degree(_shifted_jacobi),
    "zeta": lambda s, q: mp.zeta(s, q),
    "zetac": lambda s: mp.zeta(s) - 1,
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


def _batched(f):
    """A function of matrices, applied to each matrix of a batch."""

    def each(*arrays, **params):
        batch = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
        arrays = [np.broadcast_to(a, batch + a.shape[-2:]) for a in arrays]
        found = [np.asarray(f(*(a[i] for a in arrays), **params), dtype=object) for i in np.ndindex(batch)]
        return np.array(found, dtype=object).reshape(batch + found[0].shape)

    return each


def _matrix(a):
    return mp.matrix(a.tolist())


def _array(m):
    return np.array(m.tolist(), dtype=object)


def _signs(found, reference):
    """The sign of each column that makes it agree with the floating-point result."""
    overlap = np.sum(found.astype(float) * reference, axis=0)
    return np.vectorize(lambda v: mp.mpf(1 if v > 0 else -1), otypes=[object])(overlap)


def _eigh(a, *, uplo):
    a = (a + a.T) / 2
    w, v = mp.eigsy(_matrix(a))
    order = sorted(range(len(w)), key=lambda i: w[i])
    v = _array(v)[:, order]
    v = v * _signs(v, np.linalg.eigh(a.astype(float))[1])
    return np.vstack([[w[i] for i in order], v])


def _svd(a):
    wide = a.shape[0] < a.shape[1]
    u, s, vt = (_array(part) for part in mp.svd_r(_matrix(a.T if wide else a)))
    u, vt = (vt.T, u.T) if wide else (u, vt)
    sign = _signs(u, np.linalg.svd(a.astype(float), full_matrices=False)[0])
    return np.vstack([u * sign, s.T, vt.T * sign])


def _qr(a):
    """Gram and Schmidt, with the signs that Householder reflections give."""
    columns = []
    for k in range(a.shape[1]):
        v = a[:, k]
        for u in columns:
            v = v - u * np.dot(u, a[:, k])
        columns.append(v / mp.sqrt(np.dot(v, v)))
    q = np.array(columns, dtype=object).T
    q = q * _signs(q, np.linalg.qr(a.astype(float))[0])
    return np.vstack([q, np.triu(np.dot(q.T, a))])


def _pinv(a, *, rcond):
    if a.shape[0] < a.shape[1]:
        return _pinv(a.T, rcond=rcond).T
    return np.dot(_array(mp.inverse(_matrix(np.dot(a.T, a)))), a.T)


def _determinant(a):
    """By the definition, which does not mind singular matrices."""
    if len(a) == 1:
        return a[0, 0]
    return sum((-1) ** j * a[0, j] * _determinant(np.delete(a[1:], j, axis=1)) for j in range(len(a)))


def _rfft(x, *, n):
    angles = [[2 * mp.pi * j * k / n for k in range(n // 2 + 1)] for j in range(n)]
    turn = [np.vectorize(f, otypes=[object])(np.array(angles, dtype=object)) for f in (mp.cos, lambda t: -mp.sin(t))]
    return np.stack([np.dot(x, part) for part in turn])


def _irfft(z, *, n):
    weights = np.array([1 if k in (0, n / 2) else 2 for k in range(n // 2 + 1)], dtype=object)
    angles = np.array([[2 * mp.pi * j * k / n for j in range(n)] for k in range(n // 2 + 1)], dtype=object)
    cosine, sine = (np.vectorize(f, otypes=[object])(angles) for f in (mp.cos, mp.sin))
    return (np.dot(z[0] * weights, cosine) - np.dot(z[1] * weights, sine)) / n


def _cholesky(a):
    return _array(mp.cholesky(_matrix((a + a.T) / 2)))


# Primitives over whole arrays; those not listed are exact on object arrays as they are.
ARRAY = {
    "logsumexp": _logsumexp,
    "einsum": lambda *operands, subscripts: np.asarray(np.einsum(subscripts, *operands)),
    "rfft": _rfft,
    "irfft": _irfft,
    "convolve": lambda a, b: np.array(
        [sum(a[i] * b[k - i] for i in range(len(a)) if 0 <= k - i < len(b)) for k in range(len(a) + len(b) - 1)]
    ),
    "scatter": _scatter,
    "solve_triangular": _solve_triangular,
    "cholesky": _batched(_cholesky),
    "solve": _batched(lambda a, b: np.dot(_array(mp.inverse(_matrix(a))), b)),
    "inv": _batched(lambda a: _array(mp.inverse(_matrix(a)))),
    "pinv": _batched(_pinv),
    "det": _batched(_determinant),
    "logabsdet": _batched(lambda a: mp.log(abs(_determinant(a)))),
    "eigh": _batched(_eigh),
    "svd": _batched(_svd),
    "qr": _batched(_qr),
}


def exact(primitive):
    """The oracle of a primitive: a function of object arrays of mpmath numbers."""
    name = primitive.name
    if name.startswith("polygamma"):
        return np.vectorize(polygamma(int(name.removeprefix("polygamma"))), otypes=[object])
    if name in ELEMENTWISE:
        return np.vectorize(ELEMENTWISE[name], otypes=[object])
    return ARRAY.get(name, primitive.impl)


def free(primitive, args) -> list[int]:
    """The positions of the arguments that have a derivative."""
    refused = refusals(primitive.name) or [False] * len(args)
    return [k for k, refuses in enumerate(refused) if not refuses]


def bind(primitive, args, params, fixed=None):
    """The primitive as a function of the arguments that have a derivative, and these; `fixed` holds the others."""
    positions = free(primitive, args)

    def f(*values):
        full = list(args if fixed is None else fixed)
        for k, value in zip(positions, values, strict=True):
            full[k] = value
        return primitive(*full, **params)

    return f, tuple(args[k] for k in positions)
