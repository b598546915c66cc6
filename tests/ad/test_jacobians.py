"""linearize, jacobian, hessian, hvp, arguments by name, and vector calculus."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from probad.ad import (
    curl,
    directional_derivative,
    divergence,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    laplacian,
    linearize,
    value_and_grad,
    vjp,
    vmap,
)
from probad.ad.box import Box
from probad.ad.jacobians import PAIRINGS, Tape
from probad.errors import ArgumentError, ShapeError
from tests.tolerances import EXACT

RNG = np.random.default_rng(3)
A = RNG.normal(size=(4, 3))


def field(x):
    """From three numbers to four."""
    return np.tanh(A @ x) * np.sum(x**2)


def energy(x):
    """A scalar with a full Hessian."""
    return np.sum(np.exp(x) * np.roll(x, 1) ** 2) + np.prod(x) / (1 + x[0] ** 2)


@pytest.fixture
def counted(monkeypatch):
    """How many products with the Jacobian are taken from either side; a batch counts once for each element."""
    counts = {"push": 0, "pull": 0}

    def count(name):
        method = getattr(Tape, name)

        def counting(self, directions):
            d = directions[0]
            counts[name] += d.owner.size if type(d) is Box else 1
            return method(self, directions)

        monkeypatch.setattr(Tape, name, counting)

    count("push")
    count("pull")
    return counts


# --- linearize ------------------------------------------------------------------------------------------------------
def test_linearize_runs_the_function_once():
    calls = []

    def f(x, p):
        calls.append(1)
        return {"y": np.sin(x) * p["a"], "z": x.sum()}

    x, p = RNG.normal(size=3), {"a": 2.0}
    y, f_jvp = linearize(f, x, p)
    for _ in range(3):
        v, q = RNG.normal(size=3), {"a": RNG.normal()}
        expected_y, expected = jvp(f, (x, p), (v, q))
        calls.clear()
        found = f_jvp(v, q)
        assert not calls
        np.testing.assert_allclose(found["y"], expected["y"], rtol=EXACT)
        np.testing.assert_allclose(found["z"], expected["z"], rtol=EXACT)
        np.testing.assert_allclose(y["y"], expected_y["y"], rtol=EXACT)


def test_linearize_nests_and_checks():
    _, f_jvp = linearize(np.sin, 0.5)
    assert f_jvp(2.0) == pytest.approx(2 * np.cos(0.5))
    assert grad(lambda t: f_jvp(t) ** 2)(1.0) == pytest.approx(2 * np.cos(0.5) ** 2)
    assert grad(lambda x: linearize(np.sin, x)[1](1.0))(0.5) == pytest.approx(-np.sin(0.5))
    np.testing.assert_allclose(vmap(f_jvp)(np.arange(3.0)), np.arange(3.0) * np.cos(0.5))
    assert linearize(lambda x: 3.0, 1.0)[1](1.0) == 0.0
    with pytest.raises(ArgumentError, match="2 tangents for 1"):
        f_jvp(1.0, 2.0)
    with pytest.raises(ShapeError, match="position 0"):
        f_jvp(np.ones(2))


def test_the_dot_product_identity():
    """<J v, w> = <v, J' w>."""
    x = RNG.normal(size=3)
    _, pullback = vjp(field, x)
    _, push = linearize(field, x)
    for _ in range(20):
        v, w = RNG.normal(size=3), RNG.normal(size=4)
        left, right = push(v) @ w, v @ pullback(w)[0]
        assert abs(left - right) <= 1e-13 * max(1.0, np.abs(push(v)) @ np.abs(w))


# --- jacobian -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_jacobian_against_differences(mode):
    x = RNG.normal(size=3)
    h = 1e-6
    differences = np.stack([(field(x + h * e) - field(x - h * e)) / (2 * h) for e in np.eye(3)], axis=-1)
    np.testing.assert_allclose(jacobian(field, mode=mode)(x), differences, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("n", "m"), [(3, 7), (7, 3), (50, 20), (2, 2)])
def test_the_number_of_sweeps(counted, n, m):
    """A full Jacobian takes n products from the right or m from the left; auto takes the smaller number."""
    weights = RNG.normal(size=(m, n))
    f = lambda x: np.sin(weights @ x)
    for mode, pushes, pulls in (("forward", n, 0), ("reverse", 0, m), ("auto", *((n, 0) if n <= m else (0, m)))):
        counted.update(push=0, pull=0)
        j = jacobian(f, mode=mode)(np.ones(n))
        assert counted == {"push": pushes, "pull": pulls}
        np.testing.assert_allclose(j, np.cos(weights @ np.ones(n))[:, None] * weights, rtol=EXACT)


