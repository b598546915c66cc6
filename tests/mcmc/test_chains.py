"""The driver: known targets, repeatable runs, interrupts, failures and bad arguments."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models import eight_schools
from probad.density import LogDensity
from probad.errors import ArgumentError, DensityError, InitializationError
from probad.mcmc import HMC, NUTS, Choice, drivers, sample_chains
from tests.mcmc.native import NativeNormal
from tests.mcmc.scores import moment_scores, z_score
from tests.mcmc.targets import EightSchools, Funnel, Gaussian, Student
from tests.tolerances import MONTE_CARLO

ALGORITHMS = {"nuts": NUTS(), "hmc": HMC(trajectory_length=2.0), "hmc steps": HMC(n_steps=7)}


@pytest.fixture(params=["compiled", "python"])
def both_ways(request, monkeypatch):
    """The test runs with the kernels compiled, and again with Python alone."""
    monkeypatch.setenv("PROBAD_COMPILE", "1" if request.param == "compiled" else "0")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_correlated_gaussian(name):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 4))
    covariance = a @ a.T + np.diag([0.01, 1.0, 25.0, 1.0])
    result = sample_chains(Gaussian(covariance), ALGORITHMS[name], draws=1000, warmup=600, chains=4, seed=2)
    z = moment_scores(result.draws, np.zeros(4), np.sqrt(np.diag(covariance)))
    assert np.abs(z).max() < MONTE_CARLO
    assert not result.stats["diverging"].any()


def test_an_ill_conditioned_gaussian():
    """Scales over four decades, rotated in pairs so that no diagonal metric is right."""
    sd = np.logspace(-2, 2, 10)
    turn = np.eye(10)
    for k in range(0, 10, 2):
        turn[k : k + 2, k : k + 2] = [[0.8, 0.6], [-0.6, 0.8]]
    covariance = turn @ np.diag(sd**2) @ turn.T
    result = sample_chains(Gaussian(covariance), NUTS(), draws=700, warmup=500, chains=2, seed=8)
    z = moment_scores(result.draws, np.zeros(10), np.sqrt(np.diag(covariance)))
    assert np.abs(z).max() < MONTE_CARLO
    assert 0.5 < np.sqrt(np.mean(z**2)) < 1.5


def test_eight_schools_has_the_posterior_of_quadrature():
    data = eight_schools.data()
    density = EightSchools(data["y"], data["sigma"])
    result = sample_chains(density, NUTS(target_accept=0.95), draws=1000, warmup=500, chains=4, seed=12)
    assert result.stats["diverging"].mean() < 0.005
    for name, values in density.named(result.draws).items():
        mean, sd = eight_schools.reference()[name]
        columns = values.reshape(*values.shape[:2], -1)
        for k, (truth, scale) in enumerate(np.broadcast(mean, sd)):
            x = columns[..., k]
            assert abs(z_score(x, truth)) < MONTE_CARLO, name
            assert abs(z_score((x - truth) ** 2, scale**2)) < MONTE_CARLO, name


def test_heavy_tails():
    result = sample_chains(Student(1), NUTS(), draws=3000, warmup=500, chains=4, seed=3)
    assert np.abs(moment_scores(result.draws, [0.0], [math.sqrt(5 / 3)])[0]) < MONTE_CARLO
    share = np.mean(np.abs(result.draws) > 2.570582)  # the 97.5 % point of t with 5 degrees of freedom
    assert share == pytest.approx(0.05, abs=0.01)


def test_warm_up_finds_the_scales_and_the_acceptance():
    sd = np.array([0.01, 1.0, 100.0])
    result = sample_chains(Gaussian(np.diag(sd**2)), NUTS(), draws=500, warmup=1000, chains=2, seed=4)
    np.testing.assert_allclose(np.sqrt([np.diag(m) for m in result.inverse_mass]), np.tile(sd, (2, 1)), rtol=0.25)
    assert 0.7 < result.stats["acceptance_rate"].mean() < 0.95
    careful = sample_chains(Gaussian(np.diag(sd**2)), NUTS(target_accept=0.95), draws=300, warmup=600, chains=1, seed=4)
    assert careful.step_size[0] < result.step_size.min()


def test_a_funnel_diverges_and_says_so():
    result = sample_chains(Funnel(8), NUTS(), draws=1000, warmup=300, chains=2, seed=1)
    assert result.stats["diverging"].any()


def test_a_depth_limit_is_told_where_it_stopped_a_trajectory():
    def share(depth):
        algorithm = NUTS(max_tree_depth=depth, target_accept=0.99)
        result = sample_chains(Gaussian(np.eye(2)), algorithm, draws=100, warmup=100, chains=1, seed=1)
        assert result.stats["tree_depth"].max() <= depth
        return result.stats["reached_max_treedepth"].mean()

    assert share(1) > 0.9
    assert share(10) == 0


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("algorithm", [NUTS(), HMC()], ids=["nuts", "hmc"])
def test_draws_depend_on_seed_and_chain_alone(algorithm, monkeypatch):
    density = Gaussian(np.diag([1.0, 4.0]))

    def run(n_chains=3, **options):
        return sample_chains(density, algorithm, draws=60, warmup=60, chains=n_chains, seed=5, **options).draws

    expected = run()
    np.testing.assert_array_equal(run(cores=3), expected)
    np.testing.assert_array_equal(run(progress=lambda *args: None), expected)
    np.testing.assert_array_equal(run(n_chains=2), expected[:2])
    monkeypatch.setattr(drivers, "CHUNK_SECONDS", 1e-9)
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


@pytest.mark.parametrize("metric", [[0.5, 2.0], [[1.0, 0.3], [0.3, 2.0]]], ids=["diagonal", "dense"])
def test_a_given_metric_and_step_size_stay(metric):
    algorithm = HMC(n_steps=3, metric=metric, step_size=0.37)
    result = sample_chains(Gaussian(np.eye(2)), algorithm, draws=400, warmup=0, chains=2, seed=1)
    assert (result.stats["step_size"] == 0.37).all()
    np.testing.assert_allclose(result.inverse_mass, [metric] * 2, rtol=1e-14)
    tuned = sample_chains(Gaussian(np.eye(2)), algorithm, draws=400, warmup=300, chains=2, seed=1)
    np.testing.assert_allclose(tuned.inverse_mass, [metric] * 2, rtol=1e-14)
    assert 0.7 < tuned.stats["acceptance_rate"].mean() < 0.95
    assert tuned.settings["metric"] == "given"


def test_a_metric_of_another_dimension_is_refused():
    with pytest.raises(ArgumentError, match="inverse mass of 3 coordinates, but the log density has 2"):
        sample_chains(Gaussian(np.eye(2)), NUTS(metric=np.ones(3)), draws=1, warmup=0, chains=1, seed=1)


@pytest.mark.usefixtures("both_ways")
def test_an_interrupt_returns_the_draws_so_far(monkeypatch):
    monkeypatch.setattr(drivers, "CHUNK_SECONDS", 0.002)  # so that each chain has draws
    whole = sample_chains(Gaussian(np.eye(2)), NUTS(), draws=3000, warmup=100, chains=2, seed=1)
    cut = sample_chains(Interrupting(9000), NUTS(), draws=3000, warmup=100, chains=2, seed=1, keep_warmup=True)
    n = cut.draws.shape[1]
    assert cut.interrupted
    assert 0 < n < 3000
    np.testing.assert_array_equal(cut.draws, whole.draws[:, :n])
    assert cut.warmup_draws.shape == (2, 100, 2)
    assert all(column.shape == (2, n) for column in cut.stats.values())


@pytest.mark.usefixtures("both_ways")
def test_an_interrupt_before_the_first_draw_says_so():
    with pytest.raises(KeyboardInterrupt, match="Interrupted during warm-up, after"):
        sample_chains(Interrupting(100), NUTS(), draws=3000, warmup=1000, chains=1, seed=1)


def test_an_interrupt_while_chains_start_says_so():
    class Slow(Gaussian):
        def logp_and_grad(self, z):
            raise KeyboardInterrupt

    for warmup, words in ((10, "after 0 of 10 iterations"), (0, "before the first draw")):
        with pytest.raises(KeyboardInterrupt, match=words):
            sample_chains(Slow(np.eye(1)), NUTS(), draws=5, warmup=warmup, chains=2, seed=1)


SIGNALLED = """
import json, os, signal, sys, threading, time
import numpy as np
from probad.mcmc import NUTS, sample_chains
from tests.mcmc.targets import Gaussian
cores, warmup = int(sys.argv[1]), int(sys.argv[2])
sent = []
def progress(chain, done, total, warming_up, n_divergent, step_size):
    if not sent and chain == 2 and done > min(warmup, 400) + 20:
        sent.append(0.0)
        def send():
            time.sleep(0.02)
            sent[0] = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=send).start()
