"""Sparse Jacobians and Hessians: patterns are safe and tight, colourings valid, results those of the dense ones."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from probad.ad import (
    PRIMITIVES,
    grad,
    hessian,
    hvp,
    jacobian,
    sparse_hessian,
    sparse_hessian_plan,
    sparse_jacobian,
    sparse_jacobian_plan,
)
from probad.ad.kinds import PARTIALS
from probad.ad.sparse import patterns
from probad.ad.sparse.colouring import colour_columns, star_colouring
from probad.errors import ArgumentError, ConversionError, GradientError, ShapeError
from tests.ad.strict import StrictArray
from tests.ad.test_jacobians import counted  # noqa: F401  (a fixture)

# made on demand, for one order of derivative after the other
FAMILIES = re.compile(r"(polygamma(?!1$)|gammainc_d|betainc_d|zeta_d|phi|spherical)\d")
NAMES = sorted(name for name in PRIMITIVES if not FAMILIES.match(name))


def rosenbrock(x):
    """Its Hessian is tridiagonal."""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def arrowhead(x):
    """Every element meets the first one."""
    return np.sum(np.exp(0.1 * x[0] * x[1:])) + np.sum(x**4)


def separable(x):
    """A sum of functions of few elements each, not next to each other."""
    return np.sum(np.sin(x * np.roll(x, 7)) + np.roll(x, 3) ** 3)


def _agrees_with_dense(f, x):
    dense = hessian(f)(x)
    found = sparse_hessian(f, x)
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-11, atol=1e-11)
    return found


# --- golden values --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("f", "products", "entries"),
    [(rosenbrock, 3, 3 * 10_000 - 2), (arrowhead, 3, 3 * 10_000 - 2), (separable, 9, 3 * 10_000)],
)
def test_ten_thousand_variables_from_few_products(counted, f, products, entries):  # noqa: F811
    """The survey's sparse Hessians: tridiagonal, arrowhead by star colouring, and partially separable."""
    x = np.random.default_rng(0).normal(size=10_000)
    start = time.perf_counter()
    plan = sparse_hessian_plan(f, x)
    assert time.perf_counter() - start < 10
    counted.update(push=0, pull=0)
    h = plan(x)
    assert counted["push"] == plan.n_products <= products
    assert counted["pull"] == 0
    assert h.nnz == entries
    v = np.random.default_rng(1).normal(size=10_000)
    np.testing.assert_allclose(h @ v, hvp(f, x, v), rtol=1e-9, atol=1e-9)


def test_the_same_by_a_loop_over_numbers():
    def loop(x):
        total = 0.0
        for i in range(len(x) - 1):
            total = total + 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2
        return total

    x = np.random.default_rng(0).normal(size=300)
    plan = sparse_hessian_plan(loop, x)
    assert plan.n_products == 3
    np.testing.assert_allclose(plan(x).toarray(), sparse_hessian(rosenbrock, x).toarray(), rtol=1e-11, atol=1e-11)


def test_small_ones_agree_with_dense():
    x = np.random.default_rng(2).uniform(0.5, 1.5, 20)
    for f in (rosenbrock, arrowhead, separable):
        _agrees_with_dense(f, x)


def test_a_hessian_of_a_matrix_argument():
    f = lambda a: np.sum(a[1:] * a[:-1] ** 2) + np.sum(np.sin(a[:, 0]))
    a = np.random.default_rng(3).normal(size=(4, 3))
    found = sparse_hessian(f, a)
    np.testing.assert_allclose(found.toarray(), hessian(f)(a).reshape(12, 12), rtol=1e-12, atol=1e-12)
    assert found.nnz < 60


