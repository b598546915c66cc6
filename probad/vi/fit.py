"""Fit a variational family to a log density: check the request, find a start, climb, hand back what was reached."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from probad.errors import ArgumentError, InitializationError, OptimizationError
from probad.vi.ascent import STAGES, Ascent, Progress
from probad.vi.mean_field import MeanField

FAMILIES = {family.name: family for family in (MeanField,)}

N_START_TRIES, START_RADIUS = 100, 2.0


@dataclass
class Fit:
    """A fitted family.

    Attributes
    ----------
    family : MeanField
    parameters : (n_parameters,) array
    elbo : (n_steps,) array
        Estimates of the ELBO, one per step, in nats.
    converged, interrupted : bool
    left_out : float
        Share of the last draws that had no finite log density, and were left out of the ELBO and its gradient.
    seconds : float
    settings : dict
    """

    family: MeanField
    parameters: np.ndarray
    elbo: np.ndarray
    converged: bool
    interrupted: bool
    left_out: float
    seconds: float
    settings: dict

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Unconstrained draws, ``(n, dim)``."""
        return self.family.transform(self.parameters, rng.standard_normal((n, self.family.dim)))

    @property
    def center(self) -> np.ndarray:
        """The unconstrained point, ``(dim,)``, that stands for the middle of the noise."""
        return self.family.transform(self.parameters, np.zeros(self.family.dim))

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """Log density of the approximation at unconstrained points, ``(..., dim)``."""
        return self.family.log_prob(self.parameters, np.asarray(z, dtype=float))


def fit(
    density,
    *,
    family: str = "mean-field",
    steps: int = 10_000,
    seed: int,
    n_samples: int = 10,
    step_size: float = 0.1,
    init: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit a family to a log density.

    Parameters
    ----------
    density : LogDensity
    family : {"mean-field"}
    steps : int
        At most so many; fewer if the fit converges earlier.
    seed : int
    n_samples : int
        Draws per step.
    step_size : float
        At the start, in standard deviations of the approximation; it falls to a sixteenth.
    init : (dim,) array, optional
        Where the approximation starts; a point with a finite log density is looked for if it is not given.
    progress : callable, optional
        ``progress(done, total, text)``.

    Returns
    -------
    Fit
        After an interrupt, what had been reached until then.

    Raises
    ------
    ArgumentError
        For an unknown family, or numbers out of range.
    InitializationError
        If no starting point is found.
    OptimizationError
        If most draws stay where the log density is not finite, or the approximation runs away. Its `result` is the
        fit before that.
    """
    _check(family, steps, n_samples, step_size)
    rng = np.random.default_rng(seed)
    chosen = FAMILIES[family](density.dim)
    start = chosen.start(_starting_point(density, rng, init))
    ascent = Ascent(density, chosen, start, rng=rng, n_samples=int(n_samples), step_size=float(step_size))
    settings = {
        "algorithm": "VI",
        "family": family,
        "steps": int(steps),
        "n_samples": int(n_samples),
        "step_size": float(step_size),
        "seed": int(seed),
    }
    began = time.perf_counter()

    def finished(parameters, left_out, *, converged=False, interrupted=False) -> Fit:
        elbo, seconds = np.array(ascent.elbo), time.perf_counter() - began
        return Fit(chosen, parameters, elbo, converged, interrupted, left_out, seconds, settings)

    try:
        with np.errstate(all="ignore"):  # what is not finite is dealt with by name
            converged = ascent.run(int(steps), progress)
    except KeyboardInterrupt:
        return finished(*ascent.result(1), interrupted=True)
    except OptimizationError as error:
        error.result = finished(ascent.last_good, 0.0)
        raise
    n_agree = STAGES[-1][-1]
    return finished(*ascent.result(n_agree if converged else 1), converged=converged)


def _check(family, steps, n_samples, step_size) -> None:
    """Raise unless the options make sense."""
    if family not in FAMILIES:
        known = ", ".join(map(repr, FAMILIES))
        raise ArgumentError(f"family must be one of {known}; got {family!r}.")
    for name, value in {"steps": steps, "n_samples": n_samples}.items():
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
            raise ArgumentError(f"{name} must be a whole number, at least 1; got {value!r}.")
    number = isinstance(step_size, int | float) and not isinstance(step_size, bool)
    if not (number and 0 < step_size < math.inf):
        raise ArgumentError(f"step_size must be a positive number; got {step_size!r}.")


def _starting_point(density, rng, init) -> np.ndarray:
    """A point with a finite log density: the given one, the origin, or a random one."""
    if init is not None:
        points = [np.array(init, dtype=float)]
        if points[0].shape != (density.dim,):
            raise ArgumentError(f"init must have shape ({density.dim},); got {points[0].shape}.")
    else:
        drawn = rng.uniform(-START_RADIUS, START_RADIUS, (N_START_TRIES, density.dim))
        points = [np.zeros(density.dim), *drawn]
    for point in points:
        logp, grad = density.logp_and_grad(point)
        if math.isfinite(logp) and np.isfinite(grad).all():
            return point
    why = density.explain(points[0])
    if init is not None:
        raise InitializationError(f"The fit cannot start at the given init. {why} Choose another point.")
    raise InitializationError(
        f"No start for the fit: none of {len(points)} points around the origin of the unconstrained space has a finite "
        f"log density and gradient. At the origin: {why} Check data and priors there, or give init=."
    )
