"""The NUTS transition: a trajectory doubled until it turns back, and a state chosen from it by weight.

The multinomial No-U-Turn sampler (Betancourt 2017, arXiv:1701.02434, appendix A) with the generalised criterion and
the checks across subtrees that Stan added in 2.21. The tree is built leaf by leaf: completed subtrees wait on a stack,
and two of equal size merge as the bits of a counter do.
"""

from __future__ import annotations

import math

from probad.mcmc.integrators import FAR, leapfrog, note_acceptance, note_energy_error, total_energy
from probad.mcmc.metrics import whiten_gradient
from probad.mcmc.proposal import begin_statistics, step_limit
from probad.mcmc.random import fill_normal, uniform
from probad.mcmc.rows import add_row, along_sum, copy_row
from probad.mcmc.workspace import (
    BEGIN,
    CANDIDATE_ENERGY,
    CANDIDATE_GRADIENT,
    CANDIDATE_LOGP,
    CANDIDATE_POSITION,
    CHOSEN_ENERGY,
    CHOSEN_GRADIENT,
    CHOSEN_LOGP,
    CHOSEN_POSITION,
    CLIMBING,
    DIVERGING,
    END,
    FAILED,
    FINE,
    FORCE,
    GRADIENT,
    ITERATION,
    LEFT_FORCE,
    LEFT_MOMENTUM,
    LEFT_POSITION,
    LOG_WEIGHT,
    LOGP,
    MAX_TREE_DEPTH,
    MOMENTUM,
    N_STEPS,
    N_WARMUP,
    NEAR_MOMENTUM,
    POSITION,
    RHO,
    RIGHT_FORCE,
    RIGHT_MOMENTUM,
    RIGHT_POSITION,
    ROWS_PER_LEVEL,
    SATURATED,
    SHORT_FROM,
    SHORT_UNTIL,
    STACK,
    STEP_SIZE,
    STOP,
    STOPPED,
    SUBTREE_SHIFT,
    SUBTREE_WEIGHT,
    TREE_DEPTH,
    TREE_RHO,
    WALK_GRADIENT,
    WALK_LOGP,
    WHOLE_DEPTH,
)

# Where trajectories are cut short, one in so many is whole; so many of these tell how long the others may be, and these
# are doubled at least so often.
WHOLE_EVERY, RECENT, LEAST_DEPTH = 8, 8.0, 2
GROWN, TURNED, DIVERGED, BROKEN, HALTED = 0, 1, 2, 3, 4  # what can become of a subtree


def log_add_exp(a, b):
    """log(exp(a) + exp(b))."""
    if a > b:
        return a + math.log(1.0 + math.exp(b - a))
    return b + math.log(1.0 + math.exp(a - b))


def turns(rows, begin, end, rho, more, dim):
    """Whether a stretch of trajectory turns back: its ends do not both move along the sum of its momenta.

    `begin` and `end` are rows of momenta; the sum is that of the rows `rho` and `more`.
    """
    return not (along_sum(rows, begin, rho, more, dim) > 0.0 and along_sum(rows, end, rho, more, dim) > 0.0)


def join_turns(rows, a_begin, a_end, a_rho, b, size, dim):
    """Whether two adjacent stretches of `size` states each, joined, turn back.

    Besides the whole, each stretch is checked together with the nearest state of the other, where a turn can hide; for
    two single states all three are the same.
    """
    if turns(rows, a_begin, b + END, a_rho, b + RHO, dim):
        return True
    if size == 1:
        return False
    if turns(rows, a_begin, b + BEGIN, a_rho, b + BEGIN, dim):
        return True
    return turns(rows, a_end, b + END, b + RHO, a_end, dim)


def add_leaf(rows, momentum, subtree, dim):
    """Complete a subtree of one state, of which only the first momentum is there, by a second."""
    p = momentum * dim
    b = (subtree + BEGIN) * dim
    e = (subtree + END) * dim
    r = (subtree + RHO) * dim
    for i in range(dim):
        x = rows[p + i]
        rows[e + i] = x
        rows[r + i] = rows[b + i] + x


