"""Log densities that samplers are compared on, each one function that runs with NumPy, JAX and probad.

A target is a function of an unconstrained vector and the array module to compute with; constants drop out. `TARGETS`
names them with their dimensions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SCHOOLS_Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SCHOOLS_SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
N_GROUPS, N_PER_GROUP = 20, 5


def _autoregressive(n: int, correlation: float) -> np.ndarray:
    """Covariance of n numbers in a row, each of variance 1 and correlated with the next."""
    k = np.arange(n)
    return correlation ** np.abs(k[:, None] - k)


def _precision_100() -> np.ndarray:
    """Scales from 0.1 to 10, and correlations by five common factors that carry 25 % of each variance."""
    rng = np.random.default_rng(100)
    loadings = rng.normal(size=(100, 5))
    loadings *= np.sqrt(0.25 / (loadings**2).sum(1, keepdims=True))
    correlation = loadings @ loadings.T + 0.75 * np.eye(100)
    scale = np.logspace(-1, 1, 100)
    return np.linalg.inv(correlation * scale[:, None] * scale)


PRECISION_10 = np.linalg.inv(_autoregressive(10, 0.85))
PRECISION_100 = _precision_100()
_RNG = np.random.default_rng(25)
LOGISTIC_X = _RNG.normal(size=(500, 25)) @ np.linalg.cholesky(_autoregressive(25, 0.6)).T
LOGISTIC_Y = (_RNG.uniform(size=500) < 1 / (1 + np.exp(-LOGISTIC_X @ (0.5 * _RNG.normal(size=25))))).astype(float)
GROUPS_Y = 1.0 + 0.8 * _RNG.normal(size=(N_GROUPS, 1)) + _RNG.normal(size=(N_GROUPS, N_PER_GROUP))


def gauss10(z, xp=np):
    """Ten normal variables in a row, neighbours correlated by 0.85; condition number 76."""
    return -0.5 * z @ (PRECISION_10 @ z)


def gauss100(z, xp=np):
    """Hundred normal variables with scales from 0.1 to 10 and common factors."""
    return -0.5 * z @ (PRECISION_100 @ z)


def eight_schools(z, xp=np):
    """Eight schools, non-centred, over (mu, log tau, effects)."""
    mu, log_tau, effect = z[0], z[1], z[2:]
    residual = (SCHOOLS_Y - mu - xp.exp(log_tau) * effect) / SCHOOLS_SIGMA
    prior = log_tau - xp.log1p(xp.exp(2 * log_tau) / 25) - mu**2 / 50
    return prior - 0.5 * (xp.sum(effect**2) + xp.sum(residual**2))


def funnel(z, xp=np):
    """A funnel that samplers can still follow: v ~ Normal(0, 1) and nine x ~ Normal(0, exp(v / 2))."""
    v, x = z[0], z[1:]
    return -(v**2) / 2 - 0.5 * xp.exp(-v) * xp.sum(x**2) - 4.5 * v


def logistic25(z, xp=np):
    """500 binary outcomes on 25 covariates, neighbours correlated by 0.6; standard normal priors."""
    eta = LOGISTIC_X @ z
    return xp.sum(LOGISTIC_Y * eta - xp.logaddexp(0.0, eta)) - 0.5 * xp.sum(z**2)


def hierarchical(z, xp=np):
    """20 groups of 5 observations, centred, over (mu, log tau, log sigma, means of groups)."""
    mu, log_tau, log_sigma, theta = z[0], z[1], z[2], z[3:]
    within = xp.sum((GROUPS_Y - theta[:, None]) ** 2) * xp.exp(-2 * log_sigma)
    between = xp.sum((theta - mu) ** 2) * xp.exp(-2 * log_tau)
    prior = -(mu**2) / 50 - 0.5 * (xp.exp(2 * log_tau) + xp.exp(2 * log_sigma)) + log_tau + log_sigma
    return prior - 0.5 * (within + between) - GROUPS_Y.size * log_sigma - N_GROUPS * log_tau


TARGETS: dict[str, tuple[Callable, int]] = {
    "gauss10": (gauss10, 10),
    "gauss100": (gauss100, 100),
    "eight schools": (eight_schools, 10),
    "funnel": (funnel, 10),
    "logistic25": (logistic25, 25),
    "hierarchical": (hierarchical, 3 + N_GROUPS),
}
