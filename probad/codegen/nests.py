"""Code for one pass: a nest of loops over a shape, in which some values are computed and stored or summed.

The innermost axis runs in vectors of four elements. Small shapes are unrolled. A pass reads each array once, whatever
number of results it computes from it.
"""

from __future__ import annotations

import math

import numpy as np

from probad.codegen.blocks import Blocks
from probad.codegen.elementary import apply
from probad.codegen.places import LANES, RESULT, WORK, Buffer, Place, Point
from probad.codegen.schedule import COLUMNS, LOGS, REDUCTIONS, Task, is_elementwise
from probad.codegen.segments import Segments, layout_for

UNROLLED = 64  # elements: up to here a pass has no loop
HEAVY = 8  # operations: beyond, unrolling a loop does not help
IN_PRODUCT = 128  # factors from 1 to 2: the product of four such products is far from overflow
NEUTRAL = {"sum": 0.0, "prod": 1.0, LOGS: 1.0, "max": -math.inf, "min": math.inf}


class Nest:
    """The code of one pass.

    Parameters
    ----------
    program : Program
        What the code is part of: it knows scalars and memory, and writes elementwise operations.
    domain : tuple of int
    tasks : list of Task
    """

    def __init__(self, program, domain: tuple[int, ...], tasks: list[Task], time: int):
        self.program, self.fn = program, program.fn
        self.graph, self.schedule, self.time = program.graph, program.schedule, time
        self.tasks = tasks
        self.domain = domain
        self.operations: dict[int, None] = {}  # values computed in this pass, in order
        self.places: dict[tuple, Place] = {}
        self.products: list[int] = []  # matrix times vector: one number per row
        self.logs = [task for task in tasks if task.kind == LOGS]
        self.sums: dict[int, list] = {}  # the registers of each reduction
        self.totals: dict[int, object] = {}  # of logarithms
        self.columns = [task for task in tasks if task.kind == COLUMNS]
        for task in tasks:
            self.visit(task.value)
            if task.target is not None and task.kind != COLUMNS:
                self.places["target", id(task)] = self.target(task)
        self.collapse()

    # --- what the pass reads ------------------------------------------------------------------------------------------
    def is_computed(self, number: int) -> bool:
        """Whether a value is computed in this pass rather than read."""
        stored = self.schedule.stored.get(number)
        return (
            number >= 0
            and self.schedule.kinds[number] == "virtual"
            and self.graph.shape(number) == self.domain
            and (stored is None or stored == self.time)
        )

    def visit(self, number: int) -> None:
        """Note a value and all that it is computed from here, and see that the scalars among them are there."""
        if number in self.operations or ("read", number) in self.places:
            return
        if self.graph.shape(number) == ():
            self.program.scalar(number)
        elif not self.is_computed(number):
            self.places["read", number] = self.schedule.place(number).broadcast_to(self.domain)
        else:
            op, args = self.graph.ops[number], self.graph.args[number]
            if op == "index":
                positions = self.schedule.gathers[number]
                self.places["gather", number] = self.program.indices(positions)
            elif is_elementwise(op) or op in ("broadcast_to", "reshape"):
                for a in args:
                    self.visit(a)
                if op == "divide" and self.graph.shape(args[1]) == ():
                    self.program.reciprocal(args[1])
            else:
                self.products.append(number)
            self.operations[number] = None

    def target(self, task: Task) -> Place:
        """Where the result of a task goes, as seen from the domain."""
        if task.scatter is not None:
            return self.program.indices(task.scatter)
        return task.target if task.target.shape == self.domain else task.target.broadcast_to(self.domain)

    def collapse(self) -> None:
        """Merge neighbouring axes that all arrays run through as if they were one."""
        shape = list(self.domain) or [1]
        strides = {key: list(p.strides) or [0] for key, p in self.places.items()}
        reduced = [tuple(i in t.axes for i in range(len(shape))) for t in self.tasks if t.kind in REDUCTIONS]
        reduced = [list(r) for r in reduced]
        axis = len(shape) - 2
        while axis >= 0:
            n = shape[axis + 1]
            mergeable = all(s[axis] == s[axis + 1] * n or shape[axis] == 1 for s in strides.values()) and all(
                r[axis] == r[axis + 1] or shape[axis] == 1 or n == 1 for r in reduced
            )
            if not mergeable and n == 1:
                mergeable = all(r[axis] == r[axis + 1] or shape[axis] == 1 or n == 1 for r in reduced)
                inner = axis
            else:
                inner = axis + 1
            if mergeable:
                for s in strides.values():
                    s[axis : axis + 2] = [s[inner]]
                for r in reduced:
                    r[axis : axis + 2] = [r[inner]]
                shape[axis : axis + 2] = [shape[axis] * n]
            axis -= 1
        self.shape = tuple(shape)
        self.places = {
            key: Place(p.buffer, self.shape, tuple(strides[key]), p.offset) for key, p in self.places.items()
        }
        self.reduced = dict(zip((id(t) for t in self.tasks if t.kind in REDUCTIONS), map(tuple, reduced), strict=True))

    # --- loops --------------------------------------------------------------------------------------------------------
    def emit(self) -> None:
        """Write the nest."""
        for task in self.tasks:
            if task.kind in REDUCTIONS:
                self.prepare(task)
        self.unrolled = math.prod(self.shape) <= UNROLLED
        layout = None if self.unrolled else layout_for(self)
        if self.products or self.columns:
            Blocks(self).emit()
        elif layout is not None:
            Segments(self, layout).emit()
        else:
            self.axis((), ())
        for task in self.tasks:
            if task.kind in REDUCTIONS and task.target is None:
                self.program.set_scalar(task.numbers[0], self.total(task))

    def axis(self, known: tuple, computed: tuple) -> None:
        """Loop over the next axis."""
        k = len(known)
        if k == len(self.shape) - 1:
            self.inner(known, computed)
        elif self.unrolled:
            for i in range(self.shape[k]):
                self.axis((*known, i), (*computed, None))
        else:
            with self.fn.loop(0, self.shape[k], 1) as loop:
                self.axis((*known, 0), (*computed, loop.index))

    def inner(self, known: tuple, computed: tuple) -> None:
        """Run through the last axis in vectors, the sums over it beginning and ending here."""
        n = self.shape[-1]
        rows = [t for t in self.tasks if t.kind in REDUCTIONS and t.target is not None and self.reduced[id(t)][-1]]
        for task in rows:
            self.reset(task)
        n_each = 1 if len(self.operations) > HEAVY else 4
        start = 0
        if not self.unrolled:
            step = LANES * n_each
            start = n // step * step
            chunk = step * IN_PRODUCT
            whole = start // chunk * chunk if self.logs else 0
            if whole:
                with self.fn.loop(0, whole, chunk) as chunks:
                    with self.fn.loop(0, chunk, step) as loop:
                        self.bodies(known, (*computed, chunks.index + loop.index), n_each)
                    self.take_logs()
            if start > whole:
                with self.fn.loop(whole, start, step) as loop:
                    self.bodies(known, (*computed, loop.index), n_each)
        for i in range(start, n, LANES):
            self.body(Point((*known, i), (*computed, None)), min(LANES, n - i), (i // LANES) % n_each)
        self.take_logs()
        for task in rows:
            self.finish_row(task, Point((*known, 0), (*computed, None)))

    def bodies(self, known: tuple, computed: tuple, n_each: int) -> None:
        """Some vectors, one after the other."""
        for j in range(n_each):
            self.body(Point((*known, LANES * j), computed), LANES, j)

    # --- one vector ---------------------------------------------------------------------------------------------------
    def body(self, point: Point, n_valid: int, chain: int) -> None:
        """Compute the values at four neighbouring elements, and do what the tasks say."""
        self.memo: dict[int, object] = {}
        self.finish_body(point, n_valid, chain)

    def finish_body(self, point: Point, n_valid: int, chain: int) -> None:
        """Do what the tasks say; some values may have been computed before."""
        for task in self.tasks:
            if task.kind == COLUMNS:
                continue
            value = self.value(task.value, point, n_valid)
            if task.kind in REDUCTIONS:
                self.reduce(task, self.double(value), point, n_valid, chain)
            else:
                self.put(task, self.double(value), point, n_valid)

    def value(self, number: int, point: Point, n_valid: int):
        """A vector of a value."""
        if number not in self.memo:
            self.memo[number] = self.make(number, point, n_valid)
        return self.memo[number]

    def make(self, number: int, point: Point, n_valid: int):
        """Compute or read a vector of a value."""
        graph, fn = self.graph, self.fn
        if graph.shape(number) == ():
            return fn.splat(self.program.scalar(number), LANES)
        if ("read", number) in self.places:
            return self.typed(number, self.load(self.places["read", number], point, n_valid))
        op, args = graph.ops[number], graph.args[number]
        if ("gather", number) in self.places:
            return self.gather(number, args[0], point, n_valid)
        if op in ("broadcast_to", "reshape"):
            return self.value(args[0], point, n_valid)
        if op == "divide" and graph.shape(args[1]) == ():  # many divisions by one number are multiplications
            return self.double(self.value(args[0], point, n_valid)) * fn.splat(self.program.reciprocal(args[1]), LANES)
        values = [self.value(a, point, n_valid) for a in args]
        return self.program.operation(op, values, graph.params[number], inline=not self.unrolled)

    def double(self, value):
        """A vector of conditions as one of numbers."""
        return value.to_double() if value.is_bool else value

    def load(self, place: Place, point: Point, n_valid: int):
        """Four neighbouring elements; what is beyond the end may be anything."""
        known, computed = point.offset(place)
        stride, fn = place.strides[-1], self.fn
        if stride == 0:
            return fn.splat(self.program.load(place.buffer, known, computed), LANES)
        # beyond results nothing may be read, and a wide read of what was just written in pieces would wait for each
        is_result = place.buffer.kind == RESULT
        apart = stride == 1 and not is_result and id(place.buffer) in self.program.singly
        if stride == 1 and (n_valid == LANES or not (apart or is_result)):
            return self.program.load(place.buffer, known, computed, LANES)
        load = self.program.load_apart if apart else self.program.load
        lanes = [load(place.buffer, known + j * stride, computed) for j in range(n_valid)]
        return fn.vector([*lanes, *[lanes[-1]] * (LANES - n_valid)])

    def gather(self, number: int, base: int, point: Point, n_valid: int):
        """Elements at positions that are listed."""
        place = self.places["gather", number]
        buffer = self.schedule.place(base).buffer
        known, computed = point.offset(place)
        lanes = []
        for j in range(LANES):
            at = self.program.load_index(place.buffer, known + min(j, n_valid - 1) * place.strides[-1], computed)
            lanes.append(self.program.load(buffer, 0, at))
        return self.typed(number, self.fn.vector(lanes))

    def typed(self, number: int, value):
        """What was read from memory, where all are numbers, as what it is."""
        return value.ne(0.0) if self.graph.value(number).dtype.kind == "b" else value

    # --- what other orders of the same pass need ------------------------------------------------------------------
    def task_of(self, identity: int) -> Task:
        """A task by its identity."""
        return next(task for task in self.tasks if id(task) == identity)

    def positions(self, key: tuple) -> np.ndarray:
        """For a gather or a scattered store, the position in its buffer of each element."""
        listed = self.schedule.gathers[key[1]] if key[0] == "gather" else self.task_of(key[1]).scatter
        return listed.ravel()

    def neutral(self, task: Task) -> float:
        """What changes nothing when it is collected by a task."""
        return NEUTRAL.get(task.kind, 0.0)

    def collect_sum(self, task: Task, value) -> None:
        """Collect a vector of valid elements for a reduction over the whole pass."""
        register = self.sums[id(task)][0]
        self.fn.store(_combine(task.kind, self.fn.load(register, LANES), value), register)

    # --- stores -------------------------------------------------------------------------------------------------------
    def put(self, task: Task, value, point: Point, n_valid: int) -> None:
        """Store four elements, or add them to what is there."""
        place = self.places["target", id(task)]
        known, computed = point.offset(place)
        if task.scatter is not None:
            for j in range(n_valid):
                at = self.program.load_index(place.buffer, known + j * place.strides[-1], computed)
                self.store(task, task.target.buffer, task.target.offset, at, value.lane(j))
            return
        whole = place.buffer.kind == WORK and task.target.size == place.buffer.size and task.kind == "store"
        if place.strides[-1] == 1 and (n_valid == LANES or whole):
            self.store(task, place.buffer, known, computed, value)
        else:
            for j in range(n_valid):
                self.store(task, place.buffer, known + j * place.strides[-1], computed, value.lane(j))

    def store(self, task: Task, buffer: Buffer, known: int, computed, value) -> None:
        """Store or add, as a task says."""
        if task.kind == "add":
            value = self.program.load(buffer, known, computed, value.lanes) + value
        self.program.store(buffer, known, computed, value)

    # --- reductions ---------------------------------------------------------------------------------------------------
    def prepare(self, task: Task) -> None:
        """Set up what a reduction is collected in: registers, or the memory of its result."""
        task_id = id(task)
        if task.target is None or self.reduced[task_id][-1]:
            self.sums[task_id] = [self.fn.alloca(LANES) for _ in range(4)]
        if task.kind == LOGS:
            self.totals[task_id] = self.fn.alloca(LANES)
            self.fn.store(self.fn.splat(self.fn.constant(0.0), LANES), self.totals[task_id])
        if task.target is None:
            self.reset(task)
        elif not self.is_row(task):
            self.program.fill(task.target.buffer, task.target.offset, _distinct(task.target), NEUTRAL[task.kind])

    def take_logs(self) -> None:
        """Add the logarithms of the products collected so far."""
        for task in self.logs:
            product = None
            for register in self.sums[id(task)]:
                part = self.fn.load(register, LANES)
                product = part if product is None else product * part
            self.reset(task)
            register = self.totals[id(task)]
            log = apply(self.fn, "log", [product], inline=not self.unrolled)
            self.fn.store(self.fn.load(register, LANES) + log, register)

    def is_row(self, task: Task) -> bool:
        """Whether a result is complete at the end of each run through the last axis."""
        reduced = self.reduced[id(task)]
        return reduced[-1] and not any(r for r, n in zip(reduced[:-1], self.shape[:-1], strict=True) if n > 1)

    def reset(self, task: Task) -> None:
        """Begin a reduction anew."""
        for register in self.sums[id(task)]:
            self.fn.store(self.fn.splat(self.fn.constant(NEUTRAL[task.kind]), LANES), register)

    def reduce(self, task: Task, value, point: Point, n_valid: int, chain: int) -> None:
        """Take a vector into a reduction."""
        if id(task) in self.sums:
            if n_valid < LANES:
                neutral = self.fn.splat(self.fn.constant(NEUTRAL[task.kind]), LANES)
                value = value.first_lanes(n_valid, neutral)
            register = self.sums[id(task)][chain]
            self.fn.store(_combine(task.kind, self.fn.load(register, LANES), value), register)
            return
        place = self.places["target", id(task)]
        known, computed = point.offset(place)
        if place.strides[-1] == 1 and n_valid == LANES:
            before = self.program.load(place.buffer, known, computed, LANES)
            self.program.store(place.buffer, known, computed, _combine(task.kind, before, value))
            return
        for j in range(n_valid):
            at = known + j * place.strides[-1]
            before = self.program.load(place.buffer, at, computed)
            self.program.store(place.buffer, at, computed, _combine(task.kind, before, value.lane(j)))

    def total(self, task: Task):
        """What a reduction has come to, a scalar."""
        if task.kind == LOGS:
            return self.fn.load(self.totals[id(task)], LANES).sum()
        value = None
        for register in self.sums[id(task)]:
            part = self.fn.load(register, LANES)
            value = part if value is None else _combine(task.kind, value, part)
        out = value.lane(0)
        for j in range(1, LANES):
            out = _combine(task.kind, out, value.lane(j))
        return out

    def finish_row(self, task: Task, point: Point) -> None:
        """Write what a reduction along the last axis has come to."""
        place = self.places["target", id(task)]
        known, computed = point.offset(place)
        value = self.total(task)
        self.program.singly.add(id(task.target.buffer))
        if not self.is_row(task):
            value = _combine(task.kind, self.program.load(place.buffer, known, computed), value)
        self.program.store(place.buffer, known, computed, value)


def _combine(kind: str, a, b):
    if kind == "sum":
        return a + b
    if kind in ("prod", LOGS):
        return a * b
    return a.maximum(b) if kind == "max" else a.minimum(b)


def _distinct(place: Place) -> int:
    """How many elements a place with repeated axes really has."""
    return math.prod(n for n, s in zip(place.shape, place.strides, strict=True) if s)
