"""Trajectories and transitions: reversible, the right tree, the right choice, an invariant target."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from probad.mcmc import (
    HMC,
    MALA,
    MAMS,
    NUTS,
    EllipticalSlice,
    Metropolis,
    elliptical,
    integrators,
    microcanonical,
    proposal,
    static,
    trajectory,
    walk,
)
from probad.mcmc import workspace as w
from probad.mcmc.intrinsics import PythonDensity
from probad.mcmc.metrics import whiten_gradient
from probad.mcmc.proposal import begin_statistics
from probad.mcmc.random import fill_normal
from tests.mcmc import reference
from tests.mcmc.run import after_transitions, make_space, run, statistics, steps
from tests.mcmc.targets import Funnel, Gaussian, Student

COVARIANCE = np.array([[1.0, 0.6, 0.1], [0.6, 2.0, -0.3], [0.1, -0.3, 0.5]])
FUNNEL_START = np.array([0.3, 1.0, -0.5, 0.2]), np.array([1.0, -0.4, 0.6, 0.1])
MASS = np.array([0.5, 1.0, 2.0, 0.3])
MATRIX = np.diag(MASS) + 0.2


# --- the integrator -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("inverse_mass", [MASS, MATRIX], ids=["diagonal", "dense"])
def test_leapfrog_is_reversible(inverse_mass):
    density = Funnel(4)
    q, p, _ = steps(density, *FUNNEL_START, 0.05, 30, inverse_mass)
    assert np.abs(q - FUNNEL_START[0]).max() > 0.5
    back, minus, _ = steps(density, q, -p, 0.05, 30, inverse_mass)
    np.testing.assert_allclose(back, FUNNEL_START[0], atol=1e-12)
    np.testing.assert_allclose(-minus, FUNNEL_START[1], atol=1e-12)


def test_leapfrog_in_whitened_momenta_is_leapfrog():
    density, (q, whitened) = Funnel(4), FUNNEL_START
    found = steps(density, q, whitened, 0.05, 20, MASS)
    p = whitened / np.sqrt(MASS)
    for _ in range(20):
        q, p = reference.leapfrog(density, q, p, 0.05, MASS)
    np.testing.assert_allclose(found[0], q, rtol=1e-12)
    np.testing.assert_allclose(found[1], np.sqrt(MASS) * p, rtol=1e-12)


@pytest.mark.parametrize("dim", range(1, 14))
def test_a_dense_metric_moves_as_its_matrix(dim):
    """Whatever the number of rows that is left over after those taken four at a time."""
    rng = np.random.default_rng(dim)
    a, gaussian = rng.normal(size=(2, dim, dim + 2))
    inverse_mass, density = a @ a.T, Gaussian(gaussian @ gaussian.T)
    factor = np.linalg.cholesky(inverse_mass)
    q, whitened = rng.normal(size=(2, dim))
    found = steps(density, q, whitened, 0.03, 3, inverse_mass)
    for _ in range(3):
        whitened = whitened + 0.015 * factor.T @ density.logp_and_grad(q)[1]
        q = q + 0.03 * factor @ whitened
        whitened = whitened + 0.015 * factor.T @ density.logp_and_grad(q)[1]
    np.testing.assert_allclose(found[0], q, rtol=1e-10)
    np.testing.assert_allclose(found[1], whitened, rtol=1e-10)


def test_leapfrog_preserves_volume():
    density = Funnel(3)
    start = np.array([0.3, 1.0, -0.5, 1.0, -0.4, 0.6])
    h = 1e-5

    def flow(x):
        return np.concatenate(steps(density, x[:3], x[3:], 0.1, 10)[:2])

    jacobian = np.array([(flow(start + h * e) - flow(start - h * e)) / (2 * h) for e in np.eye(6)]).T
    assert np.linalg.det(jacobian) == pytest.approx(1.0, abs=1e-7)


def test_the_energy_error_is_of_second_order():
    density = Gaussian(COVARIANCE)
    q, p = np.array([1.0, -0.5, 0.3]), np.array([0.2, 0.7, -1.0])
    start = 0.5 * p @ p - density.logp(q)

    def error(step):
        _, p1, logp = steps(density, q, p, step, round(1.0 / step))
        return abs(0.5 * p1 @ p1 - logp - start)

    assert error(0.05) / error(0.025) == pytest.approx(4.0, rel=0.1)


def isokinetic(density, position, direction, step, n, inverse_mass):
    """Position, direction and the sum of the gains of kinetic energy after n isokinetic steps of the kernel."""
    algorithm = MAMS(metric="diag" if np.ndim(inverse_mass) < 2 else "dense")
    space = make_space(density, algorithm, position=position, step_size=1.0, inverse_mass=inverse_mass)
    space.rows[w.RIGHT_POSITION] = space.rows[w.POSITION]
    space.rows[w.RIGHT_MOMENTUM] = direction
    rows, scalars, counts, _, _, metric, *_ = memory = space.to_lists()
    address, dim = PythonDensity(density.evaluate, density.dim), density.dim
    whiten_gradient(rows, counts, metric, w.GRADIENT, w.RIGHT_FORCE, dim)
    gain = sum(microcanonical.isokinetic_step(address, 0, rows, scalars, counts, metric, step, dim) for _ in range(n))
    space.take_back(*memory)
    return space.rows[w.RIGHT_POSITION].copy(), space.rows[w.RIGHT_MOMENTUM].copy(), gain


@pytest.mark.parametrize("inverse_mass", [MASS, MATRIX], ids=["diagonal", "dense"])
def test_isokinetic_steps_are_reversible_and_of_constant_speed(inverse_mass):
    density, (start, direction) = Funnel(4), FUNNEL_START
    direction = direction / np.linalg.norm(direction)
    q, u, gain = isokinetic(density, start, direction, 0.1, 20, inverse_mass)
    assert np.abs(q - start).max() > 0.5
    assert np.linalg.norm(u) == pytest.approx(1.0, abs=1e-12)
    back, minus, loss = isokinetic(density, q, -u, 0.1, 20, inverse_mass)
    np.testing.assert_allclose(back, start, atol=1e-11)
    np.testing.assert_allclose(-minus, direction, atol=1e-11)
    assert gain == pytest.approx(-loss, abs=1e-10)


def test_isokinetic_steps_conserve_energy_to_second_order():
    density, (start, direction) = Funnel(4), FUNNEL_START
    direction = direction / np.linalg.norm(direction)

    def error(step):
        q, _, gain = isokinetic(density, start, direction, step, round(1.6 / step), MATRIX)
        return abs(gain - density.logp(q) + density.logp(start))

    assert error(0.04) < 0.01
    assert error(0.08) / error(0.04) == pytest.approx(4.0, rel=0.15)


def test_the_kinetic_gain_is_the_change_of_volume():
    """Of position and direction on the sphere, by differences: exp(-gain) is the determinant, which makes it exact."""
    density, h = Gaussian(COVARIANCE), 1e-6
    start, angles = np.array([0.3, 1.0, -0.5]), np.array([0.7, 1.1])

    def flow(x):
        a, b = x[3:]
        u = np.array([np.sin(a) * np.cos(b), np.sin(a) * np.sin(b), np.cos(a)])
        q, u, gain = isokinetic(density, x[:3], u, 0.6, 2, np.ones(3))
        return np.concatenate([q, [np.arccos(u[2]), np.arctan2(u[1], u[0])]]), gain

    x = np.concatenate([start, angles])
    jacobian = np.stack([(flow(x + h * e)[0] - flow(x - h * e)[0]) / (2 * h) for e in np.eye(5)], axis=1)
    end, gain = flow(x)
    volume = np.linalg.det(jacobian) * np.sin(end[3]) / np.sin(x[3])
    assert abs(gain) > 0.1
    assert np.log(volume) == pytest.approx(-gain, abs=1e-6)


# --- the tree, against recursion ------------------------------------------------------------------------------------
def _steer(monkeypatch, whitened, signs):
    """Fix the momentum and the directions of the next transitions."""
    directions = iter(np.concatenate([signs] * 10_000))

    def fixed(random, rows, row, dim):
        rows[row * dim : (row + 1) * dim] = whitened.tolist()

    monkeypatch.setattr(trajectory, "fill_normal", fixed)
    monkeypatch.setattr(trajectory, "goes_right", lambda random: next(directions) > 0)


@pytest.mark.parametrize("density", [Gaussian(COVARIANCE), Funnel(3)], ids=["gaussian", "funnel"])
def test_the_tree_is_the_recursive_one(density, monkeypatch):
    """Depth, steps, divergence, limit, acceptance and states agree for random starts, directions and step sizes."""
    rng = np.random.default_rng(0)
    inverse_mass = np.array([0.8, 1.7, 0.6])
    seen = []
    for k in range(200):
        position, whitened = rng.normal(size=3), rng.normal(size=3)
        step, signs, limit = float(np.exp(rng.uniform(-3.0, 0.7))), rng.choice([-1.0, 1.0], 12), int(rng.integers(1, 7))
        space = make_space(
            density,
            NUTS(max_tree_depth=limit, metric="diag"),
            position=position,
            step_size=step,
            inverse_mass=inverse_mass,
            seed=k,
        )
        _steer(monkeypatch, whitened, signs)
        assert run(density, space, 1) == 0
        momentum = whitened / np.sqrt(inverse_mass)
        expected = reference.trajectory(density, position, momentum, step, signs, inverse_mass, limit)
        row = {name: column[0] for name, column in statistics(space).items()}
        facts = expected.depth, expected.n_steps, expected.diverging, expected.saturated
        assert (row["tree_depth"], row["n_steps"], row["diverging"], row["reached_max_treedepth"]) == facts
        assert row["acceptance_rate"] == pytest.approx(expected.acceptance, rel=1e-9, abs=1e-12)
        assert np.abs(expected.states - space.draws[0]).max(axis=1).min() < 1e-9
        seen.append(facts)
    depths, _, diverging, saturated = map(set, zip(*seen, strict=True))
    assert depths == {1, 2, 3, 4, 5, 6}
    assert saturated == diverging == {False, True}


@pytest.mark.parametrize(("seed", "step"), [(1, 0.9), (3, 1.3), (5, 0.45), (11, 1.1)])
def test_states_are_chosen_with_the_right_probabilities(seed, step, monkeypatch):
    """Uniform by weight inside a new half, biased towards it at the top: frequencies against exact chances."""
    density = Gaussian(COVARIANCE)
    rng = np.random.default_rng(seed)
    position, whitened, signs = rng.normal(size=3), rng.normal(size=3), rng.choice([-1.0, 1.0], 4)
    expected = reference.trajectory(density, position, whitened, step, signs, np.ones(3), 4)
    assert len(expected.states) >= 4
    directions = np.concatenate([signs[: expected.depth]] * 3000)
    _steer(monkeypatch, whitened, directions)
    moved = after_transitions(density, np.tile(position, (3000, 1)), NUTS(max_tree_depth=4), step, seed=seed)
    distance = np.abs(moved[:, None] - expected.states).max(axis=-1)
    assert distance.min(axis=1).max() < 1e-9
    counts = np.bincount(distance.argmin(axis=1), minlength=len(expected.states))
    possible = expected.probabilities > 1e-12
    assert counts[~possible].sum() == 0
    assert stats.chisquare(counts[possible], 3000 * expected.probabilities[possible]).pvalue > 1e-3


def _weights(errors):
    """Sum of weights as a logarithm, mean acceptance and the last candidate, by the kernel, for given energy errors."""
    space = make_space(Gaussian(COVARIANCE), position=np.zeros(3), step_size=1.0)
    rows, scalars, _, random, *_ = space.to_lists()
    begin_statistics(scalars, space.counts, 0.0)
    for leaf, error in enumerate(errors):
        trajectory.weigh_leaf(rows, scalars, random, w.POSITION, error, error, leaf, 3)
    total = math.log(scalars[w.SUBTREE_WEIGHT]) + scalars[w.SUBTREE_SHIFT]
    return total, scalars[w.ACCEPTANCE_SUM] / len(errors), scalars[w.CANDIDATE_ENERGY]


@pytest.mark.parametrize(
    "errors",
    [
        [0.3, -0.2, 1.0],
        [900.0, 901.0, 2.0],
        [-5000.0, 0.1],
        [0.0, -400.0, -399.0, -5e4],
        [999.0],
        [350.0, -350.0],
        [1e3] * 4,
    ],
)
def test_weights_beyond_the_range_of_floats(errors):
    total, acceptance, candidate = _weights(errors)
    weights = -np.array(errors)
    assert total == pytest.approx(np.logaddexp.reduce(weights), rel=1e-12)
    assert acceptance == pytest.approx(np.exp(np.minimum(0.0, weights)).mean(), rel=1e-12)
    best = weights.max()
    if np.sum(weights > best - 50.0) == 1:  # any other choice has no chance
        assert candidate == -best


# --- invariance -----------------------------------------------------------------------------------------------------
TRANSITIONS = {
    "nuts": NUTS(max_tree_depth=4, metric="diag"),
    "hmc": HMC(n_steps=3, metric="diag"),
    "hmc length": HMC(trajectory_length=1.0, metric="diag"),
    "hmc jittered": HMC(trajectory_length=1.0, jitter=1.0, metric="diag"),
    "hmc, steps jittered": HMC(n_steps=3, jitter=0.5, metric="diag"),
    "hmc generalised": HMC(n_steps=1, refreshment=0.3, metric="diag"),
    "mams": MAMS(metric="diag"),
    "mams, fixed length": MAMS(metric="diag", jitter=0.0, trajectory_length=3.0),
    "mala": MALA(metric="diag"),
    "metropolis": Metropolis(metric="diag"),
    "elliptical slice": EllipticalSlice(metric="diag", prior_mean=0.4, prior_cov=2.0),
}
DENSE = {name: replace(algorithm, metric="dense") for name, algorithm in TRANSITIONS.items()}
DENSE["elliptical slice"] = EllipticalSlice(metric="dense", prior_mean=0.4, prior_cov=np.eye(2))
PAIR = np.array([[1.0, 0.7], [0.7, 1.5]])


def _student_p_value(algorithm, step_size, n_transitions=1, n=2500, density=None):
    """Start from exact draws of Student's t; the p-value of the moved draws."""
    exact = np.random.default_rng(1).standard_t(5, size=(n, 1))
    moved = after_transitions(density or Student(1), exact, algorithm, step_size, n_transitions)
    assert np.mean(moved != exact) > 0.3
    return stats.kstest(moved[:, 0], stats.t(5).cdf).pvalue


