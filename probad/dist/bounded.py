"""Distributions on an interval: Uniform and Beta."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from probad.dist import constraints
from probad.dist.base import Array, Distribution, unless
from probad.numerics import as_array
from probad.scipy_special import special

SMALLEST = float(np.finfo(np.float64).tiny)
BELOW_ONE = float(np.nextafter(1.0, 0.0))


class Uniform(Distribution):
    """Uniform distribution on [low, high].

    The support moves with the parameters, which may be latent: the unconstrained value is mapped between them.

    Parameters
    ----------
    low : (...) array_like
        Lower end.
    high : (...) array_like, > low
        Upper end.
    """

    parameters: ClassVar = {"low": constraints.real, "high": constraints.real}
    examples: ClassVar = [
        {"low": 0.0, "high": 1.0},
        {"low": -3.0, "high": 0.1},
        {"low": [0.0, -100.0], "high": [[0.5], [1e4]]},
    ]

    def __init__(self, low: Array, high: Array) -> None:
        self.low, self.high = as_array(low), as_array(high)

    @property
    def support(self) -> constraints.Constraint:
        """The interval between the parameters."""
        return constraints.Interval(self.low, self.high, names=("low", "high"))

    def parameter_constraint(self, name: str) -> constraints.Constraint:
        """`high` must be a finite number above `low`."""
        return constraints.GreaterThan(self.low, name="low") if name == "high" else self.parameters[name]

    def logp(self, value: Array) -> Array:
        inside = (value >= self.low) & (value <= self.high)
        return np.where(inside, -np.log(self.high - self.low), -np.inf)

    def _draw(self, rng, shape):
        return self.low + (self.high - self.low) * rng.random(shape)

    def cdf(self, value: Array) -> Array:
        return np.minimum(np.maximum((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def icdf(self, probability: Array) -> Array:
        p = as_array(probability)
        return np.where((p >= 0) & (p <= 1), self.low + (self.high - self.low) * p, np.nan)

    @property
    def mean(self) -> Array:
        return self._full(0.5 * (self.low + self.high))

    @property
    def variance(self) -> Array:
        width = self.high - self.low
        return self._full(width * width / 12)

    def entropy(self) -> Array:
        return self._per_batch(np.log(self.high - self.low))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.uniform(self.low, self.high - self.low)


class Beta(Distribution):
    """Beta distribution: density x^(alpha-1) (1 - x)^(beta-1) / B(alpha, beta).

    The ends 0 and 1 are outside the support: there the density is 0 or infinite but for alpha = 1 or beta = 1.

    Parameters
    ----------
    alpha, beta : (...) array_like, > 0
        Shapes. The mean is ``alpha / (alpha + beta)``.
    """

    parameters: ClassVar = {"alpha": constraints.positive, "beta": constraints.positive}
    support = constraints.open_unit_interval
    examples: ClassVar = [
        {"alpha": 2.0, "beta": 3.5},
        {"alpha": 0.5, "beta": 0.7},
        {"alpha": 30.0, "beta": 200.0},
        {"alpha": [1.0, 4.0], "beta": [[1.0], [6.0]]},
    ]

    def __init__(self, alpha: Array, beta: Array) -> None:
        self.alpha, self.beta = as_array(alpha), as_array(beta)

    def logp(self, value: Array) -> Array:
        outside = (value <= 0) | (value >= 1)
        x = unless(outside, value, 0.5)
        terms = (self.alpha - 1) * np.log(x) + (self.beta - 1) * np.log1p(-x)
        return unless(outside, terms - special.betaln(self.alpha, self.beta), -np.inf)

    def _draw(self, rng, shape):
        return np.minimum(np.maximum(rng.beta(self.alpha, self.beta, shape), SMALLEST), BELOW_ONE)

    def cdf(self, value: Array) -> Array:
        return special.betainc(self.alpha, self.beta, np.minimum(np.maximum(value, 0.0), 1.0))

    def icdf(self, probability: Array) -> Array:
        return special.betaincinv(self.alpha, self.beta, probability)

    @property
    def mean(self) -> Array:
        return self._full(self.alpha / (self.alpha + self.beta))

    @property
    def variance(self) -> Array:
        total = self.alpha + self.beta
        return self._full(self.alpha * self.beta / (total * total * (total + 1)))

    def entropy(self) -> Array:
        a, b = self.alpha, self.beta
        spread = (a + b - 2) * special.psi(a + b) - (a - 1) * special.psi(a) - (b - 1) * special.psi(b)
        return self._per_batch(special.betaln(a, b) + spread)

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.beta(self.alpha, self.beta)
