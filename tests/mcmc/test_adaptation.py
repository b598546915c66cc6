"""Warm-up: windows and dual averaging, estimates of the metric, the first step size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import linalg

from probad.mcmc import HMC, NUTS, Choice, estimates, kernel, matrices, sample_chains
from probad.mcmc import workspace as w
from probad.mcmc.intrinsics import PythonDensity
from probad.mcmc.random import stream
from probad.mcmc.step_size import average_step_size, find_step_size, finish_step_size, restart_averaging
from probad.mcmc.trajectory import WHOLE_EVERY
from probad.mcmc.windows import STEP_ONLY, overlapping_schedule, stan_schedule
from tests.mcmc.reference import DualAveraging, stan_windows
from tests.mcmc.run import make_space
from tests.mcmc.targets import Gaussian


# --- windows ----------------------------------------------------------------------------------------------------------
def windows(schedule):
    """Pairs of first and last iteration from which metrics are made."""
    ends = np.flatnonzero(schedule != STEP_ONLY)
    return list(zip(schedule[ends].tolist(), ends.tolist(), strict=True))


def test_the_windows_are_stans():
    for n in range(3001):
        ends = [end for _, end in windows(stan_schedule(n))]
        expected = stan_windows(n)
        if 150 < n < 200:  # Stan would estimate the last metric from n - 150 draws
            expected = expected[-1:]
        assert ends == expected, n


def test_stans_windows_meet_between_the_buffers():
    found = windows(stan_schedule(1000))
    assert found[0][0] == 75
    assert found[-1][1] == 949
    assert all(start == end + 1 for (_, end), (start, _) in zip(found, found[1:], strict=False))
    assert len(stan_schedule(0)) == 0


def test_overlapping_windows_cover_two_stretches_each():
    for n in range(3001):
        found = windows(overlapping_schedule(n))
        if n >= 20:
            assert found[0][0] == 0
            assert found[-1][1] == int(0.85 * n) - 1
        for k in range(2, len(found)):
            assert found[k][0] == found[k - 2][1] + 1
            assert found[k - 1][1] + 1 - found[k][0] >= 10, "the stretch before the last is a window"
        assert all(end - start >= 9 for start, end in found)


# --- the step size ----------------------------------------------------------------------------------------------------
def test_dual_averaging_is_stans():
    """The same sequence of step sizes where the acceptance falls with the step size, as it does."""
    rng = np.random.default_rng(0)
    space = make_space(Gaussian(np.eye(1)), NUTS(target_accept=0.7), position=[0.0], step_size=0.3)
    _, scalars, counts, *_ = space.to_lists()
    restart_averaging(scalars, counts)
    expected, step = DualAveraging(0.3, 0.7), 0.3
    for noise in rng.uniform(0.5, 1.5, size=300):
        acceptance = math.exp(-step * noise)
        average_step_size(scalars, counts, acceptance)
        step, average = expected.update(acceptance)
        assert scalars[w.STEP_SIZE] == pytest.approx(step, rel=1e-12)
        assert math.exp(scalars[w.LOG_STEP_AVERAGE]) == pytest.approx(average, rel=1e-12)
    assert math.exp(-average) == pytest.approx(0.7, abs=0.05)


def test_the_step_of_the_draws_is_right_for_the_last_metric():
    scalars, counts = [0.0] * w.N_SCALARS, [0] * w.N_COUNTS
    scalars[w.STEP_SIZE], scalars[w.TARGET_ACCEPT] = 1.0, 0.8
    restart_averaging(scalars, counts)
    for right, n in ((20.0, 850), (1.0, 150)):  # a metric 20 times too short for most of the warm-up
        counts[w.SAME_METRIC] = 0
        for _ in range(n):
            average_step_size(scalars, counts, math.exp(math.log(0.8) * scalars[w.STEP_SIZE] / right))
    finish_step_size(scalars, counts)
    assert scalars[w.STEP_SIZE] == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("target", [0.6, 0.8, 0.95])
def test_the_step_size_reaches_the_target_acceptance(target):
    """While it is tuned, the acceptance is the target; with the averaged step size, near it.

    Under the metric of the target: Stan's last 50 iterations leave an average that accepts too often (0.88 for 0.8).
    """
    algorithm = NUTS(target_accept=target, metric="unit")
    result = sample_chains(Gaussian(np.eye(8)), algorithm, draws=400, warmup=1000, chains=2, seed=3, keep_warmup=True)
    assert result.warmup_stats["acceptance_rate"][:, 300:].mean() == pytest.approx(target, abs=0.015)
    assert result.stats["acceptance_rate"].mean() == pytest.approx(target, abs=0.05)


# --- the metric -------------------------------------------------------------------------------------------------------
def estimated(draws, gradients, metric, adaptation):
    """The inverse mass that a kernel makes of draws and gradients."""
    n, dim = draws.shape
    space = NUTS(metric=metric, adaptation=adaptation).allocate(dim, draws=1, warmup=n, random=stream(0, 0))
    space.draws[:n] = draws
    space.gradients[: len(gradients)] = gradients[: len(space.gradients)]
    rows, scalars, counts, _, _, factor, d, g, _, work = memory = space.to_lists()
    estimates.renew_metric(rows, scalars, counts, factor, d, g, work, 0, n, dim)
    space.take_back(*memory)
    if metric == "diag":
        np.testing.assert_allclose(space.rows[w.SCALE] ** 2, space.rows[w.INVERSE_MASS], rtol=1e-14)
    return space.inverse_mass()


def correlated(n, dim, seed=0):
    """Draws of a normal distribution with scales from 1e-3 to 1e3, far from zero, and their gradients."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(dim, dim)) * np.logspace(-3, 3, dim)[:, None]
    draws = rng.normal(size=(n, dim)) @ a.T
    return draws + 1e4, -draws @ np.linalg.inv(a @ a.T), a @ a.T


