"""The normal prior of a model: found where there is one, and refused by name where there is none."""

from __future__ import annotations

import numpy as np
import pytest

import probad as pb
from probad import dist
from probad.errors import ModelError


@pb.model
def curve(x, y):
    """A line and a smooth function over it."""
    level = pb.sample("level", dist.Normal(2.0, 3.0))
    slope = pb.sample("slope", dist.Normal([0.0, 1.0], 0.5))
    factor = np.linalg.cholesky(np.exp(-0.5 * (x[:, None] - x) ** 2) + 0.1 * np.eye(len(x)))
    f = pb.sample("f", dist.MvNormal(np.zeros(len(x)), factor))
    mean = pb.deterministic("mean", level + slope[0] * x + slope[1] * x**2 + f)
    pb.sample("y", dist.Normal(mean, 1.0), obs=y)


def test_mean_and_covariance_are_those_of_the_sites():
    x = np.array([0.0, 0.5, 2.0])
    mean, covariance = curve(x, y=x).density().normal_prior()
    np.testing.assert_array_equal(mean, [2.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(np.diag(covariance)[:3], [9.0, 0.25, 0.25])
    np.testing.assert_allclose(covariance[3:, 3:], np.exp(-0.5 * (x[:, None] - x) ** 2) + 0.1 * np.eye(3))
    assert not covariance[:3, 3:].any()


def test_prior_and_likelihood_make_the_posterior():
    """What is left of the log density after the prior is the likelihood, up to a constant."""
    x = np.array([0.0, 0.5, 2.0])
    density = curve(x, y=x**2).density()
    mean, covariance = density.normal_prior()

    def rest(z):
        return density.logp(z) + 0.5 * (z - mean) @ np.linalg.solve(covariance, z - mean)

    def likelihood(z):
        return -0.5 * np.sum((x**2 - z[0] - z[1] * x - z[2] * x**2 - z[3:]) ** 2)

    a, b = np.random.default_rng(1).normal(size=(2, 6))
    assert rest(a) - rest(b) == pytest.approx(likelihood(a) - likelihood(b), rel=1e-10)


def test_many_multivariate_normals_are_blocks():
    @pb.model
    def blocks(y):
        f = pb.sample("f", dist.MvNormal(np.zeros(2), np.array([[1.0, 0.0], [0.5, 2.0]])), shape=3)
        pb.sample("y", dist.Normal(f.sum(), 1.0), obs=y)

    mean, covariance = blocks(1.0).density().normal_prior()
    np.testing.assert_allclose(covariance, np.kron(np.eye(3), [[1.0, 0.5], [0.5, 4.25]]))
    assert mean.shape == (6,)


def test_independent_priors_are_variances():
    @pb.model
    def plain(y):
        a = pb.sample("a", dist.Normal(0.0, 2.0), shape=3)
        pb.sample("y", dist.Normal(a.sum(), 1.0), obs=y)

    mean, variances = plain(1.0).density().normal_prior()
    np.testing.assert_array_equal(variances, [4.0, 4.0, 4.0])
    np.testing.assert_array_equal(mean, np.zeros(3))


def test_other_priors_are_refused_by_name():
    @pb.model
    def scaled(y):
        mu = pb.sample("mu", dist.Normal(0.0, 2.0))
        sigma = pb.sample("sigma", dist.HalfNormal(1.0))
        pb.sample("y", dist.Normal(mu, sigma), obs=y)

    with pytest.raises(ModelError, match=r"site 'sigma' \(test_prior.py:\d+\) is HalfNormal. Give prior_mean="):
        scaled(1.0).density().normal_prior()


def test_hierarchies_are_refused_by_name():
    @pb.model
    def nested(y):
        mu = pb.sample("mu", dist.Normal(0.0, 2.0))
        theta = pb.sample("theta", dist.Normal(mu, 1.0))
        pb.sample("y", dist.Normal(theta, 1.0), obs=y)

    with pytest.raises(ModelError, match=r"that of site 'theta' \(test_prior.py:\d+\) depends on other latent"):
        nested(1.0).density().normal_prior()
