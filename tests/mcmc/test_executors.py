"""Chains in the workers of an executor: the same draws, a model that travels, messages when it cannot."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import probad as pb
from probad import dist, inference
from probad.errors import ArgumentError
from probad.mcmc import NUTS, Choice, sample_chains
from probad.store import Contents
from tests.store.runs import Bell, Stopping, assert_same, bound, line, quietly

ROOT = Path(__file__).parents[2]
RUN = {"draws": 40, "warmup": 60, "chains": 3, "seed": 5}


def quadratic(z):
    """A log density in a module."""
    return -0.5 * np.sum(z**2)


@pytest.fixture(scope="module")
def pool():
    """Two processes that begin with nothing."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


DENSITIES = {
    "model": bound,
    "function": lambda: pb.LogDensity.from_function(quadratic, 2, names=["a", "b"]),
    "another gradient": lambda: pb.LogDensity.from_function(quadratic, 2, gradient="forward"),
    "class": Bell,
}


@pytest.mark.parametrize("name", DENSITIES)
def test_processes_give_the_draws_of_threads(name, pool, tmp_path):
    there = quietly(pb.nuts, DENSITIES[name](), executor=pool, keep_warmup=True, **RUN)
    assert_same(there, quietly(pb.nuts, DENSITIES[name](), keep_warmup=True, **RUN))


def test_threads_of_an_executor_do_as_well():
    density = bound().density()
    with ThreadPoolExecutor(3) as executor:
        there = quietly(pb.hmc, density, executor=executor, n_steps=4, **RUN)
    assert_same(there, quietly(pb.hmc, bound(), n_steps=4, **RUN))


def test_a_gradient_that_was_chosen_travels_with_the_model(pool):
    options = {"draws": 4, "warmup": 4, "chains": 2, "seed": 5, "gradient": "central"}
    assert_same(quietly(pb.nuts, bound(), executor=pool, **options), quietly(pb.nuts, bound(), **options))


def test_a_store_is_filled_and_continued_by_workers(pool, tmp_path):
    path = tmp_path / "run.zarr"
    quietly(pb.nuts, Bell(), executor=pool, store=path, **{**RUN, "draws": 20, "chains": 2})
    longer = quietly(pb.resume, path, Bell(), executor=pool, **{k: RUN[k] for k in ("draws", "chains")})
    assert_same(longer, quietly(pb.nuts, Bell(), **RUN))
    assert_same(pb.read_store(path, Bell()), longer)
    assert_same(quietly(pb.resume, path, Bell(), executor=Refusing()), longer)  # nothing is left to do


class Refusing:
    """An executor that nobody should ask."""

    def submit(self, *_):
        raise AssertionError("asked to work")


class Unfinished:
    """An executor that works at once, but for the last job, which waits for ever."""

    def __init__(self, n):
        self.left, self.waiting = n, Future()

    def submit(self, fn, job):
        self.left -= 1
        if self.left < 0:
            return self.waiting
        future = Future()
        future.set_result(fn(job))
        return future


def test_an_interrupt_returns_the_chains_that_have_ended(tmp_path):
    told = []

    def progress(*state):
        told.append(state[0])
        if len(told) == 2:
            raise KeyboardInterrupt

    executor = Unfinished(2)
    result = sample_chains(Bell(), NUTS(), executor=executor, progress=progress, **RUN)
    whole = sample_chains(Bell(), NUTS(), **RUN)
    assert result.interrupted
    assert executor.waiting.cancelled()
    assert len(told) == 2
    np.testing.assert_array_equal(result.draws, whole.draws[:2])


MEETING = {"draws": 30, "warmup": 200, "chains": 3, "seed": 5}


def test_chains_that_meet_come_back_each_time(pool):
    there = quietly(pb.fit, Bell(), executor=pool, **MEETING)
    here = quietly(pb.fit, Bell(), **MEETING)
    assert_same(there, here)
    assert there["posterior"].attrs["sampler_choice"] == here["posterior"].attrs["sampler_choice"]


@pytest.mark.parametrize("n_jobs", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (7, 14)), 17])
def test_chains_that_meet_are_stored_and_continued_by_workers(n_jobs, tmp_path):
    """Interrupted in the second, the third and the fifth part of the warm-up, and among the draws."""
    path, told = tmp_path / "run.zarr", []

    def progress(*state):
        told.append(state)
        if len(told) == n_jobs:
            raise KeyboardInterrupt

    algorithm = Choice()
    recorder = inference._writer(path, Bell(), algorithm, None, {"keep_warmup": False, "keep_unconstrained": False})
    run = {"executor": Unfinished(n_jobs), "progress": progress, "recorder": recorder}
    with recorder, contextlib.suppress(KeyboardInterrupt):
        assert sample_chains(Bell(), algorithm, **run, **MEETING).interrupted
    assert len(told) == n_jobs
    assert Contents(path).met == n_jobs // MEETING["chains"]
    executor = Unfinished(10**6)
    assert_same(quietly(pb.resume, path, Bell(), executor=executor), quietly(pb.fit, Bell(), **MEETING))
    n_parts = MEETING["chains"] * (1 + len(algorithm.boundaries(3, MEETING["warmup"])))
    assert 10**6 - executor.left == n_parts - n_jobs


