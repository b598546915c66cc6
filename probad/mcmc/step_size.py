"""The step size: a first one by trial, then by dual averaging of the acceptance."""

from __future__ import annotations

import math

from probad.mcmc.integrators import leapfrog, total_energy
from probad.mcmc.metrics import whiten_gradient
from probad.mcmc.random import fill_normal
from probad.mcmc.riemannian import loss_of_one_step
from probad.mcmc.rows import copy_row
from probad.mcmc.workspace import (
    ACCEPTANCE_GAP,
    ALGORITHM,
    AVERAGED,
    FAILED,
    FINE,
    GRADIENT,
    LOG_STEP_AVERAGE,
    LOG_STEP_CENTRE,
    LOGP,
    MANIFOLD_MALA,
    MOMENTUM,
    NO_STEP_SIZE,
    POSITION,
    RIEMANNIAN,
    RIGHT_FORCE,
    RIGHT_MOMENTUM,
    RIGHT_POSITION,
    SAME_METRIC,
    STEP_SIZE,
    STOP,
    STOPPED,
    TARGET_ACCEPT,
    WALK_GRADIENT,
    WALK_LOGP,
)

GAMMA, OFFSET, DECAY = 0.05, 10.0, 0.75  # Hoffman and Gelman (2014), section 3.2
SMALLEST_STEP, LARGEST_STEP = 1e-12, 1e7


def restart_averaging(scalars, counts):
    """Forget the averages and look around ten times the present step size."""
    scalars[LOG_STEP_CENTRE] = math.log(10.0 * scalars[STEP_SIZE])
    scalars[LOG_STEP_AVERAGE] = 0.0
    scalars[ACCEPTANCE_GAP] = 0.0
    counts[AVERAGED] = 0
    counts[SAME_METRIC] = 0


def average_step_size(scalars, counts, acceptance):
    """One step of dual averaging towards the target acceptance (Hoffman and Gelman 2014, equation 6).

    The average that draws will use begins anew with each metric, since a step that was right for the last metric may be
    far too long for this one.
    """
    counts[AVERAGED] = counts[AVERAGED] + 1
    counts[SAME_METRIC] = counts[SAME_METRIC] + 1
    n = float(counts[AVERAGED])
    weight = 1.0 / (n + OFFSET)
    gap = (1.0 - weight) * scalars[ACCEPTANCE_GAP] + weight * (scalars[TARGET_ACCEPT] - acceptance)
    scalars[ACCEPTANCE_GAP] = gap
    log_step = scalars[LOG_STEP_CENTRE] - gap * math.sqrt(n) / GAMMA
    log_step = min(max(log_step, math.log(SMALLEST_STEP)), math.log(LARGEST_STEP))
    share = math.pow(float(counts[SAME_METRIC]), -DECAY)
    scalars[LOG_STEP_AVERAGE] = share * log_step + (1.0 - share) * scalars[LOG_STEP_AVERAGE]
    scalars[STEP_SIZE] = math.exp(log_step)


def finish_step_size(scalars, counts):
    """Take the averaged step size for the draws."""
    if counts[AVERAGED] > 0:
        scalars[STEP_SIZE] = math.exp(scalars[LOG_STEP_AVERAGE])


def energy_loss_of_one_step(address, ctx, rows, scalars, counts, random, metric, dim):
    """Minus the energy error of one step from here with a new momentum; NaN if the density failed."""
    if counts[ALGORITHM] == RIEMANNIAN or counts[ALGORITHM] == MANIFOLD_MALA:
        is_langevin = counts[ALGORITHM] == MANIFOLD_MALA
        return loss_of_one_step(address, ctx, rows, scalars, counts, random, is_langevin, dim)
    fill_normal(random, rows, MOMENTUM, dim)
    copy_row(rows, POSITION, RIGHT_POSITION, dim)
    whiten_gradient(rows, counts, metric, GRADIENT, RIGHT_FORCE, dim)
    copy_row(rows, MOMENTUM, RIGHT_MOMENTUM, dim)
    start = total_energy(rows, scalars, MOMENTUM, LOGP, 0, dim)
    step = scalars[STEP_SIZE]
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
        return math.nan
    return start - total_energy(rows, scalars, RIGHT_MOMENTUM, WALK_LOGP, status, dim)


def find_step_size(address, ctx, rows, scalars, counts, random, metric, dim):
    """Double or halve the step size until the acceptance of one step crosses 0.8.

    Returns
    -------
    int
        FINE, FAILED, STOPPED, or NO_STEP_SIZE if no step is short enough.

    Source: Hoffman and Gelman (2014), algorithm 4, with Stan's threshold.
    """
    threshold = math.log(0.8)
    loss = energy_loss_of_one_step(address, ctx, rows, scalars, counts, random, metric, dim)
    growing = loss > threshold
    searching = True
    while searching:
        if loss != loss:
            return FAILED
        if counts[STOP] != 0:
            return STOPPED
        if growing:
            searching = loss > threshold and scalars[STEP_SIZE] < LARGEST_STEP
        else:
            searching = loss < threshold
            if searching and scalars[STEP_SIZE] < SMALLEST_STEP:
                return NO_STEP_SIZE
        if searching:
            if growing:
                scalars[STEP_SIZE] = 2.0 * scalars[STEP_SIZE]
            else:
                scalars[STEP_SIZE] = 0.5 * scalars[STEP_SIZE]
            loss = energy_loss_of_one_step(address, ctx, rows, scalars, counts, random, metric, dim)
    return FINE
