"""The low-rank metric: it moves as its matrix does, and is learnt where few directions are stretched."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from probad.codegen.kernel import compile_kernel
from probad.density import LogDensity
from probad.mcmc import HMC, MAMS, NUTS, Choice, estimates, sample_chains
from probad.mcmc import workspace as w
from probad.mcmc.low_rank import CUTOFF
from probad.mcmc.random import stream
from tests.mcmc.run import make_space, walk
from tests.mcmc.scores import moment_scores
from tests.mcmc.targets import Gaussian
from tests.tolerances import MONTE_CARLO


def directions(dim, n, seed=0):
    """Orthonormal rows."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, n)))[0].T


def stretched(dim, sds, seed=0):
    """Scales of the coordinates, and the covariance that is stretched by standard deviations along directions."""
    scale = np.logspace(-2, 2, dim)[np.random.default_rng(seed).permutation(dim)]
    u, sds = directions(dim, len(sds), seed), np.asarray(sds)
    return scale, np.outer(scale, scale) * (np.eye(dim) + u.T * (sds**2 - 1) @ u)


class Stretched(LogDensity):
    """A normal distribution stretched along few directions, whose density takes no matrix."""

    def __init__(self, dim, sds):
        super().__init__(dim)
        self.u, self.shrinkage = directions(dim, len(sds)), 1 / np.square(sds) - 1

    def evaluate(self, ctx, position, logp_out, grad_out):
        grad_out[:] = -position - (self.u @ position * self.shrinkage) @ self.u
        logp_out[0] = 0.5 * position @ grad_out
        return 0

    def logp_and_grad(self, z):
        logp, grad = np.empty(1), np.empty(self.dim)
        self.evaluate(0, z, logp, grad)
        return float(logp[0]), grad


def estimated(draws, gradients):
    """A workspace whose low-rank metric a kernel has made of draws and gradients."""
    n, dim = draws.shape
    space = NUTS(metric="low-rank").allocate(dim, draws=1, warmup=n, random=stream(0, 0))
    space.draws[:n], space.gradients[:n] = draws, gradients
    kinds = ("floats", "floats", "ints", "floats", "floats", "floats", "floats", "int", "int", "int")
    if n * dim < 2000:  # by Python as well as by machine code
        rows, scalars, counts, _, _, metric, d, g, _, work = memory = space.to_lists()
        estimates.renew_metric(rows, scalars, counts, metric, d, g, work, 0, n, dim)
        space.take_back(*memory)
    else:
        rows, scalars, counts, _, _, metric, d, g, _, work = space.arrays()
        compile_kernel(estimates.renew_metric, *kinds)(rows, scalars, counts, metric, d, g, work, 0, n, dim)
    return space


def matrix(space):
    """The inverse mass as a whole, from what kernels read."""
    n, dim = int(space.counts[w.N_DIRECTIONS]), space.rows.shape[1]
    u, v = (space.metric[k * dim :][: n * dim].reshape(n, dim) for k in (w.UNIT_DIRECTIONS, w.DIRECTIONS))
    scale = space.rows[w.SCALE]
    np.testing.assert_allclose(v, u * scale, rtol=1e-14)
    factor = np.diag(scale) + v.T * space.metric[w.STRETCHES * dim :][:n] @ u
    return factor @ factor.T


def normal_draws(covariance, n, seed=1):
    draws = np.random.default_rng(seed).multivariate_normal(np.zeros(len(covariance)), covariance, n, method="cholesky")
    return draws + 3.0, -np.linalg.solve(covariance, draws.T).T


