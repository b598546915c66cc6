"""Implicit steps of a Hamiltonian whose metric depends on the position: generalised leapfrog and implicit midpoint.

The Hamiltonian -logp + 1/2 log det G(q) + 1/2 p' G(q)^-1 p does not separate. Of the leapfrog's three parts the first
two become equations, each in half of the unknowns; the midpoint rule is one equation in all of them. Both are of second
order, reversible and symplectic. Equations are solved by fixed-point iteration; a step fails where that does not end.

Source: Leimkuhler and Reich, "Simulating Hamiltonian dynamics" (2004), sections 4 and 6.3.
"""

from __future__ import annotations

import math

from probad.mcmc.curvature import (
    PLACE,
    block,
    force,
    from_eigenvectors,
    locate,
    to_eigenvectors,
)
from probad.mcmc.rows import copy_row, squared_norm
from probad.mcmc.workspace import (
    INTEGRATOR,
    LEFT_FORCE,
    LEFT_MOMENTUM,
    LEFT_POSITION,
    MAX_ITERATIONS,
    MIDPOINT,
    RIGHT_FORCE,
    RIGHT_MOMENTUM,
    RIGHT_POSITION,
    TOLERANCE,
)

HERE, BEHIND, AHEAD = 0, 1, 2  # numbers of blocks: where the chain is, and the two ends of a step
HALF_MOMENTUM, TRIED, COMPONENTS = LEFT_MOMENTUM, LEFT_POSITION, LEFT_FORCE  # rows of scratch
FORCE, FIXED_PART = RIGHT_FORCE, RIGHT_POSITION


def length_of_change(rows, point, old, new, power, dim):
    """Length in the metric, to a power, of the difference of two rows."""
    for i in range(dim):
        rows[TRIED * dim + i] = rows[new * dim + i] - rows[old * dim + i]
    to_eigenvectors(rows, point, TRIED, COMPONENTS, power, dim)
    return math.sqrt(squared_norm(rows, COMPONENTS, dim))


# --- generalised leapfrog ---------------------------------------------------------------------------------------------
def half_kick(address, ctx, rows, scalars, counts, point, step, dim):
    """Solve p_half = p - step/2 dH/dq(q, p_half) for HALF_MOMENTUM from RIGHT_MOMENTUM; 0, 1 or FAILED."""
    copy_row(rows, RIGHT_MOMENTUM, HALF_MOMENTUM, dim)
    for _ in range(counts[MAX_ITERATIONS]):
        status = force(address, ctx, rows, scalars, counts, point, HALF_MOMENTUM, COMPONENTS, FORCE, dim)
        if status != 0:
            return status
        for i in range(dim):
            rows[FORCE * dim + i] = rows[RIGHT_MOMENTUM * dim + i] - 0.5 * step * rows[FORCE * dim + i]
        change = length_of_change(rows, point, HALF_MOMENTUM, FORCE, -0.5, dim)
        copy_row(rows, FORCE, HALF_MOMENTUM, dim)
        if change < scalars[TOLERANCE]:
            return 0
        if not (change < 1e10):
            return 1
    return 1


def implicit_drift(address, ctx, rows, scalars, counts, behind, ahead, step, dim):
    """Solve q' = q + step/2 (G(q)^-1 + G(q')^-1) p_half for the block `ahead`; 0, 1 or FAILED."""
    to_eigenvectors(rows, behind, HALF_MOMENTUM, COMPONENTS, -1.0, dim)
    copy_row(rows, behind + PLACE, FIXED_PART, dim)
    from_eigenvectors(rows, behind, COMPONENTS, FIXED_PART, 0.0, 0.5 * step, dim)
    copy_row(rows, FIXED_PART, ahead + PLACE, dim)
    from_eigenvectors(rows, behind, COMPONENTS, ahead + PLACE, 0.0, 0.5 * step, dim)
    for _ in range(counts[MAX_ITERATIONS]):
        status = locate(address, ctx, rows, scalars, counts, ahead, dim)
        if status != 0:
            return status
        to_eigenvectors(rows, ahead, HALF_MOMENTUM, COMPONENTS, -1.0, dim)
        copy_row(rows, FIXED_PART, FORCE, dim)
        from_eigenvectors(rows, ahead, COMPONENTS, FORCE, 0.0, 0.5 * step, dim)
        change = length_of_change(rows, ahead, ahead + PLACE, FORCE, 0.5, dim)
        if change < scalars[TOLERANCE]:
            return 0
        if not (change < 1e10):
            return 1
        copy_row(rows, FORCE, ahead + PLACE, dim)
    return 1