def test_the_diagonal_of_draws_is_the_shrunk_variance():
    draws, gradients, _ = correlated(40, 3)
    expected = 40 / 45 * draws.var(axis=0, ddof=1) + 1e-3 * 5 / 45
    np.testing.assert_allclose(estimated(draws, gradients, "diag", "stan"), expected, rtol=1e-9)


def test_the_matrix_of_draws_is_the_shrunk_covariance():
    draws, gradients, _ = correlated(40, 3)
    expected = 40 / 45 * np.cov(draws.T) + 1e-3 * 5 / 45 * np.eye(3)
    np.testing.assert_allclose(estimated(draws, gradients, "dense", "stan"), expected, rtol=1e-6)


def test_the_diagonal_of_draws_and_gradients_is_the_root_of_the_ratio():
    draws, gradients, _ = correlated(40, 4)
    expected = draws.std(axis=0) / gradients.std(axis=0)
    np.testing.assert_allclose(estimated(draws, gradients, "diag", "fisher"), expected, rtol=1e-9)


@pytest.mark.parametrize(("n", "dim"), [(20, 1), (30, 2), (15, 7), (6, 9), (100, 12)])
def test_the_matrix_of_draws_and_gradients_is_the_geometric_mean(n, dim):
    """M with M P M = A in the scale where both have equal diagonals, by matrix roots."""
    draws, gradients, _ = correlated(n, dim)
    scale = np.sqrt(draws.std(axis=0) / gradients.std(axis=0))
    x, g = (draws - draws.mean(axis=0)) / scale, (gradients - gradients.mean(axis=0)) * scale
    a, p = ((m.T @ m + np.eye(dim)) / (n + 1) for m in (x, g))
    root = linalg.sqrtm(a)
    expected = root @ np.linalg.inv(linalg.sqrtm(root @ p @ root)) @ root * np.outer(scale, scale)
    found = estimated(draws, gradients, "dense", "fisher")
    np.testing.assert_allclose(found / np.outer(scale, scale), expected / np.outer(scale, scale), atol=1e-7)


def test_few_draws_and_gradients_give_the_covariance():
    """What draws alone need many times the dimension for, as the sampler's own scale of comparison shows."""
    for seed in range(5):
        draws, gradients, covariance = correlated(60, 10, seed)
        roots = {}
        for adaptation in ("fisher", "stan"):
            found = estimated(draws, gradients, "dense", adaptation)
            eigenvalues = linalg.eigh(covariance, found, eigvals_only=True)
            roots[adaptation] = np.sqrt(eigenvalues.max() / eigenvalues.min())
        assert roots["fisher"] < min(3.0, 0.5 * roots["stan"])


@pytest.mark.parametrize("metric", ["diag", "dense"])
def test_draws_that_do_not_move_leave_the_metric(metric):
    draws, gradients, _ = correlated(30, 3)
    draws[:, 1], gradients[:, 1] = 2.0, 1.0
    found = estimated(draws, gradients, metric, "fisher")
    assert np.isfinite(found).all()
    assert (np.diag(found) if metric == "dense" else found)[1] == 1.0