def _pair_p_value(algorithm, step_size, n_transitions=1, n=2500):
    """The same for two correlated normals under a metric that is not theirs: the worst of three projections."""
    exact = np.random.default_rng(2).multivariate_normal(np.zeros(2), PAIR, size=n)
    inverse_mass = np.array([[0.5, -0.3], [-0.3, 2.0]]) if algorithm.metric == "dense" else np.array([0.5, 2.0])
    moved = after_transitions(Gaussian(PAIR), exact, algorithm, step_size, n_transitions, inverse_mass)
    assert np.mean(moved != exact) > 0.2
    radius = np.einsum("ni,ij,nj->n", moved, np.linalg.inv(PAIR), moved)
    standard = moved / np.sqrt(np.diag(PAIR))
    return min(
        stats.kstest(radius, stats.chi2(2).cdf).pvalue,
        stats.kstest(standard[:, 0], "norm").pvalue,
        stats.kstest(standard[:, 1], "norm").pvalue,
    )


@pytest.mark.parametrize("name", TRANSITIONS)
@pytest.mark.parametrize("step_size", [0.3, 1.1])
def test_a_transition_leaves_the_target_invariant(name, step_size):
    """Start from exact draws, at step sizes with a real rejection rate; the moved draws are still exact."""
    if "mams" not in name:  # which has no directions in one dimension
        assert _student_p_value(TRANSITIONS[name], step_size) > 1e-3
    assert _pair_p_value(TRANSITIONS[name], step_size) > 1e-3
    assert _pair_p_value(DENSE[name], step_size) > 1e-3


