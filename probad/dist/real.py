"""Distributions on the real line: Normal, StudentT, Cauchy."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from probad.dist import constraints
from probad.dist.base import Array, Distribution
from probad.numerics import as_array
from probad.scipy_special import special

HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
LOG_PI = float(np.log(np.pi))


class Normal(Distribution):
    """Normal distribution: density exp(-z^2/2) / (scale sqrt(2 pi)) with z = (x - loc) / scale.

    Parameters
    ----------
    loc : (...) array_like
        Mean.
    scale : (...) array_like, > 0
        Standard deviation.

    Examples
    --------
    >>> float(Normal(0.0, 5.0).log_prob(1.0).round(6))
    -2.548376
    """

    parameters: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    examples: ClassVar = [
        {"loc": 0.0, "scale": 1.0},
        {"loc": -3.5, "scale": 2.5},
        {"loc": 1e3, "scale": 1e-3},
        {"loc": [0.0, 1.0, -2.0], "scale": [[1.0], [0.3]]},
    ]

    def __init__(self, loc: Array, scale: Array) -> None:
        self.loc, self.scale = as_array(loc), as_array(scale)

    def logp(self, value: Array) -> Array:
        z = (value - self.loc) / self.scale
        return -0.5 * z * z - (np.log(self.scale) + HALF_LOG_2PI)

    def _draw(self, rng, shape):
        return self.loc + self.scale * rng.standard_normal(shape)

    def cdf(self, value: Array) -> Array:
        return special.ndtr((value - self.loc) / self.scale)

    def icdf(self, probability: Array) -> Array:
        return self.loc + self.scale * special.ndtri(probability)

    @property
    def mean(self) -> Array:
        return self._full(self.loc)

    @property
    def variance(self) -> Array:
        return self._full(self.scale * self.scale)

    def entropy(self) -> Array:
        return self._per_batch(np.log(self.scale) + (HALF_LOG_2PI + 0.5))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.norm(self.loc, self.scale)


class StudentT(Distribution):
    """Student's t: density (1 + z^2/df)^(-(df+1)/2) / (scale sqrt(df) B(df/2, 1/2)) with z = (x - loc) / scale.

    Parameters
    ----------
    df : (...) array_like, > 0
        Degrees of freedom: 1 is Cauchy, large values approach Normal.
    loc : (...) array_like
        Centre; the mean if df > 1.
    scale : (...) array_like, > 0
        Scale; not the standard deviation, which is ``scale * sqrt(df / (df - 2))``.
    """

    parameters: ClassVar = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    examples: ClassVar = [
        {"df": 3.0, "loc": 0.0, "scale": 1.0},
        {"df": 0.7, "loc": 1.0, "scale": 0.5},
        {"df": 45.5, "loc": -20.0, "scale": 4.0},
        {"df": [1.5, 4.0], "loc": [[0.0], [2.0]], "scale": 2.0},
    ]

    def __init__(self, df: Array, loc: Array = 0.0, scale: Array = 1.0) -> None:
        self.df, self.loc, self.scale = as_array(df), as_array(loc), as_array(scale)

    def logp(self, value: Array) -> Array:
        z = (value - self.loc) / self.scale
        half_df = 0.5 * self.df
        # the beta function, not a difference of gammaln, which loses all digits as df grows
        constant = special.betaln(half_df, 0.5) + 0.5 * np.log(self.df) + np.log(self.scale)
        return -(half_df + 0.5) * np.log1p(z * z / self.df) - constant

    def _draw(self, rng, shape):
        return self.loc + self.scale * rng.standard_t(self.df, shape)

    def cdf(self, value: Array) -> Array:
        return special.stdtr(self.df, (value - self.loc) / self.scale)

    def icdf(self, probability: Array) -> Array:
        return self.loc + self.scale * special.stdtrit(self.df, probability)

    @property
    def mean(self) -> Array:
        return self._full(np.where(self.df > 1, self.loc, np.nan))

    @property
    def variance(self) -> Array:
        finite = self.df > 2
        ratio = self.df / np.where(finite, self.df - 2, 1.0)
        ratio = np.where(finite, ratio, np.where(self.df > 1, np.inf, np.nan))
        return self._full(self.scale * self.scale * ratio)

    def entropy(self) -> Array:
        half_df = 0.5 * self.df
        tail = (half_df + 0.5) * (special.psi(half_df + 0.5) - special.psi(half_df))
        return self._per_batch(tail + special.betaln(half_df, 0.5) + 0.5 * np.log(self.df) + np.log(self.scale))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.t(self.df, self.loc, self.scale)


class Cauchy(Distribution):
    """Cauchy distribution: density 1 / (pi scale (1 + z^2)) with z = (x - loc) / scale. It has no mean.

    Parameters
    ----------
    loc : (...) array_like
        Median.
    scale : (...) array_like, > 0
        Half the distance between the quartiles.
    """

    parameters: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    examples: ClassVar = [
        {"loc": 0.0, "scale": 1.0},
        {"loc": 2.0, "scale": 0.25},
        {"loc": [0.0, -5.0], "scale": [1.0, 30.0]},
    ]

    def __init__(self, loc: Array, scale: Array) -> None:
        self.loc, self.scale = as_array(loc), as_array(scale)

    def logp(self, value: Array) -> Array:
        # log(1 + z^2) as 2 log hypot(1, z): the square would overflow far out in the tail
        return -2.0 * np.log(np.hypot(1.0, (value - self.loc) / self.scale)) - (np.log(self.scale) + LOG_PI)

    def _draw(self, rng, shape):
        return self.loc + self.scale * rng.standard_cauchy(shape)

    def cdf(self, value: Array) -> Array:
        # arctan2 keeps the digits of the lower tail, where 1/2 + arctan(z)/pi cancels
        return np.arctan2(1.0, (self.loc - value) / self.scale) / np.pi

    def icdf(self, probability: Array) -> Array:
        p = as_array(probability)
        # the cotangent from the nearer end keeps the digits of both tails
        z = np.where(p < 0.5, -1.0 / np.tan(np.pi * np.minimum(p, 0.5)), 1.0 / np.tan(np.pi * np.minimum(1 - p, 0.5)))
        return self.loc + self.scale * np.where((p >= 0) & (p <= 1), z, np.nan)

    @property
    def mean(self) -> Array:
        return self._full(np.nan)

    @property
    def variance(self) -> Array:
        return self._full(np.nan)

    def entropy(self) -> Array:
        return self._per_batch(np.log(self.scale) + np.log(4 * np.pi))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.cauchy(self.loc, self.scale)
