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
from probad.vi.mean_field import MeanField
from tests.mcmc.targets import Gaussian

MEAN, SD = np.array([1.0, -20.0, 0.3, 500.0]), np.array([0.01, 3.0, 1.0, 40.0])


class Diagonal(LogDensity):
    """Independent normal distributions."""

    def logp_and_grad(self, z):
        standard = (z - MEAN) / SD
        return float(np.sum(stats.norm.logpdf(z, MEAN, SD))), -standard / SD


def test_a_diagonal_gaussian_is_recovered():
    fitted = fit(Diagonal(4), seed=1, steps=20_000)
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

    elbo, gradient, n_bad = elbo_and_grad(density, family, parameters, noise)
    assert elbo == pytest.approx(objective(parameters))
    assert n_bad == 0
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


def test_it_is_repeatable_and_says_when_it_has_not_converged():
    a, b = (fit(Diagonal(4), seed=5, steps=200) for _ in range(2))
    np.testing.assert_array_equal(a.parameters, b.parameters)
    assert not a.converged
    assert len(a.elbo) == 200


def test_an_interrupt_returns_the_fit_so_far():
    calls = {"left": 500}

    class Interrupting(Diagonal):
        def logp_and_grad(self, z):
            calls["left"] -= 1
            if calls["left"] == 0:
                raise KeyboardInterrupt
            return super().logp_and_grad(z)

    fitted = fit(Interrupting(4), seed=1)
    assert fitted.interrupted
    assert not fitted.converged
    assert 0 < len(fitted.elbo) < 60
    assert np.isfinite(fitted.parameters).all()


def test_a_density_that_ends_is_left_with_a_message():
    class Cliff(LogDensity):
        def logp_and_grad(self, z):
            return (float(10 * z[0]), np.array([10.0])) if z[0] < 1 else (-math.inf, np.array([math.nan]))

    with pytest.raises(OptimizationError, match=r"Step \d+: .* The log density is -inf here"):
        fit(Cliff(1), seed=0, step_size=5.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"family": "full-rank"}, "family must be one of 'mean-field'; got 'full-rank'"),
        ({"steps": 0}, "steps must be"),
        ({"n_samples": 1.5}, "n_samples must be"),
        ({"step_size": -1.0}, "step_size must be a positive number"),
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

    with pytest.raises(InitializationError, match="None of 101 points"):
        fit(Nowhere(2), seed=0)
