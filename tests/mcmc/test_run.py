"""Compiled kernels and Python run the same chains, bit for bit, and stop when they are told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import eight_schools
from probad.codegen import kernel, llvm
from probad.errors import CompileError, ProbadWarning
from probad.mcmc import HMC, NUTS, drivers, run, sample_chains
from probad.mcmc import workspace as w
from tests.mcmc.native import NativeNormal
from tests.mcmc.run import make_space
from tests.mcmc.targets import Funnel, Gaussian

ROOT = Path(__file__).parents[2]
COVARIANCE = np.array([[1.0, 0.6, 0.1], [0.6, 2.0, -0.3], [0.1, -0.3, 0.5]])
ALGORITHMS = {
    "nuts": NUTS(),
    "nuts, shallow": NUTS(max_tree_depth=3, target_accept=0.95),
    "nuts, unit metric": NUTS(metric="unit"),
    "nuts, low-rank metric": NUTS(metric="low-rank"),
    "hmc": HMC(),
    "hmc, fixed steps": HMC(n_steps=9),
}
DENSITIES = {
    "gaussian": Gaussian(COVARIANCE),
    "funnel": Funnel(5),  # diverges
    "wide": NativeNormal(21),
    "model": eight_schools.eight_schools(**eight_schools.data()).density(),
}
STAGES: dict[str, dict] = {"quick": {}, "inner": {}, "fast": {}}  # kernels by how much of them is optimised


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """Compiled, whatever the environment says, unless a test says otherwise."""
    monkeypatch.delenv("PROBAD_COMPILE", raising=False)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("stage", STAGES)
def test_compiled_and_python_leave_the_same_workspace(density, algorithm, stage, monkeypatch, tmp_path):
    density, algorithm = DENSITIES[density], ALGORITHMS[algorithm]
    monkeypatch.setenv("PROBAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel, "_STAGES", STAGES[stage])
    monkeypatch.setattr(kernel, "WORTH", np.inf)
    kernels = run.prepare(algorithm, density.dim)
    kernels.first()
    if stage == "inner":
        assert kernels[algorithm.code].optimise_inner().result() is kernels.first()
    if stage == "fast":
        assert [future.result() for future in kernels.optimise()] == [kernels.first()]
    compiled, python = (
        make_space(density, algorithm, position=np.full(density.dim, 0.1), step_size=1.0, n_draws=40, warmup=60, seed=3)
        for _ in range(2)
    )
    fast, slow = run.CompiledRun(kernels, density, compiled), run.PythonRun(density, python)
    assert fast.advance(1000) == slow.advance(1000) == w.FINE
    fast.close(), slow.close()
    assert fast.done == slow.done == 100
    for name in ("rows", "scalars", "counts", "random", "draws", "statistics"):
        found, expected = getattr(compiled, name), getattr(python, name)
        assert found.tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("algorithm", ["nuts", "hmc"])
@pytest.mark.parametrize("density", ["gaussian", "wide"])
def test_draws_do_not_depend_on_threads_chunks_or_the_way(density, algorithm, monkeypatch):
    density, algorithm = DENSITIES[density], ALGORITHMS[algorithm]

    def draws(**options):
        options = {"chains": 3, **options}
        result = sample_chains(density, algorithm, draws=60, warmup=60, seed=5, **options)
        return result.draws.tobytes() + b"".join(column.tobytes() for column in result.stats.values())

    expected = draws()
    for cores in (1, 2, 4):
        assert draws(cores=cores) == expected
    monkeypatch.setattr(drivers, "CHUNK_SECONDS", 1e-9)
    assert draws() == expected
    monkeypatch.setenv("PROBAD_COMPILE", "0")
    assert draws() == draws(cores=2) == expected


class Odd(Gaussian):
    """A density that counts its calls, writes to its argument and answers with every status there is."""

    def __init__(self):
        super().__init__(np.eye(2))
        self.n_calls = 0

    def evaluate(self, ctx, position, logp_out, grad_out):
        self.n_calls += 1
        super().evaluate(ctx, position, logp_out, grad_out)
        outside = abs(position[0]) > 2.0
        position[:] = np.nan
        return 1 if outside else 0


def test_a_density_may_write_to_its_argument(monkeypatch):
    results = []
    for way in ("1", "0"):
        monkeypatch.setenv("PROBAD_COMPILE", way)
        results.append(sample_chains(Odd(), NUTS(), draws=200, warmup=100, chains=1, seed=2).draws)
    np.testing.assert_array_equal(*results)
    assert np.isfinite(results[0]).all()
    assert np.abs(results[0][..., 0]).max() <= 2.0


def test_a_flag_stops_a_chain_within_a_transition():
    density = Gaussian(COVARIANCE)
    for make in (lambda s, algorithm: run.CompiledRun(run.prepare(algorithm, density.dim), density, s),
                 lambda s, algorithm: run.PythonRun(density, s)):  # fmt: skip
        for algorithm, warmup in ((NUTS(), 0), (HMC(), 0), (NUTS(), 50)):
            space = make_space(density, algorithm, position=np.ones(3), step_size=0.1, n_draws=10, warmup=warmup)
            runner = make(space, algorithm)
            runner.stop()
            assert runner.advance(10) == w.STOPPED
            assert runner.done == 0


INTERRUPTED = """
import ctypes, json, os, signal, sys, threading, time
import numpy as np
from probad.mcmc import NUTS, sample_chains
from tests.mcmc.native import NativeNormal
from tests.mcmc.targets import Gaussian

