"""Code for operations on whole arrays: calls of LAPACK and BLAS, and of Python for what has no native code.

The libraries know matrices by columns, programs by rows: to them each matrix is its transpose. So the lower triangular
factor of a program is their upper one, and a product is computed as that of the transposes in the other order.
"""

from __future__ import annotations

import numpy as np

from probad.codegen.host import HostCall
from probad.codegen.places import LANES, RESULT, WORK, Buffer, Place
from probad.codegen.pointers import library
from probad.ir.graph import LOOP, PULL


def touched(graph, schedule) -> set[int]:
    """The identities of the buffers that such operations use: they must be in memory and not in registers."""
    out = set()
    for tasks in schedule.tasks:
        for task in tasks:
            if task.domain is None and task.kind not in ("fill", LOOP):
                node = task.value
                arrays = [a for a in graph.args[node] if graph.shape(a)]
                places = [schedule.place(a) for a in arrays] + [schedule.places[n] for n in (node,) if graph.shape(n)]
                out |= {id(place.buffer) for place in places}
    return out


def emit(program, node: int) -> None:
    """Write an operation on whole arrays."""
    native = NATIVE.get(program.graph.ops[node])
    if native is None or not native(Calls(program, node)):
        emit_host(program, node)


def emit_host(program, node: int) -> None:
    """Write a call of Python for an operation."""
    graph, schedule, fn = program.graph, program.schedule, program.fn
    args = []
    for a in graph.args[node]:
        kind = np.asarray(graph.value(a)).dtype.kind
        if graph.shape(a):
            place = schedule.place(a)
        else:
            place = Place(program.in_memory(Buffer(WORK, 1)), (), ())
            program.store(place.buffer, 0, None, program.number(program.scalar(a)))
        args.append((place, program.start(place.buffer), "i" if kind in "iu" else kind))
    if graph.shape(node):
        out = schedule.places[node]
    else:
        out = Place(program.in_memory(Buffer(WORK, 1)), (), ())
    program.host.append(HostCall(graph.ops[node], graph.params[node], tuple(args), (out, program.start(out.buffer))))
    program.call_host(len(program.host) - 1)
    if not graph.shape(node):
        value = program.load(out.buffer, 0, None)
        is_condition = np.asarray(graph.value(node)).dtype.kind == "b"
        program.set_scalar(node, value.ne(fn.constant(0.0)) if is_condition else value)


class Calls:
    """Calls of library functions for one node, with the arguments that Fortran wants: addresses."""

    def __init__(self, program, node: int):
        self.program, self.fn, self.node = program, program.fn, node
        graph = program.graph
        self.args, self.params = graph.args[node], graph.params[node]
        self.shapes = [graph.shape(a) for a in self.args]

    @property
    def out(self) -> Place:
        """Where the result goes."""
        return self.program.schedule.places[self.node]

    def place(self, k: int) -> Place:
        """Where an operand is."""
        return self.program.schedule.place(self.args[k])

    def at(self, place: Place):
        """The address of the first element."""
        return self.fn.element(self.program.address(place.buffer), place.offset)

    def integer(self, value: int):
        """The address of a whole number."""
        return self.fn.constant_i32(value)

    def letter(self, value: str):
        """The address of a letter."""
        return self.fn.constant_i32(ord(value))

    def real(self, value: float):
        """The address of a number."""
        register = self.fn.alloca(1)
        self.fn.store(self.fn.constant(value), register)
        return register

    def call(self, name: str, *addresses) -> None:
        """Call a function of BLAS or LAPACK."""
        self.program.module.symbols[name] = library(name)
        self.fn.call_library(name, addresses)

    def copy(self, source: Place, target: Place) -> None:
        """Copy a matrix or a vector, in whatever order it is, into one in C order."""
        self.program.copy(source, target)

    def in_order(self, k: int) -> Place:
        """An operand in C order; a copy of it if it is in another."""
        place = self.place(k)
        if place.is_contiguous:
            return place
        target = Place.whole(self.program.in_memory(Buffer(WORK, place.size)), place.shape)
        self.copy(place, target)
        return target


