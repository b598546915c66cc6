"""Log densities and their derivatives where careless formulas overflow, underflow or cancel."""

from __future__ import annotations

import numpy as np
import pytest

from probad import dist
from probad.ad import grad
from tests.contracts.distribution_checks import oracle

EXACT = 1e-12
# The formula adds terms of some 1e7 nats that nearly cancel: the last digits of the terms are what is left.
LARGE_TERMS = 1e-9

CASES = [
    (dist.Normal(0.0, 1e-300), [1e-300], EXACT),
    (dist.Normal(0.0, 1e300), [-1e300], EXACT),
    (dist.Normal(0.0, 1.0), [1e150], EXACT),
    (dist.StudentT(1e6, 0.0, 1.0), [0.5, 8.0], LARGE_TERMS),
    (dist.StudentT(1e10, 0.0, 1.0), [0.5, 8.0, -30.0], EXACT),
    (dist.StudentT(1e15, 0.0, 1.0), [0.5, 8.0], EXACT),
    (dist.StudentT(1e-8, 0.0, 1.0), [0.5, 1e100], EXACT),
    (dist.StudentT(3.0, 0.0, 1.0), [1e150], EXACT),
    (dist.Cauchy(0.0, 1.0), [1e300, 1e-300], EXACT),
    (dist.HalfCauchy(1e-3), [1e300, 0.0], EXACT),
    (dist.HalfNormal(1e-3), [0.0, 1.0], EXACT),
    (dist.Exponential(1e300), [0.0, 1e-300], EXACT),
    (dist.Exponential(1e-300), [1e300], EXACT),
    (dist.Gamma(1e-8, 1.0), [1e-300, 1.0], EXACT),
    (dist.Gamma(2.0, 1e-200), [1e200], EXACT),
    (dist.Gamma(1e6, 1e6), [1.0, 1.01], LARGE_TERMS),
    (dist.InverseGamma(1e-6, 1e-200), [1e-200], EXACT),
    (dist.InverseGamma(2.0, 1.0), [1e-300, 1e300], EXACT),
    (dist.LogNormal(0.0, 1.0), [1e-300, 1e300], EXACT),
    (dist.LogNormal(0.0, 1e-8), [1.00000001], EXACT),
    (dist.Beta(1e-6, 1e6), [1e-200, 0.5], EXACT),
    (dist.Beta(1e6, 1e6), [0.5, 0.501], LARGE_TERMS),
    (dist.Beta(0.5, 0.5), [1e-300, float(np.nextafter(1.0, 0.0))], EXACT),
    (dist.Uniform(-1e308, 1e307), [0.0], EXACT),
    (dist.Uniform(1.0, 1 + 2**-52), [1.0], EXACT),
    (dist.Bernoulli(logits=800.0), [0, 1], EXACT),
    (dist.Bernoulli(probs=1e-300), [0, 1], EXACT),
    (dist.Binomial(10**9, 1e-8), [0, 10, 40], EXACT),
    (dist.Binomial(10**15, 1e-14), [0, 10, 40], EXACT),
    (dist.Binomial(10**6, 0.5), [500_000], LARGE_TERMS),
    (dist.Binomial(1000, logits=700.0), [1000, 999, 0], EXACT),
    (dist.Poisson(1e-300), [0, 3], EXACT),
    (dist.Poisson(1e6), [1_000_000], LARGE_TERMS),
    (dist.Poisson(log_rate=-700.0), [0, 2], EXACT),
    (dist.NegativeBinomial(3.0, 1e-8), [0, 5, 40], EXACT),
    (dist.NegativeBinomial(3.0, 1e6), [0, 5, 40], LARGE_TERMS),
    (dist.NegativeBinomial(3.0, 1e10), [0, 5, 40], EXACT),
    (dist.NegativeBinomial(3.0, 1e15), [0, 5, 40], EXACT),
    (dist.NegativeBinomial(1e6, 2.0), [0, 1_000_000], LARGE_TERMS),
    (dist.NegativeBinomial(log_mu=-50.0, alpha=2.0), [0, 5], EXACT),
    (dist.NegativeBinomial(log_mu=3.0, alpha=1e12), [0, 5, 20], EXACT),
    (dist.NegativeBinomial(n_successes=1e-3, probs=1e-10), [0, 7], EXACT),
    (dist.NegativeBinomial(n_successes=2.0, logits=700.0), [0, 7], EXACT),
    (dist.Categorical(logits=[1e4, -1e4, 0.0]), [0, 1, 2], EXACT),
    (dist.Dirichlet([1e-4, 1e-3]), [[1e-200, 1.0 - 1e-16], [0.5, 0.5]], EXACT),
]


