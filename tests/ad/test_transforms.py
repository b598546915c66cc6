"""The transforms, the survey's worked example, and what goes wrong loudly."""

from __future__ import annotations

import dataclasses
import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import mpmath as mp
import numpy as np
import pytest
from scipy import linalg, special, stats

from probad.ad import check_grads, grad, hvp, jvp, stop_gradient, value_and_grad, vjp
from probad.errors import (
    ArgumentError,
    ConversionError,
    GradientError,
    InPlaceError,
    LeakedValueError,
    ShapeError,
    UnsupportedFunctionError,
)


def survey(x1, x2):
    """The function of the survey's Tables 2 and 3."""
    return np.log(x1) + x1 * x2 - np.sin(x2)


def test_table_2_forward_mode_tangents():
    """The tangents of every intermediate of y = ln x1 + x1 x2 - sin x2 at (2, 5), seeded with dx1 = 1."""

    def trace(x1, x2):
        v1, v2, v3 = np.log(x1), x1 * x2, np.sin(x2)
        v4 = v1 + v2
        return {"v1": v1, "v2": v2, "v3": v3, "v4": v4, "v5": v4 - v3}

    y, dy = jvp(trace, (2.0, 5.0), (1.0, 0.0))
    assert y["v5"] == pytest.approx(11.652, abs=5e-4)
    expected = {"v1": 0.5, "v2": 5.0, "v3": 0.0, "v4": 5.5, "v5": 5.5}
    assert {k: float(v) for k, v in dy.items()} == pytest.approx(expected)


def test_table_3_reverse_mode_adjoints_from_one_sweep():
    y, (g1, g2) = value_and_grad(survey, (0, 1))(2.0, 5.0)
    assert y == pytest.approx(11.652, abs=5e-4)
    assert g1 == pytest.approx(5.5, rel=1e-14)
    assert g2 == pytest.approx(1.716, abs=5e-4)
    assert g2 == pytest.approx(2.0 - math.cos(5.0), rel=1e-14)


def test_no_perturbation_confusion():
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert grad(lambda x: x * jvp(lambda y: x + y, (1.0,), (1.0,))[1])(1.0) == 1.0
    assert jvp(lambda x: x * grad(lambda y: x + y)(1.0), (1.0,), (1.0,))[1] == 1.0
    assert jvp(lambda x: x * jvp(lambda y: x + y, (1.0,), (1.0,))[1], (1.0,), (1.0,))[1] == 1.0
    # the derivative of x * (d/dy (x y^2) at y = x), that is 2 x^3
    assert grad(lambda x: x * grad(lambda y: x * y * y)(x))(1.5) == pytest.approx(6 * 1.5**2)


def _forward(f):
    return lambda x: jvp(f, (x,), (1.0,))[1]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_every_nesting_to_fourth_order(order):
    def f(x):
        return np.exp(np.sin(x)) / (1 + x**2)

    truth = float(mp.diff(lambda x: mp.exp(mp.sin(x)) / (1 + x**2), 0.7, order))
    for modes in itertools.product([grad, _forward], repeat=order):
        g = f
        for mode in modes:
            g = mode(g)
        assert float(g(0.7)) == pytest.approx(truth, rel=1e-11)


def logistic_map_by_loop(x, n=4):
    for _ in range(n - 1):
        x = 4 * x * (1 - x)
    return x


def logistic_map_by_recursion(x, n=4):
    return x if n == 1 else logistic_map_by_recursion(4 * x * (1 - x), n - 1)


@pytest.mark.parametrize("f", [logistic_map_by_loop, logistic_map_by_recursion])
def test_table_1_the_logistic_map(f):
    x = 0.2
    closed = 64 * (1 - 42 * x + 504 * x**2 - 2640 * x**3 + 7040 * x**4 - 9984 * x**5 + 7168 * x**6 - 2048 * x**7)
    assert closed == pytest.approx(9.0660864, abs=1e-9)
    assert grad(f)(x) == pytest.approx(closed, rel=1e-13)
    assert jvp(f, (x,), (1.0,))[1] == pytest.approx(closed, rel=1e-13)