# --- Jacobians ------------------------------------------------------------------------------------------------------
def test_jacobian_by_columns_and_by_rows(counted):  # noqa: F811
    n = 2000
    x = np.random.default_rng(4).normal(size=n)
    banded = lambda x: np.sin(x[2:]) * x[1:-1] - x[:-2] ** 2
    plan = sparse_jacobian_plan(banded, x)
    assert (plan.kind, plan.n_products) == ("forward", 3)
    counted.update(push=0, pull=0)
    j = plan(x)
    assert counted == {"push": 3, "pull": 0}
    expected = sparse.diags_array([-2 * x[:-2], np.sin(x[2:]), x[1:-1] * np.cos(x[2:])], offsets=[0, 1, 2], shape=(n - 2, n))  # fmt: skip  # noqa: E501
    assert abs(j - expected).max() < 1e-12
    # one full row: reverse mode needs two products, forward mode n
    bordered = lambda x: np.concatenate([x**2, np.stack([np.sum(x)])])
    plan = sparse_jacobian_plan(bordered, x)
    assert (plan.kind, plan.n_products) == ("reverse", 2)
    counted.update(push=0, pull=0)
    j = plan(x)
    assert counted == {"push": 0, "pull": 2}
    np.testing.assert_allclose(j.toarray()[:n], np.diag(2 * x))
    np.testing.assert_array_equal(j.toarray()[n], np.ones(n))
    assert sparse_jacobian_plan(bordered, x, mode="forward").n_products == n


def test_zeros_of_a_constant_matrix_are_structure():
    difference = np.eye(50, k=1)[:-1] - np.eye(50)[:-1]
    x = np.random.default_rng(5).normal(size=50)
    plan = sparse_hessian_plan(lambda x: np.sum((difference @ x) ** 4), x)
    assert plan.n_products == 3
    np.testing.assert_allclose(plan(x).toarray(), hessian(lambda x: np.sum((difference @ x) ** 4))(x), atol=1e-11)
    assert sparse_jacobian(lambda x: np.einsum("ij,j->i", difference, x), x).nnz == 2 * 49


def test_scalars_and_constants():
    assert sparse_jacobian(lambda x: x**2, 3.0).toarray() == [[6.0]]
    assert sparse_hessian(lambda x: x**3, 2.0).toarray() == [[12.0]]
    assert sparse_hessian(np.sum, np.ones(3)).nnz == 0
    assert sparse_jacobian(lambda x: np.ones(2), np.ones(3)).shape == (2, 3)


# --- plans ----------------------------------------------------------------------------------------------------------
def test_a_plan_serves_other_points(counted):  # noqa: F811
    plan = sparse_hessian_plan(rosenbrock, np.zeros(30))
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=30)
        np.testing.assert_allclose(plan(x, check=True).toarray(), hessian(rosenbrock)(x), rtol=1e-11, atol=1e-11)
    with pytest.raises(ShapeError, match=r"\(30, 30\)"):
        plan(np.zeros(31))
    assert "n_products" not in repr(plan) and "hessian" in repr(plan)


def test_the_pattern_is_that_of_the_path_taken():
    def f(x):
        return x[0] * x[1] if x[0] > 0 else x[1] * x[2]

    plan = sparse_hessian_plan(f, np.ones(3))
    assert plan.pattern.toarray().astype(int).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert plan(-np.ones(3)).nnz == 2  # without a check the other path is not seen
    with pytest.raises(GradientError, match="another path"):
        plan(-np.ones(3), check=True)
    # np.where has no path: both sides count
    g = lambda x: np.where(x[0] > 0, x[0] * x[1], x[1] * x[2])
    plan = sparse_hessian_plan(g, np.ones(3))
    for x in (np.ones(3), -np.ones(3)):
        np.testing.assert_array_equal(plan(x, check=True).toarray(), hessian(g)(x))


def test_a_given_pattern_is_used():
    pattern = np.eye(5) + np.eye(5, k=1) + np.eye(5, k=-1)
    x = np.arange(5.0)
    np.testing.assert_allclose(sparse_hessian(rosenbrock, x, pattern=pattern).toarray(), hessian(rosenbrock)(x))
    f = lambda x: x[1:] * x[:-1]
    given_sparse = sparse.csr_matrix(np.eye(4, 5) + np.eye(4, 5, k=1))
    np.testing.assert_allclose(sparse_jacobian(f, x, pattern=given_sparse).toarray(), jacobian(f)(x))
    with pytest.raises(ShapeError, match=r"\(2, 2\)"):
        sparse_hessian(rosenbrock, x, pattern=np.eye(2))