# --- what it does -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dim", [1, 2, 3, 8, 13, 17])
@pytest.mark.parametrize("n", [0, 4, 8, 16])
def test_it_moves_as_its_matrix(dim, n):
    """Leapfrog steps by hand with the factor S (I + U f U'), whatever directions are left over."""
    from tests.mcmc.run import PythonDensity

    rng = np.random.default_rng(dim)
    density = Gaussian(np.diag(rng.uniform(0.5, 2.0, dim)))
    space = make_space(density, NUTS(metric="low-rank"), position=rng.normal(size=dim), step_size=1.0)
    scale, u, f = rng.uniform(0.5, 2.0, dim), np.zeros((n, dim)), np.zeros(n)
    kept = min(n, dim)
    u[:kept], f[:kept] = directions(dim, kept), rng.uniform(-0.9, 4.0, kept)
    space.rows[w.SCALE], space.rows[w.INVERSE_MASS], space.counts[w.N_DIRECTIONS] = scale, scale**2, n
    space.metric[: n * dim] = u.ravel()
    space.metric[w.DIRECTIONS * dim :][: n * dim] = (u * scale).ravel()
    space.metric[w.STRETCHES * dim :][:n] = f
    q, p = space.rows[w.POSITION].copy(), rng.normal(size=dim)
    space.rows[w.MOMENTUM] = p
    rows, scalars, counts, _, _, metric, *_ = memory = space.to_lists()
    address = PythonDensity(density.evaluate, dim)
    walk(address, rows, scalars, counts, metric, 0.1, 3, dim)
    space.take_back(*memory)
    factor = scale[:, None] * (np.eye(dim) + u.T * f @ u)
    for _ in range(3):
        p = p + 0.05 * factor.T @ density.logp_and_grad(q)[1]
        q = q + 0.1 * factor @ p
        p = p + 0.05 * factor.T @ density.logp_and_grad(q)[1]
    np.testing.assert_allclose(space.rows[w.POSITION], q, rtol=1e-11)
    np.testing.assert_allclose(space.rows[w.MOMENTUM], p, rtol=1e-11, atol=1e-11)
    inverse_mass, vectors = factor @ factor.T, rng.normal(size=(5, dim))
    np.testing.assert_allclose(space.inverse_mass(), np.diag(inverse_mass), rtol=1e-12)
    np.testing.assert_allclose(space.masses(vectors), np.linalg.solve(inverse_mass, vectors.T).T, rtol=1e-9)