def generalised_leapfrog(address, ctx, rows, scalars, counts, step, dim):
    """One step from block BEHIND and RIGHT_MOMENTUM to block AHEAD: a kick, a drift, a kick; 0, 1 or FAILED."""
    behind = block(BEHIND, dim)
    ahead = block(AHEAD, dim)
    status = half_kick(address, ctx, rows, scalars, counts, behind, step, dim)
    if status == 0:
        status = implicit_drift(address, ctx, rows, scalars, counts, behind, ahead, step, dim)
    if status == 0:
        status = force(address, ctx, rows, scalars, counts, ahead, HALF_MOMENTUM, COMPONENTS, FORCE, dim)
    if status == 0:
        for i in range(dim):
            rows[RIGHT_MOMENTUM * dim + i] = rows[HALF_MOMENTUM * dim + i] - 0.5 * step * rows[FORCE * dim + i]
    return status


# --- implicit midpoint ------------------------------------------------------------------------------------------------
def find_midpoint(address, ctx, rows, scalars, counts, behind, ahead, step, dim):
    """Solve q = q0 + step/2 dH/dp, p = p0 - step/2 dH/dq at (q, p), the middle of a step; 0, 1 or FAILED.

    (q0, p0) are the block `behind` and RIGHT_MOMENTUM; (q, p) are left in the block `ahead`, whose metric is then not
    quite that of its position, and in HALF_MOMENTUM. Each iteration finds p first, and q with it.
    """
    copy_row(rows, RIGHT_MOMENTUM, HALF_MOMENTUM, dim)
    to_eigenvectors(rows, behind, HALF_MOMENTUM, COMPONENTS, -1.0, dim)
    copy_row(rows, behind + PLACE, ahead + PLACE, dim)
    from_eigenvectors(rows, behind, COMPONENTS, ahead + PLACE, 0.0, 0.5 * step, dim)
    for _ in range(counts[MAX_ITERATIONS]):
        status = locate(address, ctx, rows, scalars, counts, ahead, dim)
        if status == 0:
            status = force(address, ctx, rows, scalars, counts, ahead, HALF_MOMENTUM, COMPONENTS, FORCE, dim)
        if status != 0:
            return status
        for i in range(dim):
            rows[FORCE * dim + i] = rows[RIGHT_MOMENTUM * dim + i] - 0.5 * step * rows[FORCE * dim + i]
        change = length_of_change(rows, ahead, HALF_MOMENTUM, FORCE, -0.5, dim)
        copy_row(rows, FORCE, HALF_MOMENTUM, dim)
        to_eigenvectors(rows, ahead, HALF_MOMENTUM, COMPONENTS, -1.0, dim)
        copy_row(rows, behind + PLACE, FIXED_PART, dim)
        from_eigenvectors(rows, ahead, COMPONENTS, FIXED_PART, 0.0, 0.5 * step, dim)
        change = change + length_of_change(rows, ahead, ahead + PLACE, FIXED_PART, 0.5, dim)
        copy_row(rows, FIXED_PART, ahead + PLACE, dim)
        if change < scalars[TOLERANCE]:
            return 0
        if not (change < 1e10):
            return 1
    return 1


def implicit_midpoint(address, ctx, rows, scalars, counts, step, dim):
    """One step from block BEHIND and RIGHT_MOMENTUM to block AHEAD, as far behind the middle as before it."""
    behind = block(BEHIND, dim)
    ahead = block(AHEAD, dim)
    status = find_midpoint(address, ctx, rows, scalars, counts, behind, ahead, step, dim)
    if status != 0:
        return status
    start = (behind + PLACE) * dim
    end = (ahead + PLACE) * dim
    for i in range(dim):
        rows[end + i] = 2.0 * rows[end + i] - rows[start + i]
        rows[RIGHT_MOMENTUM * dim + i] = 2.0 * rows[HALF_MOMENTUM * dim + i] - rows[RIGHT_MOMENTUM * dim + i]
    return locate(address, ctx, rows, scalars, counts, ahead, dim)


def riemannian_step(address, ctx, rows, scalars, counts, step, dim):
    """One step from block BEHIND and RIGHT_MOMENTUM to block AHEAD by the integrator of the chain; 0, 1 or FAILED."""
    if counts[INTEGRATOR] == MIDPOINT:
        return implicit_midpoint(address, ctx, rows, scalars, counts, step, dim)
    return generalised_leapfrog(address, ctx, rows, scalars, counts, step, dim)
