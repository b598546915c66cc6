"""Bayesian models as plain Python functions over NumPy: differentiated, sampled, handed to ArviZ.

@pb.model
def eight_schools(sigma, y=None):
mu = pb.sample("mu", dist.Normal(0.0, 5.0))
tau = pb.sample("tau", dist.HalfCauchy(5.0))
theta = pb.sample("theta", dist.Normal(mu, tau), dims="school")
pb.sample("y", dist.Normal(theta, sigma), obs=y, dims="school")

post = pb.nuts(eight_schools(sigma, y=y, coords={"school": names}), seed=1)
"""

from probad import dist, errors, numerics
from probad.ad import check_grads, grad, hvp, jvp, stop_gradient, value_and_grad, vjp
from probad.density import LogDensity
from probad.diagnostics import diagnose
from probad.inference import hmc, nuts, vi
from probad.model import deterministic, factor, model, sample
from probad.stress import stress
from probad.version import __version__

__all__ = [
    "LogDensity",
    "__version__",
    "check_grads",
    "deterministic",
    "diagnose",
    "dist",
    "errors",
    "factor",
    "grad",
    "hmc",
    "hvp",
    "jvp",
    "model",
    "numerics",
    "nuts",
    "sample",
    "stop_gradient",
    "stress",
    "value_and_grad",
    "vi",
    "vjp",
]
