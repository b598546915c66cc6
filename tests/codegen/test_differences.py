"""Differences of compiled values: the formulas of `probad.derivative`, to the last bit, by a loop in native code."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from scipy import stats

import probad as pb
from probad import dist, native
from probad.ad.derivative import derivative
from probad.codegen.difference_kernels import N_WORK, difference_gradient, extrapolated_gradient
from probad.codegen.differences import formula
from probad.codegen.dispatch import FATAL, NOT_FINITE, OK, SIGNATURE
from probad.density import LogDensity
from probad.errors import ArgumentError, StaleTraceError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 4))
Y = RNG.integers(0, 2, 40)
ERROR = {"forward-difference": 1e-5, "central": 1e-8, "five-point": 1e-10, "richardson": 1e-9, "forward": 1e-13}


def logistic(z):
    """Logistic regression with a normal prior."""
    u = X @ z
    return np.sum(Y * u - np.log1p(np.exp(u))) - 0.5 * np.sum(z**2)


def funnel(z):
    """Neal's funnel."""
    return -(z[0] ** 2) / 18 - 0.5 * np.sum(z[1:] ** 2) * np.exp(-z[0]) - 0.5 * (z.size - 1) * z[0]


@pb.model
def regression(x, y=None):
    """Two coefficients and a scale, of which the logarithm is sampled."""
    b = pb.sample("b", dist.Normal(np.zeros(2), 2.0))
    s = pb.sample("s", dist.HalfNormal(1.0))
    pb.sample("y", dist.Normal(b[0] + b[1] * x, s), obs=y)


def _points(dim, n=5):
    return [scale * RNG.normal(size=dim) for scale in np.linspace(0.3, 3.0, n)]


def compiled(fn, dim, method, step=None):
    """A density whose address has been asked for."""
    density = LogDensity.from_function(fn, dim, gradient=method, difference_step=step)
    assert density.address != 0
    return density


def _compiled_value(density):
    """The compiled log density without a gradient, as a function of Python."""
    worker = density._worker._values
    call, out = SIGNATURE(worker.address), np.empty(1)

    def value(z):
        z = np.ascontiguousarray(z, dtype=float)
        assert call(worker.ctx, z.ctypes.data, out.ctypes.data, out.ctypes.data) == OK
        return np.float64(out[0])

    return value


# --- the numbers ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("step", [None, 1e-3])
@pytest.mark.parametrize("method", native.BY_VALUES)
@pytest.mark.parametrize("fn", [logistic, funnel])
def test_native_differences_are_those_of_python_to_the_last_bit(fn, method, step):
    density = compiled(fn, 4, method, step)
    value = _compiled_value(density)
    for z in _points(4):
        logp, grad = density.logp_and_grad(z)
        assert logp == value(z)
        np.testing.assert_array_equal(grad, derivative(value, z, method, step=step))


@pytest.mark.parametrize("method", native.BY_VALUES)
def test_the_kernels_mean_the_same_in_python(method):
    density = compiled(logistic, 4, method)
    value = _compiled_value(density)

    def address(ctx, position, out, place):
        out[place] = float(value(position))
        return OK

    kernel = extrapolated_gradient if method == "richardson" else difference_gradient
    numbers, n = formula(method, None)
    for z in _points(4):
        logp, grad = [0.0], [0.0] * 4
        assert kernel(address, 0, z.tolist(), logp, grad, [0.0] * 4, numbers.tolist(), [0.0] * N_WORK, n, 4) == OK
        np.testing.assert_array_equal(grad, density.logp_and_grad(z)[1])


@pytest.mark.parametrize("method", ERROR)
@pytest.mark.parametrize("fn", [logistic, funnel])
def test_the_error_is_that_of_the_method(fn, method):
    density = compiled(fn, 4, method)
    for z in _points(4):
        exact = pb.grad(fn)(z)
        size = np.max(np.abs(exact)) + abs(fn(z)) + 1.0
        assert np.max(np.abs(density.logp_and_grad(z)[1] - exact)) < ERROR[method] * size


