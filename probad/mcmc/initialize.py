"""Where chains start: points with a finite log density and gradient, or an error that says why there are none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from probad.density import OUTSIDE
from probad.errors import ArgumentError, DensityError, InitializationError

RADIUS, N_TRIES = 2.0, 100
N_STEPS, JITTER = 100, 0.1  # of the search for a mode: iterations, and unconstrained distance from where it ends
N_LOOKS, N_NAMED = 5, 3  # points at which a derivative of 0 is looked at again; coordinates that a message names
MOVES = (-1.0, 1e3, -1e3, 1e6)  # of a coordinate that nothing seems to depend on
WALL = 1e100  # what a point without a finite log density costs: more than any other, and finite for the line search


def starting_point(density, rng: np.random.Generator, init: np.ndarray | None, chain: int):
    """A point where chain number `chain` may start, its log density and gradient.

    Parameters
    ----------
    density : LogDensity
    rng : numpy.random.Generator
    init : (dim,) array or None
        A point given by the user; None draws uniformly from (-2, 2) in each unconstrained coordinate.
    chain : int

    Returns
    -------
    position : (dim,) array
    logp : float, nats
    grad : (dim,) array

    Raises
    ------
    InitializationError
        If the given point, or each of 100 drawn points, has no finite log density and gradient.
    """
    if init is not None:
        return _given(density, np.array(init, dtype=float), chain)
    first = None
    for _ in range(N_TRIES):
        position = rng.uniform(-RADIUS, RADIUS, density.dim)
        logp, grad = density.logp_and_grad(position)
        if math.isfinite(logp) and np.isfinite(grad).all():
            return position, float(logp), grad
        first = position if first is None else first
    raise InitializationError(
        f"No starting point for chain {chain}: none of {N_TRIES} points drawn from (-{RADIUS:g}, {RADIUS:g}) in the "
        f"unconstrained space has a finite log density and gradient. At the first of them: {density.explain(first)} "
        "Check data and priors there, or give init=."
    )


def start_all(start: Callable[[int], None], chains: int) -> None:
    """Start all chains; if some cannot, one error says which, after all were tried.

    Parameters
    ----------
    start : callable
        ``start(number)`` starts a chain.
    chains : int

    Raises
    ------
    InitializationError
        With the reason of the first chain that cannot start.
    """
    failures: dict[int, InitializationError] = {}
    for number in range(chains):
        try:
            start(number)
        except InitializationError as error:
            failures[number] = error
    if not failures:
        return
    first = next(iter(failures.values()))
    if chains == 1:
        raise first
    if len(failures) == chains:
        which = f"None of the {chains} chains can start"
    else:
        numbers = " and ".join(", ".join(map(str, failures)).rsplit(", ", 1))
        which = f"Chain{'s' if len(failures) > 1 else ''} {numbers} of {chains} cannot start, the others can"
    raise InitializationError(f"{which}. {first}") from first


def check_dependence(density, positions: np.ndarray | None = None, grads: np.ndarray | None = None) -> None:
    """Refuse a log density that does not depend on some coordinate, which then has no posterior.

    Derivatives that are 0 at the given points are looked at elsewhere, and the coordinate is moved far away. So a
    density that is flat between walls passes. Where no derivative is 0 this costs nothing.

    Parameters
    ----------
    density : LogDensity
    positions, grads : (n, dim) arrays, optional
        Points with a finite log density, and the gradients there; one is drawn if they are not given.

    Raises
    ------
    DensityError
        Naming coordinates.
    """
    rng = np.random.default_rng(0)
    if grads is None:
        try:
            position, _, grad = starting_point(density, rng, None, 0)
        except InitializationError:  # it has to be said where a start is needed
            return
        positions, grads = position[None], grad[None]
    flat = np.flatnonzero(~grads.any(axis=0))
    for _ in range(N_LOOKS if flat.size else 0):
        logp, grad = density.logp_and_grad(rng.uniform(-RADIUS, RADIUS, density.dim))
        if math.isfinite(logp):
            flat = flat[grad[flat] == 0]
    found = [int(i) for i in flat[:N_NAMED] if _stays(density, positions[0], i)]
    if not found:
        return
    names = ", ".join(f"'{density.names[i]}'" for i in found)
    more = f" (and on {len(flat) - len(found)} more coordinates, it seems)" if len(flat) > N_NAMED else ""
    raise DensityError(
        f"The log density does not depend on {names}{more}: its derivative is 0 wherever it was looked at, and moving "
        f"the coordinate by {max(MOVES):g} changes nothing. Such a posterior is improper, and draws from it mean "
        "nothing. Give the variable a prior, use it in the model, or leave it out."
    )


def _stays(density, position: np.ndarray, i: int) -> bool:
    """Whether the log density is the same however far coordinate `i` is moved."""
    here = density.logp_and_grad(position)[0]
    for move in MOVES:
        there = position.copy()
        there[i] += move
        if density.logp_and_grad(there)[0] != here:
            return False
    return True


def optimized_starts(density, seed: int, chains: int) -> np.ndarray:
    """Starting points near modes: for each chain L-BFGS from a uniform start, and a small normal jitter.

    Parameters
    ----------
    density : LogDensity
    seed, chains : int
        The start of chain i depends on (seed, i) alone.

    Returns
    -------
    (chains, dim) array, unconstrained

    Raises
    ------
    InitializationError
        If a chain finds no point to begin the search at.

    Source: Byrd, Lu, Nocedal and Zhu 1995, doi:10.1137/0916069, as in SciPy.
    """
    from scipy.optimize import minimize  # slow to import, and needed only here

    density, starts = density.fork(), []
    for chain in range(chains):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(chain, 2)))
        first = starting_point(density, rng, None, chain)[0]
        best = [-math.inf, first]

        def objective(z, best=best):
            logp, grad = density.logp_and_grad(z)
            if not (math.isfinite(logp) and np.isfinite(grad).all()):
                return WALL, np.zeros(density.dim)
            if logp > best[0]:
                best[:] = float(logp), z.copy()
            return -float(logp), -np.asarray(grad)

        minimize(objective, first, jac=True, method="L-BFGS-B", options={"maxiter": N_STEPS})
        noise = JITTER * rng.normal(size=density.dim)
        logp, grad = density.logp_and_grad(best[1] + noise)
        usable = math.isfinite(logp) and np.isfinite(grad).all()
        starts.append(best[1] + noise if usable else best[1])
    return np.stack(starts)


def prior_starts(density, seed: int, chains: int) -> np.ndarray:
    """Starting points drawn from the prior of a model.

    Parameters
    ----------
    density : LogDensity
        With a method ``draw_prior(rng)``, as models have.
    seed, chains : int
        The start of chain i depends on (seed, i) alone.

    Returns
    -------
    (chains, dim) array, unconstrained

    Raises
    ------
    ArgumentError
        If the density has no prior.
    InitializationError
        If no draw has a finite log density and gradient.
    """
    if not hasattr(density, "draw_prior"):
        raise ArgumentError(
            f"init='prior' needs the priors of a model; a {type(density).__name__} has none. Give starting points as "
            "init=, or 'uniform' or 'map'."
        )
    density, starts = density.fork(), []
    start_all(lambda chain: starts.append(_drawn(density, seed, chain)), chains)
    return np.stack(starts)


def _drawn(density, seed: int, chain: int) -> np.ndarray:
    """A draw from the prior where chain number `chain` may start."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(chain, 3)))
    why = None
    for _ in range(N_TRIES):
        try:
            position = density.draw_prior(rng)
        except OUTSIDE as error:
            why = str(error) if why is None else why
            continue
        if not np.isfinite(position).all():
            continue
        logp, grad = density.logp_and_grad(position)
        if math.isfinite(logp) and np.isfinite(grad).all():
            return position
        why = density.explain(position) if why is None else why
    raise InitializationError(
        f"No starting point for chain {chain}: none of {N_TRIES} draws from the prior has a finite log density and "
        f"gradient. At the first of them: {why or 'it lies on the edge of its support.'} Choose priors that fit the "
        "data better, or start elsewhere: init='uniform', 'map', or values by name."
    )


def _given(density, position: np.ndarray, chain: int):
    bad = np.flatnonzero(~np.isfinite(position))
    if bad.size:
        i = int(bad[0])
        raise InitializationError(
            f"The start of chain {chain} is not finite: init[{i}] = {position[i]} for '{density.names[i]}'."
        )
    logp, grad = density.logp_and_grad(position)
    if not (math.isfinite(logp) and np.isfinite(grad).all()):
        raise InitializationError(
            f"Chain {chain} cannot start at the given init: {density.explain(position)} Choose another point, or "
            "leave init= out."
        )
    return position, float(logp), grad
