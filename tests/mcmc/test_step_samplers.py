"""Metropolis, MALA and elliptical slice: what they are tuned to, what they are equal to, conjugate posteriors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from probad.density import LogDensity
from probad.errors import ArgumentError, ShapeError
from probad.mcmc import HMC, MALA, EllipticalSlice, Metropolis, sample_chains
from probad.mcmc.elliptical import MAX_SHRINKS
from tests.mcmc.run import make_space, run, statistics
from tests.mcmc.scores import moment_scores
from tests.mcmc.targets import Gaussian, Student
from tests.tolerances import MONTE_CARLO

PAIR = np.array([[1.0, 0.9], [0.9, 4.0]])


@pytest.mark.parametrize(
    ("density", "target"), [(Student(1), 0.44), (Gaussian(PAIR), 0.234), (Gaussian(np.eye(30)), 0.234)]
)
def test_a_walk_is_tuned_to_its_rate_of_acceptance(density, target):
    result = sample_chains(density, Metropolis(), draws=2000, warmup=2000, chains=4, seed=1)
    assert result.stats["acceptance_rate"].mean() == pytest.approx(target, rel=0.2)
    assert (result.stats["n_steps"] == 1).all()


def test_a_walk_may_be_tuned_otherwise():
    result = sample_chains(Gaussian(PAIR), Metropolis(target_accept=0.6), draws=2000, warmup=2000, chains=4, seed=1)
    assert result.stats["acceptance_rate"].mean() == pytest.approx(0.6, abs=0.06)


def test_a_walk_learns_the_shape_of_the_posterior():
    """With the covariance for a metric the best step is near 2.38 over the root of the dimension."""
    scales = np.array([0.01, 1.0, 100.0])
    covariance = np.outer(scales, scales) * (0.5 + 0.5 * np.eye(3))
    result = sample_chains(Gaussian(covariance), Metropolis(), draws=4000, warmup=4000, chains=4, seed=2)
    learnt = result.inverse_mass / np.outer(scales, scales)
    np.testing.assert_allclose(learnt, np.tile(0.5 + 0.5 * np.eye(3), (4, 1, 1)), atol=0.35)
    np.testing.assert_allclose(result.step_size, 2.38 / math.sqrt(3), rtol=0.35)
    assert np.abs(moment_scores(result.draws, np.zeros(3), scales)).max() < MONTE_CARLO


def test_a_walk_learns_correlations_in_few_dimensions_only():
    for dim, shape in ((20, (20, 20)), (21, (21,))):
        result = sample_chains(Gaussian(np.eye(dim)), Metropolis(), draws=1, warmup=20, chains=1, seed=1)
        assert result.inverse_mass[0].shape == shape


def test_mala_is_hmc_of_one_step():
    options = {"draws": 50, "warmup": 100, "chains": 2, "seed": 3}
    a = sample_chains(Gaussian(PAIR), MALA(), **options)
    b = sample_chains(Gaussian(PAIR), HMC(n_steps=1, target_accept=0.574), **options)
    np.testing.assert_array_equal(a.draws, b.draws)
    assert (a.stats["n_steps"] == 1).all()


def test_mala_moves_as_langevin_does():
    """The proposal is q + h^2/2 grad + h noise, by its moments over many tries at a step that is always accepted."""
    density, q, h = Gaussian(PAIR), np.array([0.5, 3.0]), 0.01
    moved = []
    for seed in range(3000):
        space = make_space(density, MALA(metric="diag"), position=q, step_size=h, seed=seed)
        run(density, space, 1)
        moved.append((space.draws[0] - q) / h)
    drift = 0.5 * h * density.logp_and_grad(q)[1]
    assert np.abs(np.mean(moved, axis=0) - drift).max() < 4.5 / math.sqrt(3000)
    np.testing.assert_allclose(np.cov(np.transpose(moved)), np.eye(2), atol=0.12)


# --- elliptical slice -------------------------------------------------------------------------------------------------
class Conjugate(LogDensity):
    """Normal prior times independent normal data, one of each coordinate: the posterior is known."""

    def __init__(self, mean, covariance, y, noise):
        self.mean, self.precision = mean, np.linalg.inv(covariance)
        self.y, self.noise = y, noise
        posterior = np.linalg.inv(self.precision + np.diag(1 / noise**2))
        self.exact = posterior @ (self.precision @ mean + y / noise**2), np.sqrt(np.diag(posterior))
        super().__init__(len(mean))

    def logp_and_grad(self, z):
        prior, data = -self.precision @ (z - self.mean), (self.y - z) / self.noise**2
        return float(0.5 * prior @ (z - self.mean) - 0.5 * data @ (self.y - z)), prior + data


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "diagonal"])
def test_conjugate_posteriors_are_exact(dense):
    x = np.linspace(0.0, 1.0, 12)
    covariance = np.exp(-0.5 * ((x[:, None] - x) / 0.3) ** 2) + 0.05 * np.eye(12) if dense else np.diag(1.0 + x)
    mean, y = np.cos(5 * x), np.sin(7 * x) + 1.0
    density = Conjugate(mean, covariance, y, 0.8 + x)
    prior = EllipticalSlice(prior_mean=mean, prior_cov=covariance if dense else np.diag(covariance))
    result = sample_chains(density, prior, draws=6000, warmup=200, chains=4, seed=4)
    scores = moment_scores(result.draws, *density.exact)
    print(np.round(scores, 1))
    assert np.abs(scores).max() < MONTE_CARLO
    assert 0.5 < np.sqrt(np.mean(scores**2)) < 1.5
    assert set(result.stats) == {"lp", "n_steps"}
    assert result.stats["n_steps"].mean() < 4


def test_the_slice_gives_up_where_the_density_is_a_point():
    class Point(Gaussian):
        def evaluate(self, *args):
            return 1

    density = Point(np.eye(2))
    space = make_space(density, EllipticalSlice(), position=[1.0, 2.0], step_size=1.0)
    assert run(density, space, 1) == 0
    assert statistics(space)["n_steps"][0] == MAX_SHRINKS
    assert space.draws[0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prior_cov": np.ones(3)}, ShapeError, r"prior_cov must have shape \(2,\) or \(2, 2\); got shape \(3,\)"),
        ({"prior_mean": np.ones(3)}, ShapeError, r"prior_mean must be a number or have shape \(2,\); got shape \(3,\)"),
        ({"prior_cov": [1.0, 0.0]}, ArgumentError, "variances, which must be > 0; the smallest is 0.0"),
        ({"prior_cov": [[1.0, 2.0], [2.0, 1.0]]}, ArgumentError, "positive definite; its least eigenvalue is -1"),
        ({"prior_cov": [[1.0, 0.0], [2.0, 9.0]]}, ArgumentError, "must be symmetric"),
        ({"prior_cov": "unit"}, ArgumentError, "prior_cov takes numbers; got 'unit'"),
        ({"prior_mean": [0.0, np.nan]}, ArgumentError, "prior_mean must be finite; got nan"),
    ],
)
def test_a_wrong_prior_is_named(options, error, message):
    with pytest.raises(error, match=message):
        sample_chains(Gaussian(np.eye(2)), EllipticalSlice(**options), draws=1, warmup=0, chains=1, seed=1)


def test_a_walk_does_not_learn_from_gradients():
    with pytest.raises(ArgumentError, match="adaptation must be one of 'stan'; got 'fisher'"):
        Metropolis(adaptation="fisher")
    with pytest.raises(ArgumentError, match=r"target_accept must be between 0 and 1; got 1\.5"):
        Metropolis(target_accept=1.5)
