"""GARCH(1, 1): 200 returns whose variance follows the last squared return and the last variance (Bollerslev 1986).

The published parameters are flat on their ranges; wide priors stand for those of mu and alpha0. (alpha1, beta1) is
uniform on the triangle alpha1 + beta1 < 1, which takes a factor, because beta1 alone is uniform given alpha1.
"""

from __future__ import annotations

import numpy as np

import probad as pb
from models import posteriordb
from probad import dist

POSTERIOR = "garch-garch11"
REFERENCE_ESS = posteriordb.REFERENCE_ESS


@pb.model
def garch(y, sigma1):
    """Returns y around mu; sigma1 is the given standard deviation of the first."""
    mu = pb.sample("mu", dist.Normal(0.0, 1000.0))
    alpha0 = pb.sample("alpha0", dist.HalfNormal(1000.0))
    alpha1 = pb.sample("alpha1", dist.Uniform(0.0, 1.0))
    beta1 = pb.sample("beta1", dist.Uniform(0.0, 1 - alpha1))
    pb.factor("triangle", np.log1p(-alpha1))
    sigma = [sigma1]
    for t in range(1, len(y)):
        variance = alpha0 + alpha1 * (y[t - 1] - mu) ** 2 + beta1 * sigma[t - 1] ** 2
        sigma.append(np.sqrt(variance))
    pb.sample("y", dist.Normal(mu, np.stack(sigma)), obs=y, dims="time")


def data() -> dict:
    """Arguments of the model call."""
    published = posteriordb.data("garch")
    return {"y": np.array(published["y"]), "sigma1": published["sigma1"], "coords": {"time": published["T"]}}


def reference() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Posterior means and standard deviations from reference draws of posteriordb."""
    return posteriordb.reference(POSTERIOR)
