"""What transitions that propose one state share: statistics of the trajectory, and the decision to move or to stay."""

from __future__ import annotations

import math

from probad.mcmc.integrators import FAR, note_acceptance
from probad.mcmc.random import uniform
from probad.mcmc.workspace import (
    ACCEPTANCE_SUM,
    ADAPTATION,
    BY_DRAWS_AND_GRADIENTS,
    CHOSEN_ENERGY,
    DIVERGING,
    ITERATION,
    MAX_ENERGY_ERROR,
    N_STEPS,
    N_WARMUP,
    SATURATED,
    START_ENERGY,
    SYMMETRIC_SUM,
    TREE_DEPTH,
)

EARLY, EARLY_STEPS = 10, 16  # steps of a trajectory in the first tenth of a warm-up by draws and gradients


def step_limit(counts, limit):
    """How many steps a trajectory may have: few at first, when a metric that is far off asks for many."""
    if counts[ADAPTATION] == BY_DRAWS_AND_GRADIENTS and counts[ITERATION] * EARLY < counts[N_WARMUP]:
        return min(limit, EARLY_STEPS)
    return limit


def begin_statistics(scalars, counts, energy):
    """Start the statistics of a trajectory from a state of this energy, in nats."""
    scalars[START_ENERGY] = energy
    scalars[CHOSEN_ENERGY] = energy
    scalars[ACCEPTANCE_SUM] = 0.0
    scalars[SYMMETRIC_SUM] = 0.0
    scalars[MAX_ENERGY_ERROR] = 0.0
    counts[DIVERGING] = 0
    counts[TREE_DEPTH] = 0
    counts[SATURATED] = 0
    counts[N_STEPS] = 0


def accepts(scalars, counts, random, error):
    """Whether the end of a trajectory with this energy error is accepted; never after a divergence.

    The acceptance counts as if each step had it, since the tree of NUTS has one term a step.
    """
    if counts[DIVERGING] != 0:
        return False
    note_acceptance(scalars, math.exp(min(FAR, -error)))
    n_steps = float(counts[N_STEPS])
    scalars[ACCEPTANCE_SUM] = n_steps * scalars[ACCEPTANCE_SUM]
    scalars[SYMMETRIC_SUM] = n_steps * scalars[SYMMETRIC_SUM]
    return uniform(random) < math.exp(min(0.0, -error))
