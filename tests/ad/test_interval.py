"""Enclosures: exact values of every rule inside them, random points of random boxes, and loud refusals."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

from probad.ad import PRIMITIVES, checkpoint, grad, interval, value_and_grad
from probad.ad.enclosures import RULES, Interval
from probad.ad.kinds import DOMAINS
from probad.errors import ArgumentError, ConversionError, ShapeError, UnsupportedFunctionError
from tests.contracts import oracles

ELEMENTWISE = sorted(set(RULES) & set(DOMAINS) & set(oracles.ELEMENTWISE))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_exact_values_are_inside_and_bounds_are_tight(name):
    """Points of narrow boxes, in 40 digits; the enclosure of a point is a few units in the last place wide."""
    rng = np.random.default_rng(0)
    for trial in range(60):
        width = [0.0, 1e-15, 1e-3, 0.2][trial % 4]
        lows = [rng.uniform(lo, hi) for lo, hi in DOMAINS[name]]
        highs = [min(x + width, hi) for x, (_, hi) in zip(lows, DOMAINS[name], strict=True)]
        box = RULES[name](*[Interval(np.float64(a), np.float64(b)) for a, b in zip(lows, highs, strict=True)])
        with mp.workdps(40):
            for _ in range(10):
                at = [
                    mp.mpf(a) + mp.mpf(rng.uniform()) * (mp.mpf(b) - mp.mpf(a))
                    for a, b in zip(lows, highs, strict=True)
                ]
                exact = oracles.ELEMENTWISE[name](*at)
                assert mp.mpf(float(box.lower)) <= exact <= mp.mpf(float(box.upper)), (name, at)
        if width == 0.0:
            assert box.upper - box.lower <= 200 * np.finfo(float).eps * max(1.0, abs(box.lower))


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "absolute", "square", "cosh", "power", "heaviside", "sign"])
def test_extremes_inside_are_found(name):
    """Wide boxes around turning points, against a fine grid."""
    rng = np.random.default_rng(1)
    ufunc = getattr(np, name)
    for _ in range(200):
        centre, radius = rng.uniform(-20, 20), rng.uniform(0, 1.5 if name == "tan" else 8)
        arguments = [Interval(np.float64(centre - radius), np.float64(centre + radius))]
        second = {"power": [float(rng.integers(1, 6))], "heaviside": [0.5]}.get(name, [])
        grid = ufunc(np.linspace(centre - radius, centre + radius, 2001), *second)
        try:
            box = RULES[name](*arguments, *[Interval(np.float64(s), np.float64(s)) for s in second])
        except ArgumentError:
            assert name == "tan"
            continue
        assert box.lower <= grid.min()
        assert grid.max() <= box.upper
        if name != "tan":
            assert box.upper - box.lower <= (grid.max() - grid.min()) * 1.01 + 1e-9


def _rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _in_place(x):
    s = np.zeros_like(x)
    for i in range(x.shape[0]):
        s[i] = x[i] * x[i - 1]
    s[[0, 0]] = x[:2]
    return np.sum(s[[0, 1, 1, 2]]) + np.prod(s + 3.0)


FUNCTIONS = {
    "polynomial": (lambda x: x[0] ** 3 - 2 * x[0] * x[1] ** 2 + x[2], -1.0, 1.0),
    "transcendental": (lambda x: np.exp(x[0]) * np.sin(x[1]) + np.log(2 + x[2] ** 2), -1.5, 1.5),
    "rosenbrock": (_rosenbrock, -1.0, 1.0),
    "division": (lambda x: x[0] / (2.0 + np.cos(x[1])) - np.tanh(x[2]) / np.sqrt(1 + x[0] ** 2), -3.0, 3.0),
    "products": (lambda x: x @ np.array([[2.0, 1, 0], [1, 3, -1], [0, -1, 1]]) @ x, -1.0, 2.0),
    "einsum": (lambda x: np.einsum("i,j,ij->", x, x, np.outer(x, x) + np.eye(3)), -1.0, 1.0),
    "logsumexp": (lambda x: np.logaddexp(np.logaddexp(x[0], x[1]), x[2]), -5.0, 5.0),
    "kinks": (lambda x: np.abs(x[0]) + np.maximum(x[1], x[2] * x[0]), -1.0, 1.0),
    "where": (lambda x: np.sum(np.where(x > 0, x**2, 0.5 * x)), -1.0, 1.0),
    "in place": (_in_place, -1.0, 1.0),
    "joined": (lambda x: np.sum(np.cumsum(np.stack([x, x[::-1]]).reshape(3, 2).T, axis=0) ** 2), -1.0, 1.0),
    "checkpoint": (lambda x: checkpoint(lambda v: np.sum(np.sin(v) * v))(x), -1.0, 1.0),
    "powers": (lambda x: np.sum((3.0 + x) ** 1.5 + (3.0 + x) ** -2 + (3.0 + x) ** x), -1.0, 1.0),
    "arc": (lambda x: np.sum(np.arctan(x) + np.arcsin(x / 2) + np.sinh(x) * np.cbrt(3 + x)), -1.0, 1.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_random_points_of_random_boxes_are_inside(name):
    f, low, high = FUNCTIONS[name]
    rng = np.random.default_rng(2)
    with np.errstate(all="ignore"):
        for trial in range(12):
            a = rng.uniform(low, high, 3)
            b = np.minimum(a + rng.uniform(0, [0.01, 0.3, 2.0][trial % 3], 3), high)
            value, gradient = interval(f, (a, b))
            assert value.lower <= value.upper
            for _ in range(30):
                x = a + rng.uniform(0, 1, 3) * (b - a)
                y, g = value_and_grad(f)(x)
                slack = 1e-13 * (1 + np.abs(y) + np.abs(g).max())  # the rounding of the points themselves
                assert value.lower - slack <= y <= value.upper + slack
                assert np.all((gradient.lower - slack <= g) & (g <= gradient.upper + slack))


def test_the_mean_value_form_makes_narrow_boxes_tight():
    """Of x - x^2 at 1/2 the natural form is as wide as the box, the mean-value form its square."""
    value, gradient = interval(lambda x: x - x * x, (0.5 - 1e-4, 0.5 + 1e-4))
    assert 0.25 in value
    assert value.width < 1e-7
    assert gradient.contains(0.0)


def test_nests_and_points():
    value, gradient = interval(
        lambda p: p["a"] * np.sum(p["b"]), ({"a": 1.0, "b": np.zeros(2)}, {"a": 2.0, "b": np.ones(2)})
    )
    assert (value.lower, value.upper) == (pytest.approx(0.0, abs=1e-15), pytest.approx(4.0))
    assert (gradient["b"].lower == 1.0).all()
    assert (gradient["b"].upper == 2.0).all()
    value, gradient = interval(np.exp, (1.0, 1.0))
    assert np.e in value
    assert np.e in gradient
    assert value.width < 1e-13


def test_a_root_is_excluded_by_proof():
    """Without a zero of the gradient in a box there is no minimum in it."""
    f = lambda x: np.exp(x) + x**2
    assert interval(f, (0.0, 1.0))[1].lower > 0
    assert 0.0 in interval(f, (-1.0, 0.0))[1]


MISTAKES = {
    "branch": (lambda x: x if x > 0 else -x, (-1.0, 1.0), ConversionError, "one part of the box only"),
    "division": (lambda x: 1 / x, (-1.0, 1.0), ArgumentError, "divisor that cannot be zero"),
    "log": (lambda x: np.log(x), (-1.0, 1.0), ArgumentError, "np.log needs a positive argument"),
    "pole": (lambda x: np.tan(x), (1.0, 2.0), ArgumentError, "poles"),
    "no rule": (lambda x: PRIMITIVES["erf"](x), (0.0, 1.0), UnsupportedFunctionError, "no rigorous rule for erf"),
    "empty": (lambda x: x, (1.0, 0.0), ArgumentError, "empty"),
    "infinite": (lambda x: x, (0.0, np.inf), ArgumentError, "not finite"),
    "shapes": (np.sum, (np.zeros(2), np.ones(3)), ShapeError, "position 0"),
    "no tuple": (lambda x: x, [0.0, 1.0], ArgumentError, "tuple"),
    "vector": (lambda x: x, (np.zeros(2), np.ones(2)), ShapeError, "scalar"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_say_what_to_do(name):
    f, box, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words):
        interval(f, box)


def test_a_branch_that_is_decided_is_taken():
    value, gradient = interval(lambda x: x**2 if x > 0 else -x, (1.0, 2.0))
    assert value.contains(2.25)
    assert gradient.contains(3.0)
    with pytest.raises(ConversionError, match="plain bounds"):
        grad(lambda a: interval(np.exp, (a, a))[0].lower)(1.0)
