"""The geometry behind the Riemannian samplers: eigenvalues, SoftAbs and its derivatives, native code against Python."""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import pytest

from probad import grad, hessian
from probad.codegen.dispatch import SIGNATURE
from probad.density import LogDensity
from probad.errors import ArgumentError, InitializationError, ShapeError, StaleTraceError
from probad.mcmc import NUTS, RMHMC, ManifoldMALA, curvature, matrices, sample_chains
from probad.mcmc import workspace as w
from probad.mcmc.geometry import Geometry, PythonGeometry
from probad.mcmc.intrinsics import CONTRACTION, FIELD
from probad.mcmc.random import stream
from tests.mcmc.targets import Gaussian


def bent(z):
    """Three coordinates with curvature of both signs."""
    return -0.5 * (z[1] - 0.3 * z[0] ** 2) ** 2 / 0.2 - 0.1 * z[0] ** 2 - np.cosh(0.5 * z[2]) + np.sin(z[0] * z[2])


def fisher(z):
    """A positive definite matrix that depends on position."""
    a = np.array([[1.0, 0.2, 0.0], [0.2, 2.0, 0.1], [0.0, 0.1, 0.5]])
    return a + np.exp(0.3 * z[0]) * np.eye(3) + np.outer(z, z)


START = np.array([0.4, -0.7, 1.2])
MOMENTUM = np.array([0.8, -1.1, 0.3])
METRICS = {"softabs": (None, 2.0), "fisher": (fisher, 0.0)}


def _metric(z, metric_fn, softening):
    """G by LAPACK's eigenvectors of minus the Hessian."""
    if metric_fn is not None:
        return metric_fn(z)
    values, vectors = np.linalg.eigh(-np.asarray(hessian(bent)(z)))
    return vectors @ np.diag(values / np.tanh(softening * values)) @ vectors.T


def _at(z, metric_fn, softening):
    """The kernels' numbers with block 0 at z."""
    geometry = Geometry(LogDensity.from_function(bent, 3), metric_fn)
    algorithm = RMHMC(metric="fisher", metric_fn=metric_fn) if metric_fn else RMHMC(softening=softening)
    space = algorithm.allocate(3, draws=1, warmup=0, random=stream(0, 0))
    point = curvature.block(0, 3)
    space.rows[point] = z
    rows, scalars, counts, *_ = space.to_lists()
    address = PythonGeometry(geometry)
    assert curvature.locate(address, 0, rows, scalars, counts, point, 3) == 0
    return address, rows, scalars, counts, point


def _row(rows, k):
    return np.array(rows[3 * k : 3 * k + 3])


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 20])
def test_jacobi_diagonalises(n):
    rng = np.random.default_rng(n)
    for scale in (1.0, 1e-8, 1e8):
        a = scale * rng.normal(size=(n, n))
        a = a + a.T
        array = np.concatenate([a.ravel(), np.zeros(n * n)]).tolist()
        matrices.diagonalise(array, 0, n * n, n)
        values = np.array(array[: n * n]).reshape(n, n).diagonal()
        vectors = np.array(array[n * n :]).reshape(n, n)
        np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(a), atol=1e-13 * scale * n)
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(n), atol=1e-13)
        np.testing.assert_allclose(vectors.T @ np.diag(values) @ vectors, a, atol=1e-13 * scale * n)


def test_a_diagonal_matrix_stays():
    array = [*np.diag([3.0, 0.0, 3.0]).ravel(), *np.zeros(9)]
    matrices.diagonalise(array, 0, 9, 3)
    assert array == [*np.diag([3.0, 0.0, 3.0]).ravel(), *np.eye(3).ravel()]


@pytest.mark.parametrize("x", [0.0, 1e-9, 0.003, 0.00999, 0.01001, 0.4, 3.0, 40.0, 1e5])
@pytest.mark.parametrize("softening", [1.0, 7.0])
def test_softabs_and_its_derivative(x, softening):
    mp = pytest.importorskip("mpmath")
    mp.mp.dps = 40

    def exact(t):
        return t * mp.coth(softening * t) if t else mp.mpf(1) / softening

    assert curvature.softened(x, softening) == pytest.approx(float(exact(mp.mpf(x))), rel=1e-14)
    assert curvature.softened(-x, softening) == curvature.softened(x, softening)
    slope = float(mp.diff(exact, mp.mpf(x))) if x else 0.0
    assert curvature.rate(x, softening) == pytest.approx(slope, rel=1e-10, abs=1e-16)
    assert curvature.rate(-x, softening) == -curvature.rate(x, softening)