def test_control_flow_on_traced_values():
    def newton_sqrt(a):
        x = a
        while abs(x * x - a) > 1e-12:
            x = 0.5 * (x + a / x)
        return x

    assert grad(newton_sqrt)(2.0) == pytest.approx(0.5 / math.sqrt(2.0), rel=1e-10)

    def branch(x):
        return np.sin(x) if x > 0 else x**2

    assert grad(branch)(1.0) == pytest.approx(math.cos(1.0))
    assert grad(branch)(-1.0) == pytest.approx(-2.0)

    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    assert grad(lambda x: power(x, int(x)))(3.5) == pytest.approx(3 * 3.5**2)


@dataclasses.dataclass
class Point:
    a: float
    b: np.ndarray


def test_nested_containers_and_argnums():
    point = Point(2.0, np.array([1.0, 3.0]))
    g = grad(lambda p: p.a * np.sum(p.b**2))(point)
    assert g.a == 10.0
    np.testing.assert_allclose(g.b, [4.0, 12.0])
    value, (first, third) = value_and_grad(lambda a, b, c: a * c["x"], argnums=(0, 2))(2.0, "text", {"x": 5.0})
    assert value == 10.0
    assert first == 5.0
    assert third == {"x": 2.0}
    assert grad(lambda x, *, k: k * x)(1.0, k=3.0) == 3.0


def test_aux_is_passed_through_untraced():
    (value, aux), g = value_and_grad(lambda x: (x * x, {"twice": 2 * x}), has_aux=True)(3.0)
    assert (value, aux["twice"], g) == (9.0, 6.0, 6.0)
    assert not hasattr(aux["twice"], "owner")
    g, aux = grad(lambda x: (x * x, x), has_aux=True)(3.0)
    assert (g, aux) == (6.0, 3.0)


def test_pullback_can_be_called_again_and_is_linear():
    y, pullback = vjp(lambda x: np.stack([x[0] * x[1], x[1] ** 2]), np.array([2.0, 3.0]))
    np.testing.assert_allclose(y, [6.0, 9.0])
    np.testing.assert_allclose(pullback(np.array([1.0, 0.0]))[0], [3.0, 2.0])
    np.testing.assert_allclose(pullback(np.array([0.0, 1.0]))[0], [0.0, 6.0])


def test_hessian_vector_products_agree_in_every_pairing():
    def f(x):
        return np.sum(np.exp(x) * np.roll(x, 1) ** 2) + np.prod(x)

    x, v = np.array([0.3, -0.5, 0.8]), np.array([1.0, 2.0, -1.0])
    forward_reverse = hvp(f, x, v)
    reverse_forward = grad(lambda x: jvp(f, (x,), (v,))[1])(x)
    reverse_reverse = grad(lambda x: np.sum(grad(f)(x) * v))(x)
    np.testing.assert_allclose(forward_reverse, reverse_forward, rtol=1e-12)
    np.testing.assert_allclose(forward_reverse, reverse_reverse, rtol=1e-12)


def test_gradients_are_the_callers_to_keep():
    x = np.ones(3)
    g = grad(np.sum)(x)
    g += 1.0
    assert np.all(grad(np.sum)(x) == 1.0)
    a, b = grad(lambda a, b: np.sum(a + b), (0, 1))(x, x)
    a[0] = 7.0
    assert b[0] == 1.0


def test_unused_and_constant_arguments_have_zero_gradient():
    g = grad(lambda a, b: a * 2.0, (0, 1))(1.0, np.ones(2))
    np.testing.assert_array_equal(g[1], [0.0, 0.0])
    assert grad(lambda x: 3.0)(1.0) == 0.0
    assert grad(lambda x: np.floor(x) * x)(2.5) == 2.0
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3.0


