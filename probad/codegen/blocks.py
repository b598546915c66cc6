"""Passes over the rows of constant matrices: a design matrix is read once for a log density and its gradient.

Rows are taken sixteen at a time, four from each quarter of the matrix: memory delivers four streams half as fast again
as one. Each quarter is packed in the order in which it is read: four rows after four rows, column by column.
"""

from __future__ import annotations

import numpy as np

from probad.codegen.places import LANES, WORK, Buffer, Point
from probad.codegen.schedule import Task

STREAMS = 4
ROWS_EACH = STREAMS * LANES
UNROLLED_COLUMNS = 8


class Blocks:
    """The code of a pass with products of constant matrices and vectors, on either side.

    Parameters
    ----------
    nest : Nest
    """

    def __init__(self, nest):
        self.nest, self.program, self.fn, self.graph = nest, nest.program, nest.fn, nest.graph
        self.n = nest.shape[0]
        for node in nest.products:
            self.program.address(nest.schedule.place(self.graph.args[node][1]).buffer)
        self.vectors = {node: nest.schedule.place(self.graph.args[node][1]) for node in nest.products}
        self.matrices = {node: self.matrix(self.graph.args[node][0]) for node in nest.products}
        self.collected = {}
        for task in nest.columns:
            node = task.numbers[0]
            self.matrices[node] = self.matrix(self.graph.args[node][1])
            self.collected[node] = Buffer(WORK, LANES * self.width(node))

    def width(self, node: int) -> int:
        """The number of columns of the matrix of a product."""
        return max(self.graph.shape(a) for a in self.graph.args[node] if len(self.graph.shape(a)) == 2)[1]

    def matrix(self, number: int) -> Buffer:
        """The packed matrix."""
        return self.program.packed(self.graph.value(number))

    def emit(self) -> None:
        """Write the pass."""
        for buffer in self.collected.values():
            self.program.fill(buffer, 0, buffer.size, 0.0)
        for buffer in [*self.matrices.values(), *self.collected.values()]:
            self.program.address(buffer)
        self.registers = {node: [self.fn.alloca(LANES) for _ in range(STREAMS)] for node in self.nest.products}
        whole = self.n // ROWS_EACH * ROWS_EACH
        self.stretch = whole // STREAMS
        if whole:
            self.sweep(None, None)
            with self.fn.loop(0, self.stretch, LANES) as loop:
                self.block([LANES] * STREAMS, [j * self.stretch for j in range(STREAMS)], loop.index)
        if whole < self.n:
            starts = list(range(whole, self.n, LANES))
            self.sweep(None, None, at_end=True)
            self.block([min(LANES, self.n - start) for start in starts], starts, None)
        for task in self.nest.columns:
            self.finish(task)

    def block(self, n_valid: list[int], starts: list[int], computed) -> None:
        """Four rows of each stretch, whose products are in the registers already; or the rows left at the end."""
        nest = self.nest
        memos: list[dict] = [
            {node: self.fn.load(registers[j], LANES) for node, registers in self.registers.items()}
            for j in range(len(starts))
        ]
        weights: dict[int, list] = {node: [] for node in self.collected}
        for j, (memo, valid, start) in enumerate(zip(memos, n_valid, starts, strict=True)):
            nest.memo = memo
            point = Point((start,), (computed,))
            nest.finish_body(point, valid, j)
            for task in nest.columns:
                value = nest.double(nest.value(task.value, point, valid))
                if valid < LANES:
                    value = value.first_lanes(valid, self.fn.splat(self.fn.constant(0.0), LANES))
                weights[task.numbers[0]].append(value)
        nest.take_logs()
        self.sweep(weights, computed, at_end=computed is None)

    def sweep(self, weights: dict | None, computed, *, at_end: bool = False) -> None:
        """Go through the columns: collect a block of rows with its weights, and multiply the block that comes next.

        Doing both at once keeps memory busy while the rows that are in the cache already are read again. Without
        weights, the first block is multiplied.
        """
        fn = self.fn
        zero = fn.splat(fn.constant(0.0), LANES)
        products = [] if at_end and weights is not None else list(self.registers)
        for node in products:
            for register in self.registers[node]:
                fn.store(zero, register)
        by_width: dict[int, tuple[list, list]] = {}
        for node in products:
            by_width.setdefault(self.width(node), ([], []))[0].append(node)
        for node in weights or ():
            by_width.setdefault(self.width(node), ([], []))[1].append(node)
        for width, (multiplied, collected) in by_width.items():
            ahead = 0 if weights is None else LANES * width

            def column(at, c, ahead=ahead, multiplied=multiplied, collected=collected):
                for node in collected:
                    self.collect(node, weights[node], at, c, at_end=at_end)
                for node in multiplied:
                    self.product(node, (at[0] + ahead, at[1]), c, at_end=at_end)

            self.over_columns(width, computed, column)

    def over_columns(self, width: int, computed, body_fn) -> None:
        """Call ``body_fn(position in the matrix, column)``, each in a known and a computed part, for all columns."""
        start = computed * width if computed is not None else None
        if width <= UNROLLED_COLUMNS:
            for c in range(width):
                body_fn((c * LANES, start), (c, None))
            return
        with self.fn.loop(0, width, 1) as loop:
            inside = loop.index * LANES
            body_fn((0, inside if start is None else start + inside), (0, loop.index))

    def rows(self, node: int, j: int, at, *, at_end: bool):
        """Four elements of a column of a packed matrix, those of the j-th stretch."""
        width = self.width(node)
        region = j * (self.stretch + LANES) * width
        if at_end:
            region = STREAMS * (self.stretch + LANES) * width + j * LANES * width
        return self.program.load(self.matrices[node], region + at[0], at[1], LANES)

    def product(self, node: int, at, c, *, at_end: bool) -> None:
        """One column of the rows times an element of the vector."""
        fn, program, place = self.fn, self.program, self.vectors[node]
        index = None if c[1] is None else c[1] if place.strides[0] == 1 else c[1] * place.strides[0]
        factor = fn.splat(program.load(place.buffer, place.offset + c[0] * place.strides[0], index), LANES)
        for j, register in enumerate(self.registers[node]):
            x = self.rows(node, j, at, at_end=at_end)
            fn.store(x.fma(factor, fn.load(register, LANES)), register)

    def collect(self, node: int, values: list, at, c, *, at_end: bool) -> None:
        """Add the products of one column of the rows with their weights to what is collected for it."""
        program, buffer = self.program, self.collected[node]
        index = None if c[1] is None else c[1] * LANES
        total = program.load(buffer, c[0] * LANES, index, LANES)
        for j, value in enumerate(values):
            total = self.rows(node, j, at, at_end=at_end).fma(value, total)
        program.store(buffer, c[0] * LANES, index, total)

    def finish(self, task: Task) -> None:
        """Add up what has been collected, lane by lane, and store it."""
        buffer, place = self.collected[task.numbers[0]], task.target
        width = self.width(task.numbers[0])
        with self.fn.loop(0, width, 1) as loop:
            total = self.program.load(buffer, 0, loop.index * LANES, LANES).sum()
            index = loop.index if place.strides[0] == 1 else loop.index * place.strides[0]
            self.program.store(place.buffer, place.offset, index, total)


def pack(matrix: np.ndarray) -> np.ndarray:
    """The elements of a matrix in the order in which a pass reads them; zeros where it reads ahead.

    The four quarters, in each four rows after four rows, column by column, and four rows of zeros; then the rows that
    are left over, filled up with zeros.
    """
    n, width = matrix.shape
    stretch = n // ROWS_EACH * LANES
    out = np.zeros((STREAMS, stretch // LANES + 1, width, LANES))
    whole = matrix[: STREAMS * stretch].reshape(STREAMS, stretch // LANES, LANES, width)
    out[:, :-1] = whole.transpose(0, 1, 3, 2)
    rest = np.zeros((ROWS_EACH, width))
    rest[: n - STREAMS * stretch] = matrix[STREAMS * stretch :]
    rest = rest.reshape(STREAMS, LANES, width).transpose(0, 2, 1)
    return np.concatenate([out.ravel(), rest.ravel()])