@pytest.mark.parametrize(("a", "b"), [(1.0, 2.0), (0.5, 0.5), (1.0, 1.0 + 1e-7), (-0.3, 0.3), (-2.0, 5.0)])
def test_ratios_of_differences(a, b):
    f = [curvature.softened(x, 2.0) for x in (a, b)]
    exact = (f[0] - f[1]) / (a - b) if abs(a - b) > 1e-3 else curvature.rate(a, 2.0)
    assert curvature.ratio(a, b, *f, 2.0) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_the_metric_is_that_of_its_definition(name):
    metric_fn, softening = METRICS[name]
    _, rows, _, _, point = _at(START, metric_fn, softening)
    g = _metric(START, metric_fn, softening)
    vector, out, scratch = w.MOMENTUM, w.LEFT_MOMENTUM, w.LEFT_FORCE
    rows[3 * vector : 3 * vector + 3] = MOMENTUM.tolist()
    for power in (1.0, -1.0):
        rows[3 * out : 3 * out + 3] = [0.0, 0.0, 0.0]
        curvature.to_eigenvectors(rows, point, vector, scratch, power, 3)
        curvature.from_eigenvectors(rows, point, scratch, out, 0.0, 1.0, 3)
        expected = g @ MOMENTUM if power == 1.0 else np.linalg.solve(g, MOMENTUM)
        np.testing.assert_allclose(_row(rows, out), expected, rtol=1e-10)
    assert curvature.log_volume(rows, point, 3) == pytest.approx(0.5 * np.linalg.slogdet(g)[1], rel=1e-10)
    assert rows[3 * curvature.end_of(point, 3)] == pytest.approx(bent(START))
    np.testing.assert_allclose(_row(rows, point + curvature.SLOPE), grad(bent)(START), rtol=1e-12)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("z", [START, np.array([1.5, 0.1, -0.4])], ids=str)
def test_the_force_is_the_derivative_of_the_hamiltonian(name, z):
    metric_fn, softening = METRICS[name]
    address, rows, scalars, counts, point = _at(z, metric_fn, softening)
    rows[3 * w.MOMENTUM : 3 * w.MOMENTUM + 3] = MOMENTUM.tolist()
    status = curvature.force(address, 0, rows, scalars, counts, point, w.MOMENTUM, w.LEFT_FORCE, w.RIGHT_FORCE, 3)
    assert status == 0

    def hamiltonian(q):
        g = _metric(q, metric_fn, softening)
        return -bent(q) + 0.5 * np.linalg.slogdet(g)[1] + 0.5 * MOMENTUM @ np.linalg.solve(g, MOMENTUM)

    h = 1e-4
    stencil = {-2: 1.0, -1: -8.0, 1: 8.0, 2: -1.0}  # five points: the error is of order h^4
    expected = [sum(c * hamiltonian(z + k * h * e) for k, c in stencil.items()) / (12 * h) for e in np.eye(3)]
    np.testing.assert_allclose(_row(rows, w.RIGHT_FORCE), expected, rtol=1e-7, atol=1e-8)


# --- the two functions in native code ---------------------------------------------------------------------------------
def _native(geometry, which, flat):
    """The status and the results of native code."""
    table = np.ctypeslib.as_array(ctypes.cast(geometry.ctx, ctypes.POINTER(ctypes.c_int64)), (2,))[which]
    flat = np.ascontiguousarray(flat)
    out = np.full(geometry.dim * (geometry.dim + 1) + 1 if which == FIELD else geometry.dim, np.nan)
    return SIGNATURE(geometry.address)(int(table), flat.ctypes.data, 0, out.ctypes.data), out


@pytest.mark.parametrize("metric_fn", [None, fisher], ids=["softabs", "fisher"])
def test_native_code_is_python(metric_fn):
    geometry = Geometry(LogDensity.from_function(bent, 3), metric_fn)
    rng = np.random.default_rng(0)
    for _ in range(20):  # beyond the calls that Python checks
        z, weights = rng.normal(size=3), rng.normal(size=(3, 3))
        for which, flat in ((FIELD, z), (CONTRACTION, np.concatenate([z, weights.ravel()]))):
            status, out = _native(geometry, which, flat)
            assert status == 0
            np.testing.assert_allclose(out, geometry.in_python(which, flat), rtol=1e-9, atol=1e-10)


