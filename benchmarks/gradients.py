"""Log densities of the gradient benchmarks, as users would write them: functions of a flat vector, in NumPy.

Each entry of `DENSITIES` makes a density and a point. Data are synthetic, with fixed seeds, of the shapes that the
posteriors of the same name have in the literature.
"""

from __future__ import annotations

import numpy as np

from probad import numerics

SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])


def eight_schools():
    """Eight schools, non-centred: D = 10."""

    def logp(z):
        mu, log_tau, effect = z[0], z[1], z[2:]
        tau = np.exp(log_tau)
        theta = mu + tau * effect
        prior = -0.5 * (mu / 5) ** 2 - np.log1p((tau / 5) ** 2) + log_tau - 0.5 * np.sum(effect**2)
        return prior - 0.5 * np.sum(((Y - theta) / SIGMA) ** 2)

    return logp, np.random.default_rng(1).normal(size=10)


def radon():
    """Varying intercepts: 919 observations in 85 groups."""
    rng = np.random.default_rng(2)
    group = np.sort(rng.integers(0, 85, 919))
    rng.shuffle(group)
    floor = rng.integers(0, 2, 919).astype(float)
    y = 1.3 - 0.6 * floor + 0.3 * rng.normal(size=85)[group] + 0.7 * rng.normal(size=919)

    def logp(z):
        mu, log_tau, log_sigma, slope, effect = z[0], z[1], z[2], z[3], z[4:]
        tau, sigma = np.exp(log_tau), np.exp(log_sigma)
        alpha = mu + tau * effect
        eta = alpha[group] + slope * floor
        prior = -0.5 * mu**2 - 0.5 * tau**2 + log_tau - 0.5 * sigma**2 + log_sigma - 0.5 * slope**2
        prior = prior - 0.5 * np.sum(effect**2)
        return prior - 0.5 * np.sum(((y - eta) / sigma) ** 2) - 919 * log_sigma

    return logp, 0.3 * rng.normal(size=89)


def logistic(n: int, p: int):
    """Logistic regression with a normal prior."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, p))
    beta = rng.normal(size=p) / np.sqrt(p)
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-x @ beta))).astype(float)

    def logp(b):
        eta = x @ b
        return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.sum(b**2)

    return logp, beta + 0.01 * rng.normal(size=p), x


def stochastic_volatility(n: int):
    """Log volatility as an autoregression, in a plain loop."""
    rng = np.random.default_rng(4)
    y = 0.5 * rng.normal(size=n)

    def logp(z):
        mu, phi, sigma = z[0], np.tanh(z[1]), np.exp(z[2])
        total = -0.5 * mu**2 - 0.5 * z[1] ** 2 - 0.5 * z[2] ** 2
        h = mu + sigma / np.sqrt(1 - phi**2) * z[3]
        for t in range(n):
            if t > 0:
                h = mu + phi * (h - mu) + sigma * z[3 + t]
            total = total - 0.5 * z[3 + t] ** 2 - 0.5 * h - 0.5 * y[t] ** 2 * np.exp(-h)
        return total

    return logp, np.concatenate([[-1.0, 1.2, -1.0], 0.3 * rng.normal(size=n)])


def garch(n: int):
    """GARCH(1, 1), in a plain loop."""
    rng = np.random.default_rng(5)
    y = rng.normal(size=n)

    def logp(z):
        mu, a0, a1, b1 = z[0], np.exp(z[1]), 1 / (1 + np.exp(-z[2])), 1 / (1 + np.exp(-z[3]))
        total = -0.5 * np.sum(z**2)
        variance = a0 / (1 - 0.9 * a1 * b1)
        for t in range(n):
            if t > 0:
                variance = a0 + 0.5 * a1 * (y[t - 1] - mu) ** 2 + 0.9 * b1 * variance
            total = total - 0.5 * np.log(variance) - 0.5 * (y[t] - mu) ** 2 / variance
        return total

    return logp, np.array([0.1, -1.0, -0.5, 0.3])


def hidden_markov(n: int):
    """Two states with normal observations: the forward algorithm, in a plain loop."""
    rng = np.random.default_rng(6)
    y = rng.normal(size=n) + 2.0 * (np.cumsum(rng.uniform(size=n) < 0.05) % 2)

    def logp(z):
        stay_0, stay_1 = -np.logaddexp(0.0, -z[0]), -np.logaddexp(0.0, -z[1])
        go_0, go_1 = -np.logaddexp(0.0, z[0]), -np.logaddexp(0.0, z[1])
        mean_0, mean_1, sigma = z[2], z[2] + np.exp(z[3]), np.exp(z[4])
        a = b = -0.6931471805599453
        for t in range(n):
            f = -0.5 * ((y[t] - mean_0) / sigma) ** 2 - z[4]
            g = -0.5 * ((y[t] - mean_1) / sigma) ** 2 - z[4]
            a, b = (
                np.logaddexp(a + stay_0, b + go_1) + f,
                np.logaddexp(a + go_0, b + stay_1) + g,
            )
        return np.logaddexp(a, b) - 0.5 * np.sum(z**2)

    return logp, np.array([2.0, 1.5, 0.1, 0.5, -0.1])


def gaussian_process(n: int):
    """Regression with a squared-exponential kernel."""
    rng = np.random.default_rng(7)
    x = np.linspace(0.0, 10.0, n)
    y = np.sin(x) + 0.2 * rng.normal(size=n)
    squared = (x[:, None] - x) ** 2
    unit = np.eye(n)

    def logp(z):
        scale, length, noise = np.exp(z[0]), np.exp(z[1]), np.exp(z[2])
        k = scale**2 * np.exp(-0.5 * squared / length**2) + (noise**2 + 1e-8) * unit
        factor = np.linalg.cholesky(k)
        white = numerics.solve_triangular(factor, y, lower=True)
        return -0.5 * np.sum(white**2) - np.sum(np.log(np.diag(factor))) - 0.5 * np.sum(z**2)

    return logp, np.array([0.1, 0.2, -1.2])


def item_response(n_persons: int, n_items: int):
    """Two-parameter logistic model: every person answers every item."""
    rng = np.random.default_rng(8)
    person = np.repeat(np.arange(n_persons), n_items)
    item = np.tile(np.arange(n_items), n_persons)
    y = (rng.uniform(size=n_persons * n_items) < 0.5).astype(float)

    def logp(z):
        ability, difficulty = z[:n_persons], z[n_persons : n_persons + n_items]
        discrimination = np.exp(z[n_persons + n_items :])
        eta = discrimination[item] * (ability[person] - difficulty[item])
        return np.sum(y * eta - np.logaddexp(0.0, eta)) - 0.5 * np.sum(z**2)

    return logp, 0.3 * rng.normal(size=n_persons + 2 * n_items)