def test_large_arrays_go_one_by_one_and_give_the_same():
    x = RNG.normal(size=3)
    f = lambda x: np.concatenate([np.sin(x[0] * np.arange(20_000.0)) * x[1], x])
    j = jacobian(f)(x)
    np.testing.assert_allclose(j[:20_000, 1], np.sin(x[0] * np.arange(20_000.0)))
    np.testing.assert_array_equal(j[-3:], np.eye(3))


@dataclasses.dataclass
class Point:
    a: float
    b: np.ndarray


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_containers_and_matrices(mode):
    def f(p, scale):
        return {"m": p.b * p.a, "s": (np.sum(p.b) * scale,)}

    p = Point(2.0, np.ones((2, 2)))
    j = jacobian(f, mode=mode)(p, 3.0)
    np.testing.assert_array_equal(j["m"].a, np.ones((2, 2)))
    np.testing.assert_array_equal(j["m"].b, 2.0 * np.eye(4).reshape(2, 2, 2, 2))
    np.testing.assert_array_equal(j["s"][0].b, 3.0 * np.ones((2, 2)))
    first, second = jacobian(f, (1, 0), mode=mode)(p, 3.0)["s"][0]
    assert first == 4.0
    assert second.a == 0.0


def test_jacobian_of_matrix_functions():
    """d(A^-1) = -A^-1 dA A^-1."""
    a = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
    b = np.linalg.inv(a)
    np.testing.assert_allclose(jacobian(np.linalg.inv)(a), -np.einsum("ij,kl->iljk", b, b).swapaxes(0, 0), atol=1e-12)


def test_jacobian_nests():
    x = RNG.normal(size=3)
    third = jacobian(jacobian(grad(energy)))(x)
    for i, j, k in itertools.permutations(range(3)):
        assert third[i, j, k] == pytest.approx(third[0, 1, 2], rel=1e-10)
    points = RNG.normal(size=(5, 3))
    np.testing.assert_allclose(vmap(jacobian(field))(points), [jacobian(field)(p) for p in points], rtol=1e-11)
    np.testing.assert_allclose(grad(lambda x: np.sum(jacobian(field)(x) ** 2))(x), jacobian(lambda x: np.sum(jacobian(field, mode="forward")(x) ** 2))(x), rtol=1e-11)  # fmt: skip  # noqa: E501


def test_empty_and_constant():
    assert jacobian(lambda x: x)(np.zeros(0)).shape == (0, 0)
    assert jacobian(lambda x: np.ones(2))(np.zeros(0)).shape == (2, 0)
    np.testing.assert_array_equal(jacobian(lambda x: np.ones(2))(np.zeros(3)), np.zeros((2, 3)))


