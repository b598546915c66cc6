"""The public inference functions: take a model or a density, run an algorithm, hand the result to ArviZ."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from probad import output
from probad.density import FunctionDensity, LogDensity
from probad.diagnostics import warn_about
from probad.errors import ArgumentError, ConvergenceWarning, OptimizationError, SamplingWarning, ShapeError
from probad.mcmc import HMC, MAMS, NUTS, Choice, prepare, sample_chains
from probad.mcmc.initialize import check_dependence, optimized_starts, prior_starts
from probad.mcmc.settings import check_count
from probad.model import BoundModel, Model
from probad.progress import show_chains, show_steps
from probad.store import Writer, fingerprint
from probad.vi import Fit
from probad.vi import fit as fit_family

STARTS = {"map": optimized_starts, "prior": prior_starts}


def nuts(
    model: BoundModel | LogDensity,
    *,
    draws: int = 1000,
    warmup: int = 1000,
    chains: int = 4,
    seed: int | None = None,
    target_accept: float = 0.75,
    max_tree_depth: int = 10,
    metric: str | np.ndarray = "auto",
    adaptation: str = "fisher",
    step_size: float | None = None,
    init: Any = None,
    cores: int | None = None,
    keep_warmup: bool = False,
    keep_unconstrained: bool = False,
    gradient: str | Callable[[np.ndarray], np.ndarray] = "reverse",
    store: str | os.PathLike | None = None,
    executor: Executor | None = None,
    progress: bool = True,
):
    """Draw from the posterior by the No-U-Turn sampler.

    Parameters
    ----------
    model : BoundModel or LogDensity
        A model called with its data, or any log density.
    draws, warmup : int
        Draws to keep, and iterations to adapt before, per chain.
    chains : int
        Independent chains; four let R-hat judge convergence.
    seed : int, optional
        Makes the run repeatable: chain i depends on the seed and i alone. Drawn, and stored in the attributes of the
        result, if not given.
    target_accept : float
        Between 0 and 1; higher means smaller steps and fewer divergences.
    max_tree_depth : int
        At most ``2**max_tree_depth - 1`` steps per draw.
    metric : {"auto", "dense", "low-rank", "diag", "unit"}, or array
        What warm-up learns of the posterior's shape: all correlations, the scale of each coordinate and up to 16
        directions in which it is stretched, the scales alone, or nothing. ``"auto"`` is dense up to 50 unconstrained
        coordinates; where correlations are strong, dense up to 100 and low-rank beyond; else diagonal. An array of
        shape (dim,) or (dim, dim) is an inverse mass, and stays.
    adaptation : {"fisher", "stan"}
        From what: from draws and gradients, in windows that begin at once and overlap; or from draws in Stan's windows.
    step_size : float, optional
        Where the search for a step size starts; with ``warmup=0`` it is the step size.
    init : dict, array, "uniform", "map" or "prior", optional
        Where chains start: constrained values by name, an unconstrained vector (one for all chains, or one per row),
        points drawn from (-2, 2) in the unconstrained space, the default, points near the modes that a short search
        finds from there, or draws from the prior of the model.
    cores : int, optional
        Threads.
    keep_warmup : bool
        Whether the result has the groups ``warmup_posterior`` and ``warmup_sample_stats``.
    keep_unconstrained : bool
        Whether it has the group ``unconstrained_posterior``: the sampler's own coordinates, in one variable ``z``.
    gradient : str or callable
        How to differentiate the log density: ``"reverse"``, or for comparison ``"forward"``, ``"central"``,
        ``"forward-difference"``, ``"five-point"``, ``"richardson"``, ``"complex"``, or a function of the unconstrained
        vector. All but the last two run in native code; ``density.with_gradient`` takes a step for differences as well.
    store : str or path, optional
        A folder that does not exist yet, where the run is kept as it goes; `resume` goes on with it and `read_store`
        reads it, whatever ended the run.
    executor : concurrent.futures.Executor, optional
        Where chains run instead of in threads: other processes or machines.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        With posterior, sample_stats and observed_data. A `SamplingWarning` tells each thing that speaks against
        trusting it. Ctrl-C returns the draws so far.

    Raises
    ------
    ArgumentError
        For options out of range.
    InitializationError
        If a chain cannot start; names the site.
    KeyboardInterrupt
        For a Ctrl-C during warm-up, when there are no draws yet.
    """
    density = as_density(model, "nuts", gradient)
    algorithm = NUTS(
        target_accept=target_accept,
        max_tree_depth=max_tree_depth,
        metric=metric,
        adaptation=adaptation,
        step_size=step_size,
    )
    keep = {"keep_warmup": keep_warmup, "keep_unconstrained": keep_unconstrained}
    counts = {"draws": draws, "warmup": warmup, "chains": chains, "cores": cores}
    where = {"store": store, "executor": executor}
    return draw_posterior(density, algorithm, seed, init, progress, counts=counts, **where, **keep)


def hmc(
    model: BoundModel | LogDensity,
    *,
    draws: int = 1000,
    warmup: int = 1000,
    chains: int = 4,
    seed: int | None = None,
    n_steps: int | None = None,
    trajectory_length: float | None = None,
    jitter: float = 0.0,
    refreshment: float = 1.0,
    target_accept: float = 0.8,
    metric: str | np.ndarray = "auto",
    adaptation: str = "fisher",
    step_size: float | None = None,
    init: Any = None,
    cores: int | None = None,
    keep_warmup: bool = False,
    keep_unconstrained: bool = False,
    gradient: str | Callable[[np.ndarray], np.ndarray] = "reverse",
    store: str | os.PathLike | None = None,
    executor: Executor | None = None,
    progress: bool = True,
):
    """Draw from the posterior by Hamiltonian Monte Carlo with trajectories of given, or random, length.

    Parameters
    ----------
    n_steps : int, optional
        Leapfrog steps per draw.
    trajectory_length : float, optional
        Or the length of a trajectory, in units of the metric (pi / 2 by default); its steps follow the step size.
    jitter : float
        Between 0 and 1: each length is drawn from (1 - jitter, 1 + jitter) times the given one. 1 needs the fewest
        gradients where the posterior is near normal.
    refreshment : float
        Share of the momentum that is new in each transition; below 1 is generalised HMC, best with ``n_steps=1``.
    model, draws, warmup, chains, seed, target_accept, metric, adaptation, step_size, init, cores
        As for `nuts`.
    keep_warmup, keep_unconstrained, gradient, store, executor, progress
        As for `nuts`.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
    """
    density = as_density(model, "hmc", gradient)
    algorithm = HMC(
        n_steps=n_steps,
        trajectory_length=trajectory_length,
        jitter=jitter,
        refreshment=refreshment,
        target_accept=target_accept,
        metric=metric,
        adaptation=adaptation,
        step_size=step_size,
    )
    keep = {"keep_warmup": keep_warmup, "keep_unconstrained": keep_unconstrained}
    counts = {"draws": draws, "warmup": warmup, "chains": chains, "cores": cores}
    where = {"store": store, "executor": executor}
    return draw_posterior(density, algorithm, seed, init, progress, counts=counts, **where, **keep)


def mams(
    model: BoundModel | LogDensity,
    *,
    draws: int = 1000,
    warmup: int = 1000,
    chains: int = 4,
    seed: int | None = None,
    trajectory_length: float = 1.5,
    jitter: float = 1.0,
    target_accept: float = 0.9,
    metric: str | np.ndarray = "auto",
    adaptation: str = "fisher",
    step_size: float | None = None,
    init: Any = None,
    cores: int | None = None,
    keep_warmup: bool = False,
    keep_unconstrained: bool = False,
    gradient: str | Callable[[np.ndarray], np.ndarray] = "reverse",
    store: str | os.PathLike | None = None,
    executor: Executor | None = None,
    progress: bool = True,
):
    """Draw from the posterior by the adjusted microcanonical sampler, whose paths have constant speed.

    It needs two to four times fewer gradients than NUTS where the posterior is near normal once its correlations are
    known, and at least two unconstrained coordinates. Where curvature varies much, as in a funnel, NUTS is safer.

    Parameters
    ----------
    trajectory_length : float
        Mean length of a path, in units of the length of a standard normal vector.
    jitter : float
        Between 0 and 1: each length is drawn from (1 - jitter, 1 + jitter) times the mean.
    model, draws, warmup, chains, seed, target_accept, metric, adaptation, step_size, init, cores
        As for `nuts`.
    keep_warmup, keep_unconstrained, gradient, store, executor, progress
        As for `nuts`.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        In the statistics ``n_steps`` counts gradients, of which each step has two.
    """
    density = as_density(model, "mams", gradient)
    algorithm = MAMS(
        trajectory_length=trajectory_length,
        jitter=jitter,
        target_accept=target_accept,
        metric=metric,
        adaptation=adaptation,
        step_size=step_size,
    )
    keep = {"keep_warmup": keep_warmup, "keep_unconstrained": keep_unconstrained}
    counts = {"draws": draws, "warmup": warmup, "chains": chains, "cores": cores}
    where = {"store": store, "executor": executor}
    return draw_posterior(density, algorithm, seed, init, progress, counts=counts, **where, **keep)


def fit(
    model: BoundModel | LogDensity,
    *,
    draws: int = 1000,
    warmup: int = 1000,
    chains: int = 4,
    seed: int | None = None,
    target_accept: float = 0.75,
    max_tree_depth: int = 10,
    metric: str = "auto",
    init: Any = None,
    cores: int | None = None,
    keep_warmup: bool = False,
    keep_unconstrained: bool = False,
    gradient: str | Callable[[np.ndarray], np.ndarray] = "reverse",
    store: str | os.PathLike | None = None,
    executor: Executor | None = None,
    progress: bool = True,
):
    """Draw from the posterior by the sampler that suits it best.

    During warm-up NUTS learns the metric; then NUTS, HMC with random lengths and MAMS are tried for a while, and the
    one with the most effective draws per gradient, of the worst coordinate or its square, goes on. All are exact.
    NUTS stays wherever another one could be at a loss: if trajectories diverge, or if the curvature varies.

    Parameters
    ----------
    model, draws, warmup, chains, seed, target_accept, max_tree_depth, init, cores
        As for `nuts`; `warmup` is at least 200, `target_accept` and `max_tree_depth` are those of NUTS.
    metric : {"auto", "dense", "low-rank", "diag"}
    keep_warmup, keep_unconstrained, gradient, store, executor, progress
        As for `nuts`. The workers of an executor hand their chains back each time that all of them meet, which is up to
        five times during warm-up.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        The attribute ``sampler_choice`` says which sampler was taken and why, ``ess_per_gradient_nuts`` and its like
        what the trials gave. The draws depend on the seed and the number of chains alone.
    """
    density = as_density(model, "fit", gradient)
    algorithm = Choice(target_accept=target_accept, max_tree_depth=max_tree_depth, metric=metric)
    keep = {"keep_warmup": keep_warmup, "keep_unconstrained": keep_unconstrained}
    counts = {"draws": draws, "warmup": warmup, "chains": chains, "cores": cores}
    where = {"store": store, "executor": executor}
    post = draw_posterior(density, algorithm, seed, init, progress, counts=counts, **where, **keep)
    if progress and "sampler_choice" in post["posterior"].attrs:
        print(post["posterior"].attrs["sampler_choice"])
    return post


def vi(
    model: BoundModel | LogDensity,
    *,
    family: str = "mean-field",
    steps: int = 10_000,
    seed: int | None = None,
    n_samples: int = 10,
    step_size: float = 0.1,
    init: Any = None,
    progress: bool = True,
) -> Approximation:
    """Approximate the posterior by a simple distribution, fitted by maximising the evidence lower bound.

    Parameters
    ----------
    model : BoundModel or LogDensity
    family : {"mean-field"}
        Independent normal distributions on the unconstrained space.
    steps : int
        At most so many steps; fewer if the fit converges earlier.
    seed : int, optional
    n_samples : int
        Draws per step.
    step_size : float
        Of the optimiser at the start, in standard deviations of the approximation; it falls to a sixteenth.
    init : dict, (dim,) array, "uniform", "map" or "prior", optional
        Where the approximation starts, as for `nuts`.
    progress : bool

    Returns
    -------
    Approximation
        A `ConvergenceWarning` tells if it has not converged. Ctrl-C returns the approximation so far.

    Raises
    ------
    ArgumentError
        For an unknown family, which lists those that exist, and options out of range.
    InitializationError
        If no start with a finite log density is found; names the site.
    OptimizationError
        If most draws stay where the log density is not finite, or a coordinate runs away. Its `result` is the
        approximation before that.
    """
    density = as_density(model, "vi")
    seed = _seed(seed)
    start = _start(density, init, seed, 1)
    if isinstance(init, str) and start is not None:
        start = start[0]
    if start is not None and start.ndim != 1:
        raise ArgumentError(f"vi takes one start, a vector of shape ({density.dim},); got shape {start.shape}.")
    if density.address:  # asked for, so that it evaluates by compiled code
        density = density.fork()
    check_dependence(density)
    options = {"steps": steps, "n_samples": n_samples, "step_size": step_size}
    try:
        with show_steps(progress, str(family)) as callback:
            fitted = fit_family(density, family=family, seed=seed, init=start, progress=callback, **options)
    except OptimizationError as error:
        error.result = Approximation(density, error.result)
        raise
    if not fitted.interrupted:
        density.verify(fitted.center)
    for message in _doubts(fitted):
        warnings.warn(message, ConvergenceWarning, stacklevel=2)
    return Approximation(density, fitted)


def _doubts(fitted: Fit) -> list[str]:
    """What speaks against trusting a fit."""
    found = []
    n = len(fitted.elbo)
    if fitted.interrupted:
        found.append(f"The fit was interrupted after {n} steps, before it had converged.")
    elif not fitted.converged:
        found.append(
            f"The fit had not converged after {n} steps: its parameters were still moving. Raise steps=, and compare "
            "with pb.nuts where that is feasible."
        )
    if fitted.left_out > 0:
        found.append(
            f"{fitted.left_out:.1%} of the last draws had no finite log density and were left out, so that the ELBO is "
            "too high and the approximation reaches outside the support. Give the latent variables priors with the "
            "right support."
        )
    return found


class Approximation:
    """A distribution fitted to a posterior.

    Attributes
    ----------
    elbo : (n_steps,) array
        Estimates of the evidence lower bound during the fit, in nats.
    converged : bool
        Whether the fit stopped by itself.
    density : LogDensity
    """

    def __init__(self, density: LogDensity, fitted: Fit):
        self.density = density
        self._fit = fitted
        self.elbo = fitted.elbo
        self.converged = fitted.converged

    def sample(self, n: int = 1000, *, seed: int | None = None):
        """Draws from the approximation as an ArviZ object with one chain.

        Parameters
        ----------
        n : int
        seed : int, optional
            That of the fit by default.

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
        """
        if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
            raise ArgumentError(f"n must be a whole number, at least 1; got {n!r}.")
        settings = self._fit.settings
        seed = settings["seed"] if seed is None else _seed(seed)
        # a stream of its own, so that the draws are not the noise of the fit's first steps
        z = self._fit.sample(np.random.default_rng([seed, 1]), int(n))
        groups = {
            "posterior": output.posterior(self.density, z[None]),
            "observed_data": self.density.observed_data,
            "constant_data": self.density.constant_data,
        }
        return output.to_arviz(
            groups,
            coords=self.density.coords,
            dims=output.density_dims(self.density),
            attrs={
                **settings,
                "converged": self.converged,
                "elbo": self._level(),
                "fitting_time": self._fit.seconds,
                "sample_seed": seed,
            },
        )

    def log_prob(self, point) -> Any:
        """Log density of the approximation in the unconstrained space, in nats.

        Parameters
        ----------
        point : dict or (..., dim) array
            Values by name, or unconstrained points.

        Returns
        -------
        float or array
        """
        if isinstance(point, Mapping):
            point = self.density.unconstrain(point)
        try:
            z = np.asarray(point, dtype=float)
        except (TypeError, ValueError) as error:
            message = f"A point is a dict of values by name, or unconstrained coordinates; got {point!r}."
            raise ArgumentError(message) from error
        if z.ndim == 0 or z.shape[-1] != self.density.dim:
            raise ShapeError(f"The last axis of a point must have length {self.density.dim}; got shape {z.shape}.")
        value = self._fit.log_prob(z)
        return float(value) if value.ndim == 0 else value

    def _level(self) -> float | None:
        """Mean of the last estimates of the ELBO, None before the first step."""
        return float(np.mean(self.elbo[-100:])) if len(self.elbo) else None

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        level = "no step made" if self._level() is None else f"ELBO {self._level():.3f}"
        return f"<{self._fit.family.name} approximation, {self.density.dim} coordinates: {level}, {state}>"


def as_density(model, function: str = "nuts", gradient="reverse") -> LogDensity:
    """The log density of a bound model, or a log density as it is; anything else is an error that says what to do.

    Parameters
    ----------
    model : BoundModel or LogDensity
    function : str
        The public function that was called, for the message.
    gradient : str or callable
        As for `LogDensity.from_function`.
    """
    if isinstance(model, BoundModel):
        model = model.density()
    if isinstance(model, FunctionDensity) and gradient != "reverse":
        return model.with_gradient(gradient)
    if isinstance(model, LogDensity) and gradient != "reverse":
        raise ArgumentError(f"{type(model).__name__} has a gradient of its own; gradient= is for models and functions.")
    if isinstance(model, Model):
        raise ArgumentError(f"{model!r} has no data yet. Call it with them first: pb.{function}(model(data, ...)).")
    if isinstance(model, LogDensity):
        return model
    raise ArgumentError(
        f"pb.{function} takes a model called with its data, or a LogDensity; got {type(model).__name__}. Decorate a "
        "model function with @pb.model, or wrap a log density with pb.LogDensity.from_function(fn, dim)."
    )


def draw_posterior(density, algorithm, seed, init, progress, *, counts, store=None, executor=None, **keep):
    """Run chains, keep them, convert them, and say what is wrong with them to the caller of the public function."""
    seed = _seed(seed)
    kernels = prepare(algorithm, density.dim) if executor is None else None  # meanwhile the density is compiled
    start = _start(density, init, seed, counts["chains"])
    kept = {**keep, "init": init if isinstance(init, str) else None}
    with contextlib.nullcontext() if store is None else _writer(store, density, algorithm, start, kept) as recorder:
        post = run_chains(
            density, algorithm, seed, start, progress, counts=counts, recorder=recorder, executor=executor, **keep
        )
    try:
        warn_about(post, stacklevel=4)
    except KeyboardInterrupt:  # the draws are there, and must not be lost
        message = "The search for signs of trouble in the draws was interrupted. pb.diagnose(post) does it again."
        warnings.warn(message, SamplingWarning, stacklevel=3)
    if kernels is not None:
        kernels.optimise()  # for what comes later: a short run does not wait for it
    return post


def run_chains(
    density, algorithm, seed, start, progress, *, counts, recorder, executor, keep_warmup, keep_unconstrained
):
    """Run chains and convert them."""
    with show_chains(progress) as callback:
        result = sample_chains(
            density,
            algorithm,
            seed=seed,
            init=start,
            progress=callback,
            keep_warmup=keep_warmup,
            recorder=recorder,
            executor=executor,
            meanwhile=output.import_parts,
            **counts,
        )
    return output.chains_to_arviz(density, result, keep_unconstrained=keep_unconstrained)


def _writer(store, density: LogDensity, algorithm, start: np.ndarray | None, options: dict[str, Any]):
    """The writer of a new store."""
    root = as_path("store", store)
    description, reference = fingerprint.take(density)
    given = {name: np.asarray(value) for name, value in vars(algorithm).items() if value is not None}
    arrays = {name: value.astype(float) for name, value in given.items() if value.ndim}
    identity = {
        "fingerprint": description,
        "sampler": {"name": type(algorithm).__name__, **{n: v.item() for n, v in given.items() if not v.ndim}},
        "options": {**options, "gradient": density.gradient if isinstance(density.gradient, str) else "a function"},
        "arrays": {"reference": reference, **({} if start is None else {"init": start}), **arrays},
    }
    return Writer(root, identity)


def as_path(name: str, path) -> Path:
    """An argument that names a file or folder."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ArgumentError(f"{name} must be the name of a folder; got {path!r}.")
    return Path(path)


def _seed(seed) -> int:
    """The seed, or one drawn from the operating system."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
        raise ArgumentError(f"seed must be a whole number, at least 0; got {seed!r}.")
    return int(seed)


def _start(density: LogDensity, init, seed: int, chains: int) -> np.ndarray | None:
    """Unconstrained starting points from what users may give; None for the usual ones."""
    if init is None or (isinstance(init, str) and init == "uniform"):
        return None
    if isinstance(init, str) and init in STARTS:
        check_count("chains", chains, 1, None)
        return STARTS[init](density, seed, int(chains))
    if isinstance(init, Mapping):
        return density.unconstrain(init)
    try:
        start = np.asarray(init, dtype=float)
        got = f"an array of shape {start.shape}"
    except (TypeError, ValueError):
        start, got = np.empty(()), repr(init)
    if start.ndim not in (1, 2) or start.shape[-1] != density.dim:
        raise ArgumentError(
            f"init must be a dict of values by name, an unconstrained array whose last axis has length {density.dim}, "
            f"'uniform', 'map' or 'prior'; got {got}."
        )
    return start
