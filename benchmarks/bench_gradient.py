"""Value and gradient of compiled log densities, per call in a loop of machine code, against floors and peers.

Times are minima of repeats, in microseconds, one thread; what is compared takes turns, in rounds. ``tape`` is the same
by the tape, ``compile ms`` the time from function to address without a cache on disk, ``warm ms`` with one: medians
over fresh processes. For logistic regression ``floor`` is NumPy's ``X @ b`` alone, in the faster memory order. Where
JAX is installed (extra ``bench``), ``jax`` is its jitted value and gradient inside a ``fori_loop``, written with
``lax.scan`` where there is a loop.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import probad as pb
from benchmarks import gradients, gradients_jax
from benchmarks.native_loop import seconds_per_call

ROOT = Path(__file__).parents[1]
N_PROCESSES, N_ROUNDS = 5, 5
CASES = {
    "eight schools": ("eight_schools", ()),
    "radon 919 / 85": ("radon", ()),
    "logistic 10k x 50": ("logistic", (10_000, 50)),
    "logistic 100k x 100": ("logistic", (100_000, 100)),
    "stochastic volatility 1000": ("stochastic_volatility", (1000,)),
    "GARCH 1000": ("garch", (1000,)),
    "hidden Markov 1000": ("hidden_markov", (1000,)),
    "Gaussian process 100": ("gaussian_process", (100,)),
    "item response 500 x 40": ("item_response", (500, 40)),
    "stochastic volatility 3000": ("stochastic_volatility", (3000,)),
}


def cases() -> list[str]:
    """Names of the cases."""
    return list(CASES)


def run(case: str) -> dict[str, float]:
    """Figures of one case."""
    name, arguments = CASES[case]
    logp, z, *rest = getattr(gradients, name)(*arguments)
    density = pb.LogDensity.from_function(logp, len(z))
    tape = pb.value_and_grad(logp)
    timers = {"us": lambda: seconds_per_call(density, z), "tape us": lambda: _least(lambda: tape(z))}
    if rest:
        orders = [np.ascontiguousarray(rest[0]), np.asfortranarray(rest[0])]
        timers["floor us"] = lambda: min(_least(lambda x=x: x @ z) for x in orders)
    if gradients_jax.is_installed():
        timers["jax us"] = gradients_jax.timer(name, arguments)
    rounds = [{figure: timer() for figure, timer in timers.items()} for _ in range(N_ROUNDS)]
    figures = {figure: 1e6 * min(row[figure] for row in rounds) for figure in timers}
    for a, b in (("us", "floor us"), ("jax us", "us")):
        if a in figures and b in figures:
            figures[f"{a.removesuffix(' us')} / {b.removesuffix(' us')}"] = figures[a] / figures[b]
    times: dict[str, list[float]] = {"compile ms": [], "warm ms": []}
    for _ in range(N_PROCESSES):
        with tempfile.TemporaryDirectory() as folder:
            for found in times.values():
                found.append(_compile_milliseconds(name, arguments, folder))
    return figures | {figure: statistics.median(found) for figure, found in times.items()}


def _least(fn, at_least: float = 0.2) -> float:
    fn()
    times, stop = [], time.perf_counter() + at_least
    while time.perf_counter() < stop or len(times) < 3:
        start = time.perf_counter()
        fn()
        times.append(time.perf_counter() - start)
    return min(times)


COMPILING = """
import json, sys, time
import numpy as np
import scipy.special  # comes with the first function that is needed of it
import probad as pb
from benchmarks import gradients
import probad.codegen.compiled
name, arguments = json.loads(sys.argv[1])
first = pb.LogDensity.from_function(lambda z: -np.sum(z**2), 2).address  # starts LLVM
logp, z = getattr(gradients, name)(*arguments)[:2]
start = time.perf_counter()
pb.LogDensity.from_function(logp, len(z)).address
print(1e3 * (time.perf_counter() - start))
"""


def _compile_milliseconds(name: str, arguments, folder: str) -> float:
    """From function to address in a fresh process, with its objects kept in a folder."""
    environment = {**os.environ, "PROBAD_CACHE_DIR": folder}
    command = [sys.executable, "-c", COMPILING, json.dumps([name, arguments])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    return float(done.stdout)
