"""The LogDensity contract: defaults, functions as densities, evaluate, and stress against planted bugs."""

import threading

import numpy as np
import pytest

from probad.ad import grad, hvp
from probad.density import FATAL, NOT_FINITE, OK, LogDensity
from probad.dist import Normal
from probad.errors import ArgumentError, DensityError, ShapeError
from probad.stress import stress
from tests.tolerances import EXACT

PRECISION = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]])


def gaussian(z):
    return -0.5 * z @ (PRECISION @ z)


class Gaussian(LogDensity):
    """A correct density, written by hand; planted bugs are subclasses."""

    def __init__(self):
        super().__init__(3, names=["a", "b", "c"])

    def logp_and_grad(self, z):
        return float(gaussian(z)), -PRECISION @ z


def output_arrays(dim):
    return np.full(1, np.nan), np.full(dim, np.nan)


# --- from_function ----------------------------------------------------------------------------------------------------
def test_function_density_has_the_gradient_of_its_function():
    density = LogDensity.from_function(gaussian, 3)
    z = np.array([0.3, -1.0, 2.0])
    logp, grad_logp = density.logp_and_grad(z)
    assert isinstance(logp, float)
    assert logp == pytest.approx(-0.5 * z @ PRECISION @ z, rel=EXACT)
    np.testing.assert_allclose(grad_logp, -PRECISION @ z, rtol=EXACT)
    assert density.logp(list(z)) == logp
    assert density.names == ["x[0]", "x[1]", "x[2]"]


def test_gradient_by_a_user_function_sees_plain_numbers():
    import math

    density = LogDensity.from_function(
        lambda z: -math.cosh(float(z[0])), 1, gradient=lambda z: [-math.sinh(float(z[0]))], names=["t"]
    )
    assert stress(density).n_finite == 20


