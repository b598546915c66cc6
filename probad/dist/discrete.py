"""Distributions on integers: Bernoulli, Binomial, Poisson, NegativeBinomial, Categorical.

Most take either a probability (or rate) or its logit (or logarithm). The second form is exact far out, where the
first has rounded to 0 or 1; pass it when that is what the model computes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from probad.dist import constraints
from probad.dist.base import Array, Distribution, unless
from probad.numerics import as_array, logsumexp, softmax
from probad.scipy_special import special


def _trials_logp(n_yes, n_no, probs, logits):
    """log(p^n_yes (1-p)^n_no), from a probability or from its logit; neither form cancels or meets 0 times inf."""
    if logits is None:
        return special.xlogy(n_yes, probs) + special.xlog1py(n_no, -probs)
    return n_yes * special.log_expit(logits) + n_no * special.log_expit(-logits)


def _no_count(value):
    """Where a value is not one of 0, 1, 2, ..."""
    return (value < 0) | (value == np.inf) | (value != np.floor(value))


class _Counts(Distribution):
    """What distributions of counts share: integer arguments, and quantiles by search of the cdf."""

    discrete = True

    def icdf(self, probability: Array) -> Array:
        """Smallest integer k with cdf(k) >= probability, as a float; inf at 1 if the support has no end."""
        p = as_array(probability)
        shape = np.broadcast_shapes(p.shape, self.batch_shape)
        p = np.broadcast_to(p, shape)
        last = np.broadcast_to(getattr(self.support, "upper", np.inf), shape)
        low, high = np.full(shape, -1.0), np.minimum(np.ones(shape), last)
        while (short := (self.cdf(high) < p) & (high < last) & (high < 2.0**60)).any():
            low, high = np.where(short, high, low), np.where(short, np.minimum(2 * high, last), high)
        while (wide := high - low > 1).any():  # cdf(low) < p <= cdf(high)
            middle = np.floor(0.5 * (low + high))
            enough = self.cdf(middle) >= p
            low, high = np.where(wide & ~enough, middle, low), np.where(wide & enough, middle, high)
        return np.where(p == 1, last, np.where((p >= 0) & (p < 1), high, np.nan))


class _Trials(_Counts):
    """Counts made of trials with one probability of success, given as `probs` or `logits`."""

    probs = None
    logits = None

    def _p(self):
        return special.expit(self.logits) if self.probs is None else self.probs

    def _q(self):
        return special.expit(-self.logits) if self.probs is None else 1 - self.probs


class Bernoulli(_Trials):
    """A 1 with probability p, else a 0.

    Parameters
    ----------
    probs : (...) array_like, in [0, 1]
        Probability of a 1. Give this or `logits`.
    logits : (...) array_like
        log(p / (1 - p)).
    """

    parameters: ClassVar = {"probs": constraints.unit_interval, "logits": constraints.real}
    alternatives = (("probs",), ("logits",))
    support = constraints.boolean
    examples: ClassVar = [
        {"probs": 0.3},
        {"logits": -2.0},
        {"probs": [0.01, 0.99999]},
        {"logits": [[30.0], [-0.5]]},
    ]

    def __init__(self, probs: Array | None = None, logits: Array | None = None) -> None:
        if (probs is None) == (logits is None):
            raise self._wrong_alternative({"probs": probs, "logits": logits})
        self.probs = None if probs is None else as_array(probs)
        self.logits = None if logits is None else as_array(logits)

    def logp(self, value: Array) -> Array:
        outside = (value != 0) & (value != 1)
        k = unless(outside, value, 0.0)
        if self.logits is not None:
            return unless(outside, special.log_expit((2.0 * k - 1.0) * self.logits), -np.inf)
        return unless(outside, _trials_logp(k, 1.0 - k, self.probs, None), -np.inf)

    def _draw(self, rng, shape):
        return (rng.random(shape) < self._p()).astype(np.int64)

    def cdf(self, value: Array) -> Array:
        return np.where(value < 0, 0.0, np.where(value < 1, self._q(), 1.0))

    def icdf(self, probability: Array) -> Array:
        p = as_array(probability)
        return np.where((p >= 0) & (p <= 1), np.where(p <= self._q(), 0.0, 1.0), np.nan)

    @property
    def mean(self) -> Array:
        return self._full(self._p())

    @property
    def variance(self) -> Array:
        return self._full(self._p() * self._q())

    def entropy(self) -> Array:
        p, q = self._p(), self._q()
        return self._per_batch(-_trials_logp(p, q, self.probs, self.logits))

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.bernoulli(self._p())


class Binomial(_Trials):
    """Number of successes in `total_count` independent trials.

    Parameters
    ----------
    total_count : (...) array_like of int, >= 0
        Number of trials.
    probs : (...) array_like, in [0, 1]
        Probability of a success. Give this or `logits`.
    logits : (...) array_like
        log(p / (1 - p)).
    """

    parameters: ClassVar = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    alternatives = (("total_count", "probs"), ("total_count", "logits"))
    examples: ClassVar = [
        {"total_count": 10, "probs": 0.3},
        {"total_count": 25, "logits": 1.5},
        {"total_count": 1000, "probs": 0.002},
        {"total_count": [5, 80], "logits": [[-0.4], [3.0]]},
    ]

    def __init__(self, total_count: Array, probs: Array | None = None, logits: Array | None = None) -> None:
        if (probs is None) == (logits is None):
            raise self._wrong_alternative({"total_count": total_count, "probs": probs, "logits": logits})
        self.total_count = as_array(total_count)
        self.probs = None if probs is None else as_array(probs)
        self.logits = None if logits is None else as_array(logits)

    @property
    def support(self) -> constraints.Constraint:
        """0, 1, ..., total_count."""
        return constraints.IntegerInterval(0, self.total_count, names=(None, "total_count"))

    def logp(self, value: Array) -> Array:
        n = self.total_count
        outside = (value < 0) | (value > n) | (value != np.floor(value))
        k = unless(outside, value, 0.0)
        # the binomial coefficient by the beta function: three gammaln would cancel for large n
        log_choose = -special.betaln(n - k + 1.0, k + 1.0) - np.log(n + 1.0)
        return unless(outside, _trials_logp(k, n - k, self.probs, self.logits) + log_choose, -np.inf)

    def _draw(self, rng, shape):
        return rng.binomial(self.total_count, self._p(), shape)

    def cdf(self, value: Array) -> Array:
        n = self.total_count
        k = np.floor(value)
        inside = (k >= 0) & (k < n)
        k = np.where(inside, k, 0.0)
        below = special.betaincc(k + 1.0, np.maximum(n - k, 1.0), self._p())
        return np.where(inside, below, np.where(np.floor(value) < 0, 0.0, 1.0))

    @property
    def mean(self) -> Array:
        return self._full(self.total_count * self._p())

    @property
    def variance(self) -> Array:
        return self._full(self.total_count * self._p() * self._q())

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.binom(self.total_count, self._p())


class Poisson(_Counts):
    """Poisson distribution: probability rate^k exp(-rate) / k!.

    Parameters
    ----------
    rate : (...) array_like, > 0
        Mean. Give this or `log_rate`.
    log_rate : (...) array_like
        Logarithm of the mean, as in a regression with a log link.
    """

    parameters: ClassVar = {"rate": constraints.positive, "log_rate": constraints.real}
    alternatives = (("rate",), ("log_rate",))
    support = constraints.nonnegative_integer
    examples: ClassVar = [{"rate": 3.5}, {"rate": 0.01}, {"log_rate": 4.0}, {"rate": [1.0, 60.0]}]

    def __init__(self, rate: Array | None = None, log_rate: Array | None = None) -> None:
        if (rate is None) == (log_rate is None):
            raise self._wrong_alternative({"rate": rate, "log_rate": log_rate})
        self.rate = None if rate is None else as_array(rate)
        self.log_rate = None if log_rate is None else as_array(log_rate)

    def logp(self, value: Array) -> Array:
        outside = _no_count(value)
        k = unless(outside, value, 0.0)
        if self.rate is None:
            kernel = k * self.log_rate - np.exp(self.log_rate)
        else:
            kernel = special.xlogy(k, self.rate) - self.rate
        return unless(outside, kernel - special.gammaln(k + 1.0), -np.inf)

    def _rate(self):
        return np.exp(self.log_rate) if self.rate is None else self.rate

    def _draw(self, rng, shape):
        return rng.poisson(self._rate(), shape)

    def cdf(self, value: Array) -> Array:
        k = np.floor(value)
        return np.where(k < 0, 0.0, special.gammaincc(np.maximum(k, 0.0) + 1.0, self._rate()))

    @property
    def mean(self) -> Array:
        return self._full(self._rate())

    @property
    def variance(self) -> Array:
        return self._full(self._rate())

    def scipy_twin(self) -> Any:
        from scipy import stats

        return stats.poisson(self._rate())


class NegativeBinomial(_Counts):
    """Counts with more spread than Poisson: a Poisson whose rate is Gamma distributed.

    Three parametrisations: ``(mu, alpha)``, mean and dispersion, with variance ``mu + mu^2 / alpha`` (Stan's
    neg_binomial_2, PyMC's mu and alpha); ``(log_mu, alpha)``, the same for a regression with a log link; and
    ``(n_successes, probs)`` or ``(n_successes, logits)``, the number of failures before that many successes.

    Beware that `probs` is the probability of a *success*, as in SciPy and PyMC. NumPyro and PyTorch call
    ``total_count`` what is `n_successes` here, and their `probs` is ``1 - probs``.

    Parameters
    ----------
    mu : (...) array_like, > 0
        Mean.
    alpha : (...) array_like, > 0
        Dispersion: as it grows the distribution becomes Poisson.
    log_mu : (...) array_like
        Logarithm of the mean.
    n_successes : (...) array_like, > 0
        Number of successes to wait for; need not be an integer.
    probs : (...) array_like, in [0, 1]
        Probability of a success in one trial.
    logits : (...) array_like
        log(p / (1 - p)).
    """

    parameters: ClassVar = {
        "mu": constraints.positive,
        "alpha": constraints.positive,
        "log_mu": constraints.real,
        "n_successes": constraints.positive,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    alternatives = (("mu", "alpha"), ("log_mu", "alpha"), ("n_successes", "probs"), ("n_successes", "logits"))
    support = constraints.nonnegative_integer
    examples: ClassVar = [
        {"mu": 4.0, "alpha": 2.0},
        {"mu": 30.0, "alpha": 0.5},
        {"log_mu": 1.0, "alpha": 15.0},
        {"n_successes": 3.0, "probs": 0.4},
        {"n_successes": 7.5, "logits": -1.0},
        {"mu": [0.5, 20.0], "alpha": [[3.0], [100.0]]},
    ]

    def __init__(
        self,
        mu: Array | None = None,
        alpha: Array | None = None,
        *,
        log_mu: Array | None = None,
        n_successes: Array | None = None,
        probs: Array | None = None,
        logits: Array | None = None,
    ) -> None:
        by_mean = alpha is not None and (mu is None) != (log_mu is None)
        by_trials = n_successes is not None and (probs is None) != (logits is None)
        strangers = (n_successes, probs, logits) if by_mean else (mu, alpha, log_mu)
        if by_mean == by_trials or any(p is not None for p in strangers):
            raise self._wrong_alternative(
                {"mu": mu, "alpha": alpha, "log_mu": log_mu, "n_successes": n_successes, "probs": probs,
                 "logits": logits}
            )  # fmt: skip
        self.mu = None if mu is None else as_array(mu)
        self.alpha = None if alpha is None else as_array(alpha)
        self.log_mu = None if log_mu is None else as_array(log_mu)
        self.n_successes = None if n_successes is None else as_array(n_successes)
        self.probs = None if probs is None else as_array(probs)
        self.logits = None if logits is None else as_array(logits)

    def logp(self, value: Array) -> Array:
        outside = _no_count(value)
        k = unless(outside, value, 0.0)
        n = self._n()
        if self.mu is not None:  # p = n / (n + mu), written so that nothing cancels in the Poisson limit of large n
            kernel = -n * np.log1p(self.mu / n) - special.xlog1py(k, n / self.mu)
        else:
            logits = np.log(n) - self.log_mu if self.log_mu is not None else self.logits
            kernel = _trials_logp(n, k, self.probs, logits)
        # Gamma(k + n) / (k! Gamma(n)) = 1 / ((n + k) B(n, k + 1)); a difference of gammaln would cancel for large n
        return unless(outside, kernel - special.betaln(n, k + 1.0) - np.log(n + k), -np.inf)

    def _n(self):
        return self.alpha if self.n_successes is None else self.n_successes

    def _mean(self):
        if self.mu is not None:
            return self.mu
        if self.log_mu is not None:
            return np.exp(self.log_mu)
        odds_of_failure = np.exp(-self.logits) if self.probs is None else (1 - self.probs) / self.probs
        return self.n_successes * odds_of_failure

    def _draw(self, rng, shape):
        n = self._n()
        return rng.poisson(self._mean() / n * rng.standard_gamma(n, shape))

    def cdf(self, value: Array) -> Array:
        k = np.floor(value)
        n, mean = self._n(), self._mean()
        return np.where(k < 0, 0.0, special.betainc(n, np.maximum(k, 0.0) + 1.0, n / (n + mean)))

    @property
    def mean(self) -> Array:
        return self._full(self._mean())

    @property
    def variance(self) -> Array:
        mean = self._mean()
        return self._full(mean + mean * mean / self._n())

    def scipy_twin(self) -> Any:
        from scipy import stats

        n = self._n()
        return stats.nbinom(n, n / (n + self._mean()))


class Categorical(Distribution):
    """One of the categories 0, 1, ..., K - 1.

    Parameters
    ----------
    probs : (..., K) array_like, a simplex along the last axis
        Probabilities. Give this or `logits`.
    logits : (..., K) array_like
        Logarithms of the probabilities up to a constant.
    """

    parameters: ClassVar = {"probs": constraints.simplex, "logits": constraints.real_vector}
    alternatives = (("probs",), ("logits",))
    discrete = True
    examples: ClassVar = [
        {"probs": [0.2, 0.5, 0.3]},
        {"logits": [0.0, -3.0, 2.0, 1.0]},
        {"probs": [[0.5, 0.5], [0.9, 0.1], [1e-5, 1 - 1e-5]]},
        {"logits": [[[1.0, 2.0, 3.0]], [[-50.0, 0.0, 50.0]]]},
    ]

    def __init__(self, probs: Array | None = None, logits: Array | None = None) -> None:
        if (probs is None) == (logits is None):
            raise self._wrong_alternative({"probs": probs, "logits": logits})
        self.probs = None if probs is None else as_array(probs)
        self.logits = None if logits is None else as_array(logits)

    @property
    def _weights(self):
        return self.logits if self.probs is None else self.probs

    @property
    def support(self) -> constraints.Constraint:
        """0, 1, ..., K - 1."""
        return constraints.IntegerInterval(0, self._weights.shape[-1] - 1)

    def logp(self, value: Array) -> Array:
        weights = self._weights
        outside = (value < 0) | (value >= weights.shape[-1]) | (value != np.floor(value))
        k = as_array(unless(outside, value, 0)).astype(np.int64)
        # one entry per batch element: open grid over the batch, category last
        batch = np.ogrid[tuple(slice(n) for n in weights.shape[:-1])] if weights.ndim > 1 else ()
        chosen = weights[(*batch, k)]
        if self.probs is None:
            return unless(outside, chosen - logsumexp(weights, axis=-1), -np.inf)
        return unless(outside, special.xlogy(1.0, chosen), -np.inf)  # -inf at 0, without NumPy's warning

    def _p(self):
        return softmax(self.logits, axis=-1) if self.probs is None else self.probs

    def _draw(self, rng, shape):
        total = np.cumsum(self._p(), axis=-1)
        return np.sum(rng.random(shape)[..., None] * total[..., -1:] >= total, axis=-1)

    def entropy(self) -> Array:
        return self._per_batch(np.sum(special.entr(self._p()), axis=-1))

    def scipy_twin(self) -> Any:
        if self.batch_shape:
            return None
        from scipy import stats

        p = self._p()
        return stats.rv_discrete(values=(np.arange(len(p)), p))
