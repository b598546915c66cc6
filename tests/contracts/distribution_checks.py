"""What every distribution must satisfy: one function per clause, each taking the class and an example's parameters.

`test_distributions` runs them over the registry. They raise AssertionError, so that planted bugs can be shown to fail.
"""

from __future__ import annotations

import itertools
import math

import mpmath as mp
import numpy as np
from scipy import integrate, stats

from probad.ad import jvp, value_and_grad
from probad.dist import constraints
from probad.dist.base import Distribution
from tests.dist.oracles import LOG_DENSITIES

DENSITY = 1e-12  # relative to the larger of 1 and the log density
GRADIENT = 1e-9
PROBABILITIES = [1e-10, 1e-4, 0.05, 0.3, 0.5, 0.8, 0.99, 1 - 1e-6]
# Where SciPy's answer is not the oracle, and what is.
SCIPY_IS_WRONG = {
    ("StudentT", "mean"): "SciPy gives inf for df <= 1, where the mean is undefined: see tests/dist/test_families.py",
}
N_SIGMA = 5.0  # for Monte Carlo: the seeds are fixed, so this is a bound, not a rate of false alarms


# --- taking examples apart ------------------------------------------------------------------------------------------
def elements(distribution: Distribution):
    """The batch elements of a distribution as distributions of their own, with their index."""
    shape = distribution.batch_shape
    for index in np.ndindex(shape):
        parameters = {}
        for name, value in distribution.given().items():
            n_event = distribution.parameters[name].event_ndim
            event = np.shape(value)[np.ndim(value) - n_event :]
            parameters[name] = np.broadcast_to(value, shape + event)[index]
        yield index, type(distribution)(**parameters)


def points(element: Distribution) -> np.ndarray:
    """Values of one batch element to look at: the bulk and both tails."""
    cls, rng = type(element), np.random.default_rng(5)
    if cls.__name__ == "Categorical":
        return np.arange(int(element.support.upper) + 1)
    if cls.icdf is Distribution.icdf:
        return element.sample(rng, (8,))
    x = np.asarray(element.icdf(np.array(PROBABILITIES)))
    if element.discrete:
        far = np.minimum(3 * x[-1] + 10, getattr(element.support, "upper", np.inf))
        return np.unique(np.append(x, far)).astype(np.int64)
    middle, spread = element.icdf(0.5), element.icdf(0.75) - element.icdf(0.25)
    far = middle + spread * np.array([-1e4, -25.0, 25.0, 1e4])
    return np.append(x, far[element.support.contains(far)])


def _exactly(x):
    """A float array as nested lists of mpmath numbers with the same value."""
    return [_exactly(v) for v in x] if np.ndim(x) else mp.mpf(float(x))


def oracle(element: Distribution, x, digits: int = 50) -> float:
    """The log density in 50 digits, rounded once."""
    with mp.workdps(digits):
        parameters = {name: _exactly(value) for name, value in element.given().items()}
        return float(LOG_DENSITIES[_name(element)](_exactly(x), **parameters))


def _name(element: Distribution) -> str:
    return type(element).__name__.lstrip("_")


def _close(found, expected, tolerance: float, what: str) -> None:
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        near = np.abs(found - expected) <= tolerance * np.maximum(1.0, np.abs(expected))
    assert np.all(same | near), f"{what}: {found} is not {expected}"


# --- density --------------------------------------------------------------------------------------------------------
def check_density(distribution: Distribution) -> None:
    """Log density against 50 digits, in the bulk and far out."""
    for _, element in elements(distribution):
        for x in points(element):
            _close(element.log_prob(x), oracle(element, x), DENSITY, f"log density of {element!r} at {x}")


def check_scipy_density(distribution: Distribution) -> None:
    """Log density against SciPy, which shows that the twin is parametrised alike; SciPy itself loses digits."""
    twin = distribution.scipy_twin()
    x = distribution.sample(np.random.default_rng(6), (5,))
    logp = twin.logpmf if distribution.discrete else twin.logpdf
    expected = [logp(v) for v in x] if distribution.event_ndim else logp(x)
    _close(distribution.log_prob(x), expected, 1e-9, f"{distribution!r} against SciPy")


def check_total(distribution: Distribution) -> None:
    """The density integrates, or the probabilities sum, to 1."""
    for _, element in elements(distribution):
        if element.discrete:
            total, error = _sum(element), 1e-10
        elif element.event_ndim == 0:
            total, error = _quadrature(element), 1e-8
        else:
            total, error = _volume(element)
        assert abs(total - 1) <= error, f"{element!r} integrates to {total}, not 1 (error {error:.1e})"