def test_generalised_transitions_stay_exact_when_repeated():
    """A momentum that is kept must be turned round on a rejection."""
    assert _pair_p_value(TRANSITIONS["hmc generalised"], 1.1, n_transitions=6) > 1e-3


def _no_last_kick(address, ctx, rows, scalars, counts, metric, position, gradient, force, momentum, logp, step, dim):
    integrators.kick(rows, momentum, force, 0.5 * step, dim)
    integrators.drift(rows, counts, metric, position, momentum, step, dim)
    status = integrators.evaluate(address, ctx, rows, position, gradient, scalars, logp, dim)
    if status == 0:
        whiten_gradient(rows, counts, metric, gradient, force, dim)
    return status


def _old_force(address, ctx, rows, scalars, counts, metric, position, gradient, force, momentum, logp, step, dim):
    integrators.kick(rows, momentum, force, 0.5 * step, dim)
    integrators.drift(rows, counts, metric, position, momentum, step, dim)
    status = integrators.evaluate(address, ctx, rows, position, gradient, scalars, logp, dim)
    integrators.kick(rows, momentum, force, 0.5 * step, dim)
    return status


def _begin_with_less_force(rows, position, force, momentum, dim, real=trajectory.begin_end):
    real(rows, position, force, momentum, dim)
    for i in range(dim):
        rows[force * dim + i] = 0.5 * rows[force * dim + i]


