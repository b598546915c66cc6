"""The samplers as users name them: frozen settings that check themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probad.errors import ArgumentError
from probad.mcmc import workspace
from probad.mcmc.windows import STEP_ONLY, overlapping_schedule, stan_schedule

METRICS = ("auto", "dense", "low-rank", "diag", "unit")
ADAPTATIONS = ("fisher", "stan")
SURELY_DENSE, LARGEST_DENSE = 50, 100  # coordinates up to which the automatic metric is dense, or may become so
SHORTENED = (0.1, 0.9)  # shares of the warm-up between which most trajectories of NUTS are cut short
LEAST_SHARE = 0.07  # of the warm-up, before it is decided whether it does, or whether it becomes low-rank
# How much longer than wide it must be for a low-rank one: less, as in a series of volatilities, is of many directions.
FEW_WORTHWHILE = 5.0
FORMS = {"dense": workspace.DENSE, "low-rank": workspace.LOW_RANK}
TREE_STATISTICS = ("tree_depth", "reached_max_treedepth")


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """What all samplers with a warm-up share.

    Parameters
    ----------
    target_accept : float
        Mean acceptance statistic that warm-up tunes the step size for, between 0 and 1.
    metric : {"auto", "dense", "low-rank", "diag", "unit"}, or (dim,) or (dim, dim) array
        What warm-up learns of the shape of the posterior: all correlations, the scale of each coordinate and up to 16
        directions, the scales alone, or nothing. ``"auto"`` is dense up to 50 coordinates. With more it is diagonal,
        unless correlations are so strong after 7 % of the warm-up that others are worth their cost: dense up to 100
        coordinates, low-rank beyond. An array is the inverse mass, and stays.
    step_size : float, optional
        Where the search for a step size starts; without warm-up it is the step size. 1 by default.
    adaptation : {"fisher", "stan"}
        From what: from draws and gradients, in windows that begin at once and overlap, or as Stan does, from draws.
    """

    target_accept: float = 0.8
    metric: str | np.ndarray = "auto"
    adaptation: str = "fisher"
    step_size: float | None = None

    code: ClassVar[int]  # value of `workspace.ALGORITHM`
    codes: ClassVar[tuple[int, ...]] = ()  # of others that its chains may become
    # How much longer than wide a posterior of more than 50 coordinates must be for a dense metric, in which a step
    # costs several times as much. NUTS gains least by it, whose trajectories are as long as they need to be.
    worthwhile: ClassVar[float] = 2.5
    without: ClassVar[tuple[str, ...]] = TREE_STATISTICS  # statistics that have no meaning here

    def __post_init__(self):
        if not (_is_number(self.target_accept) and 0 < self.target_accept < 1):
            raise ArgumentError(
                f"target_accept must be between 0 and 1; got {self.target_accept!r}. 0.8 is usual, 0.95 is careful."
            )
        if isinstance(self.metric, str):
            check_choice("metric", self.metric, METRICS)
        else:
            object.__setattr__(self, "metric", inverse_mass_of(self.metric))
        check_choice("adaptation", self.adaptation, ADAPTATIONS)
        if isinstance(self.metric, str) and self.metric == "low-rank" and self.adaptation == "stan":
            raise ArgumentError(
                "A low-rank metric is learnt from draws and gradients. With adaptation='stan', and for a random walk, "
                "take metric='dense' or 'diag'."
            )
        if self.step_size is not None and not (_is_number(self.step_size) and 0 < self.step_size < math.inf):
            raise ArgumentError(f"step_size must be a positive number; got {self.step_size!r}.")

    @property
    def max_tree_depth(self) -> int:
        """Room for subtrees, which only NUTS has."""
        return 0

    def allocate(self, dim: int, *, draws: int, warmup: int, random: np.ndarray) -> workspace.Workspace:
        """A workspace for a chain of this sampler, with the settings where the kernels read them."""
        metric, decides, by_draws = self.metric, False, self.adaptation == "stan"
        if not isinstance(metric, str):
            metric = "given"
            if self.metric.shape[0] != dim:
                raise ArgumentError(
                    f"metric= is an inverse mass of {self.metric.shape[0]} coordinates, but the log density has {dim}."
                )
        elif metric == "auto":
            decides = dim > SURELY_DENSE and not by_draws
            metric = "dense" if dim <= LARGEST_DENSE else "diag" if by_draws else "low-rank"
        adaptation = workspace.BY_DRAWS if by_draws else workspace.BY_DRAWS_AND_GRADIENTS
        schedule = stan_schedule(warmup) if by_draws else overlapping_schedule(warmup)
        if metric in ("unit", "given"):
            adaptation = workspace.FIXED
            schedule[:] = STEP_ONLY
        space = workspace.Workspace.allocate(
            dim,
            n_draws=draws,
            schedule=schedule,
            random=random,
            max_tree_depth=self.max_tree_depth,
            form=workspace.DENSE if np.ndim(self.metric) == 2 else FORMS.get(metric, workspace.DIAGONAL),
            adaptation=adaptation,
            decision=decision_of(schedule) if decides else -1,
        )
        space.counts[workspace.ALGORITHM] = self.code
        if adaptation == workspace.BY_DRAWS_AND_GRADIENTS:
            start, end = self.shortened(warmup)
            first_looks = 3 * (space.counts[workspace.DECISION] + 1) // 2  # at what form of the metric pays
            space.counts[workspace.SHORT_FROM], space.counts[workspace.SHORT_UNTIL] = max(start, first_looks), end
        space.scalars[workspace.TARGET_ACCEPT] = self.target_accept
        space.scalars[workspace.REFRESHMENT] = 1.0
        is_low_rank = space.counts[workspace.ROOM] == workspace.LOW_RANK
        space.scalars[workspace.WORTHWHILE] = FEW_WORTHWHILE if is_low_rank else self.worthwhile
        space.scalars[workspace.STEP_SIZE] = 1.0 if self.step_size is None else self.step_size
        if metric == "given":
            space.take_inverse_mass(self.metric)
        self.write_to(space)
        return space

    def begins_dense(self, dim: int) -> bool:
        """Whether the metric of so many coordinates is a matrix from the first iteration on."""
        if isinstance(self.metric, str):
            return self.metric == "dense" or (self.metric == "auto" and dim <= SURELY_DENSE)
        return np.ndim(self.metric) == 2

    def shortened(self, warmup: int) -> tuple[int, int]:
        """Between which iterations of warm-up trajectories may be cut short, if the metric is learnt from gradients."""
        return 0, 0

    def write_to(self, space: workspace.Workspace) -> None:
        """Put the settings of one sampler where its kernels read them."""

    def attach(self, density):
        """What the kernels of the sampler evaluate, made from a log density: itself, but for those that need more."""
        return density

    def boundaries(self, dim: int, warmup: int) -> list[int]:
        """Iterations at which all chains wait for each other, for `meet`."""
        return []

    def meet(self, spaces: Sequence[workspace.Workspace]) -> None:
        """Change the workspaces of all chains at a boundary, by what they hold alone."""

    def facts(self, spaces: Sequence[workspace.Workspace]) -> dict[str, Any]:
        """What the sampler has to say of a run, by name."""
        return {}

    def describe(self) -> dict:
        """The settings by name, to be kept with the draws."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class NUTS(Algorithm):
    """The No-U-Turn sampler.

    Parameters
    ----------
    max_tree_depth : int
        At most ``2**max_tree_depth - 1`` steps per draw.
    target_accept, metric, adaptation
        As for `Algorithm`. With 0.75 six posteriors of many kinds have a fifth more effective draws per gradient than
        with 0.8, counted by their squares as well.
    """

    target_accept: float = 0.75
    max_tree_depth: int = 10

    code: ClassVar[int] = workspace.NUTS
    worthwhile: ClassVar[float] = 5.0
    without: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        super().__post_init__()
        check_count("max_tree_depth", self.max_tree_depth, 1, 20)

    def shortened(self, warmup: int) -> tuple[int, int]:
        """From when the chain has arrived, until the step size is tuned for the draws."""
        return int(SHORTENED[0] * warmup), int(SHORTENED[1] * warmup)