def weigh_leaf(rows, scalars, random, position, energy, error, leaf, dim):
    """Add the weight of a state to that of its subtree, and make it the candidate with its share of the sum.

    Weights are relative to the start of the trajectory, unless that leads out of the range of floats.
    """
    if leaf == 0:
        scalars[SUBTREE_WEIGHT] = 0.0
        scalars[SUBTREE_SHIFT] = 0.0
        if abs(error) > FAR:
            scalars[SUBTREE_SHIFT] = -error
    elif -error - scalars[SUBTREE_SHIFT] > FAR:
        scalars[SUBTREE_WEIGHT] = scalars[SUBTREE_WEIGHT] * math.exp(scalars[SUBTREE_SHIFT] + error)
        scalars[SUBTREE_SHIFT] = -error
    weight = math.exp(-error - scalars[SUBTREE_SHIFT])
    total = scalars[SUBTREE_WEIGHT] + weight
    scalars[SUBTREE_WEIGHT] = total
    if scalars[SUBTREE_SHIFT] == 0.0:
        note_acceptance(scalars, weight)
    else:
        note_acceptance(scalars, math.exp(min(FAR, -error)))
    if leaf == 0 or uniform(random) * total < weight:
        copy_row(rows, position, CANDIDATE_POSITION, dim)
        copy_row(rows, WALK_GRADIENT, CANDIDATE_GRADIENT, dim)
        scalars[CANDIDATE_LOGP] = scalars[WALK_LOGP]
        scalars[CANDIDATE_ENERGY] = energy


def grow(address, ctx, rows, scalars, counts, random, metric, position, force, momentum, sign, dim):
    """Extend the trajectory by as many states as it has, walking from one of its ends; choose one of them by weight.

    Parameters
    ----------
    address, ctx, rows, scalars, counts, random, metric, dim
        As for `probad.mcmc.kernel.run_iterations`.
    position, force, momentum : int
        Rows of the end that walks.
    sign : float
        Direction in time, 1.0 or -1.0.

    Returns
    -------
    int
        GROWN, TURNED (a subtree turned back), DIVERGED, BROKEN (the density failed) or HALTED (the user wants a stop).
        The subtree is on the stack, its choice in the CANDIDATE rows.
    """
    step = sign * scalars[STEP_SIZE]
    top = STACK
    n_leaves = 1 << counts[TREE_DEPTH]
    for leaf in range(n_leaves):
        status = leapfrog(
            address,
            ctx,
            rows,
            scalars,
            counts,
            metric,
            position,
            WALK_GRADIENT,
            force,
            momentum,
            WALK_LOGP,
            step,
            dim,
        )
        if status == FAILED:
            return BROKEN
        if counts[STOP] != 0:
            return HALTED
        counts[N_STEPS] = counts[N_STEPS] + 1
        energy = total_energy(rows, scalars, momentum, WALK_LOGP, status, dim)
        error = note_energy_error(scalars, counts, energy)
        if counts[DIVERGING] != 0:
            return DIVERGED
        weigh_leaf(rows, scalars, random, position, energy, error, leaf, dim)
        if leaf % 2 == 0:
            copy_row(rows, momentum, top + BEGIN, dim)
        else:
            top = top - ROWS_PER_LEVEL
            if turns(rows, top + BEGIN, momentum, top + BEGIN, momentum, dim):
                return TURNED
            add_leaf(rows, momentum, top, dim)
            size = 2
            while (leaf + 1) % (2 * size) == 0:
                under = top - ROWS_PER_LEVEL
                if join_turns(rows, under + BEGIN, under + END, under + RHO, top, size, dim):
                    return TURNED
                add_row(rows, top + RHO, under + RHO, dim)
                copy_row(rows, top + END, under + END, dim)
                top = under
                size = 2 * size
        top = top + ROWS_PER_LEVEL
    if n_leaves == 1:
        copy_row(rows, momentum, STACK + END, dim)
        copy_row(rows, momentum, STACK + RHO, dim)
    return GROWN


def goes_right(random):
    """Whether the trajectory is extended forwards in time: a fair coin."""
    return uniform(random) < 0.5


def begin_trajectory(rows, scalars, counts, random, metric, dim):
    """Draw a momentum; the trajectory is the present state alone, and that is its choice."""
    fill_normal(random, rows, MOMENTUM, dim)
    whiten_gradient(rows, counts, metric, GRADIENT, FORCE, dim)
    copy_row(rows, MOMENTUM, TREE_RHO, dim)
    begin_statistics(scalars, counts, total_energy(rows, scalars, MOMENTUM, LOGP, 0, dim))
    scalars[CHOSEN_LOGP] = scalars[LOGP]
    scalars[LOG_WEIGHT] = 0.0


