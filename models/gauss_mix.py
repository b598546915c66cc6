"""Mixture of two normal distributions, 1000 observations; the component of each is summed out.

The means are in order, as low and low + gap. What is given is the prior of both means, so that a factor takes away the
prior that gap is declared with.
"""

from __future__ import annotations

import numpy as np

import probad as pb
from models import posteriordb
from probad import dist

POSTERIOR = "low_dim_gauss_mix-low_dim_gauss_mix"
REFERENCE_ESS = posteriordb.REFERENCE_ESS


@pb.model
def gauss_mix(y):
    """Observations y from a component with the smaller mean, of weight theta, or another."""
    mean_prior, gap_prior = dist.Normal(0.0, 2.0), dist.Exponential(1.0)
    low = pb.sample("low", mean_prior)
    gap = pb.sample("gap", gap_prior)
    high = low + gap
    pb.factor("high", mean_prior.log_prob(high) - gap_prior.log_prob(gap))
    sigma = pb.sample("sigma", dist.HalfNormal(2.0), shape=2, dims="component")
    theta = pb.sample("theta", dist.Beta(5.0, 5.0))
    pb.deterministic("mu", np.stack([low, high]), dims="component")
    first = np.log(theta) + dist.Normal(low, sigma[0]).log_prob(y)
    second = np.log1p(-theta) + dist.Normal(high, sigma[1]).log_prob(y)
    pb.factor("y", np.logaddexp(first, second))


def data() -> dict:
    """Arguments of the model call."""
    return {
        "y": np.array(posteriordb.data("low_dim_gauss_mix")["y"]),
        "coords": {"component": ["low", "high"]},
    }


def reference() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Posterior means and standard deviations from reference draws of posteriordb."""
    return posteriordb.reference(POSTERIOR)
