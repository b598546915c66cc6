"""A NumPy function as native code, with a trace for every path that calls have taken."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from probad.ad.box import Box
from probad.codegen.compiled import Context, Trace
from probad.codegen.dispatch import FATAL, MAX_TRACES, OK
from probad.codegen.joining import Joining
from probad.errors import CaptureError, CompileError, CompileWarning, ConversionError, StaleTraceError
from probad.garbage import without_collection
from probad.ir.capture import capture
from probad.ir.graph import Graph
from probad.ir.passes import prepare
from probad.tree import flatten

FIRST_CHECKS, CHECK_EVERY = 3, 1000  # calls that are compared with the function itself
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Entry:
    """A compiled path as a C function, ``int32 f(void *ctx, const double *in, double *unused, double *out)``.

    Attributes
    ----------
    address, ctx : int
        The function and its first argument, which serves one thread at a time.
    n_out : int
        Numbers in all results, which follow each other in `out`, as the arguments do in `in`.
    """

    address: int
    ctx: int
    n_out: int
    kept: object = field(repr=False)  # keeps the code alive


class CompiledFunction:
    """A function that runs as native code; see `probad.native.compile`.

    Attributes
    ----------
    n_traces : int
        How many paths have been compiled.
    """

    def __init__(self, fn: Callable, *, wanted: bool = True):
        functools.update_wrapper(self, fn, updated=())
        self._fn, self._wanted = fn, wanted
        self._lock = threading.RLock()
        self._joinings: dict[tuple, Joining[_Path]] = {}  # by shapes
        self._plain: set[tuple] = set()  # shapes that run as plain Python
        self._local = threading.local()

    @property
    def n_traces(self) -> int:
        """How many paths have been compiled, over all shapes."""
        return sum(len(joining.codes) for joining in self._joinings.values())

    def __call__(self, *args: Any) -> Any:
        """Call the function; traced values make it run as it is written."""
        leaves, rebuild = flatten(args)
        if not self._wanted or Box in map(type, leaves):
            return self._fn(*args)
        arrays = [np.asarray(leaf, dtype=float) for leaf in leaves]
        key = tuple(a.shape for a in arrays), rebuild([None] * len(leaves)).__repr__()
        if key in self._plain:
            return self._fn(*args)
        flat = np.concatenate([a.ravel() for a in arrays]) if arrays else np.zeros(0)
        for path in self._joinings[key].codes if key in self._joinings else ():
            found = path.run(flat, self._local)
            if found is not None:
                return self._checked(key, path, found[0], args)
        return self._extend(key, flat, args)

    def entry(self, *args: Any) -> Entry:
        """The native code for the path that arguments like these take, for callers in other languages.

        It returns 0, or another number where the path ends or a result is not finite: call the function itself then.
        """
        leaves, _ = flatten(args)
        flat = np.concatenate([np.asarray(leaf, dtype=float).ravel() for leaf in leaves])
        path = _Path(self._fn, args)
        if path.run(flat, threading.local()) is None:
            raise CaptureError("A result is not finite here; choose other arguments.")
        context = path.trace.context()
        return Entry(path.trace.address, context.address, path.trace.n_result, context)

    def _extend(self, key: tuple, flat: np.ndarray, args: tuple) -> Any:
        """Capture a new path, and call it."""
        found = None

        def tried(path: _Path) -> _Path | None:
            """A path, if its results are finite here; else Python's answer counts."""
            nonlocal found
            found = path.run(flat, self._local)
            return None if found is None else path

        with self._lock:
            joining = self._joinings.setdefault(key, Joining(self._fn))
            try:
                path = joining.extend(
                    args,
                    lambda: tried(_Path(self._fn, args)),
                    lambda graph: tried(_Path(self._fn, args, graph)),
                    most=MAX_TRACES,
                )
            except (CaptureError, CompileError, ConversionError) as error:
                self._give_up(key, str(error))
                return self._fn(*args)
            if path is None and joining.why_apart and len(joining.codes) >= MAX_TRACES:
                self._give_up(
                    key,
                    f"it takes more than {MAX_TRACES} different paths, by conditions on its arguments, which were not "
                    f"joined: {joining.why_apart}",
                )
        return self._fn(*args) if path is None else self._checked(key, path, found[0], args)

    def _give_up(self, key: tuple, reason: str) -> None:
        self._plain.add(key)
        name = getattr(self._fn, "__name__", "The function")
        warnings.warn(f"{name} runs without compiled code from here on: {reason}.", CompileWarning, stacklevel=4)

    def _checked(self, key: tuple, path: _Path, out: Any, args: tuple) -> Any:
        """The result, compared with the function itself now and then."""
        path.n_calls += 1
        if path.n_calls <= FIRST_CHECKS or path.n_calls % CHECK_EVERY == 0:
            expected = self._fn(*args)
            for a, b in zip(flatten(out)[0], flatten(expected)[0], strict=True):
                if not np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * (1 + np.max(np.abs(b), initial=0.0))):
                    if path.is_joined and self._joinings[key].part(
                        "they went on in different ways from where they had met"
                    ):
                        return expected
                    raise StaleTraceError(
                        f"{getattr(self._fn, '__name__', 'The function')} gives {b!r}, but the code compiled from it "
                        f"{a!r}. It has changed since it was captured: it reads a global variable, an array or an "
                        "object that was written to, or draws random numbers. Pass what changes as an argument."
                    )
        return out

    def __repr__(self) -> str:
        return f"<compiled {getattr(self._fn, '__name__', self._fn)}, {self.n_traces} traces>"


class _Path:
    """One path through a function at given shapes, or several that are joined."""

    def __init__(self, fn: Callable, args: tuple, joined: Graph | None = None):
        self.is_joined = joined is not None
        with without_collection():
            graph, self.rebuild = capture(fn, *args)
            graph = prepare(joined or graph)
            self.outputs = [(graph.shape(n), np.asarray(graph.value(n)).dtype) for n in graph.outputs]
            self.trace = Trace.of(graph, apart=False)
        if joined is not None and self.trace.text.host:
            raise CompileError("some operations are carried out by Python")
        self.n_calls = 0

    def run(self, flat: np.ndarray, local) -> tuple[Any] | None:
        """The result in a tuple; None if this path does not fit."""
        contexts: dict[int, Context] = local.__dict__.setdefault("contexts", {})
        context = contexts.get(id(self))
        if context is None:
            context = contexts[id(self)] = self.trace.context()
        result = np.empty(max(self.trace.n_result, 1))
        status = context.run(flat.ctypes.data, 0, result.ctypes.data)
        if status == FATAL:
            raise context.failed.pop()
        if status != OK:
            return None
        leaves, start = [], 0
        for shape, dtype in self.outputs:
            stop = start + int(np.prod(shape))
            leaf = result[start:stop].reshape(shape)[()]
            leaves.append(leaf if dtype == np.float64 else leaf.astype(dtype))
            start = stop
        return (self.rebuild(leaves),)
