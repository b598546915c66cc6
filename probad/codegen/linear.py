"""Code for operations on whole arrays: calls of LAPACK and BLAS, and of Python for what has no native code.

The libraries know matrices by columns, programs by rows: to them each matrix is its transpose. So the lower triangular
factor of a program is their upper one, and a product is computed as that of the transposes in the other order.
"""

from __future__ import annotations

import numpy as np

from probad.codegen import factorise
from probad.codegen.host import HostCall
from probad.codegen.places import WORK, Buffer, Place
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
    if n <= factorise.MOST:
        factorise.Cholesky(calls).emit()
        return True
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
    if calls.params["op"] != "cholesky" or len(calls.out.shape) != 2:
        return False
    factorise.CholeskyPull(calls).emit()
    return True


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
