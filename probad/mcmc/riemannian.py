"""Transitions in a metric that bends with the posterior: Riemannian HMC, and simplified manifold MALA.

A step whose equations, see `probad.mcmc.implicit`, are not solved ends the trajectory, which is rejected, and counts as
a divergence. Momenta are the usual ones here, not whitened.

Source: Girolami and Calderhead, "Riemann manifold Langevin and Hamiltonian Monte Carlo methods", J. R. Stat. Soc. B 73
(2011) 123, algorithms 2 and 3.
"""

from __future__ import annotations

import math

from probad.mcmc.curvature import (
    PLACE,
    SLOPE,
    block,
    copy_block,
    end_of,
    from_eigenvectors,
    is_known,
    locate,
    log_volume,
    to_eigenvectors,
)
from probad.mcmc.implicit import AHEAD, BEHIND, COMPONENTS, FORCE, HERE, TRIED, riemannian_step
from probad.mcmc.integrators import note_energy_error
from probad.mcmc.proposal import accepts, begin_statistics
from probad.mcmc.random import fill_normal
from probad.mcmc.rows import copy_row, squared_norm
from probad.mcmc.static import number_of_steps
from probad.mcmc.workspace import (
    CHOSEN_ENERGY,
    DIVERGING,
    FAILED,
    FINE,
    GRADIENT,
    LOGP,
    MOMENTUM,
    N_STEPS,
    POSITION,
    RIGHT_MOMENTUM,
    STEP_SIZE,
    STOP,
    STOPPED,
)


def riemannian_energy(rows, point, momentum, dim):
    """The Hamiltonian at a block and a momentum, in nats; infinite where it is not finite."""
    to_eigenvectors(rows, point, momentum, COMPONENTS, -0.5, dim)
    kinetic = 0.5 * squared_norm(rows, COMPONENTS, dim) + log_volume(rows, point, dim)
    energy = kinetic - rows[end_of(point, dim) * dim]
    if abs(energy) < math.inf:
        return energy
    return math.inf


def locate_the_chain(address, ctx, rows, scalars, counts, dim):
    """Fill block HERE at the chain's position, unless it is there already; a status of `locate`."""
    here = block(HERE, dim)
    if is_known(rows, here, POSITION, dim):
        return 0
    copy_row(rows, POSITION, here + PLACE, dim)
    return locate(address, ctx, rows, scalars, counts, here, dim)


def begin_riemannian(address, ctx, rows, scalars, counts, random, dim):
    """Draw a momentum for where the chain is, and put both where a step begins; a status of `locate`."""
    status = locate_the_chain(address, ctx, rows, scalars, counts, dim)
    if status != 0:
        return status
    here = block(HERE, dim)
    fill_normal(random, rows, TRIED, dim)
    for i in range(dim):
        rows[MOMENTUM * dim + i] = 0.0
    from_eigenvectors(rows, here, TRIED, MOMENTUM, 0.5, 1.0, dim)
    copy_row(rows, MOMENTUM, RIGHT_MOMENTUM, dim)
    copy_block(rows, here, block(BEHIND, dim), dim)
    return 0


def move_chain(rows, scalars, point, energy, dim):
    """Make a block the state of the chain."""
    copy_block(rows, point, block(HERE, dim), dim)
    copy_row(rows, point + PLACE, POSITION, dim)
    copy_row(rows, point + SLOPE, GRADIENT, dim)
    scalars[LOGP] = rows[end_of(point, dim) * dim]
    scalars[CHOSEN_ENERGY] = energy


def riemannian_transition(address, ctx, rows, scalars, counts, random, dim):
    """One transition of Riemannian HMC: draw a momentum, follow the trajectory, accept its end or stay.

    The arguments are those of `probad.mcmc.kernel.run_iterations`.

    Returns
    -------
    int
        FINE, FAILED or STOPPED; the statistics of the transition are left in `scalars` and `counts`.
    """
    status = begin_riemannian(address, ctx, rows, scalars, counts, random, dim)
    if status != 0:
        return FAILED
    begin_statistics(scalars, counts, riemannian_energy(rows, block(HERE, dim), MOMENTUM, dim))
    behind = block(BEHIND, dim)
    ahead = block(AHEAD, dim)
    n_steps = number_of_steps(scalars, counts, random)
    energy = 0.0
    error = 0.0
    while counts[N_STEPS] < n_steps and counts[DIVERGING] == 0:
        status = riemannian_step(address, ctx, rows, scalars, counts, scalars[STEP_SIZE], dim)
        if status == FAILED:
            return FAILED
        if counts[STOP] != 0:
            return STOPPED
        counts[N_STEPS] = counts[N_STEPS] + 1
        energy = math.inf
        if status == 0:
            energy = riemannian_energy(rows, ahead, RIGHT_MOMENTUM, dim)
            copy_block(rows, ahead, behind, dim)
        error = note_energy_error(scalars, counts, energy)
    if accepts(scalars, counts, random, error):
        move_chain(rows, scalars, ahead, energy, dim)
    return FINE