def test_new_paths_are_compiled_and_points_outside_are_told():
    def paths(z):
        if z[0] > 0:
            return -np.sum(z**4)
        return -np.sum(z**2) if z[0] > -2 else np.log(z[0])

    geometry = Geometry(LogDensity.from_function(paths, 2))
    for x, curved in ((0.5, 3.0), (-0.5, 2.0), (0.6, 4.32), (-0.6, 2.0)) * 3:
        status, out = _native(geometry, FIELD, [x, 0.5])
        assert status == 0
        assert out[2] == pytest.approx(curved)
    assert _native(geometry, FIELD, [-3.0, 0.5])[0] == 1
    assert _native(geometry, FIELD, [np.nan, 0.5])[0] == 1


def test_a_function_that_changes_is_noticed():
    state = {"scale": 1.0}
    geometry = Geometry(LogDensity.from_function(lambda z: -state["scale"] * np.sum(z**2), 2))
    assert _native(geometry, FIELD, [0.3, 0.5])[0] == 0
    state["scale"] = 2.0
    assert _native(geometry, FIELD, [0.3, 0.5])[0] == 2
    assert isinstance(geometry.failure, StaleTraceError)


@pytest.mark.parametrize("make", [RMHMC, ManifoldMALA])
def test_compiled_and_python_kernels_agree(make, monkeypatch):
    density = LogDensity.from_function(bent, 3)
    options = {"draws": 2, "warmup": 0, "chains": 1, "seed": 3, "init": START}
    make = functools.partial(make, step_size=0.2, **({"n_steps": 1} if make is RMHMC else {}))
    native = sample_chains(density, make(), **options)
    monkeypatch.setenv("PROBAD_COMPILE", "0")
    plain = sample_chains(density, make(), **options)
    np.testing.assert_allclose(native.draws, plain.draws, rtol=1e-6)
    assert native.settings["n_curvatures"] == plain.settings["n_curvatures"] > 0


def test_a_fork_computes_on_its_own():
    geometry = Geometry(LogDensity.from_function(bent, 3))
    twin = geometry.fork()
    assert geometry.ctx != twin.ctx
    np.testing.assert_array_equal(_native(geometry, FIELD, START)[1], _native(twin, FIELD, START)[1])


# --- mistakes ---------------------------------------------------------------------------------------------------------
def test_a_density_without_a_function_is_refused():
    with pytest.raises(ArgumentError, match="need second and third derivatives, which a Gaussian does not give"):
        sample_chains(Gaussian(np.eye(2)), RMHMC(), draws=1, warmup=0, chains=1, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "dense"}, "metric must be one of 'softabs', 'fisher'; got 'dense'"),
        ({"metric": "fisher"}, "metric='fisher' needs metric_fn="),
        ({"metric_fn": fisher}, "metric_fn= is for metric='fisher'"),
        ({"metric": "fisher", "metric_fn": 3}, "metric_fn must be a function; got 3"),
        ({"softening": 0.0}, "softening must be a positive number; got 0.0"),
        ({"target_accept": 2.0}, "target_accept must be between 0 and 1; got 2.0"),
        ({"n_steps": 2, "trajectory_length": 1.0}, "Give n_steps or trajectory_length, not both"),
        ({"tolerance": 3}, "tolerance must be a number between 0 and 1, such as 1e-6; got 3"),
        ({"integrator": "euler"}, "integrator must be one of 'leapfrog', 'midpoint'; got 'euler'"),
        ({"max_iterations": 0}, "max_iterations must be a whole number, from 1 to 1000; got 0"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ArgumentError, match=message):
        RMHMC(**options)


def test_a_wrong_metric_is_named():
    density = LogDensity.from_function(bent, 3)
    options = {"draws": 1, "warmup": 0, "chains": 1, "seed": 1}
    with pytest.raises(ShapeError, match=r"metric_fn\(z\) must have shape \(3, 3\); got \(2, 2\)"):
        sample_chains(density, RMHMC(metric="fisher", metric_fn=lambda z: np.eye(2)), **options)
    with pytest.raises(InitializationError, match="positive definite; its least eigenvalue is -1 here"):
        sample_chains(density, RMHMC(metric="fisher", metric_fn=lambda z: -np.eye(3)), **options)
    lopsided = np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    with pytest.raises(InitializationError, match="must be a symmetric matrix"):
        sample_chains(density, RMHMC(metric="fisher", metric_fn=lambda z: lopsided), **options)


def test_other_samplers_take_no_curvature():
    result = sample_chains(Gaussian(np.eye(2)), NUTS(), draws=5, warmup=5, chains=1, seed=1)
    assert "n_curvatures" not in result.settings
