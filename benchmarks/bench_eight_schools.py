"""Effective draws of eight schools per second and per gradient, by sampler and target acceptance.

4 chains of 1000 warm-up iterations and 1000 draws; medians of fresh processes, each with a seed of its own. Seconds are
those of the call as a user waits for it, with warm-up, checks and the conversion to ArviZ. The effective sample size is
the smallest bulk figure of mu, tau and theta.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
N_PROCESSES = 3

SAMPLING = """
import json, sys, time
import numpy as np
import arviz as az
import probad as pb
from models import eight_schools
algorithm, options = json.loads(sys.argv[1])
model = eight_schools.eight_schools(**eight_schools.data())
start = time.perf_counter()
post = getattr(pb, algorithm)(model, draws=1000, warmup=1000, chains=4, keep_warmup=True, progress=False, **options)
seconds = time.perf_counter() - start
n_draws, n_warmup = (int(post[group]["n_steps"].sum()) for group in ("sample_stats", "warmup_sample_stats"))
ess = az.ess(post, var_names=["mu", "tau", "theta"], method="bulk")
least = min(float(np.min(ess[name].values)) for name in ("mu", "tau", "theta"))
print(json.dumps({
    "seconds": seconds,
    "us / gradient": 1e6 * float(post["posterior"].attrs["sampling_time"]) / (n_draws + n_warmup),
    "min ESS": least,
    "ESS / s": least / seconds,
    "ESS / 1000 gradients": 1000 * least / n_draws,
    "with warm-up": 1000 * least / (n_draws + n_warmup),
    "divergences": int(post["sample_stats"]["diverging"].sum()),
}))
"""
CASES = {
    "nuts 0.8": ("nuts", {"target_accept": 0.8}),
    "nuts 0.95": ("nuts", {"target_accept": 0.95}),
    "hmc 0.8": ("hmc", {"target_accept": 0.8}),
}


def cases() -> list[str]:
    """Names of the cases."""
    return list(CASES)


def run(case: str) -> dict[str, float]:
    """Sample in fresh processes; medians by figure."""
    algorithm, options = CASES[case]
    found = []
    for seed in range(1, 1 + N_PROCESSES):
        setting = json.dumps([algorithm, {**options, "seed": seed}])
        command = [sys.executable, "-W", "ignore", "-c", SAMPLING, setting]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{case} failed:\n{done.stderr}")
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: statistics.median(row[key] for row in found) for key in found[0]}
