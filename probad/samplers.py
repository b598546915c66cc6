"""The public functions of the samplers beside NUTS, HMC and MAMS."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np

from probad.density import LogDensity
from probad.errors import ArgumentError
from probad.inference import as_density, draw_posterior
from probad.mcmc import MALA, RMHMC, EllipticalSlice, ManifoldMALA, Metropolis
from probad.model import BoundModel


def metropolis(
    model: BoundModel | LogDensity,
    *,
    draws: int = 10_000,
    warmup: int = 5000,
    chains: int = 4,
    seed: int | None = None,
    target_accept: float | None = None,
    metric: str | np.ndarray = "auto",
    init: Any = None,
    cores: int | None = None,
    keep_warmup: bool = False,
    keep_unconstrained: bool = False,
    gradient: str | Callable[[np.ndarray], np.ndarray] = "reverse",
    store: str | os.PathLike | None = None,
    executor: Executor | None = None,
    progress: bool = True,
):
    """Draw from the posterior by random-walk Metropolis: the baseline that gradients are measured against.

    It needs about as many draws for an independent one as a multiple of the number of coordinates, and uses gradients
    for nothing, though the log density computes them all the same.

    Parameters
    ----------
    target_accept : float, optional
        Rate of acceptance that the step is tuned for: 0.234 by default, 0.44 in one dimension.
    metric : {"auto", "dense", "diag", "unit"}, or array
        What warm-up learns of the posterior's shape, from draws; ``"auto"`` is dense up to 20 coordinates.
    model, draws, warmup, chains, seed, init, cores, keep_warmup, keep_unconstrained, gradient, store, executor,
    progress
        As for `probad.nuts`.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
    """
    density = as_density(model, "metropolis", gradient)
    algorithm = Metropolis(target_accept=target_accept, metric=metric)
    keep = {"keep_warmup": keep_warmup, "keep_unconstrained": keep_unconstrained}
    counts = {"draws": draws, "warmup": warmup, "chains": chains, "cores": cores}
    where = {"store": store, "executor": executor}
    return draw_posterior(density, algorithm, seed, init, progress, counts=counts, **where, **keep)


def mala(
    model: BoundModel | LogDensity,
    *,
    draws: int = 4000,
    warmup: int = 1000,
    chains: int = 4,
    seed: int | None = None,
    target_accept: float = 0.574,
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
    """Draw from the posterior by the Metropolis-adjusted Langevin algorithm: HMC of one step.

    Parameters
    ----------
    target_accept : float
        Between 0 and 1; 0.574 is the best for normal targets of many dimensions.
    model, draws, warmup, chains, seed, metric, adaptation, step_size, init, cores, keep_warmup, keep_unconstrained
        As for `probad.nuts`.
    gradient, store, executor, progress
        As for `probad.nuts`.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
    """
    density = as_density(model, "mala", gradient)
    algorithm = MALA(target_accept=target_accept, metric=metric, adaptation=adaptation, step_size=step_size)
    keep = {"keep_warmup": keep_warmup, "keep_unconstrained": keep_unconstrained}
    counts = {"draws": draws, "warmup": warmup, "chains": chains, "cores": cores}
    where = {"store": store, "executor": executor}
    return draw_posterior(density, algorithm, seed, init, progress, counts=counts, **where, **keep)


def elliptical_slice(
    model: BoundModel | LogDensity,
    *,
    prior_mean: float | np.ndarray | None = None,
    prior_cov: float | np.ndarray | None = None,
    draws: int = 4000,
    warmup: int = 500,
    chains: int = 4,
    seed: int | None = None,
    init: Any = None,
    cores: int | None = None,
    keep_warmup: bool = False,
    keep_unconstrained: bool = False,
    gradient: str | Callable[[np.ndarray], np.ndarray] = "reverse",
    store: str | os.PathLike | None = None,
    executor: Executor | None = None,
    progress: bool = True,
):
    """Draw from the posterior by elliptical slice sampling, where the prior is normal and the data say little.

    There is nothing to tune, and of the likelihood only values are used. It mixes fast where the prior dominates, as
    with Gaussian processes, and slowly where the data do.

    Parameters
    ----------
    prior_mean : float or (dim,) array, optional
        Mean of the prior of the unconstrained vector, 0 if only `prior_cov` is given. Neither is needed for a model
        whose latent variables are all ``dist.Normal`` or ``dist.MvNormal`` with constant parameters.
    prior_cov : float, (dim,) array or (dim, dim) array, optional
        Its covariance; one number, or a vector, are variances of independent coordinates.
    warmup : int
        Iterations to leave out at the start: nothing is learnt.
    model, draws, chains, seed, init, cores, keep_warmup, keep_unconstrained, gradient, store, executor,
    progress
        As for `probad.nuts`.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        In the statistics ``n_steps`` counts evaluations of the log density.

    Raises
    ------
    ModelError
        If the prior of the model is not normal with constant parameters; names the site.
    """
    density = as_density(model, "elliptical_slice", gradient)
    if prior_cov is None:
        prior_mean, prior_cov = _prior(density, prior_mean)
    algorithm = EllipticalSlice(prior_mean=0.0 if prior_mean is None else prior_mean, prior_cov=prior_cov)
    keep = {"keep_warmup": keep_warmup, "keep_unconstrained": keep_unconstrained}
    counts = {"draws": draws, "warmup": warmup, "chains": chains, "cores": cores}
    where = {"store": store, "executor": executor}
    return draw_posterior(density, algorithm, seed, init, progress, counts=counts, **where, **keep)


def rmhmc(
    model: BoundModel | LogDensity,
    *,
    draws: int = 1000,
    warmup: int = 500,
    chains: int = 4,
    seed: int | None = None,
    metric: str = "softabs",
    metric_fn: Callable[[Any], Any] | None = None,
    softening: float = 3.0,
    n_steps: int | None = None,
    trajectory_length: float | None = None,
    jitter: float = 0.5,
    target_accept: float = 0.9,
    step_size: float | None = None,
    integrator: str = "leapfrog",
    tolerance: float = 1e-6,
    max_iterations: int = 50,
    init: Any = None,
    cores: int | None = None,
    keep_warmup: bool = False,
    keep_unconstrained: bool = False,
    store: str | os.PathLike | None = None,
    executor: Executor | None = None,
    progress: bool = True,
):
    """Draw from the posterior by Riemannian-manifold HMC, whose metric follows the curvature from place to place.

    For small posteriors, of up to about 30 coordinates, whose shape changes so much that no one metric fits: a step
    takes about ten Hessians and third derivatives. Elsewhere `probad.nuts` is far quicker.

    Parameters
    ----------
    metric : {"softabs", "fisher"}
        Minus the Hessian with its eigenvalues made positive; or what `metric_fn` says, such as a Fisher information.
    metric_fn : callable, optional
        ``metric_fn(z)``, of the unconstrained vector and written in NumPy, returns a positive definite matrix of shape
        (dim, dim); it is differentiated here.
    softening : float
        Of SoftAbs: eigenvalues smaller in size than its inverse count as that, so that its root is the longest step
        across a flat region.
    n_steps, trajectory_length, jitter
        As for `probad.hmc`; lengths are measured in the metric, and the default one is pi / 2.
    target_accept, step_size
        As for `probad.nuts`. Warm-up tunes the step size only.
    integrator : {"leapfrog", "midpoint"}
        The generalised leapfrog, or the implicit midpoint rule, which keeps the energy of a posterior that is normal
        in its metric exactly, and takes a matrix more a step.
    tolerance : float
        Change, in the units of the metric, below which an implicit step counts as solved.
    max_iterations : int
        Limit on its iterations; beyond, the trajectory is rejected and counts as a divergence.
    model, draws, warmup, chains, seed, init, cores, keep_warmup, keep_unconstrained, store, executor, progress
        As for `probad.nuts`; a log density must be made by ``LogDensity.from_function``. Runs with a `metric_fn` cannot
        be stored.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        The attributes ``n_curvatures`` and ``n_contractions`` tell how many matrices, and contractions of their
        derivatives, the whole run took.
    """
    density = as_density(model, "rmhmc")
    algorithm = RMHMC(
        metric=metric,
        metric_fn=metric_fn,
        softening=softening,
        n_steps=n_steps,
        trajectory_length=trajectory_length,
        jitter=jitter,
        target_accept=target_accept,
        step_size=step_size,
        integrator=integrator,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    keep = {"keep_warmup": keep_warmup, "keep_unconstrained": keep_unconstrained}
    counts = {"draws": draws, "warmup": warmup, "chains": chains, "cores": cores}
    where = {"store": _checked_store(store, metric_fn), "executor": executor}
    return draw_posterior(density, algorithm, seed, init, progress, counts=counts, **where, **keep)


def manifold_mala(
    model: BoundModel | LogDensity,
    *,
    draws: int = 4000,
    warmup: int = 1000,
    chains: int = 4,
    seed: int | None = None,
    metric: str = "softabs",
    metric_fn: Callable[[Any], Any] | None = None,
    softening: float = 3.0,
    target_accept: float = 0.574,
    step_size: float | None = None,
    init: Any = None,
    cores: int | None = None,
    keep_warmup: bool = False,
    keep_unconstrained: bool = False,
    store: str | os.PathLike | None = None,
    executor: Executor | None = None,
    progress: bool = True,
):
    """Draw from the posterior by simplified manifold MALA: Langevin steps in the metric of where they begin.

    One Hessian a step and nothing implicit, so it is the cheap way to a metric of position.

    Parameters
    ----------
    metric, metric_fn, softening
        As for `rmhmc`.
    target_accept, step_size
        As for `mala`.
    model, draws, warmup, chains, seed, init, cores, keep_warmup, keep_unconstrained, store, executor, progress
        As for `rmhmc`.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
    """
    density = as_density(model, "manifold_mala")
    algorithm = ManifoldMALA(
        metric=metric, metric_fn=metric_fn, softening=softening, target_accept=target_accept, step_size=step_size
    )
    keep = {"keep_warmup": keep_warmup, "keep_unconstrained": keep_unconstrained}
    counts = {"draws": draws, "warmup": warmup, "chains": chains, "cores": cores}
    where = {"store": _checked_store(store, metric_fn), "executor": executor}
    return draw_posterior(density, algorithm, seed, init, progress, counts=counts, **where, **keep)


def _checked_store(store, metric_fn):
    """The store, unless it would have to keep a function."""
    if store is not None and metric_fn is not None:
        raise ArgumentError(
            "A store keeps no functions, so that a run with metric_fn= cannot be continued from one. Leave out store=, "
            "or take metric='softabs'."
        )
    return store


def _prior(density: LogDensity, prior_mean):
    """Mean and covariance of the prior of a model."""
    if prior_mean is not None:
        raise ArgumentError("prior_mean is of no use without prior_cov; give both, or for a model neither.")
    if not hasattr(density, "normal_prior"):
        raise ArgumentError(
            f"pb.elliptical_slice needs to know the normal prior of a {type(density).__name__}: give prior_cov=, and "
            "prior_mean= unless it is zero."
        )
    return density.normal_prior()
