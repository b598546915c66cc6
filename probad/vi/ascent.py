"""Stochastic gradient ascent on the ELBO that knows when it has arrived.

The ascent goes through stages of falling step size. In each stage the parameters are averaged over segments of
growing length, and the stage ends when the averages of successive segments agree: a parameter that still travels moves
further in the longer segment, one that only jitters moves less. The last stage asks for three segments in a row; their
average is the result.

Steps and agreement are measured in the units of the approximation, that is, in its own standard deviations, so that
the scale of a coordinate does not matter. The first stage, which looks for the mass, takes units of at least one:
otherwise an approximation that has become narrow before it is near would creep.

Averaging: Polyak and Juditsky (1992). Constant steps until a test of stationarity: Dhaka et al. (2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from probad.errors import OptimizationError
from probad.vi.adam import Adam
from probad.vi.elbo import elbo_and_grad

# Each stage: step size as a share of the first, least unit, length of its first segment, how many segments agree.
STAGES = ((1.0, 1.0, 50, 2), (1.0, 0.0, 50, 2), (1 / 4, 0.0, 100, 2), (1 / 16, 0.0, 200, 3))
GROWTH = 1.5  # of the length of a segment over the one before
ACCURACY = 0.05  # units: root mean square of what the averages of segments differ by at the end
WANDER = 10  # steps' worth of units, likewise, earlier: between segments of 50, a steady walk goes five times as far
MIN_RISE = 0.01  # nats: an ELBO that is higher by less has stopped rising
MAX_BAD_STEPS = 20  # in a row with most draws where the density is not finite
FAR = 1e100  # a draw out here has run away: squares are about to overflow
REPORT_EVERY = 50  # steps

# progress(done, total, text)
Progress = Callable[[int, int, str], None]


class Segment:
    """Running average of the parameters over some steps, and what the ELBO was in them."""

    def __init__(self, length: int, n_parameters: int):
        self.length = length
        self.total = np.zeros(n_parameters)
        self.elbo: list[float] = []
        self.n_bad = self.n_draws = 0

    @property
    def full(self) -> bool:
        """Whether all steps have been made."""
        return len(self.elbo) >= self.length

    @property
    def mean(self) -> np.ndarray:
        """Average of the parameters."""
        return self.total / len(self.elbo)

    def add(self, parameters: np.ndarray, elbo: float, bad: np.ndarray) -> None:
        """Take in one step."""
        self.total += parameters
        self.n_bad += int(bad.sum())
        self.n_draws += len(bad)
        self.elbo.append(elbo)


class Ascent:
    """The state of a fit in progress.

    Parameters
    ----------
    density : LogDensity
    family : MeanField
    parameters : (n_parameters,) array
        The start.
    rng : numpy.random.Generator
    n_samples : int
        Draws per step.
    step_size : float
        Of the first stage.

    Attributes
    ----------
    elbo : list of float
        One estimate per step.
    parameters : (n_parameters,) array
        After the last step.
    last_good : (n_parameters,) array
        The last at which most draws had a finite log density.
    """

    def __init__(self, density, family, parameters: np.ndarray, *, rng, n_samples: int, step_size: float):
        self.density, self.family, self.rng = density, family, rng
        self.n_samples, self.step_size = n_samples, step_size
        self.parameters = self.last_good = parameters
        self.elbo: list[float] = []
        self.segments: list[Segment] = []  # of this stage
        self.n_bad_steps = 0

    def run(self, steps: int, progress: Progress | None) -> bool:
        """Climb; return whether the fit has converged."""
        for i, (share, least_unit, length, n_agree) in enumerate(STAGES):
            optimizer = Adam(self.family.n_parameters, self.step_size * share)
            tolerance = min(math.inf if i < len(STAGES) - 1 else ACCURACY, WANDER * optimizer.step_size)
            current = Segment(length, self.family.n_parameters)
            self.segments = [current]
            while not self.arrived(n_agree, tolerance, least_unit):
                if current.full:
                    current = Segment(int(GROWTH * current.length), self.family.n_parameters)
                    self.segments = [*self.segments[-n_agree:], current]
                if len(self.elbo) == steps:
                    return False
                self.step(optimizer, least_unit)
                if progress is not None and len(self.elbo) % REPORT_EVERY == 0:
                    progress(len(self.elbo), steps, f"ELBO {np.mean(self.elbo[-REPORT_EVERY:]):.2f}")
        return True

    def step(self, optimizer: Adam, least_unit: float) -> None:
        """One step uphill."""
        noise = self.rng.standard_normal((self.n_samples, self.family.dim))
        elbo, gradient, bad = elbo_and_grad(self.density, self.family, self.parameters, noise)
        mostly_bad = 2 * bad.sum() > len(bad)
        self.n_bad_steps = self.n_bad_steps + 1 if mostly_bad else 0
        self.check(noise, bad)
        if not mostly_bad:
            self.last_good = self.parameters
        units = np.maximum(self.family.units(self.parameters), least_unit)
        self.parameters = optimizer.update(self.parameters, gradient, units)
        self.elbo.append(elbo)
        self.segments[-1].add(self.parameters, elbo, bad)

    def check(self, noise: np.ndarray, bad: np.ndarray) -> None:
        """Raise if the ascent has lost its way."""
        z = self.family.transform(self.parameters, noise)
        step = len(self.elbo) + 1
        if not (np.abs(z) < FAR).all():
            worst = int(np.argmax(np.abs(np.nan_to_num(z, nan=math.inf)).max(axis=0)))
            raise OptimizationError(
                f"Step {step}: '{self.density.names[worst]}' has run away, beyond {FAR:g}. Can the density be "
                "normalised in it? Give it a proper prior."
            )
        if self.n_bad_steps > MAX_BAD_STEPS:
            raise OptimizationError(
                f"Step {step}: for {MAX_BAD_STEPS} steps most draws of the approximation have had no finite log "
                f"density. {self.density.explain(z[np.argmax(bad)])} Start elsewhere (init=) or with a smaller "
                "step_size."
            )

    def arrived(self, n_agree: int, tolerance: float, least_unit: float) -> bool:
        """Whether the last segments agree, and the ELBO has stopped rising."""
        last = self.segments[-n_agree:]
        if len(last) < n_agree or not last[-1].full:
            return False
        means = np.array([segment.mean for segment in last])
        units = np.maximum(self.family.units(means[-1]), least_unit)
        spread = np.ptp(means, axis=0) / units
        # the largest of many is large by chance alone; that the typical one is small keeps the pair strict
        close = math.sqrt(np.mean(spread**2)) < tolerance and spread.max() < 2 * tolerance
        return close and not _rises(last[-2].elbo, last[-1].elbo)

    def result(self, n_segments: int) -> tuple[np.ndarray, float]:
        """Average of the parameters over the last segments, and the share of draws left out there.

        A segment that has hardly begun does not count; if there is no other, the last parameters are the result.
        """
        enough = [s for s in self.segments if len(s.elbo) >= min(s.length, REPORT_EVERY)][-n_segments:]
        if not enough:
            return self.parameters, 0.0
        n_steps = sum(len(s.elbo) for s in enough)
        n_draws = sum(s.n_draws for s in enough)
        return sum(s.total for s in enough) / n_steps, sum(s.n_bad for s in enough) / n_draws


def _rises(before: list[float], after: list[float]) -> bool:
    """Whether the second mean is higher than the first beyond noise (three standard errors)."""
    first, second = (np.array(x)[np.isfinite(x)] for x in (before, after))
    if not (first.size and second.size):
        return False
    noise = math.sqrt(first.var() / first.size + second.var() / second.size)
    return bool(second.mean() - first.mean() > max(3 * noise, MIN_RISE))
