"""An evaluator of graphs that knows nothing of how they were made: the oracle for the passes."""

import numpy as np

from probad.ir.capture import implementation
from probad.ir.graph import CARRIED, COLUMN, FIXED, INPUT, LAST, LOOP, SLOT


def evaluate(graph, *inputs):
    """Outputs, and whether each guard holds. Shapes and types are compared with those that the graph says it has."""
    values = []

    def get(number):
        return values[number] if number >= 0 else graph.constants[-number - 1]

    with np.errstate(all="ignore"):
        for node, (op, args, params) in enumerate(zip(graph.ops, graph.args, graph.params, strict=True)):
            assert all(a < node for a in args)
            args = [get(a) for a in args]
            if op == INPUT:
                y = inputs[params["number"]]
            elif op == LOOP:
                y = iterate(params["body"], params["n"], args)
            elif op == LAST:
                y = args[0][0][params["slot"]]
            elif op == COLUMN:
                y = np.array([slots[params["slot"]] for slots in args[0][1]])
            else:
                fn, params = implementation(op, params)
                y = fn(*args, **params)
            if op != LOOP:
                seen = graph.values[node]
                assert np.shape(y) == np.shape(seen), (node, op)
                assert np.asarray(y).dtype == np.asarray(seen).dtype, (node, op)
            values.append(y)
    held = [np.array_equal(get(guard.node), guard.expected) for guard in graph.guards]
    return [get(number) for number in graph.outputs], held


def iterate(body, n, args):
    """The slots of the iteration that runs last, and of all in the order of their numbers."""
    carried = [args[carry.start] for carry in body.carries]
    rows = [None] * n
    for i in reversed(range(n)) if body.reverse else range(n):
        slots = []

        def operand(x, slots=slots, carried=carried, i=i):
            kind, k = x
            if kind in (SLOT, CARRIED):
                return (slots if kind == SLOT else carried)[k]
            assert np.shape(args[k]) == (() if kind == FIXED else (n,))
            return args[k] if kind == FIXED else args[k][i]

        for op, operands in zip(body.ops, body.args, strict=True):
            slots.append(implementation(op, {})[0](*map(operand, operands)))
        carried = [operand(carry.next) for carry in body.carries]
        rows[i] = slots
    return rows[0 if body.reverse else n - 1], rows


def loops(graph):
    """Of all loops of a graph, iterations and length of the body."""
    return [(p["n"], len(p["body"].ops)) for op, p in zip(graph.ops, graph.params, strict=True) if op == LOOP]
