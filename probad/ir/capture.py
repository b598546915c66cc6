"""Capture: run a function once with values that write down what is done to them.

The trace of a capture is a level like those of differentiation, and lies under them all: what a gradient inside the
function does is captured with the rest. It carries the concrete values along, so that Python can branch on them; each
question that Python asks (`bool`, `int`, an index, a mask) becomes a guard, and the graph says the same as the function
wherever all guards hold.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from probad.ad.box import Box
from probad.ad.composite import Composite
from probad.ad.constants import protect, release
from probad.ad.core import LEAKED, PRIMITIVES, Primitive, Trace
from probad.ad.functions import as_operand
from probad.ad.kinds import CONSTANTS, OPERATIONS, Elementwise
from probad.errors import CaptureError, LeakedValueError
from probad.ir.graph import NO_PARAMS, PULL, Graph, Guard
from probad.ir.standpoint import MOST, Observer, Question
from probad.tree import flatten

STOP, CALL = "stop", "call"  # a value that derivatives do not pass; a call with derivative rules of its own
# Answers about structure, which are the same whatever the values are.
STRUCTURAL = frozenset({"iscomplexobj", "isrealobj", "result_type", "can_cast", "array_repr", "array_str",
                        "array2string", "may_share_memory", "shares_memory", "min_scalar_type", "common_type",
                        "tril_indices_from", "triu_indices_from", "diag_indices_from", "einsum_path"})  # fmt: skip
# Arrays whose shape depends on the values.
DYNAMIC = frozenset({"nonzero", "flatnonzero", "argwhere"})


class CaptureTrace(Trace):
    """One capture in progress. The content of each box is its concrete value, its node the number in the graph.

    Parameters
    ----------
    calls : bool
        Whether functions with derivative rules of their own stay one operation, for the adjoint to find, or are
        captured like any other.
    settles : bool
        Whether a choice between scalars by a plain condition is settled. In a loop over data it may turn out otherwise
        the next time, and all iterations must look the same.
    observer : Observer or None
        Notes where the function stands at each of its questions.
    """

    __slots__ = ("calls", "graph", "held", "observer", "settles", "write")
    differentiates = False
    answers = True
    captures = True

    def __init__(
        self,
        graph: Graph | None = None,
        *,
        calls: bool = True,
        settles: bool = False,
        observer: Observer | None = None,
    ):
        super().__init__()
        self.observer = observer
        self.graph = Graph() if graph is None else graph
        self.calls, self.settles = calls, settles
        self.held: list = []
        g = self.graph
        self.write = (g.ops.append, g.args.append, g.params.append, g.values.append, g.values)

    def __exit__(self, *exc_info):
        release(self.held)
        super().__exit__(*exc_info)

    def input(self, value) -> Box:
        """A new argument."""
        return Box(value, self, self.graph.add_input(value))

    def box(self, number: int) -> Box:
        """A traced value for a node or a constant of the graph."""
        return Box(self.graph.value(number), self, number)

    def number(self, x) -> int:
        """The node of a traced value, or the constant of a plain one."""
        if type(x) is not Box:
            return self.graph.constant(protect(x, self.held) if type(x) is np.ndarray else x)
        if x.view is not None:
            x.view.refresh(x)
        if x.owner is not self:
            raise CaptureError("A function that is being compiled met a value that is traced by something else.")
        return self.graph.constant(x.value) if x.node is None else x.node

    def process(self, primitive: Primitive, args, params):
        """Carry out an operation on the concrete values, and write it down."""
        if not self.alive:
            raise LeakedValueError(LEAKED)
        name = primitive.name
        is_simple = type(primitive) is Elementwise  # most are, and nothing more is to be thought of
        if not is_simple:
            if type(primitive) is Composite:
                if not self.calls:
                    return as_operand(primitive.impl(*args, **params))
                name, params = CALL, {"primitive": primitive, **params}
            elif name == "index":
                params = {"index": _plain(params["index"])}
            elif name == "where" and self.settles and np.ndim(params["condition"]) == 0:
                chosen = args[0] if params["condition"] else args[1]  # settled for good: the condition is plain
                return self.box(self.number(chosen))
        graph, numbers, values = self.graph, [], []
        for a in args:
            if type(a) is Box and a.owner is self and a.view is None and a.node is not None:
                numbers.append(a.node)
                values.append(a.value)
            else:
                numbers.append(self.number(a))
                values.append(graph.value(numbers[-1]))
        if is_simple:
            y = primitive.impl(*values)
            return Box(y, self, graph.add(name, tuple(numbers), params, y))
        if name in CONSTANTS:
            if name in STRUCTURAL:
                return primitive.impl(*values, **params)
            if name in DYNAMIC:
                return primitive.impl(*(self._asked(n, f"np.{name}") for n in numbers), **params)
            numbers = [self._unstopped(n) for n in numbers]
        y = primitive.impl(*values, **(params if name is not CALL else NO_PARAMS))
        if type(y) not in PLAIN:
            y = np.asarray(y)[()]
            if y.dtype.kind not in "fiub":
                raise CaptureError(f"{name} gives {type(y).__name__}, which cannot be compiled.")
        box = Box(y, self, graph.add(name, tuple(numbers), params, y))
        if primitive.view_fn is not None and y.shape:
            box.view = primitive.view_fn(primitive, args[0], params, box)
        return box

    def of_numbers(self, primitive: Primitive, a, b) -> Box | None:
        """As `process`, in a third of the time, for an operation on one or two numbers; None if it is something else.

        A loop over data in plain Python consists of little else.
        """
        if type(primitive) is not Elementwise or not self.alive:
            return None
        if type(a) is Box:
            x, node = a.value, a.node
            if type(x) is not FLOAT or node is None or a.owner is not self:
                return None
        elif type(a) in NUMBERS:
            node = self.graph.constant(a)
            x = self.graph.constants[-node - 1]
        else:
            return None
        if b is None:
            y, args = primitive.impl(x), (node,)
        elif type(b) is Box:
            z, other = b.value, b.node
            if type(z) is not FLOAT or other is None or b.owner is not self:
                return None
            y, args = primitive.impl(x, z), (node, other)
        elif type(b) in NUMBERS:
            other = self.graph.constant(b)
            y, args = primitive.impl(x, self.graph.constants[-other - 1]), (node, other)
        else:
            return None
        add_op, add_args, add_params, add_value, values = self.write
        add_op(primitive.name)
        add_args(args)
        add_params(NO_PARAMS)
        add_value(y)
        return Box(y, self, len(values) - 1)

    def element(self, x: Box, index: int) -> Box | None:
        """As `process`, for a number out of a vector; None if it is something else."""
        value = x.value
        if x.view is not None or x.node is None or type(value) is not np.ndarray or value.ndim != 1 or not self.alive:
            return None
        y = value[index]
        return Box(y, self, self.graph.add("index", (x.node,), {"index": index}, y))

    def note_iterator(self, elements) -> None:
        """Somebody goes through the elements of an array: by a generator, which is seen nowhere else."""
        if self.observer is not None:
            self.observer.iterators.append(weakref.ref(elements))

    def _unstopped(self, number: int) -> int:
        """The operand of a piecewise constant operation: that no derivative passes goes without saying."""
        while number >= 0 and self.graph.ops[number] == STOP:
            number = self.graph.args[number][0]
        return number

    def inside(self, box: Box):
        """The concrete value."""
        return box.value

    def peeled(self, box: Box):
        """The value under all derivatives, which stays captured."""
        if box.node is None or box.dtype.kind != "f" or self.graph.ops[box.node] == STOP:
            return Box(box.value, self, box.node)
        return Box(box.value, self, self.graph.add(STOP, (box.node,), NO_PARAMS, box.value))

    def concrete(self, box: Box, what: str):
        """The concrete value, which becomes a condition for the use of the graph."""
        number = self.number(box)
        if number < 0:
            return box.value
        if what == "bool()" and box.dtype.kind != "b":
            box = CONSTANTS["not_equal"](box, 0)
        elif what == "int()" and box.dtype.kind == "f":
            box = CONSTANTS["astype"](box, dtype=np.int64)
        return self._asked(self._unstopped(box.node), what)

    def _asked(self, number: int, what: str):
        value = self.graph.value(number)
        if number >= 0:
            where = _where_asked()
            self.graph.guards.append(Guard(number, value, where))
            if self.observer is not None:
                self.observer.note(self, number, value, where, sys._getframe(1))
        return value


FLOAT = np.float64
NUMBERS = frozenset({float, int, np.float64})
PLAIN = frozenset({np.float64, np.ndarray, np.bool_, np.int64})


class Stop(Primitive):
    """The identity, without a derivative."""

    __slots__ = ()

    def __init__(self):
        self.name, self.impl = STOP, lambda x: x
        self.push = self.pull = self.careful_pull = self.examples = self.view_fn = self.gather_fn = None


STOPPED = Stop()


def implementation(op: str, params: dict) -> tuple[Callable, dict]:
    """The function on plain values that an operation of a graph stands for, and its parameters."""
    if op == CALL:
        return params["primitive"].impl, {k: v for k, v in params.items() if k != "primitive"}
    if op == STOP:
        return STOPPED.impl, NO_PARAMS
    if op == PULL:
        return pull, params
    primitive = PRIMITIVES.get(op)
    return (primitive.impl if primitive is not None else OPERATIONS[op].impl), params


def pull(g, y, *values, op: str, k: int, params: dict):
    """The reverse rule of a primitive."""
    return PRIMITIVES[op].pull(k, g, y, values, params)


def capture(fn: Callable, *args: Any) -> tuple[Graph, Callable]:
    """Capture a function at a point.

    Parameters
    ----------
    fn : callable
        Of NumPy arrays, numbers, or nests of them; returns one, or a nest.
    *args
        The point: the shapes are those of every later call.

    Returns
    -------
    graph : Graph
        Its inputs are the leaves of the arguments, its outputs those of the result.
    rebuild : callable
        Puts a list of leaves into the structure of the result.

    Raises
    ------
    CaptureError
        If the result is not made of numbers.
    """
    return _run(CaptureTrace(), fn, args)


def explore(fn: Callable, *args: Any) -> tuple[Graph, list[Question]]:
    """As `capture`, with where the function stood at each of its questions: one path, to be joined with others."""
    observer = Observer(_run.__code__)
    graph, _ = _run(CaptureTrace(observer=observer), fn, args)
    if observer.seconds >= MOST:
        raise CaptureError("at its questions too much data can be reached to be looked at each time")
    return graph, observer.questions


def _run(new_trace: CaptureTrace, fn: Callable, args: tuple) -> tuple[Graph, Callable]:
    with new_trace as trace, np.errstate(all="ignore"):
        leaves, rebuild_args = flatten(args)
        boxed = [trace.input(np.array(leaf, dtype=float)[()]) for leaf in leaves]
        out = fn(*rebuild_args(boxed))
        leaves, rebuild = flatten(out)
        leaves = [as_operand(leaf) for leaf in leaves]
        for leaf in leaves:
            if type(leaf) is not Box and leaf.dtype.kind not in "fiub":
                raise CaptureError(f"The function returns {leaf.dtype} values; compiled functions return numbers.")
        trace.graph.outputs = [trace.number(leaf) for leaf in leaves]
    return trace.graph, rebuild


def _plain(index):
    """An index whose slices are bounded by plain integers."""
    if type(index) is slice:
        return slice(*(None if p is None else p.__index__() for p in (index.start, index.stop, index.step)))
    return tuple(map(_plain, index)) if type(index) is tuple else index


def _where_asked() -> str:
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("probad", "numpy"):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