def _sum(element: Distribution) -> float:
    upper = getattr(element.support, "upper", None)
    last = int(element.icdf(1 - 1e-14) if upper is None else upper)
    return math.fsum(np.exp(element.log_prob(np.arange(last + 1))))


def _transformed(element: Distribution):
    """Density of the unconstrained value."""
    bijector = element.support.bijector()

    def density(z):
        with np.errstate(all="ignore"):
            x = bijector.forward(z)
            return np.exp(element.logp(x) + bijector.log_det(z, x))

    return density


def _quadrature(element: Distribution) -> float:
    """Adaptive quadrature over the unconstrained line, split at quantiles."""
    density = _transformed(element)
    inner = element.support.bijector().inverse(np.asarray(element.icdf(np.array([1e-3, 0.2, 0.5, 0.8, 0.999]))))
    cuts = [-np.inf, *inner, np.inf]
    return sum(
        integrate.quad(lambda z: density(np.float64(z)), a, b, epsabs=1e-10, epsrel=1e-9, limit=200)[0]
        for a, b in itertools.pairwise(cuts)
    )


def _volume(element: Distribution) -> tuple[float, float]:
    """Integral over unconstrained vectors: trapezoidal rule up to two axes, importance sampling beyond."""
    rng = np.random.default_rng(7)
    density = _transformed(element)
    z = element.support.bijector().inverse(element.sample(rng, (4000,)))
    centre, covariance, n = z.mean(0), np.atleast_2d(np.cov(z.T)), z.shape[-1]
    factor = np.linalg.cholesky(covariance)
    if n <= 2:  # smooth and decaying, so that the rule converges faster than any power of the step
        axis = np.linspace(-25, 25, 4001) if n == 1 else np.linspace(-14, 14, 561)
        grid = np.stack(np.meshgrid(*[axis] * n, indexing="ij"), axis=-1).reshape(-1, n)
        total = np.sum(density(centre + grid @ factor.T)) * (axis[1] - axis[0]) ** n * np.prod(np.diag(factor))
        return float(total), 1e-6
    proposal = stats.multivariate_t(centre, covariance, df=6, seed=rng)
    draws = proposal.rvs(60_000)
    ratio = density(draws) / proposal.pdf(draws)
    error = float(np.std(ratio) / np.sqrt(len(ratio)))
    assert error < 0.01, f"importance sampling of {element!r} is too noisy to say anything: {error}"
    return float(np.mean(ratio)), N_SIGMA * error


