"""The driver: known targets, repeatable runs, interrupts, failures and bad arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from probad.density import LogDensity
from probad.errors import ArgumentError, InitializationError
from probad.mcmc import HMC, NUTS, chains, sample_chains
from probad.output import import_arviz
from tests.mcmc.targets import Funnel, Gaussian, Student
from tests.tolerances import MONTE_CARLO


def _z_scores(draws, mean, sd):
    """Means and mean squares of (chain, draw) columns against the truth, in standard errors."""
    az = import_arviz()
    scores = []
    for k in range(draws.shape[-1]):
        x = draws[..., k]
        for values, truth in ((x, mean[k]), ((x - mean[k]) ** 2, sd[k] ** 2)):
            ess = float(az.ess(np.ascontiguousarray(values), method="mean"))
            scores.append((values.mean() - truth) / (values.std() / math.sqrt(ess)))
    return np.array(scores)


ALGORITHMS = {"nuts": NUTS(), "hmc": HMC(trajectory_length=2.0), "hmc steps": HMC(n_steps=7)}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_correlated_gaussian(name):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 4))
    covariance = a @ a.T + np.diag([0.01, 1.0, 25.0, 1.0])
    result = sample_chains(Gaussian(covariance), ALGORITHMS[name], draws=1000, warmup=600, chains=4, seed=2)
    z = _z_scores(result.draws, np.zeros(4), np.sqrt(np.diag(covariance)))
    assert np.abs(z).max() < MONTE_CARLO
    assert not result.stats["diverging"].any()


def test_heavy_tails():
    result = sample_chains(Student(1), NUTS(), draws=3000, warmup=500, chains=4, seed=3)
    assert np.abs(_z_scores(result.draws, [0.0], [math.sqrt(5 / 3)])[0]) < MONTE_CARLO
    share = np.mean(np.abs(result.draws) > 2.570582)  # the 97.5 % point of t with 5 degrees of freedom
    assert share == pytest.approx(0.05, abs=0.01)


def test_warm_up_finds_the_scales_and_the_acceptance():
    sd = np.array([0.01, 1.0, 100.0])
    result = sample_chains(Gaussian(np.diag(sd**2)), NUTS(), draws=500, warmup=1000, chains=2, seed=4)
    np.testing.assert_allclose(np.sqrt(result.inverse_mass), np.tile(sd, (2, 1)), rtol=0.25)
    assert 0.7 < result.stats["acceptance_rate"].mean() < 0.95
    careful = sample_chains(Gaussian(np.diag(sd**2)), NUTS(target_accept=0.95), draws=300, warmup=600, chains=1, seed=4)
    assert careful.step_size[0] < result.step_size.min()


def test_a_funnel_diverges_and_says_so():
    result = sample_chains(Funnel(8), NUTS(), draws=300, warmup=300, chains=2, seed=1)
    assert result.stats["diverging"].any()


def test_a_depth_limit_is_told_where_it_stopped_a_trajectory():
    def share(depth):
        algorithm = NUTS(max_tree_depth=depth, target_accept=0.99)
        result = sample_chains(Gaussian(np.eye(2)), algorithm, draws=100, warmup=100, chains=1, seed=1)
        assert result.stats["tree_depth"].max() <= depth
        return result.stats["reached_max_treedepth"].mean()

    assert share(1) > 0.9
    assert share(10) == 0


@pytest.mark.parametrize("algorithm", [NUTS(), HMC()], ids=["nuts", "hmc"])
def test_draws_depend_on_seed_and_chain_alone(algorithm, monkeypatch):
    density = Gaussian(np.diag([1.0, 4.0]))

    def run(n_chains=3, **options):
        return sample_chains(density, algorithm, draws=60, warmup=60, chains=n_chains, seed=5, **options).draws

    expected = run()
    np.testing.assert_array_equal(run(cores=3), expected)
    np.testing.assert_array_equal(run(progress=lambda *args: None), expected)
    np.testing.assert_array_equal(run(n_chains=2), expected[:2])
    monkeypatch.setattr(chains, "CHUNK_SECONDS", 1e-9)
    np.testing.assert_array_equal(run(), expected)
    assert not np.array_equal(expected[0], expected[1])
    other = sample_chains(density, algorithm, draws=60, warmup=60, chains=1, seed=6).draws
    assert not np.array_equal(other[0], expected[0])


class Interrupting(Gaussian):
    """A density during which the user presses Ctrl-C, at the n-th call."""

    def __init__(self, n):
        super().__init__(np.eye(2))
        self.state = {"left": n}

    def evaluate(self, *args):
        self.state["left"] -= 1
        if self.state["left"] == 0:
            raise KeyboardInterrupt
        return super().evaluate(*args)


def test_an_interrupt_returns_the_draws_so_far():
    whole = sample_chains(Gaussian(np.eye(2)), NUTS(), draws=3000, warmup=100, chains=2, seed=1)
    cut = sample_chains(Interrupting(9000), NUTS(), draws=3000, warmup=100, chains=2, seed=1, keep_warmup=True)
    n = cut.draws.shape[1]
    assert cut.interrupted
    assert 0 < n < 3000
    np.testing.assert_array_equal(cut.draws, whole.draws[:, :n])
    assert cut.warmup_draws.shape == (2, 100, 2)
    assert all(column.shape == (2, n) for column in cut.stats.values())


def test_an_interrupt_before_the_first_draw_says_so():
    with pytest.raises(KeyboardInterrupt, match="Interrupted during warm-up, after"):
        sample_chains(Interrupting(100), NUTS(), draws=3000, warmup=1000, chains=1, seed=1)


@pytest.mark.parametrize("cores", [1, 2])
def test_an_exception_in_the_density_is_not_lost(cores):
    class Failing(Gaussian):
        def logp_and_grad(self, z):
            if abs(z[0]) > 2.2:
                raise ZeroDivisionError("the user's own mistake")
            return super().logp_and_grad(z)

        evaluate = LogDensity.evaluate

    with pytest.raises(ZeroDivisionError, match="the user's own mistake"):
        sample_chains(Failing(np.eye(2)), NUTS(), draws=500, warmup=100, chains=2, seed=1, cores=cores)


def test_the_edge_of_the_support_is_a_divergence_not_an_error():
    class Half(Gaussian):
        evaluate = LogDensity.evaluate

        def logp_and_grad(self, z):
            return (-math.inf, np.full(1, np.nan)) if z[0] < 0 else super().logp_and_grad(z)

    result = sample_chains(Half([[1.0]]), NUTS(), draws=400, warmup=200, chains=2, seed=1, init=np.array([1.0]))
    assert (result.draws > 0).all()
    assert result.stats["diverging"].any()


def test_starting_points():
    density = Gaussian(np.eye(2))
    with pytest.raises(InitializationError, match=r"init\[1\] = nan for 'x\[1\]'"):
        sample_chains(density, NUTS(), draws=1, warmup=0, chains=1, seed=0, init=np.array([0.0, np.nan]))
    with pytest.raises(ArgumentError, match=r"\(2,\) or \(3, 2\)"):
        sample_chains(density, NUTS(), draws=1, warmup=0, chains=3, seed=0, init=np.zeros((2, 2)))

    class Nowhere(Gaussian):
        def logp_and_grad(self, z):
            return -math.inf, np.full(2, np.nan)

    with pytest.raises(InitializationError, match=r"chain 0: none of 100 points .* log density is -inf"):
        sample_chains(Nowhere(np.eye(2)), NUTS(), draws=1, warmup=0, chains=1, seed=0)
    with pytest.raises(InitializationError, match="cannot start at the given init"):
        sample_chains(Nowhere(np.eye(2)), NUTS(), draws=1, warmup=0, chains=1, seed=0, init=np.zeros(2))


BAD = {
    "draws": ({"draws": 0}, "draws must be a whole number, at least 1; got 0"),
    "draws float": ({"draws": 10.5}, "got 10.5"),
    "warmup": ({"warmup": -1}, "warmup must be"),
    "chains": ({"chains": 0}, "chains must be"),
    "seed": ({"seed": -3}, "seed must be"),
    "cores": ({"cores": 0}, "cores must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_numbers_out_of_range(name):
    options, words = BAD[name]
    with pytest.raises(ArgumentError, match=words):
        sample_chains(Gaussian(np.eye(2)), NUTS(), **{"draws": 5, "warmup": 5, "chains": 1, "seed": 0, **options})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NUTS(target_accept=1.0), "target_accept must be between 0 and 1; got 1.0"),
        (lambda: NUTS(max_tree_depth=0), "max_tree_depth must be a whole number, from 1 to 20; got 0"),
        (lambda: NUTS(metric="full"), "metric must be one of 'diag', 'unit'; got 'full'"),
        (lambda: HMC(n_steps=0), "n_steps must be"),
        (lambda: HMC(trajectory_length=-1.0), "trajectory_length must be a positive number; got -1.0"),
        (lambda: HMC(n_steps=3, trajectory_length=1.0), "not both"),
    ],
)
def test_settings_check_themselves(make, words):
    with pytest.raises(ArgumentError, match=words):
        make()


def test_one_draw_without_warm_up():
    result = sample_chains(Gaussian(np.eye(3)), NUTS(), draws=1, warmup=0, chains=1, seed=0)
    assert result.draws.shape == (1, 1, 3)
