"""The NUTS transition: a trajectory doubled until it turns back, and a state chosen from it by weight.

The multinomial No-U-Turn sampler (Betancourt 2017, arXiv:1701.02434, appendix A) with the generalised criterion and
the checks across subtrees that Stan added in 2.21. The tree is built leaf by leaf: completed subtrees wait on a stack,
and two of equal size merge as the bits of a counter do.
"""

from __future__ import annotations

import math

from probad.mcmc.integrators import copy_row, kinetic_energy, leapfrog
from probad.mcmc.metrics import draw_momentum
from probad.mcmc.random import uniform
from probad.mcmc.workspace import (
    ACCEPTANCE_SUM,
    BEGIN,
    CANDIDATE_ENERGY,
    CANDIDATE_GRADIENT,
    CANDIDATE_LOGP,
    CANDIDATE_POSITION,
    CHOSEN_ENERGY,
    CHOSEN_GRADIENT,
    CHOSEN_LOGP,
    CHOSEN_POSITION,
    DIVERGING,
    END,
    GRADIENT,
    INVERSE_MASS,
    LEFT_GRADIENT,
    LEFT_MOMENTUM,
    LEFT_POSITION,
    LOG_WEIGHT,
    LOGP,
    MAX_DELTA_ENERGY,
    MAX_ENERGY_ERROR,
    MAX_TREE_DEPTH,
    MOMENTUM,
    N_STEPS,
    NEAR_MOMENTUM,
    POSITION,
    RHO,
    RIGHT_GRADIENT,
    RIGHT_MOMENTUM,
    RIGHT_POSITION,
    ROWS_PER_LEVEL,
    STACK,
    START_ENERGY,
    STEP_SIZE,
    SUBTREE_LOG_WEIGHT,
    TREE_DEPTH,
    TREE_RHO,
    WALK_LOGP,
)

GROWN, TURNED, DIVERGED, FATAL = 0, 1, 2, 3  # what can become of a subtree
NO_WEIGHT = -1e300  # the logarithm of zero


def log_add_exp(a, b):
    """log(exp(a) + exp(b))."""
    if a > b:
        return a + math.log1p(math.exp(b - a))
    return b + math.log1p(math.exp(a - b))


def turns(rows, begin, end, rho, more, dim):
    """Whether a stretch of trajectory turns back: its ends do not both move along the sum of its momenta.

    `begin` and `end` are rows of momenta. The sum is row `rho`, plus row `more` unless that is negative.
    """
    along_begin = 0.0
    along_end = 0.0
    for i in range(dim):
        r = rows[rho, i]
        if more >= 0:
            r = r + rows[more, i]
        r = r * rows[INVERSE_MASS, i]
        along_begin = along_begin + rows[begin, i] * r
        along_end = along_end + rows[end, i] * r
    return not (along_begin > 0.0 and along_end > 0.0)


def join_turns(rows, a_begin, a_end, a_rho, b, dim):
    """Add the sum of momenta of subtree `b` to row `a_rho`, and tell whether the two stretches joined turn back.

    Besides the whole, each stretch is checked together with the nearest state of the other, where a turn can hide.
    """
    across = turns(rows, a_begin, b + BEGIN, a_rho, b + BEGIN, dim)
    if not across:
        across = turns(rows, a_end, b + END, b + RHO, a_end, dim)
    for i in range(dim):
        rows[a_rho, i] = rows[a_rho, i] + rows[b + RHO, i]
    if across:
        return True
    return turns(rows, a_begin, b + END, a_rho, -1, dim)


def grow(address, ctx, rows, scalars, counts, random, position, gradient, momentum, sign, dim):
    """Extend the trajectory by as many states as it has, walking from one of its ends; choose one of them by weight.

    Parameters
    ----------
    position, gradient, momentum : int
        Rows of the end that walks.
    sign : float
        Direction in time, 1.0 or -1.0.

    Returns
    -------
    int
        GROWN, TURNED (a subtree turned back), DIVERGED or FATAL. The subtree is on the stack, its choice in the
        CANDIDATE rows.
    """
    step = sign * scalars[STEP_SIZE]
    scalars[SUBTREE_LOG_WEIGHT] = NO_WEIGHT
    n_subtrees = 0
    n_leaves = 1 << counts[TREE_DEPTH]
    for leaf in range(n_leaves):
        status = leapfrog(address, ctx, rows, scalars, position, gradient, momentum, WALK_LOGP, step, dim)
        if status == 2:
            return FATAL
        counts[N_STEPS] = counts[N_STEPS] + 1
        if status != 0:
            counts[DIVERGING] = 1
            return DIVERGED
        energy = kinetic_energy(rows, momentum, dim) - scalars[WALK_LOGP]
        error = energy - scalars[START_ENERGY]
        if abs(error) > abs(scalars[MAX_ENERGY_ERROR]):
            scalars[MAX_ENERGY_ERROR] = error
        if not error < MAX_DELTA_ENERGY:
            counts[DIVERGING] = 1
            return DIVERGED
        if error > 0.0:
            scalars[ACCEPTANCE_SUM] = scalars[ACCEPTANCE_SUM] + math.exp(-error)
        else:
            scalars[ACCEPTANCE_SUM] = scalars[ACCEPTANCE_SUM] + 1.0
        weight = log_add_exp(scalars[SUBTREE_LOG_WEIGHT], -error)
        scalars[SUBTREE_LOG_WEIGHT] = weight
        if leaf == 0 or uniform(random) < math.exp(-error - weight):
            copy_row(rows, position, CANDIDATE_POSITION, dim)
            copy_row(rows, gradient, CANDIDATE_GRADIENT, dim)
            scalars[CANDIDATE_LOGP] = scalars[WALK_LOGP]
            scalars[CANDIDATE_ENERGY] = energy
        base = STACK + ROWS_PER_LEVEL * n_subtrees
        copy_row(rows, momentum, base + BEGIN, dim)
        copy_row(rows, momentum, base + END, dim)
        copy_row(rows, momentum, base + RHO, dim)
        n_subtrees = n_subtrees + 1
        size = leaf + 1
        while size % 2 == 0:
            b = STACK + ROWS_PER_LEVEL * (n_subtrees - 1)
            a = b - ROWS_PER_LEVEL
            if join_turns(rows, a + BEGIN, a + END, a + RHO, b, dim):
                return TURNED
            copy_row(rows, b + END, a + END, dim)
            n_subtrees = n_subtrees - 1
            size = size // 2
    return GROWN


