"""Riemannian HMC and manifold MALA against NUTS, on a funnel and a banana: what a metric of position costs and brings.

"gradients" are gradient equivalents, warm-up included: a Hessian counts as one gradient for each coordinate, the
gradient of a contraction with it as twice that, a Fisher information given as a formula as one gradient, and its
contraction as two. ESS is the smaller of the bulk figures for x and x^2, least over the coordinates. "below 5 %" and
"above 95 %" are shares of draws of the first coordinate beyond its exact quantiles: 5 % each if the tails are reached.
Medians of three seeds, 4 chains on one thread.
"""

from __future__ import annotations

import statistics
import warnings

import numpy as np

import probad as pb
from probad.convergence import bulk_effective_sample_size

SEEDS = (1, 2, 3)
NORMAL_95 = 1.6448536269514722
OPTIONS = {"chains": 4, "cores": 1, "progress": False, "keep_unconstrained": True, "keep_warmup": True}


def funnel(z):
    """Neal's funnel in ten dimensions: z[0] ~ Normal(0, 3), the others Normal(0, exp(z[0] / 2))."""
    return -(z[0] ** 2) / 18 - 4.5 * z[0] - 0.5 * np.exp(-z[0]) * np.sum(z[1:] ** 2)


def banana(z):
    """z[0] ~ Normal(0, 2), z[1] ~ Normal(z[0]^2 / 4, 1/2)."""
    return -(z[0] ** 2) / 8 - 2.0 * (z[1] - 0.25 * z[0] ** 2) ** 2


def information_of_the_funnel(z):
    """Expected information of the ten-dimensional funnel."""
    return np.diag(np.concatenate([np.stack([1 / 9 + 4.5 + 0 * z[0]]), np.exp(-z[0]) * np.ones(9)]))


def information_of_the_banana(z):
    """J'J of the two standardised residuals of the banana."""
    return np.stack([np.stack([0.25 + z[0] ** 2, -2.0 * z[0]]), np.stack([-2.0 * z[0], 4.0 + 0 * z[0]])])


TARGETS = {"funnel": (funnel, 10, 3.0), "banana": (banana, 2, 2.0)}
SAMPLERS = {
    "nuts": ("nuts", {"draws": 2000, "warmup": 1000}),
    "nuts, careful": ("nuts", {"draws": 2000, "warmup": 1000, "target_accept": 0.95}),
    "rmhmc, softabs": ("rmhmc", {"draws": 500, "warmup": 200}),
    "rmhmc, fisher": ("rmhmc", {"draws": 1000, "warmup": 300, "metric": "fisher"}),
    "rmhmc, fisher, midpoint": (
        "rmhmc",
        {"draws": 1000, "warmup": 300, "metric": "fisher", "integrator": "midpoint"},
    ),
    "manifold mala": ("manifold_mala", {"draws": 10_000, "warmup": 1000}),
}
# the funnel is long in its own metric; flat regions are wide in it
TUNED = {
    ("funnel", "rmhmc, softabs"): {"trajectory_length": 8.0, "softening": 1000.0},
    ("funnel", "rmhmc, fisher"): {"trajectory_length": 12.0, "metric_fn": information_of_the_funnel},
    ("funnel", "rmhmc, fisher, midpoint"): {"trajectory_length": 12.0, "metric_fn": information_of_the_funnel},
    ("banana", "rmhmc, softabs"): {"softening": 10.0},
    ("banana", "rmhmc, fisher"): {"metric_fn": information_of_the_banana},
    ("banana", "rmhmc, fisher, midpoint"): {"metric_fn": information_of_the_banana},
}


def cases() -> list[str]:
    """Names of the cases."""
    return [f"{target}: {sampler}" for target in TARGETS for sampler in SAMPLERS]


def run(case: str) -> dict[str, float]:
    """Medians of one sampler on one target."""
    target, _, sampler = case.partition(": ")
    logp, dim, scale = TARGETS[target]
    density = pb.LogDensity.from_function(logp, dim)
    name, options = SAMPLERS[sampler]
    options = {**options, **TUNED.get((target, sampler), {})}
    rows = []
    for seed in SEEDS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pb.errors.SamplingWarning)
            post = getattr(pb, name)(density, seed=seed, **options, **OPTIONS)
        rows.append(_figures(post, dim, scale))
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def _figures(post, dim: int, scale: float) -> dict[str, float]:
    z = post["unconstrained_posterior"]["z"].values
    ess = float(min(bulk_effective_sample_size(x).min() for x in (z, z**2)))
    spent, gradients = float(post["posterior"].attrs["sampling_time"]), _gradients(post, dim)
    return {
        "ESS": ess,
        "ESS / s": ess / spent,
        "gradients": gradients,
        "ESS / 1000": 1000 * ess / gradients,
        "below 5 %": 100 * float(np.mean(z[..., 0] < -NORMAL_95 * scale)),
        "above 95 %": 100 * float(np.mean(z[..., 0] > NORMAL_95 * scale)),
        "divergent %": 100 * float(post["sample_stats"]["diverging"].mean()),
    }


def _gradients(post, dim: int) -> float:
    """Gradient equivalents of a run."""
    attrs = post["posterior"].attrs
    if "n_curvatures" not in attrs:
        return float(post["sample_stats"]["n_steps"].sum() + post["warmup_sample_stats"]["n_steps"].sum())
    matrix = 1 if attrs["metric"] == "fisher" else dim
    return float(attrs["n_curvatures"] * (1 + matrix) + attrs["n_contractions"] * 2 * matrix)
