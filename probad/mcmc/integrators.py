"""Steps along a Hamiltonian trajectory: the leapfrog, the energy it nearly conserves, and by how much it does not."""

from __future__ import annotations

import math

from probad.mcmc.intrinsics import evaluate
from probad.mcmc.metrics import drift, kick, whiten_gradient
from probad.mcmc.rows import squared_norm
from probad.mcmc.workspace import (
    ACCEPTANCE_SUM,
    DIVERGING,
    MAX_DELTA_ENERGY,
    MAX_ENERGY_ERROR,
    START_ENERGY,
    SYMMETRIC_SUM,
)

FAR = 300.0  # nats; the exponential of twice that is still a float


def leapfrog(address, ctx, rows, scalars, counts, metric, position, gradient, force, momentum, logp, step, dim):
    """Move one step of signed length `step`, in place: half a kick, a drift, half a kick.

    Parameters
    ----------
    address, ctx
        The log density; see `probad.mcmc.intrinsics.evaluate`.
    rows : (n_rows * dim,) array
    scalars : (N_SCALARS,) array
    counts : (N_COUNTS,) integer array
    metric : array
        See `probad.mcmc.metrics.whiten_gradient`.
    position, gradient, force, momentum : int
        Rows of the state that moves. Where it comes from the force is known, and the gradient is not looked at.
    logp : int
        Place in `scalars` of its log density.
    step : float
    dim : int

    Returns
    -------
    int
        Status of the density; unless it is 0, the state is of no further use.
    """
    half = 0.5 * step
    kick(rows, momentum, force, half, dim)
    drift(rows, counts, metric, position, momentum, step, dim)
    status = evaluate(address, ctx, rows, position, gradient, scalars, logp, dim)
    if status == 0:
        whiten_gradient(rows, counts, metric, gradient, force, dim)
        kick(rows, momentum, force, half, dim)
    return status


def total_energy(rows, scalars, momentum, logp, status, dim):
    """Kinetic energy minus log density, in nats; infinite where the density is not finite.

    `momentum` is a row, `logp` a place in `scalars`, `status` what `leapfrog` returned.
    """
    if status != 0:
        return math.inf
    energy = 0.5 * squared_norm(rows, momentum, dim) - scalars[logp]
    if abs(energy) < math.inf:  # neither infinite nor NaN
        return energy
    return math.inf


def note_energy_error(scalars, counts, energy):
    """The error of `energy` since the start of the trajectory; take note of the largest, and of a divergence."""
    error = energy - scalars[START_ENERGY]
    if abs(error) > abs(scalars[MAX_ENERGY_ERROR]):
        scalars[MAX_ENERGY_ERROR] = error
    if error > MAX_DELTA_ENERGY:
        counts[DIVERGING] = 1
    return error


def note_acceptance(scalars, ratio):
    """Add what a state with this ratio of densities to the start has to say on the step size.

    Besides the probability min(1, ratio) its symmetric twin 2 min(1, ratio) / (1 + ratio), which falls where the energy
    does as well as where it rises: a better guide while the metric still changes.
    """
    share = min(1.0, ratio)
    scalars[ACCEPTANCE_SUM] = scalars[ACCEPTANCE_SUM] + share
    scalars[SYMMETRIC_SUM] = scalars[SYMMETRIC_SUM] + 2.0 * share / (1.0 + ratio)
