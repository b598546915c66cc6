"""Stochastic volatility of 1000 returns, synthetic: log variance is an autoregression (Kim, Shephard and Chib 1998)."""

from __future__ import annotations

import numpy as np

import probad as pb
from probad import dist

T, SEED = 1000, 20240103
REFERENCE_ESS = 9_000


@pb.model
def stochastic_volatility(y):
    """Returns y with log variance h, whose innovations are the latent variables."""
    mu = pb.sample("mu", dist.Normal(0.0, 5.0))
    phi = pb.sample("phi", dist.Uniform(-1.0, 1.0))
    sigma = pb.sample("sigma", dist.HalfNormal(1.0))
    innovation = pb.sample("innovation", dist.Normal(0.0, 1.0), dims="time")
    h = [mu + sigma / np.sqrt(1 - phi**2) * innovation[0]]
    for t in range(1, len(y)):
        h.append(mu + phi * (h[t - 1] - mu) + sigma * innovation[t])
    pb.sample("y", dist.Normal(0.0, np.exp(np.stack(h) / 2)), obs=y, dims="time")


def data() -> dict:
    """Arguments of the model call."""
    rng = np.random.default_rng(SEED)
    mu, phi, sigma = -1.0, 0.95, 0.25
    h = mu + sigma / np.sqrt(1 - phi**2) * rng.normal()
    y = np.empty(T)
    for t in range(T):
        y[t] = np.exp(h / 2) * rng.normal()
        h = mu + phi * (h - mu) + sigma * rng.normal()
    return {"y": y, "coords": {"time": T}}


def reference() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Posterior means and standard deviations from a long run of another program and another density.

    NumPyro 0.22, NUTS, double precision, 4 chains of 1000 + 10000 iterations, PRNGKey(7), on the model of
    `benchmarks/peers_numpyro.py`; the largest R-hat was 1.0003.
    """
    return {
        "mu": (-1.18644, 0.21745),
        "phi": (0.95705, 0.01488),
        "sigma": (0.25536, 0.03828),
    }
