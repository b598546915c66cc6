"""The schedule of a graph: which values live in memory, what is computed together in one pass, and in which order.

Values of a graph are of five kinds. Scalars are computed where they are needed. Arrays of elementwise operations are
*virtual*: each element is computed in the pass that uses it, and is written to memory only if something reads it in
another order or later. *Views* are windows on memory. *Tasks* write memory: stores, reductions, and operations on whole
arrays. Tasks that run over the same shape at the same time form one pass. Time is counted in passes: a task runs as
soon as everything it reads is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from probad.ad.kinds import PARTIALS
from probad.ad.rules.indexing import is_basic
from probad.codegen.elementary import has_code
from probad.codegen.places import ARGUMENT, DATA, RESULT, WORK, Buffer, Place, row_major
from probad.ir.capture import STOP
from probad.ir.graph import COLUMN, INPUT, LAST, LOOP, STEPS, Graph

SCALAR, VIRTUAL, VIEW, TASK = "scalar", "virtual", "view", "task"
EXP_BELOW_ONE = "exp_below_one"  # exp of what is not positive
SPECIAL = frozenset({"select", "scale", "copy", STOP, EXP_BELOW_ONE})
LOGS = "sum_of_logs"  # of numbers from 1 to 2, as logarithms of products of many of them
VIEWS = frozenset({"index", "reshape", "transpose", "broadcast_to", "flip"})
REDUCTIONS = frozenset({"sum", "max", "min", "prod", LOGS})
# What is computed again rather than kept when a later pass needs it.
CHEAP = frozenset({"add", "subtract", "multiply", "negative", "square", "absolute", "select", "broadcast_to", STOP,
                   "copy", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and",
                   "logical_or", "logical_not", "scale"})  # fmt: skip
ROWS, COLUMNS, GATHER = "rows", "columns", "gather"


def is_elementwise(op: str) -> bool:
    """Whether an operation treats each element on its own, and has native code that does so."""
    return op in STEPS or op in SPECIAL or (op in PARTIALS and has_code(op, len(PARTIALS[op])))


@dataclass(eq=False)
class Task:
    """Something that writes memory.

    Attributes
    ----------
    kind : str
        ``store``, ``add`` (into what is there), a reduction (``sum``, ``max``, ``min``, ``prod``), ``columns`` (a row
        vector times a constant matrix), ``fill``, or for whole arrays the name of the operation.
    domain : tuple of int or None
        The shape it runs over; None for operations on whole arrays.
    value : int
        What is stored or reduced; for whole arrays the node.
    target : Place or None
        Where to, for stores; for reductions the result, which may be a scalar.
    scatter : (n,) int array or None
        For stores whose elements go to places of their own: the flat positions in the buffer of `target`.
    """

    kind: str
    domain: tuple[int, ...] | None
    value: int
    time: int
    target: Place | None = None
    axes: tuple[int, ...] = ()
    scatter: np.ndarray | None = None
    fill: float = 0.0
    numbers: tuple[int, ...] = ()


@dataclass
class Schedule:
    """What `schedule` has decided.

    Attributes
    ----------
    kinds : list of str
        For each node.
    places : dict of int to Place
        Arrays in memory, constants included.
    stored : dict of int to int
        For virtual values that are stored as well, when.
    tasks : list of list of Task
        By time.
    ready : list of int
        For each node, the time from which it can be read: scalars and arrays in memory.
    gathers : dict of int to array
        For virtual values that pick elements of an array in memory: their flat positions in it.
    """

    graph: Graph
    kinds: list[str] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)
    tasks: list[list[Task]] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    gathers: dict[int, np.ndarray] = field(default_factory=dict)

    def place(self, number: int) -> Place:
        """Where an array is; constants are given a place when they are first asked for."""
        if number not in self.places:
            self.places[number] = place_constant(self.graph.value(number))
        return self.places[number]


def schedule(graph: Graph, offsets: list[int]) -> Schedule:
    """Decide what lives where and is computed when.

    Parameters
    ----------
    graph : Graph
        As `probad.codegen.expand` leaves it.
    offsets : list of int
        Where in the memory for results each output of the graph is to be written; scalars are left to the caller.
    """
    return Planner(graph, offsets).plan()


class Planner:
    """The making of one `Schedule`."""

    def __init__(self, graph: Graph, offsets: list[int]):
        self.graph = graph
        sizes = [math.prod(graph.shape(number)) for number in graph.outputs]
        self.memory = Buffer(RESULT, max((o + n for o, n in zip(offsets, sizes, strict=True)), default=0))
        # the first output of each name is computed where it belongs, others are copied there
        self.aimed = {n: o for n, o in reversed([*zip(graph.outputs, offsets, strict=True)]) if n >= 0}
        self.offsets = offsets
        n_inputs = [math.prod(np.shape(graph.values[node])) for node in graph.inputs]
        self.arguments = Buffer(ARGUMENT, sum(n_inputs))
        self.starts = dict(zip(graph.inputs, np.cumsum([0, *n_inputs]).tolist(), strict=False))
        self.result = Schedule(graph)
        self.shapes = [np.shape(v) for v in graph.values]
        self.inline: list[int] = []  # when a virtual value can be computed
        self.by_time: dict[int, list[Task]] = {}
        self.needed: set[int] = set()  # virtual values that must be in memory

    def plan(self) -> Schedule:
        """Go through the nodes three times: kinds, times, and what is worth keeping."""
        graph, out = self.graph, self.result
        out.kinds = [self.kind(node) for node in range(len(graph))]
        for node in range(len(graph)):
            self.mark(node)
        for number in graph.outputs:
            if self.is_virtual(number) and self.shape(number):
                self.needed.add(number)
        for node in range(len(graph)):
            self.time(node)
        self.finish_outputs()
        self.keep_what_is_dear()
        n_times = 1 + max(self.by_time, default=0)
        out.tasks = [self.by_time.get(t, []) for t in range(n_times)]
        return out

    # --- kinds --------------------------------------------------------------------------------------------------------
    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of a node or a constant."""
        return self.shapes[number] if number >= 0 else np.shape(self.graph.value(number))

    def is_virtual(self, number: int) -> bool:
        """Whether a value is computed where it is used."""
        return number >= 0 and self.result.kinds[number] == VIRTUAL

    def kind(self, node: int) -> str:
        """Scalar, virtual, view or task."""
        graph, op, args = self.graph, self.graph.ops[node], self.graph.args[node]
        shape = self.shapes[node]
        if op == INPUT:
            return VIEW if shape else SCALAR
        if op == LAST or (is_elementwise(op) and shape == ()):
            return SCALAR
        if is_elementwise(op):
            return VIRTUAL
        if op in VIEWS:
            if shape == ():
                return SCALAR
            if self.shape(args[0]) == ():
                return VIRTUAL
            if op == "index" and not is_basic(graph.params[node]["index"]):
                return VIRTUAL
            return VIEW
        if op == "matmul" and is_rows(graph, node):
            return VIRTUAL
        if op in REDUCTIONS and shape == ():
            return SCALAR
        return TASK

    def mark(self, node: int) -> None:
        """Note which virtual values must be in memory because of what reads them."""
        op, kind = self.graph.ops[node], self.result.kinds[node]
        for k, a in enumerate(self.graph.args[node]):
            if not self.is_virtual(a):
                continue
            if kind == VIRTUAL and is_elementwise(op):
                needed = self.shapes[a] != self.shapes[node]
            elif op in REDUCTIONS or op in ("concatenate", "stack"):
                needed = False
            elif op == "scatter":
                needed = self.shapes[a] != self.window(node, self.graph.params[node]["indices"][k])
            elif op == "index_set":
                needed = k == 1 and self.shapes[a] != self.window(node, self.graph.params[node]["index"])
            elif op == "matmul":
                needed = not (is_columns(self.graph, node) and k == 0)
            else:
                needed = True
            if needed:
                self.needed.add(a)

    # --- times --------------------------------------------------------------------------------------------------------
    def when(self, number: int, domain=None) -> int:
        """When a value can be read: as an element of `domain` if it is virtual there, else from memory."""
        if number < 0:
            return 0
        if domain is not None and self.is_virtual(number) and self.shapes[number] == domain:
            return self.inline[number]
        return self.result.ready[number]

    def task(self, kind: str, domain, value: int, time: int, **options) -> int:
        """Add a task; returns the time from which its result can be read."""
        self.by_time.setdefault(time, []).append(Task(kind, domain, value, time, **options))
        return time + 1

    def buffer(self, node: int) -> Place:
        """Memory for the result of a node: where the results go, if it is one."""
        shape = self.shapes[node]
        if node in self.aimed:
            place = Place(self.memory, shape, row_major(shape), self.aimed[node])
        else:
            place = Place.whole(Buffer(WORK, math.prod(shape)), shape)
        self.result.places[node] = place
        return place

    def time(self, node: int) -> None:
        """Decide when a node is computed, and add its tasks."""
        kind, args, shape = self.result.kinds[node], self.graph.args[node], self.shapes[node]
        inline = ready = 0
        if kind == VIRTUAL:
            domain = shape if is_elementwise(self.graph.ops[node]) else None
            inline = ready = max([self.when(a, domain) for a in args], default=0)
            if self.graph.ops[node] == "index":
                self.result.gathers[node] = self.positions(args[0], self.graph.params[node]["index"])
            if node in self.needed:
                ready = self.store(node, inline)
        elif self.graph.ops[node] == INPUT:
            self.result.places[node] = Place(self.arguments, shape, row_major(shape), self.starts[node])
        elif kind == VIEW:
            ready = self.view(node)
        elif self.graph.ops[node] in REDUCTIONS and self.shape(args[0]):
            ready = self.reduction(node)
        elif kind == SCALAR:
            ready = max([self.when(a) for a in args], default=0)
        else:
            ready = self.whole(node)
        self.inline.append(inline)
        self.result.ready.append(ready)

    def store(self, node: int, time: int) -> int:
        """Keep a virtual value in memory."""
        self.result.stored[node] = time
        return self.task("store", self.shapes[node], node, time, target=self.buffer(node))

    def view(self, node: int) -> int:
        """A window on memory; a copy where NumPy needs one, too."""
        (a,), op, params = self.graph.args[node], self.graph.ops[node], self.graph.params[node]
        base, shape = self.result.place(a), self.shapes[node]
        place = {
            "index": lambda: base.index(params["index"]),
            "transpose": lambda: base.transpose(params["axes"]),
            "flip": lambda: base.flip(params["axis"]),
            "broadcast_to": lambda: base.broadcast_to(shape),
            "reshape": lambda: base.reshape(shape),
        }[op]()
        if place is not None:
            self.result.places[node] = place
            return self.when(a)
        out = self.buffer(node)
        target = Place.whole(out.buffer, base.shape)
        return self.task("store", base.shape, a, self.when(a), target=target)

    def positions(self, base: int, index) -> np.ndarray:
        """The flat positions in the buffer of `base` of what an index picks."""
        place = self.result.place(base)
        flat = np.full(place.shape, place.offset, np.int64)
        for axis, (n, s) in enumerate(zip(place.shape, place.strides, strict=True)):
            flat += (np.arange(n) * s).reshape((-1,) + (1,) * (len(place.shape) - axis - 1))
        return flat[index]

    def reduction(self, node: int) -> int:
        """Add the task of a reduction."""
        (a,), op, params = self.graph.args[node], self.graph.ops[node], self.graph.params[node]
        domain = self.shape(a)
        axes = tuple(range(len(domain))) if params["axis"] is None else params["axis"]
        axes = tuple(sorted(x % len(domain) for x in (axes if isinstance(axes, tuple) else (axes,)))) if domain else ()
        target = None
        if self.shapes[node]:
            kept = tuple(1 if i in axes else n for i, n in enumerate(domain))
            target = self.buffer(node).reshape(kept).broadcast_to(domain)
        return self.task(op, domain, a, self.when(a, domain), target=target, axes=axes, numbers=(node,))

    def whole(self, node: int) -> int:
        """A task that is not a pass of its own shape: parts put together, and operations on whole arrays."""
        op, args, params = self.graph.ops[node], self.graph.args[node], self.graph.params[node]
        if op == "concatenate" or op == "stack":
            return self.join(node, args, params["axis"])
        if op == "scatter":
            return self.scatter(node, args, params["indices"])
        if op == "index_set":
            return self.index_set(node, args, params["index"])
        if op == "matmul" and is_columns(self.graph, node):
            domain = self.shape(args[0])
            self.buffer(node)
            return self.task(COLUMNS, domain, args[0], self.when(args[0], domain), numbers=(node,),
                             target=self.result.places[node])  # fmt: skip
        if op == COLUMN:
            return self.when(args[0])
        time = max([self.when(a) for a in args], default=0)
        if op == LOOP:
            for other, (o, a) in enumerate(zip(self.graph.ops, self.graph.args, strict=True)):
                if o == COLUMN and a[0] == node:
                    self.buffer(other)
        elif self.shapes[node]:
            self.buffer(node)
        return self.task(op, None, node, time)

    def join(self, node: int, args, axis: int) -> int:
        """Add the tasks that put parts side by side."""
        out, ready, start = self.buffer(node), 0, 0
        axis %= len(out.shape)
        for a in args:
            shape = self.shape(a)
            if self.graph.ops[node] == "stack":
                window = out.index((slice(None),) * axis + (start,))
                start += 1
            else:
                window = out.index((slice(None),) * axis + (slice(start, start + shape[axis]),))
                start += shape[axis]
            if math.prod(shape):
                ready = max(ready, self.task("store", shape, a, self.when(a, shape), target=window))
        return ready

    def scatter(self, node: int, args, indices) -> int:
        """Zeros with values added in. Where every place is written just once they need be neither zeroed nor added."""
        out = self.buffer(node)
        counts = np.zeros(out.shape, np.int64)
        for index in indices:
            np.add.at(counts, index, 1)
        times = [self.when(a, self.window(node, index)) for a, index in zip(args, indices, strict=True)]
        once = (counts == 1).all()
        kind = "store" if once else "add"
        if not once:
            self.task("fill", None, node, min(times), target=out)
        ready = 0
        for a, index, time in zip(args, indices, times, strict=True):
            target, positions = self.aim(node, index)
            domain = positions.shape if target is None else target.shape
            options = {"target": out if target is None else target, "scatter": positions}
            if math.prod(domain):
                ready = max(ready, self.task(kind, domain, a, time, **options))
        return ready

    def aim(self, node: int, index) -> tuple[Place | None, np.ndarray | None]:
        """What an index selects of the result of a node: a window, or flat positions."""
        out = self.result.places[node]
        if is_basic(index):
            return out.index(index), None
        return None, np.arange(out.size).reshape(out.shape)[index]

    def window(self, node: int, index) -> tuple[int, ...]:
        """The shape of what an index selects of the result of a node."""
        ghost = np.lib.stride_tricks.as_strided(np.zeros(1), self.shapes[node], (0,) * len(self.shapes[node]))
        return ghost[index].shape

    def index_set(self, node: int, args, index) -> int:
        """Add the tasks of a copy with some elements replaced."""
        base, value = args
        out = self.buffer(node)
        copied = self.task("store", out.shape, base, self.when(base, out.shape), target=out)
        target, positions = self.aim(node, index)
        domain = target.shape if target is not None else positions.shape
        if not math.prod(domain):
            return copied
        time = max(copied, self.when(value, domain))
        return self.task("store", domain, value, time, target=out if target is None else target, scatter=positions)

    def finish_outputs(self) -> None:
        """Copy the results that were not computed where they belong."""
        for number, offset in zip(self.graph.outputs, self.offsets, strict=True):
            shape = self.shape(number)
            place = self.result.places.get(number)
            if shape and not (place is not None and place.buffer is self.memory and place.offset == offset):
                target = Place(self.memory, shape, row_major(shape), offset)
                self.task("store", shape, number, self.when(number, shape), target=target)

    # --- what is worth keeping ------------------------------------------------------------------------------------
    def keep_what_is_dear(self) -> None:
        """Store virtual values that several passes need and that cost more to compute again than to read."""
        graph, passes = self.graph, {}
        for time, tasks in self.by_time.items():
            for task in tasks:
                if task.domain is not None and self.is_virtual(task.value) and task.kind != "fill":
                    passes.setdefault(task.value, set()).add(time)
        for node in range(len(graph) - 1, -1, -1):
            times = passes.get(node)
            if not times or not self.is_virtual(node):
                continue
            first = self.result.stored.get(node)
            if first is None and len(times) > 1 and graph.ops[node] not in CHEAP:
                first = min(times)
                self.result.ready[node] = self.store(node, first)
            if first is not None:
                times = {first}
            if is_elementwise(graph.ops[node]):
                for a in graph.args[node]:
                    if self.is_virtual(a) and self.shapes[a] == self.shapes[node]:
                        passes.setdefault(a, set()).update(times)


