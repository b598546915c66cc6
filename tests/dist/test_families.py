"""Facts about single distributions that the common contract cannot state."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from probad import dist
from probad.ad import grad, value_and_grad
from probad.errors import ConversionError, ParameterError, ShapeError


def test_moments_of_student_t_that_do_not_exist():
    d = dist.StudentT([0.5, 1.0, 1.5, 2.0, 4.0], 3.0, 2.0)
    np.testing.assert_array_equal(d.mean, [np.nan, np.nan, 3.0, 3.0, 3.0])
    np.testing.assert_array_equal(d.variance, [np.nan, np.nan, np.inf, np.inf, 8.0])


def test_parametrisations_of_the_negative_binomial_agree():
    k, mu, alpha = np.arange(12), 3.7, 1.9
    p = alpha / (alpha + mu)
    expected = dist.NegativeBinomial(mu, alpha).log_prob(k)
    for other in (
        dist.NegativeBinomial(log_mu=np.log(mu), alpha=alpha),
        dist.NegativeBinomial(n_successes=alpha, probs=p),
        dist.NegativeBinomial(n_successes=alpha, logits=special.logit(p)),
    ):
        np.testing.assert_allclose(other.log_prob(k), expected, rtol=1e-13)
        np.testing.assert_allclose(other.mean, mu, rtol=1e-13)
        np.testing.assert_allclose(other.variance, mu + mu**2 / alpha, rtol=1e-13)
        np.testing.assert_allclose(other.cdf(k), dist.NegativeBinomial(mu, alpha).cdf(k), rtol=1e-12)


@pytest.mark.parametrize(
    ("whole", "real"),
    [
        (dist.Normal(0, 2), dist.Normal(0.0, 2.0)),
        (dist.StudentT(3, 1, 2), dist.StudentT(3.0, 1.0, 2.0)),
        (dist.Gamma(2, 3), dist.Gamma(2.0, 3.0)),
        (dist.InverseGamma(2, 3), dist.InverseGamma(2.0, 3.0)),
        (dist.Beta(2, 3), dist.Beta(2.0, 3.0)),
        (dist.Uniform(0, 3), dist.Uniform(0.0, 3.0)),
        (dist.Poisson(2), dist.Poisson(2.0)),
        (dist.NegativeBinomial(2, 3), dist.NegativeBinomial(2.0, 3.0)),
        (dist.MvNormal([0, 1], [[1, 0], [2, 3]]), dist.MvNormal([0.0, 1.0], [[1.0, 0.0], [2.0, 3.0]])),
        (dist.Dirichlet([1, 2]), dist.Dirichlet([1.0, 2.0])),
        (dist.Categorical(logits=[0, 1]), dist.Categorical(logits=[0.0, 1.0])),
    ],
)
def test_integers_are_as_good_as_floats(whole, real):
    x = real.sample(np.random.default_rng(0), 5)
    np.testing.assert_array_equal(whole.log_prob(x), real.log_prob(x))
    np.testing.assert_array_equal(whole.sample(np.random.default_rng(0), 5), x)


def test_counts_may_be_floats_or_lists():
    assert dist.Poisson(2.0).log_prob(3.0) == dist.Poisson(2.0).log_prob(3)
    np.testing.assert_array_equal(
        dist.Categorical([0.2, 0.8]).log_prob([0.0, 1.0]), dist.Categorical([0.2, 0.8]).log_prob([0, 1])
    )
    assert dist.Categorical([0.2, 0.8]).log_prob(0.5) == -np.inf


def test_categories_broadcast_against_a_batch():
    logits = np.log([[0.1, 0.9], [0.6, 0.4], [0.5, 0.5]])
    value = np.array([[0, 1, 0], [1, 1, 1]])
    expected = np.log([[0.1, 0.4, 0.5], [0.9, 0.4, 0.5]])
    np.testing.assert_allclose(dist.Categorical(logits=logits).log_prob(value), expected)
    np.testing.assert_allclose(dist.Categorical(logits=logits[:1]).log_prob([0, 1, 1]), np.log([0.1, 0.9, 0.9]))
    np.testing.assert_allclose(dist.Categorical(logits=logits[0]).log_prob([0, 1, 1]), np.log([0.1, 0.9, 0.9]))


def test_normal_vectors_broadcast_between_one_and_many():
    factors = np.array([[[1.0, 0.0], [0.5, 2.0]], [[0.3, 0.0], [-1.0, 1.0]]])
    x = np.array([[0.1, -0.7], [2.0, 0.4], [1.0, 1.0]])
    expected = np.array([[dist.MvNormal(np.zeros(2), f).log_prob(v) for f in factors] for v in x])
    found = dist.MvNormal(np.zeros(2), factors).log_prob(x[:, None, :])
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    np.testing.assert_allclose(dist.MvNormal(np.zeros(2), factors[0]).log_prob(x), expected[:, 0], rtol=1e-13)
    np.testing.assert_allclose(dist.MvNormal(np.zeros(2), factors).log_prob(x[0]), expected[0], rtol=1e-13)


def test_normal_vectors_with_parameters_of_different_size():
    with pytest.raises(ShapeError, match=r"loc of length 3 and scale_tril of shape \(2, 2\)"):
        dist.MvNormal(np.zeros(3), np.eye(2)).validate()
    with pytest.raises(ShapeError, match=r"scale_tril=.*; got shape \(2,\)"):
        dist.MvNormal(np.zeros(2), np.ones(2)).validate()
    with pytest.raises(ParameterError, match="got a matrix of 2 rows and 3 columns"):
        dist.MvNormal(np.zeros(3), np.ones((2, 3))).validate()


def test_a_uniform_between_latent_bounds():
    """The density of the unconstrained value depends on neither bound, whatever they are."""

    def density(low, high, z):
        d = dist.Uniform(low, high)
        bijector = d.support.bijector()
        x = bijector.forward(z)
        return d.logp(x) + bijector.log_det(z, x)

    value, slopes = value_and_grad(density, (0, 1, 2))(-1.3, 0.4, 0.8)
    p = special.expit(0.8)
    np.testing.assert_allclose(value, np.log(p * (1 - p)), rtol=1e-13)
    np.testing.assert_allclose(slopes, [0.0, 0.0, 1 - 2 * p], atol=1e-14)


def test_a_uniform_whose_ends_are_swapped():
    with pytest.raises(ParameterError, match=r"Uniform\(high=...\) must be > low; got 1.0 at index 1"):
        dist.Uniform([0.0, 2.0], [1.0, 1.0]).validate()


@pytest.mark.parametrize(
    ("d", "slopes"),
    [
        (lambda a, b: dist.Normal(a, b), lambda x: (1.0, (x - 1.5) / 0.7)),
        (lambda a, b: dist.Cauchy(a, b), lambda x: (1.0, (x - 1.5) / 0.7)),
        (lambda a, b: dist.LogNormal(a, b), lambda x: (x, x * (np.log(x) - 1.5) / 0.7)),
        (lambda a, b: dist.Uniform(b, a), lambda x: ((x - 0.7) / 0.8, (1.5 - x) / 0.8)),
    ],
)
def test_draws_are_differentiable_where_they_are_transformed_noise(d, slopes):
    def draw(a, b):
        return d(a, b).sample(np.random.default_rng(3))

    np.testing.assert_allclose(grad(draw, (0, 1))(1.5, 0.7), slopes(draw(1.5, 0.7)), rtol=1e-12)


def test_draws_that_cannot_be_differentiated_say_so():
    with pytest.raises(ConversionError):
        grad(lambda a: dist.Gamma(a, 1.0).sample(np.random.default_rng(0)))(2.0)


def test_a_rate_too_large_to_draw_from():
    with pytest.raises(ParameterError, match="Cannot draw from Poisson"):
        dist.Poisson(1e300).sample(np.random.default_rng(0))
