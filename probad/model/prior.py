"""The prior of a model apart from its likelihood: draws from it, and its mean and covariance if it is normal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from probad.dist import MvNormal, Normal
from probad.errors import ModelError, ShapeError
from probad.model.effects import SAMPLE, Interpreter, Site
from probad.model.layout import Layout, SiteInfo
from probad.numerics import as_array

N_POINTS = 3  # where priors are looked at: parameters that are the same there count as constants
WAY_OUT = (
    "Give prior_mean= and prior_cov= of the unconstrained vector, if the posterior has a normal factor, or draw with "
    "pb.nuts."
)


class Priors(Interpreter):
    """Record mean and covariance of the normal priors at one point."""

    def __init__(self, layout: Layout, z: np.ndarray):
        self.layout, self.z = layout, z
        self.mean, self.covariance = np.zeros(layout.dim), np.zeros((layout.dim, layout.dim))

    def process(self, site: Site) -> None:
        """Answer with the value of a site, and record its prior."""
        if site.kind != SAMPLE:
            return
        if site.obs is not None:
            site.value = as_array(site.obs)
            return
        info = self.layout.find(site.name)
        if type(site.dist) not in (Normal, MvNormal):
            raise ModelError(
                f"Elliptical slice sampling needs normal priors on the real line; site '{site.name}' ({info.where}) is "
                f"{type(site.dist).__name__}. {WAY_OUT}"
            )
        u = self.z[info.index]
        site.value = u.reshape(info.unconstrained_shape)[()]
        self._record(site.dist, info)

    def _record(self, dist, info: SiteInfo) -> None:
        index = np.atleast_1d(np.arange(self.layout.dim)[info.index])
        self.mean[index] = np.broadcast_to(dist.loc, info.shape).ravel()
        if type(dist) is Normal:
            self.covariance[index, index] = np.broadcast_to(dist.scale, info.shape).ravel() ** 2
            return
        n = info.shape[-1]
        factors = np.broadcast_to(dist.scale_tril, (*info.shape, n)).reshape(-1, n, n)
        for rows, factor in zip(index.reshape(-1, n), factors, strict=True):
            self.covariance[np.ix_(rows, rows)] = factor @ factor.T


class DrawPrior(Interpreter):
    """Draw latent variables from their priors, in the order of their declaration; factors count as likelihood."""

    def __init__(self, layout: Layout, rng: np.random.Generator):
        self.layout, self.rng = layout, rng
        self.z = np.zeros(layout.dim)

    def process(self, site: Site) -> None:
        """Answer with a draw, and write its unconstrained form."""
        if site.kind != SAMPLE:
            return
        if site.obs is not None:
            site.value = as_array(site.obs)
            return
        info, dist = self.layout.find(site.name), site.dist
        dist.validate(site.name)
        try:
            site.value = dist.sample_batch(self.rng, info.batch_shape)
        except NotImplementedError as error:
            raise ModelError(
                f"Site '{site.name}' ({info.where}) cannot be drawn from its prior: {type(dist).__name__} has no "
                "sampler. Give the class a method _draw(rng, shape), or start elsewhere: init='uniform', 'map', or "
                "values by name."
            ) from error
        if site.value.shape != info.shape:
            raise ShapeError(
                f"A draw of site '{site.name}' from {dist!r} has shape {site.value.shape}, but the site {info.shape}."
            )
        u = np.asarray(info.bijector_for(dist).inverse(site.value))
        self.z[info.index] = u.ravel() if u.ndim else u


def draw_prior(run: Callable[[Interpreter], Any], layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """One draw of all latent variables from their priors, in unconstrained coordinates.

    Parameters
    ----------
    run : callable
        ``run(interpreter)`` runs the model.
    layout : Layout
    rng : numpy.random.Generator

    Returns
    -------
    (dim,) array
        Infinite where a draw was rounded to the edge of its support.

    Raises
    ------
    ModelError
        If a distribution cannot be drawn from; names the site.
    ParameterError
        If draws make a parameter of another prior impossible; names the site.
    """
    draw = DrawPrior(layout, rng)
    run(draw)
    return draw.z


def normal_prior(run: Callable[[Interpreter], Any], layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the prior of a model whose latent variables are all normal, with constant parameters.

    Parameters
    ----------
    run : callable
        ``run(interpreter)`` runs the model.
    layout : Layout

    Returns
    -------
    mean : (dim,) array
    covariance : (dim,) array if the coordinates are independent, else (dim, dim)

    Raises
    ------
    ModelError
        If a prior is not normal, or its parameters depend on other latent variables; names the site.
    """
    rng = np.random.default_rng(0)
    found = []
    for _ in range(N_POINTS):
        priors = Priors(layout, rng.uniform(-1.0, 1.0, layout.dim))
        run(priors)
        found.append(priors)
    for info in layout.sites.values():
        if info.index is None:
            continue
        first, *others = ((p.mean[info.index], p.covariance[info.index]) for p in found)
        if any(not np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True)):
            raise ModelError(
                f"Elliptical slice sampling needs a prior with constant parameters; that of site '{info.name}' "
                f"({info.where}) depends on other latent variables. {WAY_OUT}"
            )
    mean, covariance = found[0].mean, found[0].covariance
    variances = np.diag(covariance)
    return mean, variances.copy() if np.count_nonzero(covariance) == len(mean) else covariance
