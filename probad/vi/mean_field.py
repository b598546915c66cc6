"""The mean-field family: independent normal distributions, one per unconstrained coordinate."""

from __future__ import annotations

import math

import numpy as np

LOG_2PI = math.log(2 * math.pi)


class MeanField:
    """Normal distribution with diagonal covariance, parametrised by means and logarithms of the standard deviations.

    A family is a class with this interface; the fit knows nothing else of it.

    Parameters
    ----------
    dim : int

    Attributes
    ----------
    n_parameters : int
        ``2 * dim``: the means, then the log scales.
    """

    name = "mean-field"

    def __init__(self, dim: int):
        self.dim = dim
        self.n_parameters = 2 * dim

    def start(self, position: np.ndarray) -> np.ndarray:
        """Parameters of a narrow distribution around a point."""
        return np.concatenate([position, np.full(self.dim, math.log(0.1))])

    def split(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations, each (dim,)."""
        return parameters[: self.dim], np.exp(parameters[self.dim :])

    def units(self, parameters: np.ndarray) -> np.ndarray:
        """How much of each parameter matters: a standard deviation of a mean, one of the logarithm of a scale."""
        _, scale = self.split(parameters)
        return np.concatenate([scale, np.ones(self.dim)])

    def transform(self, parameters: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Draws made from standard normal noise, ``(n, dim)``: the reparameterisation."""
        mean, scale = self.split(parameters)
        return mean + scale * noise

    def log_prob(self, parameters: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Log density at points ``(n, dim)``, in nats."""
        mean, scale = self.split(parameters)
        standard = (z - mean) / scale
        return -0.5 * np.sum(standard**2, axis=-1) - np.sum(np.log(scale)) - 0.5 * self.dim * LOG_2PI

    def score(self, parameters: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Gradient of `log_prob` by the point, ``(n, dim)``."""
        mean, scale = self.split(parameters)
        return -(z - mean) / scale**2

    def pull(self, parameters: np.ndarray, noise: np.ndarray, g: np.ndarray) -> np.ndarray:
        """Cotangents of the parameters from those of the draws, ``(n, dim)``, averaged over the draws."""
        _, scale = self.split(parameters)
        return np.concatenate([g.mean(axis=0), (g * noise).mean(axis=0) * scale])