@pytest.mark.parametrize(("method", "order"), [("forward-difference", 1), ("central", 2), ("five-point", 4)])
def test_the_error_falls_with_the_power_of_the_step(method, order):
    z = np.array([0.3, -0.8, 0.5, 1.1])
    exact = pb.grad(logistic)(z)
    errors = [np.abs(compiled(logistic, 4, method, h).logp_and_grad(z)[1] - exact) for h in (0.04, 0.02)]
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), order, atol=0.1)


def test_a_step_by_the_size_of_the_coordinate():
    z = np.array([1e8, 1.0])
    density = compiled(lambda z: -0.5 * (z[0] / 1e8) ** 2 - 0.5 * z[1] ** 2, 2, "central")
    np.testing.assert_allclose(density.logp_and_grad(z)[1], [-1e-8, -1.0], rtol=1e-6)


def test_a_table_that_contradicts_itself_is_not_believed():
    """Large steps agree with each other on something wrong, of a function that oscillates between them."""
    fn = lambda z: np.sin(200.0 * z[0]) - 0.5 * z[0] ** 2
    z = np.array([0.37])
    got = compiled(fn, 1, "richardson").logp_and_grad(z)[1]
    np.testing.assert_allclose(got, pb.grad(fn)(z), rtol=1e-7)


# --- the contract -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["central", "richardson", "forward"])
def test_the_contract_holds(method):
    density = regression(np.linspace(-1, 1, 8), y=np.linspace(0, 2, 8)).density().with_gradient(method)
    assert density.address != 0
    pb.stress(density)


@pytest.mark.parametrize("method", native.BY_VALUES)
def test_outside_the_support_there_is_no_gradient(method):
    density = compiled(lambda z: np.log(z[0]) - z[0] - z[1] ** 2, 2, method, 0.25)
    call, logp, grad = SIGNATURE(density.address), np.empty(1), np.zeros(2)
    z = np.array([-1.0, 0.5])
    assert call(density.ctx, z.ctypes.data, logp.ctypes.data, grad.ctypes.data) == NOT_FINITE
    assert np.isnan(grad).all()
    assert not math.isfinite(logp[0])
    near = np.array([0.2, 0.5])  # a step of 0.25 down leaves the support, the point itself does not
    status = call(density.ctx, near.ctypes.data, logp.ctypes.data, grad.ctypes.data)
    assert status == (OK if method in ("richardson", "forward-difference") else NOT_FINITE)
    assert logp[0] == pytest.approx(math.log(0.2) - 0.2 - 0.25, rel=1e-14)


def test_a_step_lost_in_rounding_gives_no_gradient():
    density = compiled(lambda z: -np.sum(z**2), 2, "central", 1e-12)
    logp, grad = density.logp_and_grad([1e8, 0.0])
    assert logp == -1e16
    assert np.isnan(grad).all()


def test_paths_are_found_at_moved_points():
    """The branch is taken anew at each of them, as Python would."""
    fn = lambda z: -(z[0] ** 2) if z[0] > 0.5 else -2.0 * z[0] ** 2 + 0.25
    density = compiled(fn, 1, "central", 0.01)
    for x in (0.495, 0.505, 0.8, -1.0):
        expected = (fn(np.array([x + 0.01])) - fn(np.array([x - 0.01]))) / 0.02
        np.testing.assert_allclose(density.logp_and_grad([x])[1], expected, rtol=1e-10)


def test_an_exception_is_kept_and_raised():
    def fn(z):
        if z[0] > 5:
            raise ValueError("z[0] is too large for this model")
        return -(z[0] ** 2)

    density = compiled(fn, 1, "central", 0.1)
    density.logp_and_grad([1.0])
    with pytest.raises(ValueError, match="too large"):
        density.logp_and_grad([4.95])  # only the moved point is
    call, logp, grad = SIGNATURE(density.address), np.empty(1), np.empty(1)
    z = np.array([6.0])
    assert call(density.ctx, z.ctypes.data, logp.ctypes.data, grad.ctypes.data) == FATAL
    assert isinstance(density.failure, ValueError)


def test_a_function_that_changes_is_found_out():
    scale = np.ones(2)
    density = compiled(lambda z: -np.sum(scale * z**2), 2, "central")
    _evaluate_often(density, np.array([1.0, 2.0]), 1)
    scale[:] = 3.0
    with pytest.raises(StaleTraceError, match="log density"):
        _evaluate_often(density, np.array([1.0, 2.0]), 1000)


