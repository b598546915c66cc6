"""Distributions on the positive numbers: HalfNormal, HalfCauchy, Exponential, Gamma, InverseGamma, LogNormal.

Where the log density is finite at 0 the support includes 0. Elsewhere it does not, and the log density at 0 is -inf,
so that an exponential that underflowed to 0 is rejected rather than rewarded.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from probad.dist import constraints
from probad.dist.base import Array, Distribution, unless
from probad.numerics import as_array
from probad.scipy_special import special

HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
HALF_LOG_HALF_PI = 0.5 * float(np.log(np.pi / 2))
LOG_HALF_PI = float(np.log(np.pi / 2))
SMALLEST = float(np.finfo(np.float64).tiny)  # draws that would underflow to 0, outside the support, stay here


class HalfNormal(Distribution):
    """Absolute value of a Normal(0, scale).

    Parameters
    ----------
    scale : (...) array_like, > 0
        Standard deviation of the normal distribution that was folded.
    """

    parameters: ClassVar = {"scale": constraints.positive}
    support = constraints.nonnegative
    examples: ClassVar = [{"scale": 1.0}, {"scale": 1e-3}, {"scale": [0.5, 20.0]}]

    def __init__(self, scale: Array) -> None:
        self.scale = as_array(scale)

    def logp(self, value: Array) -> Array:
        z = value / self.scale
        return unless(value < 0, -0.5 * z * z - (np.log(self.scale) + HALF_LOG_HALF_PI), -np.inf)

    def _draw(self, rng, shape):
        return self.scale * np.abs(rng.standard_normal(shape))

    def cdf(self, value: Array) -> Array:
        return special.erf(np.maximum(value, 0.0) / (self.scale * np.sqrt(2.0)))

    def icdf(self, probability: Array) -> Array:
        return self.scale * np.sqrt(2.0) * special.erfinv(_probability(probability))

    @property
    def mean(self) -> Array:
        return self._full(self.scale * np.sqrt(2 / np.pi))

    @property
    def variance(self) -> Array:
        return self._full(self.scale * self.scale * (1 - 2 / np.pi))

    def entropy(self) -> Array:
        return self._per_batch(np.log(self.scale) + (HALF_LOG_HALF_PI + 0.5))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.halfnorm(scale=self.scale)


class HalfCauchy(Distribution):
    """Absolute value of a Cauchy(0, scale).

    Parameters
    ----------
    scale : (...) array_like, > 0
        Median.
    """

    parameters: ClassVar = {"scale": constraints.positive}
    support = constraints.nonnegative
    examples: ClassVar = [{"scale": 1.0}, {"scale": 5.0}, {"scale": [0.01, 100.0]}]

    def __init__(self, scale: Array) -> None:
        self.scale = as_array(scale)

    def logp(self, value: Array) -> Array:
        log_tail = -2.0 * np.log(np.hypot(1.0, value / self.scale))
        return unless(value < 0, log_tail - (np.log(self.scale) + LOG_HALF_PI), -np.inf)

    def _draw(self, rng, shape):
        return self.scale * np.abs(rng.standard_cauchy(shape))

    def cdf(self, value: Array) -> Array:
        return np.arctan(np.maximum(value, 0.0) / self.scale) * (2 / np.pi)

    def icdf(self, probability: Array) -> Array:
        p = _probability(probability)
        # the cotangent of what is left keeps the digits near 1, and gives inf at 1
        far = 1.0 / np.tan((0.5 * np.pi) * np.minimum(1 - p, 0.5))
        return self.scale * np.where(p < 0.5, np.tan((0.5 * np.pi) * np.minimum(p, 0.5)), far)

    @property
    def mean(self) -> Array:
        return self._full(np.inf)

    @property
    def variance(self) -> Array:
        return self._full(np.inf)

    def entropy(self) -> Array:
        return self._per_batch(np.log(self.scale) + np.log(2 * np.pi))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.halfcauchy(scale=self.scale)


class Exponential(Distribution):
    """Exponential distribution: density rate exp(-rate x).

    Parameters
    ----------
    rate : (...) array_like, > 0
        Inverse of the mean.
    """

    parameters: ClassVar = {"rate": constraints.positive}
    support = constraints.nonnegative
    examples: ClassVar = [{"rate": 1.0}, {"rate": 0.01}, {"rate": [0.5, 300.0]}]

    def __init__(self, rate: Array) -> None:
        self.rate = as_array(rate)

    def logp(self, value: Array) -> Array:
        return unless(value < 0, np.log(self.rate) - self.rate * value, -np.inf)

    def _draw(self, rng, shape):
        return rng.standard_exponential(shape) / self.rate

    def cdf(self, value: Array) -> Array:
        return -np.expm1(-self.rate * np.maximum(value, 0.0))

    def icdf(self, probability: Array) -> Array:
        return -np.log1p(-_probability(probability)) / self.rate

    @property
    def mean(self) -> Array:
        return self._full(1 / self.rate)

    @property
    def variance(self) -> Array:
        return self._full(1 / (self.rate * self.rate))

    def entropy(self) -> Array:
        return self._per_batch(1 - np.log(self.rate))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.expon(scale=1 / self.rate)


class Gamma(Distribution):
    """Gamma distribution: density rate^a x^(a-1) exp(-rate x) / Gamma(a), with a the concentration.

    Parameters
    ----------
    concentration : (...) array_like, > 0
        Shape; often called alpha.
    rate : (...) array_like, > 0
        Inverse scale; often called beta. The mean is ``concentration / rate``.
    """

    parameters: ClassVar = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    examples: ClassVar = [
        {"concentration": 2.5, "rate": 1.5},
        {"concentration": 0.3, "rate": 0.02},
        {"concentration": 40.0, "rate": 1000.0},
        {"concentration": [1.0, 7.0], "rate": [[2.0], [0.1]]},
    ]

    def __init__(self, concentration: Array, rate: Array) -> None:
        self.concentration, self.rate = as_array(concentration), as_array(rate)

    def logp(self, value: Array) -> Array:
        a = self.concentration
        outside = (value <= 0) | (value == np.inf)  # at inf the terms would cancel to NaN
        x = unless(outside, value, 1.0)
        constant = special.gammaln(a) - a * np.log(self.rate)
        return unless(outside, (a - 1) * np.log(x) - self.rate * x - constant, -np.inf)

    def _draw(self, rng, shape):
        return np.maximum(rng.standard_gamma(self.concentration, shape) / self.rate, SMALLEST)

    def cdf(self, value: Array) -> Array:
        return special.gammainc(self.concentration, self.rate * np.maximum(value, 0.0))

    def icdf(self, probability: Array) -> Array:
        return special.gammaincinv(self.concentration, _probability(probability)) / self.rate

    @property
    def mean(self) -> Array:
        return self._full(self.concentration / self.rate)

    @property
    def variance(self) -> Array:
        return self._full(self.concentration / (self.rate * self.rate))

    def entropy(self) -> Array:
        a = self.concentration
        return self._per_batch(a - np.log(self.rate) + special.gammaln(a) + (1 - a) * special.psi(a))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.gamma(self.concentration, scale=1 / self.rate)


class InverseGamma(Distribution):
    """Inverse of a Gamma variable: density scale^a x^(-a-1) exp(-scale / x) / Gamma(a), with a the concentration.

    Parameters
    ----------
    concentration : (...) array_like, > 0
        Shape; often called alpha. The mean exists above 1, the variance above 2.
    scale : (...) array_like, > 0
        Scale; often called beta.
    """

    parameters: ClassVar = {"concentration": constraints.positive, "scale": constraints.positive}
    support = constraints.positive
    examples: ClassVar = [
        {"concentration": 3.5, "scale": 2.0},
        {"concentration": 0.8, "scale": 0.1},
        {"concentration": 25.0, "scale": 300.0},
        {"concentration": [1.5, 9.0], "scale": [[2.0], [0.1]]},
    ]

    def __init__(self, concentration: Array, scale: Array) -> None:
        self.concentration, self.scale = as_array(concentration), as_array(scale)

    def logp(self, value: Array) -> Array:
        a = self.concentration
        outside = value <= 0
        x = unless(outside, value, 1.0)
        constant = special.gammaln(a) - a * np.log(self.scale)
        return unless(outside, -(a + 1) * np.log(x) - self.scale / x - constant, -np.inf)

    def _draw(self, rng, shape):
        return self.scale / np.maximum(rng.standard_gamma(self.concentration, shape), SMALLEST)

    def cdf(self, value: Array) -> Array:
        x = as_array(value)
        above = x > 0
        return np.where(above, special.gammaincc(self.concentration, self.scale / np.where(above, x, 1.0)), 0.0)

    def icdf(self, probability: Array) -> Array:
        g = special.gammainccinv(self.concentration, _probability(probability))
        return self.scale * np.where(g > 0, 1 / np.where(g > 0, g, 1.0), np.where(np.isnan(g), np.nan, np.inf))

    @property
    def mean(self) -> Array:
        exists = self.concentration > 1
        return self._full(self.scale * np.where(exists, 1 / np.where(exists, self.concentration - 1, 1.0), np.inf))

    @property
    def variance(self) -> Array:
        a, exists = self.concentration, self.concentration > 2
        return self._full(
            self.scale * self.scale * np.where(exists, 1 / np.where(exists, (a - 1) * (a - 1) * (a - 2), 1.0), np.inf)
        )

    def entropy(self) -> Array:
        a = self.concentration
        return self._per_batch(a + np.log(self.scale) + special.gammaln(a) - (1 + a) * special.psi(a))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.invgamma(self.concentration, scale=self.scale)


class LogNormal(Distribution):
    """Exponential of a Normal(loc, scale).

    Parameters
    ----------
    loc : (...) array_like
        Mean of the logarithm.
    scale : (...) array_like, > 0
        Standard deviation of the logarithm.
    """

    parameters: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    examples: ClassVar = [
        {"loc": 0.0, "scale": 1.0},
        {"loc": -4.0, "scale": 0.1},
        {"loc": [0.5, 3.0], "scale": [[0.7], [0.4]]},
    ]

    def __init__(self, loc: Array, scale: Array) -> None:
        self.loc, self.scale = as_array(loc), as_array(scale)

    def logp(self, value: Array) -> Array:
        outside = value <= 0
        log_x = np.log(unless(outside, value, 1.0))
        z = (log_x - self.loc) / self.scale
        return unless(outside, -0.5 * z * z - log_x - (np.log(self.scale) + HALF_LOG_2PI), -np.inf)

    def _draw(self, rng, shape):
        return np.exp(self.loc + self.scale * rng.standard_normal(shape))

    def cdf(self, value: Array) -> Array:
        x = as_array(value)
        above = x > 0
        return np.where(above, special.ndtr((np.log(np.where(above, x, 1.0)) - self.loc) / self.scale), 0.0)

    def icdf(self, probability: Array) -> Array:
        return np.exp(self.loc + self.scale * special.ndtri(probability))

    @property
    def mean(self) -> Array:
        return self._full(np.exp(self.loc + 0.5 * self.scale * self.scale))

    @property
    def variance(self) -> Array:
        squared = self.scale * self.scale
        return self._full(np.expm1(squared) * np.exp(2 * self.loc + squared))

    def entropy(self) -> Array:
        return self._per_batch(self.loc + np.log(self.scale) + (HALF_LOG_2PI + 0.5))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.lognorm(self.scale, scale=np.exp(self.loc))


def _probability(p):
    """A probability as an array, NaN outside [0, 1]."""
    p = as_array(p)
    return np.where((p >= 0) & (p <= 1), p, np.nan)