@pytest.mark.parametrize(("d", "values", "tolerance"), [pytest.param(*case, id=repr(case[0])) for case in CASES])
def test_log_density(d, values, tolerance):
    for x in values:
        expected = oracle(d, x, digits=800)  # 1 - expit(800) needs 350 digits
        assert abs(float(d.log_prob(x)) - expected) <= tolerance * max(1.0, abs(expected))


def test_a_large_dispersion_is_a_poisson():
    k = np.arange(30)
    near = dist.NegativeBinomial(5.0, 1e13).log_prob(k)
    np.testing.assert_allclose(near, dist.Poisson(5.0).log_prob(k), atol=1e-10)


def test_many_degrees_of_freedom_are_a_normal():
    x = np.linspace(-8, 8, 33)
    np.testing.assert_allclose(dist.StudentT(1e14, 0.0, 1.0).log_prob(x), dist.Normal(0.0, 1.0).log_prob(x), rtol=1e-11)


@pytest.mark.parametrize("probs", [0.0, 1.0])
def test_certain_outcomes(probs):
    likely = int(probs)
    assert dist.Bernoulli(probs).log_prob(likely) == 0.0
    assert dist.Bernoulli(probs).log_prob(1 - likely) == -np.inf
    assert dist.Binomial(7, probs).log_prob(7 * likely) == pytest.approx(0.0, abs=1e-14)
    assert dist.Binomial(7, probs).log_prob(3) == -np.inf
    assert grad(lambda p: dist.Bernoulli(p).logp(likely))(probs) == 2 * likely - 1


def test_an_impossible_category():
    d = dist.Categorical(probs=[0.0, 1.0])
    np.testing.assert_array_equal(d.log_prob([0, 1]), [-np.inf, 0.0])
    assert np.all(d.sample(np.random.default_rng(0), 1000) == 1)


@pytest.mark.parametrize("logits", [-800.0, -40.0, 0.0, 40.0, 800.0])
def test_saturated_logits_have_the_right_slope(logits):
    """d log p / d logits is 1 - p for a success and -p for a failure, down to the last digit of each."""
    p, q = 1 / (1 + np.exp(-np.clip(logits, -700, 700))), 1 / (1 + np.exp(np.clip(logits, -700, 700)))
    assert grad(lambda v: dist.Bernoulli(logits=v).logp(1))(logits) == pytest.approx(q, rel=1e-12, abs=1e-300)
    assert grad(lambda v: dist.Bernoulli(logits=v).logp(0))(logits) == pytest.approx(-p, rel=1e-12, abs=1e-300)
    assert grad(lambda v: dist.Binomial(3, logits=v).logp(2))(logits) == pytest.approx(2 * q - p, rel=1e-12)


@pytest.mark.parametrize(
    ("d", "x"),
    [
        (dist.Normal, 1e150),
        (dist.Cauchy, 1e300),
        (dist.LogNormal, 1e-300),
        (dist.Gamma, 1e-300),
        (dist.InverseGamma, 1e-140),
        (dist.Beta, 1e-300),
    ],
)
def test_derivatives_far_out_are_finite(d, x):
    for argument in range(3):
        assert np.isfinite(grad(lambda a, b, v: d(a, b).logp(v), argument)(1.0, 2.0, x))


def test_draws_do_not_underflow_out_of_the_support():
    rng = np.random.default_rng(0)
    for d in (
        dist.Gamma(1e-4, 1.0),
        dist.InverseGamma(1e-3, 1.0),
        dist.Beta(1e-4, 1e-4),
        dist.Beta(1e4, 1e-4),
    ):
        d.check_value(d.sample(rng, 500))
    x = dist.Dirichlet([1e-3, 1e-3, 1e-3]).sample(rng, 500)
    np.testing.assert_allclose(np.sum(x, axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.mean(x, axis=0), 1 / 3, atol=0.1)
