"""Mean-field variational inference: exact where it can be, honest where it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from probad.density import LogDensity
from probad.errors import ArgumentError, InitializationError, OptimizationError
from probad.vi import elbo_and_grad, fit
from probad.vi.adam import Adam
from probad.vi.ascent import Ascent, Segment
from probad.vi.mean_field import MeanField
from tests.mcmc.targets import Gaussian

MEAN, SD = np.array([1.0, -20.0, 0.3, 500.0]), np.array([0.01, 3.0, 1.0, 40.0])


class Diagonal(LogDensity):
    """Independent normal distributions."""

    def logp_and_grad(self, z):
        standard = (z - MEAN) / SD
        return float(np.sum(stats.norm.logpdf(z, MEAN, SD))), -standard / SD


def test_a_diagonal_gaussian_is_recovered():
    fitted = fit(Diagonal(4), seed=1)
    mean, scale = fitted.family.split(fitted.parameters)
    assert fitted.converged
    np.testing.assert_array_less(np.abs(mean - MEAN) / SD, 1e-2)
    np.testing.assert_allclose(scale, SD, rtol=1e-2)
    assert fitted.elbo[-1] == pytest.approx(0.0, abs=1e-3)  # the evidence of a normalised density is one


def test_the_best_mean_field_fit_of_a_correlated_gaussian():
    """Its scales are those of the conditionals: one over the square root of the precision's diagonal."""
    density = Gaussian([[1.0, 0.8], [0.8, 1.0]])
    fitted = fit(density, seed=2)
    _, scale = fitted.family.split(fitted.parameters)
    np.testing.assert_allclose(scale, 1 / np.sqrt(np.diag(density.precision)), rtol=0.03)


def test_the_elbo_of_a_conjugate_model_is_its_evidence():
    """y_i ~ Normal(mu, 2), mu ~ Normal(0, 3): the posterior is normal, so the bound is tight."""
    y = np.array([1.0, 4.0, 2.5, -0.5, 3.0])
    covariance = 4 * np.eye(5) + 9.0
    evidence = stats.multivariate_normal(np.zeros(5), covariance).logpdf(y)
    density = LogDensity.from_function(
        lambda z: (
            -0.5 * np.sum(((y - z[0]) / 2) ** 2)
            - 5 * np.log(2 * math.sqrt(2 * math.pi))
            - 0.5 * (z[0] / 3) ** 2
            - np.log(3 * math.sqrt(2 * math.pi))
        ),
        1,
    )
    fitted = fit(density, seed=3)
    assert fitted.converged
    assert np.mean(fitted.elbo[-50:]) == pytest.approx(evidence, abs=1e-3)


def test_the_gradient_is_that_of_the_objective_at_fixed_noise():
    """Sticking the landing: log q is differentiated through the draws alone, with its own parameters held."""
    density, family = Gaussian([[1.0, 0.5], [0.5, 2.0]]), MeanField(2)
    rng = np.random.default_rng(0)
    noise, parameters = rng.normal(size=(7, 2)), rng.normal(size=4)

    def objective(moved):
        z = family.transform(moved, noise)
        return np.mean([density.logp(point) for point in z] - family.log_prob(parameters, z))

    elbo, gradient, bad = elbo_and_grad(density, family, parameters, noise)
    assert elbo == pytest.approx(objective(parameters))
    assert not bad.any()
    h = 1e-6
    numeric = [(objective(parameters + h * e) - objective(parameters - h * e)) / (2 * h) for e in np.eye(4)]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


def test_the_noise_of_the_gradient_vanishes_at_the_exact_fit():
    family = MeanField(4)
    exact = np.concatenate([MEAN, np.log(SD)])
    noise = np.random.default_rng(0).normal(size=(5, 4))
    _, gradient, _ = elbo_and_grad(Diagonal(4), family, exact, noise)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-9)


def test_draws_and_log_density_of_the_family_agree():
    family = MeanField(2)
    parameters = np.array([1.0, -2.0, 0.5, -1.0])
    mean, scale = family.split(parameters)
    z = family.transform(parameters, np.random.default_rng(0).normal(size=(20_000, 2)))
    for k in range(2):
        assert stats.kstest(z[:, k], stats.norm(mean[k], scale[k]).cdf).pvalue > 1e-3
    expected = stats.norm.logpdf(z, mean, scale).sum(1)
    np.testing.assert_allclose(family.log_prob(parameters, z), expected, rtol=1e-12)
    h = 1e-6
    numeric = [(family.log_prob(parameters, z[0] + h * e) - family.log_prob(parameters, z[0] - h * e)) / (2 * h)
               for e in np.eye(2)]  # fmt: skip
    np.testing.assert_allclose(family.score(parameters, z[:1])[0], numeric, rtol=1e-6)


