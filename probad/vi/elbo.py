"""The evidence lower bound (ELBO) of a family at given noise, and its path-wise gradient."""

from __future__ import annotations

import math

import numpy as np


def elbo_and_grad(density, family, parameters: np.ndarray, noise: np.ndarray):
    """Estimate the ELBO and its path-wise gradient from standard normal noise.

    Draws are a differentiable function of the parameters and of the noise. The part of the gradient that goes through
    the parameters of log q at fixed draws is left out: its mean is zero, and without it the noise of the gradient
    vanishes as the fit becomes exact. The closed form of the entropy would leave that noise in.

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
    bad : (n,) array of bool
        Draws where log density or gradient are not finite; they are left out of both means.

    Notes
    -----
    Source: Roeder, Wu and Duvenaud (2017), "Sticking the landing".
    """
    z = family.transform(parameters, noise)
    values, gradients = np.empty(len(z)), np.empty_like(z)
    for i, point in enumerate(z):
        values[i], gradients[i] = density.logp_and_grad(point)
    good = np.isfinite(values) & np.isfinite(gradients).all(axis=1)
    if not good.any():
        return -math.inf, np.zeros(family.n_parameters), ~good
    z, noise = z[good], noise[good]
    elbo = float(np.mean(values[good] - family.log_prob(parameters, z)))
    gradient = family.pull(parameters, noise, gradients[good] - family.score(parameters, z))
    return elbo, gradient, ~good
