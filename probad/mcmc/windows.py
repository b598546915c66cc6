"""Schedules of warm-up: when the metric is renewed, and from which iterations."""

from __future__ import annotations

import numpy as np

STEP_ONLY = -1  # an iteration after which the metric stays
INITIAL_BUFFER, TERMINAL_BUFFER, BASE_WINDOW = 75, 50, 25  # Stan's
FIRST_WINDOWS, WINDOW, GROWTH, ADAPTING = 4, 10, 1.4, 0.85


def stan_schedule(n_warmup: int) -> np.ndarray:
    """Stan's windows: each iteration's first draw for a new metric, or STEP_ONLY.

    75 iterations for the step size, then windows of 25, 50, 100, ... for the metric, the last one stretched to the end,
    then 50 for the step size; scaled to 15, 75 and 10 % where they do not fit. Between 151 and 199 iterations Stan
    leaves a last window of 1 to 49; here the first window takes those in.

    Parameters
    ----------
    n_warmup : int

    Returns
    -------
    (n_warmup,) int64 array

    Examples
    --------
    >>> schedule = stan_schedule(1000)
    >>> ends = np.flatnonzero(schedule != STEP_ONLY)
    >>> ends, schedule[ends]
    (array([ 99, 149, 249, 449, 949]), array([ 75, 100, 150, 250, 450]))
    """
    schedule = np.full(n_warmup, STEP_ONLY, np.int64)
    if n_warmup < 20:  # too short to learn a metric from
        return schedule
    first, last, window = INITIAL_BUFFER, TERMINAL_BUFFER, BASE_WINDOW
    if first + window + last > n_warmup:
        first, last = int(0.15 * n_warmup), int(0.1 * n_warmup)
        window = n_warmup - first - last
    end = n_warmup - last
    start = first
    while start < end:
        stop = start + window
        if stop + 2 * window > end:
            stop = end
        schedule[stop - 1] = start
        start = stop
        window = 2 * window
    return schedule


def overlapping_schedule(n_warmup: int) -> np.ndarray:
    """Windows from the start on that soon grow, each metric from the last two of them.

    Four windows of 10 iterations, then each 1.4 times as long as the one before, up to 85 % of the warm-up; the rest is
    for the step size. What does not make a whole window at the end joins the last one.

    Parameters
    ----------
    n_warmup : int

    Returns
    -------
    (n_warmup,) int64 array
        As of `stan_schedule`.

    Examples
    --------
    >>> schedule = overlapping_schedule(200)
    >>> ends = np.flatnonzero(schedule != STEP_ONLY)
    >>> ends, schedule[ends]
    (array([  9,  19,  29,  39,  53,  73, 101, 169]), array([ 0,  0, 10, 20, 30, 40, 54, 74]))
    """
    schedule = np.full(n_warmup, STEP_ONLY, np.int64)
    end = int(ADAPTING * n_warmup)
    lengths = [WINDOW] * FIRST_WINDOWS
    while sum(lengths) + round(GROWTH * lengths[-1]) <= end:
        lengths.append(round(GROWTH * lengths[-1]))
    ends = np.cumsum(lengths)
    ends = ends[ends <= end]
    if len(ends) == 0:
        return schedule
    ends[-1] = end
    starts = [0, 0, *ends[:-2]][: len(ends)]
    schedule[ends - 1] = starts
    return schedule
