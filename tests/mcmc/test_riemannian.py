"""Riemannian steps by both integrators: reversible, of unit volume, second order, exact; rejected where unsolved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from probad.mcmc import RMHMC, ManifoldMALA, curvature, implicit, proposal, riemannian
from probad.mcmc import workspace as w
from probad.mcmc.intrinsics import CONTRACTION
from probad.mcmc.kernel import run_iterations
from probad.mcmc.manifold_settings import INTEGRATORS
from probad.mcmc.random import stream
from tests.mcmc.targets import Banana, RoundInItsMetric

START, MOMENTUM = np.array([1.0, -0.4]), np.array([0.8, -0.5])
TARGET = Banana()


def _space(algorithm, position, step_size, n_draws=1, seed=0):
    space = algorithm.allocate(2, draws=n_draws, warmup=0, random=stream(seed, 0))
    space.rows[w.POSITION] = position
    space.scalars[w.LOGP], space.rows[w.GRADIENT] = TARGET.logp_and_grad(np.asarray(position))
    space.scalars[w.STEP_SIZE] = step_size
    return space


def _flow(integrator, position, momentum, step, n, tolerance=1e-13, target=TARGET):
    """Position, momentum and energy after n steps of the kernel; the energy is infinite if one fails."""
    algorithm = RMHMC(integrator=integrator, softening=2.0, tolerance=tolerance, max_iterations=200)
    space = _space(algorithm, position, 1.0)
    rows, scalars, counts, *_ = space.to_lists()
    behind, ahead = curvature.block(implicit.BEHIND, 2), curvature.block(implicit.AHEAD, 2)
    rows[2 * behind : 2 * behind + 2] = np.asarray(position).tolist()
    rows[2 * w.RIGHT_MOMENTUM : 2 * w.RIGHT_MOMENTUM + 2] = np.asarray(momentum).tolist()
    assert curvature.locate(target, 0, rows, scalars, counts, behind, 2) == 0
    for _ in range(n):
        if implicit.riemannian_step(target, 0, rows, scalars, counts, step, 2) != 0:
            return None, None, math.inf
        curvature.copy_block(rows, ahead, behind, 2)
    energy = riemannian.riemannian_energy(rows, behind, w.RIGHT_MOMENTUM, 2)
    return np.array(rows[2 * behind : 2 * behind + 2]), np.array(rows[2 * w.RIGHT_MOMENTUM :][:2]), energy


either = pytest.mark.parametrize("integrator", INTEGRATORS)


@either
def test_steps_are_reversible(integrator):
    q, p, _ = _flow(integrator, START, MOMENTUM, 0.15, 20)
    assert np.abs(q - START).max() > 0.5
    back, minus, _ = _flow(integrator, q, -p, 0.15, 20)
    np.testing.assert_allclose(back, START, atol=1e-9)
    np.testing.assert_allclose(-minus, MOMENTUM, atol=1e-9)


@either
def test_steps_are_reversible_to_the_tolerance(integrator):
    q, p, _ = _flow(integrator, START, MOMENTUM, 0.15, 20, tolerance=1e-6)
    back, _, _ = _flow(integrator, q, -p, 0.15, 20, tolerance=1e-6)
    assert 1e-12 < np.abs(back - START).max() < 1e-4


@either
def test_steps_preserve_volume(integrator):
    start, h = np.concatenate([START, MOMENTUM]), 1e-5

    def flow(x):
        return np.concatenate(_flow(integrator, x[:2], x[2:], 0.2, 5)[:2])

    jacobian = np.array([(flow(start + h * e) - flow(start - h * e)) / (2 * h) for e in np.eye(4)]).T
    assert np.linalg.det(jacobian) == pytest.approx(1.0, abs=1e-6)
    assert np.abs(jacobian - np.eye(4)).max() > 0.3


def _energy_errors(integrator):
    start = _flow(integrator, START, MOMENTUM, 0.1, 0)[2]
    return [abs(_flow(integrator, START, MOMENTUM, step, round(1.2 / step))[2] - start) for step in (0.06, 0.03)]


@either
def test_the_energy_error_is_of_second_order(integrator):
    errors = _energy_errors(integrator)
    assert errors[0] < 0.05
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)


def _energy(x):
    """The Hamiltonian of the banana by NumPy alone, from position and momentum."""
    rows = [*x[:2], *[0.0] * 8]
    TARGET(0, 0, rows, 0, 1, 2)
    values, vectors = np.linalg.eigh(np.reshape(rows[4:8], (2, 2)))
    metric = values / np.tanh(2.0 * values)
    return -rows[8] + 0.5 * np.log(metric).sum() + 0.5 * np.sum((vectors.T @ x[2:]) ** 2 / metric)


def _slope_of_the_energy(x, h=1e-6):
    return np.array([_energy(x + h * e) - _energy(x - h * e) for e in np.eye(4)]) / (2 * h)


def test_the_midpoint_rule_moves_by_the_slope_halfway():
    before, after = np.concatenate([START, MOMENTUM]), np.concatenate(_flow("midpoint", START, MOMENTUM, 0.3, 1)[:2])
    slope = _slope_of_the_energy(0.5 * (before + after))
    np.testing.assert_allclose(after - before, 0.3 * np.concatenate([slope[2:], -slope[:2]]), atol=1e-8)


def test_the_leapfrog_moves_by_the_slopes_at_both_ends():
    (q, p), step = (START, MOMENTUM), 0.3
    end, last, _ = _flow("leapfrog", q, p, step, 1)
    half = last + 0.5 * step * _slope_of_the_energy(np.concatenate([end, _half_momentum(q, p, step)]))[:2]
    np.testing.assert_allclose(half, _half_momentum(q, p, step), atol=1e-8)
    velocities = [_slope_of_the_energy(np.concatenate([x, half]))[2:] for x in (q, end)]
    np.testing.assert_allclose(end - q, 0.5 * step * sum(velocities), atol=1e-8)


def _half_momentum(q, p, step):
    """The root of the first equation of the leapfrog."""
    gap = optimize.root(lambda x: x - p + 0.5 * step * _slope_of_the_energy(np.concatenate([q, x]))[:2], p, tol=1e-12)
    assert gap.success
    return gap.x


def test_the_midpoint_rule_keeps_the_energy_where_the_metric_fits():
    start, end = (_flow("midpoint", START, MOMENTUM, 0.9, n, target=RoundInItsMetric())[2] for n in (0, 7))
    assert end == pytest.approx(start, abs=1e-11)
    start, end = (_flow("leapfrog", START, MOMENTUM, 0.9, n, target=RoundInItsMetric())[2] for n in (0, 7))
    assert abs(end - start) > 1e-3


@either
def test_the_energy_is_not_kept_without_the_determinant(monkeypatch, integrator):
    monkeypatch.setattr(riemannian, "log_volume", lambda rows, point, dim: 0.0)
    errors = _energy_errors(integrator)
    assert errors[0] / errors[1] == pytest.approx(1.0, rel=0.1)


@either
def test_a_step_that_is_too_long_has_no_solution(integrator):
    assert _flow(integrator, START, MOMENTUM, 30.0, 1)[2] == math.inf


def test_a_failed_step_is_a_rejected_divergence():
    space = _space(RMHMC(n_steps=3), START, 1e3)
    memory = space.to_lists()
    assert run_iterations(TARGET, 0, *memory, 1, 2) == 0
    space.take_back(*memory)
    row = dict(zip(w.STATISTICS, space.statistics[0], strict=True))
    assert (row["diverging"], row["n_steps"], row["max_energy_error"], row["acceptance_rate"]) == (1, 1, math.inf, 0)
    assert space.draws[0].tolist() == START.tolist()


def test_the_failure_of_a_density_ends_the_run():
    def broken(ctx, which, rows, place, result, dim):
        return 2 if which == CONTRACTION else TARGET(ctx, which, rows, place, result, dim)

    memory = _space(RMHMC(n_steps=3), START, 0.1).to_lists()
    assert run_iterations(broken, 0, *memory, 1, 2) == w.FAILED


def _p_value(algorithm, step_size, n_transitions=1, n=700, address=TARGET):
    """Start from exact draws of the banana; the least p-value of the moved draws, and how many moved."""
    exact = TARGET.draw(np.random.default_rng(5), n)
    space = _space(algorithm, exact[0], step_size, n_draws=n_transitions)
    rows, scalars, counts, *_ = memory = space.to_lists()
    moved = np.empty_like(exact)
    for k, start in enumerate(exact):
        logp, grad = TARGET.logp_and_grad(start)
        rows[2 * w.POSITION : 2 * w.POSITION + 2] = start.tolist()
        rows[2 * w.GRADIENT : 2 * w.GRADIENT + 2] = grad.tolist()
        scalars[w.LOGP] = logp
        counts[w.ITERATION] = 0
        assert run_iterations(address, 0, *memory, n_transitions, 2) == 0
        moved[k] = rows[2 * w.POSITION : 2 * w.POSITION + 2]
    x = TARGET.standardise(moved)
    p_values = [stats.kstest(x[:, k], "norm").pvalue for k in (0, 1)]
    p_values.append(stats.kstest((x**2).sum(axis=1), stats.chi2(2).cdf).pvalue)
    return min(p_values), np.mean((moved != exact).any(axis=1))


RIEMANNIAN = RMHMC(n_steps=2, jitter=0.0, softening=1.0)
BY_MIDPOINT = RMHMC(n_steps=2, jitter=0.0, softening=1.0, integrator="midpoint")
LANGEVIN = ManifoldMALA(softening=1.0)


@pytest.mark.parametrize(
    ("algorithm", "step"),
    [(RIEMANNIAN, 0.4), (BY_MIDPOINT, 1.0), (LANGEVIN, 0.9)],
    ids=["rmhmc", "rmhmc, midpoint", "manifold mala"],
)
def test_a_transition_leaves_a_banana_invariant(algorithm, step):
    p_value, moved = _p_value(algorithm, step)
    assert p_value > 1e-3
    assert 0.3 < moved < 0.99


def _no_volume(rows, point, dim):
    return 0.0


def _only_halfway(address, ctx, rows, scalars, counts, step, dim):
    behind, ahead = curvature.block(implicit.BEHIND, dim), curvature.block(implicit.AHEAD, dim)
    status = implicit.find_midpoint(address, ctx, rows, scalars, counts, behind, ahead, step, dim)
    for i in range(dim):
        rows[w.RIGHT_MOMENTUM * dim + i] = rows[implicit.HALF_MOMENTUM * dim + i]
    return status or curvature.locate(address, ctx, rows, scalars, counts, ahead, dim)


def _no_return(rows, scalars, dim):
    return riemannian.energy_of_leaving(rows, curvature.block(implicit.AHEAD, dim), dim)


BUGS = {
    "rmhmc: every end is accepted": (proposal, "uniform", lambda random: 0.0, RIEMANNIAN, 1.05),
    "rmhmc: the momentum is that of a unit metric": (riemannian, "from_eigenvectors", None, RIEMANNIAN, 0.4),
    "rmhmc: the midpoint is taken for the end": (implicit, "implicit_midpoint", _only_halfway, BY_MIDPOINT, 0.8),
    "manifold mala: the determinant is forgotten": (riemannian, "log_volume", _no_volume, LANGEVIN, 1.35),
    "manifold mala: there is no way back": (riemannian, "energy_of_return", _no_return, LANGEVIN, 0.9),
}


def _unit_momentum(rows, point, components, result, power, step, dim, real=riemannian.from_eigenvectors):
    real(rows, point, components, result, 0.0 if result == w.MOMENTUM else power, step, dim)


@pytest.mark.parametrize("bug", BUGS)
def test_the_invariance_test_catches(bug, monkeypatch):
    module, name, broken, algorithm, step = BUGS[bug]
    monkeypatch.setattr(module, name, broken or _unit_momentum)
    p_value, _ = _p_value(algorithm, step, n_transitions=10, n=350)
    assert p_value < 1e-3