@dataclass(frozen=True, kw_only=True)
class HMC(Algorithm):
    """Hamiltonian Monte Carlo with trajectories of given length.

    Parameters
    ----------
    n_steps : int, optional
        Leapfrog steps per draw.
    trajectory_length : float, optional
        Alternatively the length of a trajectory in units of the metric: it is divided by the step size. Pi / 2 by
        default, a quarter of the period of a standard normal target.
    jitter : float
        Between 0 and 1: each length is drawn from (1 - jitter, 1 + jitter) times the given one.
    refreshment : float
        Share of the momentum that is new in each transition, above 0 and up to 1. Less than 1 is generalised HMC, which
        goes on in the direction of the transition before.
    max_steps : int
        Limit on the number of steps that a trajectory length may ask for.
    target_accept, metric, adaptation
        As for `Algorithm`.
    """

    n_steps: int | None = None
    trajectory_length: float | None = None
    jitter: float = 0.0
    refreshment: float = 1.0
    max_steps: int = 1000

    code: ClassVar[int] = workspace.HMC

    def __post_init__(self):
        super().__post_init__()
        check_count("max_steps", self.max_steps, 1, None)
        if self.n_steps is not None:
            if self.trajectory_length is not None:
                raise ArgumentError("Give n_steps or trajectory_length, not both.")
            check_count("n_steps", self.n_steps, 1, None)
        check_length(self.trajectory_length)
        check_jitter(self.jitter)
        if not (_is_number(self.refreshment) and 0 < self.refreshment <= 1):
            raise ArgumentError(f"refreshment must be above 0 and at most 1; got {self.refreshment!r}.")

    def write_to(self, space: workspace.Workspace) -> None:
        """Put the settings where the kernels read them."""
        length = math.pi / 2 if self.trajectory_length is None else self.trajectory_length
        space.counts[workspace.MAX_STEPS] = self.max_steps if self.n_steps is None else self.n_steps
        space.scalars[workspace.TRAJECTORY_LENGTH] = length if self.n_steps is None else 0.0
        space.scalars[workspace.JITTER] = self.jitter
        space.scalars[workspace.REFRESHMENT] = self.refreshment


