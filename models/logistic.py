"""Logistic regression with 10,000 observations of 50 covariates, synthetic: the cost is one pass over the matrix."""

from __future__ import annotations

import numpy as np

import probad as pb
from models.tables import numbers
from probad import dist

N, K, SEED = 10_000, 50, 20240102
REFERENCE_ESS = 29_000
BETA_MEAN = """
0.15772 -0.18433 -0.31922 0.04789 -0.36262 0.04537 0.01144 -0.15118 0.02525 0.24695 0.44712 -0.21018 -0.17933 0.4006
-0.10698 0.37625 -0.22015 0.03006 -0.49255 -0.13293 -0.25982 0.0377 0.09748 -0.03855 0.07602 0.19334 0.19991 0.26834
0.49496 0.46141 0.01526 0.00214 0.0043 0.00575 0.18018 0.4929 0.51878 0.17172 -0.23844 -0.38077 0.08844 0.05536
0.01222 0.12306 -0.08885 0.18508 -0.3596 -0.45251 -0.05281 0.06005
"""
BETA_SD = """
0.02538 0.02543 0.0257 0.02541 0.02595 0.02548 0.02551 0.02531 0.02524 0.02558 0.02621 0.02497 0.02552 0.0259 0.02562
0.02597 0.02585 0.02525 0.02676 0.02525 0.02589 0.02543 0.02551 0.02475 0.02495 0.02561 0.02583 0.02575 0.02658
0.02628 0.02557 0.02499 0.02514 0.0256 0.02532 0.0263 0.02652 0.02553 0.02552 0.02575 0.02499 0.02531 0.02478 0.02504
0.02556 0.02593 0.0258 0.02643 0.02537 0.02512
"""


@pb.model
def logistic(x, y=None):
    """Binary outcomes with log odds linear in the columns of x."""
    alpha = pb.sample("alpha", dist.Normal(0.0, 1.0))
    beta = pb.sample("beta", dist.Normal(0.0, 1.0), dims="covariate")
    pb.sample("y", dist.Bernoulli(logits=alpha + x @ beta), obs=y, dims="observation")


def data() -> dict:
    """Arguments of the model call."""
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(N, K))
    beta = 0.3 * rng.normal(size=K)
    y = (rng.uniform(size=N) < 1 / (1 + np.exp(-(0.5 + x @ beta)))).astype(int)
    return {"x": x, "y": y, "coords": {"covariate": K, "observation": N}}


def reference() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Posterior means and standard deviations from a long run of another program and another density.

    NumPyro 0.22, NUTS, double precision, 4 chains of 1000 + 5000 iterations, PRNGKey(7), on the model of
    `benchmarks/peers_numpyro.py`; the largest R-hat was 1.0007.
    """
    return {
        "alpha": (0.51184, 0.0263),
        "beta": (numbers(BETA_MEAN), numbers(BETA_SD)),
    }
