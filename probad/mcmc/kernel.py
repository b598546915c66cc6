"""The loop of a chain: transitions, warm-up, draws and statistics, some iterations at a time."""

from __future__ import annotations

import math

from probad.mcmc.elliptical import elliptical_transition
from probad.mcmc.estimates import renew_metric
from probad.mcmc.microcanonical import mams_transition
from probad.mcmc.riemannian import manifold_mala_transition, riemannian_transition
from probad.mcmc.static import hmc_transition
from probad.mcmc.step_size import average_step_size, find_step_size, finish_step_size, restart_averaging
from probad.mcmc.trajectory import nuts_transition
from probad.mcmc.walk import adapt_walking_step, metropolis_transition, walking_step_size
from probad.mcmc.workspace import (
    ACCEPTANCE_SUM,
    ADAPTATION,
    ALGORITHM,
    ARRIVED,
    BY_DRAWS_AND_GRADIENTS,
    CHOSEN_ENERGY,
    CLIMBING,
    DIVERGING,
    ELLIPTICAL,
    FINE,
    GRADIENT,
    HMC,
    ITERATION,
    LOGP,
    MAMS,
    MANIFOLD_MALA,
    MAX_ENERGY_ERROR,
    METROPOLIS,
    N_DRAWS,
    N_STATISTICS,
    N_STEPS,
    N_WARMUP,
    NUTS,
    POSITION,
    RIEMANNIAN,
    SAME_METRIC,
    SATURATED,
    START_ENERGY,
    STEP_SIZE,
    STEP_SIZE_USED,
    SYMMETRIC_SUM,
    TREE_DEPTH,
)

CLIMB = 10.0  # rise of the log density over a window, in units of sqrt(dim), from which a chain is on its way


def run_iterations(
    address, ctx, rows, scalars, counts, random, schedule, metric, draws, gradients, statistics, work, n_iterations, dim
):
    """Advance a chain by up to `n_iterations`, and stop at its end.

    Parameters
    ----------
    address, ctx
        The log density; see `probad.mcmc.intrinsics.evaluate`.
    rows, scalars, counts, random, schedule, metric, draws, gradients, statistics, work
        The arrays of a `probad.mcmc.workspace.Workspace`, each of them flat.
    n_iterations : int
    dim : int

    Returns
    -------
    int
        FINE, FAILED if the density failed, NO_STEP_SIZE if warm-up found no step short enough, or STOPPED if
        ``counts[STOP]`` asked for that. ``counts[ITERATION]`` tells how many iterations are complete.
    """
    end = counts[N_WARMUP] + counts[N_DRAWS]
    for _ in range(n_iterations):
        iteration = counts[ITERATION]
        if iteration >= end:
            return FINE
        status = FINE
        if iteration == 0 and counts[N_WARMUP] > 0:
            status = begin_warmup(address, ctx, rows, scalars, counts, random, metric, dim)
        if status != FINE:
            return status
        scalars[STEP_SIZE_USED] = scalars[STEP_SIZE]
        if counts[ALGORITHM] == NUTS:
            status = nuts_transition(address, ctx, rows, scalars, counts, random, metric, dim)
        elif counts[ALGORITHM] == HMC:
            status = hmc_transition(address, ctx, rows, scalars, counts, random, metric, dim)
        elif counts[ALGORITHM] == METROPOLIS:
            status = metropolis_transition(address, ctx, rows, scalars, counts, random, metric, dim)
        elif counts[ALGORITHM] == ELLIPTICAL:
            status = elliptical_transition(address, ctx, rows, scalars, counts, random, metric, dim)
        elif counts[ALGORITHM] == RIEMANNIAN:
            status = riemannian_transition(address, ctx, rows, scalars, counts, random, dim)
        elif counts[ALGORITHM] == MANIFOLD_MALA:
            status = manifold_mala_transition(address, ctx, rows, scalars, counts, random, dim)
        else:
            status = mams_transition(address, ctx, rows, scalars, counts, random, metric, dim)
        if status != FINE:
            return status
        for i in range(dim):
            draws[iteration * dim + i] = rows[POSITION * dim + i]
        if iteration < counts[N_WARMUP]:
            status = adapt(
                address,
                ctx,
                rows,
                scalars,
                counts,
                random,
                schedule,
                metric,
                draws,
                gradients,
                statistics,
                work,
                iteration,
                dim,
            )
        if status != FINE:
            return status
        write_statistics(scalars, counts, statistics, iteration)
        counts[ITERATION] = iteration + 1
    return FINE