class Slow(Gaussian):
    def evaluate(self, ctx, position, logp_out, grad_out):
        if sent:
            end = time.perf_counter() + 20
            while time.perf_counter() < end:
                pass
        return super().evaluate(ctx, position, logp_out, grad_out)

sent, timers = [], []
density = {"native": lambda: NativeNormal(1000, 1000), "python": lambda: Slow(np.eye(3))}[sys.argv[1]]()
def send():
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
def progress(chain, done, total, warming_up, n_divergent, step_size):
    if done > 3 and not timers:
        timers.append(threading.Timer(0.05, send))
        timers[0].start()
result = sample_chains(density, NUTS(), draws=10**4, warmup=0, chains=2, seed=4, cores=int(sys.argv[2]),
                       init=np.full(density.dim, 0.1), progress=progress)
print(json.dumps([time.perf_counter() - sent[0], result.interrupted, result.draws.shape]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("density", ["native", "python"])
def test_ctrl_c_does_not_wait_for_a_slow_iteration(density, cores):
    """An iteration of either density takes many seconds, and one evaluation of that in Python takes 20."""
    code = [sys.executable, "-c", INTERRUPTED, density, str(cores)]
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert "Traceback" not in done.stderr
    seconds, interrupted, shape = json.loads(done.stdout)
    assert interrupted
    assert shape[1] > 0
    assert seconds < 2.0  # half a second on a machine with nothing else to do


def test_settings_of_the_caller_hold_where_a_density_runs():
    class Dividing(Gaussian):
        def evaluate(self, ctx, position, logp_out, grad_out):
            np.ones(1) / np.zeros(1)
            return super().evaluate(ctx, position, logp_out, grad_out)

    with np.errstate(divide="ignore"):
        sample_chains(Dividing(np.eye(2)), NUTS(), draws=5, warmup=0, chains=1, seed=1)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        sample_chains(Dividing(np.eye(2)), NUTS(), draws=5, warmup=0, chains=1, seed=1)


def test_without_a_compiler_python_runs_and_says_so(monkeypatch):
    def fail(*args, **options):
        raise CompileError("planted")

    expected = sample_chains(Gaussian(np.eye(2)), NUTS(), draws=20, warmup=20, chains=1, seed=1).draws
    monkeypatch.setattr(kernel, "_STAGES", {})
    monkeypatch.setattr(llvm, "compile_module", fail)
    with pytest.warns(ProbadWarning, match="run in Python, some hundred times slower than compiled: planted"):
        found = sample_chains(Gaussian(np.eye(2)), NUTS(), draws=20, warmup=20, chains=1, seed=1).draws
    np.testing.assert_array_equal(found, expected)


def test_chains_whose_kernels_fail_while_they_wait_run_in_python_and_say_so(monkeypatch):
    def fail(*args, **options):
        raise CompileError("planted")

    density, counts = NativeNormal(3), {"draws": 20, "warmup": 20, "chains": 2, "seed": 1}
    expected = sample_chains(density, NUTS(), **counts)
    monkeypatch.setattr(kernel, "_STAGES", {})
    monkeypatch.setattr(kernel, "_compile", fail)  # the density has its code already
    done = []
    with pytest.warns(ProbadWarning, match="run in Python, some hundred times slower than compiled: planted") as told:
        found = sample_chains(density, NUTS(), meanwhile=lambda: done.append(1), **counts)
    assert len(told) == 1 and done
    np.testing.assert_array_equal(found.draws, expected.draws)
    assert 0.0 < found.seconds < np.inf


@pytest.mark.parametrize(("way", "imported"), [("0", False), ("1", True)])
def test_what_imports_the_compiler(way, imported):
    code = """
import sys
import probad as pb
print("llvmlite" in sys.modules)
pb.nuts(pb.LogDensity.from_function(lambda z: -0.5 * z @ z, 2), draws=10, warmup=10, chains=1, seed=1, progress=False)
print("llvmlite" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "PROBAD_COMPILE": way},
    )  # fmt: skip
    assert done.stdout.split() == ["False", str(imported)]


@pytest.mark.parametrize(("draws", "optimised"), [(100, False), (400, True)])
def test_kernels_are_optimised_when_their_haste_has_cost_enough(draws, optimised, monkeypatch, tmp_path):
    monkeypatch.setenv("PROBAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel, "_STAGES", {})
    density, algorithm = DENSITIES["wide"], NUTS(metric="diag")
    per_step, per_number = run.LOST
    monkeypatch.setattr(kernel, "WORTH", 200 * 7 * (per_step + density.dim * per_number))
    kernels = run.prepare(algorithm, density.dim)
    kernels.first()
    begun = []
    monkeypatch.setattr(kernel.Stages, "optimise", lambda self: begun.append(1))
    for seed in (3, 4):  # chains, whose losses are added
        space = make_space(
            density, algorithm, position=np.full(21, 0.1), n_draws=draws // 2, warmup=0, seed=seed, step_size=0.7
        )
        run.CompiledRun(kernels, density, space).advance(draws // 2)
        assert (space.statistics[:, w.STATISTICS.index("n_steps")] == 7).mean() > 0.8
    assert bool(begun) == optimised


def test_with_many_coordinates_the_innermost_loops_are_optimised_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("PROBAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel, "_STAGES", {})
    algorithm = NUTS(metric="diag")
    kernels = run.prepare(algorithm, run.LARGE)
    quick = kernels.first()
    for dim, begun in ((run.LARGE, False), (run.LARGE + 1, True)):
        density = NativeNormal(dim)
        space = make_space(density, algorithm, position=np.full(dim, 0.1), n_draws=5, warmup=0, seed=3, step_size=0.5)
        run.CompiledRun(kernels, density, space).advance(5)
        assert (kernels[algorithm.code]._inner is not None) == begun
    assert kernels[algorithm.code].optimise_inner().result() is kernels.first() is not quick


@pytest.mark.parametrize(("dim", "metric", "large"), [(24, "auto", False), (25, "auto", True), (25, "diag", False),
                                                      (129, "diag", True), (10, np.eye(10), False), (90, "auto", False),
                                                      (60, np.eye(60), True)])  # fmt: skip
def test_the_first_code_for_large_posteriors_has_fast_inner_loops(dim, metric, large, monkeypatch, tmp_path):
    monkeypatch.setenv("PROBAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel, "_STAGES", {})
    algorithm = NUTS(metric=metric)
    stages = run.prepare(algorithm, dim)[algorithm.code]
    first = stages.kernel()
    assert (stages._inner is not None) == large
    if large:
        assert stages.optimise_inner().result() is first
