"""The choice between samplers: the best where it is safe, NUTS elsewhere, the same however chains are run."""

from __future__ import annotations

import numpy as np
import pytest

from probad.convergence import effective_sample_size
from probad.density import LogDensity
from probad.errors import ArgumentError
from probad.mcmc import Choice, drivers, sample_chains
from probad.mcmc.choice import curvature_range, worst_effective_size
from probad.mcmc.random import stream
from tests.mcmc.scores import moment_scores
from tests.mcmc.targets import Funnel, Gaussian
from tests.tolerances import MONTE_CARLO

SCALES = np.logspace(-1.0, 1.0, 12)
CORRELATED = (0.5 + 0.5 * np.eye(12)) * np.outer(SCALES, SCALES)


class HeavyTails(LogDensity):
    """Multivariate t with 3 degrees of freedom: no divergences, but a curvature that falls with the distance."""

    def logp_and_grad(self, z):
        r = 3.0 + z @ z
        return -0.5 * (3 + self.dim) * float(np.log(r)), -(3 + self.dim) * z / r


def run(density, **options):
    return sample_chains(density, Choice(), **{"draws": 500, "warmup": 500, "chains": 4, "seed": 3, **options})


def test_a_normal_posterior_is_not_for_nuts():
    """By far: what a single trial finds of it varies from 1.3 to 6 times."""
    gains = []
    for seed in range(8):
        found = run(Gaussian(CORRELATED), draws=10, seed=seed).settings
        best = found["sampler_choice"].split(",")[0]
        assert best in ("MAMS", "HMC")
        gains.append(found[f"ess_per_gradient_{best.lower()}"] / found["ess_per_gradient_nuts"])
    assert np.median(gains) > 1.5
    result = run(Gaussian(CORRELATED), draws=1500)
    assert np.abs(moment_scores(result.draws, np.zeros(12), SCALES)).max() < MONTE_CARLO
    assert result.stats["n_steps"].mean() < 5


@pytest.mark.parametrize(("density", "reason"), [(Funnel(6), "diverge"), (HeavyTails(10), "curvature varies")])
def test_nuts_stays_where_others_could_go_wrong(density, reason):
    found = run(density).settings["sampler_choice"]
    assert found.startswith("NUTS, since")
    assert reason in found


def test_nuts_stays_where_a_trial_cannot_tell():
    """A long chain of correlations, of which a diagonal metric knows nothing: all others hardly move in a trial."""
    covariance = 0.65 ** np.abs(np.subtract.outer(np.arange(300), np.arange(300)))
    found = sample_chains(Gaussian(covariance), Choice(metric="diag"), draws=100, warmup=500, chains=4, seed=3).settings
    assert found["sampler_choice"] == "NUTS, since HMC and MAMS moved too slowly in a trial to be judged."


def test_one_coordinate_is_tried_without_mams():
    found = run(Gaussian([[2.0]])).settings
    assert "ess_per_gradient_hmc" in found
    assert "ess_per_gradient_mams" not in found


def test_the_choice_and_the_draws_do_not_depend_on_threads_or_chunks(monkeypatch):
    expected = run(Gaussian(CORRELATED), cores=1)
    again = run(Gaussian(CORRELATED), cores=4)
    np.testing.assert_array_equal(again.draws, expected.draws)
    monkeypatch.setattr(drivers, "CHUNK_SECONDS", 1e-4)
    np.testing.assert_array_equal(run(Gaussian(CORRELATED), cores=2).draws, expected.draws)
    assert again.settings["sampler_choice"] == expected.settings["sampler_choice"]


def test_a_short_warm_up_is_refused():
    with pytest.raises(ArgumentError, match="at least 200 iterations of warm-up for its trials; got 100"):
        run(Gaussian(np.eye(2)), warmup=100)
    with pytest.raises(ArgumentError, match="needs a metric learnt from draws and gradients"):
        Choice(metric="unit")


@pytest.mark.parametrize("dim", [1, 3, 30])
@pytest.mark.parametrize("metric", ["diag", "dense"])
def test_the_curvature_of_a_normal_is_one(metric, dim):
    rng = np.random.default_rng(dim)
    a = rng.normal(size=(dim, dim)) if metric == "dense" else np.diag(rng.uniform(0.1, 10.0, dim))
    covariance = a @ a.T + 0.1 * np.eye(dim)
    spaces = []
    for chain in range(4):
        space = Choice(metric=metric).allocate(dim, draws=1, warmup=500, random=stream(0, chain))
        space.take_inverse_mass(covariance if metric == "dense" else np.diag(covariance))
        space.draws[:500] = rng.multivariate_normal(np.zeros(dim), covariance, size=500) + 7.0
        space.gradients[:] = -np.linalg.solve(covariance, (space.draws[:500] - 7.0).T).T
        spaces.append(space)
    np.testing.assert_allclose(curvature_range(spaces, 0, 500), 1.0, rtol=1e-8)
    spaces[0].gradients[:] *= 10.0
    assert curvature_range(spaces, 0, 500)[1] > 5.0
    for space in spaces:
        space.draws[:] = 1.0
    assert curvature_range(spaces, 0, 500) == (-np.inf, np.inf)


def test_slow_second_moments_count():
    """Chains that swing from side to side at a radius that changes slowly."""
    rng = np.random.default_rng(0)
    log_radius = np.zeros((4, 1000, 1))
    for i in range(1, 1000):
        log_radius[:, i] = 0.98 * log_radius[:, i - 1] + 0.2 * rng.normal(size=(4, 1))
    x = np.exp(0.5 * log_radius) * np.where(np.arange(1000) % 2, 1.0, -1.0)[:, None]
    assert worst_effective_size(x) < 0.1 * effective_sample_size(x).min()


def test_a_coordinate_that_does_not_move_counts_as_one_draw():
    x = np.random.default_rng(0).normal(size=(2, 50, 2))
    x[..., 0] = 3.0
    assert worst_effective_size(x) == 1.0
