"""Products and triangular solves: einsum, matmul, solve_triangular, cholesky."""

from __future__ import annotations

import numpy as np

from probad.ad.core import Primitive
from probad.ad.kinds import Binary, multilinear, unbroadcast
from probad.ad.rules import like


# --- products -------------------------------------------------------------------------------------------------------
def _matmul_transpose(k, g, y, values, params):
    """Cotangents of a @ b, with NumPy's rules for vectors and for batches of matrices."""
    a, b = values
    n_a, n_b = len(a.shape), len(b.shape)
    if n_b == 1 and n_a == 2 and k == 1:  # the common case: data @ coefficients
        return g.dot(a) if type(g) is type(a) is np.ndarray else matmul(g, a)
    if n_a == 1 and n_b == 1:
        return g * (b if k == 0 else a)
    if n_a == 1:  # (n,) @ (..., n, m)
        if k == 0:
            return unbroadcast((b @ g[..., None])[..., 0], a.shape)
        return unbroadcast(a[:, None] * g[..., None, :], b.shape)
    if n_b == 1:  # (..., n, m) @ (m,)
        if k == 0:
            return unbroadcast(g[..., None] * b, a.shape)
        return unbroadcast((swap(a) @ g[..., None])[..., 0], b.shape)
    return unbroadcast(g @ swap(b), a.shape) if k == 0 else unbroadcast(swap(a) @ g, b.shape)


def swap(a):
    """The transpose of the last two axes."""
    n = len(a.shape)
    return np.transpose(a, (*range(n - 2), n - 1, n - 2))


def _matmul(a, b):
    return a.dot(b) if a.ndim <= 2 and b.ndim <= 2 else np.matmul(a, b)  # dot has less overhead for vectors


matmul = multilinear(
    "matmul",
    _matmul,
    _matmul_transpose,
    lambda rng: [
        ((rng.normal(size=s), rng.normal(size=t)), {})
        for s, t in [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4))]
    ],
    kind=Binary,
)


def _einsum_transpose(k, g, y, values, params):
    """Swap operand k with the output: its letters are what is left over when the others meet `g`."""
    inputs, output = params["subscripts"].split("->")
    letters = inputs.split(",")
    mine, others = letters[k], letters[:k] + letters[k + 1 :]
    operands = [*values[:k], *values[k + 1 :]]
    known = set(output).union(*others)
    summed = [(i, letter) for i, letter in enumerate(mine) if letter not in known]
    for i, letter in summed:  # a letter that only this operand has was summed out: it comes back by repetition
        operands.append(like.ones(values[k], (values[k].shape[i],)))
        others.append(letter)
    out = einsum(g, *operands, subscripts=f"{','.join([output, *others])}->{mine}")
    return unbroadcast(out, values[k].shape)


einsum = multilinear(
    "einsum",
    lambda *operands, subscripts: np.einsum(subscripts, *operands)[()],
    _einsum_transpose,
    lambda rng: [
        ((rng.normal(size=(2, 3)), rng.normal(size=(3, 4))), {"subscripts": "ij,jk->ik"}),
        ((rng.normal(size=(2, 3)), rng.normal(size=3)), {"subscripts": "ij,j->"}),
        ((rng.normal(size=(2, 3)),), {"subscripts": "ij->j"}),
    ],
)


# --- triangular systems ---------------------------------------------------------------------------------------------
def _solve_triangular(a, b, *, lower, trans):
    if type(a) is not np.ndarray:  # another array module
        a = triangle(swap(a) if trans else a, lower is not trans)
        vector = b.ndim < a.ndim
        return np.linalg.solve(a, b[..., None])[..., 0] if vector else np.linalg.solve(a, b)
    from scipy.linalg import solve_triangular  # scipy.linalg is slow to import and few models need it

    if a.ndim == 2:
        return solve_triangular(a, b, lower=lower, trans=int(trans), check_finite=False)
    vector = b.ndim == a.ndim - 1
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-1] if vector else b.shape[:-2])
    core = b.shape[-1:] if vector else b.shape[-2:]
    out = np.empty(batch + core)
    a, b = np.broadcast_to(a, batch + a.shape[-2:]), np.broadcast_to(b, batch + core)
    for i in np.ndindex(batch):
        out[i] = solve_triangular(a[i], b[i], lower=lower, trans=int(trans), check_finite=False)
    return out


def _solve_push(tangents, y, values, params):
    """d(A^-1 b) = A^-1 (db - dA y)."""
    a, _ = values
    ta, tb = tangents
    right = 0.0 if tb is None else tb
    if ta is not None:
        half = triangle(ta, params["lower"])
        half = swap(half) if params["trans"] else half
        right = right - _apply(half, y)
    return solve_triangular(a, right, **params)


def _solve_pull(k, g, y, values, params):
    a, b = values
    back = solve_triangular(a, g, lower=params["lower"], trans=not params["trans"])
    if k == 1:
        return unbroadcast(back, b.shape)
    vector = len(b.shape) == 1 or len(b.shape) == len(a.shape) - 1
    left, right = (y, back) if params["trans"] else (back, y)
    outer = left[..., :, None] * right[..., None, :] if vector else left @ swap(right)
    return unbroadcast(-triangle(outer, params["lower"]), a.shape)


def triangle(a, lower: bool):
    """The lower or the upper triangle, diagonal included."""
    return np.where(like.tri(a) if lower else ~like.tri(a, -1), a, 0.0)


def _apply(a, x):
    return (a @ x[..., None])[..., 0] if len(x.shape) < len(a.shape) else a @ x


def _solve_examples(rng):
    a = rng.normal(size=(3, 3)) + 3 * np.eye(3)
    return [
        ((a, rng.normal(size=shape)), {"lower": lower, "trans": trans})
        for shape in [(3,), (3, 2)]
        for lower in (True, False)
        for trans in (True, False)
    ]


solve_triangular = Primitive("solve_triangular", _solve_triangular, _solve_push, _solve_pull, _solve_examples)


# --- Cholesky -------------------------------------------------------------------------------------------------------
def _half(a):
    """The lower triangle with half the diagonal."""
    return np.where(like.eye(a), 0.5 * a, triangle(a, True))


def _cholesky_push(tangents, y, values, params):
    """DL = L Phi(L^-1 dA L^-T), Phi the lower triangle with half the diagonal (Murray 2016, eq. 8)."""
    t = 0.5 * (tangents[0] + swap(tangents[0]))
    inner = solve_triangular(y, swap(solve_triangular(y, t, lower=True, trans=False)), lower=True, trans=False)
    return y @ _half(swap(inner))


def _cholesky_pull(k, g, y, values, params):
    """A-bar = L^-T sym(Phi(L' L-bar)) L^-1 (Murray 2016, eq. 10)."""
    middle = _half(swap(y) @ triangle(g, True))
    middle = 0.5 * (middle + swap(middle))
    left = solve_triangular(y, middle, lower=True, trans=True)
    return swap(solve_triangular(y, swap(left), lower=True, trans=True))


def _spd(rng):
    a = rng.normal(size=(3, 3))
    return [((a @ a.T + 3 * np.eye(3),), {})]


cholesky = Primitive("cholesky", lambda a: np.linalg.cholesky(a), _cholesky_push, _cholesky_pull, _spd)
