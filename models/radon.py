"""Radon in houses: 919 measurements in 85 counties, varying intercepts, non-centred (after Gelman and Hill).

The data are synthetic, with counties as unequal as the real ones: a few hold most of the houses.
"""

from __future__ import annotations

import numpy as np

import probad as pb
from probad import dist

N_HOUSES, N_COUNTIES, SEED = 919, 85, 20240101
REFERENCE_ESS = 11_000


@pb.model
def radon(county, floor, log_radon=None):
    """Log radon by floor of the measurement, with an intercept for each county."""
    mu = pb.sample("mu", dist.Normal(0.0, 5.0))
    slope = pb.sample("slope", dist.Normal(0.0, 5.0))
    tau = pb.sample("tau", dist.HalfCauchy(2.5))
    sigma = pb.sample("sigma", dist.HalfCauchy(2.5))
    effect = pb.sample("effect", dist.Normal(0.0, 1.0), dims="county")
    intercept = pb.deterministic("intercept", mu + tau * effect, dims="county")
    pb.sample("log_radon", dist.Normal(intercept[county] + slope * floor, sigma), obs=log_radon, dims="house")


def data() -> dict:
    """Arguments of the model call."""
    rng = np.random.default_rng(SEED)
    share = rng.dirichlet(np.full(N_COUNTIES, 0.8))
    some = np.arange(N_COUNTIES)  # each county has a house
    county = np.sort(np.concatenate([some, rng.choice(N_COUNTIES, N_HOUSES - N_COUNTIES, p=share)]))
    floor = (rng.uniform(size=N_HOUSES) < 0.17).astype(float)
    intercept = rng.normal(1.5, 0.33, N_COUNTIES)
    log_radon = intercept[county] - 0.7 * floor + rng.normal(0.0, 0.75, N_HOUSES)
    return {
        "county": county,
        "floor": floor,
        "log_radon": log_radon,
        "coords": {"county": N_COUNTIES, "house": N_HOUSES},
    }


def reference() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Posterior means and standard deviations from a long run of another program and another density.

    NumPyro 0.22, NUTS, double precision, 4 chains of 1000 + 10000 iterations, PRNGKey(7), on the model of
    `benchmarks/peers_numpyro.py`; the largest R-hat was 1.0002.
    """
    return {
        "mu": (1.54361, 0.05428),
        "sigma": (0.76083, 0.01864),
        "slope": (-0.62364, 0.068),
        "tau": (0.37095, 0.05108),
    }