def _evaluate_often(density, z, n):
    for _ in range(n):
        density.logp_and_grad(z)


def test_what_cannot_be_traced_runs_on_plain_numbers():
    fn = lambda z: float(stats.norm.logpdf(np.asarray(z, dtype=float), 1.0, 2.0).sum())
    density = LogDensity.from_function(fn, 2, gradient="central")
    assert density.address == 0
    np.testing.assert_allclose(density.logp_and_grad([0.0, 3.0])[1], [0.25, -0.5], rtol=1e-9)


def test_the_complex_step_stays_in_python():
    assert LogDensity.from_function(logistic, 4, gradient="complex").address == 0


def test_no_python_runs_between_two_comparisons(monkeypatch):
    calls = []

    def fn(z):
        calls.append(1)
        return -np.sum(z**2)

    density = compiled(fn, 3, "central")
    z = np.array([0.1, 0.2, 0.3])
    for _ in range(2000):
        density.logp_and_grad(z)
    assert len(calls) < 40  # of 14,000 values


def test_forks_have_memory_of_their_own():
    density = compiled(logistic, 4, "central")
    twin = density.fork()
    assert twin.ctx != density.ctx
    assert twin.address == density.address
    z = np.array([0.3, -0.8, 0.5, 1.1])
    np.testing.assert_array_equal(twin.logp_and_grad(z)[1], density.logp_and_grad(z)[1])


# --- the step ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("gradient", "step", "words"),
    [
        ("reverse", 0.1, "difference_step is for gradients by differences"),
        (lambda z: -z, 0.1, "difference_step is for gradients by differences"),
        ("central", 0.0, r"difference_step must be a finite number > 0; got 0\.0"),
        ("central", math.inf, "got inf"),
        ("central", True, "got True"),
        ("central", "small", "got 'small'"),
    ],
)
def test_mistakes_about_the_step(gradient, step, words):
    with pytest.raises(ArgumentError, match=words):
        LogDensity.from_function(logistic, 4, gradient=gradient, difference_step=step)


def test_the_step_travels():
    density = LogDensity.from_function(logistic, 4, gradient="central", difference_step=0.125)
    twin = pickle.loads(pickle.dumps(density))
    assert (twin.gradient, twin.difference_step) == ("central", 0.125)
    z = np.array([0.3, -0.8, 0.5, 1.1])
    np.testing.assert_array_equal(twin.logp_and_grad(z)[1], density.logp_and_grad(z)[1])


# --- sampling ---------------------------------------------------------------------------------------------------------
SAMPLERS = {"nuts": 12, "hmc": 12, "mams": 12, "mala": 12}


@pytest.mark.filterwarnings("ignore::probad.errors.SamplingWarning")
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_draws_by_native_and_python_differences_are_alike(sampler, monkeypatch):
    """Rounding sets them apart slowly: for the first iterations they are the same but for that."""
    model = regression(np.linspace(-1, 1, 8), y=np.linspace(0, 2, 8))
    options = {"draws": SAMPLERS[sampler], "warmup": 0, "chains": 1, "seed": 5, "progress": False, "step_size": 0.2}
    options["init"] = {"b": [0.5, 0.5], "s": 0.7}
    sample = getattr(pb, sampler)
    found = sample(model, gradient="central", **options)
    exact = sample(model, **options)
    by_python = sample(_InPython(model.density().with_gradient("central")), **options)
    for name in ("b", "s"):
        got = found["posterior"][name].values
        np.testing.assert_allclose(got, by_python["posterior"][name].values, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(got, exact["posterior"][name].values, rtol=1e-5, atol=1e-5)


class _InPython(LogDensity):
    """A density whose gradient is never compiled."""

    def __init__(self, density):
        super().__init__(density.dim, names=density.names, variables=density.variables)
        self.logp_and_grad, self.constrain = density.logp_and_grad, density.constrain
        self.unconstrain = density.unconstrain


@pytest.mark.filterwarnings("ignore::probad.errors.SamplingWarning")
def test_fit_takes_a_gradient():
    model = regression(np.linspace(-1, 1, 8), y=np.linspace(0, 2, 8))
    post = pb.fit(model, draws=50, warmup=200, chains=1, seed=1, gradient="central", progress=False)
    assert np.isfinite(post["posterior"]["s"].values).all()