def _cholesky(calls: Calls) -> bool:
    if len(calls.out.shape) != 2:
        return False
    n, fn, program = calls.out.shape[0], calls.fn, calls.program
    calls.copy(calls.place(0), calls.out)
    info = fn.alloca_i32()
    size = calls.integer(n)
    calls.call("dpotrf", calls.letter("U"), size, calls.at(calls.out), size, info)
    fn.store(fn.status(1), program.status)
    fn.leave_if(fn.load_i32(info).ne(0), program.failed)
    # what is above the diagonal is left as it was
    with fn.loop(0, n, 1) as rows, fn.loop(rows.index + 1, n, 1) as columns:
        program.store(calls.out.buffer, calls.out.offset, rows.index * n + columns.index, fn.constant(0.0))
    return True


def _pull(calls: Calls) -> bool:
    return calls.params["op"] == "cholesky" and len(calls.out.shape) == 2 and CholeskyPull(calls).emit()


class CholeskyPull:
    """The reverse rule of the Cholesky factorisation, in place, one row after another from the last.

    Source: Murray, "Differentiation of the Cholesky decomposition" (2016), the unblocked algorithm of section 3.2; its
    inner loops run along rows here.
    """

    def __init__(self, calls: Calls):
        self.calls, self.program, self.fn = calls, calls.program, calls.fn
        self.n = calls.out.shape[0]

    def emit(self) -> bool:
        """Write the loops."""
        calls, program, fn, n = self.calls, self.program, self.fn, self.n
        self.factor = calls.in_order(1)
        if self.factor.buffer.kind == RESULT:  # rows are read beyond their end
            self.factor = Place.whole(program.in_memory(Buffer(WORK, n * n)), (n, n))
            calls.copy(calls.place(1), self.factor)
        work = Buffer(WORK, n * n)
        self.matrix = Place.whole(program.in_memory(work), (n, n))
        calls.copy(calls.place(0), self.matrix)
        self.row, self.sums, self.weights = (Place.whole(program.in_memory(Buffer(WORK, n + LANES)), (n + LANES,))
                                             for _ in range(3))  # fmt: skip
        for place in (self.factor, self.matrix, self.row, self.sums, self.weights):
            program.address(place.buffer)
        with fn.loop(0, n, 1) as rows:
            self.step(rows.index * -1 + (n - 1))
        with fn.loop(0, n, 1) as rows:
            self.write_row(rows.index)
        return True

    def get(self, place: Place, index, lanes: int = 1):
        """Elements of an array."""
        return self.program.load(place.buffer, place.offset, index, lanes)

    def put(self, place: Place, index, value) -> None:
        """Write elements of an array."""
        self.program.store(place.buffer, place.offset, index, value)

    def step(self, j) -> None:
        """Take row j of the factor out again."""
        fn, n = self.fn, self.n
        diagonal = j * n + j
        inverse = fn.constant(1.0) / self.get(self.factor, diagonal)
        dot = fn.alloca(1)
        fn.store(fn.constant(0.0), dot)
        with fn.loop(j + 1, n, 1) as below:  # c' c-bar, and c-bar / d
            at = below.index * n + j
            bar = self.get(self.matrix, at)
            fn.store(fn.load(dot) + self.get(self.factor, at) * bar, dot)
            scaled = bar * inverse
            self.put(self.matrix, at, scaled)
            self.put(self.weights, below.index, scaled)
        d = (self.get(self.matrix, diagonal) - fn.load(dot) * inverse) * inverse
        self.put(self.matrix, diagonal, d * 0.5)
        self.copy_row(j, d)
        spread = j + (LANES - 1)
        with fn.loop(0, spread, LANES) as blocks:
            self.columns(j, blocks.index)
        with fn.loop(0, j, 1) as left:
            self.put(self.matrix, j * n + left.index, self.get(self.sums, left.index))

    def copy_row(self, j, d) -> None:
        """The row of the factor left of the diagonal with zeros behind it, and its cotangent to start from."""
        fn, n = self.fn, self.n
        with fn.loop(0, j, 1) as left:
            r = self.get(self.factor, j * n + left.index)
            self.put(self.row, left.index, r)
            self.put(self.sums, left.index, self.get(self.matrix, j * n + left.index) - d * r)
        zero = fn.splat(fn.constant(0.0), LANES)
        self.put(self.row, j, zero)
        self.put(self.sums, j, zero)

    def columns(self, j, k) -> None:
        """Four columns: B-bar -= c-bar r and r-bar -= c-bar' B for the rows below."""
        fn, n = self.fn, self.n
        r = self.get(self.row, k, LANES)
        total = fn.alloca(LANES)
        fn.store(self.get(self.sums, k, LANES), total)
        with fn.loop(j + 1, n, 1) as below:
            at = below.index * n + k
            weight = fn.splat(self.get(self.weights, below.index), LANES)
            self.put(self.matrix, at, self.get(self.matrix, at, LANES) - weight * r)
            fn.store(fn.load(total, LANES) - weight * self.get(self.factor, at, LANES), total)
        self.put(self.sums, k, fn.load(total, LANES))

    def write_row(self, i) -> None:
        """The result is symmetric: what belongs to a pair of elements is shared between them."""
        n, out = self.n, self.calls.out
        with self.fn.loop(0, i, 1) as left:
            value = self.get(self.matrix, i * n + left.index) * 0.5
            self.put(out, i * n + left.index, value)
            self.put(out, left.index * n + i, value)
        self.put(out, i * n + i, self.get(self.matrix, i * n + i))


