"""Linear algebra: `numpy.linalg`. Matrices come in batches ``(..., m, n)``, as NumPy has them."""

from __future__ import annotations

import numpy as np
from numpy.linalg import LinAlgError

from probad.ad.box import peel
from probad.ad.dispatch import implements
from probad.ad.functions import reductions as red
from probad.ad.functions.joining import concatenate
from probad.ad.functions.operands import as_operand, axes_of
from probad.ad.functions.shapes import moveaxis, reshape, squeeze, swapaxes
from probad.ad.rules import elementwise as e
from probad.ad.rules import like
from probad.ad.rules import linalg as la
from probad.ad.rules import matrices as m
from probad.errors import UnsupportedFunctionError

# NumPy's own result types, so that .eigenvalues, .U, .Q and so on work
_one = np.eye(1)
EighResult, SVDResult = type(np.linalg.eigh(_one)), type(np.linalg.svd(_one))
QRResult, SlogdetResult = type(np.linalg.qr(_one)), type(np.linalg.slogdet(_one))


def _square(a, name: str):
    a = as_operand(a)
    if len(a.shape) < 2 or a.shape[-1] != a.shape[-2]:
        raise LinAlgError(f"np.linalg.{name} needs square matrices; got shape {a.shape}.")
    return a


# --- factorisations -------------------------------------------------------------------------------------------------
@implements(np.linalg.cholesky)
def cholesky(a, /, *, upper=False):
    lower = la.cholesky(_square(a, "cholesky"))
    return swapaxes(lower, -1, -2) if upper else lower


@implements(np.linalg.eigh)
def eigh(a, UPLO="L"):
    """The matrix counts as symmetric, and its gradient is so."""
    both = m.eigh(_square(a, "eigh"), uplo=UPLO.upper())
    return EighResult(both[..., 0, :], both[..., 1:, :])


@implements(np.linalg.eigvalsh)
def eigvalsh(a, UPLO="L"):
    return eigh(a, UPLO)[0]


@implements(np.linalg.svd)
def svd(a, full_matrices=True, compute_uv=True, hermitian=False):
    a = as_operand(a)
    rows, columns = a.shape[-2:]
    if hermitian:
        raise UnsupportedFunctionError("np.linalg.svd on a traced value does not take hermitian=; use np.linalg.eigh.")
    if compute_uv and full_matrices and rows != columns:
        raise UnsupportedFunctionError(
            "np.linalg.svd on a traced value needs full_matrices=False: the vectors beyond the rank are arbitrary and "
            "have no derivative."
        )
    both = m.svd(a)
    if not compute_uv:
        return both[..., rows, :]
    return SVDResult(both[..., :rows, :], both[..., rows, :], swapaxes(both[..., rows + 1 :, :], -1, -2))


@implements(np.linalg.svdvals)
def svdvals(x, /):
    return svd(x, compute_uv=False)


@implements(np.linalg.qr)
def qr(a, mode="reduced"):
    a = as_operand(a)
    rows, columns = a.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and rows <= columns):
        raise UnsupportedFunctionError(
            f"np.linalg.qr on a traced value does not take mode={mode!r}; use mode='reduced'."
        )
    k = min(rows, columns)
    both = m.qr(a[..., :k])
    q, r = both[..., :rows, :], both[..., rows:, :]
    r = e.where(r, 0.0, condition=~like.tri(r, -1))
    if columns > rows:  # the remaining columns in the basis of the first
        r = concatenate([r, swapaxes(q, -1, -2) @ a[..., k:]], -1)
    return r if mode == "r" else QRResult(q, r)


# --- systems and inverses -------------------------------------------------------------------------------------------
@implements(np.linalg.solve)
def solve(a, b):
    a, b = _square(a, "solve"), as_operand(b)
    return m.solve(a, b[..., None])[..., 0] if len(b.shape) == 1 else m.solve(a, b)


@implements(np.linalg.inv)
def inv(a):
    return m.inv(_square(a, "inv"))


@implements(np.linalg.pinv)
def pinv(a, rcond=None, hermitian=False, *, rtol=None):
    """The derivative is that for matrices of constant rank."""
    a = as_operand(a)
    cut = rtol if rcond is None else rcond
    if rtol is np._NoValue or cut is None or cut is np._NoValue:
        cut = 1e-15 if rcond is None or rcond is np._NoValue else rcond
    return m.pinv(a, rcond=peel(cut))


@implements(np.linalg.lstsq)
def lstsq(a, b, rcond=None):
    """Solution, residuals and singular values with derivatives; the rank is plain."""
    a, b = as_operand(a), as_operand(b)
    rows, columns = a.shape
    cut = np.finfo(float).eps * max(rows, columns) if rcond is None else rcond
    x = pinv(a, cut) @ b
    s = svdvals(a)
    rank = int(np.sum(peel(s) > cut * np.max(peel(s))))
    if rank < columns or rows <= columns:
        return x, np.empty(0), rank, s
    left = b - a @ x
    residuals = red.sum(left * left, 0)
    return x, (reshape(residuals, (1,)) if len(b.shape) == 1 else residuals), rank, s


