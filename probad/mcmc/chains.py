"""Run chains: advance each in chunks, one after the other or in threads, until they end or the user interrupts."""

from __future__ import annotations

import contextvars
import ctypes
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from probad.codegen.kernel import Kernel
from probad.errors import ArgumentError, DensityError
from probad.mcmc.initialize import starting_point
from probad.mcmc.random import stream
from probad.mcmc.run import CompiledRun, PythonRun, compiled_kernel, prepare
from probad.mcmc.settings import Algorithm, check_count
from probad.mcmc.workspace import (
    FINE,
    FLAGS,
    GRADIENT,
    INTEGERS,
    ITERATION,
    LOGP,
    N_WARMUP,
    NO_STEP_SIZE,
    POSITION,
    STATISTICS,
    STEP_SIZE,
    STOPPED,
)

CHUNK_SECONDS = 0.05  # how long a chain runs before the driver looks at progress and interrupts
PATIENCE = 0.3  # seconds that a density has to come back after an interrupt, before it is interrupted itself
DIVERGING_COLUMN = STATISTICS.index("diverging")

# progress(chain, done, total, warming_up, n_divergent, step_size)
Progress = Callable[[int, int, int, bool, int, float], None]


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
    step_size : (chain,) array
    settings : dict
        Everything needed to run it again.
    seconds : float
        Time of sampling, warm-up included.
    interrupted : bool
        Whether the user stopped it; then all chains are cut to the length of the shortest.
    """

    draws: np.ndarray
    stats: dict[str, np.ndarray]
    inverse_mass: np.ndarray
    step_size: np.ndarray
    settings: dict[str, Any]
    seconds: float
    interrupted: bool = False
    warmup_draws: np.ndarray | None = None
    warmup_stats: dict[str, np.ndarray] | None = field(default=None)


class Chain:
    """One chain: its density, its workspace, how far it has come, and its goal, where it waits for the others."""

    def __init__(self, density, algorithm: Algorithm, number: int, *, draws: int, warmup: int, seed: int, init):
        self.density = density
        self.number = number
        self.n_divergent = 0
        self._compiled: CompiledRun | None = None
        self._run: CompiledRun | PythonRun | None = None
        self.space = algorithm.allocate(density.dim, draws=draws, warmup=warmup, random=stream(seed, number))
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 1)))
        position, logp, grad = starting_point(density, rng, init, number)
        self.space.rows[POSITION], self.space.rows[GRADIENT] = position, grad
        self.space.scalars[LOGP] = logp
        self.goal = self.total

    @property
    def done(self) -> int:
        """Number of complete iterations."""
        return int(self.space.counts[ITERATION])

    @property
    def total(self) -> int:
        """Number of iterations of the whole run."""
        return len(self.space.draws)

    def advance(self, seconds: float) -> None:
        """Run for about `seconds`; the draws do not depend on where a chunk ends."""
        run = PythonRun(self.density, self.space) if self._compiled is None else self._compiled
        self._run = run
        try:
            self._advance(run, time.perf_counter() + seconds)
        finally:
            run.close()

    def compile(self, kernel: Kernel) -> None:
        """Run compiled from now on."""
        self._compiled = CompiledRun(kernel, self.density, self.space)

    def stop(self) -> None:
        """End the present iteration early; for other threads."""
        if self._run is not None:
            self._run.stop()

    def _advance(self, run: CompiledRun | PythonRun, deadline: float) -> None:
        """Run chunks of iterations until the deadline."""
        n = 1
        n_warmup = int(self.space.counts[N_WARMUP])
        while (before := run.done) < self.goal:
            start = time.perf_counter()
            status = run.advance(min(n, self.goal - before))
            done, now = run.done, time.perf_counter()
            self.n_divergent += int(self.space.statistics[max(before, n_warmup) : done, DIVERGING_COLUMN].sum())
            if status == STOPPED:
                return
            if status != FINE:
                raise self._failure(status)
            if now >= deadline:
                return
            # aim at the deadline, but never more than double: early iterations tell little about later ones
            rate = (done - before) / max(now - start, 1e-9)
            n = max(1, min(2 * n, int(rate * (deadline - now))))

    def _failure(self, status: int) -> BaseException:
        """The exception for a status of the kernel."""
        if status == NO_STEP_SIZE:
            return DensityError(
                f"Chain {self.number}: the energy changes over one step however short the step. The gradient does not "
                "belong to the log density, or the density jumps or is random. pb.stress(density) tells."
            )
        if self.density.failure is None:
            return DensityError(f"The log density of chain {self.number} reported a failure but kept no exception.")
        return self.density.failure

    def report(self, progress: Progress | None) -> None:
        """Tell how far the chain has come."""
        if progress is not None:
            warming_up = self.done < self.space.counts[N_WARMUP]
            step_size = float(self.space.scalars[STEP_SIZE])
            progress(self.number, self.done, self.total, warming_up, self.n_divergent, step_size)


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
    starts = _starts(init, chains, density.dim)
    start_time = time.perf_counter()
    if cores is None:
        cores = (os.cpu_count() or 1) if density.address else 1
    running: list[Chain] = []
    interrupted = False
    compiling = prepare()
    try:
        for i, start in enumerate(starts):
            running.append(Chain(density.fork(), algorithm, i, draws=draws, warmup=warmup, seed=int(seed), init=start))
        kernel = compiled_kernel(compiling)
        if kernel is not None:
            for chain in running:
                chain.compile(kernel)
        # a signal is handled between two lines of Python in the main thread, which must not wait in machine code
        advance = _in_turn if cores == 1 and kernel is None else _in_threads
        for goal in (*algorithm.boundaries(density.dim, warmup), warmup + draws):
            for chain in running:
                chain.goal = goal
            advance(running, progress, cores)
            algorithm.meet([chain.space for chain in running])
    except KeyboardInterrupt:
        interrupted = True
    settings = {
        "algorithm": type(algorithm).__name__,
        **{name: _stated(value) for name, value in algorithm.describe().items() if value is not None},
        "draws": int(draws),
        "warmup": int(warmup),
        "chains": int(chains),
        "seed": int(seed),
        **(algorithm.facts([chain.space for chain in running]) if running else {}),
    }
    seconds = time.perf_counter() - start_time
    without = () if settings.get("sampler_choice", "").startswith("NUTS") else algorithm.without
    return _collect(running, settings, without, seconds, interrupted, keep_warmup)


def _stated(value):
    """A setting as it is kept with the draws; a metric given as an array is among the results anyway."""
    return "given" if isinstance(value, np.ndarray) else value


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


def _in_turn(chains: list[Chain], progress: Progress | None, cores: int) -> None:
    """Advance the chains by turns in this thread."""
    while waiting := [c for c in chains if c.done < c.goal]:
        for chain in waiting:
            chain.advance(CHUNK_SECONDS)
            chain.report(progress)


def _in_threads(chains: list[Chain], progress: Progress | None, cores: int) -> None:
    """Advance the chains by turns in several threads; this one reports, and tells them to stop on an interrupt."""
    waiting = deque(chains)
    working: dict[int, Chain] = {}  # by number of the thread
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                chain = waiting.popleft()
            except IndexError:  # each chain that is left has a thread
                return
            working[threading.get_ident()] = chain
            try:
                chain.advance(CHUNK_SECONDS)
            finally:
                del working[threading.get_ident()]
            if chain.done < chain.goal:
                waiting.append(chain)

    futures: list[Future] = []
    n_threads = min(cores, len(chains))
    try:
        with ThreadPoolExecutor(n_threads) as pool:
            try:
                for _ in range(n_threads):  # settings such as numpy.errstate hold in the threads as they do here
                    futures.append(pool.submit(contextvars.copy_context().run, work))
                while wait(futures, CHUNK_SECONDS, FIRST_EXCEPTION).not_done:
                    _raise_failure(futures)
                    for chain in chains:
                        chain.report(progress)
            finally:
                stop.set()
                _recall(futures, working)
    finally:  # a failure in a thread goes before an interrupt, or it would be lost
        _raise_failure(futures)
    for chain in chains:
        chain.report(progress)


def _raise_failure(futures: list[Future]) -> None:
    """Raise what ended a thread; a failure rather than an interrupt."""
    errors = [error for future in futures if future.done() and (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda e: isinstance(e, KeyboardInterrupt)):
        raise error


def _recall(futures: list[Future], working: dict[int, Chain]) -> None:
    """Have the threads end their present iteration: politely at first, then by an exception in the density."""
    for chain in list(working.values()):
        chain.stop()
    try:
        wait(futures, PATIENCE)
    finally:  # whoever interrupts a second time has waited long enough
        for thread in list(working):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))


def _collect(chains: list[Chain], settings, without, seconds, interrupted: bool, keep_warmup: bool) -> ChainResult:
    """Cut the chains to one length and name the columns, but for those without meaning for the algorithm."""
    n_warmup = settings["warmup"]
    begun = [c for c in chains if c.done > n_warmup]
    if not begun:
        done = max((c.done for c in chains), default=0)
        raise KeyboardInterrupt(
            f"Interrupted during warm-up, after {done} of {n_warmup} iterations: there are no draws yet."
            if n_warmup
            else "Interrupted before the first draw."
        )
    end = min(c.done for c in begun)

    def columns(start: int, stop: int) -> dict[str, np.ndarray]:
        table = np.stack([c.space.statistics[start:stop] for c in begun])
        return {name: _typed(name, table[..., k]) for k, name in enumerate(STATISTICS) if name not in without}

    def positions(start: int, stop: int) -> np.ndarray:
        return np.stack([c.space.draws[start:stop] for c in begun])

    return ChainResult(
        draws=positions(n_warmup, end),
        stats=columns(n_warmup, end),
        inverse_mass=_stacked([c.space.inverse_mass() for c in begun]),
        step_size=np.array([c.space.scalars[STEP_SIZE] for c in begun]),
        settings=settings,
        seconds=seconds,
        interrupted=interrupted,
        warmup_draws=positions(0, n_warmup) if keep_warmup else None,
        warmup_stats=columns(0, n_warmup) if keep_warmup else None,
    )


def _stacked(metrics: list[np.ndarray]) -> np.ndarray:
    """The inverse masses of all chains, as matrices if one of them is dense."""
    if len({m.ndim for m in metrics}) > 1:
        metrics = [m if m.ndim == 2 else np.diag(m) for m in metrics]
    return np.stack(metrics)


def _typed(name: str, column: np.ndarray) -> np.ndarray:
    if name in INTEGERS:
        return column.astype(np.int64)
    return column.astype(bool) if name in FLAGS else column.copy()
