"""Functions that NumPy and SciPy cannot dispatch on traced values, in forms that neither overflow nor cancel."""

from __future__ import annotations

from typing import Any

import numpy as np

from probad.ad import is_traced, peel
from probad.ad.functions import as_operand
from probad.ad.functions import linalg as linear_algebra
from probad.ad.rules import convolution, linalg, reductions
from probad.ad.rules import special as special_rules
from probad.errors import ArgumentError, ShapeError
from probad.scipy_special import special

LOG_2 = float(np.log(2.0))
LOG_PI = float(np.log(np.pi))
LOG_2PI = float(np.log(2 * np.pi))


def as_array(x: Any) -> Any:
    """Any array-like as something NumPy functions take: plain arrays stay, lists of traced scalars become one array.

    Parameters
    ----------
    x : array_like
        Numbers, arrays, traced values, or nested sequences of them.

    Returns
    -------
    ndarray, NumPy scalar or traced value
        Integers stay integers.

    Raises
    ------
    ConversionError
        If an element is not a number.
    """
    if type(x) is float:
        return np.float64(x)
    return as_operand(x)


def is_concrete(x: Any) -> bool:
    """Tell whether `x` holds plain numbers alone, so that its values may be inspected."""
    return not is_traced(x)


def plain_value(x: Any) -> Any:
    """The plain NumPy value of `x`, for error messages and checks; derivatives do not pass through it."""
    return peel(x)


def logsumexp(x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) without overflow; -inf where every term is -inf, with gradient 0 there.

    Examples
    --------
    >>> float(logsumexp(np.array([1000.0, 1000.0])) - 1000.0)  # doctest: +ELLIPSIS
    0.69314718...
    """
    return reductions.logsumexp(as_operand(x), axis=axis, keepdims=keepdims)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """log(softmax(x)): `x` minus its log-sum-exp along `axis`."""
    x = as_operand(x)
    return x - logsumexp(x, axis, keepdims=True)


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`."""
    return np.exp(log_softmax(x, axis))


def log1mexp(x: Any) -> Any:
    """log(1 - exp(x)) for x < 0, accurate for x near 0 and for x far below.

    Notes
    -----
    Source: Maechler, "Accurately computing log(1 - exp(-|a|))" (2012): switch at -log 2.
    """
    x = as_operand(x)
    near = peel(x) > -LOG_2
    return np.where(near, np.log(-np.expm1(np.where(near, x, -1.0))), np.log1p(-np.exp(np.where(near, -1.0, x))))


def log_diff_exp(a: Any, b: Any) -> Any:
    """log(exp(a) - exp(b)) for a > b."""
    a, b = as_operand(a), as_operand(b)
    return a + log1mexp(b - a)


def multigammaln(a: Any, d: int) -> Any:
    """Logarithm of the multivariate gamma function of dimension `d`, for a > (d - 1) / 2."""
    if d < 1 or int(d) != d:
        raise ArgumentError(f"multigammaln needs a positive integer dimension; got d={d}.")
    a = as_operand(a)
    total = d * (d - 1) / 4 * LOG_PI
    for j in range(int(d)):
        total = total + special.gammaln(a - j / 2)
    return total


def solve_triangular(a: Any, b: Any, *, lower: bool = True, trans: bool = False) -> Any:
    """Solve ``a x = b`` (or ``a.T x = b``) for a triangular `a`.

    Parameters
    ----------
    a : (..., n, n) array_like
        Triangular matrices; the other triangle is not read.
    b : (..., n) or (..., n, m) array_like
        Right-hand sides: vectors if `b` has one axis, or one axis less than `a`.
    lower : bool
        Which triangle holds the numbers.
    trans : bool
        Whether to solve with the transpose.

    Returns
    -------
    array
        The solution, of the shape of `b` broadcast with the batch of `a`.
    """
    a, b = as_operand(a), as_operand(b)
    if len(a.shape) < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"solve_triangular needs square matrices; got shape {a.shape}.")
    vector = len(b.shape) == 1 or len(b.shape) == len(a.shape) - 1
    if len(b.shape) == 0 or b.shape[-1 if vector else -2] != a.shape[-1]:
        raise ShapeError(f"solve_triangular got a right-hand side of shape {b.shape} for matrices {a.shape}.")
    if len(b.shape) == 1 and len(a.shape) > 2:
        b = np.broadcast_to(b, (*a.shape[:-2], b.shape[0]))
    return linalg.solve_triangular(a, b, lower=bool(lower), trans=bool(trans))