def test_a_straight_slope_is_scaled_by_its_draws():
    draws, gradients, _ = correlated(300, 3)
    gradients[:, 1] = -0.5
    assert estimated(draws, gradients, "diag", "fisher")[1] == pytest.approx(draws[:, 1].var(), rel=1e-9)
    assert np.isfinite(estimated(draws, gradients, "dense", "fisher")).all()


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30])
def test_rows_are_made_orthogonal_and_keep_their_products(n):
    rng = np.random.default_rng(n)
    a = rng.normal(size=(n, n)) * np.logspace(0, 4, n)
    memory = [*a.ravel(), *np.zeros(n)]
    matrices.orthogonalise_rows(memory, 0, n * n, n)
    found = np.reshape(memory[: n * n], (n, n))
    np.testing.assert_allclose(found.T @ found, a.T @ a, rtol=1e-10, atol=1e-10 * np.abs(a.T @ a).max())
    norms = np.linalg.norm(found, axis=1)
    assert np.abs(found @ found.T / np.outer(norms, norms) - np.eye(n)).max() < 1e-8
    np.testing.assert_allclose(memory[n * n :], norms**2, rtol=1e-12)


def test_rows_are_made_orthonormal_and_dependent_ones_left_out():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(4, 9)) * np.logspace(-3, 3, 9)
    rows = np.stack([base[0], base[1], 2 * base[0] - base[1], base[2], np.zeros(9), base[3], base[3] * (1 + 1e-12)])
    memory = list(rows.ravel())
    assert matrices.orthonormalise_rows(memory, 0, 7, 9) == 4
    found = np.reshape(memory, (7, 9))[:4]
    np.testing.assert_allclose(found @ found.T, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(base @ found.T @ found, base, rtol=1e-9, atol=1e-9 * np.abs(base).max())


def test_a_matrix_that_is_not_positive_definite_has_no_factor():
    assert not matrices.cholesky([1.0, 2.0, 2.0, 1.0], 0, 2)
    assert not matrices.cholesky([math.nan], 0, 1)
    assert matrices.cholesky([4.0], 0, 1)


def _table(lp):
    """Statistics with a given log density, as the kernels see them."""
    table = np.zeros((len(lp), w.N_STATISTICS))
    table[:, 0] = lp
    return table.ravel().tolist()


def test_a_chain_climbs_as_long_as_its_log_density_rises_by_more_than_it_varies():
    noise = np.sqrt(50.0) * np.random.default_rng(0).normal(size=30)
    assert not kernel.climbs(_table(noise), 0, 30, 100)
    assert not kernel.climbs(_table(noise + np.linspace(0.0, 60.0, 30)), 0, 30, 100)
    assert kernel.climbs(_table(noise + np.linspace(0.0, 300.0, 30)), 0, 30, 100)
    assert not kernel.climbs(_table(noise + np.linspace(300.0, 0.0, 30)), 0, 30, 100)
    assert kernel.climbs(_table(np.where(np.arange(30) < 15, -1e9, noise)), 0, 30, 100)
    assert not kernel.climbs(_table(np.where(np.arange(30) < 15, -1e9, noise)), 15, 30, 100)


def test_a_start_far_away_does_not_spoil_the_metric():
    """Where the curvature falls on the way: exponential walls, as of volatilities."""

    class Walls(Gaussian):
        def logp_and_grad(self, z):
            e = np.exp(-z)
            return float(-np.sum(e + z)), e - 1.0

    density = Walls(np.eye(20))
    result = sample_chains(
        density, NUTS(metric="diag"), draws=400, warmup=400, chains=2, seed=1, init=np.full(20, -9.0)
    )
    scale = np.sqrt(result.inverse_mass)
    np.testing.assert_allclose(scale, scale.mean(), rtol=0.4)
    assert result.stats["n_steps"].mean() < 10


class Walls(Gaussian):
    """Exponential walls, as of volatilities: far below zero the curvature is many orders larger than at the mode."""

    def logp_and_grad(self, z):
        e = np.exp(-2.0 * z)
        return float(-np.sum(e + 2.0 * z)), 2.0 * e - 2.0


@pytest.mark.parametrize("lowest", [-6.0, -9.0, -12.0])
def test_a_start_far_away_is_left_at_once(lowest):
    """On the way a fall of the energy is welcome: steps so short that there is none would take all of warm-up."""
    dim = 20
    result = sample_chains(
        Walls(np.eye(dim)), NUTS(), draws=10, warmup=300, chains=4, seed=1, init=np.linspace(lowest, 0.0, dim),
        keep_warmup=True,
    )  # fmt: skip
    lp = result.warmup_stats["lp"]
    assert (lp[:, 0] < -1e4).all()
    assert (lp[:, 30] > -dim - 40).all()


# --- short trajectories -----------------------------------------------------------------------------------------------
CORRELATED = 0.5 * np.eye(20) + 0.5


def _warmup_steps(algorithm, covariance=CORRELATED):
    """Steps of each trajectory of 400 iterations of warm-up in 20 coordinates, and which of them may be short."""
    result = sample_chains(Gaussian(covariance), algorithm, draws=1, warmup=400, chains=4, seed=1, keep_warmup=True)
    assert not result.warmup_stats.get("reached_max_treedepth", np.zeros(1)).any()
    space = algorithm.allocate(20, draws=1, warmup=400, random=stream(0, 0))
    iteration = np.arange(400)
    may_be = (iteration >= space.counts[w.SHORT_FROM]) & (iteration < space.counts[w.SHORT_UNTIL])
    return result.warmup_stats["n_steps"], may_be & (iteration % WHOLE_EVERY != 0)


def test_most_trajectories_of_warm_up_are_short():
    steps, short = _warmup_steps(NUTS())
    assert np.flatnonzero(short)[[0, -1]].tolist() == [41, 359]
    assert np.count_nonzero(short) == 280
    assert steps[:, short].max() <= 3
    assert steps[:, 360:].mean() > 5


def test_short_trajectories_are_half_as_long_as_whole_ones():
    """With a diagonal metric and scales in all directions whole ones have some hundred steps."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))[0]
    steps, short = _warmup_steps(NUTS(metric="diag"), turn * np.logspace(-2, 2, 20) @ turn.T)
    whole = ~short & (np.arange(400) >= 60)
    assert steps[:, whole].mean() > 80
    assert 0.2 < steps[:, short].mean() / steps[:, whole].mean() < 0.6


def test_trajectories_are_whole_where_gradients_do_not_tell_the_metric():
    for algorithm in (NUTS(adaptation="stan"), NUTS(metric="unit"), NUTS(metric=np.ones(20)), HMC(n_steps=5)):
        assert not _warmup_steps(algorithm)[1].any()
    steps, _ = _warmup_steps(NUTS(metric="unit"), np.eye(20))
    assert steps[:, 40:].mean() > 5


def test_a_choice_of_samplers_tries_whole_trajectories():
    _, short = _warmup_steps(Choice())
    assert np.flatnonzero(short)[[0, -1]].tolist() == [41, 116]
    assert Choice().boundaries(20, 400)[0] == 140


@pytest.mark.parametrize(("correlation", "dense"), [(0.0, False), (0.995, True)])
def test_a_metric_becomes_dense_where_that_is_worth_it(correlation, dense):
    """Between 50 and 100 coordinates: for a posterior ten times longer than wide, and not for a round one."""
    dim = 60
    covariance = (1 - correlation) * np.eye(dim) + correlation
    result = sample_chains(Gaussian(covariance), NUTS(), draws=50, warmup=600, chains=2, seed=1)
    assert result.inverse_mass.shape == ((2, dim, dim) if dense else (2, dim))
    variances = [np.diag(m) if dense else m for m in result.inverse_mass]
    assert 0.3 < np.min(variances) <= np.max(variances) < 2.0
    smaller = sample_chains(Gaussian(covariance[:50, :50]), NUTS(), draws=5, warmup=100, chains=1, seed=1)
    assert smaller.inverse_mass.ndim == 3


# --- the first step size ----------------------------------------------------------------------------------------------
def _search(density, start):
    space = make_space(density, position=np.full(density.dim, 0.1), step_size=start)
    rows, scalars, counts, random, _, metric, *_ = space.to_lists()
    address = PythonDensity(density.evaluate, density.dim)
    status = find_step_size(address, 0, rows, scalars, counts, random, metric, density.dim)
    return status, scalars[w.STEP_SIZE]


@pytest.mark.parametrize("sd", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("start", [1e-6, 1.0, 1e6])
def test_the_first_step_size_has_the_scale_of_the_target(sd, start):
    status, step = _search(Gaussian(sd**2 * np.eye(5)), start)
    assert status == 0
    assert 0.1 < step / sd < 10


def test_the_search_for_a_step_ends():
    class Noise(Gaussian):
        """The log density falls at every call, however short the step."""

        n_calls = 0

        def logp_and_grad(self, z):
            self.n_calls += 1
            return -10.0 * self.n_calls, np.zeros(self.dim)

    class Flat(Gaussian):
        def logp_and_grad(self, z):
            return 0.0, np.zeros(self.dim)

    assert _search(Noise(np.eye(2)), 1.0)[0] == 3
    status, step = _search(Flat(np.eye(2)), 1.0)
    assert status == 0
    assert 1e7 <= step < 1e8
