"""The public functions of the further samplers, from models to ArviZ objects."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import probad as pb
from probad import dist
from probad.errors import ArgumentError, ModelError, SamplingWarning

X = np.linspace(-1.0, 1.0, 20)
Y = 1.0 + 2.0 * X + 0.3 * np.cos(40 * X)


@pb.model
def line(x, y):
    """A line with known noise: its posterior is normal."""
    a = pb.sample("a", dist.Normal(0.0, 2.0))
    b = pb.sample("b", dist.Normal(0.0, 2.0))
    pb.sample("y", dist.Normal(a + b * x, 0.5), obs=y)


def _exact():
    """Posterior means and standard deviations of a and b."""
    design = np.column_stack([np.ones_like(X), X])
    covariance = np.linalg.inv(design.T @ design / 0.25 + np.eye(2) / 4)
    return covariance @ design.T @ Y / 0.25, np.sqrt(np.diag(covariance))


def _quietly(run, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        return run(*args, progress=False, **options)


SAMPLERS = {
    "metropolis": (pb.metropolis, {"draws": 3000, "warmup": 1000}),
    "mala": (pb.mala, {"draws": 1000, "warmup": 300}),
    "elliptical_slice": (pb.elliptical_slice, {"draws": 4000, "warmup": 100}),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_model_becomes_a_posterior(name):
    run, options = SAMPLERS[name]
    post = _quietly(run, line(X, Y), chains=2, seed=1, keep_unconstrained=True, **options)
    for variable, mean, sd in zip("ab", *_exact(), strict=True):
        draws = post["posterior"][variable].values
        assert draws.shape == (2, options["draws"])
        assert draws.mean() == pytest.approx(mean, abs=0.25 * sd)
        assert draws.std() == pytest.approx(sd, rel=0.2)
    assert "lp" in post["sample_stats"]
    assert "tree_depth" not in post["sample_stats"]
    assert post["posterior"].attrs["seed"] == 1
    assert post["posterior"].attrs["algorithm"].lower() == name.replace("_", "")
    assert post["unconstrained_posterior"]["z"].shape == (2, options["draws"], 2)


def test_statistics_without_meaning_are_left_out():
    post = _quietly(pb.metropolis, line(X, Y), draws=50, warmup=50, chains=1, seed=1)
    assert set(post["sample_stats"].data_vars) == {"lp", "acceptance_rate", "step_size", "step_size_nom", "n_steps"}
    post = _quietly(pb.elliptical_slice, line(X, Y), draws=50, warmup=50, chains=1, seed=1)
    assert set(post["sample_stats"].data_vars) == {"lp", "n_steps"}


def test_a_prior_given_by_hand_is_the_prior_found():
    options = {"draws": 30, "warmup": 10, "chains": 1, "seed": 2}
    found = _quietly(pb.elliptical_slice, line(X, Y), **options)
    given = _quietly(pb.elliptical_slice, line(X, Y), prior_mean=0.0, prior_cov=4.0, **options)
    np.testing.assert_array_equal(found["posterior"]["a"].values, given["posterior"]["a"].values)


def test_a_density_alone_does_not_tell_its_prior():
    density = pb.LogDensity.from_function(lambda z: -0.5 * np.sum(z**2), 2)
    with pytest.raises(ArgumentError, match=r"needs to know the normal prior of a FunctionDensity: give prior_cov="):
        pb.elliptical_slice(density, seed=1, progress=False)
    with pytest.raises(ArgumentError, match="prior_mean is of no use without prior_cov"):
        pb.elliptical_slice(density, prior_mean=1.0, seed=1, progress=False)


def test_a_prior_that_is_not_normal_is_named():
    @pb.model
    def positive():
        pb.sample("tau", dist.HalfNormal(1.0))

    with pytest.raises(ModelError, match="site 'tau'"):
        pb.elliptical_slice(positive(), seed=1, progress=False)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_model_without_data_is_refused(name):
    with pytest.raises(ArgumentError, match=rf"pb\.{name}\(model\(data"):
        SAMPLERS[name][0](line, seed=1)
