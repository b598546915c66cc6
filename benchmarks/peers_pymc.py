"""The models of `models/` for PyMC, whose densities nutpie samples: the same priors and data, in the words of PyMC.

Each function builds a `pymc.Model`; names of variables are those of probad's models.
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


def eight_schools(sigma, y):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 5.0)
        effect = pm.Normal("effect", 0.0, 1.0, shape=len(y))
        theta = pm.Deterministic("theta", mu + tau * effect)
        pm.Normal("y", theta, sigma, observed=y)
    return model


def kidiq(mom_hs, mom_iq, score):
    with pm.Model() as model:
        beta = pm.Normal("beta", 0.0, 1000.0, shape=3)
        sigma = pm.HalfCauchy("sigma", 2.5)
        pm.Normal("score", beta[0] + beta[1] * mom_hs + beta[2] * mom_iq, sigma, observed=score)
    return model


def radon(county, floor, log_radon):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0)
        slope = pm.Normal("slope", 0.0, 5.0)
        tau = pm.HalfCauchy("tau", 2.5)
        sigma = pm.HalfCauchy("sigma", 2.5)
        effect = pm.Normal("effect", 0.0, 1.0, shape=int(county.max()) + 1)
        intercept = pm.Deterministic("intercept", mu + tau * effect)
        pm.Normal("log_radon", intercept[county] + slope * floor, sigma, observed=log_radon)
    return model


def logistic(x, y):
    with pm.Model() as model:
        alpha = pm.Normal("alpha", 0.0, 1.0)
        beta = pm.Normal("beta", 0.0, 1.0, shape=x.shape[1])
        pm.Bernoulli("y", logit_p=alpha + x @ beta, observed=y)
    return model


def stochastic_volatility(y):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 5.0)
        phi = pm.Uniform("phi", -1.0, 1.0)
        sigma = pm.HalfNormal("sigma", 1.0)
        innovation = pm.Normal("innovation", 0.0, 1.0, shape=len(y))

        def step(e, h, mu, phi, sigma):
            return mu + phi * (h - mu) + sigma * e

        first = mu + sigma / pt.sqrt(1 - phi**2) * innovation[0]
        rest = pytensor.scan(
            step, [innovation[1:]], [first], [mu, phi, sigma], strict=True, return_updates=False
        )  # without what it returns for random variables
        h = pt.concatenate([first[None], rest])
        pm.Normal("y", 0.0, pt.exp(h / 2), observed=y)
    return model


def garch(y, sigma1):
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 1000.0)
        alpha0 = pm.HalfNormal("alpha0", 1000.0)
        alpha1 = pm.Uniform("alpha1", 0.0, 1.0)
        beta1 = pm.Uniform("beta1", 0.0, 1 - alpha1)
        pm.Potential("triangle", pt.log1p(-alpha1))

        def step(last, sigma, mu, alpha0, alpha1, beta1):
            return pt.sqrt(alpha0 + alpha1 * (last - mu) ** 2 + beta1 * sigma**2)

        first = sigma1 + 0.0 * mu  # a scan cannot start from a constant here
        rest = pytensor.scan(
            step, [pt.as_tensor(y[:-1])], [first], [mu, alpha0, alpha1, beta1], strict=True, return_updates=False
        )
        pm.Normal("y", mu, pt.concatenate([first[None], rest]), observed=y)
    return model


def gp_regression(x, y):
    with pm.Model() as model:
        rho = pm.Gamma("rho", 25.0, 4.0)
        alpha = pm.HalfNormal("alpha", 2.0)
        sigma = pm.HalfNormal("sigma", 1.0)
        distance = (x[:, None] - x) / rho
        covariance = alpha**2 * pt.exp(-0.5 * distance**2) + sigma * np.eye(len(x))
        pm.MvNormal("y", np.zeros(len(x)), chol=pt.linalg.cholesky(covariance), observed=y)
    return model


def irt(n_persons, n_items, correct):
    with pm.Model() as model:
        ability = pm.Normal("ability", 0.0, 1.0, shape=n_persons)
        difficulty = pm.Normal("difficulty", 0.0, 2.0, shape=n_items)
        discrimination = pm.LogNormal("discrimination", 0.0, 0.5, shape=n_items)
        pm.Bernoulli("correct", logit_p=discrimination * (ability[:, None] - difficulty), observed=correct)
    return model


def gauss_mix(y):
    with pm.Model() as model:
        low = pm.Normal("low", 0.0, 2.0)
        gap = pm.Exponential("gap", 1.0)
        high = low + gap
        pm.Potential("high", pm.logp(pm.Normal.dist(0.0, 2.0), high) - pm.logp(pm.Exponential.dist(1.0), gap))
        sigma = pm.HalfNormal("sigma", 2.0, shape=2)
        theta = pm.Beta("theta", 5.0, 5.0)
        pm.Deterministic("mu", pt.stack([low, high]))
        first = pt.log(theta) + pm.logp(pm.Normal.dist(low, sigma[0]), y)
        second = pt.log1p(-theta) + pm.logp(pm.Normal.dist(high, sigma[1]), y)
        pm.Potential("y", pt.logaddexp(first, second).sum())
    return model
