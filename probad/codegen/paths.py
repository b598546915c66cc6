"""A function of several arrays at one address: native code for each path it takes, and Python where there is none.

It is to functions what `probad.codegen.compiled` is to log densities, for kernels that need more than a gradient.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import numpy as np

from probad.codegen.compiled import Context, Trace
from probad.codegen.dispatch import FATAL, MAX_TRACES, MISS, NOT_FINITE, OK, Table, dispatcher
from probad.errors import CaptureError, CompileError, ConversionError, StaleTraceError
from probad.garbage import without_collection
from probad.ir.capture import capture
from probad.ir.passes import prepare
from probad.tree import flatten

N_CHECKS, CHECK_RARELY = 3, 20_000  # calls compared with the function itself: the first ones, then one in so many
TOLERANCE = 1e-7


class Paths:
    """All traces of a function, shared by threads.

    Parameters
    ----------
    fn : callable
        Of arrays with the shapes of `shapes`; its results are flattened one after the other.
    shapes : sequence of tuple of int
    outside : tuple of exception types
        What `fn` may raise where it is not defined: the result is then not finite.
    """

    def __init__(self, fn: Callable, shapes, outside: tuple = ()):
        self.fn, self.shapes, self.outside = fn, tuple(shapes), outside
        self.n_in = sum(int(np.prod(shape)) for shape in self.shapes)
        self.traces: list[Trace] = []
        self.lock = threading.RLock()
        self.can_extend = True

    def arguments(self, flat: np.ndarray) -> list[np.ndarray]:
        """The arguments from one vector."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def in_python(self, flat: np.ndarray) -> np.ndarray | None:
        """All results in one vector, by the function itself; None where it is not defined."""
        with np.errstate(all="ignore"):
            try:
                leaves = flatten(self.fn(*self.arguments(flat.copy())))[0]
            except self.outside:
                return None
        return np.concatenate([np.asarray(leaf, dtype=float).ravel() for leaf in leaves])

    def add(self, flat: np.ndarray) -> bool:
        """Compile the path taken here; False if that cannot be done, and then no other one is tried."""
        self.can_extend = self.can_extend and len(self.traces) < MAX_TRACES
        if not self.can_extend:
            return False
        try:
            with without_collection(), np.errstate(all="ignore"):
                graph = prepare(capture(self.fn, *self.arguments(flat))[0])
                self.traces.append(Trace.of(graph, apart=False))
        except self.outside:
            return False
        except (CaptureError, CompileError, ConversionError, ArithmeticError):
            self.can_extend = False
            return False
        return True


class PathWorker:
    """A function for one thread, with the contract ``int32 f(ctx, const double *in, double *unused, double *out)``.

    Attributes
    ----------
    address, ctx : int
    failure : BaseException or None
        What was raised behind the last fatal status.
    """

    def __init__(self, paths: Paths):
        self._paths = paths
        self.failure: BaseException | None = None
        self._contexts: list[Context] = []
        self._table = Table(self._ask)
        self.address, self.ctx = dispatcher(), self._table.address
        self._n_checks = 0
        self._table.check_after(1)

    def _ask(self, place: int, _: int, result: int) -> int:
        try:
            return self._answer(place, result)
        except BaseException as error:  # nothing may leave a callback
            self.failure = error
            return FATAL

    def _answer(self, place: int, result: int) -> int:
        flat = _array(place, self._paths.n_in).copy()
        if not np.isfinite(flat).all():
            return NOT_FINITE
        expected = self._paths.in_python(flat)
        if expected is None:
            self._plan()
            return NOT_FINITE
        status = self._native(place, result)
        if status >= MISS:
            with self._paths.lock:
                if self._adopt() or self._paths.add(flat):
                    self._adopt()
            status = self._native(place, result)
        finite = np.isfinite(expected).all()
        if status == OK and finite:
            self._compare(_array(result, len(expected)), expected)
        _array(result, len(expected))[:] = expected
        self._plan()
        return OK if finite else NOT_FINITE

    def _adopt(self) -> bool:
        """Take over the traces that other threads have made; whether there were any."""
        known = len(self._contexts)
        for trace in self._paths.traces[known:]:
            context = trace.context()
            self._contexts.append(context)
            self._table.add(trace.address, context.address, context)
        return len(self._contexts) > known

    def _native(self, place: int, result: int) -> int:
        """The status of the first trace that fits."""
        for context in self._contexts:
            status = context.run(place, 0, result)
            if status == FATAL:
                raise context.failed.pop()
            if status < MISS:
                return status
        return MISS

    def _plan(self) -> None:
        """Say when Python is to be asked next; without a trace, always."""
        self._n_checks += 1
        seldom = self._contexts and self._n_checks >= N_CHECKS
        self._table.check_after(CHECK_RARELY if seldom else 1)

    def _compare(self, got: np.ndarray, expected: np.ndarray) -> None:
        scale = 1.0 + np.max(np.abs(expected), initial=0.0)
        gap = np.max(np.abs(got - expected), initial=0.0)
        if not gap <= TOLERANCE * scale:
            raise StaleTraceError(
                f"A derivative of the log density differs by {gap:.3g} between the function and the code compiled from "
                "it. The function has changed since: it reads a global variable, an array or an object that was "
                "written to, or draws random numbers. Make the density again, or set PROBAD_COMPILE=0."
            )


def _array(address: int, n: int) -> np.ndarray:
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_double)), (n,))
