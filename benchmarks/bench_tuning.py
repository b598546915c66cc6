"""Tuning HMC by gradients through its trajectories, against dual averaging, by effective draws per gradient.

Both have trajectories of five steps, whose lengths are jittered by half, and a diagonal metric. Effective draws are the
smallest bulk figure of any coordinate and its square; medians of three seeds. "all" counts the gradients of tuning too:
those through trajectories, each with its reverse sweep as three, or those of 500 iterations of warm-up in each chain.
"""

from __future__ import annotations

import statistics
import warnings

import arviz as az
import numpy as np

import probad as pb
from examples.tune_hmc import N_STEPS, regression, tune

N_SEEDS, DRAWS, WARMUP, CHAINS = 3, 1000, 500, 4


def _gaussian(dim: int = 20):
    scales = np.logspace(-2.0, 2.0, dim)
    return lambda z: -0.5 * np.sum((z / scales) ** 2, axis=-1)


TARGETS = {"gaussian, scales 1e-2 to 1e2": (_gaussian(), 20), "logistic regression": (regression(), 6)}


def cases() -> list[str]:
    """Names of the cases."""
    return [f"{target}; {way}" for target in TARGETS for way in ("gradients", "dual averaging")]


def run(case: str) -> dict[str, float]:
    """Tune and sample; medians by figure."""
    target, way = case.split("; ")
    logp, dim = TARGETS[target]
    density = pb.LogDensity.from_function(logp, dim)
    options = {"n_steps": N_STEPS, "jitter": 0.5, "draws": DRAWS, "chains": CHAINS, "progress": False}
    found = []
    for seed in range(1, 1 + N_SEEDS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pb.errors.SamplingWarning)  # figures below say what there is to say
            if way == "gradients":
                tuned = tune(logp, dim, seed=seed)
                tuning = tuned.n_gradients
                given = {"metric": tuned.inverse_mass, "step_size": tuned.step_size, "init": tuned.mean}
                post = pb.hmc(density, **options, **given, warmup=0, seed=seed)
            else:
                post = pb.hmc(density, **options, metric="diag", warmup=WARMUP, keep_warmup=True, seed=seed)
                tuning = int(post["warmup_sample_stats"]["n_steps"].sum())
        draws = np.asarray(post["posterior"]["x"])
        columns = [draws[..., i] for i in range(dim)]
        least = min(float(az.ess(np.ascontiguousarray(c), method="bulk")) for x in columns for c in (x, x**2))
        n = int(post["sample_stats"]["n_steps"].sum())
        found.append(
            {
                "acceptance": float(post["sample_stats"]["acceptance_rate"].mean()),
                "gradients of tuning": tuning,
                "ESS / 1000 gradients": 1000 * least / n,
                "all": 1000 * least / (n + tuning),
            }
        )
    return {name: statistics.median(row[name] for row in found) for name in found[0]}
