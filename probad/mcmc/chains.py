"""Run chains from their starts to a result, by one of the drivers, until they end or the user interrupts."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np

from probad.errors import ArgumentError, InitializationError
from probad.mcmc import workspace
from probad.mcmc.chain import Chain, Job, Progress, Recorder, arrays_of
from probad.mcmc.drivers import in_executor, in_threads, in_turn
from probad.mcmc.initialize import check_dependence, start_all
from probad.mcmc.run import Kernels, compiled_kernels, prepare
from probad.mcmc.settings import Algorithm, check_count
from probad.mcmc.workspace import FLAGS, GRADIENT, INTEGERS, POSITION, STATISTICS, STEP_SIZE


@dataclass
class ChainResult:
    """What a run leaves: draws, statistics, and what warm-up has learnt.

    Attributes
    ----------
    draws : (chain, draw, dim) array, unconstrained
    stats : dict of str to (chain, draw) array
        By ArviZ's names.
    warmup_draws, warmup_stats
        The same for the warm-up, if it was asked for; else None.
    inverse_mass : (chain, dim) array, or (chain, dim, dim) if the metric is dense
        Of a low-rank metric the diagonal.
    step_size : (chain,) array
    settings : dict
        Everything needed to run it again.
    seconds : float
        Time of sampling, warm-up included and compilation not.
    interrupted : bool
        Whether the user stopped it; then all chains are cut to the length of the shortest.
    """

    draws: np.ndarray
    stats: dict[str, np.ndarray]
    settings: dict[str, Any]
    seconds: float
    interrupted: bool = False
    inverse_mass: np.ndarray | None = None
    step_size: np.ndarray | None = None
    warmup_draws: np.ndarray | None = None
    warmup_stats: dict[str, np.ndarray] | None = field(default=None)


def sample_chains(
    density,
    algorithm: Algorithm,
    *,
    draws: int,
    warmup: int,
    chains: int,
    seed: int,
    init: np.ndarray | None = None,
    cores: int | None = None,
    progress: Progress | None = None,
    keep_warmup: bool = False,
    recorder: Recorder | None = None,
    executor: Executor | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> ChainResult:
    """Run chains of an algorithm on a log density.

    Parameters
    ----------
    density : LogDensity
    algorithm : Algorithm
        NUTS, HMC, MAMS, ...
    draws, warmup : int
        Iterations per chain, kept and adapting.
    chains : int
    seed : int
        Chain number i depends on (seed, i) alone: neither threads nor progress nor interrupts change its draws.
    init : (dim,) or (chains, dim) array, optional
        Unconstrained starting points; drawn and tried if not given.
    cores : int, optional
        Threads. By default as many as there are processors if the density is native code, else one, since Python
        code gains nothing from threads.
    progress : callable, optional
        ``progress(chain, done, total, warming_up, n_divergent, step_size)``, called some times a second.
    keep_warmup : bool
        Whether to return the warm-up draws.
    recorder : Recorder, optional
        Keeps the run as it goes, and has chains go on from what it kept.
    executor : concurrent.futures.Executor, optional
        Runs each chain in a worker instead of in threads here, whole or, if chains meet, from one meeting to the next.
        The density travels there by pickle, and so does what a chain goes on from.
    meanwhile : callable, optional
        Called once, for what has to be done anyway: while other threads run native code, if they do, or workers run
        chains, else before the first iteration.

    Returns
    -------
    ChainResult

    Raises
    ------
    ArgumentError
        For numbers out of range.
    InitializationError
        If a chain cannot start.
    KeyboardInterrupt
        If the user interrupts before the first draw after warm-up; later, the draws so far are returned.
    """
    if not isinstance(algorithm, Algorithm):
        raise ArgumentError(f"The algorithm must be NUTS(...), HMC(...) or another of them; got {algorithm!r}.")
    check_count("draws", draws, 1, None)
    check_count("warmup", warmup, 0, None)
    check_count("chains", chains, 1, None)
    check_count("seed", seed, 0, None)
    if cores is not None:
        check_count("cores", cores, 1, None)
    if executor is not None and not hasattr(executor, "submit"):
        raise ArgumentError(f"executor must be a concurrent.futures.Executor; got {executor!r}.")
    settings = {
        "algorithm": type(algorithm).__name__,
        **{name: _stated(value) for name, value in algorithm.describe().items() if value is not None},
        "draws": int(draws),
        "warmup": int(warmup),
        "chains": int(chains),
        "seed": int(seed),
    }
    starts = _starts(init, chains, density.dim)
    if executor is None:  # else in its workers
        compiling = prepare(algorithm, density.dim)
        density = algorithm.attach(density)
        threads = (os.cpu_count() or 1) if density.address else 1  # compiled now, before the clock starts
        cores = threads if cores is None else cores
        # what compiles densities compiles kernels: chains wait for them in their threads, and this one has other work
        kernels = compiling if density.address else compiled_kernels(compiling)
    boundaries = algorithm.boundaries(density.dim, int(warmup))
    start_time = time.perf_counter()
    recorder = Forgetful() if recorder is None else recorder

    def job(number: int) -> Job:
        stored = recorder.stored(number)
        return Job(density.fork(), algorithm, number, int(draws), int(warmup), int(seed), starts[number], stored)

    first = Job(density, algorithm, 0, int(draws), int(warmup), int(seed))
    recorder.begin(settings, arrays_of(first.allocate()), layout=state_layout(), statistics=STATISTICS)
    running: list[Chain] = []
    interrupted, begun, idle = False, executor is not None, 0.0

    def record(chain: Chain, now: bool = False) -> None:
        recorder.record(chain.number, chain.done, chain.arrays(), exact=chain.exact, now=now)

    try:
        jobs = []
        if executor is not None:
            jobs += [job(i) for i in range(chains)]
            check_dependence(density)
        else:
            start_all(lambda i: running.append(Chain(job(i))), chains)
            check_dependence(density, *(np.stack([c.space.rows[k] for c in running]) for k in (POSITION, GRADIENT)))
            begun = True
            for chain in running:
                record(chain)
            if kernels is not None:
                for chain in running:
                    chain.compile(kernels)
            # a signal is handled between two lines of Python in the main thread, which must not wait in machine code
            plain = in_turn if cores == 1 and kernels is None else in_threads
            advance = plain
            if kernels is not None and density.address:
                advance = partial(in_threads, meanwhile=partial(_meanwhile, meanwhile, kernels))
            elif meanwhile is not None:  # Python leaves nothing to a second thread; and an interrupt shall not wait
                idle -= time.perf_counter()
                meanwhile()
                idle += time.perf_counter()
        for met, goal in enumerate([*boundaries, int(warmup) + int(draws)]):
            if met < recorder.met:
                continue
            if executor is not None:
                try:
                    jobs_now = [replace(job, goal=goal) for job in jobs]
                    in_executor(executor, jobs_now, running, progress, record, meanwhile=meanwhile)
                    meanwhile = None
                except InitializationError:
                    start_all(lambda i: jobs[i].workspace(), chains)  # tells which chains cannot start
                    raise
            else:
                for chain in running:
                    chain.goal = goal
                idle -= advance(running, progress, record, cores)
                idle += time.perf_counter()
                advance = plain
            if goal in boundaries:
                _meet(algorithm, running)
                recorder.meet(met + 1, {chain.number: (chain.done, chain.arrays()) for chain in running})
                jobs = [replace(job, stored=chain.stored()) for job, chain in zip(jobs, running, strict=False)]
        running[0].verify()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if begun and running:
            settings.update(algorithm.facts([chain.space for chain in running]))
        for chain in running if begun else ():
            record(chain, now=True)
        if executor is None and kernels is not None and kernels.ready_at < math.inf:
            idle += max(0.0, kernels.ready_at - start_time)
        seconds = recorder.finish(time.perf_counter() - start_time - idle, settings)
    return _collect(running, settings, algorithm, seconds, interrupted, keep_warmup)


def _meanwhile(work: Callable[[], None] | None, kernels: Kernels) -> None:
    """What the caller's thread does while chains run; if they have no kernels and run in Python, it says so."""
    if work is not None:
        work()
    compiled_kernels(kernels)


