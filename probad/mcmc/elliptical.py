"""The transition of elliptical slice sampling, for posteriors with a normal prior: no step size, no rejection.

The metric is the covariance of the prior and its mean a row of the workspace. In coordinates in which the prior is
standard normal, the chain moves on the ellipse through its state and a draw from the prior, to a point whose likelihood
is above a random threshold; where it is not, the bracket of angles shrinks towards the state.

Source: Murray, Adams and MacKay, "Elliptical slice sampling", AISTATS 2010, figure 2.
"""

from __future__ import annotations

import math

from probad.mcmc.intrinsics import evaluate
from probad.mcmc.metrics import drift
from probad.mcmc.proposal import begin_statistics
from probad.mcmc.random import fill_normal, uniform
from probad.mcmc.rows import copy_row, squared_norm
from probad.mcmc.workspace import (
    CANDIDATE_POSITION,
    CHOSEN_ENERGY,
    DENSE,
    FAILED,
    FINE,
    FORM,
    GRADIENT,
    LEFT_MOMENTUM,
    LEFT_POSITION,
    LOGP,
    N_STEPS,
    POSITION,
    RIGHT_MOMENTUM,
    RIGHT_POSITION,
    SCALE,
    STOP,
    STOPPED,
    WALK_GRADIENT,
    WALK_LOGP,
)

PRIOR_MEAN = CANDIDATE_POSITION  # rows under other names: nothing else writes to the first
WHITENED = LEFT_POSITION
OTHER_POINT = LEFT_MOMENTUM
MAX_SHRINKS = 200  # the bracket is then below 1e-30: the likelihood jumps at the state itself


def whiten(rows, counts, metric, position, whitened, dim):
    """Write L^-1 (position - mean) to the row `whitened`, by forward substitution."""
    q = position * dim
    mean = PRIOR_MEAN * dim
    x = whitened * dim
    if counts[FORM] == DENSE:
        for i in range(dim):
            rest = rows[q + i] - rows[mean + i]
            m = i * dim
            for j in range(i):
                rest = rest - metric[m + j] * rows[x + j]
            rows[x + i] = rest / metric[m + i]
    else:
        for i in range(dim):
            rows[x + i] = (rows[q + i] - rows[mean + i]) / rows[SCALE * dim + i]


def to_the_angle(rows, counts, metric, angle, dim):
    """Put the point of the ellipse at `angle` into RIGHT_POSITION, and whitened into RIGHT_MOMENTUM."""
    c = math.cos(angle)
    s = math.sin(angle)
    for i in range(dim):
        rows[RIGHT_MOMENTUM * dim + i] = c * rows[WHITENED * dim + i] + s * rows[OTHER_POINT * dim + i]
    copy_row(rows, PRIOR_MEAN, RIGHT_POSITION, dim)
    drift(rows, counts, metric, RIGHT_POSITION, RIGHT_MOMENTUM, 1.0, dim)


def elliptical_transition(address, ctx, rows, scalars, counts, random, metric, dim):
    """One transition of the chain: draw an ellipse and a threshold, and look for a point on the one above the other.

    The arguments are those of `probad.mcmc.kernel.run_iterations`.

    Returns
    -------
    int
        FINE, FAILED or STOPPED; the statistics of the transition are left in `scalars` and `counts`.
    """
    begin_statistics(scalars, counts, -scalars[LOGP])
    fill_normal(random, rows, OTHER_POINT, dim)
    whiten(rows, counts, metric, POSITION, WHITENED, dim)
    likelihood = scalars[LOGP] + 0.5 * squared_norm(rows, WHITENED, dim)
    threshold = likelihood + math.log(1.0 - uniform(random))
    angle = 2.0 * math.pi * uniform(random)
    low = angle - 2.0 * math.pi
    high = angle
    searching = True
    while searching and counts[N_STEPS] < MAX_SHRINKS:
        to_the_angle(rows, counts, metric, angle, dim)
        status = evaluate(address, ctx, rows, RIGHT_POSITION, WALK_GRADIENT, scalars, WALK_LOGP, dim)
        if status == FAILED:
            return FAILED
        if counts[STOP] != 0:
            return STOPPED
        counts[N_STEPS] = counts[N_STEPS] + 1
        if status == 0:
            searching = scalars[WALK_LOGP] + 0.5 * squared_norm(rows, RIGHT_MOMENTUM, dim) <= threshold
        if searching:
            if angle < 0.0:
                low = angle
            else:
                high = angle
            angle = low + (high - low) * uniform(random)
    if not searching:
        copy_row(rows, RIGHT_POSITION, POSITION, dim)
        copy_row(rows, WALK_GRADIENT, GRADIENT, dim)
        scalars[LOGP] = scalars[WALK_LOGP]
        scalars[CHOSEN_ENERGY] = -scalars[WALK_LOGP]
    return FINE
