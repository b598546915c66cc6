"""Drive the kernels directly: workspaces at a given point, single transitions, many short chains."""

from __future__ import annotations

import numpy as np

from probad.mcmc import NUTS
from probad.mcmc import workspace as w
from probad.mcmc.integrators import leapfrog
from probad.mcmc.intrinsics import PythonDensity
from probad.mcmc.kernel import run_iterations
from probad.mcmc.metrics import whiten_gradient
from probad.mcmc.random import stream


def make_space(density, algorithm=None, *, position, step_size, inverse_mass=None, n_draws=1, warmup=0, seed=0):
    """A workspace ready to run from `position`."""
    algorithm = algorithm or NUTS(metric="diag")
    space = algorithm.allocate(density.dim, draws=n_draws, warmup=warmup, random=stream(seed, 0))
    position = np.asarray(position, dtype=float)
    space.rows[w.POSITION] = position
    space.scalars[w.LOGP], space.rows[w.GRADIENT] = density.logp_and_grad(position)
    space.scalars[w.STEP_SIZE] = step_size
    if inverse_mass is not None:
        space.take_inverse_mass(np.asarray(inverse_mass))
    return space


def run(density, space, n):
    """Run up to n iterations; the status."""
    memory = space.to_lists()
    status = run_iterations(PythonDensity(density.evaluate, density.dim), 0, *memory, n, density.dim)
    space.take_back(*memory)
    return status


def statistics(space):
    """Columns by name."""
    return dict(zip(w.STATISTICS, space.statistics.T, strict=True))


def steps(density, position, momentum, step, n, inverse_mass=None):
    """Position, whitened momentum and log density after n leapfrog steps of the kernel."""
    algorithm = NUTS(metric="diag" if np.ndim(inverse_mass) < 2 else "dense")
    space = make_space(density, algorithm, position=position, step_size=1.0, inverse_mass=inverse_mass)
    space.rows[w.MOMENTUM] = momentum
    rows, scalars, counts, _, _, metric, *_ = memory = space.to_lists()
    address, dim = PythonDensity(density.evaluate, density.dim), density.dim
    walk(address, rows, scalars, counts, metric, step, n, dim)
    space.take_back(*memory)
    return space.rows[w.POSITION].copy(), space.rows[w.MOMENTUM].copy(), float(space.scalars[w.LOGP])


def walk(address, rows, scalars, counts, metric, step, n, dim):
    """Take n leapfrog steps from the state of the chain."""
    whiten_gradient(rows, counts, metric, w.GRADIENT, w.FORCE, dim)
    state = w.POSITION, w.GRADIENT, w.FORCE, w.MOMENTUM
    for _ in range(n):
        assert leapfrog(address, 0, rows, scalars, counts, metric, *state, w.LOGP, step, dim) == 0


def after_transitions(density, starts, algorithm, step_size, n_transitions=1, inverse_mass=None, seed=0):
    """Where `n_transitions` take each of the starting points, with one stream of random numbers for all."""
    first = starts[0]
    space = make_space(
        density,
        algorithm,
        position=first,
        step_size=step_size,
        inverse_mass=inverse_mass,
        n_draws=n_transitions,
        seed=seed,
    )
    rows, scalars, counts, *_ = memory = space.to_lists()
    address, dim = PythonDensity(density.evaluate, density.dim), density.dim
    moved = np.empty((len(starts), dim))
    place = w.POSITION * dim
    slope = w.GRADIENT * dim
    for k, start in enumerate(starts):
        logp, grad = density.logp_and_grad(start)
        rows[place : place + dim] = start.tolist()
        rows[slope : slope + dim] = grad.tolist()
        scalars[w.LOGP] = logp
        counts[w.ITERATION] = 0
        assert run_iterations(address, 0, *memory, n_transitions, dim) == 0
        moved[k] = rows[place : place + dim]
    return moved