def test_mistakes_say_what_to_do(monkeypatch):
    with pytest.raises(ArgumentError, match="sideways"):
        sparse_jacobian(np.sin, np.ones(2), mode="sideways")
    with pytest.raises(ConversionError, match="plain numbers"):
        grad(lambda x: sparse_hessian(rosenbrock, x).sum())(np.ones(3))
    with pytest.raises(ConversionError, match="on the host"):
        sparse_hessian(rosenbrock, StrictArray(np.ones(3)))
    with pytest.raises(ShapeError, match="nests"):
        sparse_jacobian(lambda p: p["a"], {"a": np.ones(2), "b": np.ones(2)})
    with pytest.raises(ShapeError, match="scalar"):
        sparse_hessian(lambda x: x, np.ones(2))
    monkeypatch.setattr(patterns, "MOST_ENTRIES", 1000)
    with pytest.raises(ArgumentError, match="not sparse"):
        sparse_hessian(lambda x: np.sum(x) ** 2, np.ones(100))


# --- patterns are safe ----------------------------------------------------------------------------------------------
def _flat(primitive, args, params):
    """The primitive as a function of all its arguments in line, but for those that have no derivative."""
    partials = PARTIALS.get(primitive.name, ())
    free = [k for k in range(len(args)) if not partials or not getattr(partials[k], "refuses", False)]
    everything, args = args, [args[k] for k in free]
    sizes = np.cumsum([0, *map(np.size, args)])

    def f(z):
        parts = [z[lo:hi].reshape(np.shape(a)) for lo, hi, a in zip(sizes[:-1], sizes[1:], args, strict=True)]
        full = list(everything)
        for k, part in zip(free, parts, strict=True):
            full[k] = part
        return np.ravel(primitive(*full, **params))

    return f, np.concatenate([np.ravel(a) for a in args])


@pytest.mark.parametrize("name", NAMES)
def test_the_pattern_of_every_primitive_holds_its_derivatives(name):
    rng = np.random.default_rng(6)
    primitive = PRIMITIVES[name]
    for args, params in primitive.examples(rng):
        f, z = _flat(primitive, args, params)
        dense = jacobian(f)(z)
        plan = sparse_jacobian_plan(f, z)
        assert not np.any((dense != 0) & ~plan.pattern.toarray())
        np.testing.assert_allclose(plan(z).toarray(), dense, rtol=1e-11, atol=1e-11)
        if name in PARTIALS:
            continue  # all of them have one structure; that of their second derivatives is tested with random functions
        weights = rng.normal(size=len(dense))
        scalar = lambda z, f=f, weights=weights: np.sum(weights * f(z))
        dense = hessian(scalar)(z)
        np.testing.assert_allclose(sparse_hessian(scalar, z).toarray(), dense, rtol=1e-9, atol=1e-9 * (1 + np.abs(dense).max()))  # fmt: skip  # noqa: E501


