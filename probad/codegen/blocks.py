"""Passes over the rows of constant matrices: a design matrix is read once for a log density and its gradient.

Rows are taken sixteen at a time. The matrix is packed so that it is read in the order of memory: block by block, column
by column, the sixteen rows of a column side by side.
"""

from __future__ import annotations

from probad.codegen.places import LANES, WORK, Buffer, Point
from probad.codegen.schedule import Task

ROWS_EACH = 16
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
        """The packed matrix; rows of zeros fill the last block."""
        return self.program.packed(self.graph.value(number), ROWS_EACH)

    def emit(self) -> None:
        """Write the pass."""
        for buffer in self.collected.values():
            self.program.fill(buffer, 0, buffer.size, 0.0)
        for buffer in [*self.matrices.values(), *self.collected.values()]:
            self.program.address(buffer)
        n_whole = self.n // ROWS_EACH * ROWS_EACH
        if n_whole:
            with self.fn.loop(0, n_whole, ROWS_EACH) as loop:
                self.block(0, loop.index)
        if n_whole < self.n:
            self.block(n_whole, None)
        for task in self.nest.columns:
            self.finish(task)

    def block(self, known: int, computed) -> None:
        """Sixteen rows, or what is left of them."""
        nest = self.nest
        n_valid = [min(LANES, self.n - known - j) if computed is None else LANES for j in range(0, ROWS_EACH, LANES)]
        memos: list[dict] = [{} for _ in n_valid]
        for node in nest.products:
            for memo, value in zip(memos, self.product(node, known, computed), strict=True):
                memo[node] = value
        weights: dict[int, list] = {node: [] for node in self.collected}
        for j, (memo, valid) in enumerate(zip(memos, n_valid, strict=True)):
            if valid <= 0:
                continue
            nest.memo = memo
            point = Point((known + LANES * j,), (computed,))
            nest.finish_body(point, valid, j)
            for task in nest.columns:
                value = nest.double(nest.value(task.value, point, valid))
                if valid < LANES:
                    value = value.first_lanes(valid, self.fn.splat(self.fn.constant(0.0), LANES))
                weights[task.numbers[0]].append(value)
        for node, values in weights.items():
            self.collect(node, values, known, computed)

    def over_columns(self, node: int, known: int, computed, body_fn) -> None:
        """Go through the columns of a block: ``body_fn(position in the matrix, column)``, each known and computed."""
        width = self.width(node)
        start = computed * width if computed is not None else None
        if width <= UNROLLED_COLUMNS:
            for c in range(width):
                body_fn((known * width + c * ROWS_EACH, start), (c, None))
            return
        with self.fn.loop(0, width, 1) as loop:
            inside = loop.index * ROWS_EACH
            body_fn((known * width, inside if start is None else start + inside), (0, loop.index))

    def product(self, node: int, known: int, computed) -> list:
        """Sixteen rows of the matrix times the vector."""
        fn, program, place = self.fn, self.program, self.vectors[node]
        program.address(place.buffer)
        n_vectors = ROWS_EACH // LANES
        registers = [fn.alloca(LANES) for _ in range(n_vectors)]
        for register in registers:
            fn.store(fn.splat(fn.constant(0.0), LANES), register)

        def column(position, c):
            index = None if c[1] is None else c[1] if place.strides[0] == 1 else c[1] * place.strides[0]
            factor = fn.splat(program.load(place.buffer, place.offset + c[0] * place.strides[0], index), LANES)
            for j, register in enumerate(registers):
                x = program.load(self.matrices[node], position[0] + LANES * j, position[1], LANES)
                fn.store(x.fma(factor, fn.load(register, LANES)), register)

        self.over_columns(node, known, computed, column)
        return [fn.load(register, LANES) for register in registers]

    def collect(self, node: int, values: list, known: int, computed) -> None:
        """Add the products of the rows with the values to what is collected for each column."""
        program, buffer = self.program, self.collected[node]

        def column(position, c):
            index = None if c[1] is None else c[1] * LANES
            total = program.load(buffer, c[0] * LANES, index, LANES)
            for j, value in enumerate(values):
                x = program.load(self.matrices[node], position[0] + LANES * j, position[1], LANES)
                total = x.fma(value, total)
            program.store(buffer, c[0] * LANES, index, total)

        self.over_columns(node, known, computed, column)

    def finish(self, task: Task) -> None:
        """Add up what has been collected, lane by lane, and store it."""
        buffer, place = self.collected[task.numbers[0]], task.target
        width = self.width(task.numbers[0])
        with self.fn.loop(0, width, 1) as loop:
            total = self.program.load(buffer, 0, loop.index * LANES, LANES).sum()
            index = loop.index if place.strides[0] == 1 else loop.index * place.strides[0]
            self.program.store(place.buffer, place.offset, index, total)
