"""Programs against the tape: every kind of pass, window, sum and store, at sizes around whole vectors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import probad as pb
from probad import numerics
from probad.codegen.compiled import Trace
from probad.codegen.dispatch import CARE, OK
from probad.ir.capture import capture
from probad.ir.passes import prepare, prepare_gradient

RNG = np.random.default_rng(0)
W = RNG.normal(size=(7, 5))
V = RNG.normal(size=40)
QUADRATIC = RNG.normal(size=(70, 70))


def native(fn, z):
    """Value and gradient of compiled code, made at one point and called at another."""
    graph, _ = capture(fn, z + 0.01)
    trace = Trace.of(prepare_gradient(prepare(graph)), apart=True)
    context = trace.context()
    value, grad = np.full(1, np.nan), np.full(len(z), np.nan)
    status = context.run(z.ctypes.data, value.ctypes.data, grad.ctypes.data)
    if context.failed:
        raise context.failed[0]
    assert status == 0
    return value[0], grad


def check(fn, n, tolerance=1e-12, scale=0.5):
    z = scale * np.random.default_rng(n).normal(size=n)
    with np.errstate(all="ignore"):
        expected, slope = pb.value_and_grad(fn)(z)
    value, grad = native(fn, z)
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(grad, slope, rtol=tolerance, atol=tolerance * (1 + np.max(np.abs(slope))))


def matrix(z, *shape):
    return z[: int(np.prod(shape))].reshape(shape)


def spd(z, n):
    a = matrix(z, n, n)
    return a @ a.T + n * np.eye(n)


def written(z):
    out = np.zeros_like(z)
    out[1:7:2] = z[:3] * 2
    out[0] = z[5]
    out[[2, 4, 2]] = z[1:4]
    return np.sum(out * np.arange(1.0, len(z) + 1))


def viewed(z):
    out = np.zeros_like(z)
    out[:] = np.flip(z)
    half = out.reshape(2, -1)[1]
    half *= 3.0
    backwards = out[::-1]
    backwards[0] = z[0] ** 2
    return np.sum(out * np.arange(1.0, len(z) + 1))


def chained(z):
    total = z[0]
    for i in range(1, len(z)):
        total = np.tanh(total) * z[i] + 0.3
    return total


CASES = {
    "sum of squares": (lambda z: np.sum(z**2), 1),
    "a long one": (lambda z: np.sum(np.sin(z) * z), 203),
    "mean and variance": (lambda z: np.mean(z) * np.var(z), 70),
    "maximum and minimum": (lambda z: np.max(z) * 2 - np.min(z) + np.max(np.abs(z)), 67),
    "product": (lambda z: np.prod(1 + 0.1 * z), 9),
    "columns": (lambda z: np.sum(np.sum(matrix(z, 7, 5) * W, axis=0) ** 3), 35),
    "rows": (lambda z: np.sum(np.sum(matrix(z, 7, 5) * W, axis=1) ** 3), 35),
    "rows of a large matrix": (lambda z: np.sum(np.sum(matrix(z, 20, 37), axis=1) ** 3), 740),
    "columns of a large matrix": (lambda z: np.sum(np.sum(matrix(z, 20, 37), axis=0) ** 3), 740),
    "the middle axis": (lambda z: np.sum(np.sum(matrix(z, 4, 5, 6), axis=1) ** 2), 120),
    "outer axes": (lambda z: np.sum(np.sum(matrix(z, 4, 5, 6), axis=(0, 2)) ** 2), 120),
    "kept axes": (lambda z: np.sum((matrix(z, 6, 9) - np.mean(matrix(z, 6, 9), axis=1, keepdims=True)) ** 4), 54),
    "largest by row": (lambda z: np.sum(np.max(matrix(z, 6, 13), axis=1) ** 2), 78),
    "logsumexp": (lambda z: numerics.logsumexp(z * 3) + np.sum(numerics.logsumexp(matrix(z, 5, 14), axis=1)), 70),
    "softmax": (lambda z: np.sum(numerics.softmax(matrix(z, 5, 14), axis=1)[:, 0] ** 2), 70),
    "broadcasting": (lambda z: np.sum(np.tanh(z[:9, None] - z[9:]) ** 2), 20),
    "three axes": (lambda z: np.sum(np.exp(z[:3, None, None] * z[3:8, None] * z[8:])), 15),
    "transposed": (lambda z: np.sum(matrix(z, 5, 7).T * W), 35),
    "backwards": (lambda z: np.sum(z[::-1] * np.arange(1.0, len(z) + 1)) + z[::-2][1], 30),
    "every third": (lambda z: np.sum(z[1::3] ** 2 * z[:-1:3][: len(z[1::3])]), 100),
    "rolled and padded": (lambda z: np.sum(np.pad(np.roll(z, 3), 2) * np.roll(np.pad(z, 2), 1)), 20),
    "stacked": (lambda z: np.sum(np.stack([z[:5], z[5:10] ** 2], axis=1) ** np.array([1.0, 2.0])), 10),
    "joined": (lambda z: np.sum(np.concatenate([z[3:], np.ones(2), z[:3] ** 2]) ** 2 * V[:12]), 10),
    "written": (written, 8),
    "written through views": (viewed, 8),
    "gathered": (lambda z: np.sum(np.exp(z[[3, 1, 1, 0, 2]]) * V[:5]), 4),
    "gathered rows": (lambda z: np.sum(matrix(z, 4, 3)[[3, 1, 1, 0, 2]] ** 3), 12),
    "gathered pairs": (lambda z: np.sum(matrix(z, 4, 3)[[3, 1, 1], [0, 2, 2]] ** 3), 12),
    "masked by data": (lambda z: np.sum(z[V[:20] > 0] ** 3) + np.sum(np.where(V[:20] > 0, z, z**2)), 20),
    "running sum": (lambda z: np.sum(np.cumsum(z) ** 2), 90),
    "running sum by row": (lambda z: np.sum(np.cumsum(matrix(z, 4, 6), axis=1) ** 2), 24),
    "sorted": (lambda z: np.sum(np.sort(z) * np.arange(len(z))), 12),
    "interpolated": (lambda z: np.sum(np.interp(np.abs(z), np.linspace(0, 3, 9), V[:9])), 10),
    "matrix times vector": (lambda z: np.sum((matrix(z, 6, 4) @ z[24:28]) ** 2), 28),
    "vector times matrix": (lambda z: np.sum((z[24:30] @ matrix(z, 6, 4)) ** 2), 30),
    "small product": (lambda z: np.sum((matrix(z, 3, 4) @ matrix(z[12:], 4, 5)) ** 2), 32),
    "large product": (lambda z: np.sum((matrix(z, 20, 20) @ matrix(z, 20, 20).T) ** 2), 400),
    "a matrix of one column": (lambda z: np.sum((matrix(z, 9, 12) @ z[:12, None]) ** 2), 108),
    "a matrix of one row": (lambda z: np.sum((z[None, :9] @ matrix(z, 9, 12)) ** 2), 108),
    "a quadratic form": (lambda z: z @ QUADRATIC @ z, 70),
    "batch of products": (lambda z: np.sum((matrix(z, 3, 2, 4) @ matrix(z, 3, 4, 2)) ** 2), 24),
    "einsum": (lambda z: np.einsum("ij,kj,i->", matrix(z, 3, 4), matrix(z[5:], 2, 4), z[:3]), 13),
    "outer and trace": (lambda z: np.trace(np.outer(z[:4], z[4:])) + np.sum(np.kron(z[:2], z[2:4])), 8),
    "Cholesky": (lambda z: np.sum(np.log(np.diag(np.linalg.cholesky(spd(z, 5))))), 25),
    "Cholesky, all elements": (lambda z: np.sum(np.linalg.cholesky(spd(z, 9)) ** 3), 81),
    "triangular": (
        lambda z: np.sum(numerics.solve_triangular(np.linalg.cholesky(spd(z, 5)), z[:5], lower=True) ** 2), 25),
    "triangular, transposed": (
        lambda z: np.sum(numerics.solve_triangular(
            np.linalg.cholesky(spd(z, 4)), matrix(z, 4, 3), lower=True, trans=True) ** 2), 16),
    "upper triangular": (
        lambda z: np.sum(numerics.solve_triangular(np.linalg.cholesky(spd(z, 4)).T, z[:4], lower=False) ** 2), 16),
    "solve": (lambda z: np.sum(np.linalg.solve(spd(z, 4), z[:4]) ** 2), 16),
    "inverse and determinant": (lambda z: np.sum(np.linalg.inv(spd(z, 3))) + np.linalg.slogdet(spd(z, 3))[1], 9),
    "eigenvalues": (lambda z: np.sum(np.linalg.eigvalsh(spd(z, 3)) ** 2), 9),
    "special functions": (
        lambda z: np.sum(special.gammaln(1 + z**2) + special.erf(z) + special.ndtr(z) + special.expit(z))
        + np.sum(np.log1p(z**2)), 37),
    "a function of SciPy's": (lambda z: np.sum(special.gammainc(1.5, 1 + z**2) + special.j0(z)), 6),
    "a gradient inside": (lambda z: np.sum(pb.grad(lambda x: np.sum(np.tanh(x) ** 3))(z) ** 2), 11),
    "one's own derivative": (
        lambda z: np.sum(pb.custom_derivative(np.sin, vjp_fn=lambda y, args, g: (g * np.cos(args[0]),))(z) ** 2), 6),
    "stopped": (lambda z: np.sum(z * pb.stop_gradient(z**2)), 6),
    "a chain": (chained, 50),
    "a short chain": (chained, 3),
    "data only": (lambda z: np.sum(z) * 0.0 + np.sum(V), 2),
    "one coordinate": (lambda z: -(z[0] ** 2), 3),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_programs_agree_with_the_tape(name):
    fn, n = CASES[name]
    check(fn, n)


@pytest.mark.parametrize("n", [64, 65, 79, 80, 81, 127, 200, 1001])
@pytest.mark.parametrize("width", [1, 3, 8, 9, 13])
def test_generalised_linear_models(n, width):
    rng = np.random.default_rng(n + width)
    x, y = rng.normal(size=(n, width)), (rng.uniform(size=n) < 0.5).astype(float)
    check(lambda b: np.sum(y * (x @ b) - np.logaddexp(0.0, x @ b)) - np.sum(b**2), width)
    check(lambda b: np.sum(special.log_expit(np.where(y > 0, 1.0, -1.0) * (b @ x.T))), width)
    check(lambda z: -np.sum((y - x @ z[1:]) ** 2) * np.exp(-z[0]), width + 1)
    check(lambda b: np.sum(np.sin(y @ x * b)), width)


SUMS_OF_LOGISTIC_TERMS = {
    "logaddexp": lambda z: np.sum(2.0 * z - np.logaddexp(0.0, z)),
    "logaddexp alone": lambda z: -np.sum(np.logaddexp(0.0, z)),
    "log_expit": lambda z: np.sum(special.log_expit(z) + z),
    "two of them": lambda z: np.sum(special.log_expit(z) - np.logaddexp(z, 0.0)),
}


@pytest.mark.parametrize("what", SUMS_OF_LOGISTIC_TERMS)
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 800.0, -800.0, 0.0, -0.0, 5e-324, -1e300])
def test_sums_of_logistic_terms_where_one_is_odd(what, odd):
    fn = SUMS_OF_LOGISTIC_TERMS[what]
    z = np.random.default_rng(0).normal(size=100)
    trace = Trace.of(prepare_gradient(prepare(capture(fn, z)[0])), apart=True)
    context = trace.context()
    for place in (0, 50, 99):
        z[place], kept = odd, z[place]
        value, grad = np.empty(1), np.empty(100)
        status = context.run(z.ctypes.data, value.ctypes.data, grad.ctypes.data)
        with np.errstate(all="ignore"):
            expected, slope = pb.value_and_grad(fn)(z)
        assert (status == OK) == bool(np.isfinite(expected) and np.isfinite(slope).all())
        if status == OK:
            np.testing.assert_allclose(value[0], expected, rtol=1e-13)
            np.testing.assert_allclose(grad, slope, rtol=1e-13, atol=1e-15)
        z[place] = kept


@pytest.mark.parametrize("n_groups", [2, 7, 85])
@pytest.mark.parametrize("n", [65, 300, 919])
def test_grouped_observations(n_groups, n):
    rng = np.random.default_rng(n_groups + n)
    group, other = rng.integers(0, n_groups, n), rng.integers(0, 5, n)
    x, y = rng.normal(size=n), rng.normal(size=n)

    def model(z):
        level, slope, offset = z[:n_groups], z[n_groups : 2 * n_groups], z[2 * n_groups : 2 * n_groups + 5]
        eta = level[group] + slope[group] * x + offset[other]
        return -0.5 * np.sum(((y - eta) / np.exp(z[-1])) ** 2) - n * z[-1] - np.sum(np.logaddexp(0.0, eta))

    check(model, 2 * n_groups + 6)


@pytest.mark.parametrize("items", [4, 5, 40])
def test_crossed_observations(items):
    person, item = np.repeat(np.arange(30), items), np.tile(np.arange(items), 30)
    y = (np.random.default_rng(items).uniform(size=30 * items) < 0.5).astype(float)

    def model(z):
        eta = np.exp(z[30 + items :])[item] * (z[:30][person] - z[30 : 30 + items][item])
        return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.sum(z**2)

    check(model, 30 + 2 * items)


def test_no_compiler_is_asked_for_what_data_are():
    """The text of a program does not change with the data."""
    texts = []
    for seed in (1, 2):
        x = np.random.default_rng(seed).normal(size=(100, 3))
        graph, _ = capture(lambda b, x=x: np.sum((x @ b) ** 2) + np.sum(b * x[0]), np.ones(3))
        texts.append(Trace.of(prepare_gradient(prepare(graph)), apart=True).text.text)
    assert texts[0] == texts[1]


ROOTS = {
    "vectors": lambda z: np.sum(np.sqrt(z)),
    "numbers first": lambda z: 2 * np.sqrt(z[0]) + 3 * np.sqrt(z[1]) + np.sum(np.sqrt(z[2:])),
    "numbers last": lambda z: 2 * np.sqrt(z[-1]) + np.sum(np.sqrt(z[:-1])),
    "a number in the middle": lambda z: np.sum(np.sqrt(z[:2])) + 2 * np.sqrt(z[2]) + np.sum(z[3:] ** 0.5),
    "a loop": lambda z: sum((k + 1.0) ** 2 % 3 * np.sqrt(v) + np.sqrt(v) for k, v in enumerate(z)),
}


@pytest.mark.parametrize("n", [3, 6, 10, 75, 300])
@pytest.mark.parametrize("name", ROOTS)
def test_a_slope_that_is_not_finite_is_seen_wherever_it_is(name, n):
    z = np.linspace(1.0, 2.0, n)
    trace = Trace.of(prepare_gradient(prepare(capture(ROOTS[name], z)[0])), apart=True)
    context, value, grad = trace.context(), np.empty(1), np.empty(n)
    for k in (None, *range(n)):
        at = np.where(np.arange(n) == k, 0.0, z)
        assert context.run(at.ctypes.data, value.ctypes.data, grad.ctypes.data) == (OK if k is None else CARE)
        assert np.isfinite(value[0]) and np.flatnonzero(~np.isfinite(grad)).tolist() == ([] if k is None else [k])


# --- ends of vectors that were written number by number ---------------------------------------------------------------
def _energy(n):
    """The survey's Helmholtz energy: its gradient reads a product of a matrix just after its rows were written."""
    rng = np.random.default_rng(n)
    a, b = rng.uniform(0.1, 1.0, (n, n)), rng.uniform(0.1, 0.5, n) / n
    return lambda x: np.sum(np.log((2.0 + x) / (3.0 - b @ x))) - x @ a @ x / (4.0 + b @ x)


@pytest.mark.parametrize("n", range(8, 24))
def test_a_product_with_a_matrix_is_read_to_its_end(n):
    check(_energy(n), n)


def test_what_was_written_number_by_number_is_read_so_at_its_end():
    z = np.linspace(0.1, 0.2, 10)
    graph = prepare_gradient(prepare(capture(_energy(10), z)[0]))
    assert "load volatile double" in Trace.of(graph, apart=True).text.text
    graph = prepare_gradient(prepare(capture(_energy(12), np.ones(12))[0]))
    assert "load volatile double" not in Trace.of(graph, apart=True).text.text
