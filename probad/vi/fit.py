"""Fit a variational family to a log density by stochastic gradient ascent on the evidence lower bound (ELBO).

The gradient is path-wise: draws are a differentiable function of the parameters and of noise. The part of it that
goes through the parameters of log q at fixed draws is left out: its mean is zero, and without it the noise of the
gradient vanishes as the fit becomes exact ("sticking the landing", Roeder, Wu and Duvenaud 2017).

The step size starts large and is halved each time the fit stops getting on: the ELBO no longer rises beyond its noise,
and no parameter moves steadily in one direction. At the smallest step size that is convergence. The result is the
average of the parameters over the last window.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from probad.errors import ArgumentError, InitializationError, OptimizationError
from probad.vi.adam import Adam
from probad.vi.mean_field import MeanField

FAMILIES = {family.name: family for family in (MeanField,)}

N_HALVINGS = 7
N_START_TRIES, START_RADIUS = 100, 2.0
MAX_BAD_STEPS = 20  # in a row with most draws outside the support
SMALL_RISE = 1e-3  # nats: an ELBO that rises by less per window has stopped rising
SMALL_CHANGE = 2e-3  # in scales of the approximation: a parameter that moves by less per window has arrived
STEADY = 0.5  # share of a parameter's path over a window that leads somewhere; a random walk of 100 steps has 0.1

# progress(done, total, text)
Progress = Callable[[int, int, str], None]


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
    seconds : float
    settings : dict
    """

    family: MeanField
    parameters: np.ndarray
    elbo: np.ndarray
    converged: bool
    interrupted: bool
    seconds: float
    settings: dict

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Unconstrained draws, ``(n, dim)``."""
        return self.family.transform(self.parameters, rng.standard_normal((n, self.family.dim)))

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
    window: int = 100,
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
        Of Adam at the start.
    window : int
        Steps over which the ELBO is watched and, at the end, the parameters are averaged.
    init : (dim,) array, optional
        Where the approximation starts; a point with a finite log density is looked for if it is not given.
    progress : callable, optional

    Returns
    -------
    Fit

    Raises
    ------
    ArgumentError
        For an unknown family, or numbers out of range.
    InitializationError
        If no starting point is found.
    OptimizationError
        If most draws stay where the log density is not finite.
    """
    if family not in FAMILIES:
        raise ArgumentError(f"family must be one of {', '.join(map(repr, FAMILIES))}; got {family!r}.")
    for name, value in {"steps": steps, "n_samples": n_samples, "window": window}.items():
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
            raise ArgumentError(f"{name} must be a whole number, at least 1; got {value!r}.")
    if not (isinstance(step_size, int | float) and 0 < step_size < math.inf):
        raise ArgumentError(f"step_size must be a positive number; got {step_size!r}.")
    rng = np.random.default_rng(seed)
    chosen = FAMILIES[family](density.dim)
    parameters = chosen.start(_starting_point(density, rng, init))
    ascent = _Ascent(density, chosen, Adam(chosen.n_parameters, float(step_size)), rng, int(n_samples), parameters)
    start = time.perf_counter()
    converged = interrupted = False
    try:
        converged = ascent.run(int(steps), int(window), progress)
    except KeyboardInterrupt:
        interrupted = True
    return Fit(
        family=chosen,
        parameters=ascent.average(),
        elbo=np.array(ascent.elbo),
        converged=converged,
        interrupted=interrupted,
        seconds=time.perf_counter() - start,
        settings={
            "algorithm": "VI",
            "family": family,
            "steps": int(steps),
            "n_samples": int(n_samples),
            "step_size": float(step_size),
            "window": int(window),
            "seed": int(seed),
        },
    )


def elbo_and_grad(density, family, parameters: np.ndarray, noise: np.ndarray):
    """Estimate the ELBO and its path-wise gradient from standard normal noise.

    Parameters
    ----------
    density : LogDensity
    family : MeanField
    parameters : (n_parameters,) array
    noise : (n, dim) array

    Returns
    -------
    elbo : float, nats
    gradient : (n_parameters,) array
    n_bad : int
        Draws where the log density is not finite; they are left out of both means.
    """
    z = family.transform(parameters, noise)
    values, gradients = np.empty(len(z)), np.empty_like(z)
    for i, point in enumerate(z):
        values[i], gradients[i] = density.logp_and_grad(point)
    good = np.isfinite(values) & np.isfinite(gradients).all(axis=1)
    if not good.any():
        return -math.inf, np.zeros(family.n_parameters), len(z)
    z, noise = z[good], noise[good]
    elbo = float(np.mean(values[good] - family.log_prob(parameters, z)))
    gradient = family.pull(parameters, noise, gradients[good] - family.score(parameters, z))
    return elbo, gradient, int(np.sum(~good))