def _meet(algorithm: Algorithm, chains: list[Chain]) -> None:
    """Have the sampler change the workspaces of all chains; an interrupt in the midst leaves them inexact."""
    for chain in chains:
        chain.exact = False
    algorithm.meet([chain.space for chain in chains])
    for chain in chains:
        chain.exact = True


class Forgetful:
    """The recorder of a run that is not kept."""

    met = 0

    def begin(self, settings, like, *, layout, statistics) -> None:
        """Nothing."""

    def stored(self, number: int) -> None:
        """Nothing."""

    def record(self, number, done, arrays, *, exact, now=False) -> None:
        """Nothing."""

    def meet(self, met, chains) -> None:
        """Nothing."""

    def finish(self, seconds: float, settings) -> float:
        """The time as it is."""
        return seconds


@cache
def state_layout() -> str:
    """A checksum of what the places in a workspace mean, for states that are kept."""
    places = {name: value for name, value in vars(workspace).items() if name.isupper()}
    return hashlib.sha256(json.dumps(places, sort_keys=True).encode()).hexdigest()


def _stated(value):
    """A setting as it is kept with the draws; a metric given as an array is among the results anyway."""
    if isinstance(value, np.ndarray):
        return "given"
    return value.item() if isinstance(value, np.generic) else value


