"""Gradients by differences as kernels: a loop over the coordinates that evaluates a log density at moved points.

The formulas are those of `probad.ad.derivative`, operation by operation, so that the numbers are the same to the last
bit for the same values. The log density itself is called by its address, so that nothing of the loop is in Python.
"""

from __future__ import annotations

import math

from probad.ad.checks import RATIO
from probad.ad.derivative import EPS, LARGEST, LEVELS, NEARER
from probad.codegen.dispatch import FATAL, NOT_FINITE, OK
from probad.codegen.kernel import intrinsic

STEP, SCALE, FORMULA = 0, 1, 2  # places in `numbers`; then the offsets and, after all of them, the weights
VALUE, BEST, ERROR, ROWS = 0, 1, 2, 3  # places in `work`; then the row before and the present row of the table
N_WORK = ROWS + 2 * LEVELS
AGREEMENT = 10.0  # times their errors: two tables that differ by more contradict each other
LAST = RATIO ** (LEVELS - 1)


@intrinsic(
    "opaque", "opaque", "floats", "floats", "int",
    returns="int",
    body="""
      %density = inttoptr i64 %0 to ptr
      %context = inttoptr i64 %1 to ptr
      %out = getelementptr inbounds double, ptr %3, i64 %4
      %status = call i32 %density(ptr %context, ptr %2, ptr %out, ptr %out)
      %wide = sext i32 %status to i64
      ret i64 %wide
    """,
)  # fmt: skip
def value_at(address, ctx, position, out, place) -> int:
    """Write a log density that has no gradient to ``out[place]``; returns its status.

    In machine code `address` is that of a C function with the contract of `LogDensity.address`. In Python it is a
    function of these arguments.
    """
    return address(ctx, position, out, place)


def difference_gradient(address, ctx, position, logp, gradient, moved, numbers, work, n_points, dim):
    """Log density and its gradient by the difference formula in `numbers`.

    Parameters
    ----------
    address, ctx
        The log density without a gradient; see `value_at`.
    position : (dim,) array
    logp : (1,) array, nats
    gradient : (dim,) array
    moved : (dim,) array
        Working memory.
    numbers : (2 + 2 * n_points,) array
        Absolute step, or 0 for one by the size of the coordinate; the step of coordinates up to 1; offsets in steps;
        weights.
    work : (N_WORK,) array
    n_points, dim : int

    Returns
    -------
    int
        0, 1 or 2, as the contract of `LogDensity.address` has it.
    """
    status = value_at(address, ctx, position, logp, 0)
    if status != OK:
        return without_gradient(gradient, status, dim)
    for i in range(dim):
        moved[i] = position[i]
    finite = 0.0
    for i in range(dim):
        at = position[i]
        h = numbers[STEP]
        if h == 0.0:
            h = numbers[SCALE] * max(1.0, abs(at))
        h = (at + h) - at
        total = 0.0
        for k in range(n_points):
            y = logp[0]  # known already where nothing moves
            offset = numbers[FORMULA + k]
            if offset != 0.0:
                moved[i] = at + offset * h
                status = value_at(address, ctx, moved, work, VALUE)
                if status != OK:
                    return without_gradient(gradient, status, dim)
                y = work[VALUE]
            total = total + numbers[FORMULA + n_points + k] * y
        moved[i] = at
        if h == 0.0:
            return without_gradient(gradient, NOT_FINITE, dim)
        gradient[i] = total / h
        finite = finite + 0.0 * gradient[i]
    if finite == 0.0:
        return OK
    return NOT_FINITE


def extrapolated_gradient(address, ctx, position, logp, gradient, moved, numbers, work, n_points, dim):
    """As `difference_gradient`, by central differences extrapolated to step zero.

    `numbers` holds the step, and from `FORMULA` on the `n_points` divisors of it, and the powers that cancel errors.
    """
    status = value_at(address, ctx, position, logp, 0)
    if status != OK:
        return without_gradient(gradient, status, dim)
    for i in range(dim):
        moved[i] = position[i]
    rounding = EPS * abs(logp[0]) * LAST
    finite = 0.0
    for i in range(dim):
        at = position[i]
        h = numbers[STEP]
        if h == 0.0:
            h = LARGEST * max(1.0, abs(at))
        status = extrapolate(address, ctx, moved, numbers, work, i, h, n_points)
        if status != FATAL and numbers[STEP] == 0.0:
            value = work[BEST]
            error = work[ERROR] + rounding / h
            status = extrapolate(address, ctx, moved, numbers, work, i, h / NEARER, n_points)
            near_error = work[ERROR]
            agree = abs(value - work[BEST]) <= AGREEMENT * (error + near_error)
            if agree and not NEARER * near_error < error:
                work[BEST] = value
        if status == FATAL:
            return without_gradient(gradient, status, dim)
        gradient[i] = work[BEST]
        finite = finite + 0.0 * gradient[i]
    if finite == 0.0:
        return OK
    return NOT_FINITE


def extrapolate(address, ctx, moved, numbers, work, i, largest, n_levels):
    """The derivative by coordinate `i` and its error, to ``work[BEST]`` and ``work[ERROR]``, by Ridders' table.

    `moved` is the point, and is so again afterwards. Returns 2 if the log density failed, else 0.
    """
    at = moved[i]
    before = ROWS
    present = ROWS + n_levels
    for level in range(n_levels):
        step = largest / numbers[FORMULA + level]
        moved[i] = at + step
        status = value_at(address, ctx, moved, work, VALUE)
        above = work[VALUE]
        if status == NOT_FINITE:
            above = -math.inf
        moved[i] = at + -step
        if status != FATAL:
            status = value_at(address, ctx, moved, work, VALUE)
        below = work[VALUE]
        if status == NOT_FINITE:
            below = -math.inf
        moved[i] = at
        if status == FATAL:
            return FATAL
        work[present] = (above - below) / (2.0 * step)
        for k in range(level):
            factor = numbers[FORMULA + n_levels + k]
            work[present + k + 1] = (factor * work[present + k] - work[before + k]) / (factor - 1.0)
            to_left = abs(work[present + k + 1] - work[present + k])
            to_above = abs(work[present + k + 1] - work[before + k])
            estimate = math.inf
            if to_left < math.inf and to_above < math.inf:  # neither infinite nor NaN
                estimate = max(to_left, to_above)
            if (level == 1 and k == 0) or estimate < work[ERROR]:
                work[BEST] = work[present + k + 1]
                work[ERROR] = estimate
        swapped = before
        before = present
        present = swapped
    return OK


def without_gradient(gradient, status, dim):
    """A gradient of NaN; returns the status."""
    for i in range(dim):
        gradient[i] = math.nan
    return status
