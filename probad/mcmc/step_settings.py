"""The samplers of one proposal per draw as users name them: Metropolis, Langevin, elliptical slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from probad.errors import ArgumentError, ShapeError
from probad.mcmc import workspace
from probad.mcmc.elliptical import PRIOR_MEAN
from probad.mcmc.settings import TREE_STATISTICS, Algorithm, check_choice

ENERGY_STATISTICS = ("energy", "energy_error", "max_energy_error", "diverging")
STEP_STATISTICS = ("acceptance_rate", "step_size", "step_size_nom")
LARGEST_WALKING_DENSE = 20  # coordinates: a random walk needs as many draws for each as it takes steps across


@dataclass(frozen=True, kw_only=True)
class Metropolis(Algorithm):
    """Random-walk Metropolis, with normal steps in the shape of the metric.

    Parameters
    ----------
    target_accept : float, optional
        0.234, or 0.44 in one dimension, if not given: the best for normal targets (Roberts, Gelman and Gilks 1997).
    metric : {"auto", "dense", "diag", "unit"} or array
        As for `Algorithm`, but ``"auto"`` is dense up to 20 coordinates only.
    adaptation : {"stan"}
        The metric is learnt from draws: the walk is to need no gradients.
    """

    target_accept: float | None = None
    adaptation: str = "stan"

    code: ClassVar[int] = workspace.METROPOLIS
    without: ClassVar[tuple[str, ...]] = (*TREE_STATISTICS, *ENERGY_STATISTICS)

    def __post_init__(self):
        if self.target_accept is not None:
            super().__post_init__()
        check_choice("adaptation", self.adaptation, ("stan",))

    def allocate(self, dim: int, *, draws: int, warmup: int, random: np.ndarray) -> workspace.Workspace:
        """A workspace for a chain of this sampler, with what depends on the dimension filled in."""
        if self.target_accept is None:
            filled = replace(self, target_accept=0.44 if dim == 1 else 0.234)
            return filled.allocate(dim, draws=draws, warmup=warmup, random=random)
        if isinstance(self.metric, str) and self.metric == "auto":
            filled = replace(self, metric="dense" if dim <= LARGEST_WALKING_DENSE else "diag")
            return filled.allocate(dim, draws=draws, warmup=warmup, random=random)
        return super().allocate(dim, draws=draws, warmup=warmup, random=random)


@dataclass(frozen=True, kw_only=True)
class MALA(Algorithm):
    """The Metropolis-adjusted Langevin algorithm: Hamiltonian Monte Carlo of one leapfrog step.

    Parameters
    ----------
    target_accept : float
        0.574 is the best for normal targets (Roberts and Rosenthal 1998).
    metric, adaptation
        As for `Algorithm`.
    """

    target_accept: float = 0.574

    code: ClassVar[int] = workspace.HMC

    def write_to(self, space: workspace.Workspace) -> None:
        """Put the settings where the kernels read them."""
        space.counts[workspace.MAX_STEPS] = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class EllipticalSlice(Algorithm):
    """Elliptical slice sampling, for a posterior that is a normal prior times a likelihood.

    It has no settings to tune: what `Algorithm` takes is not looked at.

    Parameters
    ----------
    prior_mean : float or (dim,) array
    prior_cov : float, (dim,) array or (dim, dim) array
        Covariance of the prior; one number, or a vector, are variances of independent coordinates.
    """

    prior_mean: np.ndarray | float = 0.0
    prior_cov: np.ndarray | float = 1.0

    code: ClassVar[int] = workspace.ELLIPTICAL
    without: ClassVar[tuple[str, ...]] = (*TREE_STATISTICS, *ENERGY_STATISTICS, *STEP_STATISTICS)

    def allocate(self, dim: int, *, draws: int, warmup: int, random: np.ndarray) -> workspace.Workspace:
        """A workspace for a chain of this sampler, with the prior where the metric is."""
        prior = replace(self, metric=_covariance(self.prior_cov, dim))
        space = Algorithm.allocate(prior, dim, draws=draws, warmup=warmup, random=random)
        space.rows[PRIOR_MEAN] = _mean(self.prior_mean, dim)
        return space

    def describe(self) -> dict:
        """Nothing: the prior belongs to the model, and there is nothing to tune."""
        return {}


def _mean(mean, dim: int) -> np.ndarray:
    """The mean of the prior as a vector."""
    mean = _numbers("prior_mean", mean)
    if mean.shape not in ((), (dim,)):
        raise ShapeError(f"prior_mean must be a number or have shape ({dim},); got shape {mean.shape}.")
    return np.broadcast_to(mean, dim)


def _covariance(covariance, dim: int) -> np.ndarray:
    """The prior's covariance as a matrix, or its diagonal where only that is given."""
    covariance = _numbers("prior_cov", covariance)
    if covariance.shape in ((), (dim,)):
        if not (covariance > 0).all():
            raise ArgumentError(f"prior_cov holds variances, which must be > 0; the smallest is {covariance.min()}.")
        return np.broadcast_to(covariance, dim).copy()
    if covariance.shape != (dim, dim):
        raise ShapeError(f"prior_cov must have shape ({dim},) or ({dim}, {dim}); got shape {covariance.shape}.")
    if not np.allclose(covariance, covariance.T, rtol=1e-10, atol=1e-12 * np.abs(covariance).max()):
        raise ArgumentError("prior_cov must be symmetric; it is a covariance, not its Cholesky factor.")
    least = np.linalg.eigvalsh(covariance)[0]
    if not least > 0:
        raise ArgumentError(f"prior_cov must be positive definite; its least eigenvalue is {least:.3g}.")
    return covariance


def _numbers(name: str, value) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} takes numbers; got {value!r}.") from error
    if not np.isfinite(array).all():
        raise ArgumentError(f"{name} must be finite; got {array[~np.isfinite(array)][0]}.")
    return array
