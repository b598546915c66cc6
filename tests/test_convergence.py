"""R-hat and effective sample sizes: against ArviZ's, and against the exact ones of autoregressions."""

from __future__ import annotations

import numpy as np
import pytest

from probad.convergence import (
    bulk_effective_sample_size,
    effective_sample_size,
    figures,
    r_hat,
    tail_effective_sample_size,
)
from probad.output import import_arviz


def autoregression(coefficient, n_chains, n, dim, seed=0):
    """Stationary chains with variance 1; the exact relative efficiency is (1 - c) / (1 + c)."""
    rng = np.random.default_rng(seed)
    x = np.empty((n_chains, n, dim))
    x[:, 0] = rng.normal(size=(n_chains, dim))
    for i in range(1, n):
        x[:, i] = coefficient * x[:, i - 1] + np.sqrt(1 - coefficient**2) * rng.normal(size=(n_chains, dim))
    return x


def draws_of_many_kinds():
    """Arrays (n_chains, n_draws, dim): correlated, antithetic, apart, rounded, heavy-tailed, stuck, short."""
    for n_chains in (1, 2, 4):
        for n in (4, 5, 6, 7, 10, 33, 100, 401):
            for coefficient in (-0.9, 0.0, 0.5, 0.99):
                x = autoregression(coefficient, n_chains, n, 6, seed=n)
                x[..., 1] = np.round(x[..., 1])
                x[0, :, 2] += 5.0
                x[..., 3] = np.tan(x[..., 3])
                x[-1, :, 4] = x[-1, 0, 4]
                x[..., 5] = np.minimum(x[..., 5], 0.0)
                yield x


@pytest.mark.parametrize(
    ("function", "name", "options"),
    [
        (effective_sample_size, "ess", {"method": "identity"}),
        (bulk_effective_sample_size, "ess", {"method": "bulk"}),
        (tail_effective_sample_size, "ess", {"method": "tail", "prob": (0.05, 0.95)}),
        (r_hat, "rhat", {}),
    ],
)
def test_they_are_arviz(function, name, options):
    az = import_arviz()
    for x in draws_of_many_kinds():
        if name == "rhat" and x.shape[0] < 2:
            continue
        with np.errstate(all="ignore"):
            expected = [float(getattr(az, name)(np.ascontiguousarray(x[..., i]), **options)) for i in range(6)]
        np.testing.assert_allclose(function(x), expected, rtol=1e-10, err_msg=f"{x.shape}")


def test_together_they_are_what_they_are_one_by_one():
    for x in draws_of_many_kinds():
        together = figures(x)
        np.testing.assert_array_equal(together["ess_bulk"], bulk_effective_sample_size(x))
        np.testing.assert_array_equal(together["ess_tail"], tail_effective_sample_size(x))
        np.testing.assert_array_equal(together["r_hat"], r_hat(x))


@pytest.mark.parametrize("coefficient", [-0.5, 0.0, 0.6, 0.95])
def test_autoregressions_have_their_sizes(coefficient):
    x = autoregression(coefficient, 4, 5000, 6)
    expected = 20_000 * (1 - coefficient) / (1 + coefficient)
    assert effective_sample_size(x).mean() == pytest.approx(expected, rel=0.1)


def test_chains_apart_count_as_few_draws():
    x = autoregression(0.0, 4, 500, 2)
    x[0, :, 1] += 10.0
    sizes = effective_sample_size(x)
    assert sizes[0] > 1000
    assert sizes[1] < 10


def test_what_stands_still():
    x = np.zeros((2, 50, 2))
    x[1, :, 1] = 1.0
    assert np.isnan(r_hat(x)[0])
    assert r_hat(x)[1] > 1e6
    assert effective_sample_size(x)[0] == 100.0
    assert np.isnan(effective_sample_size(x[:, :1])).all()
