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
    ITERATION,
    LOGP,
    MAX_ENERGY_ERROR,
    MAX_TREE_DEPTH,
    N_DRAWS,
    N_STEPS,
    N_WARMUP,
    NUTS,
    POSITION,
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
    rows, scalars, counts, random, schedule, draws, statistics
        The arrays of a `Workspace`.
    n_iterations : int
    dim : int

    Returns
    -------
    int
        0, or 2 if the density failed. ``counts[ITERATION]`` tells how many iterations are complete.
    """
    end = counts[N_WARMUP] + counts[N_DRAWS]
    for _ in range(n_iterations):
        iteration = counts[ITERATION]
        if iteration >= end:
            return 0
        if iteration == 0 and counts[N_WARMUP] > 0:
            if find_step_size(address, ctx, rows, scalars, random, dim) != 0:
                return 2
            restart_averaging(scalars, counts)
        scalars[STEP_SIZE_USED] = scalars[STEP_SIZE]
        if counts[ALGORITHM] == NUTS:
            status = nuts_transition(address, ctx, rows, scalars, counts, random, dim)
        else:
            status = static_transition(address, ctx, rows, scalars, counts, random, dim)
        if status != 0:
            return 2
        if iteration < counts[N_WARMUP]:
            if adapt(address, ctx, rows, scalars, counts, random, schedule, iteration, dim) != 0:
                return 2
        write_row(rows, scalars, counts, draws, statistics, iteration, dim)
        counts[ITERATION] = iteration + 1
    return 0


def adapt(address, ctx, rows, scalars, counts, random, schedule, iteration, dim):
    """Learn from the transition that has just been made; returns 0, or 2 if the density failed."""
    average_step_size(scalars, counts, scalars[ACCEPTANCE_SUM] / max(1, counts[N_STEPS]))
    task = schedule[iteration]
    if task == COLLECT or task == UPDATE:
        welford_add(rows, counts, dim)
    if task == UPDATE:
        adopt_variances(rows, counts, dim)
        welford_reset(rows, counts, dim)
        if find_step_size(address, ctx, rows, scalars, random, dim) != 0:
            return 2
        restart_averaging(scalars, counts)
    if iteration == counts[N_WARMUP] - 1:
        finish_step_size(scalars, counts)
    return 0


def write_row(rows, scalars, counts, draws, statistics, iteration, dim):
    """Write the draw and the statistics of the transition; the columns are those of `workspace.STATISTICS`."""
    for i in range(dim):
        draws[iteration, i] = rows[POSITION, i]
    n_steps = counts[N_STEPS]
    depth = counts[TREE_DEPTH]
    statistics[iteration, 0] = scalars[LOGP]
    statistics[iteration, 1] = scalars[ACCEPTANCE_SUM] / max(1, n_steps)
    statistics[iteration, 2] = scalars[STEP_SIZE_USED]
    statistics[iteration, 3] = scalars[STEP_SIZE]
    statistics[iteration, 4] = depth
    statistics[iteration, 5] = n_steps
    statistics[iteration, 6] = counts[DIVERGING]
    statistics[iteration, 7] = scalars[CHOSEN_ENERGY]
    statistics[iteration, 8] = scalars[CHOSEN_ENERGY] - scalars[START_ENERGY]
    statistics[iteration, 9] = scalars[MAX_ENERGY_ERROR]
    if depth == counts[MAX_TREE_DEPTH] and counts[ALGORITHM] == NUTS:
        statistics[iteration, 10] = 1.0
    else:
        statistics[iteration, 10] = 0.0
