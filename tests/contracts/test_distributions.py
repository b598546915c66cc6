"""Every registered distribution, with every one of its examples, keeps the contract of `distribution_checks`."""

from __future__ import annotations

import numpy as np
import pytest

from probad import dist
from probad.ad import grad
from probad.dist import DISTRIBUTIONS, constraints
from probad.dist.base import Distribution
from probad.errors import ArgumentError, DataError, ModelError, ParameterError, ShapeError, UnsupportedFunctionError
from tests.contracts import distribution_checks as checks
from tests.dist.oracles import LOG_DENSITIES

# What a distribution does not have, and why. Anything else must exist and passes through the checks.
ABSENT = {
    "Binomial": {"entropy": "a sum without closed form"},
    "Poisson": {"entropy": "a series without closed form"},
    "NegativeBinomial": {"entropy": "a series without closed form"},
    "Categorical": dict.fromkeys(("cdf", "icdf", "mean", "variance"), "categories have names, not an order or a size"),
    "MvNormal": {"cdf": "an integral without closed form", "icdf": "no inverse in several dimensions"},
    "Dirichlet": {"cdf": "an integral without closed form", "icdf": "no inverse in several dimensions"},
}
OPTIONAL = ("cdf", "icdf", "mean", "variance", "entropy")

BUILT_IN = {name: cls for name, cls in DISTRIBUTIONS.items() if cls.__module__.startswith("probad.dist.")}
CLASSES = [pytest.param(cls, id=name) for name, cls in BUILT_IN.items()]
CASES = [pytest.param(cls(**p), id=f"{name}-{i}") for name, cls in BUILT_IN.items() for i, p in enumerate(cls.examples)]


def _lacks(distribution, *names) -> bool:
    return any(name in ABSENT.get(type(distribution).__name__, {}) for name in names)


def _only(predicate):
    return [case for case in CASES if predicate(case.values[0])]


# --- enrolment ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cls", CLASSES)
def test_enrolment(cls):
    assert cls.__name__ in LOG_DENSITIES, "write its log density in tests/dist/oracles.py"
    assert getattr(dist, cls.__name__) is cls, "export it from probad.dist"
    assert len(cls.examples) >= 3
    assert "Parameters\n" in cls.__doc__
    assert {name for example in cls.examples for name in example} == set(cls.parameters)
    assert any(cls(**example).batch_shape for example in cls.examples), "one example must be a batch"


@pytest.mark.parametrize("cls", CLASSES)
def test_what_is_absent_is_listed_and_says_so(cls):
    d = cls(**cls.examples[0])
    absent = ABSENT.get(cls.__name__, {})
    assert {name for name in OPTIONAL if getattr(cls, name) is getattr(Distribution, name)} == set(absent)
    calls = {"cdf": lambda: d.cdf(0.5), "icdf": lambda: d.icdf(0.5), "mean": lambda: d.mean,
             "variance": lambda: d.variance, "entropy": lambda: d.entropy()}  # fmt: skip
    for name in absent:
        with pytest.raises(UnsupportedFunctionError, match=f"{cls.__name__} has no {name}"):
            calls[name]()


# --- the numbers ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("d", CASES)
def test_log_density(d):
    checks.check_density(d)


@pytest.mark.parametrize("d", _only(lambda d: d.scipy_twin() is not None))
def test_log_density_of_scipy(d):
    checks.check_scipy_density(d)


def test_every_distribution_has_a_scipy_twin():
    assert {type(case.values[0]).__name__ for case in _only(lambda d: d.scipy_twin() is not None)} == set(BUILT_IN)


@pytest.mark.parametrize("d", CASES)
def test_total_probability(d):
    checks.check_total(d)


@pytest.mark.parametrize("d", CASES)
def test_gradients(d):
    checks.check_gradients(d)


@pytest.mark.parametrize("d", CASES)
def test_outside_the_support(d):
    checks.check_gradient_outside(d)


@pytest.mark.parametrize("d", _only(lambda d: not d.event_ndim))
def test_samples_follow_the_distribution(d):
    checks.check_samples(d)


@pytest.mark.parametrize("d", _only(lambda d: not _lacks(d, "entropy")))
def test_samples_and_density_agree_on_entropy(d):
    checks.check_samples_by_entropy(d)


@pytest.mark.parametrize("d", _only(lambda d: not _lacks(d, "mean", "variance")))
def test_moments_of_samples(d):
    checks.check_sample_moments(d)


@pytest.mark.parametrize("d", _only(lambda d: not _lacks(d, "cdf", "icdf")))
def test_cdf_and_quantiles(d):
    checks.check_cdf(d)


