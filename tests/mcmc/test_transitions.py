"""Trajectories and transitions: reversible, volume preserving, a correct tree, and an invariant target."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from probad.mcmc import HMC, NUTS, trajectory
from probad.mcmc import workspace as w
from probad.mcmc.adaptation import warmup_schedule
from probad.mcmc.integrators import leapfrog
from probad.mcmc.intrinsics import PythonDensity
from probad.mcmc.kernel import run_iterations
from probad.mcmc.random import stream
from tests.mcmc.targets import Funnel, Gaussian, Student

COVARIANCE = np.array([[1.0, 0.6, 0.1], [0.6, 2.0, -0.3], [0.1, -0.3, 0.5]])


def _space(density, algorithm=None, *, position, step_size, n_draws=1, seed=0, warmup=0):
    algorithm = algorithm or NUTS()
    space = w.Workspace.allocate(
        density.dim,
        n_draws=n_draws,
        schedule=warmup_schedule(warmup),
        random=stream(seed, 0),
        max_tree_depth=algorithm.max_tree_depth,
    )
    algorithm.write_to(space)
    space.rows[w.POSITION] = position
    space.scalars[w.LOGP], space.rows[w.GRADIENT] = density.logp_and_grad(np.asarray(position, dtype=float))
    space.scalars[w.STEP_SIZE] = step_size
    return space


def _run(density, space, n):
    address = PythonDensity(density.evaluate, space.rows, space.scalars)
    return run_iterations(address, 0, *space.views(), n, density.dim)


def _steps(density, position, momentum, step, n, inverse_mass=None):
    """Position and momentum after n leapfrog steps."""
    space = _space(density, position=position, step_size=1.0)
    space.rows[w.MOMENTUM] = momentum
    if inverse_mass is not None:
        space.rows[w.INVERSE_MASS] = inverse_mass
    address = PythonDensity(density.evaluate, space.rows, space.scalars)
    for _ in range(n):
        status = leapfrog(
            address, 0, space.rows, space.scalars, w.POSITION, w.GRADIENT, w.MOMENTUM, w.LOGP, step, density.dim
        )
        assert status == 0
    return space.rows[w.POSITION].copy(), space.rows[w.MOMENTUM].copy(), float(space.scalars[w.LOGP])


def test_leapfrog_is_reversible():
    density = Funnel(4)
    start = np.array([0.3, 1.0, -0.5, 0.2]), np.array([1.0, -0.4, 0.6, 0.1])
    mass = np.array([0.5, 1.0, 2.0, 0.3])
    q, p, _ = _steps(density, *start, 0.05, 30, mass)
    back, minus, _ = _steps(density, q, -p, 0.05, 30, mass)
    np.testing.assert_allclose(back, start[0], atol=1e-12)
    np.testing.assert_allclose(-minus, start[1], atol=1e-12)


def test_leapfrog_preserves_volume():
    density = Funnel(3)
    start = np.array([0.3, 1.0, -0.5, 1.0, -0.4, 0.6])
    h = 1e-5

    def flow(x):
        return np.concatenate(_steps(density, x[:3], x[3:], 0.1, 10)[:2])

    jacobian = np.array([(flow(start + h * e) - flow(start - h * e)) / (2 * h) for e in np.eye(6)]).T
    assert np.linalg.det(jacobian) == pytest.approx(1.0, abs=1e-7)


def test_the_energy_error_is_of_second_order():
    density = Gaussian(COVARIANCE)
    q, p = np.array([1.0, -0.5, 0.3]), np.array([0.2, 0.7, -1.0])
    start = 0.5 * p @ p - density.logp(q)

    def error(step):
        _, p1, logp = _steps(density, q, p, step, round(1.0 / step))
        return abs(0.5 * p1 @ p1 - logp - start)

    assert error(0.05) / error(0.025) == pytest.approx(4.0, rel=0.1)


# --- the tree, against the recursion of the paper -----------------------------------------------------------------
def _turns(p_begin, p_end, rho, inverse_mass):
    return not (p_begin @ (inverse_mass * rho) > 0 and p_end @ (inverse_mass * rho) > 0)


def _build(states, inverse_mass):
    """Whether the tree over `states`, a list of momenta of length 2^k, has a turn in itself or in any subtree."""
    n = len(states)
    if n == 1:
        return False
    a, b = states[: n // 2], states[n // 2 :]
    if _build(a, inverse_mass) or _build(b, inverse_mass):
        return True
    rho_a, rho_b = np.sum(a, axis=0), np.sum(b, axis=0)
    return (
        _turns(a[0], b[-1], rho_a + rho_b, inverse_mass)
        or _turns(a[0], b[0], rho_a + b[0], inverse_mass)
        or _turns(a[-1], b[-1], rho_b + a[-1], inverse_mass)
    )


def _reference_tree(density, position, momentum, step, signs, inverse_mass, max_depth):
    """Depth and number of steps of a NUTS tree grown in the given directions, by brute force."""
    states = [momentum]
    left = right = (position, momentum)
    n_steps = 0
    for depth in range(max_depth):
        end = right if signs[depth] > 0 else left
        new, turned = [], False
        q, p = end
        for leaf in range(2**depth):
            q, p, _ = _steps(density, q, p, signs[depth] * step, 1, inverse_mass)
            n_steps += 1
            new.append(p)
            size = leaf + 1
            block = 1
            while size % (2 * block) == 0 and not turned:  # each subtree is judged as soon as it is complete
                block *= 2
                turned = _build(new[-block:], inverse_mass)
            if turned:
                return depth + 1, n_steps
        if signs[depth] > 0:
            right = (q, p)
            a, b = states, new
        else:
            left = (q, p)
            a, b = states[::-1], new
        rho_a, rho_b = np.sum(a, axis=0), np.sum(b, axis=0)
        stop = (
            _turns(a[0], b[-1], rho_a + rho_b, inverse_mass)
            or _turns(a[0], b[0], rho_a + b[0], inverse_mass)
            or _turns(a[-1], b[-1], rho_b + a[-1], inverse_mass)
        )
        states = states + new if signs[depth] > 0 else new[::-1] + states
        if stop:
            return depth + 1, n_steps
    return max_depth, n_steps


def test_the_tree_is_the_recursive_one(monkeypatch):
    """Depth and steps agree with brute force over 200 random starts, directions and step sizes."""
    density = Gaussian(COVARIANCE)
    rng = np.random.default_rng(0)
    inverse_mass = np.array([0.8, 1.7, 0.6])
    depths = set()
    for _ in range(200):
        position, momentum = rng.normal(size=3), rng.normal(size=3)
        step, signs = float(np.exp(rng.uniform(-3.0, 0.5))), rng.choice([-1.0, 1.0], 12)
        space = _space(density, NUTS(max_tree_depth=7), position=position, step_size=step)
        space.rows[w.INVERSE_MASS] = inverse_mass
        directions = iter(signs)

        def fixed_momentum(rows, random, dim, momentum=momentum):
            for i in range(dim):
                rows[w.MOMENTUM, i] = momentum[i]

        monkeypatch.setattr(trajectory, "draw_momentum", fixed_momentum)
        monkeypatch.setattr(trajectory, "goes_right", lambda random, directions=directions: next(directions) > 0)
        assert _run(density, space, 1) == 0
        found = int(space.counts[w.TREE_DEPTH]), int(space.counts[w.N_STEPS])
        assert found == _reference_tree(density, position, momentum, step, signs, inverse_mass, 7)
        depths.add(found[0])
    assert len(depths) >= 5


# --- invariance ---------------------------------------------------------------------------------------------------
def _after_one_transition(density, exact, algorithm, step_size, n=4000):
    out = np.empty((n, density.dim))
    for k in range(n):
        space = _space(density, algorithm, position=exact[k], step_size=step_size, seed=k)
        assert _run(density, space, 1) == 0
        out[k] = space.draws[0]
    return out


TRANSITIONS = {"nuts": NUTS(max_tree_depth=4), "hmc": HMC(n_steps=3), "hmc length": HMC(trajectory_length=1.0)}


@pytest.mark.parametrize("name", TRANSITIONS)
@pytest.mark.parametrize("step_size", [0.3, 1.1])
def test_a_transition_leaves_the_target_invariant(name, step_size):
    """Start from exact draws, at step sizes with a real rejection rate; the moved draws are still exact."""
    rng = np.random.default_rng(1)
    exact = rng.standard_t(5, size=(2500, 1))
    moved = _after_one_transition(Student(1), exact, TRANSITIONS[name], step_size, n=2500)
    assert np.mean(moved != exact) > 0.5
    assert stats.kstest(moved[:, 0], stats.t(5).cdf).pvalue > 1e-3


def test_the_invariance_test_catches_a_gradient_that_does_not_belong_to_the_density():
    """A planted bug in the acceptance: the energy of another density."""

    class Wrong(Student):
        def logp_and_grad(self, z):
            logp, grad = super().logp_and_grad(z)
            return 0.8 * logp, grad

    rng = np.random.default_rng(1)
    exact = rng.standard_t(5, size=(2500, 1))
    moved = exact
    for _ in range(3):
        moved = _after_one_transition(Wrong(1), moved, NUTS(max_tree_depth=4), 1.1, n=2500)
    assert stats.kstest(moved[:, 0], stats.t(5).cdf).pvalue < 1e-3


def test_stans_windows():
    ends = np.flatnonzero(warmup_schedule(1000) == 2) + 1
    assert ends.tolist() == [100, 150, 250, 450, 950]
    assert (warmup_schedule(1000)[:75] == 0).all() and (warmup_schedule(1000)[950:] == 0).all()
    assert (np.flatnonzero(warmup_schedule(100) == 2) + 1).tolist() == [90]
    assert (warmup_schedule(10) == 0).all() and len(warmup_schedule(0)) == 0


def test_statistics_mean_what_they_say():
    density = Gaussian(COVARIANCE)
    space = _space(density, position=[0.5, 0.1, -0.2], step_size=0.7, n_draws=50)
    _run(density, space, 50)
    table = dict(zip(w.STATISTICS, space.statistics.T, strict=True))
    lp = [density.logp(z) for z in space.draws]
    np.testing.assert_allclose(table["lp"], lp, rtol=1e-12)
    assert (table["energy"] >= -table["lp"]).all()
    assert ((table["acceptance_rate"] >= 0) & (table["acceptance_rate"] <= 1)).all()
    assert (table["n_steps"] < 2.0 ** table["tree_depth"]).all()
    assert (np.abs(table["energy_error"]) <= np.abs(table["max_energy_error"]) + 1e-12).all()
    assert not math.isnan(table["max_energy_error"].sum())
