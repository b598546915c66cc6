"""Every registered primitive: value and derivatives of orders 1 to 3, in every nesting of the two modes.

The truth is the derivative of an arbitrary-precision oracle along a random line through the example; the line makes
one number of any primitive, so that orders and nestings are checked alike.
"""

from __future__ import annotations

import itertools
import re

import mpmath as mp
import numpy as np
import pytest

import probad.ad.array  # noqa: F401  (registers all rules)
from probad.ad import PRIMITIVES, grad, jvp, vjp
from probad.ad.core import Primitive
from tests.contracts import oracles

TOLERANCE = {0: 1e-12, 1: 1e-12, 2: 1e-10, 3: 1e-8}
# made on demand, and tested through the functions whose derivatives they are
FAMILIES = re.compile(r"(polygamma(?!1$)|gammainc_d|betainc_d|zeta_d|phi|spherical)\d")
NAMES = sorted(name for name in PRIMITIVES if not FAMILIES.match(name))


def _number(x):
    return mp.mpf(float(x))


_numbers = np.vectorize(_number, otypes=[object])


def _line(primitive, args, params, rng):
    """The primitive along a random line, as a function of one number: in float64 and exactly."""
    directions = [rng.uniform(0.5, 1.0, np.shape(a)) * rng.choice([-1.0, 1.0], np.shape(a)) * 0.3 for a in args]
    free = oracles.free(primitive, args)
    if primitive.name in ("cholesky", "eigh"):  # functions of symmetric matrices
        directions = [d + np.swapaxes(d, -1, -2) for d in directions]
    weights = rng.uniform(0.5, 1.5, np.shape(primitive(*args, **params)))

    def approximate(s):
        points = [a + s * d if k in free else a for k, (a, d) in enumerate(zip(args, directions, strict=True))]
        return np.sum(weights * primitive(*points, **params))

    def exact(s):
        pairs = enumerate(zip(args, directions, strict=True))
        points = [_numbers(a) + s * _numbers(d) if k in free else _numbers(a) for k, (a, d) in pairs]
        return mp.mpf(np.sum(_numbers(weights) * oracles.exact(primitive)(*points, **params)))

    return approximate, exact


def _forward(f):
    return lambda s: jvp(f, (s,), (1.0,))[1]


def _nested(f, modes):
    for mode in modes:
        f = _forward(f) if mode == "F" else grad(f)
    return f


def _check(primitive, orders):
    rng = np.random.default_rng(0)
    for args, params in primitive.examples(rng):
        approximate, exact = _line(primitive, args, params, rng)
        with mp.workdps(30):
            truth = [float(c * mp.factorial(n)) for n, c in enumerate(mp.taylor(exact, 0, max(orders)))]
        for order in orders:
            for modes in itertools.product("FR", repeat=order):
                found = float(_nested(approximate, modes)(0.0)) if order else float(approximate(np.float64(0.0)))
                allowed = TOLERANCE[order] * max(1.0, abs(truth[order]))
                assert abs(found - truth[order]) <= allowed, (
                    f"{primitive.name} with {params}: order {order}, nesting {''.join(modes)}: {found} is not "
                    f"{truth[order]}"
                )


@pytest.mark.parametrize("name", NAMES)
def test_value_and_derivatives_to_third_order(name):
    _check(PRIMITIVES[name], (0, 1, 2, 3))


@pytest.mark.parametrize("name", NAMES)
def test_transposes_agree(name):
    """<J v, w> = <v, J' w> for random v and w."""
    rng = np.random.default_rng(1)
    primitive = PRIMITIVES[name]
    for args, params in primitive.examples(rng):
        f, args = oracles.bind(primitive, args, params)
        v = tuple(rng.normal(size=np.shape(a)) for a in args)
        y, dy = jvp(f, args, v)
        w = rng.normal(size=np.shape(y))
        _, pullback = vjp(f, *args)
        left = np.sum(dy * w)
        right = sum(np.sum(g * t) for g, t in zip(pullback(w), v, strict=True))
        size = np.sum(np.abs(dy * w)) + 1e-300
        assert abs(left - right) <= 1e-13 * max(1.0, size)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_gradients_keep_shapes_and_arguments(name):
    rng = np.random.default_rng(2)
    primitive = PRIMITIVES[name]
    for args, params in primitive.examples(rng):
        shape = np.shape(primitive.impl(*args, **params))
        f, args = oracles.bind(primitive, args, params)
        before = [np.array(a) for a in args]
        y, pullback = vjp(f, *args)
        assert np.shape(y) == shape
        for g, a in zip(pullback(np.ones(np.shape(y))), args, strict=True):
            assert np.shape(g) == np.shape(a)
        for old, a in zip(before, args, strict=True):
            np.testing.assert_array_equal(old, a)


def test_the_contract_catches_a_wrong_rule():
    """A planted bug: a sine whose derivative has the wrong sign."""
    wrong = object.__new__(Primitive)
    right = PRIMITIVES["sin"]
    for attribute in ("careful_pull", "examples", "gather_fn", "impl", "name", "pull", "push", "view_fn"):
        setattr(wrong, attribute, getattr(right, attribute))
    wrong.pull = lambda k, g, y, values, params: -right.pull(k, g, y, values, params)
    with pytest.raises(AssertionError, match="sin"):
        _check(wrong, (1,))
