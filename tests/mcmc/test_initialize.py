"""Chains that start near modes."""

from __future__ import annotations

import numpy as np
import pytest

import probad as pb
from probad.errors import InitializationError, SamplingWarning
from probad.mcmc.initialize import JITTER, optimized_starts


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
    with pytest.raises(InitializationError, match=r"^Chains 1 and 3 of 4 cannot start, the others can\. Chain 1 "):
        pb.nuts(density, chains=4, init=some, **options)
    with pytest.raises(InitializationError, match=r"^Chain 1 of 2 cannot start, the others can\. "):
        pb.nuts(density, chains=2, init=some[:2], **options)
    with pytest.raises(InitializationError, match=r"^None of the 2 chains can start\. Chain 0 cannot"):
        pb.nuts(density, chains=2, init=[-1.0], **options)
