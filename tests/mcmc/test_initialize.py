"""Chains that start near modes or from the prior."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import probad as pb
from probad import dist
from probad.dist.base import DISTRIBUTIONS
from probad.errors import ArgumentError, DensityError, InitializationError, ModelError, SamplingWarning
from probad.mcmc.initialize import JITTER, check_dependence, optimized_starts, prior_starts


def _far():
    """A normal density far from where uniform starts are, without support beyond."""
    return pb.LogDensity.from_function(
        lambda z: np.where(z[0] < 60, -0.5 * np.sum((z - np.array([50.0, -30.0])) ** 2), -np.inf), 2
    )


def test_starts_near_the_mode():
    starts = optimized_starts(_far(), 1, 4)
    assert np.abs(starts - [50.0, -30.0]).max() < 5 * JITTER
    assert len(np.unique(starts)) == 8  # each has its own jitter


def test_the_start_of_a_chain_depends_on_seed_and_number_alone():
    np.testing.assert_array_equal(optimized_starts(_far(), 1, 2), optimized_starts(_far(), 1, 4)[:2])
    assert (optimized_starts(_far(), 2, 2) != optimized_starts(_far(), 1, 2)).all()


def test_the_option_starts_chains_there():
    with pytest.warns(SamplingWarning):
        post = pb.nuts(_far(), draws=1, warmup=0, chains=2, seed=1, init="map", step_size=1e-6, progress=False)
    drawn = post["posterior"]["x"].values[:, 0]
    np.testing.assert_allclose(drawn, optimized_starts(_far(), 1, 2), atol=0.01)


def test_nowhere_to_start():
    density = pb.LogDensity.from_function(lambda z: np.sum(np.log(z - 5)), 1)
    with pytest.raises(InitializationError, match="No starting point for chain 0"):
        optimized_starts(density, 1, 2)


def test_the_error_says_which_chains_cannot_start():
    density = pb.LogDensity.from_function(lambda z: -np.sum(np.sqrt(z)), 1)
    options = {"draws": 1, "warmup": 0, "seed": 1, "progress": False, "step_size": 0.1}
    some = np.array([[1.0], [-1.0], [2.0], [-3.0]])
    words = r"^Chains 1 and 3 of 4 cannot start, the others can\. Chain 1 "
    with pytest.raises(InitializationError, match=words):
        pb.nuts(density, chains=4, init=some, **options)
    with ThreadPoolExecutor(1) as executor, pytest.raises(InitializationError, match=words):
        pb.nuts(density, chains=4, init=some, executor=executor, **options)
    with pytest.raises(InitializationError, match=r"^Chain 1 of 2 cannot start, the others can\. "):
        pb.nuts(density, chains=2, init=some[:2], **options)
    with pytest.raises(InitializationError, match=r"^None of the 2 chains can start\. Chain 0 cannot"):
        pb.nuts(density, chains=2, init=[-1.0], **options)


# --- draws from the prior --------------------------------------------------------------------------------------------
@pb.model
def hierarchy(y):
    tau = pb.sample("tau", dist.Gamma(4.0, 2.0))
    theta = pb.sample("theta", dist.Normal(100.0 * tau, tau), shape=3)
    share = pb.sample("share", dist.Dirichlet(np.array([2.0, 3.0, 5.0])))
    low = pb.sample("low", dist.Uniform(theta[0], theta[0] + 1.0))
    pb.factor("far away", -1e-3 * np.sum(low**2))
    pb.sample("y", dist.Normal(theta + share, 1.0), obs=y)


def test_prior_starts_have_the_moments_of_the_prior():
    """Against means and variances worked out by hand: of tau, of theta by the law of total variance, of the shares."""
    density = hierarchy(np.zeros(3)).density()
    starts = prior_starts(density, 1, 2000)
    drawn = density.constrain(starts)
    moments = {
        "tau": (drawn["tau"], 2.0, 1.0),
        "theta": (drawn["theta"][:, 1], 200.0, 100.0**2 + 5.0),
        "share": (drawn["share"][:, 2], 0.5, 0.5 * 0.5 / 11),
        "low": (drawn["low"] - drawn["theta"][:, 0], 0.5, 1 / 12),
    }
    for name, (x, mean, variance) in moments.items():
        error = np.sqrt(variance / len(x))
        assert abs(x.mean() - mean) < 4 * error, name
        assert 0.85 < x.var() / variance < 1.17, name
    within = (drawn["theta"] - 100.0 * drawn["tau"][:, None]) / drawn["tau"][:, None]
    assert np.abs(np.corrcoef(within.T) - np.eye(3)).max() < 0.1  # independent along the axes of shape=


def test_the_prior_start_of_a_chain_depends_on_seed_and_number_alone():
    density = hierarchy(np.zeros(3)).density()
    np.testing.assert_array_equal(prior_starts(density, 1, 2), prior_starts(density, 1, 4)[:2])
    assert (prior_starts(density, 2, 2) != prior_starts(density, 1, 2)).all()


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
def test_every_continuous_prior_can_be_drawn(name):
    """Also where shape= stretches an axis of length one."""
    cls = DISTRIBUTIONS[name]
    if cls.discrete or cls.__module__.startswith("tests."):
        pytest.skip("it cannot be latent")
    n_drawn = 0
    for example in cls.examples:
        one = {k: np.asarray(v)[None] for k, v in example.items()}  # a batch axis in front
        if any(np.ndim(v) != cls.parameters[k].event_ndim for k, v in example.items()):
            continue  # it has one already

        @pb.model
        def alone():
            pb.sample("x", cls(**one), shape=3)

        density = alone().density()
        (z,) = prior_starts(density, 3, 1)
        n_drawn += 1
        x = density.constrain(z)["x"]
        assert x.shape == (3, *cls(**example).event_shape)
        assert len(np.unique(x.reshape(3, -1)[:, 0])) == 3
        assert cls(**one).support.violation(x) is None
    assert n_drawn


def test_the_options_of_all_samplers():
    model = hierarchy(np.zeros(3))
    expected = model.density().constrain(prior_starts(model.density(), 1, 2))["theta"]
    options = {"draws": 1, "warmup": 0, "chains": 2, "seed": 1, "progress": False}
    for sample in (pb.nuts, pb.hmc, pb.mams, pb.metropolis, pb.mala):
        still = {} if sample is pb.metropolis else {"step_size": 1e-9}
        if sample is pb.metropolis:
            still = {"metric": np.full(7, 1e-20)}
        with pytest.warns(SamplingWarning):
            post = sample(model, init="prior", **still, **options)
        np.testing.assert_allclose(post["posterior"]["theta"].values[:, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(("init", "starts"), [("map", optimized_starts), ("prior", prior_starts)])
def test_variational_fits_start_there_too(init, starts):
    model = hierarchy(np.zeros(3))
    with pytest.warns(pb.errors.ConvergenceWarning):
        approx = pb.vi(model, init=init, steps=1, seed=4, step_size=1e-12, progress=False)
    with pytest.warns(pb.errors.ConvergenceWarning):
        given = pb.vi(model, init=starts(model.density(), 4, 1)[0], steps=1, seed=4, step_size=1e-12, progress=False)
    np.testing.assert_array_equal(approx.elbo, given.elbo)


def test_a_density_without_a_prior_is_refused():
    with pytest.raises(ArgumentError, match=r"init='prior' needs the priors of a model; a FunctionDensity has none\."):
        pb.nuts(_far(), init="prior", progress=False)
    with pytest.raises(ArgumentError, match="'uniform', 'map' or 'prior'; got 'priors'"):
        pb.nuts(_far(), init="priors", progress=False)


def test_an_improper_prior_is_refused_by_name():
    class Improper(dist.Normal):
        _draw = pb.dist.base.Distribution._draw

    @pb.model
    def flat():
        pb.sample("mu", dist.Normal(0.0, 1.0))
        pb.sample("beta", Improper(0.0, 1.0))

    DISTRIBUTIONS.pop("Improper")
    words = r"Site 'beta' \(test_initialize\.py:\d+\) cannot be drawn from its prior: Improper has no sampler\."
    with pytest.raises(ModelError, match=words):
        pb.nuts(flat(), init="prior", progress=False)


def test_a_prior_that_never_fits_is_told_with_the_site():
    @pb.model
    def never(y):
        scale = pb.sample("scale", dist.Exponential(1.0))
        pb.sample("y", dist.Uniform(0.0, scale), obs=y)

    with pytest.raises(InitializationError, match=r"^None of the 4 chains can start\. .* draws from the prior .* 'y'"):
        pb.nuts(never(np.array([500.0])), init="prior", progress=False)


def test_impossible_draws_are_drawn_again():
    """A scale that is negative in half of the draws."""

    @pb.model
    def halves(y):
        a = pb.sample("a", dist.Normal(0.0, 1.0))
        b = pb.sample("b", dist.Normal(0.0, a))
        pb.sample("y", dist.Normal(b, 1.0), obs=y)

    starts = prior_starts(halves(np.zeros(2)).density(), 1, 20)
    assert (starts[:, 0] > 0).all()


# --- densities that do not depend on a coordinate -----------------------------------------------------------------
def _flat_in(names, dim=4):
    used = [i for i in range(dim) if f"x[{i}]" not in names]
    return pb.LogDensity.from_function(lambda z: -0.5 * np.sum(z[used] ** 2), dim)


FLAT = {
    "one": (["x[2]"], r"does not depend on 'x\[2\]': its derivative is 0"),
    "two": (["x[1]", "x[3]"], r"does not depend on 'x\[1\]', 'x\[3\]': "),
}


@pytest.mark.parametrize("name", FLAT)
def test_a_coordinate_that_nothing_depends_on_is_named(name):
    names, words = FLAT[name]
    options = {"draws": 5, "warmup": 5, "chains": 2, "seed": 1, "progress": False}
    for sample in (pb.nuts, pb.mams, pb.metropolis):
        with pytest.raises(DensityError, match=words):
            sample(_flat_in(names), **options)
    with pytest.raises(DensityError, match=words):
        pb.vi(_flat_in(names), seed=1, progress=False)
    with ThreadPoolExecutor(1) as executor, pytest.raises(DensityError, match=words):
        pb.nuts(_flat_in(names), executor=executor, **options)


def test_many_such_coordinates_are_counted():
    density = _flat_in([f"x[{i}]" for i in range(1, 9)], 9)
    with pytest.raises(DensityError, match=r"'x\[1\]', 'x\[2\]', 'x\[3\]' \(and on 5 more coordinates, it seems\)"):
        pb.nuts(density, progress=False)


def test_a_variable_of_a_model_without_a_prior_is_named():
    class Nothing(dist.Normal):
        def logp(self, value):
            return 0.0 * (value - self.loc)

    @pb.model
    def improper(y):
        a = pb.sample("a", Nothing(0.0, 1.0))
        b = pb.sample("b", Nothing(0.0, 1.0), shape=2)
        pb.factor("likelihood", -np.sum((y - a - b[0]) ** 2))

    DISTRIBUTIONS.pop("Nothing")
    with pytest.raises(DensityError, match=r"does not depend on 'b\[1\]': .* Give the variable a prior"):
        pb.nuts(improper(np.zeros(3)), progress=False)


def test_densities_that_are_flat_in_parts_are_left_alone():
    """Flat between walls, flat near the origin, and a derivative that is lost although the density depends on it."""
    box = lambda z: np.where(np.max(np.abs(z)) < 3, 0.0, -np.inf)
    plateau = lambda z: -0.5 * np.sum(np.maximum(np.abs(z) - 4.0, 0.0) ** 2)
    lost = lambda z: -0.5 * z[0] ** 2 - np.round(np.abs(z[1]))
    for f in (box, plateau, lost):
        density = pb.LogDensity.from_function(f, 2)
        z = np.array([[0.3, 0.2], [-0.1, 0.4]])
        check_dependence(density, z, np.stack([density.logp_and_grad(x)[1] for x in z]))
        check_dependence(density)


def test_looking_costs_nothing_where_no_derivative_is_zero():
    calls = []

    class Counted(pb.LogDensity):
        def logp_and_grad(self, z):
            calls.append(1)
            return -0.5 * float(z @ z), -z

    check_dependence(Counted(2), np.zeros((2, 2)), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert not calls
    check_dependence(Counted(2))
    assert len(calls) == 1