def is_rows(graph: Graph, node: int) -> bool:
    """Whether a product is a large constant matrix times a vector: one number per row, in the pass over the rows."""
    a, b = graph.args[node]
    return a < 0 and len(graph.shape(a)) == 2 and len(graph.shape(b)) == 1 and graph.shape(a)[0] >= ROWS_FROM


def is_columns(graph: Graph, node: int) -> bool:
    """Whether a product is a vector times a large constant matrix, which a pass over its rows adds up."""
    a, b = graph.args[node]
    return b < 0 and len(graph.shape(b)) == 2 and len(graph.shape(a)) == 1 and graph.shape(b)[0] >= ROWS_FROM


ROWS_FROM = 64


def place_constant(value) -> Place:
    """Constant data as a buffer of doubles, in the order of its own memory where that can be kept."""
    array = np.asarray(value)
    base, strides = array, None
    if array.ndim and array.dtype == np.float64 and 0 in array.strides and array.size > 1:  # broadcast: keep it so
        index = tuple(slice(0, 1) if s == 0 else slice(None) for s in array.strides)
        base = np.ascontiguousarray(array[index])
        inner = row_major(base.shape)
        strides = tuple(0 if s == 0 else r for s, r in zip(array.strides, inner, strict=True))
    data = np.ascontiguousarray(base, dtype=np.float64).ravel()
    return Place(Buffer(DATA, data.size, data), array.shape, strides or row_major(array.shape))