try:
    result = sample_chains(Gaussian(np.eye(3)), NUTS(), draws=10**5, warmup=warmup, chains=3, seed=4, cores=cores,
                           progress=progress)
    found = {"shape": result.draws.shape, "interrupted": result.interrupted, "sum": float(result.draws[:, :5].sum())}
except KeyboardInterrupt as error:
    found = {"error": str(error)}
print(json.dumps({**found, "seconds": time.perf_counter() - sent[0]}))
"""


@pytest.mark.usefixtures("both_ways")
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
@pytest.mark.parametrize("cores", [1, 2, 3])
@pytest.mark.parametrize("warmup", [50, 10**6], ids=["draws", "warm-up"])
def test_ctrl_c_stops_a_process_with_its_draws(cores, warmup):
    """A real signal, at any moment of one thread or several: what is finished comes back, and soon."""
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(cores), str(warmup)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(run.stdout)
    print(found)
    if warmup > 50:
        assert "Interrupted during warm-up, after" in found["error"]
    else:
        n_chains, n_draws, dim = found["shape"]
        assert found["interrupted"]
        assert 1 <= n_chains <= 3 and 0 < n_draws < 10**5 and dim == 3
        if n_chains == 3 and n_draws >= 5:
            whole = sample_chains(Gaussian(np.eye(3)), NUTS(), draws=5, warmup=50, chains=3, seed=4)
            assert found["sum"] == float(whole.draws.sum())
    assert found["seconds"] < 5.0  # half a second on a machine with nothing else to do


@pytest.mark.usefixtures("both_ways")
def test_a_failure_goes_before_an_interrupt():
    """The density of one thread fails while the user presses Ctrl-C."""
    failing = threading.Event()

    class Failing(Gaussian):
        n_calls = 0
        evaluate = LogDensity.evaluate

        def logp_and_grad(self, z):
            self.n_calls += 1
            if self.n_calls > 500:
                failing.set()
                raise ZeroDivisionError("the user's own mistake")
            return super().logp_and_grad(z)

    def progress(*args):
        failing.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(ZeroDivisionError, match="the user's own mistake"):
        sample_chains(Failing(np.eye(2)), NUTS(), draws=10**5, warmup=0, chains=2, seed=1, cores=2, progress=progress)


@pytest.mark.usefixtures("both_ways")
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


@pytest.mark.usefixtures("both_ways")
def test_failures_without_an_exception_say_what_is_known():
    class Mute(Gaussian):
        def evaluate(self, *args):
            return 2

    with pytest.raises(DensityError, match="chain 0 reported a failure but kept no exception"):
        sample_chains(Mute(np.eye(2)), NUTS(), draws=5, warmup=0, chains=1, seed=1)

    class Noise(Gaussian):
        n_calls = 0

        def logp_and_grad(self, z):
            self.n_calls += 1
            return -10.0 * self.n_calls, np.zeros(self.dim)

    with pytest.raises(DensityError, match="Chain 0: the energy changes over one step however short"):
        sample_chains(Noise(np.eye(2)), NUTS(), draws=5, warmup=5, chains=1, seed=1)


def test_an_exception_at_the_starting_point_is_not_lost():
    class Failing(Gaussian):
        def logp_and_grad(self, z):
            raise ZeroDivisionError("the user's own mistake")

    with pytest.raises(ZeroDivisionError, match="the user's own mistake"):
        sample_chains(Failing(np.eye(2)), NUTS(), draws=5, warmup=5, chains=1, seed=1)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("cores", [1, 2])
def test_progress_tells_the_state_of_each_chain(cores, monkeypatch):
    monkeypatch.setattr(drivers, "CHUNK_SECONDS", 0.002)
    calls = []
    sample_chains(
        Funnel(4),
        NUTS(),
        draws=400,
        warmup=400,
        chains=2,
        seed=1,
        cores=cores,
        progress=lambda *args: calls.append(args),
    )
    for number in (0, 1):
        done = [c[1] for c in calls if c[0] == number]
        assert done == sorted(done)
        assert done[-1] == 800
        assert len(set(done)) > 2
    assert {c[2] for c in calls} == {800}
    assert all(c[3] == (c[1] < 400) for c in calls)
    assert all(c[5] > 0 for c in calls)


@pytest.mark.usefixtures("both_ways")
def test_a_density_gets_its_context():
    class Scaled(Gaussian):
        ctx = 9

        def evaluate(self, ctx, position, logp_out, grad_out):
            logp_out[0] = -0.5 * ctx * float(position @ position)
            grad_out[:] = -ctx * position
            return 0

        def logp_and_grad(self, z):
            return -4.5 * float(z @ z), -9.0 * z

    result = sample_chains(Scaled(np.eye(1)), NUTS(), draws=600, warmup=300, chains=1, seed=1)
    assert result.draws.std() == pytest.approx(1 / 3, rel=0.15)


@pytest.mark.usefixtures("both_ways")
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
        (lambda: NUTS(metric="full"), "metric must be one of 'auto', 'dense', 'low-rank', 'diag', 'unit'; got 'full'"),
        (
            lambda: NUTS(metric="low-rank", adaptation="stan"),
            "learnt from draws and gradients. With adaptation='stan'",
        ),
        (lambda: NUTS(metric=[1.0, -2.0]), "An inverse mass must be positive; got -2.0 at index 1"),
        (lambda: NUTS(metric=[[1.0, 2.0], [2.0, 1.0]]), "symmetric, positive definite"),
        (lambda: NUTS(metric=np.ones((2, 3))), r"shape \(dim,\) or \(dim, dim\); got shape \(2, 3\)"),
        (lambda: NUTS(metric=object()), "or an inverse mass; got <object"),
        (lambda: NUTS(step_size=0.0), "step_size must be a positive number; got 0.0"),
        (lambda: HMC(jitter=2.0), "jitter must be between 0 and 1; got 2.0"),
        (lambda: HMC(refreshment=0.0), "refreshment must be above 0 and at most 1; got 0.0"),
        (lambda: HMC(n_steps=0), "n_steps must be"),
        (lambda: HMC(trajectory_length=-1.0), "trajectory_length must be a positive number; got -1.0"),
        (lambda: HMC(n_steps=3, trajectory_length=1.0), "not both"),
    ],
)
def test_settings_check_themselves(make, words):
    with pytest.raises(ArgumentError, match=words):
        make()


def test_an_algorithm_is_a_sampler():
    with pytest.raises(ArgumentError, match=r"must be NUTS\(...\), HMC\(...\) or another of them; got 'nuts'"):
        sample_chains(Gaussian(np.eye(3)), "nuts", draws=1, warmup=0, chains=1, seed=0)


@pytest.mark.usefixtures("both_ways")
def test_one_draw_without_warm_up():
    result = sample_chains(Gaussian(np.eye(3)), NUTS(), draws=1, warmup=0, chains=1, seed=0)
    assert result.draws.shape == (1, 1, 3)


@pytest.mark.parametrize("density", [NativeNormal(3), Gaussian(np.eye(3))], ids=["native", "Python"])
@pytest.mark.parametrize("algorithm", [NUTS(), Choice()], ids=["nuts", "choice"])
def test_what_is_done_meanwhile_is_done_here_once_and_does_not_count(algorithm, density):
    threads = []

    def work():
        threads.append(threading.current_thread())
        time.sleep(0.5)

    def run(**options):
        return sample_chains(density, algorithm, draws=20, warmup=200, chains=2, seed=1, **options)

    result = run(meanwhile=work)
    assert threads == [threading.current_thread()]
    assert result.seconds < (0.5 if density.address else run().seconds + 0.4)
    np.testing.assert_array_equal(result.draws, run().draws)


def test_an_interrupt_does_not_find_work_undone():
    """With a density in Python it is done before the first iteration, with workers once they have all jobs."""
    seen = []

    class Watched(Gaussian):
        def evaluate(self, *args):
            seen.append("call")
            return super().evaluate(*args)

    sample_chains(
        Watched(np.eye(2)), NUTS(), draws=5, warmup=0, chains=1, seed=1, meanwhile=lambda: seen.append("work")
    )
    assert seen.count("work") == 1
    assert seen.index("work") < 10  # after the starts alone
    with ThreadPoolExecutor(1) as executor:
        seen.clear()
        counts = {"draws": 5, "warmup": 200, "chains": 2, "seed": 1}
        sample_chains(Gaussian(np.eye(2)), Choice(), executor=executor, meanwhile=lambda: seen.append("work"), **counts)
    assert seen == ["work"]
