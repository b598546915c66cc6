"""Bayesian models as plain Python functions over NumPy: differentiated, sampled, handed to ArviZ.

For example::

    import probad as pb
    from probad import dist

    @pb.model
    def eight_schools(sigma, y=None):
        mu = pb.sample("mu", dist.Normal(0.0, 5.0))
        tau = pb.sample("tau", dist.HalfCauchy(5.0))
        theta = pb.sample("theta", dist.Normal(mu, tau), dims="school")
        pb.sample("y", dist.Normal(theta, sigma), obs=y, dims="school")

    post = pb.nuts(eight_schools(sigma, y=y, coords={"school": names}), seed=1)
"""

from probad import dist, errors, numerics
from probad.ad import (
    ResidualBlock,
    anomaly_mode,
    check_grads,
    checkpoint,
    checkpointed_loop,
    curl,
    curried_grad,
    curried_jvp,
    custom_derivative,
    derivative,
    directional_derivative,
    divergence,
    fixed_point,
    grad,
    graph,
    hessian,
    hvp,
    interval,
    jacobian,
    jvp,
    laplacian,
    least_squares,
    linearize,
    root,
    sparse_hessian,
    sparse_hessian_plan,
    sparse_jacobian,
    sparse_jacobian_plan,
    stop_gradient,
    taylor,
    trace_table,
    value_and_grad,
    vjp,
    vmap,
)
from probad.density import LogDensity
from probad.diagnostics import diagnose
from probad.inference import fit, hmc, mams, nuts, vi
from probad.model import deterministic, factor, model, sample
from probad.native import compile
from probad.runs import read_store, resume
from probad.samplers import elliptical_slice, mala, manifold_mala, metropolis, rmhmc
from probad.show import show
from probad.stress import stress
from probad.version import __version__

__all__ = [
    "LogDensity",
    "ResidualBlock",
    "__version__",
    "anomaly_mode",
    "check_grads",
    "checkpoint",
    "checkpointed_loop",
    "compile",
    "curl",
    "curried_grad",
    "curried_jvp",
    "custom_derivative",
    "derivative",
    "deterministic",
    "diagnose",
    "directional_derivative",
    "dist",
    "divergence",
    "elliptical_slice",
    "errors",
    "factor",
    "fit",
    "fixed_point",
    "grad",
    "graph",
    "hessian",
    "hmc",
    "hvp",
    "interval",
    "jacobian",
    "jvp",
    "laplacian",
    "least_squares",
    "linearize",
    "mala",
    "mams",
    "manifold_mala",
    "metropolis",
    "model",
    "numerics",
    "nuts",
    "read_store",
    "resume",
    "rmhmc",
    "root",
    "sample",
    "show",
    "sparse_hessian",
    "sparse_hessian_plan",
    "sparse_jacobian",
    "sparse_jacobian_plan",
    "stop_gradient",
    "stress",
    "taylor",
    "trace_table",
    "value_and_grad",
    "vi",
    "vjp",
    "vmap",
]
