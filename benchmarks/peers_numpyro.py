"""The models of `models/` for NumPyro, with the same priors and data, as its documentation would write them.

Names of sites are those of probad's models, so that effective sample sizes are of the same variables.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.stats import norm


def eight_schools(sigma, y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    effect = numpyro.sample("effect", dist.Normal(0.0, 1.0).expand([len(y)]))
    theta = numpyro.deterministic("theta", mu + tau * effect)
    numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def kidiq(mom_hs, mom_iq, score):
    beta = numpyro.sample("beta", dist.Normal(0.0, 1000.0).expand([3]))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    numpyro.sample("score", dist.Normal(beta[0] + beta[1] * mom_hs + beta[2] * mom_iq, sigma), obs=score)


def radon(county, floor, log_radon):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(2.5))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    effect = numpyro.sample("effect", dist.Normal(0.0, 1.0).expand([int(county.max()) + 1]))
    intercept = numpyro.deterministic("intercept", mu + tau * effect)
    numpyro.sample("log_radon", dist.Normal(intercept[county] + slope * floor, sigma), obs=log_radon)


def logistic(x, y):
    alpha = numpyro.sample("alpha", dist.Normal(0.0, 1.0))
    beta = numpyro.sample("beta", dist.Normal(0.0, 1.0).expand([x.shape[1]]))
    numpyro.sample("y", dist.Bernoulli(logits=alpha + x @ beta), obs=y)


def stochastic_volatility(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    phi = numpyro.sample("phi", dist.Uniform(-1.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    innovation = numpyro.sample("innovation", dist.Normal(0.0, 1.0).expand([len(y)]))

    def step(h, e):
        h = mu + phi * (h - mu) + sigma * e
        return h, h

    first = mu + sigma / jnp.sqrt(1 - phi**2) * innovation[0]
    _, rest = jax.lax.scan(step, first, innovation[1:])
    h = jnp.concatenate([first[None], rest])
    numpyro.sample("y", dist.Normal(0.0, jnp.exp(h / 2)), obs=y)


def garch(y, sigma1):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1000.0))
    alpha0 = numpyro.sample("alpha0", dist.HalfNormal(1000.0))
    alpha1 = numpyro.sample("alpha1", dist.Uniform(0.0, 1.0))
    beta1 = numpyro.sample("beta1", dist.Uniform(0.0, 1 - alpha1))
    numpyro.factor("triangle", jnp.log1p(-alpha1))

    def step(sigma, last):
        sigma = jnp.sqrt(alpha0 + alpha1 * (last - mu) ** 2 + beta1 * sigma**2)
        return sigma, sigma

    _, rest = jax.lax.scan(step, jnp.asarray(sigma1), y[:-1])
    numpyro.sample("y", dist.Normal(mu, jnp.concatenate([jnp.array([sigma1]), rest])), obs=y)


def gp_regression(x, y):
    rho = numpyro.sample("rho", dist.Gamma(25.0, 4.0))
    alpha = numpyro.sample("alpha", dist.HalfNormal(2.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    distance = (x[:, None] - x) / rho
    covariance = alpha**2 * jnp.exp(-0.5 * distance**2) + sigma * jnp.eye(len(x))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(x)), covariance), obs=y)


def irt(n_persons, n_items, correct):
    ability = numpyro.sample("ability", dist.Normal(0.0, 1.0).expand([n_persons]))
    difficulty = numpyro.sample("difficulty", dist.Normal(0.0, 2.0).expand([n_items]))
    discrimination = numpyro.sample("discrimination", dist.LogNormal(0.0, 0.5).expand([n_items]))
    numpyro.sample("correct", dist.Bernoulli(logits=discrimination * (ability[:, None] - difficulty)), obs=correct)


def gauss_mix(y):
    low = numpyro.sample("low", dist.Normal(0.0, 2.0))
    gap = numpyro.sample("gap", dist.Exponential(1.0))
    high = low + gap
    numpyro.factor("high", dist.Normal(0.0, 2.0).log_prob(high) - dist.Exponential(1.0).log_prob(gap))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([2]))
    theta = numpyro.sample("theta", dist.Beta(5.0, 5.0))
    numpyro.deterministic("mu", jnp.stack([low, high]))
    first = jnp.log(theta) + norm.logpdf(y, low, sigma[0])
    second = jnp.log1p(-theta) + norm.logpdf(y, high, sigma[1])
    numpyro.factor("y", jnp.logaddexp(first, second).sum())
