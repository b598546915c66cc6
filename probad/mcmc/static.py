"""The transition of static Hamiltonian Monte Carlo: a trajectory of fixed length, accepted or rejected at its end."""

from __future__ import annotations

import math

from probad.mcmc.integrators import copy_row, kinetic_energy, leapfrog
from probad.mcmc.metrics import draw_momentum
from probad.mcmc.random import uniform
from probad.mcmc.workspace import (
    ACCEPTANCE_SUM,
    CHOSEN_ENERGY,
    DIVERGING,
    GRADIENT,
    LOGP,
    MAX_DELTA_ENERGY,
    MAX_ENERGY_ERROR,
    MAX_STEPS,
    MOMENTUM,
    N_STEPS,
    POSITION,
    RIGHT_GRADIENT,
    RIGHT_MOMENTUM,
    RIGHT_POSITION,
    START_ENERGY,
    STEP_SIZE,
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
    if ratio >= counts[MAX_STEPS]:
        return counts[MAX_STEPS]
    return max(1, int(ratio + 0.5))


def static_transition(address, ctx, rows, scalars, counts, random, dim):
    """One transition of the chain; returns 0, or 2 if the density failed."""
    draw_momentum(rows, random, dim)
    copy_row(rows, POSITION, RIGHT_POSITION, dim)
    copy_row(rows, GRADIENT, RIGHT_GRADIENT, dim)
    copy_row(rows, MOMENTUM, RIGHT_MOMENTUM, dim)
    start = kinetic_energy(rows, MOMENTUM, dim) - scalars[LOGP]
    scalars[START_ENERGY] = start
    scalars[CHOSEN_ENERGY] = start
    scalars[ACCEPTANCE_SUM] = 0.0
    scalars[MAX_ENERGY_ERROR] = 0.0
    counts[DIVERGING] = 0
    counts[TREE_DEPTH] = 0
    counts[N_STEPS] = 0
    n_steps = number_of_steps(scalars, counts)
    step = scalars[STEP_SIZE]
    energy = start
    while counts[N_STEPS] < n_steps and counts[DIVERGING] == 0:
        status = leapfrog(
            address, ctx, rows, scalars, RIGHT_POSITION, RIGHT_GRADIENT, RIGHT_MOMENTUM, WALK_LOGP, step, dim
        )
        if status == 2:
            return 2
        counts[N_STEPS] = counts[N_STEPS] + 1
        if status == 0:
            energy = kinetic_energy(rows, RIGHT_MOMENTUM, dim) - scalars[WALK_LOGP]
            error = energy - start
            if abs(error) > abs(scalars[MAX_ENERGY_ERROR]):
                scalars[MAX_ENERGY_ERROR] = error
            if not error < MAX_DELTA_ENERGY:
                counts[DIVERGING] = 1
        else:
            counts[DIVERGING] = 1
    if counts[DIVERGING] == 0:
        acceptance = math.exp(min(0.0, start - energy))
        scalars[ACCEPTANCE_SUM] = acceptance * n_steps
        if uniform(random) < acceptance:
            copy_row(rows, RIGHT_POSITION, POSITION, dim)
            copy_row(rows, RIGHT_GRADIENT, GRADIENT, dim)
            scalars[LOGP] = scalars[WALK_LOGP]
            scalars[CHOSEN_ENERGY] = energy
    return 0