class _Ascent:
    """The state of a fit in progress."""

    def __init__(self, density, family, optimizer: Adam, rng, n_samples: int, parameters: np.ndarray):
        self.density, self.family, self.optimizer, self.rng = density, family, optimizer, rng
        self.n_samples = n_samples
        self.parameters = parameters
        self.elbo: list[float] = []
        self.path = [parameters]  # the parameters since the window began
        self.n_bad_steps = 0

    def average(self) -> np.ndarray:
        """Mean of the parameters over the window."""
        return np.mean(self.path, axis=0)

    def run(self, steps: int, window: int, progress: Progress | None) -> bool:
        """Climb; return whether the fit has converged."""
        n_halvings = 0
        smallest = self.optimizer.step_size / 2**N_HALVINGS
        for step in range(1, steps + 1):
            self.step(step)
            if step % window:
                continue
            if progress is not None:
                progress(step, steps, f"ELBO {np.mean(self.elbo[-window:]):.2f}")
            if not (self.rising(window) or self.moving()):
                if n_halvings == N_HALVINGS:
                    return True
                n_halvings += 1
                self.optimizer.step_size = max(smallest, self.optimizer.step_size / 2)
            if step < steps:
                self.path.clear()
        return False

    def step(self, step: int) -> None:
        """One step uphill."""
        noise = self.rng.standard_normal((self.n_samples, self.family.dim))
        elbo, gradient, n_bad = elbo_and_grad(self.density, self.family, self.parameters, noise)
        self.n_bad_steps = self.n_bad_steps + 1 if 2 * n_bad > self.n_samples else 0
        if self.n_bad_steps > MAX_BAD_STEPS:
            z = self.family.transform(self.parameters, noise)
            raise OptimizationError(
                f"Step {step}: for {MAX_BAD_STEPS} steps most draws of the approximation have had no finite log "
                f"density. {self.density.explain(z[0])} Start elsewhere (init=) or with a smaller step_size."
            )
        self.parameters = self.optimizer.update(self.parameters, gradient)
        self.elbo.append(elbo)
        self.path.append(self.parameters)

    def rising(self, window: int) -> bool:
        """Whether the ELBO was higher in the second half of the window than in the first, beyond noise."""
        values = np.array(self.elbo[-window:])
        values = values[np.isfinite(values)]
        first, second = values[: len(values) // 2], values[len(values) // 2 :]
        if len(first) < 2:
            return False
        noise = math.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
        return bool(second.mean() - first.mean() > max(2 * noise, SMALL_RISE))

    def moving(self) -> bool:
        """Whether a parameter has gone steadily in one direction over the window, and by more than a little."""
        path = np.array(self.path)
        steady = np.abs(path[-1] - path[0]) > STEADY * np.abs(np.diff(path, axis=0)).sum(axis=0)
        return bool(np.any(steady & (self.family.change(path[0], path[-1]) > SMALL_CHANGE)))


def _starting_point(density, rng, init) -> np.ndarray:
    """A point with a finite log density: the given one, the origin, or a random one."""
    if init is not None:
        points = [np.asarray(init, dtype=float)]
        if points[0].shape != (density.dim,):
            raise ArgumentError(f"init must have shape ({density.dim},); got {points[0].shape}.")
    else:
        drawn = rng.uniform(-START_RADIUS, START_RADIUS, (N_START_TRIES, density.dim))
        points = [np.zeros(density.dim), *drawn]
    for point in points:
        logp, grad = density.logp_and_grad(point)
        if math.isfinite(logp) and np.isfinite(grad).all():
            return point
    tried = "The given init" if init is not None else f"None of {len(points)} points around the origin"
    raise InitializationError(f"{tried} has a finite log density and gradient. {density.explain(points[0])}")