@dataclass(frozen=True, kw_only=True)
class MAMS(Algorithm):
    """The adjusted microcanonical sampler.

    Parameters
    ----------
    trajectory_length : float
        Mean length of a path, in units of the length of a standard normal vector.
    jitter : float
        Between 0 and 1: each length is drawn from (1 - jitter, 1 + jitter) times the mean.
    max_steps : int
        Limit on the number of steps of a path, each of two gradients.
    target_accept, metric, adaptation
        As for `Algorithm`; 0.9 by default.
    """

    target_accept: float = 0.9
    trajectory_length: float = 1.5
    jitter: float = 1.0
    max_steps: int = 500

    code: ClassVar[int] = workspace.MAMS

    def __post_init__(self):
        super().__post_init__()
        check_count("max_steps", self.max_steps, 1, None)
        check_length(self.trajectory_length)
        check_jitter(self.jitter)

    def allocate(self, dim: int, *, draws: int, warmup: int, random: np.ndarray) -> workspace.Workspace:
        """A workspace for a chain of this sampler; there are no directions to turn in one dimension."""
        if dim < 2:
            raise ArgumentError("MAMS needs at least two unconstrained coordinates; take NUTS for one.")
        return super().allocate(dim, draws=draws, warmup=warmup, random=random)

    def write_to(self, space: workspace.Workspace) -> None:
        """Put the settings where the kernels read them."""
        space.counts[workspace.MAX_STEPS] = self.max_steps
        space.scalars[workspace.TRAJECTORY_LENGTH] = self.trajectory_length
        space.scalars[workspace.JITTER] = self.jitter


def decision_of(schedule: np.ndarray) -> int:
    """The first iteration that renews the metric after `LEAST_SHARE` of a schedule; -1 if there is none."""
    renewals = np.flatnonzero(schedule != STEP_ONLY)
    late = renewals[renewals >= int(LEAST_SHARE * len(schedule))]
    return int(late[0]) if len(late) else -1


def inverse_mass_of(metric) -> np.ndarray:
    """An inverse mass given by the user, as an array; raise unless it is positive definite."""
    try:
        inverse_mass = np.array(metric, dtype=float)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"metric must be one of {', '.join(map(repr, METRICS))}, or an inverse mass; got {metric!r}."
        ) from error
    shape = inverse_mass.shape
    if inverse_mass.ndim not in (1, 2) or inverse_mass.size == 0 or shape[0] != shape[-1]:
        raise ArgumentError(f"An inverse mass has shape (dim,) or (dim, dim); got shape {shape}.")
    bad = np.flatnonzero(~(inverse_mass > 0) | np.isinf(inverse_mass)) if inverse_mass.ndim == 1 else []
    if len(bad):
        raise ArgumentError(f"An inverse mass must be positive; got {inverse_mass[bad[0]]} at index {bad[0]}.")
    if inverse_mass.ndim == 2:
        symmetric = np.isfinite(inverse_mass).all() and np.allclose(inverse_mass, inverse_mass.T, rtol=1e-8, atol=0)
        if not symmetric or np.linalg.eigvalsh(inverse_mass)[0] <= 0:
            raise ArgumentError("An inverse mass must be a symmetric, positive definite matrix; this one is not.")
    return inverse_mass


def _is_number(x) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


def check_choice(name: str, value, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the choices."""
    if value not in choices:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")


def check_length(length) -> None:
    """Raise unless a trajectory length is positive and finite, or not given."""
    if length is not None and not (_is_number(length) and 0 < length < math.inf):
        raise ArgumentError(f"trajectory_length must be a positive number; got {length!r}.")


def check_jitter(jitter) -> None:
    """Raise unless a jitter is a share."""
    if not (_is_number(jitter) and 0 <= jitter <= 1):
        raise ArgumentError(
            f"jitter must be between 0 and 1; got {jitter!r}. 1 draws lengths from 0 to twice the mean."
        )


def check_count(name: str, value, low: int, high: int | None) -> None:
    """Raise unless `value` is a whole number in the range."""
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ArgumentError(f"{name} must be a whole number, {limits}; got {value!r}.")
