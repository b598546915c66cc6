"""Custom derivatives: one rule gives both modes, all nestings; approximate the derivative, not the approximation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from probad.ad import check_grads, custom_derivative, grad, jvp, value_and_grad, vmap
from probad.errors import ArgumentError, ConversionError, ShapeError
from tests.tolerances import EXACT


def _forward(f):
    return lambda x: jvp(f, (x,), (1.0,))[1]


def _jvp_fn(y, args, tangents):
    (a, b), (ta, tb) = args, tangents
    return np.cos(a * b) * (ta * b + a * tb)


def _vjp_fn(y, args, g):
    a, b = args
    return g * np.cos(a * b) * b, g * np.cos(a * b) * a


RULES = {
    "both": {"jvp_fn": _jvp_fn, "vjp_fn": _vjp_fn},
    "forward only": {"jvp_fn": _jvp_fn},
    "reverse only": {"vjp_fn": _vjp_fn},
}


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_one_rule_is_enough_for_every_nesting(rules, order):
    special = custom_derivative(lambda a, b: np.sin(a * b), **RULES[rules])
    for modes in itertools.product([grad, _forward], repeat=order):
        found, truth = (lambda x: special(x, 2.0 * x) * x), (lambda x: np.sin(x * 2.0 * x) * x)
        for mode in modes:
            found, truth = mode(found), mode(truth)
        assert found(0.7) == pytest.approx(truth(0.7), rel=EXACT)


@pytest.mark.parametrize("rules", RULES)
def test_constant_and_integer_arguments(rules):
    special = custom_derivative(lambda a, b: np.sin(a * b), **RULES[rules])
    assert grad(lambda a: special(a, 3))(0.5) == pytest.approx(3 * math.cos(1.5), rel=EXACT)
    assert grad(lambda b: special(2.0, b))(0.5) == pytest.approx(2 * math.cos(1.0), rel=EXACT)
    assert special(0.5, 3) == math.sin(1.5)


def test_approximate_the_derivative_not_the_approximation():
    """The survey's advice: a piecewise constant exp is close to exp, its derivative is not; the custom rule wins."""

    def table_exp(x):
        grid = np.linspace(-1.0, 1.0, 2001)
        return np.exp(grid)[np.searchsorted(grid, x) - 1]

    good = custom_derivative(table_exp, jvp_fn=lambda y, args, tangents: y * tangents[0])
    x = 0.4321
    assert table_exp(x) == pytest.approx(math.exp(x), rel=2e-3)
    assert grad(lambda x: table_exp(x) + 0.0 * x)(x) == 0.0
    assert grad(good)(x) == pytest.approx(math.exp(x), rel=2e-3)
    assert grad(grad(grad(good)))(x) == pytest.approx(math.exp(x), rel=2e-3)
    assert _forward(grad(good))(x) == pytest.approx(math.exp(x), rel=2e-3)


def test_containers_in_and_out():
    @custom_derivative(vjp_fn=lambda y, args, g: ({"m": g["s"] * np.ones(3) + g["d"] * 2.0}, None))
    def f(p, label):
        return {"s": np.sum(p["m"]), "d": 2.0 * p["m"], "label": len(label)}

    def loss(m):
        out = f({"m": m}, "abc")
        return out["s"] ** 2 + np.sum(out["d"] ** 2) + out["label"]

    m = np.array([1.0, 2.0, -0.5])
    value, g = value_and_grad(loss)(m)
    assert value == pytest.approx(2.5**2 + 4 * np.sum(m**2) + 3)
    np.testing.assert_allclose(g, 2 * 2.5 + 8 * m, rtol=EXACT)
    check_grads(loss, m, order=2)


def test_what_cannot_be_traced_may_be_called():
    @custom_derivative(jvp_fn=lambda y, args, tangents: y * tangents[0])
    def opaque(x):
        return math.exp(float(x))

    assert grad(opaque)(1.0) == math.e
    assert grad(grad(opaque))(1.0) == math.e
    np.testing.assert_allclose(vmap(grad(opaque))(np.array([0.0, 1.0])), [1.0, math.e], rtol=EXACT)


def test_keywords_reach_the_rules():
    @custom_derivative(jvp_fn=lambda y, args, tangents, *, k: k * tangents[0])
    def f(x, *, k):
        return k * x

    assert grad(lambda x: f(x, k=4))(1.0) == 4.0


def test_a_rule_is_believed():
    """What the rule says is the derivative, right or wrong, in both modes."""
    f = custom_derivative(lambda x: x, jvp_fn=lambda y, args, tangents: 7.0 * tangents[0])
    assert grad(f)(1.0) == 7.0
    assert _forward(f)(1.0) == 7.0


MISTAKES = {
    "no rule": (lambda x: custom_derivative(lambda x: x)(x), ArgumentError, "needs a rule"),
    "closure": (
        lambda x: custom_derivative(lambda y: x * y, jvp_fn=lambda y, a, t: t[0])(1.0),
        ConversionError,
        "positional arguments",
    ),
    "traced keyword": (
        lambda x: custom_derivative(lambda y, *, k: k * y, jvp_fn=lambda y, a, t, k: t[0])(x, k=x),
        ConversionError,
        "positional arguments",
    ),
    "not a tuple": (
        lambda x: custom_derivative(lambda y: y, vjp_fn=lambda y, a, g: g)(x),
        ArgumentError,
        "must return a tuple",
    ),
    "wrong length": (
        lambda x: custom_derivative(lambda y: y, vjp_fn=lambda y, a, g: (g, g))(x),
        ArgumentError,
        "length 2",
    ),
    "wrong structure": (
        lambda x: custom_derivative(lambda p: p[0], vjp_fn=lambda y, a, g: ((g, g, g),))((x, x)),
        ArgumentError,
        "structure",
    ),
    "wrong shape": (
        lambda x: custom_derivative(lambda y: y, vjp_fn=lambda y, a, g: (np.ones(3),))(x),
        ShapeError,
        "argument 0 has shape \\(3,\\)",
    ),
    "wrong tangent": (
        lambda x: custom_derivative(lambda y: y, jvp_fn=lambda y, a, t: np.ones(3))(x),
        ShapeError,
        "tangent of shape \\(3,\\)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_say_what_to_do(name):
    f, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words):
        grad(f)(1.0)