def _starts(init, chains: int, dim: int) -> list:
    """One starting point per chain, or None."""
    if init is None:
        return [None] * chains
    init = np.asarray(init, dtype=float)
    if init.shape == (dim,):
        return [init] * chains
    if init.shape != (chains, dim):
        raise ArgumentError(
            f"init must have shape ({dim},) or ({chains}, {dim}), for {chains} chains; got {init.shape}."
        )
    return list(init)


def _collect(chains: list[Chain], settings, algorithm, seconds, interrupted: bool, keep_warmup: bool) -> ChainResult:
    """The result of a run."""
    done = [c.done for c in chains]  # read once: a thread that was left to itself may still move it
    tables = [(c.space.draws[:n], c.space.statistics[:n]) for c, n in zip(chains, done, strict=True)]
    columns = cut(tables, settings, algorithm, keep_warmup=keep_warmup)
    begun = [c for c, n in zip(chains, done, strict=True) if n > settings["warmup"]]
    return ChainResult(
        **columns,
        inverse_mass=_stacked([c.space.inverse_mass() for c in begun]),
        step_size=np.array([c.space.scalars[STEP_SIZE] for c in begun]),
        settings=settings,
        seconds=seconds,
        interrupted=interrupted,
    )


def _stacked(metrics: list[np.ndarray]) -> np.ndarray:
    """The inverse masses of all chains, as matrices if one of them is dense."""
    if len({m.ndim for m in metrics}) > 1:
        metrics = [m if m.ndim == 2 else np.diag(m) for m in metrics]
    return np.stack(metrics)


def cut(chains: list[tuple[np.ndarray, np.ndarray]], settings, algorithm, *, keep_warmup, names=STATISTICS) -> dict:
    """Draws and statistics of all chains that have passed warm-up, cut to one length and named.

    Parameters
    ----------
    chains : list of pair of arrays
        Draws and statistics of the complete iterations of each chain, warm-up first.
    settings : dict
    algorithm : Algorithm
        Says which statistics have no meaning.
    keep_warmup : bool
    names : sequence of str
        Of the columns of the statistics.

    Returns
    -------
    dict
        ``draws``, ``stats``, ``warmup_draws``, ``warmup_stats``, as in `ChainResult`.

    Raises
    ------
    KeyboardInterrupt
        If no chain has.
    """
    n_warmup = settings["warmup"]
    without = () if settings.get("sampler_choice", "").startswith("NUTS") else algorithm.without
    begun = [tables for tables in chains if len(tables[0]) > n_warmup]
    if not begun:
        done = max((len(draws) for draws, _ in chains), default=0)
        raise KeyboardInterrupt(
            f"Interrupted during warm-up, after {done} of {n_warmup} iterations: there are no draws yet."
            if n_warmup
            else "Interrupted before the first draw."
        )
    end = min(len(draws) for draws, _ in begun)

    def columns(start: int, stop: int) -> dict[str, np.ndarray]:
        table = np.stack([statistics[start:stop] for _, statistics in begun])
        return {name: _typed(name, table[..., k]) for k, name in enumerate(names) if name not in without}

    def positions(start: int, stop: int) -> np.ndarray:
        return np.stack([draws[start:stop] for draws, _ in begun])

    return {
        "draws": positions(n_warmup, end),
        "stats": columns(n_warmup, end),
        "warmup_draws": positions(0, n_warmup) if keep_warmup else None,
        "warmup_stats": columns(0, n_warmup) if keep_warmup else None,
    }


def _typed(name: str, column: np.ndarray) -> np.ndarray:
    if name in INTEGERS:
        return column.astype(np.int64)
    return column.astype(bool) if name in FLAGS else column.copy()
