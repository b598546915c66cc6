"""Gaussian process regression of 11 points, with squared-exponential covariance and the function integrated out."""

from __future__ import annotations

import numpy as np

import probad as pb
from models import posteriordb
from probad import dist

POSTERIOR = "gp_pois_regr-gp_regr"
REFERENCE_ESS = posteriordb.REFERENCE_ESS


@pb.model
def gp_regression(x, y=None):
    """Values y at places x; as published, sigma is the variance of the noise."""
    rho = pb.sample("rho", dist.Gamma(25.0, 4.0))
    alpha = pb.sample("alpha", dist.HalfNormal(2.0))
    sigma = pb.sample("sigma", dist.HalfNormal(1.0))
    distance = (x[:, None] - x) / rho
    covariance = alpha**2 * np.exp(-0.5 * distance**2) + sigma * np.eye(len(x))
    pb.sample("y", dist.MvNormal(np.zeros(len(x)), np.linalg.cholesky(covariance)), obs=y, dims="place")


def data() -> dict:
    """Arguments of the model call."""
    published = posteriordb.data("gp_pois_regr")
    return {
        "x": np.array(published["x"], dtype=float),
        "y": np.array(published["y"], dtype=float),
        "coords": {"place": published["N"]},
    }


def reference() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Posterior means and standard deviations from reference draws of posteriordb."""
    return posteriordb.reference(POSTERIOR)
