"""One driver for every method: accuracy, error estimates that hold, and what the complex step must refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from probad.ad import derivative, grad
from probad.errors import ArgumentError, ConversionError, GradientError

METHODS = {
    "reverse": 1e-14, "forward": 1e-14, "complex": 1e-14, "forward-difference": 1e-6, "central": 1e-8,
    "five-point": 1e-10, "richardson": 1e-10,
}  # fmt: skip


def _f(x):
    return np.exp(np.sin(x)) / (1 + x * x)


def _slope(x):
    return _f(x) * (np.cos(x) - 2 * x / (1 + x * x))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("x", [0.7, -2.0, 0.0, 30.0])
def test_a_number(method, x):
    found, error = derivative(_f, x, method, return_error=True)
    truth = _slope(x)
    assert np.shape(found) == ()
    assert abs(found - truth) <= METHODS[method] * max(1.0, abs(truth), abs(x))
    assert abs(found - truth) <= 10 * error + 1e-15
    assert error <= 100 * METHODS[method] * max(1.0, abs(x))
    assert derivative(_f, x, method) == found


@pytest.mark.parametrize("method", METHODS)
def test_gradients_jacobians_and_nests(method):
    tol = 100 * METHODS[method]
    x = np.array([[0.3, -0.5], [1.2, 0.8]])
    np.testing.assert_allclose(derivative(lambda x: np.sum(x**3), x, method), 3 * x**2, atol=tol)
    m = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_allclose(derivative(lambda v: m @ v, np.ones(2), method), m, atol=tol)
    d = derivative(lambda v: np.outer(v, v), np.array([1.0, 2.0]), method)
    assert d.shape == (2, 2, 2)
    np.testing.assert_allclose(d[..., 0], [[2.0, 2.0], [2.0, 0.0]], atol=tol)
    p = {"a": 2.0, "b": [np.array([1.0, 3.0])]}
    d, error = derivative(
        lambda p: {"s": p["a"] * np.sum(p["b"][0] ** 2), "v": p["b"][0]}, p, method, return_error=True
    )
    np.testing.assert_allclose(d["s"]["a"], 10.0, atol=tol)
    np.testing.assert_allclose(d["s"]["b"][0], [4.0, 12.0], atol=tol)
    np.testing.assert_allclose(d["v"]["b"][0], np.eye(2), atol=tol)
    np.testing.assert_allclose(d["v"]["a"], np.zeros(2), atol=tol)
    assert error["v"]["b"][0].shape == (2, 2)


@pytest.mark.parametrize("method", METHODS)
def test_error_estimates_hold_on_hard_functions(method):
    """Steep, badly scaled, nearly cancelling: the estimate says how bad it is."""
    cases = [
        (lambda x: np.exp(20 * x), lambda x: 20 * np.exp(20 * x), 0.5),
        (lambda x: 1e8 + x * x, lambda x: 2 * x, 3.0),
        (lambda x: np.sin(1e3 * x), lambda x: 1e3 * np.cos(1e3 * x), 0.2),
        (lambda x: np.log(x), lambda x: 1 / x, 1e-2),
    ]
    for f, slope, x in cases:
        found, error = derivative(f, x, method, return_error=True)
        assert abs(found - slope(x)) <= 30 * error + 1e-12 * abs(slope(x))


def test_the_step_may_be_chosen():
    coarse = derivative(np.exp, 0.0, "central", step=0.1)
    assert coarse == pytest.approx(math.sinh(0.1) / 0.1, rel=1e-12)
    assert derivative(np.exp, 0.0, "forward-difference", step=0.5) == pytest.approx((math.exp(0.5) - 1) / 0.5)
    five = (math.exp(-0.2) - 8 * math.exp(-0.1) + 8 * math.exp(0.1) - math.exp(0.2)) / 1.2
    assert derivative(np.exp, 0.0, "five-point", step=0.1) == pytest.approx(five, rel=1e-12)


def test_differences_take_functions_that_cannot_be_traced():
    f = lambda x: math.exp(float(x))
    assert derivative(f, 1.0, "central") == pytest.approx(math.e, rel=1e-9)
    with pytest.raises(ConversionError):
        derivative(f, 1.0)


NOT_ANALYTIC = {
    "abs": lambda x: np.abs(x) ** 3,
    "real part": lambda x: x.real**2,
    "conjugate": lambda x: np.conj(x) * x,
    "float": lambda x: np.float64(np.real(x)) * 2,
    "norm": lambda x: np.sqrt(np.sum(np.abs(x) ** 2)),
}


@pytest.mark.parametrize("name", NOT_ANALYTIC)
def test_the_complex_step_notices_what_is_not_analytic(name):
    with pytest.raises(GradientError, match="not analytic"):
        derivative(NOT_ANALYTIC[name], 1.5, "complex")


def test_the_complex_step_follows_branches_by_the_real_part():
    assert derivative(lambda x: x**2 if x.real > 1 else -x, 1.5, "complex") == 3.0


def test_exact_methods_nest():
    assert grad(lambda x: derivative(lambda y: x * y**3, x))(2.0) == pytest.approx(9 * 4.0)
    assert grad(lambda x: derivative(lambda y: x * y**3, x, "forward"))(2.0) == pytest.approx(9 * 4.0)
    with pytest.raises(ConversionError, match="method='reverse'"):
        grad(lambda x: derivative(lambda y: y**3, x, "central"))(2.0)
    # a difference of a gradient is a Hessian
    np.testing.assert_allclose(
        derivative(grad(lambda x: np.prod(x)), np.array([2.0, 3.0]), "central"), [[0.0, 1.0], [1.0, 0.0]], atol=1e-9
    )


def test_mistakes():
    with pytest.raises(ArgumentError, match="five-point"):
        derivative(np.exp, 1.0, "magic")
    with pytest.raises(ArgumentError, match="step > 0"):
        derivative(np.exp, 1.0, "central", step=-1.0)
    with pytest.raises(ArgumentError, match="takes no step"):
        derivative(np.exp, 1.0, step=0.1)
