"""Derivatives of function-valued functions, and the Amazing Bug they must not have."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ad import curried_grad, curried_jvp, grad, jvp
from probad.errors import ConversionError, LeakedValueError, ShapeError


def _shift(u):
    """S u f x = f(x + u): its derivative at u = 0 is the derivative operator."""
    return lambda f: lambda x: f(x + u)


def test_the_amazing_bug():
    """D (D f) is f'', not 0: the two derivatives by u are different ones though one function made both."""
    d = curried_jvp(_shift, (0.0,), (1.0,))[1]
    for f, second in [(np.exp, np.exp), (np.sin, lambda x: -np.sin(x)), (lambda x: x**3, lambda x: 6 * x)]:
        assert d(d(f))(1.3) == pytest.approx(second(1.3), rel=1e-14)
    by_reverse = curried_grad(_shift)(0.0)
    assert by_reverse(by_reverse(np.exp))(1.3) == pytest.approx(np.exp(1.3), rel=1e-14)
    assert by_reverse(d(np.sin))(1.3) == pytest.approx(-np.sin(1.3), rel=1e-14)
    assert d(by_reverse(d(np.sin)))(1.3) == pytest.approx(-np.cos(1.3), rel=1e-14)


def test_the_returned_function_may_be_used_after_the_differentiation():
    y, dy = curried_jvp(lambda x: lambda y: np.sin(x * y), (2.0,), (1.0,))
    assert y(3.0) == np.sin(6.0)
    assert dy(3.0) == pytest.approx(3 * np.cos(6.0))
    assert grad(dy)(3.0) == pytest.approx(np.cos(6.0) - 6 * np.sin(6.0))


def test_the_returned_function_inside_other_derivatives():
    """x and y are perturbed together: d/dx [d/dx f(x)(y) at y = x]."""

    def diagonal(x):
        return curried_grad(lambda a: lambda b: a**2 * b**3)(x)(x)

    assert diagonal(1.5) == pytest.approx(2 * 1.5**4)
    assert grad(diagonal)(1.5) == pytest.approx(8 * 1.5**3)
    assert jvp(diagonal, (1.5,), (1.0,))[1] == pytest.approx(8 * 1.5**3)


def test_functions_among_other_things():
    def family(x):
        return {"value": x**2, "function": lambda y: x * y, "deep": [lambda y: lambda z: x**3 * y * z]}

    y, dy = curried_jvp(family, (2.0,), (1.0,))
    assert (y["value"], dy["value"]) == (4.0, 4.0)
    assert (y["function"](5.0), dy["function"](5.0)) == (10.0, 5.0)
    assert (y["deep"][0](1.0)(2.0), dy["deep"][0](1.0)(2.0)) == (16.0, 24.0)


def test_several_arguments():
    g = curried_grad(lambda a, b: lambda y: a * b**2 * y, (0, 1))(2.0, 3.0)
    assert g(10.0) == (90.0, 120.0)


def test_the_lagrangian_of_classical_mechanics():
    """Scmutils' use: the Lagrange equations, with a path as argument and functions of time as values."""
    lagrangian = lambda t, q, v: 0.5 * v**2 - 0.5 * 4.0 * q**2

    def lagrange_equations(path):
        velocity = lambda t: jvp(path, (t,), (1.0,))[1]
        by_q = lambda t: grad(lagrangian, 1)(t, path(t), velocity(t))
        by_v = lambda t: grad(lagrangian, 2)(t, path(t), velocity(t))
        return lambda t: jvp(by_v, (t,), (1.0,))[1] - by_q(t)

    assert lagrange_equations(lambda t: np.cos(2.0 * t))(0.7) == pytest.approx(0.0, abs=1e-14)
    family = lambda w: lagrange_equations(lambda t: np.cos(w * t))
    w, t = 1.0, 0.7
    residual = lambda w: (4 - w**2) * np.cos(w * t)
    assert family(w)(t) == pytest.approx(residual(w))
    assert curried_grad(family)(w)(t) == pytest.approx(-2 * w * np.cos(w * t) - t * (4 - w**2) * np.sin(w * t))


def test_without_care_it_is_loud():
    with pytest.raises(ConversionError):
        grad(lambda x: lambda y: x * y)(1.0)
    kept = []
    grad(lambda x: kept.append(lambda y: x * y) or x)(1.0)
    with pytest.raises(LeakedValueError):
        kept[0](2.0)
    with pytest.raises(ShapeError):
        curried_grad(lambda x: lambda y: x * y)(1.0)(np.ones(2))
