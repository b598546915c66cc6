"""The transition of Hamiltonian Monte Carlo: a trajectory of given length, accepted or rejected at its end.

The length may be random, and the momentum renewed in part only. One step each is the Metropolis-adjusted Langevin
algorithm; one step with little renewal is generalised HMC (Horowitz 1991).
"""

from __future__ import annotations

import math

from probad.mcmc.integrators import leapfrog, note_energy_error, total_energy
from probad.mcmc.metrics import whiten_gradient
from probad.mcmc.proposal import accepts, begin_statistics, step_limit
from probad.mcmc.random import fill_normal, uniform
from probad.mcmc.rows import copy_row
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
    REFRESHMENT,
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


def number_of_steps(scalars, counts, random):
    """Steps of one trajectory: as many as its length holds at the present step size, up to a limit, or a fixed number.

    With jitter j the length is drawn from (1 - j, 1 + j) times what is given.
    """
    stretch = 1.0
    if scalars[JITTER] > 0.0:
        stretch = 1.0 + scalars[JITTER] * (2.0 * uniform(random) - 1.0)
    length = scalars[TRAJECTORY_LENGTH]
    if length > 0.0:
        steps = min(stretch * length / scalars[STEP_SIZE], float(step_limit(counts, counts[MAX_STEPS])))
    else:
        steps = stretch * float(counts[MAX_STEPS])
    return max(1, int(steps + 0.5))


def renew_momentum(rows, scalars, random, dim):
    """Draw the momentum, or mix it with a new one in the share that is asked for."""
    if scalars[REFRESHMENT] == 1.0:
        fill_normal(random, rows, MOMENTUM, dim)
    else:
        fill_normal(random, rows, RIGHT_MOMENTUM, dim)
        new = scalars[REFRESHMENT]
        old = math.sqrt(1.0 - new * new)
        for i in range(dim):
            rows[MOMENTUM * dim + i] = old * rows[MOMENTUM * dim + i] + new * rows[RIGHT_MOMENTUM * dim + i]


def hmc_transition(address, ctx, rows, scalars, counts, random, metric, dim):
    """One transition of the chain: renew the momentum, follow the trajectory, accept its end or stay.

    The arguments are those of `probad.mcmc.kernel.run_iterations`.

    Returns
    -------
    int
        FINE, FAILED or STOPPED; the statistics of the transition are left in `scalars` and `counts`.
    """
    renew_momentum(rows, scalars, random, dim)
    copy_row(rows, POSITION, RIGHT_POSITION, dim)
    whiten_gradient(rows, counts, metric, GRADIENT, RIGHT_FORCE, dim)
    copy_row(rows, MOMENTUM, RIGHT_MOMENTUM, dim)
    begin_statistics(scalars, counts, total_energy(rows, scalars, MOMENTUM, LOGP, 0, dim))
    energy = 0.0
    error = 0.0
    n_steps = number_of_steps(scalars, counts, random)
    step = scalars[STEP_SIZE]
    while counts[N_STEPS] < n_steps and counts[DIVERGING] == 0:
        status = leapfrog(
            address,
            ctx,
            rows,
            scalars,
            counts,
            metric,
            RIGHT_POSITION,
            WALK_GRADIENT,
            RIGHT_FORCE,
            RIGHT_MOMENTUM,
            WALK_LOGP,
            step,
            dim,
        )
        if status == FAILED:
            return FAILED
        if counts[STOP] != 0:
            return STOPPED
        counts[N_STEPS] = counts[N_STEPS] + 1
        energy = total_energy(rows, scalars, RIGHT_MOMENTUM, WALK_LOGP, status, dim)
        error = note_energy_error(scalars, counts, energy)
    if accepts(scalars, counts, random, error):
        copy_row(rows, RIGHT_POSITION, POSITION, dim)
        copy_row(rows, WALK_GRADIENT, GRADIENT, dim)
        copy_row(rows, RIGHT_MOMENTUM, MOMENTUM, dim)
        scalars[LOGP] = scalars[WALK_LOGP]
        scalars[CHOSEN_ENERGY] = energy
    else:
        for i in range(dim):
            rows[MOMENTUM * dim + i] = -rows[MOMENTUM * dim + i]
    return FINE