def cho_solve(factor: Any, b: Any, *, lower: bool = True) -> Any:
    """Solve ``a x = b`` given the Cholesky factor of `a`.

    Parameters
    ----------
    factor : (..., n, n) array_like
        Triangular `L` with ``a = L L.T``, or `U` with ``a = U.T U`` if not `lower`.
    b : (..., n) or (..., n, m) array_like
        Right-hand sides, as in `solve_triangular`.
    lower : bool
        Which triangle holds the factor.

    Returns
    -------
    array
        The solution, of the shape of `b` broadcast with the batch of `factor`.

    Examples
    --------
    >>> cho_solve(np.array([[2.0, 0.0], [1.0, 3.0]]), np.array([4.0, 20.0]))
    array([0., 2.])
    """
    half = solve_triangular(factor, b, lower=lower, trans=not lower)
    return solve_triangular(factor, half, lower=lower, trans=lower)


def norm(x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
    """Euclidean norm that neither overflows nor underflows; its gradient at the origin is 0.

    Examples
    --------
    >>> f"{norm(np.array([3e200, 4e200])):.1e}"
    '5.0e+200'
    """
    return linear_algebra.norm(as_operand(x), axis=axis, keepdims=keepdims)


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of the digamma function, for a whole number n >= 0.

    Examples
    --------
    >>> float(polygamma(1, 1.0))  # doctest: +ELLIPSIS
    1.64493406...
    """
    if isinstance(n, bool) or int(n) != n or n < 0:
        raise ArgumentError(f"polygamma needs a whole number n >= 0; got n={n}.")
    x = as_operand(x)
    return special.psi(x) if n == 0 else special_rules.polygamma(int(n), x)


def rfft(x: Any, n: int | None = None) -> tuple[Any, Any]:
    """Discrete Fourier transform of real data along the last axis, as real and imaginary parts.

    Parameters
    ----------
    x : (..., m) array_like
        The data; they are cut or padded with zeros to length `n`.
    n : int, optional
        Length of the transform; `m` if not given.

    Returns
    -------
    real, imag : (..., n // 2 + 1) array
        The parts of ``np.fft.rfft(x, n)``.
    """
    x = as_operand(x)
    if len(x.shape) == 0:
        raise ShapeError("rfft needs at least one axis; got a scalar.")
    n = int(x.shape[-1] if n is None else n)
    parts = convolution.rfft(_of_length(x, n), n=n)
    return parts[0], parts[1]


def _of_length(x, n: int):
    """The last axis cut, or filled up with zeros, to length `n`."""
    missing = n - x.shape[-1]
    return x[..., :n] if missing <= 0 else np.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(0, missing)])


def irfft(real: Any, imag: Any, n: int | None = None) -> Any:
    """Inverse of `rfft`: the real data of length `n` (default: the even one) with this transform.

    Examples
    --------
    >>> irfft(*rfft(np.array([1.0, 2.0, 4.0, 8.0]))).round(12)
    array([1., 2., 4., 8.])
    """
    real, imag = as_operand(real), as_operand(imag)
    if real.shape != imag.shape:
        raise ShapeError(f"irfft needs parts of one shape; got {real.shape} and {imag.shape}.")
    n = int(2 * (real.shape[-1] - 1) if n is None else n)
    return convolution.irfft(_of_length(np.stack([real, imag]), n // 2 + 1), n=n)


def fft_convolve(a: Any, b: Any) -> Any:
    """Full convolution along the last axis by Fourier transforms, at O(n log n).

    Parameters
    ----------
    a, b : (..., n), (..., m) array_like
        The factors; leading axes broadcast.

    Returns
    -------
    (..., n + m - 1) array
        What np.convolve gives for vectors.

    Examples
    --------
    >>> fft_convolve(np.array([1.0, 2.0]), np.array([1.0, 0.0, 3.0])).round(12)
    array([1., 2., 3., 6.])
    """
    a, b = as_operand(a), as_operand(b)
    n = a.shape[-1] + b.shape[-1] - 1
    (re_a, im_a), (re_b, im_b) = rfft(a, n), rfft(b, n)
    return irfft(re_a * re_b - im_a * im_b, re_a * im_b + im_a * re_b, n)
