"""The transition of static Hamiltonian Monte Carlo: a trajectory of fixed length, accepted or rejected at its end."""

from __future__ import annotations

import math

from probad.mcmc.integrators import leapfrog, note_energy_error, total_energy
from probad.mcmc.random import fill_normal, uniform
from probad.mcmc.rows import copy_row
from probad.mcmc.workspace import (
    ACCEPTANCE_SUM,
    CHOSEN_ENERGY,
    DIVERGING,
    FAILED,
    FINE,
    GRADIENT,
    LOGP,
    MAX_ENERGY_ERROR,
    MAX_STEPS,
    MOMENTUM,
    N_STEPS,
    POSITION,
    RIGHT_GRADIENT,
    RIGHT_MOMENTUM,
    RIGHT_POSITION,
    SATURATED,
    START_ENERGY,
    STEP_SIZE,
    STOP,
    STOPPED,
    TRAJECTORY_LENGTH,
    TREE_DEPTH,
    WALK_LOGP,
)


def number_of_steps(scalars, counts):
    """Steps of one trajectory: fixed, or as many as its length holds at the present step size, up to a limit."""
    length = scalars[TRAJECTORY_LENGTH]
    if length <= 0.0:
        return counts[MAX_STEPS]
    ratio = length / scalars[STEP_SIZE]
    if ratio >= float(counts[MAX_STEPS]):
        return counts[MAX_STEPS]
    return max(1, int(ratio + 0.5))


def static_transition(address, ctx, rows, scalars, counts, random, dim):
    """One transition of the chain: draw a momentum, follow the trajectory, accept its end or stay.

    The arguments are those of `probad.mcmc.kernel.run_iterations`.

    Returns
    -------
    int
        FINE, FAILED or STOPPED; the statistics of the transition are left in `scalars` and `counts`.
    """
    fill_normal(random, rows, MOMENTUM, dim)
    copy_row(rows, POSITION, RIGHT_POSITION, dim)
    copy_row(rows, GRADIENT, RIGHT_GRADIENT, dim)
    copy_row(rows, MOMENTUM, RIGHT_MOMENTUM, dim)
    energy = total_energy(rows, scalars, MOMENTUM, LOGP, 0, dim)
    error = 0.0
    scalars[START_ENERGY] = energy
    scalars[CHOSEN_ENERGY] = energy
    scalars[ACCEPTANCE_SUM] = 0.0
    scalars[MAX_ENERGY_ERROR] = 0.0
    counts[DIVERGING] = 0
    counts[TREE_DEPTH] = 0
    counts[SATURATED] = 0
    counts[N_STEPS] = 0
    n_steps = number_of_steps(scalars, counts)
    step = scalars[STEP_SIZE]
    while counts[N_STEPS] < n_steps and counts[DIVERGING] == 0:
        status = leapfrog(
            address, ctx, rows, scalars, RIGHT_POSITION, RIGHT_GRADIENT, RIGHT_MOMENTUM, WALK_LOGP, step, dim
        )
        if status == FAILED:
            return FAILED
        if counts[STOP] != 0:
            return STOPPED
        counts[N_STEPS] = counts[N_STEPS] + 1
        energy = total_energy(rows, scalars, RIGHT_MOMENTUM, WALK_LOGP, status, dim)
        error = note_energy_error(scalars, counts, energy)
    if counts[DIVERGING] == 0:
        acceptance = math.exp(min(0.0, -error))
        scalars[ACCEPTANCE_SUM] = acceptance * float(n_steps)  # as if each step had it: NUTS has one term a step
        if uniform(random) < acceptance:
            copy_row(rows, RIGHT_POSITION, POSITION, dim)
            copy_row(rows, RIGHT_GRADIENT, GRADIENT, dim)
            scalars[LOGP] = scalars[WALK_LOGP]
            scalars[CHOSEN_ENERGY] = energy
    return FINE
