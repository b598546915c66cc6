"""One chain: where it starts or goes on from, and how it advances by chunks that leave no trace in its draws."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from probad.errors import DensityError, StoreError
from probad.mcmc.initialize import starting_point
from probad.mcmc.random import stream
from probad.mcmc.run import CompiledRun, Kernels, PythonRun, compiled_kernels, prepare
from probad.mcmc.settings import Algorithm
from probad.mcmc.workspace import (
    ADAPTATION,
    ALGORITHM,
    DECISION,
    DIAGONAL,
    FINE,
    FORM,
    GRADIENT,
    ITERATION,
    LOGP,
    MAX_STEPS,
    MAX_TREE_DEPTH,
    N_DIRECTIONS,
    N_DRAWS,
    N_WARMUP,
    NO_STEP_SIZE,
    POSITION,
    RANK,
    ROOM,
    SHORT_FROM,
    SHORT_UNTIL,
    STATISTICS,
    STEP_SIZE,
    STOP,
    STOPPED,
    Workspace,
)

CHUNK_SECONDS = 0.05  # how long a chain runs before the driver looks at progress and interrupts
INSTANT = 0.001  # seconds of a chunk so short that those after it may be much longer
DIVERGING_COLUMN = STATISTICS.index("diverging")
TABLES = ("draws", "statistics")  # the arrays of a workspace with a row per iteration; the others are its state
SCRATCH = ("work",)  # but for those, which no iteration leaves to the next
# Counts that follow from the settings, as the schedule does. Kernels trust them, so a stored state must agree. Form,
# steps and algorithm may change during warm-up.
SETTLED = (N_WARMUP, MAX_TREE_DEPTH, ADAPTATION, DECISION, ROOM, SHORT_FROM, SHORT_UNTIL, FORM, MAX_STEPS, ALGORITHM)

# progress(chain, done, total, warming_up, n_divergent, step_size)
Progress = Callable[[int, int, int, bool, int, float], None]


class Recorder(Protocol):
    """What keeps a run; `probad.store` has one.

    Attributes
    ----------
    met : int
        How many boundaries, where chains wait for each other, the kept states have behind them.
    """

    met: int

    def begin(self, settings: dict, like: dict[str, np.ndarray], *, layout: str, statistics) -> None:
        """Take note of the settings of the run and the arrays of a chain, of which only shapes and types count."""

    def stored(self, number: int) -> dict[str, np.ndarray] | None:
        """The arrays that a chain goes on from, of the tables the rows that count; None for a new chain."""

    def record(self, number: int, done: int, arrays: dict[str, np.ndarray], *, exact: bool, now: bool = False) -> None:
        """Keep what a chain has reached, if it is time or has to be now; called while the chain rests."""

    def meet(self, met: int, chains: dict[int, tuple[int, dict[str, np.ndarray]]]) -> None:
        """Keep iterations and arrays of all chains, by number, in one step, after they have met."""

    def finish(self, seconds: float, settings: dict) -> float:
        """End the session after some seconds of sampling, with what is to be told; the time of all sessions."""


@dataclass(frozen=True, eq=False)
class Job:
    """All that makes a chain: it can travel to another process if the density can.

    Attributes
    ----------
    density : LogDensity
        Of this chain alone.
    algorithm : Algorithm
    number, draws, warmup, seed : int
    init : (dim,) array or None
    stored : dict of str to array, or None
        What it goes on from, as `Recorder.stored` gives it.
    goal : int, optional
        Iterations after which it waits for the other chains, if not at its end.
    """

    density: object
    algorithm: Algorithm
    number: int
    draws: int
    warmup: int
    seed: int
    init: np.ndarray | None = None
    stored: dict[str, np.ndarray] | None = None
    goal: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether it goes on from its goal."""
        goal = self.draws + self.warmup if self.goal is None else self.goal
        return self.stored is not None and self.stored["counts"][ITERATION] == len(self.stored["draws"]) == goal

    def allocate(self) -> Workspace:
        """A workspace before the first iteration, without a starting point."""
        random = stream(self.seed, self.number)
        return self.algorithm.allocate(self.density.dim, draws=self.draws, warmup=self.warmup, random=random)

    def workspace(self) -> Workspace:
        """A workspace where the chain starts or goes on."""
        space = self.allocate()
        if self.stored is not None:
            self._restore(space, self.stored)
            return space
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(self.number, 1)))
        position, logp, grad = starting_point(self.density, rng, self.init, self.number)
        space.rows[POSITION], space.rows[GRADIENT] = position, grad
        space.scalars[LOGP] = logp
        return space

    def _restore(self, space: Workspace, stored: dict[str, np.ndarray]) -> None:
        settled = list(SETTLED)
        if space.counts[DECISION] >= 0:  # diagonal, with room for more
            settled.remove(FORM)
        if self.algorithm.boundaries(self.density.dim, self.warmup):
            settled = [k for k in settled if k not in (MAX_STEPS, ALGORITHM)]
        expected, schedule = [int(space.counts[k]) for k in settled], space.schedule.copy()
        for name, values in stored.items():
            target = getattr(space, name)
            if name in TABLES:
                target[: len(values)] = values
            else:
                target[...] = values
        found, iteration = [int(space.counts[k]) for k in settled], int(space.counts[ITERATION])
        fits = found == expected and np.array_equal(space.schedule, schedule)
        fits = fits and int(space.counts[ALGORITHM]) in (self.algorithm.code, *self.algorithm.codes)
        fits = fits and space.counts[FORM] in (DIAGONAL, space.counts[ROOM]) and 0 <= space.counts[N_DIRECTIONS] <= RANK
        if not fits or not 0 <= iteration <= len(stored["draws"]):
            raise StoreError(
                f"The stored state of chain {self.number} does not fit its settings: counts {found} at iteration "
                f"{iteration} instead of {expected}, up to {len(stored['draws'])}."
            )
        space.counts[N_DRAWS] = self.draws  # there may be more now
        space.counts[STOP] = 0


