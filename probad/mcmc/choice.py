"""A sampler that chooses between samplers: one warm-up, a trial of each, and the one with the most draws per gradient.

NUTS learns the metric. Then each candidate runs for a while with that metric, and what the worst coordinate, or its
square, yields per gradient decides. NUTS stays wherever another one could go wrong: after a divergence, where the
curvature is not nearly constant, and where the others move too slowly for a trial to tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probad.convergence import effective_sample_size
from probad.errors import ArgumentError
from probad.mcmc import workspace
from probad.mcmc.settings import HMC, MAMS, NUTS, SHORTENED, Algorithm, check_count
from probad.mcmc.step_size import restart_averaging
from probad.mcmc.windows import STEP_ONLY, overlapping_schedule
from probad.mcmc.workspace import LARGEST_CURVATURE, LEAST_CURVATURE, Workspace

LEARNING, TRIAL, LAST_LOOK = 0.35, 0.12, 0.9  # shares of the warm-up
TUNING = 6  # one in so many of the iterations of learning, the last ones, tell the step size
SETTLING = 0.3  # share of a trial that tunes the step size and does not count
SHORTEST = 200  # iterations of warm-up, so that a trial has some draws
TAIL = 0.05  # share of the draws on each side whose curvature does not count
# Of the curvatures of the rest, in the metric, where those of a normal distribution are 1: 0.9 to 1.1 for a logistic
# regression, 0.6 to 1.4 for eight schools, 0.4 to 1.8 for t with 8 degrees of freedom, negative ones for a funnel.
CONSTANT = (0.5, 2.0)
# Effective share of the draws of a trial from which its figure is trusted: of 336 draws as default runs have, those
# those that say less than 34 make the comparison one of noise, and 1000 draws like these end with an R-hat above 1.01.
TRUSTED = 0.1
DIVERGING, N_STEPS = (workspace.STATISTICS.index(name) for name in ("diverging", "n_steps"))


@dataclass(frozen=True, kw_only=True)
class Choice(Algorithm):
    """The best of NUTS, HMC with random lengths, and MAMS.

    Parameters
    ----------
    max_tree_depth : int
        Of NUTS.
    target_accept, metric, adaptation
        As for `Algorithm`; `target_accept` is that of NUTS, and the metric is learnt from draws and gradients.
    """

    target_accept: float = 0.75
    max_tree_depth: int = 10

    code: ClassVar[int] = workspace.NUTS
    codes: ClassVar[tuple[int, ...]] = (workspace.HMC, workspace.MAMS)

    def __post_init__(self):
        super().__post_init__()
        check_count("max_tree_depth", self.max_tree_depth, 1, 20)
        if self.adaptation != "fisher" or self.metric == "unit":
            raise ArgumentError("The choice of a sampler needs a metric learnt from draws and gradients.")

    def shortened(self, warmup: int) -> tuple[int, int]:
        """While the metric is learnt, until the step size is tuned for the trials."""
        return int(SHORTENED[0] * warmup), _tuning_iterations(warmup)[0]

    def candidates(self, dim: int) -> list[Algorithm]:
        """The samplers that are tried, NUTS first."""
        common = {"metric": self.metric, "adaptation": self.adaptation}
        found = [
            NUTS(target_accept=self.target_accept, max_tree_depth=self.max_tree_depth, **common),
            HMC(trajectory_length=1.4, jitter=1.0, **common),
        ]
        return [*found, MAMS(**common)] if dim > 1 else found

    def allocate(self, dim: int, *, draws: int, warmup: int, random: np.ndarray) -> Workspace:
        """A workspace that starts as one of NUTS."""
        if warmup < SHORTEST:
            raise ArgumentError(
                f"A choice between samplers needs at least {SHORTEST} iterations of warm-up for its trials; got "
                f"{warmup}. Raise warmup=, or take a sampler such as pb.nuts."
            )
        space = super().allocate(dim, draws=draws, warmup=warmup, random=random)
        first, *_, end, last_look = self.boundaries(dim, warmup)
        space.schedule[:] = STEP_ONLY
        space.schedule[:first] = overlapping_schedule(first)
        space.schedule[end - 1] = first // 3  # from all that has settled
        space.schedule[last_look - 1] = first
        return space

    # --- stages ---------------------------------------------------------------------------------------------------
    def boundaries(self, dim: int, warmup: int) -> list[int]:
        """Iterations at which all chains meet: before each trial, after the last one, and before the end."""
        n_trials = len(self.candidates(dim))
        return [*(int((LEARNING + TRIAL * k) * warmup) for k in range(n_trials + 1)), int(LAST_LOOK * warmup)]

    def meet(self, spaces: Sequence[Workspace]) -> None:
        """Begin the next trial, or choose, in the workspaces of all chains; it depends on what they hold alone."""
        space = spaces[0]
        dim, iteration = space.rows.shape[1], int(space.counts[workspace.ITERATION])
        boundaries = self.boundaries(dim, int(space.counts[workspace.N_WARMUP]))
        if iteration not in boundaries:
            return
        stage, candidates = boundaries.index(iteration), self.candidates(dim)
        if stage < len(candidates):
            for one in spaces:
                one.scalars[workspace.STEP_SIZE] = _comparable_step(one, candidates[stage])
                _switch(one, candidates[stage])
            return
        if stage == len(candidates):
            low, high = curvature_range(spaces, boundaries[0], boundaries[1])
            for one in spaces:
                one.scalars[LEAST_CURVATURE], one.scalars[LARGEST_CURVATURE] = low, high
        best, _ = self._verdict(spaces)
        for one in spaces:
            if stage == len(candidates) or one.counts[workspace.ALGORITHM] != best.code:
                one.scalars[workspace.STEP_SIZE] = self._tuned_step(one, best)
                _switch(one, best)

    def facts(self, spaces: Sequence[Workspace]) -> dict[str, Any]:
        """What was chosen and why, in a sentence ``sampler_choice``, and ``ess_per_gradient_<sampler>`` of the trials.

        Empty before all trials are over.
        """
        dim, warmup = spaces[0].rows.shape[1], int(spaces[0].counts[workspace.N_WARMUP])
        if min(int(one.counts[workspace.ITERATION]) for one in spaces) < self.boundaries(dim, warmup)[-2]:
            return {}
        return self._verdict(spaces)[1]

    def _verdict(self, spaces: Sequence[Workspace]) -> tuple[Algorithm, dict[str, Any]]:
        """The best candidate by what the chains hold, and why."""
        dim = spaces[0].rows.shape[1]
        warmup = int(spaces[0].counts[workspace.N_WARMUP])
        done = min(int(one.counts[workspace.ITERATION]) for one in spaces)
        candidates, boundaries = self.candidates(dim), self.boundaries(dim, warmup)
        nuts = candidates[0]
        trials, disqualified, slow = {}, set(), set()
        for algorithm, begin, end in zip(candidates, boundaries, boundaries[1:], strict=False):
            start = begin + int(SETTLING * (end - begin))
            name = type(algorithm).__name__
            n_gradients = sum(one.statistics[start:end, N_STEPS].sum() for one in spaces)
            size = worst_effective_size(np.stack([one.draws[start:end] for one in spaces]))
            trials[name] = size / n_gradients
            if algorithm is not nuts and size < TRUSTED * len(spaces) * (end - start):
                slow.add(name)
            if sum(one.statistics[start:end, DIVERGING].sum() for one in spaces):
                disqualified.add(name)
        facts = {f"ess_per_gradient_{name.lower()}": value for name, value in trials.items()}
        name = type(nuts).__name__
        if name in disqualified:
            return nuts, {"sampler_choice": "NUTS, since trajectories diverge.", **facts}
        low, high = (float(spaces[0].scalars[k]) for k in (LEAST_CURVATURE, LARGEST_CURVATURE))
        if low < CONSTANT[0] or high > CONSTANT[1]:
            why = f"NUTS, since the curvature varies: from {low:.2g} to {high:.2g} times that of a normal distribution."
            return nuts, {"sampler_choice": why, **facts}
        allowed = {k: v for k, v in trials.items() if k == name or k not in disqualified | slow}
        best = max(allowed, key=allowed.get)
        chosen = next(a for a in candidates if type(a).__name__ == best)
        last_look = boundaries[-1]
        if best != name and done >= last_look:
            after = slice(boundaries[-2], last_look)
            if sum(one.statistics[after, DIVERGING].sum() for one in spaces):
                return nuts, {"sampler_choice": f"NUTS, since {best} diverged after its trial.", **facts}
        gain = allowed[best] / max(trials[name], 1e-300)
        why = f"{best}, with {gain:.1f} times the effective draws per gradient of NUTS in a trial."
        if best == name:
            hindrances = _hindrances(disqualified, slow - disqualified)
            why = f"NUTS, since {hindrances}." if len(allowed) == 1 else "NUTS, the best in a trial."
        return chosen, {"sampler_choice": why, **facts}

    def _tuned_step(self, space: Workspace, algorithm: Algorithm) -> float:
        """The step size at the end of the trial of an algorithm."""
        dim, warmup = space.rows.shape[1], int(space.counts[workspace.N_WARMUP])
        codes = [a.code for a in self.candidates(dim)]
        end = self.boundaries(dim, warmup)[codes.index(algorithm.code) + 1]
        column = workspace.STATISTICS.index("step_size")
        start = end - max(1, int(TRIAL * warmup * (1 - SETTLING)))
        return float(np.exp(np.log(space.statistics[start:end, column]).mean()))


def _hindrances(diverged: set[str], slow: set[str]) -> str:
    """What kept samplers from being chosen."""
    parts = [f"{' and '.join(sorted(diverged))} diverged"] * bool(diverged)
    parts += [f"{' and '.join(sorted(slow))} moved too slowly in a trial to be judged"] * bool(slow)
    return ", and ".join(parts)


def curvature_range(spaces: Sequence[Workspace], start: int, end: int) -> tuple[float, float]:
    """Between which bounds the curvature is at most of the draws from iteration `start` to before `end`.

    The curvature between the mean and a draw q is (g_mean - g)'(q - mean) over the squared length of q - mean in the
    metric, with g the gradients; of a normal distribution with the covariance of the metric it is 1 everywhere.
    """
    draws, gradients = (np.stack([getattr(s, name)[start:end] for s in spaces]) for name in ("draws", "gradients"))
    away = draws - draws.mean(axis=(0, 1))
    slopes = gradients.mean(axis=(0, 1)) - gradients
    curvatures = []
    for space, q, g in zip(spaces, away, slopes, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):  # a chain that does not move has none
            curvatures.append(np.sum(g * q, axis=1) / np.sum(space.masses(q) * q, axis=1))
    low, high = np.quantile(np.concatenate(curvatures), [TAIL, 1.0 - TAIL])
    return (float(low), float(high)) if math.isfinite(low) and math.isfinite(high) else (-math.inf, math.inf)


def _tuning_iterations(warmup: int) -> tuple[int, int]:
    """The iterations of learning that tell the step size: the first, and that after the last."""
    end = int(LEARNING * warmup)
    return end - end // TUNING, end


def _comparable_step(space: Workspace, algorithm: Algorithm) -> float:
    """A step size to start a trial with: that of NUTS, in the units of the algorithm."""
    column = workspace.STATISTICS.index("step_size")
    done = int(space.counts[workspace.ITERATION])
    start, end = _tuning_iterations(int(space.counts[workspace.N_WARMUP]))
    step = float(np.exp(np.log(space.statistics[start:end, column]).mean())) if done else 1.0
    return step * math.sqrt(space.rows.shape[1]) if isinstance(algorithm, MAMS) else step


def _switch(space: Workspace, algorithm: Algorithm) -> None:
    """Go on with another algorithm, and average its step size around the present one."""
    space.counts[workspace.ALGORITHM] = algorithm.code
    space.scalars[workspace.TARGET_ACCEPT] = algorithm.target_accept
    algorithm.write_to(space)
    restart_averaging(space.scalars, space.counts)
    space.scalars[workspace.LOG_STEP_CENTRE] = math.log(space.scalars[workspace.STEP_SIZE])


def worst_effective_size(draws: np.ndarray) -> float:
    """Smallest effective sample size of any coordinate and of its squared deviation.

    Parameters
    ----------
    draws : (n_chains, n_draws, dim) array

    Returns
    -------
    float
        A coordinate that does not move counts as one draw.
    """
    squares = (draws - draws.mean(axis=(0, 1))) ** 2
    if not np.ptp(draws, axis=(0, 1)).all():
        return 1.0
    return float(min(effective_sample_size(draws).min(), effective_sample_size(squares).min()))
