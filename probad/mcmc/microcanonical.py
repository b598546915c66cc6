"""The transition of the adjusted microcanonical sampler: a path of constant speed, accepted or rejected at its end.

The direction of motion u, of length 1, turns towards the gradient; it takes the place of the momentum. What kinetic
energy is to Hamilton, (d - 1) log w is here, with w the factor by which the ends of the path are spread apart. The
sampler needs fewer gradients than HMC where the metric makes the posterior round.

Source: Robnik, Cohn-Gordon and Seljak, "Metropolis adjusted microcanonical Hamiltonian Monte Carlo" (2025),
arXiv:2503.01707; the isokinetic updates as in Tuckerman et al., J. Chem. Phys. 115 (2001) 1678.
"""

from __future__ import annotations

import math

from probad.mcmc.integrators import note_energy_error
from probad.mcmc.intrinsics import evaluate
from probad.mcmc.metrics import drift, whiten_gradient
from probad.mcmc.proposal import accepts, begin_statistics, step_limit
from probad.mcmc.random import fill_normal, uniform
from probad.mcmc.rows import copy_row, squared_norm
from probad.mcmc.workspace import (
    CHOSEN_ENERGY,
    DIVERGING,
    FAILED,
    FINE,
    GRADIENT,
    JITTER,
    LOGP,
    MAX_STEPS,
    MOMENTUM,
    N_STEPS,
    POSITION,
    RIGHT_FORCE,
    RIGHT_MOMENTUM,
    RIGHT_POSITION,
    STEP_SIZE,
    STOP,
    STOPPED,
    TRAJECTORY_LENGTH,
    WALK_GRADIENT,
    WALK_LOGP,
)

LAMBDA = 0.1931833275037836  # of the least error of two gradients a step: McLachlan, SIAM J. Sci. Comput. 16 (1995) 151
GRADIENTS_PER_STEP = 2


def turn(rows, direction, force, step, dim):
    """Turn the direction towards the force; returns the kinetic energy that is gained, in nats."""
    norm = math.sqrt(squared_norm(rows, force, dim))
    if norm == 0.0:
        return 0.0
    u = direction * dim
    g = force * dim
    along = 0.0
    for i in range(dim):
        along = along + rows[u + i] * rows[g + i]
    along = along / norm
    turned = step * norm / float(dim - 1)
    shrink = math.exp(-turned)
    towards = (1.0 - shrink) * (1.0 + shrink + along * (1.0 - shrink)) / norm
    for i in range(dim):
        rows[u + i] = towards * rows[g + i] + 2.0 * shrink * rows[u + i]
    normalise(rows, direction, dim)
    spread = turned - math.log(2.0) + math.log(1.0 + along + (1.0 - along) * shrink * shrink)
    return float(dim - 1) * spread


def normalise(rows, row, dim):
    """Scale a row to length 1."""
    factor = 1.0 / math.sqrt(squared_norm(rows, row, dim))
    for i in range(dim):
        rows[row * dim + i] = factor * rows[row * dim + i]


def isokinetic_step(address, ctx, rows, scalars, counts, metric, step, dim):
    """One step of McLachlan's integrator of the RIGHT rows.

    Returns
    -------
    float
        The kinetic energy gained, in nats; infinite where the density is not finite, NaN if it failed.
    """
    gain = turn(rows, RIGHT_MOMENTUM, RIGHT_FORCE, LAMBDA * step, dim)
    drift(rows, counts, metric, RIGHT_POSITION, RIGHT_MOMENTUM, 0.5 * step, dim)
    status = evaluate(address, ctx, rows, RIGHT_POSITION, WALK_GRADIENT, scalars, WALK_LOGP, dim)
    if status == 0:
        whiten_gradient(rows, counts, metric, WALK_GRADIENT, RIGHT_FORCE, dim)
        middle = (1.0 - 2.0 * LAMBDA) * step
        gain = gain + turn(rows, RIGHT_MOMENTUM, RIGHT_FORCE, middle, dim)
        drift(rows, counts, metric, RIGHT_POSITION, RIGHT_MOMENTUM, 0.5 * step, dim)
        status = evaluate(address, ctx, rows, RIGHT_POSITION, WALK_GRADIENT, scalars, WALK_LOGP, dim)
    if status == FAILED:
        return math.nan
    if status != 0:
        return math.inf
    whiten_gradient(rows, counts, metric, WALK_GRADIENT, RIGHT_FORCE, dim)
    return gain + turn(rows, RIGHT_MOMENTUM, RIGHT_FORCE, LAMBDA * step, dim)


def number_of_isokinetic_steps(scalars, counts, random, dim):
    """Steps of one path, whose length is drawn from (1 - j, 1 + j) times the mean, in lengths of a normal vector."""
    stretch = 1.0 + scalars[JITTER] * (2.0 * uniform(random) - 1.0)
    length = stretch * scalars[TRAJECTORY_LENGTH] * math.sqrt(float(dim))
    limit = step_limit(counts, GRADIENTS_PER_STEP * counts[MAX_STEPS]) // GRADIENTS_PER_STEP
    return max(1, int(min(length / scalars[STEP_SIZE], float(limit)) + 0.5))


def mams_transition(address, ctx, rows, scalars, counts, random, metric, dim):
    """One transition of the chain: draw a direction, follow the path, accept its end or stay.

    The arguments are those of `probad.mcmc.kernel.run_iterations`.

    Returns
    -------
    int
        FINE, FAILED or STOPPED; the statistics of the transition are left in `scalars` and `counts`.
    """
    fill_normal(random, rows, MOMENTUM, dim)
    normalise(rows, MOMENTUM, dim)
    copy_row(rows, POSITION, RIGHT_POSITION, dim)
    whiten_gradient(rows, counts, metric, GRADIENT, RIGHT_FORCE, dim)
    copy_row(rows, MOMENTUM, RIGHT_MOMENTUM, dim)
    begin_statistics(scalars, counts, -scalars[LOGP])
    n_steps = number_of_isokinetic_steps(scalars, counts, random, dim)
    step = scalars[STEP_SIZE]
    kinetic = 0.0
    error = 0.0
    while counts[N_STEPS] < GRADIENTS_PER_STEP * n_steps and counts[DIVERGING] == 0:
        gain = isokinetic_step(address, ctx, rows, scalars, counts, metric, step, dim)
        if math.isnan(gain):
            return FAILED
        if counts[STOP] != 0:
            return STOPPED
        counts[N_STEPS] = counts[N_STEPS] + GRADIENTS_PER_STEP
        kinetic = kinetic + gain
        energy = kinetic - scalars[WALK_LOGP]
        if not (abs(energy) < math.inf):
            energy = math.inf
        error = note_energy_error(scalars, counts, energy)
    if accepts(scalars, counts, random, error):
        copy_row(rows, RIGHT_POSITION, POSITION, dim)
        copy_row(rows, WALK_GRADIENT, GRADIENT, dim)
        scalars[LOGP] = scalars[WALK_LOGP]
        scalars[CHOSEN_ENERGY] = kinetic - scalars[WALK_LOGP]
    return FINE