# --- hessian and hvp ------------------------------------------------------------------------------------------------
def test_hessian_in_all_pairings():
    x = RNG.normal(size=4)
    h = 1e-5
    differences = np.stack([(grad(energy)(x + h * e) - grad(energy)(x - h * e)) / (2 * h) for e in np.eye(4)])
    for mode in PAIRINGS:
        np.testing.assert_allclose(hessian(energy, mode=mode)(x), differences, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(hessian(energy)(x), hessian(energy)(x).T, rtol=EXACT, atol=EXACT)


def test_hessian_of_containers():
    h = hessian(lambda p: p["a"] ** 2 * np.sum(p["b"]))({"a": 3.0, "b": np.ones(2)})
    assert h["a"]["a"] == 4.0
    np.testing.assert_array_equal(h["a"]["b"], [6.0, 6.0])
    np.testing.assert_array_equal(h["b"]["b"], np.zeros((2, 2)))
    (aa, ab), (_, bb) = hessian(lambda a, b: a * b**2, (0, 1))(2.0, 3.0)
    assert (aa, ab, bb) == (0.0, 6.0, 4.0)


def test_hessian_vector_products_agree_in_every_pairing():
    x, v = RNG.normal(size=4), RNG.normal(size=4)
    products = [hvp(energy, x, v, mode=mode) for mode in PAIRINGS]
    for p in products:
        np.testing.assert_allclose(p, products[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(products[0], hessian(energy)(x) @ v, rtol=1e-11)
    p = {"a": 1.5, "b": np.ones(2)}
    for mode in PAIRINGS:
        found = hvp(lambda p: p["a"] ** 2 * np.sum(p["b"] ** 2), p, p, mode=mode)
        assert found["a"] == pytest.approx(2 * 2 * 1.5 + 4 * 1.5 * 2)


def test_modes_are_checked():
    for transform in (jacobian, hessian):
        with pytest.raises(ArgumentError, match="sideways"):
            transform(np.sin, mode="sideways")
    with pytest.raises(ArgumentError, match="forward-forward"):
        hvp(energy, np.ones(2), np.ones(2), mode="forward-forward")


# --- arguments by name ----------------------------------------------------------------------------------------------
def test_arguments_by_name():
    def f(mu, sigma, *, shift=0.0):
        return mu * sigma**2 + shift * mu

    assert grad(f, "sigma")(2.0, 3.0) == 12.0
    assert grad(f, "sigma")(2.0, sigma=3.0) == 12.0
    assert grad(f, ("shift", 0))(2.0, 3.0, shift=1.0) == (2.0, 10.0)
    assert value_and_grad(f, "mu")(2.0, 3.0) == (18.0, 9.0)
    assert jacobian(f, "sigma")(2.0, 3.0) == 12.0
    assert hessian(f, "sigma")(2.0, sigma=3.0) == 4.0
    with pytest.raises(ArgumentError, match="Did you mean 'sigma'"):
        grad(f, "sigm")(2.0, 3.0)
    with pytest.raises(ArgumentError, match="'shift' names no argument that was passed"):
        grad(f, "shift")(2.0, 3.0)


# --- vector calculus ------------------------------------------------------------------------------------------------
def test_directional_derivative():
    x, v = RNG.normal(size=3), RNG.normal(size=3)
    np.testing.assert_allclose(directional_derivative(field, x, v), jacobian(field)(x) @ v, rtol=EXACT)


def test_laplacian():
    x = RNG.normal(size=(2, 3))
    f = lambda x: np.sum(np.exp(x) * np.roll(x, 1) ** 2)
    trace = np.trace(hessian(lambda z: f(z.reshape(2, 3)))(x.ravel()))
    assert laplacian(f)(x) == pytest.approx(trace, rel=1e-12)
    np.testing.assert_allclose(laplacian(lambda x: np.stack([x[0] ** 2, x[1] ** 3]))(np.ones(2)), [2.0, 6.0])
    harmonic = lambda x: 1 / np.sqrt(np.sum(x**2))  # the potential of a charge in three dimensions
    assert abs(laplacian(harmonic)(np.array([0.3, -0.4, 1.2]))) < 1e-13
    assert grad(lambda x: laplacian(lambda x: np.sum(x**4))(x))(2.0) == pytest.approx(48.0)


def test_divergence_and_curl():
    def flow(x):
        return np.stack([x[1] * x[2], x[0] ** 2 * np.sin(x[1]), np.exp(x[0] * x[2])])

    x = RNG.normal(size=3)
    j = jacobian(flow)(x)
    assert divergence(flow)(x) == pytest.approx(np.trace(j), rel=1e-12)
    np.testing.assert_allclose(curl(flow)(x), [j[2, 1] - j[1, 2], j[0, 2] - j[2, 0], j[1, 0] - j[0, 1]], rtol=EXACT)
    assert abs(divergence(curl(flow))(x)) < 1e-12  # no curl has sources
    np.testing.assert_allclose(curl(grad(lambda x: np.sum(flow(x) ** 2)))(x), np.zeros(3), atol=1e-11)
    assert curl(lambda x: np.stack([x[0] * x[1], x[0] ** 3]))(np.array([2.0, 5.0])) == pytest.approx(12.0 - 2.0)
    points = RNG.normal(size=(4, 3))
    np.testing.assert_allclose(vmap(curl(flow))(points), [curl(flow)(p) for p in points], rtol=1e-11)
    np.testing.assert_allclose(vmap(divergence(flow))(points), [divergence(flow)(p) for p in points], rtol=1e-11)
    np.testing.assert_allclose(
        vmap(laplacian(energy))(points), [laplacian(energy)(p) for p in points], rtol=1e-10, atol=1e-10
    )


def test_fields_of_the_wrong_shape():
    with pytest.raises(ShapeError, match="divergence"):
        divergence(lambda x: np.sum(x))(np.ones(3))
    with pytest.raises(ShapeError, match="2 or 3"):
        curl(lambda x: x)(np.ones(4))
    with pytest.raises(ShapeError, match="nests"):
        divergence(lambda x: {"a": x, "b": x})(np.ones(3))
