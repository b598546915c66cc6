"""From a graph to the text of one function in LLVM's language.

The function has the signature ``i32 f(ptr ctx, ptr z, ptr value, ptr result)``. It reads its arguments from `z`, one
after the other; writes its first output, if that is wanted apart, to `value`, and the others to `result`. `ctx` is a
table of addresses: working memory, constant data, and a function that calls Python for operations without native code.
No data are in the text, so that the same program over other data is found in the cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from probad.codegen import elementary, linear, recurrences
from probad.codegen.blocks import pack
from probad.codegen.dispatch import CARE, MISS, NOT_FINITE, OK
from probad.codegen.nests import Nest
from probad.codegen.places import ARGUMENT, DATA, LANES, RESULT, WORK, Buffer, Place, aligned, row_major
from probad.codegen.schedule import REDUCTIONS, VIEWS, schedule
from probad.codegen.text import Module
from probad.ir.capture import STOP
from probad.ir.graph import LOOP, Graph

WORKSPACE, CONSTANTS, HOST, HANDLE = 0, 1, 2, 3  # places in the table of addresses
ON_STACK = 64  # elements: smaller arrays live in registers
COMPARISONS = {"equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt",
               "greater_equal": "ge"}  # fmt: skip


@dataclass
class Text:
    """A program ready to be compiled.

    Attributes
    ----------
    text : str
    data : (n,) float64 array
        Constant data, to whose address the table must point.
    n_work : int
        Doubles of working memory.
    n_result : int
        Doubles of results.
    host : list of callable
        Operations that are carried out by Python: ``host[k](workspace, data, z, result)``.
    symbols : dict of str to int
        Addresses of what the text takes from outside.
    """

    text: str
    data: np.ndarray
    n_work: int
    n_result: int
    host: list = field(default_factory=list)
    symbols: dict[str, int] = field(default_factory=dict)


def write(graph: Graph, *, apart: bool, name: str = "f") -> Text:
    """Write the program of a graph that `probad.codegen.expand` has prepared.

    Parameters
    ----------
    graph : Graph
    apart : bool
        Whether the first output, a scalar, goes to `value`; the others follow each other in `result`.
    """
    return Program(graph, apart=apart, name=name).write()


class Program:
    """The making of one program."""

    def __init__(self, graph: Graph, *, apart: bool, name: str):
        sizes = [math.prod(graph.shape(n)) for n in graph.outputs]
        if apart:
            sizes[0] = 0
        self.offsets = [int(o) for o in np.cumsum([0, *sizes])]
        self.graph, self.apart = graph, apart
        self.schedule = schedule(graph, self.offsets[:-1])
        self.module = Module()
        self.fn = self.module.function(name, "i32", ["ptr", "ptr", "ptr", "ptr"])
        self.ctx, self.z, self.value_out, self.result_out = self.fn.arguments
        self.scalars: dict[int, object] = {}
        self.reciprocals: dict[int, object] = {}
        self.addresses: dict[int, object] = {}  # of buffers, by identity
        self.starts: dict[int, int] = {}  # where they begin in working memory or in the constant data
        self.forced = linear.touched(graph, self.schedule)  # buffers that must be in memory
        self.kept: list = []  # so that identities last
        self.data: list[np.ndarray] = []
        self.n_data = self.n_work = 0
        self.index_places: dict[int, Place] = {}
        self.packings: dict[int, Buffer] = {}
        self.host: list = []
        self.singly: set[int] = set()  # buffers, by identity, whose elements are written one by one
        self.written: dict[int, int] = {}  # results outside loops: by position, how many side by side
        self.guards = list(graph.guards)
        self.miss, self.failed = self.fn.block("miss"), self.fn.block("failed")
        self.status = self.fn.alloca_i32()

    # --- the function -------------------------------------------------------------------------------------------------
    def write(self) -> Text:
        """The whole function."""
        fn = self.fn
        self.base = {
            WORK: fn.load_pointer(self.ctx, WORKSPACE),
            DATA: fn.load_pointer(self.ctx, CONSTANTS),
        }
        self.copy_arguments()
        for time, tasks in enumerate(self.schedule.tasks):
            self.check_guards(time)
            for task in tasks:
                if task.kind == "fill":
                    self.fill(task.target.buffer, task.target.offset, task.target.size, task.fill)
            passes: dict[tuple, list] = {}
            for task in tasks:
                if task.kind == "fill":
                    continue
                if task.domain is None:
                    self.whole(task)
                else:
                    passes.setdefault(task.domain, []).append(task)
            for domain, together in passes.items():
                if domain == ():
                    self.single(together)
                else:
                    Nest(self, domain, together, time).emit()
        self.check_guards(math.inf)
        self.finish()
        data = aligned(self.n_data)
        start = 0
        for block in self.data:
            data[start : start + block.size] = block
            start += block.size
        return Text(self.module.text(), data, self.n_work, self.offsets[-1], self.host, dict(self.module.symbols))

    def copy_arguments(self) -> None:
        """Copy the arguments to where whole vectors can be read beyond their end."""
        n = sum(math.prod(np.shape(self.graph.values[i])) for i in self.graph.inputs)
        copy = self.argument = Buffer(WORK, n)
        if any(id(place.buffer) in self.forced for place in map(self.schedule.places.get, self.graph.inputs) if place):
            self.in_memory(copy)
        target = self.address(copy)
        n_whole = n // LANES * LANES
        if n <= ON_STACK:
            for i in range(0, n_whole, LANES):
                self.fn.store(self.fn.load(self.fn.element(self.z, i), LANES), self.fn.element(target, i))
            for i in range(n_whole, n):
                self.fn.store(self.fn.load(self.fn.element(self.z, i)), self.fn.element(target, i))
        else:
            self.fn.copy(target, self.z, n)

    def check_guards(self, time: float) -> None:
        """Leave if a condition that can be known by now does not hold."""
        waiting = []
        for guard in self.guards:
            if guard.node >= 0 and self.schedule.ready[guard.node] > time:
                waiting.append(guard)
                continue
            if guard.node < 0:
                continue
            value = self.scalar(guard.node)
            if value.is_bool:
                wrong = value.negate() if bool(guard.expected) else value
            else:
                wrong = value.ne(self.fn.constant(float(guard.expected)))
            self.fn.leave_if(wrong, self.miss)
        self.guards = waiting

    def finish(self) -> None:
        """Write scalar results, look whether all are finite, and return."""
        fn, outputs = self.fn, self.graph.outputs
        for k, number in enumerate(outputs):
            if self.graph.shape(number) == ():
                value = self.number(self.scalar(number))
                if k == 0 and self.apart:
                    fn.store(value, self.value_out)
                    bad = value.is_finite().negate()
                    status = fn.block("not_finite")
                    fn.leave_if(bad, status)
                    self.not_finite = status
                else:
                    fn.store(value, fn.element(self.result_out, self.offsets[k]))
                    self.written[self.offsets[k]] = 1
        fn.ret(self.nothing(self.offsets[-1]).eq(fn.constant(0.0)).choose_status(OK, CARE))
        fn.start(self.miss)
        fn.ret(fn.status(MISS))
        fn.start(self.failed)
        if self.apart:
            fn.store(fn.constant(-math.inf), self.value_out)
        fn.ret(fn.load_i32(self.status))
        if self.apart:
            fn.start(self.not_finite)
            fn.ret(fn.status(NOT_FINITE))

    def nothing(self, n: int):
        """Zero times the sum of the first results: 0 if all are finite, else nan.

        They are read as they have been written: what is still on the way to memory can be read in no other pieces.
        """
        fn = self.fn
        register, numbers, at = fn.alloca(LANES), [], 0
        fn.store(fn.splat(fn.constant(0.0), LANES), register)

        def look(i, lanes: int):
            x = fn.load(fn.element(self.result_out, i), lanes) * 0.0
            if lanes == 1:
                numbers.append(x)
            else:
                fn.store(fn.load(register, LANES) + x, register)

        starts = sorted(self.written) if len(self.written) <= ON_STACK else []
        for start in [*starts, n]:
            # what was written in loops comes before the next one that was not
            n_vectors = max(start - at, 0) // LANES
            if n_vectors * LANES > ON_STACK:
                with fn.loop(at, at + n_vectors * LANES, LANES) as loop:
                    look(loop.index, LANES)
            else:
                for k in range(n_vectors):
                    look(at + k * LANES, LANES)
            for i in range(at + n_vectors * LANES, start):
                look(i, 1)
            if start >= at and start < n:
                look(start, self.written[start])
                at = start + self.written[start]
        numbers.append(fn.load(register, LANES).sum())
        while len(numbers) > 1:  # in pairs, which do not wait for each other
            numbers = [sum(numbers[k + 1 : k + 2], numbers[k]) for k in range(0, len(numbers), 2)]
        return numbers[0]

    # --- scalars ------------------------------------------------------------------------------------------------------
    def scalar(self, number: int):
        """A scalar, computed at the place where it is first asked for, which is outside all loops."""
        if number not in self.scalars:
            todo = [number]
            while todo:
                n = todo[-1]
                waiting = [a for a in self.scalar_args(n) if a not in self.scalars]
                if waiting:
                    todo += waiting
                else:
                    if n not in self.scalars:
                        self.scalars[n] = self.make_scalar(n)
                    todo.pop()
        return self.scalars[number]

    def scalar_args(self, number: int):
        """The scalars that a scalar is computed from."""
        if number < 0:
            return ()
        return [a for a in self.graph.args[number] if self.graph.shape(a) == ()]

    def make_scalar(self, number: int):
        """Write the code of a scalar whose operands are there."""
        graph, fn = self.graph, self.fn
        if number < 0:
            return fn.constant(float(graph.value(number)))
        op, args, params = graph.ops[number], graph.args[number], graph.params[number]
        if number in graph.inputs:
            return self.load(self.schedule.places[number].buffer, self.schedule.places[number].offset, None)
        if op in ("index", "reshape") and graph.shape(args[0]) != ():
            place = self.schedule.place(args[0])
            place = place.index(params["index"]) if op == "index" else place
            value = self.load(place.buffer, place.offset, None)
            return value.ne(fn.constant(0.0)) if graph.value(number).dtype.kind == "b" else value
        if op in VIEWS or op in REDUCTIONS:  # of a scalar
            return self.scalars[args[0]]
        return self.operation(op, [self.scalars[a] for a in args], params, inline=False)

    def set_scalar(self, number: int, value) -> None:
        """Note the result of a reduction or a loop."""
        self.scalars[number] = value

    def reciprocal(self, number: int):
        """One over a scalar, computed outside all loops."""
        if number not in self.reciprocals:
            self.reciprocals[number] = self.fn.constant(1.0) / self.number(self.scalar(number))
        return self.reciprocals[number]

    def number(self, value):
        """A condition as a number."""
        return value.to_double() if value.is_bool else value

    # --- elementwise operations -----------------------------------------------------------------------------------
    def operation(self, op: str, values: list, params: dict, *, inline: bool):
        """Apply an elementwise operation to vectors or scalars."""
        if op in COMPARISONS:
            a, b = map(self.number, values)
            return getattr(a, COMPARISONS[op])(b)
        if op in ("logical_and", "bitwise_and", "logical_or", "bitwise_or", "logical_xor", "bitwise_xor"):
            a, b = map(self.condition, values)
            return a.both(b) if "and" in op else a.either(b) if op.endswith("_or") else a.differs(b)
        if op in ("logical_not", "invert"):
            return self.condition(values[0]).negate()
        if op in (STOP, "copy"):
            return values[0]
        if op == "astype":
            kind = np.dtype(params["dtype"]).kind
            if kind == "b":
                return self.condition(values[0])
            return self.number(values[0]).trunc() if kind in "iu" else self.number(values[0])
        if op == "select":
            condition, a, b = values
            return self.condition(condition).select(self.number(a), self.number(b))
        numbers = [self.number(v) for v in values]
        if op == "scale":
            a, p = numbers
            return a.eq(0.0).either(p.eq(0.0)).select(0.0, a * p)
        return elementary.apply(self.fn, op, numbers, inline=inline)

    def condition(self, value):
        """A number as a condition: as `select` reads it, above 1/2."""
        return value if value.is_bool else value.ne(0.0)

    # --- memory -------------------------------------------------------------------------------------------------------
    def address(self, buffer: Buffer):
        """Where a buffer begins."""
        if buffer.kind == ARGUMENT:
            buffer = self.argument
        if id(buffer) not in self.addresses:
            self.kept.append(buffer)
            if buffer.kind == RESULT:
                address = self.result_out
            elif buffer.kind == DATA:
                start = self.starts[id(buffer)] = self.put_data(buffer.data, buffer.padded)
                address = self.fn.element(self.base[DATA], start, entry=True)
            elif buffer.size <= ON_STACK and id(buffer) not in self.forced:
                address = self.fn.alloca_array(buffer.padded)
            else:
                self.starts[id(buffer)] = self.n_work
                address = self.fn.element(self.base[WORK], self.n_work, entry=True)
                self.n_work += buffer.padded
            self.addresses[id(buffer)] = address
        return self.addresses[id(buffer)]

    def in_memory(self, buffer: Buffer) -> Buffer:
        """Keep a buffer out of registers."""
        self.kept.append(buffer)
        self.forced.add(id(buffer))
        return buffer

    def start(self, buffer: Buffer) -> int:
        """Where a buffer begins in working memory, in the constant data or in the results."""
        self.address(buffer)
        return self.starts.get(id(self.argument if buffer.kind == ARGUMENT else buffer), 0)

    def call_host(self, number: int) -> None:
        """Let Python carry out an operation, and leave if it cannot."""
        fn = self.fn
        status = fn.call_pointer(fn.load_pointer(self.ctx, HOST), number, self.result_out)
        fn.store(status, self.status)
        fn.leave_if(status.ne(OK), self.failed)

    def put_data(self, values: np.ndarray, padded: int) -> int:
        """Add to the constant data; returns where they begin. Padding repeats the last element."""
        start = self.n_data
        last = values[-1:] if values.size else np.zeros(1)
        self.data.append(np.concatenate([values, np.repeat(last, padded - values.size)]))
        self.n_data += padded
        return start

    def indices(self, positions: np.ndarray) -> Place:
        """Positions as constant data: integers in the place of doubles."""
        place = self.index_places.get(id(positions))
        if place is None:
            self.kept.append(positions)
            flat = np.ascontiguousarray(positions, np.int64).ravel().view(np.float64)
            place = Place(Buffer(DATA, flat.size, flat), positions.shape, row_major(positions.shape))
            self.index_places[id(positions)] = place
        return place

    def packed(self, matrix: np.ndarray) -> Buffer:
        """A constant matrix as constant data, in the order of `probad.codegen.blocks.pack`."""
        if id(matrix) not in self.packings:
            self.kept.append(matrix)
            data = pack(matrix)
            self.packings[id(matrix)] = Buffer(DATA, data.size, data)
        return self.packings[id(matrix)]

    def load(self, buffer: Buffer, known: int, computed, lanes: int = 1):
        """Elements from ``known + computed`` on."""
        if buffer.kind == ARGUMENT and computed is None:  # not from the copy, which may not be there yet
            if known + lanes <= self.argument.size:
                return self.fn.load(self.fn.element(self.z, known), lanes)
            last = self.argument.size - 1
            return self.fn.vector([self.fn.load(self.fn.element(self.z, min(known + j, last))) for j in range(lanes)])
        return self.fn.load(self.fn.element(self.fn.element(self.address(buffer), computed), known), lanes)

    def load_apart(self, buffer: Buffer, known: int, computed):
        """An element that was written alone and is read alone: joined to its neighbours it would wait for them."""
        return self.fn.load_apart(self.fn.element(self.fn.element(self.address(buffer), computed), known))

    def load_index(self, buffer: Buffer, known: int, computed):
        """One of the `indices`."""
        return self.fn.load_i64(self.fn.element(self.fn.element(self.address(buffer), computed), known))

    def store(self, buffer: Buffer, known: int, computed, value) -> None:
        """Store a number or a vector at ``known + computed``."""
        if buffer.kind == RESULT and computed is None:
            self.written[known] = value.lanes
        self.fn.store(value, self.fn.element(self.fn.element(self.address(buffer), computed), known))

    def copy(self, source: Place, target: Place) -> None:
        """Copy an array, in whatever order it is, to one in C order."""
        fn = self.fn
        if source.is_contiguous:
            fn.copy(fn.element(self.address(target.buffer), target.offset),
                    fn.element(self.address(source.buffer), source.offset), source.size)  # fmt: skip
            return

        def run(axis: int, read, write):
            if axis == len(source.shape):
                self.store(target.buffer, target.offset, write, self.load(source.buffer, source.offset, read))
                return
            with fn.loop(0, source.shape[axis], 1) as loop:
                a, b = (loop.index * place.strides[axis] for place in (source, target))
                run(axis + 1, a if read is None else read + a, b if write is None else write + b)

        run(0, None, None)

    def fill(self, buffer: Buffer, offset: int, n: int, value: float) -> None:
        """Set elements to a number."""
        fn = self.fn
        vector = fn.splat(fn.constant(value), LANES)
        n_whole = n // LANES * LANES
        if n_whole > ON_STACK:
            with fn.loop(0, n_whole, LANES) as loop:
                self.store(buffer, offset, loop.index, vector)
        else:
            for i in range(0, n_whole, LANES):
                self.store(buffer, offset + i, None, vector)
        for i in range(n_whole, n):
            self.store(buffer, offset + i, None, fn.constant(value))

    # --- tasks without a pass -----------------------------------------------------------------------------------------
    def single(self, tasks) -> None:
        """Stores of single numbers."""
        for task in tasks:
            value = self.number(self.scalar(task.value))
            place = task.target
            if task.scatter is not None:
                place = Place(place.buffer, (), (), place.offset + int(task.scatter))
            if task.kind == "add":
                value = self.load(place.buffer, place.offset, None) + value
            self.store(place.buffer, place.offset, None, value)

    def whole(self, task) -> None:
        """An operation on whole arrays."""
        if self.graph.ops[task.value] == LOOP:
            recurrences.emit(self, task.value)
        else:
            linear.emit(self, task.value)
