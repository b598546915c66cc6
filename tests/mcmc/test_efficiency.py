"""Effective sample sizes: against ArviZ's, exact ones of autoregressions, and chains that do not move."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest

from probad.mcmc.efficiency import effective_sample_size, worst_efficiency


def autoregression(coefficient, n_chains, n, dim, seed=0):
    """Stationary chains with variance 1; the exact relative efficiency is (1 - c) / (1 + c)."""
    rng = np.random.default_rng(seed)
    x = np.empty((n_chains, n, dim))
    x[:, 0] = rng.normal(size=(n_chains, dim))
    for i in range(1, n):
        x[:, i] = coefficient * x[:, i - 1] + np.sqrt(1 - coefficient**2) * rng.normal(size=(n_chains, dim))
    return x


@pytest.mark.parametrize("coefficient", [-0.5, 0.0, 0.6, 0.95])
def test_autoregressions_have_their_sizes(coefficient):
    x = autoregression(coefficient, 4, 5000, 6)
    expected = 20_000 * (1 - coefficient) / (1 + coefficient)
    assert effective_sample_size(x).mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("n_chains", "n"), [(4, 100), (4, 1001), (2, 300)])
def test_the_size_is_that_of_arviz_for_well_mixed_chains(n_chains, n):
    x = autoregression(0.4, n_chains, n, 5, seed=1)
    expected = [float(az.ess(np.ascontiguousarray(x[..., i]), method="mean")) for i in range(5)]
    np.testing.assert_allclose(effective_sample_size(x), expected, rtol=0.35)


def test_chains_apart_count_as_few_draws():
    x = autoregression(0.0, 4, 500, 2)
    x[0, :, 1] += 10.0
    sizes = effective_sample_size(x)
    assert sizes[0] > 1000
    assert sizes[1] < 10


def test_a_coordinate_that_does_not_move_counts_as_one_draw():
    x = autoregression(0.0, 2, 50, 2)
    x[..., 0] = 3.0
    assert effective_sample_size(x)[0] == 1.0
    assert worst_efficiency(x, 100.0) == 0.01


def test_slow_second_moments_count():
    """Chains that swing from side to side at a radius that changes slowly."""
    radius = np.exp(0.5 * autoregression(0.98, 4, 1000, 1))
    x = radius * np.where(np.arange(1000) % 2, 1.0, -1.0)[:, None]
    assert worst_efficiency(x, 4000.0) < 0.1 * effective_sample_size(x).min() / 4000.0