def begin_end(rows, position, force, momentum, dim):
    """Let an end of the trajectory, which is to move for the first time, begin at the present state."""
    copy_row(rows, POSITION, position, dim)
    copy_row(rows, FORCE, force, dim)
    copy_row(rows, MOMENTUM, momentum, dim)


def choose_between_halves(rows, scalars, random, dim):
    """Move the choice to the new half with a probability that favours it: its weight over that of the old half.

    Returns whether it has moved.
    """
    new = math.log(scalars[SUBTREE_WEIGHT]) + scalars[SUBTREE_SHIFT]
    gain = new - scalars[LOG_WEIGHT]
    scalars[LOG_WEIGHT] = log_add_exp(scalars[LOG_WEIGHT], new)
    if gain >= 0.0 or uniform(random) < math.exp(gain):
        copy_row(rows, CANDIDATE_POSITION, CHOSEN_POSITION, dim)
        copy_row(rows, CANDIDATE_GRADIENT, CHOSEN_GRADIENT, dim)
        scalars[CHOSEN_LOGP] = scalars[CANDIDATE_LOGP]
        scalars[CHOSEN_ENERGY] = scalars[CANDIDATE_ENERGY]
        return True
    return False


def is_cut_short(counts):
    """Whether this trajectory of the warm-up ends at half the length that others have, or 3 steps if that is more.

    A metric is learnt as well from draws that depend on each other, once the chain has arrived where it will stay.
    """
    iteration = counts[ITERATION]
    if counts[CLIMBING] != 0 or iteration < counts[SHORT_FROM] or iteration >= counts[SHORT_UNTIL]:
        return False
    return iteration % WHOLE_EVERY != 0


def nuts_transition(address, ctx, rows, scalars, counts, random, metric, dim):
    """One transition of the chain: draw a momentum, grow a trajectory, move to a state chosen from it.

    The arguments are those of `probad.mcmc.kernel.run_iterations`.

    Returns
    -------
    int
        FINE, FAILED or STOPPED; the statistics of the transition are left in `scalars` and `counts`.
    """
    begin_trajectory(rows, scalars, counts, random, metric, dim)
    short = is_cut_short(counts)
    limit = step_limit(counts, 1 << counts[MAX_TREE_DEPTH])
    if short:
        limit = min(limit, 1 << max(LEAST_DEPTH, int(scalars[WHOLE_DEPTH] + 0.5) - 1))
    left = MOMENTUM
    right = MOMENTUM  # both ends are the present state
    moved = False
    growing = True
    while growing and (2 << counts[TREE_DEPTH]) <= limit:
        if goes_right(random):
            position = RIGHT_POSITION
            force = RIGHT_FORCE
            sign = 1.0
            if right == MOMENTUM:
                right = RIGHT_MOMENTUM
                begin_end(rows, position, force, right, dim)
            near = right
            far = left
        else:
            position = LEFT_POSITION
            force = LEFT_FORCE
            sign = -1.0
            if left == MOMENTUM:
                left = LEFT_MOMENTUM
                begin_end(rows, position, force, left, dim)
            near = left
            far = right
        copy_row(rows, near, NEAR_MOMENTUM, dim)
        outcome = grow(address, ctx, rows, scalars, counts, random, metric, position, force, near, sign, dim)
        if outcome == BROKEN:
            return FAILED
        if outcome == HALTED:
            return STOPPED
        size = 1 << counts[TREE_DEPTH]
        counts[TREE_DEPTH] = counts[TREE_DEPTH] + 1
        if outcome == GROWN:
            if choose_between_halves(rows, scalars, random, dim):
                moved = True
            growing = not join_turns(rows, far, NEAR_MOMENTUM, TREE_RHO, STACK, size, dim)
            add_row(rows, STACK + RHO, TREE_RHO, dim)
        else:
            growing = False
    if growing and counts[TREE_DEPTH] == counts[MAX_TREE_DEPTH]:
        counts[SATURATED] = 1
    if not short and counts[ITERATION] < counts[N_WARMUP]:
        scalars[WHOLE_DEPTH] = scalars[WHOLE_DEPTH] + (float(counts[TREE_DEPTH]) - scalars[WHOLE_DEPTH]) / RECENT
    if moved:
        copy_row(rows, CHOSEN_POSITION, POSITION, dim)
        copy_row(rows, CHOSEN_GRADIENT, GRADIENT, dim)
        scalars[LOGP] = scalars[CHOSEN_LOGP]
    return FINE