# --- how it is learnt -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("n", "dim"), [(20, 1), (30, 2), (60, 7), (40, 16), (9, 12)])
def test_of_few_coordinates_it_is_the_geometric_mean(n, dim):
    """M with M P M = A by matrix roots, in the scale of the diagonal metric, its eigenvalues near 1 made 1."""
    sds = np.logspace(-1, 1, min(dim, 5))
    draws, gradients = normal_draws(stretched(dim, sds)[1], n)
    scale = np.sqrt(draws.std(axis=0) / gradients.std(axis=0))
    x, g = (draws - draws.mean(axis=0)) / scale, (gradients - gradients.mean(axis=0)) * scale
    a, p = ((m.T @ m + np.eye(dim)) / (n + 1) for m in (x, g))
    root = linalg.sqrtm(a)
    eigenvalues, vectors = np.linalg.eigh(root @ np.linalg.inv(linalg.sqrtm(root @ p @ root)) @ root)
    far = np.abs(np.log(eigenvalues)) > np.log(CUTOFF)
    expected = (vectors * np.where(far, eigenvalues, 1.0)) @ vectors.T
    space = estimated(draws, gradients)
    assert space.counts[w.N_DIRECTIONS] == 4 * -(-far.sum() // 4)
    np.testing.assert_allclose(matrix(space) / np.outer(scale, scale), expected, atol=1e-6 * eigenvalues.max())


@pytest.mark.parametrize(("dim", "n"), [(60, 100), (300, 100), (300, 400)])
def test_few_draws_tell_the_stretched_directions(dim, n):
    """Of a posterior 400 times longer than wide less than a fiftieth is left, seen in the metric."""
    _, covariance = stretched(dim, [20.0, 8.0, 5.0, 0.2, 0.05])
    space = estimated(*normal_draws(covariance, n))
    left = linalg.eigh(covariance, matrix(space), eigvals_only=True)
    assert np.sqrt(left.max() / left.min()) < 400 / 50
    diagonal = linalg.eigh(covariance, np.diag(space.rows[w.INVERSE_MASS]), eigvals_only=True)
    assert np.sqrt(diagonal.max() / diagonal.min()) > 100.0


def test_a_round_posterior_has_no_directions():
    scale, covariance = stretched(200, [1.0])
    space = estimated(*normal_draws(covariance, 60))
    assert space.counts[w.N_DIRECTIONS] == 0
    np.testing.assert_allclose(space.inverse_mass(), scale**2, rtol=1e-9)


def test_more_directions_than_there_is_room_for():
    """The ones that matter most are kept."""
    dim, sds = 100, np.concatenate([np.full(12, 30.0), np.full(12, 4.0)])
    space = estimated(*normal_draws(stretched(dim, sds)[1], 600))
    assert space.counts[w.N_DIRECTIONS] == w.RANK
    kept = space.metric[: w.RANK * dim].reshape(w.RANK, dim)
    longest = directions(dim, 24)[:12]
    assert np.sum((kept @ longest.T) ** 2) > 0.9 * 12
    assert np.isfinite(space.metric).all()


@pytest.mark.parametrize("spoil", ["still", "slope", "nan", "two draws"])
def test_draws_that_do_not_tell_leave_a_metric_that_works(spoil):
    draws, gradients = normal_draws(stretched(20, [10.0, 0.1])[1], 50)
    if spoil == "still":
        draws[:, 3], gradients[:, 3] = 2.0, 1.0
    elif spoil == "slope":
        gradients[:, 3] = -0.5
    elif spoil == "nan":
        gradients[7, 3] = np.nan
    else:
        draws, gradients = draws[:2], gradients[:2]
    space = estimated(draws, gradients)
    found = matrix(space)
    assert np.isfinite(found).all()
    assert np.linalg.eigvalsh(found).min() > 0
    assert 0 <= space.counts[w.N_DIRECTIONS] <= w.RANK


# --- what it is worth -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("sds", "low_rank"), [([1.0], False), ([30.0, 0.05], True)])
def test_it_is_taken_beyond_100_coordinates_where_it_pays(sds, low_rank):
    result = sample_chains(Stretched(120, sds), NUTS(), draws=60, warmup=500, chains=2, seed=1)
    diagonal = sample_chains(Stretched(120, sds), NUTS(metric="diag"), draws=60, warmup=500, chains=2, seed=1)
    steps, usual = result.stats["n_steps"].mean(), diagonal.stats["n_steps"].mean()
    assert steps < 0.2 * usual if low_rank else steps == usual


def test_a_stretched_posterior_is_as_easy_as_a_round_one():
    """Long directions bend the scale that they are sought in; it is taken again without them."""
    options = {"draws": 60, "warmup": 500, "chains": 2, "seed": 1}
    stretched_one = sample_chains(Stretched(120, [30.0, 0.05]), NUTS(), **options)
    round_one = sample_chains(Stretched(120, [1.0]), NUTS(), **options)
    assert stretched_one.stats["n_steps"].mean() < 1.1 * round_one.stats["n_steps"].mean()


@pytest.mark.parametrize("algorithm", [NUTS, HMC, MAMS, Choice])
def test_draws_in_it_are_right(algorithm):
    dim, sds = 24, np.array([10.0, 5.0, 0.2])
    density = Stretched(dim, sds)
    result = sample_chains(density, algorithm(metric="low-rank"), draws=1000, warmup=400, chains=4, seed=2)
    along = result.draws @ density.u.T
    independent = result.draws + (along * (1.0 / sds - 1.0)) @ density.u
    scores = moment_scores(independent, np.zeros(dim), np.ones(dim))
    assert 0.75 < np.sqrt(np.mean(scores**2)) < 1.25
    assert np.abs(scores).max() < MONTE_CARLO
    assert result.stats["n_steps"].mean() < 20
