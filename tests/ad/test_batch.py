"""vmap: axes, containers, control flow, writes in place, nesting, and what it refuses."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from scipy import special

from probad import numerics
from probad.ad import (
    checkpoint,
    curl,
    custom_derivative,
    divergence,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    laplacian,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)
from probad.ad.batching import BATCHERS, one_by_one
from probad.errors import ArgumentError, ConversionError, InPlaceError, LeakedValueError, ShapeError
from tests.ad.strict import StrictArray
from tests.tolerances import EXACT

X = np.random.default_rng(0).normal(size=(5, 3))


def _agrees(f, *args):
    np.testing.assert_allclose(vmap(f)(*args), [f(*row) for row in zip(*args, strict=True)], rtol=EXACT, atol=EXACT)


# --- axes and containers --------------------------------------------------------------------------------------------
def test_axes_of_arguments_and_results():
    a, b = X, np.random.default_rng(1).normal(size=(3, 4, 5))
    expected = np.stack([a[i] @ b[:, :, i] for i in range(5)])
    np.testing.assert_allclose(vmap(np.matmul, in_axes=(0, 2))(a, b), expected)
    np.testing.assert_allclose(vmap(np.matmul, in_axes=(0, -1), out_axes=1)(a, b), expected.T)
    found = vmap(np.matmul, in_axes=(None, 1), out_axes=-1)(a, b)
    np.testing.assert_allclose(found, np.einsum("ij,jbk->ikb", a, b))
    np.testing.assert_allclose(vmap(np.matmul, (0, None))(a, np.ones(3)), a.sum(axis=1))


@dataclasses.dataclass
class Pair:
    a: np.ndarray
    b: np.ndarray


def test_containers():
    def f(p, q):
        return {"sum": p["u"] + p["v"][0], "pair": (q.a * q.b, 1.0)}

    p, q = {"u": X[:, 0], "v": [X]}, Pair(X, X[:, 1])
    out = vmap(f)(p, q)
    np.testing.assert_array_equal(out["sum"], X[:, :1] + X)
    np.testing.assert_array_equal(out["pair"][0], X * X[:, 1:2])
    np.testing.assert_array_equal(out["pair"][1], np.ones(5))
    out = vmap(f, in_axes=({"u": None, "v": 0}, 0), out_axes={"sum": 1, "pair": (0, None)})({"u": 1.0, "v": [X]}, q)
    np.testing.assert_array_equal(out["sum"], (1.0 + X).T)
    assert out["pair"][1] == 1.0


def test_keyword_arguments_and_constants_are_the_same_for_all():
    np.testing.assert_array_equal(vmap(lambda x, *, k: x * k)(X, k=np.arange(3.0)), X * np.arange(3.0))
    np.testing.assert_array_equal(vmap(lambda x: np.ones(2))(X), np.ones((5, 2)))
    np.testing.assert_array_equal(vmap(lambda x: 3.0, out_axes=None)(X), 3.0)


def test_results_belong_to_the_caller():
    x = X.copy()
    y = vmap(lambda x: x)(x)
    y += 1.0
    np.testing.assert_array_equal(x, X)
    z = vmap(lambda x: np.ones(3))(x)
    z[0] = 5.0
    assert z[1, 0] == 1.0


# --- functions of all kinds -----------------------------------------------------------------------------------------
FUNCTIONS = {
    "arithmetic": lambda x: x / (1 + x**2) - 2.0 * x,
    "reductions": lambda x: np.sum(x) + np.mean(x * x) + np.max(x) - np.min(x, axis=0) + np.std(x),
    "special": lambda x: special.gammaln(np.exp(x)) + special.expit(x),
    "where": lambda x: np.where(x > 0, x, x * x),
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "sort": lambda x: np.sort(x) * np.arange(3),
    "argmax": lambda x: x[np.argmax(x)],
    "argsort": lambda x: np.take(x, np.argsort(x)),
    "mask as a weight": lambda x: np.sum(x, where=x > 0),
    "logic": lambda x: np.where((x > 0) & ~(x > 1) | (x < -1), x, 0.0),
    "any": lambda x: np.where(np.any(x > 1), x, -x),
    "nan_to_num": lambda x: np.nan_to_num(np.where(x > 0, x, np.nan) + np.where(x < -1, np.inf, x), posinf=2.0),
    "outer": lambda x: np.outer(x, x) @ x,
    "linear algebra": lambda x: np.linalg.cholesky(np.outer(x, x) + np.eye(3))[1],
    "triangular": lambda x: numerics.solve_triangular(np.eye(3) + np.tril(np.outer(x, x)), x),
    "one matrix": lambda x: numerics.solve_triangular(np.tri(3) + np.eye(3), x),
    "logsumexp": numerics.logsumexp,
    "norm": np.linalg.norm,
    "joining": lambda x: np.concatenate([x, np.ones(2), x[::-1], np.stack([x[0], 1.0])]),
    "iteration": lambda x: sum(v * k for k, v in enumerate(x)),
    "array of scalars": lambda x: np.exp(np.array([x[0], x[1] * x[2]])).sum(),
    "shapes": lambda x: x.reshape(3, 1).T.shape[1] * x[:, None].squeeze() + np.broadcast_to(x, (2, 3)).size,
    "fancy": lambda x: np.outer(x, x)[[0, 2, 0], :][:, [1, 1]],
    "separated fancy": lambda x: np.einsum("i,j,k->ijk", x, x, x)[[0, 1], :, [0, 2]],
    "einsum": lambda x: np.einsum("i,ij,j->", x, np.arange(9.0).reshape(3, 3), x),
    "astype": lambda x: (x > 0).astype(float) * x + np.floor(x).astype(int),
    "rounding": lambda x: np.round(x, 1) + np.trunc(x),
    "stop_gradient": lambda x: stop_gradient(x) * x,
    "linspace": lambda x: np.linspace(x[0], x[1], 4),
    "cumsum": lambda x: np.cumsum(x) + np.diff(x, n=1, axis=0)[0],
    "tri": lambda x: np.tril(np.outer(x, x)) + np.diag(x),
    "remainder": lambda x: x % 0.7,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap_is_a_loop(name):
    _agrees(FUNCTIONS[name], X)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_with_derivatives_in_every_order(name):
    def f(x):
        return np.sum(np.asarray(FUNCTIONS[name](x)) if isinstance(x, np.ndarray) else FUNCTIONS[name](x))

    v = np.array([0.3, -1.0, 0.5])
    _agrees(grad(f), X)
    _agrees(lambda x: jvp(f, (x,), (v,))[1], X)
    expected = np.stack([grad(f)(x) for x in X])
    np.testing.assert_allclose(grad(lambda x: np.sum(vmap(f)(x)))(X), expected, rtol=EXACT, atol=EXACT)
    tangents = np.tile(v, (5, 1))
    np.testing.assert_allclose(jvp(vmap(f), (X,), (tangents,))[1], expected @ v, rtol=1e-11, atol=1e-11)
    _agrees(lambda x: hvp(f, x, v), X)


def test_batches_nest():
    f = lambda x, y: np.sin(x) * y
    a, b = np.arange(3.0), np.arange(4.0)
    np.testing.assert_allclose(vmap(vmap(f, (None, 0)), (0, None))(a, b), np.sin(a)[:, None] * b)
    np.testing.assert_allclose(vmap(lambda x: vmap(lambda y: np.where(y > x, y, x))(b))(a), np.maximum(a[:, None], b))
    found = vmap(lambda x: vmap(lambda i: b[1:][[0, 1]] * x + np.take_along_axis(b, i, 0))(np.array([[0], [2]])))(a)
    expected = [[b[1:][[0, 1]] * x + b[[i]] for i in (0, 2)] for x in a]
    np.testing.assert_allclose(found, expected)
    # a derivative between the two batches
    np.testing.assert_allclose(vmap(lambda x: grad(lambda x: np.sum(vmap(f, (None, 0))(x, b)))(x))(a), np.cos(a) * 6)


def test_values_traced_outside_are_the_same_for_all():
    f = lambda c: np.sum(vmap(lambda x: c[0] * x + np.where(x > c[1], x, c[1]))(X[:, 0]))
    c = np.array([1.5, 0.1])
    value, g = value_and_grad(f)(c)
    assert value == pytest.approx(np.sum(1.5 * X[:, 0] + np.maximum(X[:, 0], 0.1)))
    np.testing.assert_allclose(g, [np.sum(X[:, 0]), np.sum(X[:, 0] <= 0.1)])


def test_integers_in_a_batch_are_differentiated_as_reals():
    np.testing.assert_allclose(vmap(grad(lambda x: x**-1))(np.arange(1, 4)), -1 / np.arange(1.0, 4.0) ** 2)


def test_functions_that_are_one_operation_keep_their_derivatives():
    @custom_derivative(jvp_fn=lambda y, args, tangents: 3.0 * tangents[0])
    def exp(x):  # named like a primitive that has a batching rule
        return np.round(x)

    again = checkpoint(lambda x: np.sum(np.exp(np.sin(x)) * x))
    x = X[:, 0]
    np.testing.assert_array_equal(vmap(exp)(x), np.round(x))
    np.testing.assert_array_equal(vmap(grad(exp))(x), np.full(5, 3.0))
    np.testing.assert_array_equal(grad(lambda x: np.sum(vmap(exp)(x)))(x), np.full(5, 3.0))
    _agrees(grad(again), X)
    np.testing.assert_allclose(grad(lambda x: np.sum(vmap(again)(x)))(X), vmap(grad(again))(X), rtol=EXACT)


def test_pullbacks_can_be_batched():
    _, pullback = vjp(lambda x: np.stack([x[0] * x[1], x[1] ** 2]), np.array([2.0, 3.0]))
    np.testing.assert_allclose(vmap(pullback)(np.eye(2))[0], [[3.0, 2.0], [0.0, 6.0]])


def test_the_branch_not_taken_does_not_spoil_gradients():
    f = lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 0.0)), 0.0)
    np.testing.assert_array_equal(vmap(grad(f))(np.array([4.0, 0.0, -1.0])), [0.25, 0.0, 0.0])
    g = lambda x: np.sum(np.prod(x) * np.linalg.norm(x))
    with_zeros = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    _agrees(grad(g), with_zeros)


# --- writes in place ------------------------------------------------------------------------------------------------
def _writes(x):
    s = np.zeros_like(x)
    head, tail = s[0:2], s.reshape(3, 1)[2]
    s[0] = x[1] ** 2
    head[1] = x[2] * x[0]
    tail += x[0]
    s[x < 0] = 0.5
    s[[0, 2]] *= 2.0
    return np.sum(head * 3.0) + np.sum(s * x) + np.prod(tail)


def test_writes_and_views_follow_numpy():
    expected = [_writes(x.copy()) for x in X]
    np.testing.assert_allclose(vmap(_writes)(X), expected, rtol=EXACT)
    np.testing.assert_allclose(vmap(grad(_writes))(X), [grad(_writes)(x) for x in X], rtol=EXACT)
    np.testing.assert_allclose(grad(lambda x: np.sum(vmap(_writes)(x)))(X), vmap(grad(_writes))(X), rtol=EXACT)


def test_a_view_of_a_transposed_batch():
    def f(x):
        t = x.T
        flat = t.reshape(-1)  # a copy, as in NumPy
        rows = t[0]  # a view
        x = x * 1.0
        t[0] = 7.0
        return np.sum(flat) + np.sum(rows) + x[0, 0]

    a = np.random.default_rng(2).normal(size=(4, 2, 3))
    np.testing.assert_allclose(vmap(f)(a), [f(x.copy()) for x in a])


def test_the_callers_array_is_not_written():
    x = X.copy()

    def f(x):
        x[0] = 9.0
        return np.sum(x)

    vmap(f)(x)
    np.testing.assert_array_equal(x, X)


# --- what is refused ------------------------------------------------------------------------------------------------
MISTAKES = {
    "if": (lambda x: x if x[0] > 0 else -x, ConversionError, "np.where"),
    "while": (lambda x: [x for _ in range(3) if np.all(x > 0)], ConversionError, "np.where"),
    "int": (lambda x: x[int(x[0])], ConversionError, "int"),
    "mask": (lambda x: np.sum(x[x > 0]), ConversionError, "np.where"),
    "mask write": (lambda x: x.__setitem__(x > 0, x[::-1]), ConversionError, "np.where"),
    "nonzero": (lambda x: np.nonzero(x)[0], ConversionError, "np.where"),
    "real index": (lambda x: x[x[0]], ConversionError, "index"),
    "plain array by a batched index": (lambda x: np.arange(3.0)[np.argmax(x)], ConversionError, "np.take_along_axis"),
    "plain array": (lambda x: np.zeros(3).__setitem__(0, x[0]), InPlaceError, "np.zeros_like"),
    "float": (lambda x: float(x[0]), ConversionError, "float"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_say_what_to_do(name):
    f, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words):
        vmap(f)(X)


def test_bad_axes():
    with pytest.raises(ShapeError, match=r"position 1.*\(\)"):
        vmap(np.add)(X, 1.0)
    with pytest.raises(ShapeError, match="different lengths: 5, 3"):
        vmap(np.add, (0, 1))(X, X)
    with pytest.raises(ShapeError, match="empty"):
        vmap(np.sin)(np.zeros((0, 2)))
    with pytest.raises(ArgumentError, match="2 entries"):
        vmap(np.add, (0, 1, 0))(X, X)
    with pytest.raises(ArgumentError, match="all None"):
        vmap(np.sin, None)(X)
    with pytest.raises(ArgumentError, match="out_axes=None"):
        vmap(np.sin, out_axes=None)(X)


def test_a_leaked_value_is_recognised():
    kept = []
    vmap(lambda x: kept.append(x) or x)(X)
    with pytest.raises(LeakedValueError):
        kept[0] + 1.0
    assert "batch" in repr(kept[0])


def test_what_has_no_rule_goes_one_by_one(monkeypatch):
    monkeypatch.delitem(BATCHERS, "cumsum")
    _agrees(np.cumsum, X)
    monkeypatch.setitem(BATCHERS, "exp", one_by_one)
    _agrees(np.exp, X)


# --- other array modules --------------------------------------------------------------------------------------------
DEVICE = {
    "value": (vmap(lambda x: np.sum(np.sin(x) * x)), X),
    "gradient": (vmap(grad(lambda x: np.sum(np.where(x > 0, x, 0.0) * x[0]))), X),
    "writes": (vmap(grad(lambda x: _written(x))), X),
    "index": (vmap(grad(lambda x: x[np.argmax(x)])), X),
    "jacobian, forward": (jacobian(np.sin, mode="forward"), X[:, 0]),
    "jacobian, reverse": (jacobian(np.sin, mode="reverse"), X[:, 0]),
    "hessian": (hessian(lambda x: np.sum(x * np.sin(x))), X[:, 0]),
    "laplacian": (laplacian(lambda x: np.sum(x * np.sin(x))), X[:, 0]),
    "divergence": (divergence(np.sin), X[:, 0]),
    "curl": (curl(lambda x: np.stack([x[1] * x[2], x[0], x[2]])), X[0]),
}


def _written(x):
    s = np.zeros_like(x)
    s[0] = x[1]
    s[1:] = x[:2] * 2
    return np.sum(s * x)


@pytest.mark.parametrize("name", DEVICE)
def test_data_stay_on_their_device(name):
    f, x = DEVICE[name]
    found = f(StrictArray(x))
    assert isinstance(found, StrictArray)
    np.testing.assert_allclose(found.data, f(x), rtol=EXACT, atol=EXACT)


# --- cost -----------------------------------------------------------------------------------------------------------
def test_a_batch_costs_about_one_call():
    """A thousand gradients of a scalar function at once: no more than forty times the price of one."""

    def f(x):
        for _ in range(10):
            x = np.sin(x) * x + 1.0
        return x

    def best(g, *args):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            g(*args)
            times.append(time.perf_counter() - start)
        return min(times)

    x = np.linspace(0.1, 1.0, 1000)
    assert best(vmap(grad(f)), x) < 40 * best(grad(f), 0.5)