# What the pattern of a primitive must not hold: it would be safe, but of no use.
TIGHT = {
    "elementwise": (lambda x: np.sin(x) * x, 6),
    "broadcast": (lambda x: (x[:2, None] * x[2:5]).ravel(), 12),
    "slices": (lambda x: x[::2] * x[1::2], 6),
    "fancy": (lambda x: x[[0, 0, 3]], 3),
    "reshape and transpose": (lambda x: x.reshape(2, 3).T.ravel(), 6),
    "axis sum": (lambda x: x.reshape(2, 3).sum(axis=0), 6),
    "axis max": (lambda x: np.max(x.reshape(2, 3), axis=1), 6),
    "concatenate": (lambda x: np.concatenate([x[3:], x[:2] ** 2, np.ones(2)]), 5),
    "stack": (lambda x: np.stack([x[0], 1.0, x[1] * x[2]]), 3),
    "assignment": (lambda x: _assigned(x), 6),
    "matmul": (lambda x: (x.reshape(2, 3) @ np.ones((3, 2))).ravel(), 12),
    "two products": (lambda x: np.einsum("ij,ij->i", x.reshape(2, 3), x.reshape(2, 3)), 6),
    "cumsum of columns": (lambda x: np.cumsum(x.reshape(2, 3), axis=0).ravel(), 12),
    "matrices": (lambda x: np.linalg.det(np.exp(x[:4].reshape(2, 2))[None] + np.eye(2)), 4),
    "no dependence": (lambda x: np.floor(x) + np.ones(6), 0),
}


def _assigned(x):
    s = x * 1.0
    s[0] = x[1] * x[2]
    s[1:3] = 0.0
    s[5] += x[4]
    return s


@pytest.mark.parametrize("name", TIGHT)
def test_patterns_are_tight(name):
    f, entries = TIGHT[name]
    x = np.linspace(0.5, 1.5, 6)
    plan = sparse_jacobian_plan(f, x)
    assert plan.pattern.nnz == entries
    np.testing.assert_allclose(plan(x).toarray(), jacobian(f)(x), rtol=1e-12, atol=1e-12)


def _program(data):
    """A random function of a vector made of sparse pieces."""
    n = data.draw(st.integers(2, 12))
    terms = data.draw(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1, max_size=8)
    )

    def f(x):
        s = np.sin(x) * 0.5
        total = 0.0
        for kind, i, j in terms:
            if kind == 0:
                total = total + x[i] * s[j]
            elif kind == 1:
                s[i] = x[j] ** 2
            elif kind == 2:
                s[min(i, j) : max(i, j)] *= x[i]
            elif kind == 3:
                total = total + np.sum(np.roll(s, i)[:2] ** 3) * x[j]
            elif x[i] > 0:
                total = total + np.exp(0.1 * x[[i, j]]).prod()
        return total + np.sum(s * s[::-1])

    return f, n


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_random_sparse_functions_agree_with_dense(data):
    f, n = _program(data)
    x = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=n)
    _agrees_with_dense(f, x)
    g = lambda x: grad(f)(x)[::2]
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(sparse_jacobian(g, x, mode=mode).toarray(), jacobian(g)(x), rtol=1e-11, atol=1e-11)


# --- colourings are valid -------------------------------------------------------------------------------------------
@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 30), st.floats(0.0, 0.5), st.integers(0, 1000))
def test_colourings_of_random_patterns(n, density, seed):
    rng = np.random.default_rng(seed)
    dense = rng.uniform(size=(n, n)) < density
    colours = colour_columns(sparse.csr_array(dense))
    for row in dense:
        met = colours[row]
        assert len(set(met)) == len(met)
    dense |= dense.T
    colours = star_colouring(sparse.csr_array(dense))
    edges = [(i, j) for i in range(n) for j in range(n) if i != j and dense[i, j]]
    for i, j in edges:
        assert colours[i] != colours[j]
        for k in np.flatnonzero(dense[j]):
            for m in np.flatnonzero(dense[k]):
                if k not in (i, j) and m not in (i, j, k):
                    assert len({colours[v] for v in (i, j, k, m)}) > 2


def test_colourings_of_known_patterns():
    n = 200
    path = sparse.diags_array([np.ones(n - 1), np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1]).tocsr()
    assert star_colouring(path).max() + 1 == 3
    assert colour_columns(path).max() + 1 == 3
    arrow = sparse.csr_array(np.eye(n) + (np.arange(n) == n - 1) + (np.arange(n) == n - 1)[:, None])
    assert star_colouring(arrow).max() + 1 == 2
    assert colour_columns(arrow).max() + 1 == n
