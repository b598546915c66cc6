"""Code for operations on whole arrays: calls of LAPACK and BLAS, and of Python for what has no native code."""

from __future__ import annotations

import numpy as np

from probad.codegen.host import HostCall
from probad.codegen.places import WORK, Buffer, Place
from probad.ir.graph import LOOP

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