class Chain:
    """One chain that runs: its density, its workspace, and how far it has come.

    Parameters
    ----------
    job : Job
    space : Workspace, optional
        Where it is, if it has run already.

    Attributes
    ----------
    goal : int
        Iterations after which it waits for the other chains.
    exact : bool
        Whether the state in the workspace is that after the last complete iteration; not so after an interrupt.
    """

    def __init__(self, job: Job, space: Workspace | None = None):
        self.density, self.number = job.density, job.number
        self.space = job.workspace() if space is None else space
        self.goal, self.exact = self.total if job.goal is None else job.goal, True
        self.n_divergent = 0
        self._kernels: Kernels | None = None
        self._compiled: CompiledRun | None = None
        self._run: CompiledRun | PythonRun | None = None
        self._count_divergent(0, self.done)

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
        if self._kernels is not None:
            if self._kernels.failure() is None:
                self._compiled = CompiledRun(self._kernels, self.density, self.space)
            self._kernels = None
        run = PythonRun(self.density, self.space) if self._compiled is None else self._compiled
        self._run, self.exact = run, False
        try:
            whole = self._advance(run, time.perf_counter() + seconds)
        finally:
            run.close()
        self.exact = whole

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the workspace by name."""
        return arrays_of(self.space)

    def stored(self) -> dict[str, np.ndarray]:
        """The arrays that a job can go on from: of tables, the rows that count."""
        return {name: array[: self.done] if name in TABLES else array for name, array in self.arrays().items()}

    def compile(self, kernels: Kernels) -> None:
        """Run compiled from now on, if there will be code, for which the chain waits when it advances."""
        self._kernels = kernels

    def verify(self) -> None:
        """Compare the code of the density with its function where the chain is."""
        self.density.verify(self.space.rows[POSITION])

    def stop(self) -> None:
        """End the present iteration early; for other threads."""
        if self._run is not None:
            self._run.stop()

    def _advance(self, run: CompiledRun | PythonRun, deadline: float) -> bool:
        """Run chunks of iterations until the deadline; False if stopped in the midst of one."""
        n = run.n_first
        while (before := run.done) < self.goal:
            start = time.perf_counter()
            status = run.advance(min(n, self.goal - before))
            done, now = run.done, time.perf_counter()
            self._count_divergent(before, done)
            if status == STOPPED:
                return False
            if status != FINE:
                raise self._failure(status)
            if now >= deadline:
                break
            # aim at the deadline, but in steps: early iterations tell little about later ones
            rate = (done - before) / max(now - start, 1e-9)
            growth = 2 if now - start > INSTANT else 8
            n = max(1, min(growth * n, int(rate * (deadline - now))))
        return True

    def _count_divergent(self, start: int, stop: int) -> None:
        start = max(start, int(self.space.counts[N_WARMUP]))
        self.n_divergent += int(self.space.statistics[start:stop, DIVERGING_COLUMN].sum())

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


def arrays_of(space: Workspace) -> dict[str, np.ndarray]:
    """The arrays of a workspace by name, without scratch."""
    return {f.name: getattr(space, f.name) for f in dataclasses.fields(space) if f.name not in SCRATCH}


def run_job(job: Job) -> Workspace:
    """Run a chain to its goal, wherever this is called."""
    compiling = prepare(job.algorithm, job.density.dim)
    job = dataclasses.replace(job, density=job.algorithm.attach(job.density))
    _ = job.density.address  # asked for, so that all evaluations are by compiled code where there is any
    chain = Chain(job)
    kernels = compiled_kernels(compiling)
    if kernels is not None:
        chain.compile(kernels)
    while chain.done < chain.goal:
        chain.advance(CHUNK_SECONDS)
    chain.verify()
    return chain.space