def test_function_density_can_be_differentiated_again():
    density = LogDensity.from_function(gaussian, 3)
    z, v = np.array([0.3, -1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(grad(density.logp)(z), -PRECISION @ z, rtol=EXACT)
    np.testing.assert_allclose(hvp(density.logp, z, v), -PRECISION @ v, rtol=EXACT)


def test_the_function_cannot_change_the_callers_point():
    def writes(z):
        z[0] = 5.0
        return np.sum(z)

    density = LogDensity.from_function(writes, 2)
    z = np.zeros(2)
    assert density.logp(z) == 5.0
    density.logp_and_grad(z)
    np.testing.assert_array_equal(z, 0.0)


def test_constrain_splits_draws_by_variable():
    named = LogDensity.from_function(gaussian, 3, names=["a", "b", "c"])
    draws = np.arange(24.0).reshape(2, 4, 3)
    values = named.constrain(draws)
    np.testing.assert_array_equal(values["b"], draws[..., 1])
    np.testing.assert_array_equal(named.unconstrain({"a": 1.0, "b": 2.0, "c": 3.0}), [1.0, 2.0, 3.0])
    unnamed = LogDensity.from_function(gaussian, 3)
    np.testing.assert_array_equal(unnamed.constrain(draws)["x"], draws)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: LogDensity.from_function(gaussian, 0), ArgumentError, ["dim", "at least 1", "0"]),
        (lambda: LogDensity.from_function(gaussian, 3, names=["a", "b"]), ArgumentError, ["3 different names"]),
        (lambda: LogDensity.from_function(gaussian, 3, gradient="magic"), ArgumentError, ["'reverse'", "'magic'"]),
        (lambda: LogDensity.from_function(3.0, 3), ArgumentError, ["function", "float"]),
        (lambda: LogDensity.from_function(gaussian, 3).logp(np.zeros(4)), ShapeError, ["(3,)", "(4,)"]),
        (lambda: LogDensity.from_function(gaussian, 3).constrain(np.zeros(4)), ShapeError, ["length 3", "(4,)"]),
        (lambda: LogDensity.from_function(lambda z: z, 3).logp(np.zeros(3)), ShapeError, ["one number", "(3,)"]),
        (lambda: LogDensity.from_function(lambda z: z, 3).logp_and_grad(np.zeros(3)), ShapeError, ["one number"]),
        (
            lambda: LogDensity.from_function(gaussian, 3, gradient=lambda z: z[:2]).logp_and_grad(np.zeros(3)),
            ShapeError,
            ["gradient", "(3,)", "(2,)"],
        ),
        (lambda: Gaussian().unconstrain({"a": 1.0, "b": 2.0}), ArgumentError, ["'c'", "missing"]),
        (lambda: Gaussian().unconstrain({"a": 1.0, "B": 2.0, "c": 0.0}), ArgumentError, ["'B'", "'b'"]),
        (lambda: Gaussian().unconstrain({"a": [1.0], "b": 2.0, "c": 0.0}), ShapeError, ["'a'", "(1,)"]),
    ],
)
def test_mistakes_are_named(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


# --- evaluate ---------------------------------------------------------------------------------------------------------
def test_evaluate_writes_value_and_gradient():
    density = LogDensity.from_function(gaussian, 3)
    logp_out, grad_out = output_arrays(3)
    z = np.array([0.3, -1.0, 2.0])
    assert density.evaluate(density.ctx, z, logp_out, grad_out) == OK
    assert logp_out[0] == density.logp(z)
    np.testing.assert_array_equal(grad_out, density.logp_and_grad(z)[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_evaluate_does_not_ask_where_the_position_is_not_finite(bad):
    def never_ends(z):
        raise AssertionError("asked")

    density = LogDensity.from_function(never_ends, 2)
    assert density.evaluate(0, np.array([bad, -bad]), *output_arrays(2)) == NOT_FINITE
    assert density.failure is None


def test_evaluate_outside_the_support():
    density = LogDensity.from_function(lambda z: np.log(z[0]), 1)
    assert density.evaluate(0, np.array([-1.0]), *output_arrays(1)) == NOT_FINITE
    flat_edge = LogDensity.from_function(lambda z: -np.sqrt(z[0]), 1)  # finite value, infinite slope
    assert flat_edge.evaluate(0, np.array([0.0]), *output_arrays(1)) == NOT_FINITE


def test_a_matrix_that_is_not_positive_definite_is_outside_the_support():
    def logp(z):
        return np.sum(np.log(np.diag(np.linalg.cholesky(np.eye(2) * z[0]))))

    density = LogDensity.from_function(logp, 1)
    assert density.logp([-1.0]) == -np.inf
    assert density.evaluate(0, np.array([-1.0]), *output_arrays(1)) == NOT_FINITE
    assert density.evaluate(0, np.array([2.0]), *output_arrays(1)) == OK


def test_a_parameter_outside_its_domain_is_outside_the_support():
    density = LogDensity.from_function(lambda z: Normal(0.0, z[0]).log_prob(1.0), 1)
    assert density.logp([-1.0]) == -np.inf
    assert density.evaluate(0, np.array([-1.0]), *output_arrays(1)) == NOT_FINITE
    assert "scale=...) must be > 0; got -1.0" in density.explain([-1.0])


def test_evaluate_keeps_the_exception():
    def broken(z):
        raise KeyError("no such thing")

    density = LogDensity.from_function(broken, 1)
    assert density.evaluate(0, np.zeros(1), *output_arrays(1)) == FATAL
    assert isinstance(density.failure, KeyError)
    assert density.fork().failure is None


def test_evaluate_lets_the_keyboard_interrupt_through():
    def interrupted(z):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LogDensity.from_function(interrupted, 1).evaluate(0, np.zeros(1), *output_arrays(1))


def test_explain_names_the_coordinate_without_a_derivative():
    density = LogDensity.from_function(lambda z: -(z[0] ** 2) - np.sqrt(z[1]), 2, names=["a", "b"])
    assert "'b'" in density.explain([1.0, 0.0])
    assert "gradient is finite" in density.explain([1.0, 1.0])
    assert "sqrt called with (0.0) gave 0.0" in density.explain([1.0, 0.0])
    text = density.explain([1.0, -1.0])
    assert "nan here. It begins with sqrt(-1) = nan, in <lambda>, test_density.py:" in text
    black_box = LogDensity.from_function(lambda z: float(np.log(z[0])), 1, gradient=lambda z: 1 / z)
    assert black_box.explain([-1.0]) == "The log density is nan here."


# --- stress -----------------------------------------------------------------------------------------------------------
def test_stress_passes_what_is_right_and_reports():
    report = stress(Gaussian(), n_points=5)
    assert (report.dim, report.n_points, report.n_finite) == (3, 5, 5)
    assert report.gradient_error < 1e-9
    assert "the contract holds" in repr(report)


def test_stress_checks_many_coordinates_by_a_direction():
    wrong = LogDensity.from_function(
        lambda z: -0.5 * np.sum(z**2), 40, gradient=lambda z: -z * np.where(np.arange(40) == 23, 1.5, 1.0)
    )
    with pytest.raises(DensityError, match=r"random direction|x\[23\]"):
        stress(wrong)


def test_stress_allows_a_kink_and_an_edge():
    assert stress(LogDensity.from_function(lambda z: -np.sum(np.abs(z)), 3)).n_finite == 20
    half = LogDensity.from_function(lambda z: np.log(z[0]) - z[0] if z[0] > 0 else -np.inf * z[0], 1)
    assert 0 < stress(half).n_finite < 20


class WrongGradient(Gaussian):
    def logp_and_grad(self, z):
        return float(gaussian(z)), -PRECISION @ z * [1.0, 1.0 + 1e-4, 1.0]


class HiddenState(Gaussian):
    n_calls = 0

    def logp_and_grad(self, z):
        self.n_calls += 1
        logp, grad_logp = super().logp_and_grad(z)
        return logp + 1e-9 * (self.n_calls > 30), grad_logp


class RandomNumbers(Gaussian):
    rng = np.random.default_rng(0)

    def logp(self, z):
        return super().logp_and_grad(z)[0]

    def logp_and_grad(self, z):
        logp, grad_logp = super().logp_and_grad(z)
        return logp, grad_logp + 1e-12 * self.rng.normal(size=3)


class WritesToItsArgument(Gaussian):
    def logp_and_grad(self, z):
        answer = super().logp_and_grad(z)
        z[1] += 1.0
        return answer


class SharedGradient(Gaussian):
    def __init__(self):
        super().__init__()
        self.buffer = np.zeros(3)

    def logp_and_grad(self, z):
        self.buffer[:] = -PRECISION @ z
        return float(gaussian(z)), self.buffer


class CachedGradient(Gaussian):
    def __init__(self):
        super().__init__()
        self.cache = {}

    def logp_and_grad(self, z):
        return float(gaussian(z)), self.cache.setdefault(z.tobytes(), -PRECISION @ z)


class OtherValue(Gaussian):
    def logp(self, z):
        return super().logp_and_grad(z)[0] + 1e-6


class ArrayValue(Gaussian):
    def logp_and_grad(self, z):
        return np.array([gaussian(z)]), -PRECISION @ z


class ColumnGradient(Gaussian):
    def logp_and_grad(self, z):
        return float(gaussian(z)), (-PRECISION @ z)[:, None]


class SwallowedFailure(Gaussian):
    def evaluate(self, ctx, position, logp_out, grad_out):
        raise RuntimeError("escaped")


class AlwaysOk(Gaussian):
    def evaluate(self, ctx, position, logp_out, grad_out):
        logp_out[0], grad_out[:] = self.logp_and_grad(position)
        return OK


class OtherOutput(Gaussian):
    def evaluate(self, ctx, position, logp_out, grad_out):
        status = super().evaluate(ctx, position, logp_out, grad_out)
        grad_out[2] *= 1.001
        return status


class WrongRoundTrip(Gaussian):
    def unconstrain(self, params):
        return super().unconstrain(params)[::-1]


class WrongVariables(Gaussian):
    def constrain(self, z):
        return {name: np.array([value]) for name, value in super().constrain(z).items()}


class SharedScratch(Gaussian):
    """Keeps its point in memory that forks share, and gives other threads time to write there."""

    scratch = np.zeros(3)
    pause = threading.Event()

    def logp_and_grad(self, z):
        self.scratch[:] = z
        if threading.current_thread() is not threading.main_thread():
            self.pause.wait(1e-4)
        return float(gaussian(self.scratch)), -PRECISION @ self.scratch


class Nowhere(Gaussian):
    def logp_and_grad(self, z):
        return -np.inf, np.full(3, np.nan)


class TwoNames(Gaussian):
    def __init__(self):
        super().__init__()
        self.names = ["a", "a", "c"]


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        (WrongGradient, ["derivative by 'b'", "differences"]),
        (HiddenState, ["same point differ", "hidden state"]),
        (RandomNumbers, ["same point differ", "random numbers"]),
        (WritesToItsArgument, ["changed its argument", "'b'"]),
        (SharedGradient, ["overwritten by the next call"]),
        (CachedGradient, ["Writing to a gradient"]),
        (OtherValue, ["logp gives", "logp_and_grad gives"]),
        (ArrayValue, ["float", "ndarray"]),
        (ColumnGradient, ["shape (3,)", "(3, 1)"]),
        (SwallowedFailure, ["must return 2", "escaped"]),
        (AlwaysOk, ["must return 1", "nan"]),
        (OtherOutput, ["evaluate and logp_and_grad disagree"]),
        (WrongRoundTrip, ["unconstrain(constrain(z))", "'a'"]),
        (WrongVariables, ["constrain(z)['a']", "(1,)"]),
        (SharedScratch, ["threads disturb each other"]),
        (Nowhere, ["finite at none of 20 points", "points="]),
        (TwoNames, ["different names"]),
    ],
)
def test_stress_catches(bug, words):
    with pytest.raises(DensityError) as caught:
        stress(bug())
    for word in words:
        assert word in str(caught.value)
