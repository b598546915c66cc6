"""NumPy functions on traced values: the value is NumPy's, the derivative agrees with differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from probad import numerics
from probad.ad import check_grads, grad, jvp, value_and_grad
from probad.errors import InPlaceError, ShapeError, UnsupportedFunctionError

X = np.array([[0.3, -1.2, 2.0], [0.7, 1.1, -0.4]])
V = np.array([0.5, -0.3, 0.9, 1.4])
SQUARE = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.1]])
MASK = np.array([[True, False, True], [False, True, True]])

CASES = {
    "sum": (X, lambda x: np.sum(x, axis=1)),
    "sum where": (X, lambda x: np.sum(x, axis=0, where=MASK)),
    "sum method": (X, lambda x: x.sum(0)),
    "sum of a list": (V, lambda x: np.sum([x[0], x[1] * x[2]])),
    "add.reduce": (X, lambda x: np.add.reduce(x, axis=1)),
    "add.outer": (V, lambda x: np.add.outer(x, x)),
    "prod": (X, lambda x: np.prod(x, axis=0)),
    "max": (X, lambda x: np.max(x, axis=1, keepdims=True)),
    "min": (X, lambda x: x.min()),
    "mean": (X, lambda x: np.mean(x, axis=(0, 1))),
    "mean where": (X, lambda x: np.mean(x, where=MASK)),
    "var": (X, lambda x: np.var(x, axis=1, ddof=1)),
    "std": (X, lambda x: x.std()),
    "ptp": (X, lambda x: np.ptp(x, axis=1)),
    "average": (X, lambda x: np.average(x, axis=1, weights=[0.2, 0.5, 0.3])),
    "cumsum": (X, lambda x: np.cumsum(x)),
    "cumsum axis": (X, lambda x: np.cumsum(x, axis=1)),
    "reshape": (X, lambda x: np.reshape(x, (3, -1))),
    "reshape method": (X, lambda x: x.reshape(3, 2)),
    "ravel": (X, lambda x: x.ravel()),
    "flatten": (X, lambda x: x.flatten()),
    "transpose": (X, lambda x: x.T @ x),
    "swapaxes": (X, lambda x: np.swapaxes(x, 0, 1)),
    "moveaxis": (X[None], lambda x: np.moveaxis(x, 0, -1)),
    "broadcast_to": (V, lambda x: np.broadcast_to(x, (2, 4))),
    "broadcast_arrays": (V, lambda x: np.broadcast_arrays(x, np.ones((2, 1)))[0]),
    "expand_dims": (X, lambda x: np.expand_dims(x, (0, 2))),
    "squeeze": (X[:, None], lambda x: np.squeeze(x)),
    "concatenate": (X, lambda x: np.concatenate([x, 2 * x, np.ones((1, 3))], axis=0)),
    "concatenate flat": (X, lambda x: np.concatenate([x, x], axis=None)),
    "stack": (V, lambda x: np.stack([x[0], x[1] * 3, 4.0])),
    "array of scalars": (V, lambda x: np.array([x[0], x[1] * 3]) * np.exp(x[:2])),
    "exp of an array of scalars": (V, lambda x: np.exp(np.array([x[0], x[1]])).sum()),
    "hstack": (V, lambda x: np.hstack([x, 1.0, x[:2]])),
    "vstack": (V, lambda x: np.vstack([x, 2 * x])),
    "column_stack": (V, lambda x: np.column_stack([x, x * x])),
    "atleast_1d": (V, lambda x: np.atleast_1d(x[0])),
    "atleast_2d": (V, lambda x: np.atleast_2d(x)),
    "flip": (X, lambda x: np.flip(x, 1)),
    "flipud": (X, np.flipud),
    "fliplr": (X, np.fliplr),
    "roll": (X, lambda x: np.roll(x, 2, axis=1)),
    "roll flat": (X, lambda x: np.roll(x, 2)),
    "tile": (X, lambda x: np.tile(x, (2, 1, 2))),
    "repeat": (X, lambda x: np.repeat(x, 2, axis=1)),
    "split": (V, lambda x: np.split(x, [1, 3])[1]),
    "split evenly": (V, lambda x: np.split(x, 2)[0]),
    "array_split": (V, lambda x: np.array_split(x, 3)[0]),
    "where": (X, lambda x: np.where(x > 0, np.sin(x), x * x)),
    "clip": (X, lambda x: np.clip(x, -0.5, 1.0)),
    "clip method": (X, lambda x: x.clip(max=1.0)),
    "take": (X, lambda x: np.take(x, [0, 2, 0], axis=1)),
    "take_along_axis": (X, lambda x: np.take_along_axis(x, np.array([[0, 2], [1, 1]]), axis=1)),
    "diag make": (V, lambda x: np.diag(x, 1)),
    "diag take": (SQUARE, lambda x: np.diag(x, -1)),
    "diagonal": (X, lambda x: np.diagonal(x, 1)),
    "trace": (SQUARE, np.trace),
    "trace method": (SQUARE, lambda x: x.trace()),
    "tril": (SQUARE, lambda x: np.tril(x, -1)),
    "triu": (SQUARE, lambda x: np.triu(x)),
    "diff": (X, lambda x: np.diff(x, n=2, axis=1)),
    "sort": (X, lambda x: np.sort(x, axis=1)),
    "full_like": (V, lambda x: np.full_like(x, x[0])),
    "linspace": (V, lambda x: np.linspace(x[0], x[1] * 2, 5)),
    "dot vectors": (V, lambda x: np.dot(x, x)),
    "dot matrix": (X, lambda x: np.dot(x, X[0])),
    "matmul batch": (X, lambda x: np.ones((4, 5, 2)) @ x),
    "inner": (V, lambda x: np.inner(x, x * x)),
    "outer": (V, lambda x: np.outer(x, x[:2])),
    "vdot": (X, lambda x: np.vdot(x, x)),
    "tensordot": (X, lambda x: np.tensordot(x, X, axes=([1], [1]))),
    "einsum": (X, lambda x: np.einsum("ij,kj->ik", x, x)),
    "einsum implicit": (X, lambda x: np.einsum("ij,j", x, X[0])),
    "einsum ellipsis": (X, lambda x: np.einsum("...j,j->...", x, X[0])),
    "einsum trace": (SQUARE, lambda x: np.einsum("ii", x)),
    "einsum diagonal": (SQUARE, lambda x: np.einsum("ii->i", x)),
    "cholesky": (SQUARE, lambda x: np.linalg.cholesky(x @ x.T)),
    "norm": (X, np.linalg.norm),
    "norm axis": (X, lambda x: np.linalg.norm(x, axis=1)),
    "norm 1": (V, lambda x: np.linalg.norm(x, 1)),
    "norm inf": (V, lambda x: np.linalg.norm(x, np.inf)),
    "nan_to_num": (V, lambda x: np.nan_to_num(x / np.array([1.0, 0.0, 2.0, 3.0]))),
    "negative step": (V, lambda x: x[::-2]),
    "newaxis": (V, lambda x: x[:, None] * x[None, :]),
    "integer array": (V, lambda x: x[[0, 0, 2]]),
    "boolean mask": (X, lambda x: x[MASK] ** 2),
    "iteration": (V, lambda x: sum(v * v for v in x)),
    "unpacking": (V, lambda x: (lambda a, b, c, d: a * b - c / d)(*x)),
    "reflected": (V, lambda x: 2.0 ** x + 1 / (3 - x) + np.float64(2) * x + X[0, 0] * x),
    "matrix @ box": (V, lambda x: np.ones((3, 4)) @ x),
    "mod": (np.abs(V), lambda x: x % 0.4),
    "power": (np.abs(V), lambda x: x**2.5 + x**3 + x**x),
    "scipy": (np.abs(V), lambda x: special.gammaln(x) + special.expit(x) - special.xlogy(x, x)),
    "in place": (V, lambda x: _accumulate(x)),
}  # fmt: skip


def _accumulate(x):
    out = np.zeros_like(x)
    for i in range(len(x)):
        out[i] += np.sin(x[i]) * (out[i - 1] if i else 1.0)
    out *= 2.0
    return out


@pytest.mark.parametrize("name", CASES)
def test_value_is_numpys_and_derivative_agrees_with_differences(name):
    x, f = CASES[name]
    with np.errstate(all="ignore"):
        y, _ = jvp(f, (x,), (x,))
        np.testing.assert_allclose(y, f(np.array(x)), rtol=1e-14, atol=1e-14)
        assert np.shape(y) == np.shape(f(np.array(x)))
        check_grads(f, x, order=2, rtol=1e-7, atol=1e-7)


SUBGRADIENTS = {
    "where sqrt": (lambda x: np.where(x > 0, np.sqrt(x), x), 0.0, 1.0),
    "where log": (lambda x: np.where(x > 0, np.log(x), 2 * x), 0.0, 2.0),
    "where division": (lambda x: np.where(x == 0, x, np.sin(x) / x), 0.0, 1.0),
    "abs": (abs, 0.0, 0.0),
    "norm": (lambda x: np.linalg.norm(np.stack([x, x])), 0.0, 0.0),
    "hypot": (lambda x: np.hypot(x, x), 0.0, 0.0),
    "maximum": (lambda x: np.maximum(x, -x), 0.0, 0.0),
    "relu": (lambda x: np.maximum(x, 0.0), 0.0, 0.5),
    "xlogy at zero": (lambda x: special.xlogy(x, 0.0), 0.0, 0.0),
    "xlogy of nothing": (lambda x: special.xlogy(0.0, x), 0.0, 0.0),
    "power zero": (lambda x: x**0, 0.0, 0.0),
    "square": (lambda x: x**2, 0.0, 0.0),
    "zero to the x": (lambda x: 0.0**x, 1.5, 0.0),
    "clip at the bound": (lambda x: np.clip(x, 0.0, 1.0), 0.0, 1.0),
    "tanh far out": (np.tanh, 300.0, 0.0),
    "expit far out": (special.expit, -800.0, 0.0),
    "log_ndtr in the tail": (special.log_ndtr, -1e6, 1e6),
    "logaddexp equal": (lambda x: np.logaddexp(x, -1e308), -1e308, 0.5),
    "logaddexp of nothing": (lambda x: np.logaddexp(x, -np.inf), -np.inf, 0.5),
    "prod with a zero": (lambda x: np.prod(np.stack([x, 2.0, 3.0])), 0.0, 6.0),
    "prod with two zeros": (lambda x: np.prod(np.stack([x, 0.0, 3.0])), 0.0, 0.0),
    "cumprod with a zero": (lambda x: np.cumprod(np.stack([x, 2.0, 3.0]))[2], 0.0, 6.0),
    "max of a tie": (lambda x: np.max(np.stack([x, 0.0])), 0.0, 0.5),
    "ptp of equal numbers": (lambda x: np.ptp(np.stack([x, x])), 1.0, 0.0),
    "nanmax": (lambda x: np.nanmax(np.stack([x, np.nan])), 1.0, 1.0),
    "nansum of a branch": (lambda x: np.nansum(np.where(x > 0, x, np.nan)), 1.0, 1.0),
    "median among infinities": (lambda x: np.median(np.stack([x, np.inf, -np.inf])), 1.0, 1.0),
    "interp at a knot": (lambda x: np.interp(x, np.arange(3.0), np.array([0.0, 1.0, 5.0])), 1.0, 4.0),
    "interp beyond the end": (lambda x: np.interp(x, np.arange(3.0), np.array([0.0, 1.0, 5.0])), 3.0, 0.0),
    "clip at the upper bound": (lambda x: np.clip(x, 0.0, 1.0), 1.0, 1.0),
    "norm of order 3": (lambda x: np.linalg.norm(np.stack([x, x]), 3), 0.0, 0.0),
    "Frobenius norm": (lambda x: np.linalg.norm(np.eye(2) * x), 0.0, 0.0),
    "norm of tiny numbers": (lambda x: np.linalg.norm(np.stack([3 * x, 4 * x])), 1e-200, 5.0),
    "det of a singular matrix": (lambda x: np.linalg.det(np.diag(np.stack([x, 3.0]))), 0.0, 3.0),
    "equal eigenvalues": (lambda x: np.sum(np.linalg.eigvalsh(np.eye(2) * x)), 1.0, 2.0),
    "equal singular values": (lambda x: np.sum(np.linalg.svdvals(np.eye(2) * x)), 1.0, 2.0),
    "logaddexp.reduce of nothing": (lambda x: np.logaddexp.reduce(np.stack([x, -np.inf])), 0.0, 1.0),
    "division by zero": (lambda x: x / 0.0, 1.0, np.inf),
    "sinc": (np.sinc, 0.0, 0.0),
    "slope of sinc": (grad(np.sinc), 0.0, -(np.pi**2) / 3),
    "exprel": (special.exprel, 0.0, 0.5),
    "slope of exprel": (grad(special.exprel), 1e-9, 1 / 3),
    "boxcox at 0": (lambda x: special.boxcox(2.0, x), 0.0, np.log(2.0) ** 2 / 2),
    "inv_boxcox at 0": (lambda x: special.inv_boxcox(0.5, x), 0.0, -np.exp(0.5) / 8),
    "ellipk at 0": (special.ellipk, 0.0, np.pi / 8),
    "ellipe at 0": (special.ellipe, 0.0, -np.pi / 8),
    "spence at 1": (special.spence, 1.0, -1.0),
    "j1 at 0": (special.j1, 0.0, 0.5),
    "i1 at 0": (special.i1, 0.0, 0.5),
    "huber at its knee": (lambda x: special.huber(1.0, x), 1.0, 1.0),
    "kl_div of nothing": (lambda x: special.kl_div(0.0, x), 1.0, 1.0),
    "gammainc of nothing": (lambda x: special.gammainc(x, 0.0), 2.0, 0.0),
    "gammainc of everything": (lambda x: special.gammainc(x, np.inf), 2.0, 0.0),
    "gammainc of a large shape": (lambda x: special.gammainc(x, 1e6), 1e6, -3.989423136466252e-04),
    "betainc at 1": (lambda x: special.betainc(x, 3.0, 1.0), 2.0, 0.0),
    "stdtr in df at 0": (lambda x: special.stdtr(x, 0.0), 3.0, 0.0),
    "powm1 at 0": (lambda x: special.powm1(x, 2.0), 0.0, 0.0),
}


@pytest.mark.parametrize("name", SUBGRADIENTS)
def test_documented_subgradients(name):
    f, x, expected = SUBGRADIENTS[name]
    with np.errstate(all="ignore"):
        _, reverse = value_and_grad(f)(x)
        _, forward = jvp(f, (x,), (1.0,))
    assert reverse == pytest.approx(expected, rel=1e-8)
    assert forward == pytest.approx(expected, rel=1e-8)


# --- what cannot be --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("f", [
    lambda x: special.jv(x, 1.0),
    lambda x: special.kv(x, 1.0),
    lambda x: special.hyp2f1(x, 1.0, 2.0, 0.5),
    lambda x: special.ellipj(0.5, x)[0],
    lambda x: special.expn(x, 1.0),
    lambda x: special.eval_jacobi(2, x, 1.0, 0.5),
])  # fmt: skip
def test_a_parameter_without_a_derivative_is_refused_at_once(f):
    with pytest.raises(UnsupportedFunctionError, match="stop_gradient"):
        grad(f)(0.3)
    with pytest.raises(UnsupportedFunctionError, match="stop_gradient"):
        jvp(f, (0.3,), (1.0,))


@pytest.mark.parametrize("write", [
    lambda a, x: np.copyto(a, x),
    lambda a, x: np.put(a, [0], x[0]),
    lambda a, x: np.place(a, a == 0, x),
    lambda a, x: np.putmask(a, a == 0, x),
    lambda a, x: np.put_along_axis(a, np.array([[0], [1]]), x[:, None], 1),
    lambda a, x: np.add.at(a, 0, x),
])  # fmt: skip
def test_traced_values_are_not_written_into_plain_arrays(write):
    with pytest.raises(InPlaceError, match="traced array"):
        grad(lambda x: write(np.zeros((2, 2)), x))(np.ones(2))


def test_add_at_counts_repeated_indices():
    def f(x):
        a = np.zeros_like(x)
        np.add.at(a, [0, 0, 2], x[:3] * x[1:])
        np.subtract.at(a, 1, x[0])
        return a

    np.testing.assert_allclose(jvp(f, (V,), (V,))[0], f(V), rtol=1e-15)
    check_grads(f, V, order=2)


def test_writes_go_through_views_and_reach_later_reads():
    def f(x):
        a = x * 1.0
        view = a[1:]
        np.put(view, [0], x[0] ** 2)
        np.copyto(a[2:], x[:2] * x[2:])
        return np.stack([np.sum(a * x), np.sum(view**2)])

    np.testing.assert_allclose(jvp(f, (V,), (V,))[0], f(V), rtol=1e-15)
    check_grads(f, V, order=2)


# --- numerics -------------------------------------------------------------------------------------------------------
FACTOR = np.linalg.cholesky(SQUARE @ SQUARE.T)
NUMERICS = {
    "cho_solve": (X, lambda x: numerics.cho_solve(FACTOR + np.diag(x[0] ** 2), x.T), None),
    "cho_solve upper": (V[:3], lambda x: numerics.cho_solve(FACTOR.T, x, lower=False), None),
    "norm": (X, lambda x: numerics.norm(x, axis=1), lambda x: np.linalg.norm(x, axis=1)),
    "polygamma": (X**2, lambda x: numerics.polygamma(2, x), lambda x: special.polygamma(2, x)),
    "digamma": (X**2, lambda x: numerics.polygamma(0, x), special.psi),
    "rfft": (X, lambda x: list(numerics.rfft(x)), lambda x: [np.fft.rfft(x).real, np.fft.rfft(x).imag]),
    "rfft cut": (X, lambda x: numerics.rfft(x, 2)[0], lambda x: np.fft.rfft(x, 2).real),
    "rfft filled": (X, lambda x: numerics.rfft(x, 7)[1], lambda x: np.fft.rfft(x, 7).imag),
    "irfft": (X, lambda x: numerics.irfft(x, x**2), lambda x: np.fft.irfft(x + 1j * x**2)),
    "irfft odd": (X, lambda x: numerics.irfft(x, x**2, 5), lambda x: np.fft.irfft(x + 1j * x**2, 5)),
    "irfft filled": (X, lambda x: numerics.irfft(x, x**2, 9), lambda x: np.fft.irfft(x + 1j * x**2, 9)),
    "fft_convolve": (V, lambda x: numerics.fft_convolve(x, x[:2] ** 2), lambda x: np.convolve(x, x[:2] ** 2)),
    "fft_convolve rows": (
        X,
        lambda x: numerics.fft_convolve(x, V),
        lambda x: np.stack([np.convolve(row, V) for row in x]),
    ),
}


@pytest.mark.parametrize("name", NUMERICS)
def test_numerics_agree_with_numpy_and_with_differences(name):
    x, f, expected = NUMERICS[name]
    found = f(x)
    if expected is None:  # a solution of a system: put it back
        factor = FACTOR + np.diag(x[0] ** 2) if x.ndim == 2 else FACTOR
        np.testing.assert_allclose(factor @ (factor.T @ found), x.T, rtol=1e-12)
    else:
        for a, b in zip(np.atleast_1d(found), np.atleast_1d(expected(x)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)
    check_grads(f, x, order=2, rtol=1e-7, atol=1e-7)


def test_numerics_say_what_is_wrong():
    with pytest.raises(ShapeError, match="one shape"):
        numerics.irfft(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="whole number"):
        numerics.polygamma(-1, 1.0)