# --- derivatives ----------------------------------------------------------------------------------------------------
def check_gradients(distribution: Distribution) -> None:
    """Derivatives by value and by each parameter, in both modes, against derivatives of the 50-digit oracle."""
    for _, element in elements(distribution):
        x = points(element)
        for value in x[:: max(1, len(x) // 4)]:
            _check_gradients_at(element, value)


def _check_gradients_at(element: Distribution, value) -> None:
    names, arguments = list(element.given()), [np.asarray(p, dtype=float) for p in element.given().values()]
    smooth = [i for i, name in enumerate(names) if not element.parameters[name].discrete]
    if not element.discrete:
        names, arguments, smooth = (
            [*names, "value"],
            [*arguments, np.asarray(value, dtype=float)],
            [*smooth, len(names)],
        )

    def logp(*args):
        parameters = dict(zip(names, args, strict=True))
        return type(element)(**{k: v for k, v in parameters.items() if k != "value"}).logp(
            parameters.get("value", value)
        )

    _, gradients = value_and_grad(logp, tuple(smooth))(*arguments)
    for i, gradient in zip(smooth, gradients, strict=True):
        for place in np.ndindex(arguments[i].shape):
            what = f"d logp / d {names[i]}{list(place) if place else ''} of {element!r} at {value}"
            expected = _oracle_derivative(element, names, arguments, i, place, value)
            _close(gradient[place] if place else gradient, expected, GRADIENT, what)
            direction = [np.zeros(a.shape) for a in arguments]
            direction[i][place] = 1.0
            _close(jvp(logp, tuple(arguments), tuple(direction))[1], expected, GRADIENT, f"{what}, forward mode")


def _oracle_derivative(element, names, arguments, i, place, value) -> float:
    if names[i] == "scale_tril" and place[0] < place[1]:
        return 0.0  # the upper triangle is not read
    with mp.workdps(50):

        def along(t):
            exact = dict(zip(names, (_exactly(a) for a in arguments), strict=True))
            exact[names[i]] = _moved(exact[names[i]], place, t)
            return LOG_DENSITIES[_name(element)](exact.pop("value", _exactly(value)), **exact)

        step = mp.mpf(10) ** -12 * (abs(_exactly(arguments[i][place])) or 1)
        # five-point rule with a tiny step: in 50 digits the error is some 1e-24 relative
        difference = 8 * (along(step) - along(-step)) - (along(2 * step) - along(-2 * step))
        return float(difference / (12 * step))


def _moved(x, place, t):
    """`x` with one entry moved by `t`."""
    if not place:
        return x + t
    return [_moved(v, place[1:], t) if k == place[0] else v for k, v in enumerate(x)]


def check_gradient_outside(distribution: Distribution) -> None:
    """Outside the support the log density is -inf and no derivative is NaN."""
    names = list(distribution.given())
    smooth = [i for i, name in enumerate(names) if not distribution.parameters[name].discrete]
    arguments = [np.asarray(p, dtype=float) for p in distribution.given().values()]
    for x in outside(distribution):
        assert np.all(distribution.log_prob(x) == -np.inf), f"{distribution!r} at {x}: {distribution.log_prob(x)}"
        if not np.all(np.isfinite(x)):
            continue

        def total(value, *parameters):
            with np.errstate(all="ignore"):
                return np.sum(type(distribution)(**dict(zip(names, parameters, strict=True))).logp(value))

        numbers = [i + 1 for i in smooth] + ([] if distribution.discrete else [0])
        _, gradients = value_and_grad(total, numbers)(x, *arguments)
        assert all(np.all(np.isfinite(g)) for g in gradients), f"{distribution!r} at {x}: gradient {gradients}"


def outside(distribution: Distribution) -> list[np.ndarray]:
    """Values that no batch element can produce."""
    if distribution.event_ndim == 0:
        candidates = np.array([-np.inf, -1e300, -2.0, -1.0, -1e-9, 0.0, 0.5, 1.0, 1 + 1e-9, 3.0, 1e300, np.inf])
        return [x for x in candidates if not np.any(distribution.support.contains(x))]
    if isinstance(distribution.support, constraints.Simplex):
        n = distribution.event_shape[-1]
        below, face = np.full(n, 1.1 / (n - 1)), np.full(n, 1 / (n - 1))
        below[0], face[0] = -0.1, 0.0
        return [below, face]
    return []


# --- samples --------------------------------------------------------------------------------------------------------
def check_samples(distribution: Distribution, n: int = 4000) -> None:
    """Draws follow the cdf (Kolmogorov-Smirnov) or the probabilities (chi-square)."""
    draws = distribution.sample(np.random.default_rng(8), (n,))
    for index, element in elements(distribution):
        x = draws[(slice(None), *index)]
        if element.discrete:
            p_value = _chi_square(element, x)
        else:
            p_value = stats.kstest(element.cdf(x), "uniform").pvalue
        assert p_value > 1e-4, f"draws of {element!r} do not follow its distribution: p = {p_value:.1e}"


def _chi_square(element: Distribution, x) -> float:
    """Pearson's test, with cells pooled from the left until each expects at least 10 draws."""
    expected = len(x) * np.exp(element.log_prob(np.arange(int(x.max()) + 1)))
    counts = np.bincount(x, minlength=len(expected))
    cells, edges = [], 0.0
    for e, c in zip(expected, counts, strict=True):
        if cells and cells[-1][0] < 10:
            cells[-1] = (cells[-1][0] + e, cells[-1][1] + c)
        else:
            cells.append((e, c))
        edges += e
    cells.append((len(x) - edges, 0.0))
    while len(cells) > 1 and cells[-1][0] < 10:
        last = cells.pop()
        cells[-1] = (cells[-1][0] + last[0], cells[-1][1] + last[1])
    e, c = np.array(cells).T
    return float(stats.chi2.sf(np.sum((c - e) ** 2 / e), len(e) - 1)) if len(e) > 1 else 1.0


def check_samples_by_entropy(distribution: Distribution, n: int = 4000) -> None:
    """The mean of -log density over draws is the entropy: a mismatch of sampler and density moves it."""
    surprise = -distribution.log_prob(distribution.sample(np.random.default_rng(9), (n,)))
    error, entropy = np.std(surprise, axis=0) / np.sqrt(n), distribution.entropy()
    error = np.where(error < 1e-6, np.sqrt(np.abs(entropy) / n), error)  # no draw was of the rare kind
    gap = np.abs(np.mean(surprise, axis=0) - entropy)
    assert np.all(gap <= N_SIGMA * error + 1e-12), f"entropy of {distribution!r}: off by {gap}, error {error}"


def check_sample_moments(distribution: Distribution, n: int = 20_000) -> None:
    """Mean and variance of draws, where the fourth moment of the draws makes the comparison sensible."""
    x = distribution.sample(np.random.default_rng(10), (n,))
    mean, variance = distribution.mean, distribution.variance
    usable = np.isfinite(variance)
    error = np.sqrt(np.where(usable, variance, 0.0) / n)
    gap = np.abs(np.mean(x, axis=0) - np.where(usable, mean, 0.0))
    assert np.all(~usable | (gap <= N_SIGMA * error)), f"mean of {distribution!r}: off by {gap}, error {error}"
    centred = (x - np.mean(x, axis=0)) ** 2
    spread = np.std(centred, axis=0) / np.sqrt(n)
    light = usable & (spread > 0) & (np.mean(centred**2, axis=0) < 30 * np.where(usable, variance, 1.0) ** 2)
    gap = np.abs(np.mean(centred, axis=0) - np.where(usable, variance, 0.0))
    assert np.all(~light | (gap <= N_SIGMA * spread)), f"variance of {distribution!r}: off by {gap}, error {spread}"


# --- cdf, moments ---------------------------------------------------------------------------------------------------
def check_cdf(distribution: Distribution) -> None:
    """cdf and icdf are inverse, monotone, end at 0 and 1, and agree with SciPy."""
    twin = distribution.scipy_twin()
    for x, limit in ((-np.inf, 0.0), (np.inf, 1.0)):
        _close(distribution.cdf(np.float64(x)), limit, 0.0, f"cdf of {distribution!r} at {x}")
    for p in (-0.1, 1.1, np.nan):
        assert np.all(np.isnan(distribution.icdf(np.float64(p)))), f"icdf of {distribution!r} at {p}"
    trailing = (1,) * len(distribution.batch_shape)
    p = np.array(PROBABILITIES).reshape(-1, *trailing)
    x = distribution.icdf(p)
    assert np.all(np.diff(x, axis=0) >= 0), f"icdf of {distribution!r} is not monotone"
    back = distribution.cdf(x)
    _close(x, twin.ppf(p), 1e-9, f"icdf of {distribution!r} against SciPy")
    _relative(back, twin.cdf(x), 1e-9, f"cdf of {distribution!r} against SciPy")
    if distribution.discrete:
        assert np.all(back >= p), f"icdf of {distribution!r} stops too early"
        assert np.all(distribution.cdf(x - 1) < p), f"icdf of {distribution!r} stops too late"
        between = distribution.cdf(x + 0.5)
        _close(between, back, 0.0, f"cdf of {distribution!r} between integers")
    else:
        rounding = np.exp(distribution.log_prob(x)) * np.spacing(np.abs(x))  # of x itself
        _relative(back, np.broadcast_to(p, back.shape), 1e-9, f"cdf(icdf(p)) of {distribution!r}", slack=rounding)


def _relative(found, expected, tolerance: float, what: str, slack=0.0) -> None:
    """Relative agreement, from whichever end of [0, 1] is nearer."""
    room = np.minimum(np.abs(expected), np.abs(1 - expected) + 1e-7)
    assert np.all(np.abs(found - expected) <= tolerance * room + slack + 1e-15), f"{what}: {found} is not {expected}"


def check_moments(distribution: Distribution) -> None:
    """Mean, variance and entropy against SciPy, of full shape."""
    twin = distribution.scipy_twin()
    covariance_like = distribution.event_ndim == 1
    for what in ("mean", "variance"):
        if type(distribution).__dict__.get(what) is None:
            continue
        found = getattr(distribution, what)
        assert np.shape(found) == distribution.shape, f"{what} of {distribution!r} has shape {np.shape(found)}"
        if twin is not None and (_name(distribution), what) not in SCIPY_IS_WRONG:
            _close(found, _scipy_moment(twin, what, covariance_like), 1e-10, f"{what} of {distribution!r}")
    if type(distribution).entropy is not Distribution.entropy:
        found = distribution.entropy()
        assert np.shape(found) == distribution.batch_shape, f"entropy of {distribution!r} has shape {np.shape(found)}"
        if twin is not None:
            _close(found, twin.entropy(), 1e-10, f"entropy of {distribution!r}")


def _scipy_moment(twin, what: str, is_vector: bool):
    if is_vector and hasattr(twin, "cov_object"):
        return twin.mean if what == "mean" else np.diag(twin.cov)
    return twin.mean() if what == "mean" else twin.var()
