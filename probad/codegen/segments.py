"""Passes over observations in groups: sorted by group, so that what belongs to a group is read and summed once.

Where nothing in a pass depends on the order of its elements, the order is ours to choose. Elements are sorted by the
index that most of the pass reads by, and each group is padded to whole vectors. Within a group other indices are often
constant too, or run on by one from element to element, as in crossed designs; then whole vectors are read and written
by them as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probad.codegen.places import DATA, LANES, RESULT, Buffer
from probad.codegen.schedule import Task
from probad.ir.sequence import distinct

LEAST = 3.0  # elements in a group on average, from which sorting pays
LONGEST = 2000  # elements in a group over which logarithms are taken of products
CONSTANT, RUNNING, SCATTERED = "constant", "running", "scattered"


@dataclass
class Layout:
    """The order of the elements of a pass.

    Attributes
    ----------
    order : (m,) int array
        The element at each position; padding repeats the last element of its group.
    starts : (n_groups + 1,) int array
        Where groups begin, in multiples of the vector length.
    is_real : (m,) bool array
        False where a position is padding.
    """

    order: np.ndarray
    starts: np.ndarray
    is_real: np.ndarray

    @classmethod
    def by(cls, key: np.ndarray) -> Layout:
        """Sorted by a key, groups padded, short groups first."""
        sorting = np.argsort(key, kind="stable")
        _, first, counts = np.unique(key[sorting], return_index=True, return_counts=True)
        by_length = np.argsort(-(-counts // LANES), kind="stable")  # so that processors foresee the ends of groups
        first, counts = first[by_length], counts[by_length]
        padded = -(-counts // LANES) * LANES
        starts = np.concatenate([[0], np.cumsum(padded)])
        group = np.repeat(np.arange(len(counts)), padded)
        within = np.arange(starts[-1]) - starts[group]
        order = sorting[first[group] + np.minimum(within, counts[group] - 1)]
        return cls(order, starts, within < counts[group])

    def kind(self, positions: np.ndarray) -> str:
        """How positions, one for each element, run within the groups."""
        sorted_positions = positions[self.order]
        head = np.repeat(sorted_positions[self.starts[:-1]], np.diff(self.starts))
        if np.array_equal(sorted_positions, head):
            return CONSTANT
        within = np.arange(len(self.order)) - np.repeat(self.starts[:-1], np.diff(self.starts))
        return RUNNING if np.array_equal(sorted_positions[self.is_real], (head + within)[self.is_real]) else SCATTERED


def layout_for(nest) -> Layout | None:
    """The order in which a pass is best done, or None if it should stay as it is."""
    if len(nest.shape) != 1 or nest.products or nest.columns:
        return None
    positions = {}
    for key, place in nest.places.items():
        what = key[0]
        if what == "gather" or (what == "target" and nest.task_of(key[1]).scatter is not None):
            positions[key] = nest.positions(key)
        elif what == "target" or place.buffer.kind != DATA or place.strides[0] not in (0, 1):
            return None
    if not positions or any(t.kind == "store" for t in nest.tasks):
        return None
    best, score = None, 0.0
    for candidate in positions.values():
        if len(candidate) < LEAST * len(distinct(candidate)):
            continue
        layout = Layout.by(candidate)
        kinds = [layout.kind(p) for p in positions.values()]
        points = sum({CONSTANT: 1.0, RUNNING: 0.8, SCATTERED: 0.0}[k] for k in kinds)
        points /= len(layout.order) / len(candidate)
        if points > score:
            best, score = layout, points
    if nest.logs and best is not None and np.max(np.diff(best.starts)) > LONGEST:
        return None
    return best


class Segments:
    """The code of a pass in groups.

    Parameters
    ----------
    nest : Nest
    layout : Layout
    """

    def __init__(self, nest, layout: Layout):
        self.nest, self.program, self.fn, self.layout = nest, nest.program, nest.fn, layout
        self.kinds = {}
        self.tables = {}
        for key, place in nest.places.items():
            if key[0] == "read":
                self.tables[key] = self.reordered(place)
                continue
            positions = nest.positions(key)
            kind = layout.kind(positions)
            if kind == RUNNING and key[0] == "gather" and self.base(key).kind == RESULT:
                kind = SCATTERED  # there is no padding that could be read beyond the end
            self.kinds[key] = kind
            listed = positions[layout.order]
            self.tables[key] = nest.program.indices(listed if kind == SCATTERED else listed[layout.starts[:-1]]).buffer
        self.real = None if layout.is_real.all() else _data(layout.is_real)
        self.starts = nest.program.indices(layout.starts).buffer

    def reordered(self, place) -> Buffer:
        """Constant data in the order of the pass."""
        if place.strides[0] == 0:
            return _data(place.buffer.data[place.offset : place.offset + 1])
        return _data(place.buffer.data[place.offset : place.offset + place.size][self.layout.order])

    def emit(self) -> None:
        """Write the loops over groups and over vectors."""
        fn, program, nest = self.fn, self.program, self.nest
        for buffer in [*self.tables.values(), self.starts, *([self.real] if self.real else [])]:
            program.address(buffer)
        sums = {id(t): fn.alloca(LANES) for t in nest.tasks if self.is_summed(t)}
        self.group_sums = sums
        with fn.loop(0, len(self.layout.starts) - 1, 1) as groups:
            self.group = groups.index
            start = program.load_index(self.starts, 0, groups.index)
            stop = program.load_index(self.starts, 1, groups.index)
            listed = [key for key, kind in self.kinds.items() if kind != SCATTERED]
            self.heads = {key: program.load_index(self.tables[key], 0, groups.index) for key in listed}
            same = [key for key in listed if self.kinds[key] == CONSTANT and key[0] == "gather"]
            self.constants = {key: fn.splat(program.load(self.base(key), 0, self.heads[key]), LANES) for key in same}
            zero = fn.splat(fn.constant(0.0), LANES)
            for register in sums.values():
                fn.store(zero, register)
            last = stop - LANES  # only the last vector of a group has padding
            with fn.loop(start, last, LANES) as vectors:
                self.vector(vectors.index, vectors.index - start)
            self.vector(last, last - start, is_last=True)
            nest.take_logs()
            for task in nest.tasks:
                if id(task) in sums:
                    at = self.heads["target", id(task)]
                    total = fn.load(sums[id(task)], LANES).sum()
                    before = program.load(task.target.buffer, task.target.offset, at)
                    program.store(task.target.buffer, task.target.offset, at, before + total)

    def is_summed(self, task: Task) -> bool:
        """Whether a task adds up one number for each group."""
        return self.kinds.get(("target", id(task))) == CONSTANT

    def base(self, key) -> Buffer:
        """What a gather reads from."""
        nest = self.nest
        return nest.schedule.place(nest.graph.args[key[1]][0]).buffer

    def vector(self, position, within, *, is_last: bool = False) -> None:
        """Four neighbouring elements of a group."""
        fn, program, nest = self.fn, self.program, self.nest
        self.position, self.within = position, within
        memo: dict[int, object] = {}
        nest.memo = memo
        for key in nest.places:
            if key[0] == "read":
                stride = nest.places[key].strides[0]
                value = (
                    fn.splat(program.load(self.tables[key], 0, None), LANES)
                    if stride == 0
                    else program.load(self.tables[key], 0, position, LANES)
                )
                memo[key[1]] = nest.typed(key[1], value)
            elif key[0] == "gather":
                memo[key[1]] = nest.typed(key[1], self.gather(key))
        mask = program.load(self.real, 0, position, LANES).ne(0.0) if self.real and is_last else None
        for task in nest.tasks:
            value = nest.double(nest.value(task.value, None, LANES))
            if mask is not None:
                value = mask.select(value, fn.splat(fn.constant(nest.neutral(task)), LANES))
            self.collect(task, value)

    def gather(self, key):
        """Four elements of an array at the listed positions."""
        kind, fn, program = self.kinds[key], self.fn, self.program
        if kind == CONSTANT:
            return self.constants[key]
        if kind == RUNNING:
            return program.load(self.base(key), 0, self.heads[key] + self.within, LANES)
        at = [program.load_index(self.tables[key], j, self.position) for j in range(LANES)]
        return fn.vector([program.load(self.base(key), 0, i) for i in at])

    def collect(self, task: Task, value) -> None:
        """Add a vector to what a task collects."""
        fn, program, nest = self.fn, self.program, self.nest
        key = ("target", id(task))
        if task.scatter is None:
            nest.collect_sum(task, value)
        elif self.is_summed(task):
            register = self.group_sums[id(task)]
            fn.store(fn.load(register, LANES) + value, register)
        elif self.kinds[key] == RUNNING and self.real is None:
            at = self.heads[key] + self.within
            before = program.load(task.target.buffer, task.target.offset, at, LANES)
            program.store(task.target.buffer, task.target.offset, at, before + value)
        else:
            for j in range(LANES):
                if self.kinds[key] == RUNNING:
                    at = self.heads[key] + self.within + j
                else:
                    at = program.load_index(self.tables[key], j, self.position)
                before = program.load(task.target.buffer, task.target.offset, at)
                program.store(task.target.buffer, task.target.offset, at, before + value.lane(j))


def _data(values: np.ndarray) -> Buffer:
    values = np.ascontiguousarray(values, dtype=np.float64)
    return Buffer(DATA, values.size, values)
