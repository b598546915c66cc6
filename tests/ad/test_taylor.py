"""Taylor coefficients against mpmath to order 12, against nested forward mode, and for every registered primitive."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from probad.ad import PRIMITIVES, grad, jvp, taylor, value_and_grad, vmap
from probad.ad.kinds import PARTIALS
from probad.ad.taylor import SERIES
from probad.errors import ArgumentError, ShapeError
from tests.contracts import oracles

ORDER = 12
FUNCTIONS = {
    "exp": (lambda x: np.exp(np.sin(x)), lambda x: mp.exp(mp.sin(x))),
    "log": (lambda x: np.log(2 + np.cos(x)), lambda x: mp.log(2 + mp.cos(x))),
    "quotient": (lambda x: np.tanh(x) / (1 + x * x), lambda x: mp.tanh(x) / (1 + x * x)),
    "powers": (lambda x: (1 + x) ** 2.5 + x**7 - x**-3, lambda x: (1 + x) ** 2.5 + x**7 - x**-3),
    "power of a power": (lambda x: x**x, lambda x: x**x),
    "roots": (lambda x: np.sqrt(1 + x**2) + np.cbrt(x), lambda x: mp.sqrt(1 + x**2) + mp.cbrt(x)),
    "hyperbolic": (lambda x: np.sinh(x) * np.cosh(2 * x), lambda x: mp.sinh(x) * mp.cosh(2 * x)),
    "tangent": (lambda x: np.tan(x) + np.arctan(3 * x), lambda x: mp.tan(x) + mp.atan(3 * x)),
    "inverse": (lambda x: np.arcsin(x) * np.arctanh(x / 2), lambda x: mp.asin(x) * mp.atanh(x / 2)),
    "small": (lambda x: np.log1p(x) * np.expm1(x), lambda x: mp.log(1 + x) * (mp.exp(x) - 1)),
    "logistic": (lambda x: special.expit(3 * x), lambda x: 1 / (1 + mp.exp(-3 * x))),
    "gamma": (lambda x: special.gammaln(1 + x), lambda x: mp.loggamma(1 + x)),
    "error function": (lambda x: special.erf(x) * np.reciprocal(x), lambda x: mp.erf(x) / x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_coefficients_to_high_order(name):
    f, exact = FUNCTIONS[name]
    with mp.workdps(60):
        truth = [float(c) for c in mp.taylor(exact, mp.mpf(0.4), ORDER)]
    found = taylor(f, 0.4, 1.0, ORDER)
    size = np.maximum.accumulate(np.abs(truth))
    np.testing.assert_allclose(found, truth, atol=1e-11 * size.max(), rtol=1e-9)


def _line(primitive, args, params, rng):
    directions = [rng.uniform(-0.3, 0.3, np.shape(a)) for a in args]
    if primitive.name in ("cholesky", "eigh"):
        directions = [d + np.swapaxes(d, -1, -2) for d in directions]
    weights = rng.uniform(0.5, 1.5, np.shape(primitive(*args, **params)))
    f, free = oracles.bind(primitive, args, params)
    directions = [directions[k] for k in oracles.free(primitive, args)]
    return lambda s: np.sum(weights * f(*[a + s * d for a, d in zip(free, directions, strict=True)]))


def _nested(f, order):
    for _ in range(order):
        f = (lambda g: lambda s: jvp(g, (s,), (1.0,))[1])(f)
    return f


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_every_primitive_agrees_with_nested_forward_mode(name):
    rng = np.random.default_rng(0)
    primitive = PRIMITIVES[name]
    for args, params in primitive.examples(rng):
        f = _line(primitive, args, params, rng)
        found = taylor(f, 0.0, 1.0, 3)
        for k in range(4):
            truth = float(_nested(f, k)(0.0))
            assert found[k] * math.factorial(k) == pytest.approx(truth, rel=1e-9, abs=1e-9), (params, k)


@pytest.mark.parametrize("name", sorted(set(SERIES) & set(PARTIALS) & set(oracles.ELEMENTWISE)))
def test_the_recurrences_agree_with_exact_numbers(name):
    rng = np.random.default_rng(1)
    primitive = PRIMITIVES[name]
    args, _ = primitive.examples(rng)[0]
    slopes = [0.3, -0.2][: len(args)]
    with mp.workdps(50):
        points = [mp.mpf(float(a)) for a in args]
        exact = lambda s: oracles.ELEMENTWISE[name](*[a + s * d for a, d in zip(points, slopes, strict=True)])
        truth = np.array([float(c) for c in mp.taylor(exact, 0, 10)])
    found = taylor(lambda s: primitive(*[a + s * d for a, d in zip(args, slopes, strict=True)]), 0.0, 1.0, 10)
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-12 * np.abs(truth).max())


def test_at_the_origin_of_a_power():
    np.testing.assert_array_equal(taylor(lambda x: x**3, 0.0, 1.0, 5), [0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(taylor(lambda x: x**0, 0.0, 1.0, 2), [1, 0, 0])
    np.testing.assert_array_equal(taylor(lambda x: np.where(x > -1, x * x, np.sqrt(x)), 0.0, 1.0, 3), [0, 0, 1, 0])


def test_arrays_containers_and_directions():
    point, v = {"a": np.array([0.5, -0.3]), "b": 2.0}, {"a": np.array([1.0, 2.0]), "b": -1.0}
    out = taylor(lambda p: {"dot": np.sum(p["a"] ** 2) * p["b"], "all": np.exp(p["a"])}, point, v, 3)
    a, b = np.array([0.5, -0.3]), 2.0
    t = np.polynomial.Polynomial
    dot = (t([a[0], 1]) ** 2 + t([a[1], 2]) ** 2) * t([b, -1])
    np.testing.assert_allclose(out["dot"], dot.coef, rtol=1e-14)
    powers = np.array([[v["a"][i] ** k / math.factorial(k) for i in range(2)] for k in range(4)])
    np.testing.assert_allclose(out["all"], np.exp(a) * powers, rtol=1e-14)


def test_control_flow_and_in_place():
    def f(x):
        s = np.zeros_like(x)
        for i in range(3):
            s[i] = x[i] ** (i + 1) if x[i] > 0 else -x[i]
        return np.sum(s)

    np.testing.assert_allclose(taylor(f, np.array([1.0, 2.0, 3.0]), np.ones(3), 3), [32.0, 32.0, 10.0, 1.0])


def test_nests_in_every_mode():
    """Coefficient 3 is a sixth of the third derivative; its gradient is a sixth of the fourth."""

    def third(x):
        return taylor(lambda z: np.exp(2 * z) * x, x, 1.0, 3)[3]

    truth = lambda x: 8 * np.exp(2 * x) * x / 6
    slope = 8 * np.exp(1.0) * (1 + 2 * 0.5) / 6
    assert third(0.5) == pytest.approx(truth(0.5), rel=1e-14)
    assert grad(third)(0.5) == pytest.approx(slope, rel=1e-13)
    assert jvp(third, (0.5,), (1.0,))[1] == pytest.approx(slope, rel=1e-13)
    inner = taylor(lambda x: grad(lambda z: np.sin(z) * z)(x), 0.7, 1.0, 4)
    with mp.workdps(30):
        outer = [float(c) for c in mp.taylor(lambda x: mp.sin(x) + x * mp.cos(x), 0.7, 4)]
    np.testing.assert_allclose(inner, outer, rtol=1e-13)
    twice = taylor(lambda x: taylor(lambda z: np.exp(z * x), x, 1.0, 2)[2], 1.0, 1.0, 2)
    with mp.workdps(30):
        outer = [float(c) for c in mp.taylor(lambda x: x**2 * mp.exp(x * x) / 2, 1, 2)]
    np.testing.assert_allclose(twice, outer, rtol=1e-13)
    np.testing.assert_allclose(vmap(third)(np.array([0.1, 0.5])), [truth(0.1), truth(0.5)], rtol=1e-13)
    value, _ = value_and_grad(lambda x: np.sum(taylor(np.sin, x, 1.0, 3)))(0.3)
    assert value == pytest.approx(math.sin(0.3) * (1 - 1 / 2) + math.cos(0.3) * (1 - 1 / 6))


def test_order_zero_and_constants():
    np.testing.assert_array_equal(taylor(np.exp, 0.0, 1.0, 0), [1.0])
    np.testing.assert_array_equal(taylor(lambda x: 3.0, 0.0, 1.0, 2), [3.0, 0.0, 0.0])


def test_mistakes():
    with pytest.raises(ArgumentError, match="order"):
        taylor(np.exp, 0.0, 1.0, -1)
    with pytest.raises(ShapeError, match="direction"):
        taylor(np.exp, 0.0, np.ones(2), 1)
    with pytest.raises(ArgumentError, match="match"):
        taylor(np.exp, [0.0, 1.0], [1.0], 1)
