"""The way to native code: `compile` for functions, and when log densities are compiled.

Compilation waits until an algorithm asks for an address, so that importing and evaluating by hand stay light. Whatever
goes wrong with it is a warning: the tape does the same, slower.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from probad.ad.derivative import DIFFERENCES
from probad.errors import ArgumentError, CompileWarning, ProbadError

if TYPE_CHECKING:
    from probad.codegen.compiled import CompiledDensity, Worker
    from probad.codegen.differences import DifferenceWorker
    from probad.codegen.function import CompiledFunction

__all__ = ["NativeDensity", "Worker", "compile"]

EXACT = ("reverse", "forward")
BY_VALUES = (*DIFFERENCES, "richardson")  # gradients that are made of compiled values
METHODS = (*EXACT, *BY_VALUES)  # gradients that native code can make
START_SCALES = (0.3, 0.01, 1.0)  # how far from the origin a first path is looked for


def is_wanted() -> bool:
    """Whether functions are compiled: the environment variable ``PROBAD_COMPILE=0`` turns it off."""
    return os.environ.get("PROBAD_COMPILE", "1") != "0"


def compile(fn: Callable) -> CompiledFunction:
    """Make native code of a function of arrays.

    The function is captured when it is called: once for each combination of shapes, and once for each path that its
    conditions take. Gradients inside it are compiled with the rest: ``compile(pb.grad(f))``, ``compile(pb.hvp(f))``.

    Parameters
    ----------
    fn : callable
        Of numbers, arrays or nests of them, written in NumPy; returns one, or a nest. What it reads from outside, in
        globals or in its closure, must not change: what changes is an argument.

    Returns
    -------
    CompiledFunction
        Takes and returns what `fn` does.

    Raises
    ------
    StaleTraceError
        From a call: if the function has changed since it was captured. The first calls and one in a thousand are
        compared with the function itself.

    Examples
    --------
    >>> import numpy as np
    >>> f = compile(lambda x: np.sum(np.exp(-x * x)))
    >>> f(np.zeros(3))
    np.float64(3.0)
    """
    if not callable(fn):
        raise ArgumentError(f"compile takes a function; got {type(fn).__name__}.")
    from probad.codegen.function import CompiledFunction  # not needed to import probad

    return CompiledFunction(fn, wanted=is_wanted())


class NativeDensity:
    """The compiled form of one log density, made at most once and shared by all threads.

    Parameters
    ----------
    fn : callable
        The log density of a flat vector.
    by_tape : callable
        ``by_tape(z) -> (logp, grad)``.
    value_by_tape : callable
        ``value_by_tape(z) -> logp``.
    dim : int
    gradient : str
        How to differentiate, of `METHODS`.
    step : float, optional
        Of differences, absolute.
    """

    def __init__(
        self,
        fn: Callable,
        by_tape: Callable,
        value_by_tape: Callable,
        dim: int,
        *,
        gradient: str = "reverse",
        step: float | None = None,
    ):
        self._fn, self._by_tape, self._dim = fn, by_tape, dim
        self._gradient, self._step = gradient, step
        if gradient in BY_VALUES:
            self._by_tape = lambda z: (value_by_tape(z.copy()), np.empty(0))
        self._lock = threading.Lock()
        self._compiled: CompiledDensity | None = None
        self._settled = False

    def worker(self) -> Worker | DifferenceWorker | None:
        """An evaluator for one thread; None if there is no compiled code."""
        with self._lock:
            if not self._settled:
                self._compiled = self._compile() if is_wanted() else None
                self._settled = True
        if self._compiled is None:
            return None
        if self._gradient in EXACT:
            return self._compiled.worker()
        from probad.codegen.differences import DifferenceWorker

        return DifferenceWorker(self._compiled, self._gradient, self._step)

    def _compile(self) -> CompiledDensity | None:
        try:
            from probad.codegen.compiled import CompiledDensity
        except ImportError as error:  # llvmlite has no wheel for every machine
            _warn(f"{error}.")
            return None
        failure = None
        by_values = self._gradient in BY_VALUES
        # differences are for functions that cannot be traced, too: whatever such a function says to a trace
        expected = Exception if by_values else (ProbadError, ArithmeticError, ValueError, np.linalg.LinAlgError)
        for scale in START_SCALES:
            start = scale * np.random.default_rng(0).uniform(-1.0, 1.0, self._dim)
            try:
                mode = "none" if by_values else self._gradient
                return CompiledDensity(self._fn, self._by_tape, start, gradient=mode)
            except expected as error:
                failure = error
        if not by_values:
            _warn(str(failure))
        return None


def _warn(reason: str) -> None:
    warnings.warn(
        f"The log density runs without compiled code, some hundred times slower: {reason}", CompileWarning, stacklevel=2
    )
