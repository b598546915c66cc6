"""The samplers as users name them: frozen settings that check themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from probad.errors import ArgumentError
from probad.mcmc import workspace

METRICS = ("diag", "unit")


@dataclass(frozen=True)
class NUTS:
    """The No-U-Turn sampler.

    Parameters
    ----------
    target_accept : float
        Mean acceptance statistic that warm-up tunes the step size for, between 0 and 1.
    max_tree_depth : int
        At most ``2**max_tree_depth - 1`` steps per draw.
    metric : {"diag", "unit"}
        Whether warm-up learns the scale of each coordinate.
    """

    target_accept: float = 0.8
    max_tree_depth: int = 10
    metric: str = "diag"

    def __post_init__(self):
        check_target_accept(self.target_accept)
        check_metric(self.metric)
        check_count("max_tree_depth", self.max_tree_depth, 1, 20)

    def write_to(self, space: workspace.Workspace) -> None:
        """Put the settings where the kernels read them."""
        space.counts[workspace.ALGORITHM] = workspace.NUTS
        space.scalars[workspace.TARGET_ACCEPT] = self.target_accept


@dataclass(frozen=True)
class HMC:
    """Static Hamiltonian Monte Carlo.

    Parameters
    ----------
    n_steps : int, optional
        Leapfrog steps per draw.
    trajectory_length : float, optional
        Alternatively the length of a trajectory in units of the metric: it is divided by the step size. Pi / 2 by
        default, a quarter of the period of a standard normal target.
    max_steps : int
        Limit on the number of steps that a trajectory length may ask for.
    target_accept, metric
        As for `NUTS`.
    """

    n_steps: int | None = None
    trajectory_length: float | None = None
    max_steps: int = 1000
    target_accept: float = 0.8
    metric: str = "diag"

    def __post_init__(self):
        check_target_accept(self.target_accept)
        check_metric(self.metric)
        check_count("max_steps", self.max_steps, 1, None)
        if self.n_steps is not None:
            if self.trajectory_length is not None:
                raise ArgumentError("Give n_steps or trajectory_length, not both.")
            check_count("n_steps", self.n_steps, 1, None)
        length = self.trajectory_length
        if length is not None and not (_is_number(length) and 0 < length < math.inf):
            raise ArgumentError(f"trajectory_length must be a positive number; got {length!r}.")

    @property
    def max_tree_depth(self) -> int:
        """Room for subtrees, of which a static trajectory has none."""
        return 0

    def write_to(self, space: workspace.Workspace) -> None:
        """Put the settings where the kernels read them."""
        space.counts[workspace.ALGORITHM] = workspace.STATIC
        space.counts[workspace.MAX_STEPS] = self.max_steps if self.n_steps is None else self.n_steps
        length = math.pi / 2 if self.trajectory_length is None else self.trajectory_length
        space.scalars[workspace.TRAJECTORY_LENGTH] = length if self.n_steps is None else 0.0
        space.scalars[workspace.TARGET_ACCEPT] = self.target_accept


def _is_number(x) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


def check_target_accept(value) -> None:
    """Raise unless `value` is strictly between 0 and 1."""
    if not (_is_number(value) and 0 < value < 1):
        raise ArgumentError(f"target_accept must be between 0 and 1; got {value!r}. 0.8 is usual, 0.95 is careful.")


def check_metric(name) -> None:
    """Raise unless `name` is a metric."""
    if name not in METRICS:
        raise ArgumentError(f"metric must be one of {', '.join(map(repr, METRICS))}; got {name!r}.")


def check_count(name: str, value, low: int, high: int | None) -> None:
    """Raise unless `value` is a whole number in the range."""
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ArgumentError(f"{name} must be a whole number, {limits}; got {value!r}.")