def begin_warmup(address, ctx, rows, scalars, counts, random, metric, dim):
    """Find a step size to start with; returns the status of `find_step_size`."""
    counts[CLIMBING] = 1
    return look_for_step_size(address, ctx, rows, scalars, counts, random, metric, dim)


def look_for_step_size(address, ctx, rows, scalars, counts, random, metric, dim):
    """Find a step size by trial and start to average from it; returns the status of `find_step_size`.

    The steps of a microcanonical path, whose speed is 1, are longer by the length of a momentum. Those of a random walk
    start from the best for a normal target; an elliptical slice has none.
    """
    if counts[ALGORITHM] == ELLIPTICAL:
        return FINE
    if counts[ALGORITHM] == METROPOLIS:
        scalars[STEP_SIZE] = walking_step_size(dim)
        restart_averaging(scalars, counts)
        return FINE
    root = math.sqrt(float(dim))
    if counts[ALGORITHM] == MAMS:
        scalars[STEP_SIZE] = scalars[STEP_SIZE] / root
    status = find_step_size(address, ctx, rows, scalars, counts, random, metric, dim)
    if counts[ALGORITHM] == MAMS:
        scalars[STEP_SIZE] = scalars[STEP_SIZE] * root
    restart_averaging(scalars, counts)
    return status


def climbs(statistics, start, end, dim):
    """Whether the chain is on its way to the posterior between two iterations, so that they tell a slope, not a shape.

    It is if the log density rises by more than it varies there, which for a normal distribution is sqrt(dim / 2).
    """
    third = (end - start) // 3
    if third < 1:
        return False
    rise = 0.0
    for k in range(third):
        rise = rise + statistics[(end - 1 - k) * N_STATISTICS] - statistics[(start + k) * N_STATISTICS]
    return rise / float(third) > CLIMB * math.sqrt(float(dim))


def mean_acceptance(scalars, counts):
    """Acceptance statistic of the transition, averaged over its steps."""
    return scalars[ACCEPTANCE_SUM] / float(max(1, counts[N_STEPS]))


def adapt(
    address, ctx, rows, scalars, counts, random, schedule, metric, draws, gradients, statistics, work, iteration, dim
):
    """Learn from the transition that has just been made; returns the status of `find_step_size`."""
    status = FINE
    if counts[ALGORITHM] == ELLIPTICAL:  # there is nothing to learn
        return status
    start = schedule[iteration]
    if counts[ADAPTATION] == BY_DRAWS_AND_GRADIENTS:
        acceptance = mean_acceptance(scalars, counts)
        if counts[CLIMBING] == 0:  # on the way a fall of the energy is welcome
            acceptance = scalars[SYMMETRIC_SUM] / float(max(1, counts[N_STEPS]))
        average_step_size(scalars, counts, acceptance)
        for i in range(dim):
            gradients[iteration * dim + i] = rows[GRADIENT * dim + i]
        if start >= 0:
            start = max(start, counts[ARRIVED])
            counts[CLIMBING] = 0
            if climbs(statistics, start, iteration, dim):
                counts[CLIMBING] = 1
                counts[ARRIVED] = iteration + 1
            else:
                renew_metric(rows, scalars, counts, metric, draws, gradients, work, start, iteration + 1, dim)
                counts[SAME_METRIC] = 0
    else:
        if counts[ALGORITHM] == METROPOLIS:
            adapt_walking_step(scalars, counts, mean_acceptance(scalars, counts))
        else:
            average_step_size(scalars, counts, mean_acceptance(scalars, counts))
        if start >= 0:
            renew_metric(rows, scalars, counts, metric, draws, gradients, work, start, iteration + 1, dim)
            status = look_for_step_size(address, ctx, rows, scalars, counts, random, metric, dim)
    if iteration == counts[N_WARMUP] - 1:
        finish_step_size(scalars, counts)
    return status


def write_statistics(scalars, counts, statistics, iteration):
    """Write the statistics of the transition; the columns are those of `workspace.STATISTICS`."""
    row = iteration * N_STATISTICS
    statistics[row] = scalars[LOGP]
    statistics[row + 1] = mean_acceptance(scalars, counts)
    statistics[row + 2] = scalars[STEP_SIZE_USED]
    statistics[row + 3] = scalars[STEP_SIZE]
    statistics[row + 4] = float(counts[TREE_DEPTH])
    statistics[row + 5] = float(counts[N_STEPS])
    statistics[row + 6] = float(counts[DIVERGING])
    statistics[row + 7] = scalars[CHOSEN_ENERGY]
    statistics[row + 8] = scalars[CHOSEN_ENERGY] - scalars[START_ENERGY]
    statistics[row + 9] = scalars[MAX_ENERGY_ERROR]
    statistics[row + 10] = float(counts[SATURATED])