def _weigh_by_position(rows, scalars, random, position, energy, error, leaf, dim, real=trajectory.weigh_leaf):
    real(rows, scalars, random, position, energy, 0.0, leaf, dim)


def _check_the_top_alone(rows, begin, end, rho, more, dim, real=trajectory.turns):
    return begin < w.STACK and real(rows, begin, end, rho, more, dim)


def _too_fast(random, rows, row, dim):
    fill_normal(random, rows, row, dim)
    rows[row * dim] = 1.3 * rows[row * dim]


def _lean(random, rows, row, dim):
    fill_normal(random, rows, row, dim)
    rows[row * dim] = rows[row * dim] + 0.3


def _forget_the_mean(rows, counts, metric, position, whitened, dim):
    for i in range(dim):
        rows[whitened * dim + i] = rows[position * dim + i] / rows[w.SCALE * dim + i]


def _turn_for_nothing(*args, real=microcanonical.turn):
    return 0.0 * real(*args)


# what is broken, where, and which transition shows it
BUGS = {
    "nuts: a half kick is missing": (trajectory, "leapfrog", _no_last_kick, "nuts"),
    "nuts: forces stay as they were": (trajectory, "leapfrog", _old_force, "nuts"),
    "nuts: an end begins with half its force": (trajectory, "begin_end", _begin_with_less_force, "nuts"),
    "nuts: weights are ignored": (trajectory, "weigh_leaf", _weigh_by_position, "nuts"),
    "nuts: subtrees are not checked": (trajectory, "turns", _check_the_top_alone, "nuts"),
    "nuts: momenta are too large": (trajectory, "fill_normal", _too_fast, "nuts"),
    "hmc: a half kick is missing": (static, "leapfrog", _no_last_kick, "hmc"),
    "hmc: every end is accepted": (proposal, "uniform", lambda random: 0.0, "hmc"),
    "hmc: momenta are too large": (static, "fill_normal", _too_fast, "hmc"),
    "mams: the kinetic energy is forgotten": (microcanonical, "turn", _turn_for_nothing, "mams"),
    "mams: every end is accepted": (proposal, "uniform", lambda random: 0.0, "mams"),
    "mala: every end is accepted": (proposal, "uniform", lambda random: 0.0, "mala"),
    "metropolis: every step is accepted": (proposal, "uniform", lambda random: 0.0, "metropolis"),
    "metropolis: steps lean to one side": (walk, "fill_normal", _lean, "metropolis"),
    "elliptical slice: the prior counts twice": (elliptical, "squared_norm", lambda *_: 0.0, "elliptical slice"),
    "elliptical slice: the mean is forgotten": (elliptical, "whiten", _forget_the_mean, "elliptical slice"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_invariance_test_catches(bug, monkeypatch):
    module, name, broken, algorithm = BUGS[bug]
    monkeypatch.setattr(module, name, broken)
    tests = (_pair_p_value,) if algorithm == "mams" else (_student_p_value, _pair_p_value)
    step_size = 4.0 if algorithm == "mams" else 1.1  # where enough ends are rejected
    p_values = [f(TRANSITIONS[algorithm], step_size, n_transitions=8 if algorithm == "mams" else 4) for f in tests]
    print(bug, p_values)
    assert min(p_values) < 1e-3


def test_the_invariance_test_catches_the_energy_of_another_density():
    class Wrong(Student):
        def logp_and_grad(self, z):
            logp, grad = super().logp_and_grad(z)
            return 0.8 * logp, grad

    assert _student_p_value(TRANSITIONS["nuts"], 1.1, n_transitions=4, density=Wrong(1)) < 1e-3


# --- statistics -----------------------------------------------------------------------------------------------------
def test_statistics_mean_what_they_say():
    density = Gaussian(COVARIANCE)
    space = make_space(density, position=[0.5, 0.1, -0.2], step_size=0.7, n_draws=50)
    run(density, space, 50)
    table = statistics(space)
    lp = [density.logp(z) for z in space.draws]
    np.testing.assert_allclose(table["lp"], lp, rtol=1e-12)
    assert (table["energy"] >= -table["lp"]).all()
    assert ((table["acceptance_rate"] >= 0) & (table["acceptance_rate"] <= 1)).all()
    assert (table["n_steps"] < 2.0 ** table["tree_depth"]).all()
    assert (np.abs(table["energy_error"]) <= np.abs(table["max_energy_error"]) + 1e-12).all()
    assert not math.isnan(table["max_energy_error"].sum())


@pytest.mark.parametrize("algorithm", [NUTS(), HMC(n_steps=5)], ids=["nuts", "hmc"])
def test_a_step_out_of_the_support_has_infinite_energy(algorithm):
    class Wall(Gaussian):
        def evaluate(self, *args):
            return 1

    density = Wall(np.eye(2))
    space = make_space(density, algorithm, position=[1.0, 2.0], step_size=0.1)
    assert run(density, space, 1) == 0
    row = {name: column[0] for name, column in statistics(space).items()}
    assert (row["diverging"], row["n_steps"], row["max_energy_error"], row["acceptance_rate"]) == (1, 1, math.inf, 0)
    assert space.draws[0].tolist() == [1.0, 2.0]
