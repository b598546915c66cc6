"""Ctrl-C gives the draws so far, and soon: from the signal to the result of the public function."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from probad import diagnostics
from probad.output import to_arviz

ROOT = Path(__file__).parents[1]
N_TRIES, MOST_SECONDS = 3, 0.5
CASES = {  # what is sampled, and seconds of sampling before the signal
    "native, deep trees": ("from models import stochastic_volatility as m; model = m.stochastic_volatility", 8.0),
    "native, a matrix": ("from models import gp_regression as m; model = m.gp_regression", 1.5),
    "Python": ("model = density(lambda: time.sleep(0.02))", 4.0),
    "Python that waits": ("model = density(lambda: time.sleep(3.0 if ready() else 0.0))", 4.0),
}
SCRIPT = """
import json, os, signal, sys, threading, time, warnings
import numpy as np
import probad as pb
from probad import inference

start = time.perf_counter()
sent, seconds = [], {seconds}

def ready():
    return time.perf_counter() > start + seconds - 0.3

def density(wait):
    def logp(z):
        wait()
        return -0.5 * np.sum(z**2)
    return pb.LogDensity.from_function(logp, 3, gradient=lambda z: -z)

def send():
    time.sleep(seconds)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

def and_send(*args, **options):
    global start
    start = time.perf_counter()
    threading.Thread(target=send, daemon=True).start()
    return sample_chains(*args, **options)

{make}
if "m" in globals():
    model = model(**m.data())
sample_chains, inference.sample_chains = inference.sample_chains, and_send
warnings.simplefilter("ignore")
post = pb.nuts(model, draws=200_000, warmup=5, max_tree_depth=9, chains=4, cores=2, seed=1, progress=False)
print(json.dumps([time.perf_counter() - sent[0], post["posterior"].sizes["draw"]]))
"""


def seconds_to_return(case: str) -> float:
    """Time from a signal to the result, in a process of its own."""
    make, seconds = CASES[case]
    code = SCRIPT.format(make=make, seconds=seconds)
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    found, n_draws = json.loads(run.stdout)
    assert 0 < n_draws < 200_000
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow) for case in CASES])
def test_ctrl_c_gives_the_draws_so_far_in_half_a_second(case):
    found = [seconds_to_return(case) for _ in range(N_TRIES)]
    print(case, found)
    assert statistics.median(found) < MOST_SECONDS


STUCK = """
import json, os, signal, threading, time
import numpy as np
from probad.mcmc import NUTS, sample_chains
from tests.mcmc.targets import Gaussian

class Stuck(Gaussian):
    n_calls = 0
    def evaluate(self, *args):
        Stuck.n_calls += 1
        if Stuck.n_calls == 500:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            time.sleep(3.0)
        return super().evaluate(*args)

start = time.perf_counter()
result = sample_chains(Stuck(np.eye(2)), NUTS(), draws=10**5, warmup=0, chains=2, seed=1, cores=1)
print(json.dumps([time.perf_counter() - start, result.draws.shape[1], result.interrupted]), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
def test_a_density_that_does_not_come_back_is_left_behind():
    """Nothing stops ``time.sleep`` in another thread: the draws are returned while it sleeps on."""
    run = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    seconds, n_draws, interrupted = json.loads(run.stdout)
    assert seconds < 2.5
    assert 0 < n_draws < 10**5
    assert interrupted


@pytest.mark.parametrize(("n", "all_looked_at"), [(10, True), (40, False)])
def test_parameters_of_large_interrupted_runs_are_left_to_diagnose(n, all_looked_at, monkeypatch):
    monkeypatch.setattr(diagnostics, "MOST_AT_ONCE", 20_000)
    x = np.zeros((4, 200, n)) + np.cumsum(np.random.default_rng(0).normal(size=(4, 200, 1)), axis=1)
    stats = {"lp": x[..., 0], "diverging": np.arange(800).reshape(4, 200) % 50 == 0}
    for interrupted in (0, 1):
        groups = {"posterior": {"x": x}, "sample_stats": stats}
        post = to_arviz(groups, coords={}, dims={}, attrs={"interrupted": interrupted})
        with pytest.warns(diagnostics.SamplingWarning) as issued:
            kinds = diagnostics.warn_about(post).kinds
        assert "divergences" in kinds
        assert ("r_hat" in kinds) == (all_looked_at or not interrupted)
        said = any("pb.diagnose(post) does it" in str(w.message) for w in issued)
        assert said == (not all_looked_at and bool(interrupted))
        assert "r_hat" in diagnostics.diagnose(post).kinds