@implements(np.linalg.tensorinv)
def tensorinv(a, ind=2):
    front, back = a.shape[:ind], a.shape[ind:]
    return reshape(inv(reshape(a, (int(np.prod(front)), int(np.prod(back))))), back + front)


@implements(np.linalg.tensorsolve)
def tensorsolve(a, b, axes=None):
    a, b = as_operand(a), as_operand(b)
    if axes is not None:
        a = moveaxis(a, axes, range(len(a.shape) - len(tuple(axes)), len(a.shape)))
    shape = a.shape[len(b.shape) :]
    n = int(np.prod(shape))
    return reshape(solve(reshape(a, (-1, n)), reshape(b, (-1,))), shape)


@implements(np.linalg.matrix_power)
def matrix_power(a, n):
    """By repeated squaring."""
    a = _square(a, "matrix_power")
    if n < 0:
        a, n = m.inv(a), -n
    out = None
    while n:
        if n & 1:
            out = a if out is None else out @ a
        n >>= 1
        a = a @ a if n else a
    return 0.0 * a + like.eye(a) if out is None else out


# --- determinants ---------------------------------------------------------------------------------------------------
@implements(np.linalg.det)
def det(a):
    return m.det(_square(a, "det"))


@implements(np.linalg.slogdet)
def slogdet(a):
    """The sign is piecewise constant."""
    a = _square(a, "slogdet")
    return SlogdetResult(m.sign_of_det(a), m.logabsdet(a))


# --- norms ----------------------------------------------------------------------------------------------------------
@implements(np.linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """Every order NumPy has; the subgradient of a 2-norm or Frobenius norm at the origin is 0."""
    x = as_operand(x)
    n = len(x.shape)
    axes = axes_of(axis, n)
    if ord is None:
        return _scaled_power_sum(x, 2, axes, keepdims)
    if len(axes) == 1:
        return vector_norm(x, axis=axes, ord=ord, keepdims=keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    return _matrix_norm(x, ord, axes, keepdims)


@implements(np.linalg.vector_norm)
def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    x = as_operand(x)
    axes = axes_of(axis, len(x.shape))
    if ord in (np.inf, -np.inf):
        return (red.max if ord > 0 else red.min)(e.absolute(x), axes, keepdims=keepdims)
    if ord == 0:
        return np.sum(peel(x) != 0, axis=axes, keepdims=keepdims).astype(float)
    if ord == 1:
        return red.sum(e.absolute(x), axes, keepdims=keepdims)
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    return _scaled_power_sum(x, ord, axes, keepdims)


@implements(np.linalg.matrix_norm)
def matrix_norm(x, /, *, keepdims=False, ord="fro"):
    x = as_operand(x)
    return _matrix_norm(x, ord, axes_of((-2, -1), len(x.shape)), keepdims)


def _scaled_power_sum(x, p, axes, keepdims):
    """(sum |x|^p)^(1/p), scaled by the largest element, a constant, so that powers neither overflow nor underflow."""
    scale = np.max(np.abs(peel(x)), axis=axes, keepdims=True, initial=0.0)
    scale = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
    y = x / scale
    total = red.sum(y * y if p == 2 else e.power(e.absolute(y), float(p)), axes, keepdims=True)
    positive = peel(total) > 0
    safe = e.where(total, 1.0, condition=positive)
    root = e.where(e.sqrt(safe) if p == 2 else e.power(safe, 1.0 / p), 0.0, condition=positive) * scale
    return root if keepdims else squeeze(root, axes)


def _matrix_norm(x, ord, axes, keepdims):
    if ord in (None, "fro", "f"):
        return _scaled_power_sum(x, 2, axes, keepdims)
    row, column = axes
    if ord in (1, -1, np.inf, -np.inf):
        first, second = (row, column) if abs(ord) == 1 else (column, row)
        sums = red.sum(e.absolute(x), first, keepdims=True)
        out = (red.max if ord > 0 else red.min)(sums, second, keepdims=True)
    elif ord in (2, -2, "nuc"):
        s = svd(moveaxis(x, axes, (-2, -1)), compute_uv=False)
        out = red.sum(s, -1) if ord == "nuc" else s[..., 0 if ord == 2 else s.shape[-1] - 1]
        out = moveaxis(out[..., None, None], (-2, -1), axes)
    else:
        raise ValueError("Invalid norm order for matrices.")
    return out if keepdims else squeeze(out, axes)


@implements(np.linalg.cond)
def cond(x, p=None):
    x = as_operand(x)
    if p in (None, 2, -2):
        s = svdvals(x)
        ratio = s[..., 0] / s[..., s.shape[-1] - 1]
        return 1 / ratio if p == -2 else ratio
    return norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))


@implements(np.polyfit)
def polyfit(x, y, deg):
    """Least squares on the scaled powers of `x`, as NumPy does it."""
    x, y = as_operand(x), as_operand(y)
    powers = x[:, None] ** np.arange(float(deg), -1, -1)
    scale = e.sqrt(red.sum(powers * powers, 0))
    solution = pinv(powers / scale, x.shape[0] * np.finfo(float).eps) @ y
    return solution / (scale if len(y.shape) == 1 else scale[:, None])