@pytest.mark.parametrize("d", CASES)
def test_moments(d):
    checks.check_moments(d)


# --- support and bijector -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("d", _only(lambda d: not d.discrete))
def test_bijector_maps_the_reals_into_the_support(d):
    bijector = d.support.bijector()
    shape = bijector.unconstrained_shape(d.shape)
    rng = np.random.default_rng(3)
    for size in (0.5, 3.0):
        z = size * rng.standard_normal((50, *shape))
        x = bijector.forward(z)
        assert x.shape == (50, *d.shape)
        assert np.all(d.support.contains(x))
        assert np.all(np.isfinite(d.logp(x) + bijector.log_det(z, x)))
    for far in (-40.0, 40.0):
        z = np.full(shape, far)
        with np.errstate(all="ignore"):
            x = bijector.forward(z)
            assert not np.any(np.isnan(d.logp(x) + bijector.log_det(z, x)))


@pytest.mark.parametrize("d", _only(lambda d: d.discrete))
def test_discrete_supports_have_no_bijector(d):
    with pytest.raises(ModelError, match="Sum it out"):
        d.support.bijector()


@pytest.mark.parametrize("d", CASES)
def test_samples_are_in_the_support(d):
    x = d.sample(np.random.default_rng(4), (100,))
    assert np.all(d.support.contains(x))
    d.check_value(x)
    assert x.dtype == (np.int64 if d.discrete else np.float64)


# --- shapes ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("d", CASES)
def test_shapes(d):
    rng = np.random.default_rng(2)
    assert d.shape == d.batch_shape + d.event_shape
    assert len(d.event_shape) == d.event_ndim
    for sample_shape in ((), (2,), (3, 1)):
        x = d.sample(rng, sample_shape)
        assert x.shape == sample_shape + d.shape
        assert np.shape(d.log_prob(x)) == sample_shape + d.batch_shape
    assert d.sample(rng, 4).shape == (4, *d.shape)


@pytest.mark.parametrize("d", CASES)
def test_broadcasting_equals_a_loop_over_the_batch(d):
    x = d.sample(np.random.default_rng(1), (3,))
    together = d.log_prob(x)
    for index, element in checks.elements(d):
        np.testing.assert_allclose(together[(slice(None), *index)], element.log_prob(x[(slice(None), *index)]), 1e-13)
    one = d.sample(np.random.default_rng(1))[(0,) * len(d.batch_shape)]  # one value against the whole batch
    assert np.shape(d.log_prob(one)) == d.batch_shape


