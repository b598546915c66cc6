"""Effective draws per 1000 gradients, warm-up included, by target and sampler.

4 chains of 1000 warm-up iterations and 1000 draws, default settings; the smaller bulk effective sample size of x and of
x squared, over all unconstrained coordinates; medians of three seeds. The targets are those of `benchmarks.targets`,
the same density for every system. Peers are compared where they are installed. A figure in the column "R-hat" above
1.01 says that chains did not agree, and that the others on its line mean little.
"""

from __future__ import annotations

import statistics

from benchmarks.systems import SYSTEMS, installed, largest_r_hat, least_ess
from benchmarks.targets import TARGETS

SEEDS = (1, 2, 3)


def cases() -> list[str]:
    """Names of the cases."""
    return [f"{target}: {system}" for target in TARGETS for system in installed()]


def run(case: str) -> dict[str, float]:
    """Sample one target by one system; medians by figure."""
    target, _, system = case.partition(": ")
    try:
        sample = SYSTEMS[system].sample_target(target)
        found = [_figures(sample(seed)) for seed in SEEDS]
    except ValueError as error:  # an option that this version does not have yet
        print(f"{case} is left out: {error}")
        return {}
    return {key: statistics.median(row[key] for row in found) for key in found[0]}


def _figures(draws) -> dict[str, float]:
    z = draws.values["z"]
    of_x, of_square = least_ess({"z": z}), least_ess({"z": z**2})
    n_all = draws.n_gradients + draws.n_warmup_gradients
    return {
        "ESS of x": of_x,
        "ESS of x^2": of_square,
        "gradients": draws.n_gradients,
        "in warm-up": draws.n_warmup_gradients,
        "ESS / 1000": 1000 * min(of_x, of_square) / n_all,
        "x alone": 1000 * of_x / n_all,
        "R-hat": largest_r_hat({"z": z}),
        "divergent": draws.n_divergent,
    }