def test_threads_are_independent():
    def nested(x):
        return x * grad(lambda y: x * np.sin(y))(x)

    truth = [float(grad(nested)(x)) for x in np.linspace(0, 1, 50)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = list(pool.map(lambda x: float(grad(nested)(x)), np.linspace(0, 1, 50)))
            assert found == truth


# --- aliasing -------------------------------------------------------------------------------------------------------
def test_views_follow_writes_as_numpy_does():
    def f(x):
        s = np.zeros_like(x)
        view, tail = s[0:2], s.reshape(2, 2)[1]
        s[0] = x[1] ** 2
        view[1] = x[2] * x[0]
        tail += x[3]
        s.T[2] *= x[0]
        return np.sum(view * 3.0) + np.sum(s * x) + np.prod(tail)

    x = np.array([1.1, 0.7, -0.4, 2.0])
    assert value_and_grad(f)(x)[0] == pytest.approx(f(x.copy()), rel=1e-14)
    check_grads(f, x, order=2, rtol=1e-7, atol=1e-7)


def test_copies_do_not_follow_writes():
    def f(x):
        s = np.zeros_like(x)
        kept, picked = s.copy(), s[[0, 1]]
        s[:] = x
        return np.sum(kept) + np.sum(picked) + np.sum(s)

    np.testing.assert_array_equal(grad(f)(np.ones(3)), np.ones(3))


def test_a_write_does_not_reach_what_was_computed_before():
    def f(x):
        s = x * 1.0
        y = s * s
        s[0] = 0.0
        return np.sum(y) + np.sum(s)

    np.testing.assert_array_equal(grad(f)(np.array([2.0, 3.0])), [4.0, 7.0])


def test_a_write_in_an_outer_level_does_not_reach_an_inner_tape():
    def outer(x):
        s = x * 1.0

        def inner(y):
            z = y * s[0]
            w = s * y
            s[0] = 5.0
            return z + np.sum(w) - s[0] * y

        return grad(inner)(2.0)

    # d/dy [y s0 + (s0 + s1) y - 5 y]
    assert outer(np.array([3.0, 4.0])) == pytest.approx(3 + 7 - 5)
    np.testing.assert_allclose(grad(outer)(np.array([3.0, 4.0])), [2.0, 1.0])


def test_repeated_indices_last_write_wins():
    def f(v):
        s = np.zeros_like(v)
        s[[0, 0, 1]] = v
        return np.sum(s * np.array([10.0, 100.0, 1000.0]))

    np.testing.assert_array_equal(grad(f)(np.array([1.0, 2.0, 3.0])), [0.0, 10.0, 100.0])


def test_the_callers_array_is_never_written():
    x = np.arange(3.0)

    def f(x):
        x[0] = 7.0
        x += 1.0
        return np.sum(x * x)

    np.testing.assert_array_equal(grad(f)(x), [0.0, 4.0, 6.0])
    np.testing.assert_array_equal(x, [0.0, 1.0, 2.0])


def test_a_small_plain_array_may_be_written_after_use():
    def f(x):
        c = np.array([1.0, 2.0])
        y = np.sum(c * x)
        c[:] = 100.0
        return y + np.sum(c)

    np.testing.assert_array_equal(grad(f)(np.ones(2)), [1.0, 2.0])


def test_a_large_plain_array_must_not_be_written_after_use():
    c = np.ones(2000)

    def f(x):
        y = np.sum(c[5:] * x)
        c[:] = 100.0
        return y

    with pytest.raises(InPlaceError, match="written to after"):
        grad(f)(2.0)
    assert c.flags.writeable
    assert np.all(c == 1.0)
    assert grad(lambda x: np.sum(c * x))(2.0) == 2000.0
    c[0] = 2.0  # writeable again
    _, pullback = vjp(lambda x: np.sum(c * x), 2.0)
    with pytest.raises(ValueError, match="read-only"):
        c[0] = 3.0
    assert pullback(1.0)[0] == 2001.0
    del pullback
    c[0] = 3.0


# --- mistakes -------------------------------------------------------------------------------------------------------
MISTAKES = {
    "float": (lambda x: float(x[0]), ConversionError, "float"),
    "math": (lambda x: math.exp(x[0]), ConversionError, "np.exp"),
    "random": (lambda x: np.random.default_rng(0).normal(x[0]), ConversionError, "rng.normal"),
    "write into a plain array": (lambda x: np.zeros(3).__setitem__(0, x[0]), InPlaceError, "np.zeros_like"),
    "add into a plain array": (lambda x: np.zeros(3).__iadd__(x), InPlaceError, "zeros_like"),
    "asarray": (lambda x: np.asarray(x, dtype=float), ConversionError, "leave it out"),
    "scipy.stats": (lambda x: stats.norm.logpdf(x).sum(), ConversionError, "dist.Normal"),
    "scipy.linalg": (lambda x: linalg.norm(x), ConversionError, "np.linalg"),
    "scipy.special function": (lambda x: special.logsumexp(x), ConversionError, "logsumexp"),
    "no rule for a ufunc": (lambda x: special.mathieu_a(1.0, x).sum(), UnsupportedFunctionError, "mathieu_a"),
    "no rule for a function": (lambda x: np.histogram(x)[0].sum(), UnsupportedFunctionError, "stop_gradient"),
    "object array": (
        lambda x: special.gammaln(np.array([x[0], x[1]])).sum(),
        UnsupportedFunctionError,
        "np.stack",
    ),
    "plain array by a traced index": (lambda x: np.arange(3.0)[x[0]], ConversionError, "index"),
    "traced index": (lambda x: x[x[0]], ConversionError, "index"),
    "out": (lambda x: np.exp(x, out=np.zeros(3)), InPlaceError, "out="),
    "complex": (lambda x: np.sum(x * 1j), ConversionError, "Complex"),
    "vector output": (lambda x: x, ShapeError, r"\(3,\)"),
    "unknown keyword": (lambda x: np.quantile(x, 0.5, weights=x), UnsupportedFunctionError, "weights="),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_say_what_to_do(name):
    f, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words):
        grad(f)(np.array([1.0, 2.0, 3.0]))


def test_a_leaked_value_is_recognised():
    kept = []
    grad(lambda x: kept.append(x) or x * x)(1.0)
    with pytest.raises(LeakedValueError, match="ended"):
        kept[0] + 1.0
    with pytest.raises(LeakedValueError):
        grad(lambda y: y * kept[0])(1.0)


def test_a_leak_after_an_exception_is_recognised_and_does_no_harm():
    kept = []

    def fail(x):
        kept.append(x)
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        grad(fail)(1.0)
    assert grad(lambda x: x * x)(2.0) == 4.0
    with pytest.raises(LeakedValueError):
        kept[0] * 2.0


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="argnums=1"):
        grad(lambda x: x, argnums=1)(1.0)
    with pytest.raises(ConversionError, match="real numbers"):
        grad(lambda x: x)("text")
    with pytest.raises(ShapeError, match="position 0"):
        jvp(np.sum, (np.ones(3),), (np.ones(2),))
    with pytest.raises(ArgumentError, match="tuples"):
        jvp(np.sum, np.ones(3), np.ones(3))
    with pytest.raises(ArgumentError, match="modes"):
        check_grads(np.sin, 1.0, modes=["sideways"])


def test_check_grads_catches_a_derivative_that_is_cut():
    with pytest.raises(GradientError, match="forward"):
        check_grads(lambda x: x * stop_gradient(x), 2.0)
    with pytest.raises(GradientError, match="reverse"):
        check_grads(lambda x: x * stop_gradient(x), 2.0, modes=["reverse"])
