"""Three ways to advance chains to their goals: by turns in this thread, in several threads, in an executor.

Each tells progress, has the chains kept, and ends soon after an interrupt.
"""

from __future__ import annotations

import contextvars
import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait

from probad.errors import ArgumentError
from probad.mcmc.chain import Chain, Job, Progress, run_job
from probad.mcmc.workspace import Workspace

CHUNK_SECONDS = 0.05  # how long a chain runs before the driver looks at progress and interrupts
PATIENCE = 0.1  # seconds that a density has to come back after an interrupt, before it is interrupted itself
MOST_PATIENCE = 0.2  # more seconds for that, before the threads are left to end by themselves

Record = Callable[[Chain], None]


def in_turn(chains: list[Chain], progress: Progress | None, record: Record, cores: int) -> float:
    """Advance the chains by turns in this thread; the time, by `time.perf_counter`, at which the last has ended."""
    while waiting := [c for c in chains if c.done < c.goal]:
        for chain in waiting:
            chain.advance(CHUNK_SECONDS)
            record(chain)
            chain.report(progress)
    return time.perf_counter()


def in_executor(
    executor: Executor,
    jobs: list[Job],
    ended: list[Chain],
    progress: Progress | None,
    record: Record,
    *,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Have the workers of an executor run the chains to their goals; each has its place in `ended` as it comes.

    This thread does what `meanwhile` says once they have begun.
    """
    waiting: dict[Future, Job] = {}
    try:
        for job in jobs:
            if job.is_done:
                _put(Chain(job), ended)
            else:
                waiting[executor.submit(run_job, job)] = job
        if meanwhile is not None:
            meanwhile()
        while waiting:
            for future in wait(waiting, CHUNK_SECONDS, FIRST_COMPLETED).done:
                chain = Chain(waiting.pop(future), _result(future))
                _put(chain, ended)
                record(chain)
                chain.report(progress)
    finally:
        for future, job in waiting.items():
            if not future.cancel() and future.done() and future.exception() is None:
                _put(Chain(job, future.result()), ended)


def _put(chain: Chain, chains: list[Chain]) -> None:
    """Put a chain where one of its number was, or where it belongs by its number."""
    chains[:] = sorted([*(c for c in chains if c.number != chain.number), chain], key=lambda c: c.number)


def in_threads(
    chains: list[Chain],
    progress: Progress | None,
    record: Record,
    cores: int,
    *,
    meanwhile: Callable[[], None] | None = None,
) -> float:
    """Advance the chains by turns in several threads; this one reports, and tells them to stop on an interrupt.

    Before that it does what `meanwhile` says. Returns the time at which the last thread has ended, as `in_turn` does.
    """
    waiting = deque(chains)
    working: dict[int, Chain] = {}  # by number of the thread
    stop = threading.Event()

    def work() -> float:
        while not stop.is_set():
            try:
                chain = waiting.popleft()
            except IndexError:  # each chain that is left has a thread
                break
            working[threading.get_ident()] = chain
            try:
                chain.advance(CHUNK_SECONDS)
                record(chain)
            finally:
                del working[threading.get_ident()]
            if chain.done < chain.goal:
                waiting.append(chain)
        return time.perf_counter()

    futures: list[Future] = []
    n_threads = min(cores, len(chains))
    pool = ThreadPoolExecutor(n_threads)
    try:
        for _ in range(n_threads):  # settings such as numpy.errstate hold in the threads as they do here
            futures.append(pool.submit(contextvars.copy_context().run, work))
        if meanwhile is not None:
            meanwhile()
        while wait(futures, CHUNK_SECONDS, FIRST_EXCEPTION).not_done:
            _raise_failure(futures)
            for chain in chains:
                chain.report(progress)
    finally:  # a failure in a thread goes before an interrupt, or it would be lost
        stop.set()
        _recall(futures, working)
        pool.shutdown(wait=False)
        _raise_failure(futures)
    for chain in chains:
        chain.report(progress)
    return max(future.result() for future in futures)


def _raise_failure(futures: list[Future]) -> None:
    """Raise what ended a thread; a failure rather than an interrupt."""
    errors = [error for future in futures if future.done() and (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda e: isinstance(e, KeyboardInterrupt)):
        raise error


def _result(future: Future) -> Workspace:
    """What a worker has made; if the job could not travel, an error that says what to do."""
    try:
        return future.result()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if any(word in text.lower() for word in ("pickl", "serializ", "local object")):
            raise ArgumentError(
                f"The model cannot be sent to the workers of the executor: {text}. They must find its function by "
                "name: define it at the top level of a module that they can import, not inside a function, and pass "
                "data as arguments of the model. Dask sends functions of notebooks as well."
            ) from error
        raise


def _recall(futures: list[Future], working: dict[int, Chain]) -> None:
    """Have the threads end their present iteration: politely at first, then by an exception in the density.

    Machine code and calls such as ``time.sleep`` raise none before they return. A thread that is in one then ends by
    itself, and what it still writes is no complete iteration, which nobody reads.
    """
    for chain in list(working.values()):
        chain.stop()
    try:
        wait(futures, PATIENCE)
    finally:  # whoever interrupts a second time has waited long enough
        for thread in list(working):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
        wait(futures, MOST_PATIENCE)