def _solve_triangular(calls: Calls) -> bool:
    a, b = calls.shapes
    if len(a) != 2 or len(b) > 2:
        return False
    n = a[0]
    matrix = calls.place(0)
    lower, trans = calls.params["lower"], calls.params["trans"]
    if matrix.strides == (1, n):  # a transposed view: its transpose is in order
        lower, trans = not lower, not trans
    else:
        matrix = calls.in_order(0)
    calls.copy(calls.place(1), calls.out)
    half, unit, size = calls.letter("U" if lower else "L"), calls.letter("N"), calls.integer(n)
    if len(b) == 1:
        turned = calls.letter("N" if trans else "T")
        calls.call("dtrsv", half, turned, unit, size, calls.at(matrix), size, calls.at(calls.out), calls.integer(1))
        return True
    turned, columns = calls.letter("T" if trans else "N"), calls.integer(b[1])
    calls.call("dtrsm", calls.letter("R"), half, turned, unit, columns, size, calls.real(1.0), calls.at(matrix), size,
               calls.at(calls.out), columns)  # fmt: skip
    return True


def _matmul(calls: Calls) -> bool:
    a, b = calls.shapes
    if len(a) != 2 or len(b) != 2:
        return False
    (m, k), n = a, b[1]
    left, right = _oriented(calls, 0), _oriented(calls, 1)
    calls.call("dgemm", calls.letter(right[1]), calls.letter(left[1]), calls.integer(n), calls.integer(m),
               calls.integer(k), calls.real(1.0), calls.at(right[0]), calls.integer(right[2]), calls.at(left[0]),
               calls.integer(left[2]), calls.real(0.0), calls.at(calls.out), calls.integer(n))  # fmt: skip
    return True


def _oriented(calls: Calls, k: int) -> tuple[Place, str, int]:
    """An operand, whether it lies transposed, and the distance between its rows as it lies."""
    place = calls.place(k)
    rows, columns = place.shape
    if place.strides == (1, rows) and rows > 1:
        return place, "T", rows
    return calls.in_order(k), "N", columns


NATIVE = {"cholesky": _cholesky, "solve_triangular": _solve_triangular, "matmul": _matmul, PULL: _pull}