def test_adam_climbs_a_hill_whatever_its_scale():
    adam, x = Adam(2, 0.05), np.array([3.0, -3.0])
    for k in range(1500):
        adam.step_size = 0.05 / (1 + k / 100)
        x = adam.update(x, -np.array([1e-4, 1e4]) * x)
    np.testing.assert_allclose(x, 0.0, atol=0.05)


def test_adam_in_other_units_takes_the_same_steps():
    """A parameter measured in units of 1000 moves as it would if it were divided by 1000."""
    plain, scaled = Adam(1, 0.1), Adam(1, 0.1)
    x, y = np.array([3.0]), np.array([3000.0])
    for _ in range(50):
        x = plain.update(x, -x)
        y = scaled.update(y, -y / 1000**2, units=np.array([1000.0]))
    np.testing.assert_allclose(y, 1000 * x, rtol=1e-6)


def test_it_is_repeatable_and_says_when_it_has_not_converged():
    a, b = (fit(Diagonal(4), seed=5, steps=200) for _ in range(2))
    np.testing.assert_array_equal(a.parameters, b.parameters)
    assert not a.converged
    assert len(a.elbo) == 200


@pytest.mark.parametrize("n_steps", [0, 1, 49, 50, 51, 100, 120, 900])
def test_an_interrupt_returns_the_fit_so_far(n_steps):
    """Wherever it falls: before the first step, where a segment or a stage begins, or inside one."""
    n_samples = 3
    calls = {"left": 1 + n_samples * n_steps + 1}  # one call looks at the start

    class Interrupting(Diagonal):
        def logp_and_grad(self, z):
            calls["left"] -= 1
            if calls["left"] == 0:
                raise KeyboardInterrupt
            return super().logp_and_grad(z)

    fitted = fit(Interrupting(4), seed=1, n_samples=n_samples)
    assert fitted.interrupted
    assert not fitted.converged
    assert len(fitted.elbo) == n_steps
    assert np.isfinite(fitted.parameters).all()
    if n_steps == 900:
        mean, _ = fitted.family.split(fitted.parameters)
        assert np.max(np.abs(mean - MEAN) / SD) < 5


class Cliff(LogDensity):
    """Rises towards an edge behind which there is nothing."""

    def logp_and_grad(self, z):
        return (float(10 * z[0]), np.array([10.0])) if z[0] < 1 else (-math.inf, np.array([math.nan]))


def test_a_density_that_ends_is_left_with_a_message_and_the_last_good_state():
    with pytest.raises(OptimizationError, match=r"Step \d+: .* The log density is -inf here") as caught:
        fit(Cliff(1), seed=0, step_size=5.0)
    kept = caught.value.result
    assert not kept.converged
    assert len(kept.elbo) > 0
    mean, _ = kept.family.split(kept.parameters)
    assert mean < 1


def test_the_message_is_about_a_draw_that_is_bad():
    """Most draws are bad, but the first is not always among them."""
    density = Cliff(1)
    ascent = Ascent(density, MeanField(1), np.array([0.0, 0.0]), rng=None, n_samples=3, step_size=0.1)
    ascent.n_bad_steps = 1000
    with pytest.raises(OptimizationError, match="The log density is -inf here"):
        ascent.check(np.array([[0.0], [5.0], [6.0]]), np.array([False, True, True]))


def test_a_density_that_cannot_be_normalised_is_named():
    class Flat(LogDensity):
        def logp_and_grad(self, z):
            return -0.5 * float(z[0] ** 2), np.array([-z[0], 0.0])

    density = Flat(2, names=["mu", "tau"])
    with pytest.raises(OptimizationError, match=r"Step \d+: 'tau' has run away, .* Give it a proper prior") as caught:
        fit(density, seed=0, n_samples=2)
    assert np.isfinite(caught.value.result.parameters).all()


