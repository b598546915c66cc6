"""Steps along a Hamiltonian trajectory: the leapfrog, and the kinetic energy it conserves together with the density."""

from __future__ import annotations

from probad.mcmc.intrinsics import evaluate
from probad.mcmc.workspace import INVERSE_MASS


def copy_row(rows, source, target, dim):
    """Copy one row to another."""
    for i in range(dim):
        rows[target, i] = rows[source, i]


def kinetic_energy(rows, momentum, dim):
    """Half of p' M^-1 p, in nats."""
    total = 0.0
    for i in range(dim):
        p = rows[momentum, i]
        total = total + p * p * rows[INVERSE_MASS, i]
    return 0.5 * total


def leapfrog(address, ctx, rows, scalars, position, gradient, momentum, logp, step, dim):
    """Move one step of signed length `step`, in place: half a kick, a drift, half a kick.

    Parameters
    ----------
    rows : (n_rows, dim) array
    position, gradient, momentum : int
        Rows of the state that moves.
    logp : int
        Place in `scalars` of its log density.
    step : float

    Returns
    -------
    int
        Status of the density; the momentum lacks its last half kick unless it is 0.
    """
    half = 0.5 * step
    for i in range(dim):
        p = rows[momentum, i] + half * rows[gradient, i]
        rows[momentum, i] = p
        rows[position, i] = rows[position, i] + step * rows[INVERSE_MASS, i] * p
    status = evaluate(address, ctx, rows, position, gradient, scalars, logp)
    if status == 0:
        for i in range(dim):
            rows[momentum, i] = rows[momentum, i] + half * rows[gradient, i]
    return status
