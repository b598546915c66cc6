"""Cholesky factors and their reverse rule by blocks, beside NumPy and the tape."""

from __future__ import annotations

import numpy as np
import pytest

import probad as pb
from probad.codegen import factorise
from probad.codegen.compiled import Trace
from probad.codegen.dispatch import NOT_FINITE, OK
from probad.ir.capture import capture
from probad.ir.passes import prepare, prepare_gradient
from tests.tolerances import GRADIENT

SIZES = [*range(1, 14), 16, 17, 31, 64, 101, factorise.MOST, factorise.MOST + 1]


def density_of(n: int):
    """A log density that reads every element of a factor, and a point."""
    rng = np.random.default_rng(n)
    root, weights = rng.normal(size=(n, n)), rng.normal(size=(n, n))
    gram = root @ root.T

    def logp(z):
        matrix = np.exp(z[0]) * gram + np.diag(np.exp(z[1:])) * n
        factor = np.linalg.cholesky(matrix)
        return np.sum(np.sin(factor) * weights) + np.sum(np.log(np.diag(factor)))

    return logp, rng.normal(size=n + 1)


@pytest.mark.parametrize("n", SIZES)
def test_all_sizes_agree_with_the_tape(n):
    logp, z = density_of(n)
    density = pb.LogDensity.from_function(logp, n + 1)
    assert density.address
    value, gradient = density.logp_and_grad(z)
    expected, slope = pb.value_and_grad(logp)(z)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=GRADIENT, atol=1e-12 * np.abs(slope).max())


@pytest.mark.parametrize("n", [1, 3, 4, 6, 11, 40])
def test_what_is_above_the_diagonal_is_not_read(n):
    """As LAPACK and NumPy do it: here it is not even a number."""
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n))
    gram = root @ root.T + n * np.eye(n)
    above = np.triu(np.full((n, n), np.nan), 1)
    factor = pb.compile(lambda s: np.linalg.cholesky(s[0] * gram + above))
    scale = np.array([1.7])
    for _ in range(3):
        found = factor(scale)
    np.testing.assert_allclose(found, np.linalg.cholesky(1.7 * gram), rtol=1e-13, atol=1e-13)
    assert not np.triu(found, 1).any()


@pytest.mark.parametrize("n", [1, 2, 4, 5, 11, 30])
def test_a_matrix_that_is_not_positive_definite_is_outside_the_support(n):
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n))
    gram = root @ root.T + n * np.eye(n)

    def logp(z):
        return np.sum(np.log(np.diag(np.linalg.cholesky(gram + z[0] * np.eye(n)))))

    density = pb.LogDensity.from_function(logp, 1)
    assert density.address
    least = np.linalg.eigvalsh(gram)[0]
    for shift, status in ((-0.999 * least, 0), (-1.001 * least, 1), (np.nan, 1), (0.5, 0)):
        value, gradient = np.empty(1), np.empty(1)
        assert density.evaluate(density.ctx, np.array([shift]), value, gradient) == status
        assert np.isfinite(value[0]) == (status == 0)


@pytest.mark.parametrize("row", [0, 1, 3, 4, 8, 10])
def test_the_code_itself_stops_at_a_pivot_that_is_not_positive(row):
    root = np.random.default_rng(row).normal(size=(11, 11))
    gram = root @ root.T + 11 * np.eye(11)
    last = np.diag(np.arange(11.0) == row)

    def fn(z):
        return np.sum(np.log(np.diag(np.linalg.cholesky(gram + z[0] * last))))

    trace = Trace.of(prepare_gradient(prepare(capture(fn, np.zeros(1))[0])), apart=True)
    context = trace.context()
    least = -1.0 / np.linalg.inv(gram)[row, row]  # where the determinant of gram + shift e e' is zero
    for shift, status in ((0.999 * least, OK), (1.001 * least, NOT_FINITE), (np.nan, NOT_FINITE)):
        z, value, gradient = np.array([shift]), np.empty(1), np.empty(1)
        assert context.run(z.ctypes.data, value.ctypes.data, gradient.ctypes.data) == status
