"""Matrix functions: solve, inverse, determinants, eigenvalues, singular values, QR, pseudo-inverse.

All work on batches of matrices ``(..., m, n)``. A factorisation with several factors is one primitive whose output
stacks them on top of each other; `probad.ad.functions.linalg` takes them apart.
"""

from __future__ import annotations

import numpy as np

from probad.ad.box import holds, peel
from probad.ad.core import Primitive
from probad.ad.kinds import constant, unbroadcast
from probad.ad.rules import elementwise as e
from probad.ad.rules import like
from probad.ad.rules.linalg import solve_triangular, swap, triangle


def _examples(*shapes, shift=0.0, params=None):
    def examples(rng):
        matrices = [rng.normal(size=shape) + shift * np.eye(*shape[-2:]) for shape in shapes]
        return [((a,), params or {}) for a in matrices]

    return examples


def _diagonal(a):
    n = np.arange(a.shape[-1])
    return a[..., n, n]


# --- linear systems -------------------------------------------------------------------------------------------------
def _solve_push(tangents, y, values, params):
    """d(A^-1 B) = A^-1 (dB - dA y)."""
    a, _ = values
    ta, tb = tangents
    if ta is None:
        return solve(a, tb)
    right = -(ta @ y) if tb is None else tb - ta @ y
    return solve(a, right)


def _solve_pull(k, g, y, values, params):
    """B-bar = A^-T g, A-bar = -B-bar y^T."""
    a, b = values
    back = solve(swap(a), g)
    return unbroadcast(back, b.shape) if k == 1 else unbroadcast(-(back @ swap(y)), a.shape)


solve = Primitive(
    "solve",
    np.linalg.solve,
    _solve_push,
    _solve_pull,
    lambda rng: [
        ((rng.normal(size=(3, 3)) + 3 * np.eye(3), rng.normal(size=(3, 2))), {}),
        ((rng.normal(size=(2, 2, 2)) + 3 * np.eye(2), rng.normal(size=(2, 1))), {}),
    ],
)

inv = Primitive(
    "inv",
    np.linalg.inv,
    lambda tangents, y, values, params: -(y @ tangents[0] @ y),
    lambda k, g, y, values, params: -(swap(y) @ g @ swap(y)),
    _examples((3, 3), (2, 2, 2), shift=3.0),
)


def _pinv_push(tangents, y, values, params):
    """Golub and Pereyra (1973), eq. 4.12, for matrices of constant rank."""
    (a,), (t,) = values, tangents
    n = swap(t)
    return -(y @ t @ y) + y @ swap(y) @ (n - n @ a @ y) + (n - y @ a @ n) @ swap(y) @ y


def _pinv_pull(k, g, y, values, params):
    (a,) = values
    n = swap(g)
    yt = swap(y)
    return -(yt @ g @ yt) + (n - a @ y @ n) @ y @ yt + yt @ y @ (n - n @ y @ a)


pinv = Primitive(
    "pinv",
    lambda a, *, rcond: np.linalg.pinv(a, rcond=rcond),
    _pinv_push,
    _pinv_pull,
    _examples((3, 2), (2, 3), (2, 2, 2), params={"rcond": 1e-15}),
)

# --- determinants ---------------------------------------------------------------------------------------------------
logabsdet = Primitive(
    "logabsdet",
    lambda a: np.linalg.slogdet(a)[1],
    lambda tangents, y, values, params: np.sum(tangents[0] * swap(inv(values[0])), axis=(-2, -1)),
    lambda k, g, y, values, params: g[..., None, None] * swap(inv(values[0])),
    _examples((3, 3), (2, 2, 2), shift=2.0),
)

sign_of_det = constant(lambda a: np.linalg.slogdet(a)[0], name="sign_of_det")


SINGULAR = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, 1.0]])


def _cofactors(a, y):
    """The derivative of det: y A^-T, and from the minors where a matrix is singular, for it exists there as well."""
    if holds(peel(y) != 0):
        return y[..., None, None] * swap(inv(a))
    n = a.shape[-1]
    if n == 1:
        return 0.0 * a + 1.0
    others = np.array([[j for j in range(n) if j != i] for i in range(n)])
    minors = a[..., others[:, None, :, None], others[None, :, None, :]]
    return det(minors) * (1.0 - 2.0 * ((like.counts(a, n)[:, None] + like.counts(a, n)) % 2))


det = Primitive(
    "det",
    np.linalg.det,
    lambda tangents, y, values, params: np.sum(tangents[0] * _cofactors(values[0], y), axis=(-2, -1)),
    lambda k, g, y, values, params: g[..., None, None] * _cofactors(values[0], y),
    lambda rng: [*_examples((3, 3), (2, 2, 2))(rng), ((SINGULAR,), {})],
)


# --- eigenvalues ----------------------------------------------------------------------------------------------------
def _over_gaps(m, w):
    """The matrix m_ij / (w_j - w_i), with 0 on the diagonal.

    Where two coincide it is infinite unless m_ij is 0: the eigenvectors have no derivative there, and the eigenvalues'
    own does not need this.
    """
    diagonal = like.eye(m)
    gaps = np.where(diagonal, 1.0, w[..., None, :] - w[..., :, None])
    return np.where(diagonal, 0.0, e.scale(m, 1 / gaps))


def _symmetric(a):
    return 0.5 * (a + swap(a))


