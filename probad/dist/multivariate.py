"""Distributions of vectors: MvNormal and Dirichlet."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from probad.dist import constraints
from probad.dist.base import Array, Distribution, Shape, unless
from probad.errors import ShapeError
from probad.numerics import as_array, is_concrete, softmax, solve_triangular
from probad.scipy_special import special

HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


class MvNormal(Distribution):
    """Multivariate normal distribution with covariance ``scale_tril @ scale_tril.T``.

    Parameters
    ----------
    loc : (..., n) array_like
        Mean.
    scale_tril : (..., n, n) array_like, lower triangular with a positive diagonal
        Cholesky factor of the covariance: ``np.linalg.cholesky(covariance)``.
    """

    parameters: ClassVar = {"loc": constraints.real_vector, "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    event_ndim = 1
    examples: ClassVar = [
        {"loc": [1.0, -2.0], "scale_tril": [[2.0, 0.0], [-1.0, 0.5]]},
        {"loc": [0.0, 0.0, 5.0], "scale_tril": [[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [-3.0, 2.0, 40.0]]},
        {"loc": [[0.0, 1.0], [3.0, -1.0], [0.2, 0.3]], "scale_tril": [[1.0, 0.0], [0.5, 3.0]]},
        {"loc": [0.0, 1.0], "scale_tril": [[[1.0, 0.0], [0.5, 3.0]], [[0.1, 0.0], [0.0, 0.2]]]},
    ]

    def __init__(self, loc: Array, scale_tril: Array) -> None:
        self.loc, self.scale_tril = as_array(loc), as_array(scale_tril)

    @property
    def event_shape(self) -> Shape:
        """(n,), from the Cholesky factor."""
        return self.scale_tril.shape[-1:]

    def validate(self, site: str | None = None) -> None:
        """Check parameters, and that the mean is as long as the matrix is wide."""
        super().validate(site)
        n = self.scale_tril.shape[-1]
        if self.loc.shape[-1] not in (1, n):
            raise ShapeError(f"MvNormal got loc of length {self.loc.shape[-1]} and scale_tril of shape ({n}, {n}).")

    def logp(self, value: Array) -> Array:
        factor = self.scale_tril
        n = factor.shape[-1]
        centred = value - self.loc
        diagonal = factor[..., np.arange(n), np.arange(n)]
        if centred.ndim == 1 and factor.ndim == 2:
            z = solve_triangular(factor, centred)
            squares = np.sum(z * z, axis=-1)
        elif factor.ndim == 2:  # many vectors, one matrix: a single solve with the vectors as columns
            z = solve_triangular(factor, centred.reshape(-1, n).T)
            squares = np.sum(z * z, axis=0).reshape(centred.shape[:-1])
        else:
            if centred.ndim < factor.ndim - 1:  # one vector, many matrices
                centred = np.broadcast_to(centred, factor.shape[:-1])
            z = solve_triangular(factor, centred[..., None])[..., 0]
            squares = np.sum(z * z, axis=-1)
        return -0.5 * squares - (np.sum(np.log(diagonal), axis=-1) + n * HALF_LOG_2PI)

    def _draw(self, rng, shape):
        noise = rng.standard_normal((*shape, self.scale_tril.shape[-1], 1))
        return self.loc + (self.scale_tril @ noise)[..., 0]

    @property
    def mean(self) -> Array:
        return self._full(self.loc)

    @property
    def variance(self) -> Array:
        return self._full(np.sum(self.scale_tril * self.scale_tril, axis=-1))

    def entropy(self) -> Array:
        n = self.scale_tril.shape[-1]
        diagonal = self.scale_tril[..., np.arange(n), np.arange(n)]
        return self._per_batch(np.sum(np.log(diagonal), axis=-1) + n * (HALF_LOG_2PI + 0.5))

    def scipy_twin(self) -> Any:
        if self.batch_shape:
            return None
        from scipy import stats

        return stats.multivariate_normal(self.loc, self.scale_tril @ self.scale_tril.T)


class Dirichlet(Distribution):
    """Dirichlet distribution on the simplex: density prod_k x_k^(a_k - 1) / B(a), with a the concentration.

    The faces of the simplex, where an entry is 0, are outside the support, as the ends are for `Beta`.

    Parameters
    ----------
    concentration : (..., K) array_like, > 0
        One weight per entry; all 1 is uniform.
    """

    parameters: ClassVar = {"concentration": constraints.positive_vector}
    support = constraints.open_simplex
    event_ndim = 1
    examples: ClassVar = [
        {"concentration": [1.5, 2.0, 4.0]},
        {"concentration": [0.4, 0.7]},
        {"concentration": [1.0, 1.0, 1.0, 1.0, 1.0]},
        {"concentration": [[3.0, 1.0, 8.0], [0.5, 0.5, 20.0]]},
    ]

    def __init__(self, concentration: Array) -> None:
        self.concentration = as_array(concentration)

    @property
    def event_shape(self) -> Shape:
        """(K,)."""
        return self.concentration.shape[-1:]

    def logp(self, value: Array) -> Array:
        a = self.concentration
        faces = value <= 0
        outside = np.any(faces, axis=-1)
        if is_concrete(value):  # data; a latent value sums to 1 by construction
            outside = outside | ~self.support.contains(value)
        x = unless(faces, value, 1.0)
        constant = np.sum(special.gammaln(a), axis=-1) - special.gammaln(np.sum(a, axis=-1))
        return unless(outside, np.sum((a - 1) * np.log(x), axis=-1) - constant, -np.inf)

    def _draw(self, rng, shape):
        a = self.concentration
        shape = shape + self.event_shape
        # Gamma(a) = Gamma(a + 1) U^(1/a), in logarithms: for small a every entry would underflow
        log_gamma = np.log(rng.standard_gamma(a + 1.0, shape)) - rng.standard_exponential(shape) / a
        return softmax(log_gamma, axis=-1)

    @property
    def mean(self) -> Array:
        return self._full(self.concentration / np.sum(self.concentration, axis=-1, keepdims=True))

    @property
    def variance(self) -> Array:
        total = np.sum(self.concentration, axis=-1, keepdims=True)
        share = self.concentration / total
        return self._full(share * (1 - share) / (total + 1))

    def entropy(self) -> Array:
        a = self.concentration
        total = np.sum(a, axis=-1)
        log_beta = np.sum(special.gammaln(a), axis=-1) - special.gammaln(total)
        spread = (total - a.shape[-1]) * special.psi(total) - np.sum((a - 1) * special.psi(a), axis=-1)
        return self._per_batch(log_beta + spread)

    def scipy_twin(self) -> Any:
        if self.batch_shape:
            return None
        from scipy import stats

        return stats.dirichlet(self.concentration)
