"""Where chains start: points with a finite log density and gradient, or an error that says why there are none."""

from __future__ import annotations

import math

import numpy as np

from probad.errors import InitializationError

RADIUS, N_TRIES = 2.0, 100


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