def test_draws_that_are_left_out_are_counted():
    """Half a normal distribution: some draws of the approximation always fall behind the wall."""

    class Wall(LogDensity):
        def logp_and_grad(self, z):
            return (-0.5 * float(z @ z), -z) if z[0] > -2 else (-math.inf, np.full(1, math.nan))

    fitted = fit(Wall(1), seed=0, steps=800)
    assert 0.005 < fitted.left_out < 0.2
    assert fit(Diagonal(4), seed=0, steps=100).left_out == 0


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_it_converges_in_many_dimensions(rho):
    """A hundred correlated coordinates: jitter in one of them must not pass for travel."""
    dim = 100
    covariance = np.eye(dim) + rho * (np.eye(dim, k=1) + np.eye(dim, k=-1)) / 2
    density = Gaussian(covariance)
    fitted = fit(density, seed=1)
    mean, scale = fitted.family.split(fitted.parameters)
    exact = 1 / np.sqrt(np.diag(density.precision))
    assert fitted.converged
    assert np.max(np.abs(mean) / exact) < 0.15
    np.testing.assert_allclose(scale, exact, rtol=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_fit_of_a_skewed_density(seed):
    """The logarithm of an exponential variable: the optimum of the ELBO is known, mean -1/2 and scale 1."""

    class LogExponential(LogDensity):
        def logp_and_grad(self, z):
            return float(z[0] - np.exp(z[0])), 1 - np.exp(z)

    fitted = fit(LogExponential(1), seed=seed)
    mean, scale = fitted.family.split(fitted.parameters)
    assert fitted.converged
    assert mean[0] == pytest.approx(-0.5, abs=0.04)
    assert scale[0] == pytest.approx(1.0, abs=0.04)
    # E[z - exp z] + entropy = -1/2 - 1 + (1 + log 2 pi) / 2
    assert np.mean(fitted.elbo[-500:]) == pytest.approx(-1.0 + 0.5 * math.log(2 * math.pi), abs=0.03)


def test_a_walk_does_not_pass_for_arrival():
    """Segments of steady travel disagree however slow it is; those of jitter agree once they are long enough."""
    ascent = Ascent(Cliff(1), MeanField(1), np.zeros(2), rng=None, n_samples=1, step_size=0.1)
    for speed, arrived in ((0.02, False), (0.0, True)):
        ascent.segments = []
        at = np.zeros(2)
        for length in (100, 150, 225):
            segment = Segment(length, 2)
            for _ in range(length):
                at = at + speed * 0.1
                segment.add(at, 0.0, np.array([False]))
            ascent.segments.append(segment)
        assert ascent.arrived(3, 0.05, 0.0) is arrived
    ascent.segments[-1].elbo = [1.0] * 225
    assert not ascent.arrived(3, 0.05, 0.0)  # the ELBO still rises
    ascent.segments[-1].length += 1
    assert not ascent.arrived(3, math.inf, 0.0)  # the segment is not full


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"family": "full-rank"}, "family must be one of 'mean-field'; got 'full-rank'"),
        ({"steps": 0}, "steps must be"),
        ({"n_samples": 1.5}, "n_samples must be"),
        ({"step_size": -1.0}, "step_size must be a positive number"),
        ({"step_size": True}, "step_size must be a positive number"),
        ({"steps": True}, "steps must be"),
        ({"init": np.zeros(3)}, r"shape \(4,\)"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises(ArgumentError, match=words):
        fit(Diagonal(4), seed=0, **options)


def test_no_starting_point():
    class Nowhere(LogDensity):
        def logp_and_grad(self, z):
            return -math.inf, np.full(2, np.nan)

    with pytest.raises(InitializationError, match=r"none of 101 points .* At the origin: The log density is -inf here"):
        fit(Nowhere(2), seed=0)
    with pytest.raises(InitializationError, match=r"cannot start at the given init\. The log density is -inf here"):
        fit(Nowhere(2), seed=0, init=np.ones(2))


def test_a_start_is_looked_for_where_the_origin_is_none():
    class Aside(LogDensity):
        def logp_and_grad(self, z):
            return (
                (-(float(np.log(z[0])) ** 2), -2 * np.log(z) / z) if z[0] > 0.5 else (-math.inf, np.full(1, math.nan))
            )

    assert fit(Aside(1), seed=0, steps=5).parameters[0] > 0.5