def goes_right(random):
    """Whether the trajectory is extended forwards in time: a fair coin."""
    return uniform(random) < 0.5


def nuts_transition(address, ctx, rows, scalars, counts, random, dim):
    """One transition of the chain: draw a momentum, grow a trajectory, move to a state chosen from it.

    Returns
    -------
    int
        0, or 2 if the density failed; the statistics of the transition are left in `scalars` and `counts`.
    """
    draw_momentum(rows, random, dim)
    copy_row(rows, POSITION, LEFT_POSITION, dim)
    copy_row(rows, GRADIENT, LEFT_GRADIENT, dim)
    copy_row(rows, MOMENTUM, LEFT_MOMENTUM, dim)
    copy_row(rows, POSITION, RIGHT_POSITION, dim)
    copy_row(rows, GRADIENT, RIGHT_GRADIENT, dim)
    copy_row(rows, MOMENTUM, RIGHT_MOMENTUM, dim)
    copy_row(rows, MOMENTUM, TREE_RHO, dim)
    copy_row(rows, POSITION, CHOSEN_POSITION, dim)
    copy_row(rows, GRADIENT, CHOSEN_GRADIENT, dim)
    scalars[START_ENERGY] = kinetic_energy(rows, MOMENTUM, dim) - scalars[LOGP]
    scalars[CHOSEN_LOGP] = scalars[LOGP]
    scalars[CHOSEN_ENERGY] = scalars[START_ENERGY]
    scalars[LOG_WEIGHT] = 0.0
    scalars[ACCEPTANCE_SUM] = 0.0
    scalars[MAX_ENERGY_ERROR] = 0.0
    counts[N_STEPS] = 0
    counts[TREE_DEPTH] = 0
    counts[DIVERGING] = 0
    growing = True
    while growing and counts[TREE_DEPTH] < counts[MAX_TREE_DEPTH]:
        if goes_right(random):
            far = LEFT_MOMENTUM
            copy_row(rows, RIGHT_MOMENTUM, NEAR_MOMENTUM, dim)
            outcome = grow(
                address, ctx, rows, scalars, counts, random, RIGHT_POSITION, RIGHT_GRADIENT, RIGHT_MOMENTUM, 1.0, dim
            )
        else:
            far = RIGHT_MOMENTUM
            copy_row(rows, LEFT_MOMENTUM, NEAR_MOMENTUM, dim)
            outcome = grow(
                address, ctx, rows, scalars, counts, random, LEFT_POSITION, LEFT_GRADIENT, LEFT_MOMENTUM, -1.0, dim
            )
        if outcome == FATAL:
            return 2
        counts[TREE_DEPTH] = counts[TREE_DEPTH] + 1
        if outcome == GROWN:
            # progressive sampling, biased towards the new half
            gain = scalars[SUBTREE_LOG_WEIGHT] - scalars[LOG_WEIGHT]
            if gain >= 0.0 or uniform(random) < math.exp(gain):
                copy_row(rows, CANDIDATE_POSITION, CHOSEN_POSITION, dim)
                copy_row(rows, CANDIDATE_GRADIENT, CHOSEN_GRADIENT, dim)
                scalars[CHOSEN_LOGP] = scalars[CANDIDATE_LOGP]
                scalars[CHOSEN_ENERGY] = scalars[CANDIDATE_ENERGY]
            scalars[LOG_WEIGHT] = log_add_exp(scalars[LOG_WEIGHT], scalars[SUBTREE_LOG_WEIGHT])
            growing = not join_turns(rows, far, NEAR_MOMENTUM, TREE_RHO, STACK, dim)
        else:
            growing = False
    copy_row(rows, CHOSEN_POSITION, POSITION, dim)
    copy_row(rows, CHOSEN_GRADIENT, GRADIENT, dim)
    scalars[LOGP] = scalars[CHOSEN_LOGP]
    return 0