# --- manifold MALA ----------------------------------------------------------------------------------------------------
def langevin_mean(rows, point, result, step, dim):
    """Write q + step^2/2 G^-1 grad of a block to a row."""
    to_eigenvectors(rows, point, point + SLOPE, COMPONENTS, -1.0, dim)
    copy_row(rows, point + PLACE, result, dim)
    from_eigenvectors(rows, point, COMPONENTS, result, 0.0, 0.5 * step * step, dim)


def langevin_step(address, ctx, rows, scalars, counts, random, dim):
    """Propose block AHEAD from block HERE with new noise in MOMENTUM; a status of `locate`."""
    here = block(HERE, dim)
    ahead = block(AHEAD, dim)
    status = locate_the_chain(address, ctx, rows, scalars, counts, dim)
    if status != 0:
        return FAILED
    fill_normal(random, rows, MOMENTUM, dim)
    langevin_mean(rows, here, ahead + PLACE, scalars[STEP_SIZE], dim)
    from_eigenvectors(rows, here, MOMENTUM, ahead + PLACE, -0.5, scalars[STEP_SIZE], dim)
    return locate(address, ctx, rows, scalars, counts, ahead, dim)


def energy_of_leaving(rows, point, dim):
    """Minus the logarithm of the density at a block times that of the proposal with whitened noise in COMPONENTS."""
    noise = 0.5 * squared_norm(rows, COMPONENTS, dim)
    energy = noise - log_volume(rows, point, dim) - rows[end_of(point, dim) * dim]
    if abs(energy) < math.inf:
        return energy
    return math.inf


def energy_of_return(rows, scalars, dim):
    """The energy of going back from block AHEAD to block HERE."""
    ahead = block(AHEAD, dim)
    langevin_mean(rows, ahead, FORCE, scalars[STEP_SIZE], dim)
    for i in range(dim):
        away = rows[(block(HERE, dim) + PLACE) * dim + i] - rows[FORCE * dim + i]
        rows[TRIED * dim + i] = away / scalars[STEP_SIZE]
    to_eigenvectors(rows, ahead, TRIED, COMPONENTS, 0.5, dim)
    return energy_of_leaving(rows, ahead, dim)


def manifold_mala_transition(address, ctx, rows, scalars, counts, random, dim):
    """One transition of simplified manifold MALA; as `riemannian_transition`."""
    status = langevin_step(address, ctx, rows, scalars, counts, random, dim)
    if status == FAILED:
        return FAILED
    if counts[STOP] != 0:
        return STOPPED
    copy_row(rows, MOMENTUM, COMPONENTS, dim)
    begin_statistics(scalars, counts, energy_of_leaving(rows, block(HERE, dim), dim))
    counts[N_STEPS] = 1
    energy = math.inf
    if status == 0:
        energy = energy_of_return(rows, scalars, dim)
    error = note_energy_error(scalars, counts, energy)
    if accepts(scalars, counts, random, error):
        move_chain(rows, scalars, block(AHEAD, dim), energy, dim)
    return FINE


def loss_of_one_step(address, ctx, rows, scalars, counts, random, is_langevin, dim):
    """Minus the energy error of one step from here; NaN if the density failed."""
    start = 0.0
    end = math.inf
    if is_langevin:
        status = langevin_step(address, ctx, rows, scalars, counts, random, dim)
        if status != FAILED:
            copy_row(rows, MOMENTUM, COMPONENTS, dim)
            start = energy_of_leaving(rows, block(HERE, dim), dim)
        if status == 0:
            end = energy_of_return(rows, scalars, dim)
    else:
        status = begin_riemannian(address, ctx, rows, scalars, counts, random, dim)
        if status != 0:
            return math.nan
        start = riemannian_energy(rows, block(HERE, dim), MOMENTUM, dim)
        status = riemannian_step(address, ctx, rows, scalars, counts, scalars[STEP_SIZE], dim)
        if status == 0:
            end = riemannian_energy(rows, block(AHEAD, dim), RIGHT_MOMENTUM, dim)
    if status == FAILED:
        return math.nan
    return start - end
