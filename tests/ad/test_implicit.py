"""Solutions of equations and their derivatives, against closed forms, unrolled iterations and mpmath."""

from __future__ import annotations

import itertools

import mpmath as mp
import numpy as np
import pytest

from probad.ad import fixed_point, grad, jacobian, jvp, root, value_and_grad, vjp, vmap
from probad.errors import ArgumentError, ConvergenceError, ConversionError, ShapeError


def _forward(f):
    return lambda x: jvp(f, (x,), (1.0,))[1]


def _kepler(e):
    return fixed_point(lambda x, e: 1.0 + e * np.sin(x), 1.0, e)


def _kepler_root(e):
    return root(lambda x: x - 1.0 - e * np.sin(x), 1.0)


@pytest.mark.parametrize("solver", [_kepler, _kepler_root])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_keplers_equation_to_third_order_in_every_nesting(solver, order):
    with mp.workdps(40):
        truth = float(mp.diff(lambda e: mp.findroot(lambda x: x - 1 - e * mp.sin(x), 1.5), 0.5, order))
    for modes in itertools.product([grad, _forward], repeat=order):
        f = solver
        for mode in modes:
            f = mode(f)
        assert f(0.5) == pytest.approx(truth, rel=1e-9)


def test_the_gradient_is_that_of_the_unrolled_iteration():
    rng = np.random.default_rng(0)
    a = 0.2 * rng.normal(size=(4, 4))

    def f(x, p):
        return np.tanh(p["a"] @ x + p["b"])

    def unrolled(p):
        x = np.zeros(4)
        for _ in range(200):
            x = f(x, p)
        return np.sum(x**2)

    p = {"a": a, "b": rng.normal(size=4)}
    found, truth = grad(lambda p: np.sum(fixed_point(f, np.zeros(4), p) ** 2))(p), grad(unrolled)(p)
    for name in p:
        np.testing.assert_allclose(found[name], truth[name], rtol=1e-9, atol=1e-12)


def test_the_solver_is_not_on_the_tape():
    """However slow the iteration, the derivative needs few calls."""
    calls = []

    def f(x, a):
        calls.append(1)
        return x + 0.01 * (a - x)

    assert fixed_point(f, 0.0, 2.0) == pytest.approx(2.0, rel=1e-9)
    n_plain = len(calls)
    calls.clear()
    assert grad(lambda a: fixed_point(f, 0.0, a))(2.0) == pytest.approx(1.0, rel=1e-9)
    assert n_plain > 2000
    assert len(calls) <= n_plain + 5


@pytest.mark.parametrize("n", [3, 150])
def test_dense_and_iterated_systems(n):
    rng = np.random.default_rng(n)
    m = rng.normal(size=(n, n)) / (3 * np.sqrt(n))
    exact = np.linalg.inv(np.eye(n) - m)

    def solve(b):
        return fixed_point(lambda x: m @ x + b, np.zeros(n))

    b, v = rng.normal(size=n), rng.normal(size=n)
    y, dy = jvp(solve, (b,), (v,))
    np.testing.assert_allclose(y, exact @ b, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(dy, exact @ v, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(vjp(solve, b)[1](v)[0], exact.T @ v, rtol=1e-9, atol=1e-11)
    second = jvp(grad(lambda b: 0.5 * np.sum(solve(b) ** 2)), (b,), (v,))[1]
    np.testing.assert_allclose(second, exact.T @ exact @ v, rtol=1e-8, atol=1e-10)


def test_containers_closures_and_systems():
    """Intersection of a circle and a line, the radius in the closure."""

    def distance(r, slope):
        def equations(p, k):
            return [p["x"] ** 2 + p["y"] ** 2 - r**2, p["y"] - k * p["x"]]

        p = root(equations, {"x": 1.0, "y": 1.0}, slope)
        return p["x"]

    x = 3.0 / np.sqrt(1 + 0.5**2)
    value, (by_radius, by_slope) = value_and_grad(distance, (0, 1))(3.0, 0.5)
    assert value == pytest.approx(x, rel=1e-12)
    assert by_radius == pytest.approx(x / 3.0, rel=1e-12)
    assert by_slope == pytest.approx(-3.0 * 0.5 / (1 + 0.5**2) ** 1.5, rel=1e-12)


def test_matrix_unknowns():
    """A matrix square root; its derivative solves a Sylvester equation."""
    a = np.array([[4.0, 1.0], [1.0, 3.0]])
    found = root(lambda x: x @ x - a, np.eye(2))
    np.testing.assert_allclose(found @ found, a, rtol=1e-12)
    da = np.array([[0.3, -0.2], [0.5, 1.0]])
    dx = jvp(lambda a: root(lambda x: x @ x - a, np.eye(2)), (a,), (da,))[1]
    np.testing.assert_allclose(found @ dx + dx @ found, da, rtol=1e-11)


def test_the_start_has_no_derivative():
    assert grad(lambda s: root(lambda x: x * x - 2.0, s))(1.0) == 0.0
    assert grad(lambda s: fixed_point(np.cos, s) * s)(2.0) == pytest.approx(0.7390851332151607)


def test_inside_vmap():
    e = np.array([0.1, 0.4, 0.7])
    np.testing.assert_allclose(vmap(_kepler)(e), [_kepler(v) for v in e], rtol=1e-14)
    np.testing.assert_allclose(vmap(grad(_kepler_root))(e), [grad(_kepler)(v) for v in e], rtol=1e-9)
    np.testing.assert_allclose(jacobian(lambda e: vmap(_kepler)(e))(e), np.diag(vmap(grad(_kepler))(e)), rtol=1e-9)


MISTAKES = {
    "diverges": (lambda: fixed_point(lambda x: 2 * x + 1, 1.0), ConvergenceError, r"\|f\(x\) - x\| = (inf|\d)"),
    "too slow": (lambda: fixed_point(np.cos, 1.0, max_steps=5), ConvergenceError, r"5 steps: .* = 0\.0\d+ is left"),
    "no root": (lambda: root(lambda x: x * x + 1.0, 1.0), ConvergenceError, "residual is"),
    "singular": (lambda: root(lambda x: x * x - 1.0, 0.0), ConvergenceError, "singular"),
    "runs away": (lambda: root(lambda x: np.exp(-x), 0.0, max_steps=20), ConvergenceError, "20 steps"),
    "not a number": (lambda: fixed_point(lambda x: np.log(x), -1.0), ConvergenceError, "nan"),
    "wrong shape": (lambda: root(lambda x: np.stack([x, x]), 1.0), ShapeError, "2 numbers for 1 unknowns"),
    "tolerance": (lambda: root(lambda x: x, 1.0, tol=0.0), ArgumentError, "tol > 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_say_what_to_do(name):
    f, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words):
        f()


class Slotted:
    __slots__ = ("a",)


def test_a_parameter_that_cannot_be_found_raises():
    def f(a):
        hidden = Slotted()
        hidden.a = a
        return a * root(lambda x, b: x - hidden.a * b, 1.0, a)

    with pytest.raises(ConversionError, match="Pass it as a"):
        grad(f)(2.0)
