"""The loop of a chain: transitions, warm-up, draws and statistics, some iterations at a time."""

from __future__ import annotations

from probad.mcmc.adaptation import (
    COLLECT,
    UPDATE,
    average_step_size,
    find_step_size,
    finish_step_size,
    restart_averaging,
)
from probad.mcmc.metrics import adopt_variances, welford_add, welford_reset
from probad.mcmc.static import static_transition
from probad.mcmc.trajectory import nuts_transition
from probad.mcmc.workspace import (
    ACCEPTANCE_SUM,
    ALGORITHM,
    CHOSEN_ENERGY,
    DIVERGING,
    FINE,
    ITERATION,
    LOGP,
    MAX_ENERGY_ERROR,
    N_DRAWS,
    N_STATISTICS,
    N_STEPS,
    N_WARMUP,
    NUTS,
    POSITION,
    SATURATED,
    START_ENERGY,
    STEP_SIZE,
    STEP_SIZE_USED,
    TREE_DEPTH,
)


def run_iterations(address, ctx, rows, scalars, counts, random, schedule, draws, statistics, n_iterations, dim):
    """Advance a chain by up to `n_iterations`, and stop at its end.

    Parameters
    ----------
    address, ctx
        The log density; see `probad.mcmc.intrinsics.evaluate`.
    rows : (n_rows * dim,) array
        The arrays are those of a `Workspace`, each of them flat.
    scalars : (N_SCALARS,) array
    counts : (N_COUNTS,) integer array
    random : (4,) unsigned integer array
    schedule : (n_warmup,) integer array
    draws : ((n_warmup + n_draws) * dim,) array
    statistics : ((n_warmup + n_draws) * N_STATISTICS,) array
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
            status = find_step_size(address, ctx, rows, scalars, counts, random, dim)
            restart_averaging(scalars, counts)
        if status != FINE:
            return status
        scalars[STEP_SIZE_USED] = scalars[STEP_SIZE]
        if counts[ALGORITHM] == NUTS:
            status = nuts_transition(address, ctx, rows, scalars, counts, random, dim)
        else:
            status = static_transition(address, ctx, rows, scalars, counts, random, dim)
        if status == FINE and iteration < counts[N_WARMUP]:
            status = adapt(address, ctx, rows, scalars, counts, random, schedule, iteration, dim)
        if status != FINE:
            return status
        write_iteration(rows, scalars, counts, draws, statistics, iteration, dim)
        counts[ITERATION] = iteration + 1
    return FINE


def mean_acceptance(scalars, counts):
    """Acceptance statistic of the transition, averaged over its steps."""
    return scalars[ACCEPTANCE_SUM] / float(max(1, counts[N_STEPS]))


def adapt(address, ctx, rows, scalars, counts, random, schedule, iteration, dim):
    """Learn from the transition that has just been made; returns the status of `find_step_size`."""
    status = FINE
    average_step_size(scalars, counts, mean_acceptance(scalars, counts))
    task = schedule[iteration]
    if task == COLLECT or task == UPDATE:
        welford_add(rows, counts, dim)
    if task == UPDATE:
        adopt_variances(rows, counts, dim)
        welford_reset(rows, counts, dim)
        status = find_step_size(address, ctx, rows, scalars, counts, random, dim)
        restart_averaging(scalars, counts)
    if iteration == counts[N_WARMUP] - 1:
        finish_step_size(scalars, counts)
    return status


def write_iteration(rows, scalars, counts, draws, statistics, iteration, dim):
    """Write the draw and the statistics of the transition; the columns are those of `workspace.STATISTICS`."""
    q = POSITION * dim
    start = iteration * dim
    for i in range(dim):
        draws[start + i] = rows[q + i]
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
