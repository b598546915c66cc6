"""The samplers in a metric that bends with the posterior, as users name them: Riemannian HMC and manifold MALA."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probad.errors import ArgumentError
from probad.mcmc import workspace
from probad.mcmc.curvature import n_more_rows
from probad.mcmc.geometry import Geometry
from probad.mcmc.settings import Algorithm, check_choice, check_count, check_jitter, check_length
from probad.mcmc.windows import STEP_ONLY

INTEGRATORS = {"leapfrog": workspace.LEAPFROG, "midpoint": workspace.MIDPOINT}


@dataclass(frozen=True, kw_only=True, eq=False)
class Manifold(Algorithm):
    """What samplers with a metric of position share.

    Parameters
    ----------
    metric : {"softabs", "fisher"}
        Minus the Hessian with its eigenvalues made positive, or what `metric_fn` says.
    metric_fn : callable, optional
        ``metric_fn(z)``, written in NumPy, is a positive definite matrix; for ``"fisher"``.
    softening : float
        Of SoftAbs: eigenvalues below its inverse in size count as that.
    target_accept, step_size
        As for `Algorithm`.
    """

    metric: str = "softabs"
    metric_fn: Callable | None = None
    softening: float = 3.0

    def __post_init__(self):
        check_choice("metric", self.metric, ("softabs", "fisher"))
        if (self.metric == "fisher") != (self.metric_fn is not None):
            raise ArgumentError(
                "metric='fisher' needs metric_fn=, a function of the unconstrained vector that returns a positive "
                "definite matrix."
                if self.metric == "fisher"
                else "metric_fn= is for metric='fisher'; give both."
            )
        if self.metric_fn is not None and not callable(self.metric_fn):
            raise ArgumentError(f"metric_fn must be a function; got {self.metric_fn!r}.")
        if not (isinstance(self.softening, int | float) and 0 < self.softening < math.inf):
            raise ArgumentError(f"softening must be a positive number; got {self.softening!r}.")
        self._check_rest()

    def _check_rest(self) -> None:
        """Check what `Algorithm` has, but for the metric, which is another one here."""
        Algorithm(target_accept=self.target_accept, step_size=self.step_size)

    def attach(self, density) -> Geometry:
        """The density with its curvature."""
        return Geometry(density, self.metric_fn)

    def allocate(self, dim: int, *, draws: int, warmup: int, random: np.ndarray) -> workspace.Workspace:
        """A workspace for a chain of this sampler."""
        space = workspace.Workspace.allocate(
            dim,
            n_draws=draws,
            schedule=np.full(warmup, STEP_ONLY, np.int64),
            random=random,
            max_tree_depth=0,
            more_rows=n_more_rows(dim),
        )
        space.counts[workspace.ALGORITHM] = self.code
        space.scalars[workspace.TARGET_ACCEPT] = self.target_accept
        space.scalars[workspace.STEP_SIZE] = 1.0 if self.step_size is None else self.step_size
        space.scalars[workspace.SOFTENING] = self.softening if self.metric == "softabs" else 0.0
        self.write_to(space)
        return space

    def describe(self) -> dict:
        """The settings by name, without what is not used."""
        unused = {"adaptation", "metric_fn"} | ({"softening"} if self.metric == "fisher" else set())
        return {name: value for name, value in vars(self).items() if name not in unused}

    def facts(self, spaces: Sequence[workspace.Workspace]) -> dict[str, Any]:
        """How often matrices, and contractions of their derivatives, were computed in the run, warm-up included."""
        return {
            "n_curvatures": int(sum(one.counts[workspace.N_FIELDS] for one in spaces)),
            "n_contractions": int(sum(one.counts[workspace.N_CONTRACTIONS] for one in spaces)),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class RMHMC(Manifold):
    """Riemannian-manifold Hamiltonian Monte Carlo.

    Parameters
    ----------
    n_steps, trajectory_length, jitter, max_steps
        As for `probad.mcmc.HMC`; the length is measured in the metric, which makes the posterior round everywhere.
    integrator : {"leapfrog", "midpoint"}
        The generalised leapfrog, or the implicit midpoint rule.
    tolerance : float
        Change in an implicit step, in the units of the metric, below which it counts as solved.
    max_iterations : int
        Limit on the iterations of an implicit step; beyond it the trajectory is rejected.
    metric, metric_fn, softening, target_accept, step_size
        As for `Manifold`.
    """

    target_accept: float = 0.9
    n_steps: int | None = None
    trajectory_length: float | None = None
    jitter: float = 0.5
    max_steps: int = 100
    integrator: str = "leapfrog"
    tolerance: float = 1e-6
    max_iterations: int = 50

    code: ClassVar[int] = workspace.RIEMANNIAN

    def _check_rest(self) -> None:
        super()._check_rest()
        if self.n_steps is not None:
            if self.trajectory_length is not None:
                raise ArgumentError("Give n_steps or trajectory_length, not both.")
            check_count("n_steps", self.n_steps, 1, None)
        check_length(self.trajectory_length)
        check_jitter(self.jitter)
        check_count("max_steps", self.max_steps, 1, None)
        check_choice("integrator", self.integrator, tuple(INTEGRATORS))
        check_count("max_iterations", self.max_iterations, 1, 1000)
        if not (isinstance(self.tolerance, float) and 0 < self.tolerance < 1):
            raise ArgumentError(f"tolerance must be a number between 0 and 1, such as 1e-6; got {self.tolerance!r}.")

    def write_to(self, space: workspace.Workspace) -> None:
        """Put the settings where the kernels read them."""
        length = math.pi / 2 if self.trajectory_length is None else self.trajectory_length
        space.counts[workspace.MAX_STEPS] = self.max_steps if self.n_steps is None else self.n_steps
        space.scalars[workspace.TRAJECTORY_LENGTH] = length if self.n_steps is None else 0.0
        space.scalars[workspace.JITTER] = self.jitter
        space.counts[workspace.INTEGRATOR] = INTEGRATORS[self.integrator]
        space.scalars[workspace.TOLERANCE] = self.tolerance
        space.counts[workspace.MAX_ITERATIONS] = self.max_iterations


@dataclass(frozen=True, kw_only=True, eq=False)
class ManifoldMALA(Manifold):
    """Simplified manifold MALA: a Langevin step in the metric of where it begins.

    Parameters
    ----------
    metric, metric_fn, softening, target_accept, step_size
        As for `Manifold`.
    """

    target_accept: float = 0.574

    code: ClassVar[int] = workspace.MANIFOLD_MALA