def test_an_error_in_a_worker_arrives(pool):
    with pytest.raises(ZeroDivisionError):
        quietly(pb.nuts, Stopping(50, ZeroDivisionError), executor=pool, **RUN)


def test_what_is_no_executor_is_refused():
    with pytest.raises(ArgumentError, match=r"executor must be a concurrent\.futures\.Executor; got 4"):
        pb.nuts(Bell(), executor=4, progress=False)


# --- what travels ----------------------------------------------------------------------------------------------------
@pb.model
def outer(y):
    mu = pb.sample("mu", dist.Normal(0.0, 1.0))
    pb.sample("y", dist.Normal(mu, 1.0), obs=y)


def undecorated(y):
    mu = pb.sample("mu", dist.Normal(0.0, 1.0))
    pb.sample("y", dist.Normal(mu, 1.0), obs=y)


UNDECORATED = pb.model(undecorated)


@pytest.mark.parametrize("model", [outer, UNDECORATED, line], ids=["decorated", "called", "elsewhere"])
def test_models_travel_by_name(model):
    twin = pickle.loads(pickle.dumps(model))
    assert twin.function is model.function
    assert pickle.loads(pickle.dumps(twin)).function is model.function


def test_bound_models_and_densities_travel_with_their_data():
    for thing in (bound(), bound().density(), pickle.loads(pickle.dumps(bound().density()))):
        twin = pickle.loads(pickle.dumps(thing))
        density, other = (x if isinstance(x, pb.LogDensity) else x.density() for x in (thing, twin))
        assert (density.names, density.variables) == (other.names, other.variables)
        for a, b in ((density.coords, other.coords), (density.observed_data, other.observed_data)):
            assert a.keys() == b.keys()
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
        assert density.logp(np.full(4, 0.3)) == other.logp(np.full(4, 0.3))
    function = pb.LogDensity.from_function(quadratic, 2, names=["a", "b"], gradient="complex")
    function.observed_data["y"] = np.ones(3)
    assert function.address == 0
    twin = pickle.loads(pickle.dumps(function))
    assert (twin.names, twin.gradient, list(twin.observed_data)) == (["a", "b"], "complex", ["y"])


def test_a_compiled_density_travels_without_its_code():
    density = bound().density()
    assert density.address
    assert pickle.loads(pickle.dumps(density)).logp(np.zeros(4)) == pytest.approx(density.logp(np.zeros(4)), rel=1e-14)


def test_a_model_that_cannot_travel_says_what_to_do(pool):
    @pb.model
    def inner(y):
        mu = pb.sample("mu", dist.Normal(0.0, 1.0))
        pb.sample("y", dist.Normal(mu, 1.0), obs=y)

    with pytest.raises(ArgumentError, match=r"cannot be sent to the workers of the executor: .* top level of a module"):
        quietly(pb.nuts, inner(np.ones(3)), executor=pool, **RUN)


def test_cloudpickle_takes_any_model():
    cloudpickle = pytest.importorskip("cloudpickle")

    @pb.model
    def inner(y):
        mu = pb.sample("mu", dist.Normal(0.0, 1.0))
        pb.sample("y", dist.Normal(mu, 1.0), obs=y)

    model = inner(np.ones(3))
    twin = pickle.loads(cloudpickle.dumps(model))
    assert twin.density().logp(np.ones(1)) == model.density().logp(np.ones(1))


SCRIPT = """
import sys, warnings
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
import numpy as np
import probad as pb
from probad import dist
warnings.simplefilter("ignore")

@pb.model
def mine(y):
    mu = pb.sample("mu", dist.Normal(0.0, 1.0))
    pb.sample("y", dist.Normal(mu, 1.0), obs=y)

def sample(executor):
    return pb.nuts(mine(np.ones(3)), draws=20, warmup=20, chains=2, seed=1, executor=executor, progress=False)

if __name__ == "__main__":
    here = sample(None)["posterior"]["mu"].values
"""
WITH_PROCESSES = """    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        print(np.array_equal(sample(executor)["posterior"]["mu"].values, here))
"""
WITH_DASK = """    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            print(np.array_equal(sample(client.get_executor())["posterior"]["mu"].values, here))
            workers = client.run(lambda: __import__("sys").modules.get("probad.mcmc.chain") is not None)
            print(sorted(workers.values()))
"""


def _run_script(tmp_path, text):
    (tmp_path / "script.py").write_text(SCRIPT + text)
    command = [sys.executable, str(tmp_path / "script.py")]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_the_model_of_a_script_travels(tmp_path):
    assert _run_script(tmp_path, WITH_PROCESSES)[0] == "True"


@pytest.mark.slow
def test_a_dask_cluster_of_two_processes(tmp_path):
    pytest.importorskip("distributed")
    assert _run_script(tmp_path, WITH_DASK)[:2] == ["True", "[True, True]"]
