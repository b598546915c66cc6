"""Sums of squares of data minus a linear predictor: what is left of them, and that it keeps their digits."""

from __future__ import annotations

import numpy as np
import pytest

from probad.ir.adjoint import adjoint
from probad.ir.capture import capture
from probad.ir.interpret import interpret
from probad.ir.simplify import simplify, squares

N = 240
RNG = np.random.default_rng(0)
GROUP = RNG.integers(0, 12, N)
REGION = GROUP // 3  # of a group
YEAR = RNG.integers(0, 5, N)
X = RNG.normal(size=N)
MATRIX = RNG.normal(size=(N, 4))
LEVEL = np.repeat([0.0, 1.0], N // 2)
Y = 0.5 * X + RNG.normal(size=12)[GROUP] + RNG.normal(size=N)
WEIGHT = RNG.uniform(0.5, 2.0, size=N)
ALONE = np.concatenate([np.zeros(N - 3, int), [1, 2, 3]])  # groups of one observation
LONG = np.longdouble

# functions of 20 numbers that are a predictor, and how many arrays of N elements are left of the sum of its squares
PREDICTORS = {
    "one slope": lambda z: Y - z[0] * X,
    "slope and intercept": lambda z: Y - (z[0] + X * z[1]),
    "the other sign": lambda z: z[0] + X * z[1] - Y,
    "a matrix": lambda z: Y - (z[4] + MATRIX @ z[:4]),
    "a matrix from the left": lambda z: Y - z[:4] @ np.ascontiguousarray(MATRIX.T),
    "two matrices": lambda z: Y - MATRIX @ z[:4] - MATRIX[:, :2] @ z[4:6],
    "groups": lambda z: Y - z[:12][GROUP],
    "groups and a slope": lambda z: Y - z[:12][GROUP] - z[12] * X,
    "groups, not centred": lambda z: Y - (z[13] + np.exp(z[14]) * z[:12][GROUP] + z[12] * X),
    "groups of which some have no observation": lambda z: Y - z[:20][GROUP + 2] - z[0] * X,
    "groups of one observation": lambda z: Y - z[:4][ALONE] - z[5] * X,
    "slopes in groups": lambda z: Y - z[:12][GROUP] * X,
    "intercepts and slopes in groups": lambda z: Y - z[:12][GROUP] - z[4:16][GROUP] * X,
    "slopes that groups do not tell": lambda z: Y - z[:4][ALONE] - z[4:8][ALONE] * X - z[8:12][ALONE] * LEVEL,
    "crossed": lambda z: Y - z[:12][GROUP] - z[12:17][YEAR] - z[17] * X,
    "nested": lambda z: Y - z[:12][GROUP] - z[12:16][REGION] - z[17] * X,
    "known errors": lambda z: (Y - z[:12][GROUP] - z[12] * X) / WEIGHT,
    "known factors": lambda z: WEIGHT * (z[12] * X - Y),
    "the same twice": lambda z: Y - z[0] * X - z[1] * X,
    "a slope of zeros": lambda z: Y - z[0] * np.zeros(N) - z[1] * X,
    "a plane": lambda z: Y.reshape(20, 12) - z[:12] - z[12] * X.reshape(20, 12),
    "another plane": lambda z: Y.reshape(20, 12) - z[:20][:, None],
    "a product of groups": lambda z: Y - (MATRIX[:12] @ z[:4])[GROUP],
    "a matrix of coefficients": lambda z: Y - z[:20].reshape(4, 5)[REGION, YEAR],
    "no data": lambda z: z[:12][GROUP] - z[12:17][YEAR],
    "a covariate far from zero": lambda z: Y - z[:12][GROUP] - z[12] * (X + 1e4),
}


EPS = 64 * np.finfo(float).eps


def prepared(fn, z):
    """The simplified graph of a function, and that of its value and gradient."""
    graph = simplify(capture(fn, z)[0])
    return graph, simplify(adjoint(graph))


def n_large(graph) -> int:
    """How many results have an element for each observation."""
    return sum(np.size(v) >= N // 2 for v in graph.values)


def exactly(predictor, z):
    """Residuals and their derivatives by all numbers, in long numbers; from differentiation by the complex step."""
    z, step = z.astype(np.clongdouble), LONG(1e-30)
    columns = [np.ravel(predictor(z + 1j * step * e).imag / step) for e in np.eye(20, dtype=LONG)]
    return np.ravel(predictor(z).real), np.stack(columns)


@pytest.mark.parametrize("name", PREDICTORS)
def test_few_terms_are_left_and_keep_their_digits(name):
    predictor = PREDICTORS[name]
    graph, gradient = prepared(lambda z: np.sum(np.square(predictor(z))), np.random.default_rng(9).normal(size=20))
    assert n_large(graph) == n_large(gradient) == 0
    for seed in range(5):
        z = np.random.default_rng(seed).normal(size=20) * 10.0 ** (seed - 2)
        residuals, derivatives = exactly(predictor, z)
        sizes = np.abs(np.ravel(predictor(np.zeros(20)))) + np.abs(z) @ np.abs(derivatives)
        value, slope = np.sum(residuals**2), 2 * derivatives @ residuals
        (got,) = interpret(graph, z)
        assert abs(got - value) <= EPS * (value + 2 * np.abs(residuals) @ sizes)
        got, got_slope = interpret(gradient, z)
        assert abs(got - value) <= EPS * (value + 2 * np.abs(residuals) @ sizes)
        assert np.all(np.abs(got_slope - slope) <= EPS * (np.abs(slope) + 2 * np.abs(derivatives) @ sizes))


def test_data_far_from_zero_keep_their_digits():
    """Distances of observations to a number near them are exact; so are those of their means."""
    group, data = np.arange(60) % 4, 1e8 + np.arange(60.0)
    fn = lambda z: np.sum((data - z[group]) ** 2)
    z = 1e8 + np.array([1.0, 7.0, 30.25, 31.0])
    graph, gradient = prepared(fn, z)
    assert max(map(np.size, graph.values)) == 4
    assert interpret(graph, z)[0] == fn(z)
    exact = [-2 * np.sum(data[group == k] - z[k]) for k in range(4)]
    np.testing.assert_array_equal(interpret(gradient, z)[1], exact)


LEFT_ALONE = {
    "an unknown each": lambda z: np.arange(20.0) - z,
    "few observations in a group": lambda z: np.arange(20.0) - z[np.arange(20) // 2] - z[3] * np.sin(np.arange(20.0)),
    "what is not linear": lambda z: Y - np.exp(z[0] * X),
    "infinite data": lambda z: Y - z[0] * np.where(np.arange(N) == 7, np.inf, X),
    "as many coefficients as observations": lambda z: np.arange(20.0) - np.vander(np.arange(20.0) / 20) @ z,
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_would_not_be_shorter_is_left_alone(name):
    z = np.random.default_rng(1).normal(size=20)
    with np.errstate(all="ignore"):
        before = capture(lambda z: np.sum(np.square(LEFT_ALONE[name](z))), z)[0]
        after = simplify(before)
        assert max(map(np.size, after.values)) == max(map(np.size, before.values))
        np.testing.assert_array_equal(interpret(after, z)[0], interpret(before, z)[0])


@pytest.mark.parametrize("batch", range(4))
def test_random_predictors(batch):
    """Groups of all sizes, columns that depend on each other, and no more terms than before."""
    rng = np.random.default_rng(batch)
    n_shorter = 0
    for _ in range(25):
        n = int(rng.integers(12, 90))
        y = rng.normal(size=n)
        parts = []
        for _ in range(rng.integers(1, 5)):
            kind, k = rng.integers(3), int(rng.integers(1, 10))
            by = rng.choice([rng.normal(size=n), np.ones(n), rng.integers(0, 2, n) + 0.0, np.full(n, 1e3)])
            parts.append((kind, k, by, rng.integers(0, k, n), rng.normal(size=(n, k)) @ rng.integers(-1, 2, (k, k))))

        def predictor(z, y=y, parts=parts):
            r = y
            for kind, k, by, group, matrix in parts:
                r = r - (z[k] * by if kind == 0 else by * z[:k][group] if kind == 1 else matrix @ z[k : 2 * k])
            return r

        z = rng.normal(size=20)
        graph, gradient = prepared(lambda z, p=predictor: np.sum(p(z) ** 2), z)
        n_shorter += squares.SAVING * max(map(np.size, graph.values[1:]), default=0) <= n
        z = rng.normal(size=20)
        residuals, derivatives = exactly(predictor, z)
        sizes = np.abs(y) + np.abs(z) @ np.abs(derivatives)
        value, slope = np.sum(residuals**2), 2 * derivatives @ residuals
        got, got_slope = interpret(gradient, z)
        assert abs(got - value) <= EPS * (value + 2 * np.abs(residuals) @ sizes)
        assert np.all(np.abs(got_slope - slope) <= EPS * (np.abs(slope) + 2 * np.abs(derivatives) @ sizes))
    assert n_shorter > 5
