"""Value and gradient of one compiled log density by two threads at once, over one thread alone.

Each thread has an evaluator of its own (`LogDensity.fork`). Calls are in a loop of machine code; ``throughput`` is how
many more calls two threads make in the same time, the median over measurements between two of one thread alone.
``processes`` is the same of two processes, which share nothing: what the machine gives to two threads at most, less
than two where others use its cores. Before, each evaluator is called until it is hardly compared with the
tape any more.
"""

from __future__ import annotations

import multiprocessing
import queue
import statistics
import threading

import numpy as np

import probad as pb
from benchmarks import gradients
from benchmarks.native_loop import seconds

CASES = {
    "eight schools": ("eight_schools", ()),
    "radon 919 / 85": ("radon", ()),
    "stochastic volatility 1000": ("stochastic_volatility", (1000,)),
    "Gaussian process 100": ("gaussian_process", (100,)),
    "item response 500 x 40": ("item_response", (500, 40)),
}
N_MEASUREMENTS, LEAST = 15, 0.1  # and about how many seconds each takes
SETTLED, LONGEST, CHUNK = 1_000_000, 5.0, 1000  # calls, or seconds, after which comparisons with the tape are rare


def cases() -> list[str]:
    """Names of the cases."""
    return list(CASES)


def run(case: str) -> dict[str, float]:
    """Figures of one case."""
    name, arguments = CASES[case]
    logp, z = getattr(gradients, name)(*arguments)[:2]
    density = pb.LogDensity.from_function(logp, len(z))
    _ = density.address
    forks = [density, density.fork()]
    for fork in forks:
        _settle(fork, z)
    n = 1
    while seconds(density, z, n) < LEAST / 2:
        n *= 2
    alone = seconds(density, z, n)
    threads, processes = [], []
    for _ in range(N_MEASUREMENTS):
        before, in_threads = seconds(density, z, n), _in_threads(forks, z, n)
        between, in_processes = seconds(density, z, n), _in_processes(forks, z, n)
        after = seconds(density, z, n)
        threads.append((before + between) / in_threads)
        processes.append((between + after) / in_processes)
    figures = {"throughput": statistics.median(threads), "best": max(threads)}
    return {"us": 1e6 * alone / n, **figures, "processes": statistics.median(processes)}


def _settle(density, z: np.ndarray) -> None:
    """Call it until it is hardly compared with the tape any more."""
    n_done, spent = 0, 0.0
    while n_done < SETTLED and spent < LONGEST:
        spent += seconds(density, z, CHUNK)
        n_done += CHUNK


def _in_threads(densities, z: np.ndarray, n: int) -> float:
    return _together(threading.Thread, threading.Barrier(len(densities)), queue.SimpleQueue(), densities, z, n)


def _in_processes(densities, z: np.ndarray, n: int) -> float:
    fork = multiprocessing.get_context("fork")  # children have the compiled densities
    return _together(fork.Process, fork.Barrier(len(densities)), fork.SimpleQueue(), densities, z, n)


def _together(start_as, begin, took, densities, z: np.ndarray, n: int) -> float:
    """Seconds until each of several threads or processes has made n calls."""

    def work(density) -> None:
        own = z.copy()
        seconds(density, own, n // 10)  # a process has to copy what it writes to first
        begin.wait()
        took.put(seconds(density, own, n))

    workers = [start_as(target=work, args=(density,)) for density in densities]
    for worker in workers:
        worker.start()
    slowest = max(took.get() for _ in workers)
    for worker in workers:
        worker.join()
    return slowest