@pytest.mark.parametrize("d", CASES)
def test_sampling_depends_on_the_seed_alone(d):
    first, again = (d.sample(np.random.default_rng(11), (3,)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    with pytest.raises(ArgumentError, match="default_rng"):
        d.sample(11)


@pytest.mark.parametrize("d", _only(lambda d: d.event_ndim or d.batch_shape))
def test_shapes_that_do_not_fit(d):
    name = type(d).__name__
    with pytest.raises(ShapeError, match=name):
        d.log_prob(np.zeros((4, 7)))


# --- bad input ------------------------------------------------------------------------------------------------------
def _bad_entries(constraint) -> list[float]:
    entry = constraint.entry if isinstance(constraint, constraints.Independent) else constraint
    return [v for v in (-1.0, 0.0, 0.5, 1.5, np.nan, np.inf, -np.inf) if not np.any(entry.contains(np.float64(v)))]


@pytest.mark.parametrize("d", CASES)
def test_bad_parameters(d):
    cls, good = type(d), d.given()
    for name, value in good.items():
        constraint = d.parameter_constraint(name)
        if isinstance(constraint, constraints.Simplex | constraints.LowerCholesky):
            entries, batch = [-1.0, np.nan], True
        else:
            entries, batch = _bad_entries(constraint), np.ndim(value) > 0
        assert entries
        for bad in entries:
            array = np.array(value, dtype=float)
            array[(0,) * array.ndim] = bad
            broken = cls(**{**good, name: array})
            with pytest.raises(ParameterError) as error:
                broken.validate(site="theta")
            text = str(error.value)
            assert f"{cls.__name__}({name}=...) must be" in text
            assert "at site 'theta'" in text
            assert str(bad) in text
            if batch and not np.ndim(value) == constraint.event_ndim > 0:
                assert "at index" in text
            with pytest.raises(ParameterError):
                broken.log_prob(d.sample(np.random.default_rng(0)))
            with pytest.raises(ParameterError):
                broken.sample(np.random.default_rng(0))


@pytest.mark.parametrize("cls", CLASSES)
def test_parameters_that_are_not_numbers(cls):
    for name in cls.examples[0]:
        with pytest.raises(ParameterError, match=f"{name}=.*number"):
            cls(**{**cls.examples[0], name: "1.0"}).validate()


@pytest.mark.parametrize("d", CASES)
def test_bad_data(d):
    data = np.array(d.sample(np.random.default_rng(0), (3,)), dtype=float)
    place = (1, *(0,) * (data.ndim - 1))
    data[place] = np.nan
    index = place[0] if len(place) == 1 else f"\\({', '.join(map(str, place))}\\)"
    with pytest.raises(DataError, match=f"{type(d).__name__} are missing; got nan at index {index} at site 'y'"):
        d.check_value(data, site="y")
    for bad in checks.outside(d):
        data = np.array(d.sample(np.random.default_rng(0), (3,)), dtype=float)
        data[place if d.event_ndim == 0 else place[:-1]] = bad
        with pytest.raises(DataError, match=f"{type(d).__name__} must be .*at index .*1.*at site 'y'"):
            d.check_value(data, site="y")


@pytest.mark.parametrize("cls", [case for case in CLASSES if case.values[0].alternatives])
def test_alternative_parameters(cls):
    example = dict.fromkeys(cls.parameters, 0.5)
    with pytest.raises(ArgumentError, match=f"Write {cls.__name__}"):
        cls(**example)
    for names in cls.alternatives:
        assert tuple(cls(**dict.fromkeys(names, 0.5)).given()) == tuple(n for n in cls.parameters if n in names)
        for left_out in names:
            if left_out == "logits" or left_out == "probs" or len(names) == 1:
                rest = {name: 0.5 for name in names if name != left_out}
                with pytest.raises(ArgumentError, match=f"Write {cls.__name__}"):
                    cls(**rest)
        for extra in set(cls.parameters) - set(names):
            with pytest.raises(ArgumentError, match=f"Write {cls.__name__}"):
                cls(**dict.fromkeys((*names, extra), 0.5))


@pytest.mark.parametrize("cls", CLASSES)
def test_traced_parameters_are_not_checked(cls):
    """The constraint cannot be decided for a latent value; a bad one gives a density that is not finite."""
    example = cls.examples[0]
    d = cls(**example)
    x = d.sample(np.random.default_rng(0))
    for name, value in example.items():
        if not cls.parameters[name].discrete:
            slope = grad(lambda v, name=name: cls(**{**example, name: v}).log_prob(x))(np.asarray(value, dtype=float))
            assert np.shape(slope) == np.shape(value)


# --- printing -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("d", CASES)
def test_repr_can_be_read_back(d):
    text = repr(d)
    assert text.startswith(type(d).__name__)
    assert len(text) < 100
    if "<array" not in text:
        assert repr(eval(text, vars(dist))) == text


# --- the contract can fail ------------------------------------------------------------------------------------------
class _Normal(dist.Normal):
    """A right twin, so that the planted bugs below are what fails."""


class _LostConstant(_Normal):
    def logp(self, value):
        return super().logp(value) + 0.01


class _WrongSlope(_Normal):
    def logp(self, value):
        return super().logp(value) + 1e-7 * np.sin(value)


class _WrongSampler(_Normal):
    def _draw(self, rng, shape):
        return self.loc + np.sqrt(self.scale) * rng.standard_normal(shape)


class _WrongCdf(_Normal):
    def cdf(self, value):
        return super().cdf(value + 1e-6)


class _WrongVariance(_Normal):
    @property
    def variance(self):
        return self._full(self.scale)


class _WrongEntropy(_Normal):
    def entropy(self):
        return super().entropy() + 0.1


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (_LostConstant, checks.check_density),
        (_LostConstant, checks.check_scipy_density),
        (_LostConstant, checks.check_total),
        (_WrongSlope, checks.check_density),
        (_WrongSlope, checks.check_gradients),
        (_WrongSampler, checks.check_samples),
        (_WrongSampler, checks.check_samples_by_entropy),
        (_WrongSampler, checks.check_sample_moments),
        (_WrongCdf, checks.check_cdf),
        (_WrongVariance, checks.check_moments),
        (_WrongVariance, checks.check_sample_moments),
        (_WrongEntropy, checks.check_moments),
        (_WrongEntropy, checks.check_samples_by_entropy),
    ],
)
def test_a_planted_bug_is_caught(cls, check, monkeypatch):
    monkeypatch.setitem(checks.LOG_DENSITIES, cls.__name__.lstrip("_"), LOG_DENSITIES["Normal"])
    monkeypatch.setitem(checks.LOG_DENSITIES, "Normal", LOG_DENSITIES["Normal"])
    check(_Normal(0.5, 2.0))
    with pytest.raises(AssertionError):
        check(cls(0.5, 2.0))
