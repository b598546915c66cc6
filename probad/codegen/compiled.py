"""Compiled traces, and the log density behind one address that is made of them.

A `Trace` is the native code of one path through a function. Several threads may run it, each with a `Context` of its
own. A `CompiledDensity` collects the traces of a log density, makes new ones when a path is new, and compares them with
the tape: the first calls, one now and then, and whenever it is asked to.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from collections.abc import Callable

import numpy as np

from probad.ad.jacobians import jacobian
from probad.codegen import host, recognition
from probad.codegen.comparisons import Comparisons
from probad.codegen.dispatch import CARE, FATAL, MAX_TRACES, MISS, NOT_FINITE, OK, SIGNATURE, Table, dispatcher
from probad.codegen.expand import expand
from probad.codegen.joining import APART, Joining
from probad.codegen.llvm import compile_module
from probad.codegen.places import aligned
from probad.codegen.program import Text, write
from probad.errors import CaptureError, CompileError, CompileWarning, ConversionError, StaleTraceError
from probad.garbage import without_collection
from probad.ir.capture import capture
from probad.ir.graph import Graph
from probad.ir.passes import prepare, prepare_gradient

# Calls of a thread after which it looks whether a comparison with the tape is due; on average they grow from the first
# number to the second, by factors of four.
LOOK_AFTER, LOOK_RARELY = 30, 500_000
SAME_VALUE, SAME_GRADIENT = 1e-8, 1e-6  # relative; what is stale differs by more
LARGEST_ROUNDING = 1e-4  # relative difference that rounding may explain far out, where cancellation makes it large


class Trace:
    """Native code for one path through a function.

    Parameters
    ----------
    text : Text
    function : Graph, optional
        What a density's code was made from, before its gradient joined it.
    """

    def __init__(self, text: Text, *, function: Graph | None = None):
        self.text, self.function = text, function
        # the text repeats what pays to repeat: to let LLVM do more takes it up to a third longer, for next to nothing
        self._native = compile_module(text.text, symbols=text.symbols, unroll=False)
        self.address = self._native.address("f")
        self.call = SIGNATURE(self.address)
        self.n_result = text.n_result

    @classmethod
    def of(cls, graph: Graph, *, apart: bool, function: Graph | None = None) -> Trace:
        """Native code of a graph.

        Parameters
        ----------
        graph : Graph
            As the passes of `probad.ir` leave it.
        apart : bool
            See `probad.codegen.program.write`.
        function : Graph, optional
        """
        return cls(write(expand(graph), apart=apart), function=function)

    def context(self) -> Context:
        """What one thread needs to run it."""
        return Context(self)


class Context:
    """Working memory for a trace, for one thread at a time, and the table of addresses that leads to it."""

    def __init__(self, trace: Trace):
        text = trace.text
        self.trace = trace
        self.failed: list[BaseException] = []
        self._work = aligned(text.n_work)
        self._host = host.callback(text.host, self._work, text.data, trace.n_result, self.failed) if text.host else None
        address = ctypes.cast(self._host, ctypes.c_void_p).value if text.host else 0
        self._table = np.array([self._work.ctypes.data, text.data.ctypes.data, address], np.int64)
        self.address = self._table.ctypes.data

    def run(self, z: int, value: int, result: int) -> int:
        """Call the native code with three addresses; returns its status."""
        return self.trace.call(self.address, z, value, result)


class CompiledDensity:
    """All traces of a log density.

    Parameters
    ----------
    fn : callable
        The log density of a flat vector, in NumPy.
    evaluate : callable
        ``evaluate(z) -> (logp, grad)`` by the tape.
    start : (dim,) array
        Where the first trace is made.
    gradient : {"reverse", "forward", "none"}
        By which mode the code differentiates; or that it computes the log density alone, and `evaluate` an empty
        gradient with it.

    Raises
    ------
    CaptureError, CompileError
        If the function cannot be compiled.
    """

    def __init__(self, fn: Callable, evaluate: Callable, start: np.ndarray, *, gradient: str = "reverse"):
        self._fn = _with_forward_gradient(fn) if gradient == "forward" else fn
        self.evaluate, self.start, self.dim, self.gradient = evaluate, start.copy(), len(start), gradient
        self.n_gradient = 0 if gradient == "none" else self.dim
        self._lock = threading.RLock()
        self.comparisons = Comparisons()
        self._warned = False
        dispatcher()  # compiled first, since later another thread may have the compiler for long
        self._name = recognition.name_of(self._fn, self.start, gradient)
        recalled = recognition.recall(self._name)
        self._is_doubtful = recalled is not None  # until it has agreed with the tape once
        self.joining = self._begin((lambda: Trace(recalled)) if recalled is not None else self._captured)

    def _begin(self, first: Callable[[], Trace]) -> Joining[Trace]:
        """The code for the path that is taken at the start, to which that for others is added."""
        joining: Joining[Trace] = Joining(self._fn)
        joining.extend((self.start.copy(),), first, self._together, most=MAX_TRACES)
        return joining

    def _captured(self) -> Trace:
        """Code for the path that the function takes at the start, kept for the next process."""
        trace = self._alone(self.start.copy())
        recognition.remember(self._name, trace.text)
        return trace

    def confirm(self) -> None:
        """The first code has agreed with the tape: what does not from now on tells that the function has changed."""
        self._is_doubtful = False

    def distrust(self) -> bool:
        """Make all code anew from the function itself, if it was recalled and never confirmed; returns whether so."""
        is_doubtful = self._is_doubtful
        if is_doubtful:
            self.joining = self._begin(self._captured)
            self._is_doubtful = False
            self.comparisons.begin()
        return is_doubtful

    def forget(self) -> None:
        """Leave nothing for another process."""
        recognition.forget(self._name)

    @property
    def traces(self) -> list[Trace]:
        """The code in use, in the order in which it is tried; another list when other traces replace them."""
        return self.joining.codes

    def extend(self, z: np.ndarray) -> bool:
        """Compile a path that no trace takes, alone or joined with the others; returns whether there is new code."""
        new = self.joining.extend((z,), lambda: self._alone(z), self._together, most=MAX_TRACES)
        return new is not None

    def _alone(self, z: np.ndarray) -> Trace:
        """Code for the path that the function takes at `z`."""
        with without_collection():
            return self._compiled(self._function_at(z))

    def _function_at(self, z: np.ndarray) -> Graph:
        """The path that the function takes at `z`, without its gradient."""
        return prepare(capture(self._fn, z)[0])

    def _together(self, graph: Graph) -> Trace:
        """Code for all paths."""
        with without_collection():
            trace = self._compiled(prepare(graph))
        if trace.text.host:
            raise CompileError("some operations are carried out by Python")
        self.comparisons.begin()
        return trace

    def _compiled(self, graph: Graph, *, careful: bool = False) -> Trace:
        whole = prepare_gradient(graph, careful=careful) if self.gradient == "reverse" else graph
        return Trace.of(whole, apart=True, function=graph)

    def add_careful(self, number: int) -> None:
        """Compile a path again, so that in derivatives zero times infinity is zero; it comes before the first."""
        trace = self.traces[number]
        if trace.function is None:  # it was recalled, and is the first
            trace.function = self._function_at(self.start.copy())
        self.traces.append(self._compiled(trace.function, careful=True))

    def part(self, why: str) -> bool:
        """Go back to single paths, and join no more; returns whether paths were joined."""
        return self.joining.part(why)

    def worker(self) -> Worker:
        """An evaluator for one thread."""
        return Worker(self)

    def warn(self, reason: str) -> None:
        """Say once that some calls run on the tape."""
        if not self._warned:
            self._warned = True
            warnings.warn(reason, CompileWarning, stacklevel=2)


class Worker:
    """A compiled density for one thread: an address and a context for the C side of the contract.

    Attributes
    ----------
    address, ctx : int
    failure : BaseException or None
        The exception behind the last fatal status.
    """

    def __init__(self, compiled: CompiledDensity):
        self._compiled = compiled
        self.failure: BaseException | None = None
        self._traces: list[Trace] = []
        self._contexts: list[Context] = []
        self._table = Table(self._ask)
        self.address, self.ctx = dispatcher(), self._table.address
        self._call = SIGNATURE(self.address)
        self._random = np.random.default_rng(0)
        self._careful: set[int] = set()
        self._n_looks = 0  # since the program is what it is
        self._adopt()
        self._table.check_after(1)

    def logp_and_grad(self, z: np.ndarray) -> tuple[int, float, np.ndarray]:
        """Status, log density and gradient at a contiguous vector."""
        logp, grad = np.empty(1), np.empty(len(z))
        status = self._call(self.ctx, z.ctypes.data, logp.ctypes.data, grad.ctypes.data)
        return status, float(logp[0]), grad

    def verify(self, z: np.ndarray) -> None:
        """Compare code and tape at a contiguous vector, be it due or not.

        Raises
        ------
        StaleTraceError
            If the function has changed since it was captured.
        """
        logp, grad = np.empty(1), np.empty(self._compiled.n_gradient)
        self._answer(z.ctypes.data, logp.ctypes.data, grad.ctypes.data, compare=True)

    def _adopt(self) -> None:
        """Take over the traces that other threads have made."""
        traces = self._compiled.traces
        if traces is not self._traces:
            self._traces, self._n_looks = traces, 0
            self._contexts.clear()
            self._careful.clear()
            self._table.clear()
        while len(self._contexts) < len(traces):
            context = traces[len(self._contexts)].context()
            self._contexts.append(context)
            self._table.add(context.trace.address, context.address, context)

    # --- when the dispatcher asks -------------------------------------------------------------------------------------
    def _ask(self, z: int, value: int, result: int) -> int:
        try:
            return self._answer(z, value, result)
        except BaseException as error:  # nothing may leave a callback
            self.failure = error
            return FATAL

    def _answer(self, z: int, value: int, result: int, *, compare: bool = False) -> int:
        """Evaluate where the code in use does not fit, or may be compared with the tape; returns a status.

        The first call of new code is compared, others if it is due, or if they must be.
        """
        point = _array(z, self._compiled.dim).copy()
        if self._traces is not self._compiled.traces:
            with self._compiled._lock:
                self._adopt()
        status, number = self._native(z, value, result)
        compare = compare or status >= MISS or self._compiled.comparisons.is_due
        if status == MISS:
            with self._compiled._lock:
                self._adopt()
                status, number = self._native(z, value, result)
                if status == MISS and self._extend(point):
                    status, number = self._native(z, value, result)
        if status == CARE and self._compiled.gradient == "reverse" and number not in self._careful:
            self._careful.add(number)
            with self._compiled._lock:
                self._compiled.add_careful(number)
                self._adopt()
            status, number = self._native(z, value, result)
        if status in (MISS, CARE):
            return self._by_tape(point, value, result)
        if status == FATAL:
            raise self._contexts[number].failed.pop()
        if compare:
            return self._compare(point, status, number, value, result)
        self._table.check_after(self._calls_until_look())
        return status

    def _native(self, z: int, value: int, result: int) -> tuple[int, int]:
        """The status of the first trace that fits, and its number; a careful one is preferred by a call for care."""
        cared = None
        for number, context in enumerate(self._contexts):
            status = context.run(z, value, result)
            if status == CARE:
                cared = number
            elif status != MISS:
                return status, number
        return (MISS, -1) if cared is None else (CARE, cared)

    def _extend(self, point: np.ndarray) -> bool:
        """Make a trace for a new path; False if that cannot be done."""
        compiled = self._compiled
        try:
            is_new = compiled.extend(point)
        except (CaptureError, CompileError, ConversionError) as error:
            compiled.warn(f"Some paths through the log density run without compiled code: {error}")
            return False
        if len(compiled.traces) >= MAX_TRACES and compiled.joining.why_apart:
            compiled.warn(
                f"The log density takes more than {MAX_TRACES} different paths, by conditions on latent values; new "
                "ones run without compiled code, about a thousand times slower. np.where(condition, a, b) needs no "
                f"path of its own. The paths were not joined: {compiled.joining.why_apart}."
            )
        self._adopt()
        return is_new

    def _by_tape(self, point: np.ndarray, value: int, result: int) -> int:
        logp, grad = self._compiled.evaluate(point)
        _array(value, 1)[0] = logp
        _array(result, self._compiled.n_gradient)[:] = grad
        return OK if np.isfinite(logp) and np.isfinite(grad).all() else NOT_FINITE

    def _compare(self, point: np.ndarray, status: int, number: int, value: int, result: int) -> int:
        """Compare the answer of a trace with the tape's; returns the status that counts."""
        n_gradient = self._compiled.n_gradient
        with self._compiled.comparisons.timed():
            difference = self._difference(point, status, float(_array(value, 1)[0]), _array(result, n_gradient))
        self._table.check_after(self._calls_until_look())
        if difference is None:
            if number == 0:
                self._compiled.confirm()
            return status
        what, compiled, tape, size = difference
        with self._compiled._lock:
            if self._compiled.distrust() or self._traces is not self._compiled.traces:
                return self._answer_anew(point, value, result)
        if self._agrees_at_start():  # then the function is what it was
            if not np.isfinite([compiled, tape]).all() or abs(compiled - tape) <= LARGEST_ROUNDING * size:
                return status  # far out rounding sets two right programs apart, or leaves one without a number
            with self._compiled._lock:
                if self._compiled.part(APART):
                    return self._answer_anew(point, value, result)
        self._compiled.forget()
        raise _stale(what, compiled, tape, point)

    def _answer_anew(self, point: np.ndarray, value: int, result: int) -> int:
        """Take over other code than that which was wrong; the tape answers."""
        self._adopt()
        self._table.check_after(1)
        return self._by_tape(point, value, result)

    def _calls_until_look(self) -> int:
        """After how many calls to look again whether a comparison is due."""
        if self._compiled.comparisons.is_close:
            return 1
        later = min(LOOK_AFTER * 4**self._n_looks, LOOK_RARELY)
        self._n_looks += 1
        return int(self._random.integers(1, 2 * later))

    def _agrees_at_start(self) -> bool:
        """Whether code and tape agree where the first trace was made."""
        start, number, slope = self._compiled.start.copy(), np.empty(1), np.empty(self._compiled.n_gradient)
        status, _ = self._native(start.ctypes.data, number.ctypes.data, slope.ctypes.data)
        return status in (OK, NOT_FINITE) and self._difference(start, status, float(number[0]), slope) is None

    def _difference(
        self, point: np.ndarray, status: int, got: float, slope: np.ndarray
    ) -> tuple[str, float, float, float] | None:
        """What compiled code and tape do not agree about, with their answers and the size of such numbers there."""
        logp, grad = self._compiled.evaluate(point)
        if status == NOT_FINITE and not np.isfinite(logp):
            return None
        size = 1 + abs(logp)
        if status == NOT_FINITE:
            return "log density", np.nan, logp, size
        if not _close(got, logp, SAME_VALUE * size):
            return "log density", got, logp, size
        size = 1 + float(np.max(np.abs(grad), initial=0.0))
        for i in range(len(slope)):
            if not _close(slope[i], grad[i], SAME_GRADIENT * size):
                return f"derivative by coordinate {i}", float(slope[i]), float(grad[i]), size
        return None


def _with_forward_gradient(fn: Callable) -> Callable:
    """The function with its gradient by forward mode, which is captured with the rest."""
    return lambda z: (fn(z), jacobian(fn, mode="forward")(z))


def _close(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) <= tolerance or (np.isnan(a) and np.isnan(b)) or a == b


def _stale(what: str, compiled: float, tape: float, point: np.ndarray) -> StaleTraceError:
    shown = np.array2string(point[:5], precision=4, separator=", ")
    return StaleTraceError(
        f"The {what} at z = {shown}{'...' if len(point) > 5 else ''} is {tape:.10g} by the function, but "
        f"{compiled:.10g} by the code compiled from it. The function has changed since: it reads a global variable, an "
        "array or an object that was written to, or draws random numbers. Make the density again, or set "
        "PROBAD_COMPILE=0."
    )


def _array(address: int, n: int) -> np.ndarray:
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_double)), (n,))
