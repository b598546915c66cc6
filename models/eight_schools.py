"""Eight schools (Rubin 1981): effects of coaching on test scores, partially pooled; non-centred.

Priors are those of posteriordb: mu ~ Normal(0, 5), tau ~ HalfCauchy(5).
"""

from __future__ import annotations

import numpy as np

import probad as pb
from probad import dist

SCHOOLS = ["A", "B", "C", "D", "E", "F", "G", "H"]


@pb.model
def eight_schools(sigma, y=None):
    """Treatment effects theta with standard errors sigma, drawn from a common normal distribution."""
    mu = pb.sample("mu", dist.Normal(0.0, 5.0))
    tau = pb.sample("tau", dist.HalfCauchy(5.0))
    effect = pb.sample("effect", dist.Normal(0.0, 1.0), dims="school")
    theta = pb.deterministic("theta", mu + tau * effect, dims="school")
    pb.sample("y", dist.Normal(theta, sigma), obs=y, dims="school")


def data() -> dict:
    """Arguments of the model call."""
    return {
        "y": np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
        "sigma": np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
        "coords": {"school": SCHOOLS},
    }


def reference() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Posterior means and standard deviations by quadrature.

    Given tau, the effects integrate out and mu and theta are normal; what is left is an integral over tau alone,
    taken by the trapezoidal rule in u = log tau.
    """
    y, sigma = data()["y"], data()["sigma"]
    u = np.linspace(-14.0, 9.0, 4001)
    tau = np.exp(u)[:, None]
    precision = 1 / (sigma**2 + tau**2)  # of y given mu and tau
    mu_precision = precision.sum(1) + 1 / 25
    mu_mean = (precision * y).sum(1) / mu_precision
    log_marginal = 0.5 * np.log(precision).sum(1) - 0.5 * np.log(mu_precision)
    log_marginal -= 0.5 * (precision * y**2).sum(1) - 0.5 * mu_precision * mu_mean**2
    log_prior = -np.log1p((tau[:, 0] / 5) ** 2) + u  # half-Cauchy, with the Jacobian of the logarithm
    weight = np.exp(log_marginal + log_prior - np.max(log_marginal + log_prior))
    weight /= weight.sum()

    def moments(mean, variance):
        total = np.tensordot(weight, mean, 1)
        spread = np.tensordot(weight, variance + (mean - total) ** 2, 1)
        return total, np.sqrt(spread)

    pull = tau**2 * precision  # how far theta goes from mu towards y
    theta_mean = pull * y + (1 - pull) * mu_mean[:, None]
    theta_variance = pull * sigma**2 + (1 - pull) ** 2 / mu_precision[:, None]
    return {
        "mu": moments(mu_mean, 1 / mu_precision),
        "tau": moments(tau[:, 0], 0.0),
        "theta": moments(theta_mean, theta_variance),
    }