def _eigh_push(tangents, y, values, params):
    """Dw = diag(V' dA V), dV = V (F * V' dA V), F_ij = 1 / (w_j - w_i) (Giles 2008, 3.1)."""
    w, v = y[..., 0, :], y[..., 1:, :]
    m = swap(v) @ _symmetric(tangents[0]) @ v
    return np.concatenate([_diagonal(m)[..., None, :], v @ _over_gaps(m, w)], axis=-2)


def _eigh_pull(k, g, y, values, params):
    w, v = y[..., 0, :], y[..., 1:, :]
    inner = _over_gaps(swap(v) @ g[..., 1:, :], w)
    inner = np.where(like.eye(inner), g[..., 0, :, None], inner)
    return _symmetric(v @ inner @ swap(v))


def _eigh(a, *, uplo):
    w, v = np.linalg.eigh(a, UPLO=uplo)
    return np.concatenate([w[..., None, :], v], axis=-2)


def _eigh_examples(rng):
    a = rng.normal(size=(2, 3, 3))
    a = a + swap(a) + np.diag([0.0, 3.0, 7.0])
    return [((a[0],), {"uplo": "L"}), ((a[:, :2, :2],), {"uplo": "U"})]


# eigenvalues in the first row, eigenvectors below; the matrix counts as symmetric, so does its cotangent
eigh = Primitive("eigh", _eigh, _eigh_push, _eigh_pull, _eigh_examples)


# --- singular values ------------------------------------------------------------------------------------------------
def _svd_parts(y, shape):
    m = shape[-2]
    return y[..., :m, :], y[..., m, :], y[..., m + 1 :, :]


def _off(m, s):
    """m_ij / (s_j^2 - s_i^2), by factors so that nothing is lost."""
    plus = s[..., None, :] + s[..., :, None]
    return _over_gaps(m / np.where(like.eye(m) | (peel(plus) == 0), 1.0, plus), s)


def _svd_push(tangents, y, values, params):
    """Townsend, "Differentiating the singular value decomposition" (2016), eq. 16 to 18."""
    t, shape = tangents[0], values[0].shape
    u, s, v = _svd_parts(y, shape)
    row = s[..., None, :]
    m = swap(u) @ t @ v
    n = swap(m)
    du = u @ _off(m * row + swap(row) * n, s)
    dv = v @ _off(swap(row) * m + n * row, s)
    if shape[-2] > shape[-1]:
        du = du + (t @ v - u @ m) / row
    if shape[-1] > shape[-2]:
        dv = dv + (swap(t) @ u - v @ n) / row
    return np.concatenate([du, _diagonal(m)[..., None, :], dv], axis=-2)


def _svd_pull(k, g, y, values, params):
    shape = values[0].shape
    u, s, v = _svd_parts(y, shape)
    gu, gs, gv = _svd_parts(g, shape)
    row = s[..., None, :]
    j, k = _off(swap(u) @ gu, s), _off(swap(v) @ gv, s)
    inner = (j + swap(j)) * row + swap(row) * (k + swap(k))
    inner = np.where(like.eye(inner), gs[..., None, :], inner)
    out = u @ inner @ swap(v)
    if shape[-2] > shape[-1]:
        out = out + ((gu - u @ (swap(u) @ gu)) / row) @ swap(v)
    if shape[-1] > shape[-2]:
        out = out + u @ swap((gv - v @ (swap(v) @ gv)) / row)
    return out


def _svd(a):
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([u, s[..., None, :], np.swapaxes(vt, -1, -2)], axis=-2)


# the left singular vectors, below them the singular values in one row, below them the right singular vectors
svd = Primitive("svd", _svd, _svd_push, _svd_pull, _examples((3, 2), (2, 3), (2, 2, 2)))


# --- QR -------------------------------------------------------------------------------------------------------------
def _over(a, r):
    """A R^-1 for an upper triangular R."""
    return swap(solve_triangular(r, swap(a), lower=False, trans=True))


def _qr_push(tangents, y, values, params):
    """DR = (C - Omega) R, dQ = (dA - Q dR) R^-1 with C = Q' dA R^-1 and Omega = tril(C, -1) - tril(C, -1)'.

    Walter and Lehmann, "On algorithmic differentiation of eigenvalues and QR" (2012).
    """
    t, m = tangents[0], values[0].shape[-2]
    q, r = y[..., :m, :], y[..., m:, :]
    c = swap(q) @ _over(t, r)
    low = np.where(like.tri(c, -1), c, 0.0)
    dr = (c - low + swap(low)) @ r
    return np.concatenate([_over(t - q @ dr, r), dr], axis=-2)


def _qr_pull(k, g, y, values, params):
    m = values[0].shape[-2]
    q, r = y[..., :m, :], y[..., m:, :]
    gq, gr = g[..., :m, :], np.where(like.tri(r, -1), 0.0, g[..., m:, :])
    inner = r @ swap(gr) - swap(gq) @ q
    low = np.where(like.tri(inner, -1), inner, 0.0)
    return _over_transposed(gq + q @ (triangle(inner, True) + swap(low)), r)


def _over_transposed(a, r):
    """A R^-T for an upper triangular R."""
    return swap(solve_triangular(r, swap(a), lower=False, trans=False))


def _qr(a):
    return np.concatenate(np.linalg.qr(a), axis=-2)


# the reduced factors of a matrix with at least as many rows as columns: Q, and R below it
qr = Primitive("qr", _qr, _qr_push, _qr_pull, _examples((3, 2), (2, 3, 3)))
