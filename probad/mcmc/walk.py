"""The transition of random-walk Metropolis: a normal step in the shape of the metric, accepted or rejected.

Source: Metropolis et al., J. Chem. Phys. 21 (1953) 1087.
"""

from __future__ import annotations

import math

from probad.mcmc.intrinsics import evaluate
from probad.mcmc.metrics import drift
from probad.mcmc.proposal import accepts, begin_statistics
from probad.mcmc.random import fill_normal
from probad.mcmc.rows import copy_row
from probad.mcmc.step_size import DECAY
from probad.mcmc.workspace import (
    AVERAGED,
    CHOSEN_ENERGY,
    FAILED,
    FINE,
    GRADIENT,
    LOG_STEP_AVERAGE,
    LOGP,
    MOMENTUM,
    N_STEPS,
    POSITION,
    RIGHT_POSITION,
    STEP_SIZE,
    STOP,
    STOPPED,
    TARGET_ACCEPT,
    WALK_GRADIENT,
    WALK_LOGP,
)

GAIN_DECAY = 0.6  # of the gains, between 1/2 and 1 for the steps to converge
OPTIMAL_STEP = 2.38  # over the root of the dimension: Roberts, Gelman and Gilks, Ann. Appl. Probab. 7 (1997) 110


def walking_step_size(dim):
    """The best step for a normal target whose shape the metric knows."""
    return OPTIMAL_STEP / math.sqrt(float(dim))


def adapt_walking_step(scalars, counts, acceptance):
    """Move the step towards the target acceptance by ever smaller amounts (Robbins and Monro 1951), and average it.

    Acceptances of single proposals vary so much that dual averaging would overshoot.
    """
    counts[AVERAGED] = counts[AVERAGED] + 1
    n = float(counts[AVERAGED])
    log_step = math.log(scalars[STEP_SIZE]) + math.pow(n, -GAIN_DECAY) * (acceptance - scalars[TARGET_ACCEPT])
    share = math.pow(n, -DECAY)
    scalars[LOG_STEP_AVERAGE] = share * log_step + (1.0 - share) * scalars[LOG_STEP_AVERAGE]
    scalars[STEP_SIZE] = math.exp(log_step)


def metropolis_transition(address, ctx, rows, scalars, counts, random, metric, dim):
    """One transition of the chain: propose a step from here, and take it or stay.

    The arguments are those of `probad.mcmc.kernel.run_iterations`.

    Returns
    -------
    int
        FINE, FAILED or STOPPED; the statistics of the transition are left in `scalars` and `counts`.
    """
    begin_statistics(scalars, counts, -scalars[LOGP])
    fill_normal(random, rows, MOMENTUM, dim)
    copy_row(rows, POSITION, RIGHT_POSITION, dim)
    drift(rows, counts, metric, RIGHT_POSITION, MOMENTUM, scalars[STEP_SIZE], dim)
    status = evaluate(address, ctx, rows, RIGHT_POSITION, WALK_GRADIENT, scalars, WALK_LOGP, dim)
    if status == FAILED:
        return FAILED
    if counts[STOP] != 0:
        return STOPPED
    counts[N_STEPS] = 1
    error = math.inf
    if status == 0:
        error = scalars[LOGP] - scalars[WALK_LOGP]
    if accepts(scalars, counts, random, error):
        copy_row(rows, RIGHT_POSITION, POSITION, dim)
        copy_row(rows, WALK_GRADIENT, GRADIENT, dim)
        scalars[LOGP] = scalars[WALK_LOGP]
        scalars[CHOSEN_ENERGY] = -scalars[WALK_LOGP]
    return FINE
