"""Least squares with exact Jacobians: known solutions, blocks, numeric fallback, bounds."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from probad.ad import ResidualBlock, least_squares
from probad.errors import ArgumentError, ProbadWarning


def test_a_linear_problem_has_the_solution_of_lstsq():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 3)), rng.normal(size=20)
    fit = least_squares(lambda x: a @ x - b, np.zeros(3), method="lm")
    np.testing.assert_allclose(fit.params, np.linalg.lstsq(a, b)[0], rtol=1e-8)
    np.testing.assert_allclose(fit.jac, a, rtol=1e-14)


def test_rosenbrock():
    fit = least_squares(lambda x: np.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]]), np.array([-1.2, 1.0]))
    np.testing.assert_allclose(fit.params, [1.0, 1.0], rtol=1e-8)
    assert fit.cost < 1e-16


def test_nests_in_and_out():
    t = np.linspace(0, 2, 30)
    y = 2.0 + np.exp(-1.5 * t) * np.cos(6.0 * t)

    def residuals(p):
        return {"fit": p["level"] + np.exp(-p["wave"][0] * t) * np.cos(p["wave"][1] * t) - y}

    fit = least_squares(residuals, {"level": 1.0, "wave": np.array([1.0, 5.5])}, xtol=1e-12)
    assert fit.params["level"] == pytest.approx(2.0, rel=1e-8)
    np.testing.assert_allclose(fit.params["wave"], [1.5, 6.0], rtol=1e-8)


def test_blocks_differentiate_only_their_own_parameters():
    """Two cameras see one point: each block knows its own offset and the point."""
    calls = []

    def by_math(offset, point):
        calls.append(1)
        return math.sin(float(point[0])) + float(offset) - 0.3

    blocks = [
        ResidualBlock(lambda a, p: p - a - np.array([1.0, 2.0]), ("a", "p")),
        ResidualBlock(by_math, ("b", "p"), method="central"),
        ResidualBlock(lambda a, b: {"prior": [a, b - 0.1]}, ("a", "b"), method="reverse"),
    ]
    fit = least_squares(blocks, {"a": 0.2, "b": 0.0, "p": np.zeros(2)}, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert fit.jac.shape == (5, 4)
    np.testing.assert_array_equal(fit.jac[:2, 1], 0.0)
    np.testing.assert_array_equal(fit.jac[2, [0, 3]], 0.0)
    np.testing.assert_allclose(fit.jac[3:], [[1, 0, 0, 0], [0, 1, 0, 0]], atol=1e-14)
    assert fit.jac[2, 2] == pytest.approx(math.cos(fit.params["p"][0]), rel=1e-8)
    assert np.abs(fit.jac.T @ fit.fun).max() < 1e-8
    assert calls


def test_fallback_to_differences_is_announced_once():
    t = np.linspace(0.1, 1.0, 10)

    def opaque(k):
        return np.array([math.exp(-float(k) * v) for v in t]) - np.exp(-2.0 * t)

    with pytest.warns(ProbadWarning, match="central differences are used") as record:
        fit = least_squares([ResidualBlock(opaque, ("k",))], {"k": 1.0})
    assert len(record) == 1
    assert fit.params["k"] == pytest.approx(2.0, rel=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        least_squares([ResidualBlock(opaque, ("k",), "central")], {"k": 1.0})


def test_errors_of_the_function_itself_are_not_hidden():
    def broken(x):
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        least_squares(broken, 1.0)


def test_bounds_and_robust_loss():
    bounded = least_squares(lambda p: p["x"] - 3.0, {"x": 0.5}, bounds=({"x": 0.0}, {"x": 1.0}))
    assert bounded.params["x"] == pytest.approx(1.0, abs=1e-6)
    y = np.array([1.0, 1.1, 0.9, 1.0, 100.0])
    assert least_squares(lambda m: m - y, 0.0, loss="cauchy").params == pytest.approx(1.0, abs=0.05)


def test_mistakes():
    with pytest.raises(ArgumentError, match="Did you mean 'scale'"):
        least_squares([ResidualBlock(lambda s: s, ("scal",))], {"scale": 1.0})
    with pytest.raises(ArgumentError, match="computes the Jacobian itself"):
        least_squares(lambda x: x, 1.0, jac="2-point")
    with pytest.raises(ArgumentError, match="auto"):
        ResidualBlock(lambda x: x, method="magic")
