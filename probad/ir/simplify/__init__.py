"""Rewrite graphs by algebra: tables of equations, applied wherever a node is made.

A graph is built anew from its inputs on, through a `Builder` that folds what is constant, finds what has been computed
already, and asks the equations of an operation whether they know something better. `equations` says how these are
written; they stand in `algebra` (elementwise operations), `arrays` (shapes and places) and `sums` (data summed
beforehand). Each gives the same value, up to rounding, wherever the original is finite, and the same derivative; what
is more stable is finite in more places.
"""

from __future__ import annotations

import numpy as np

from probad.ir.graph import INPUT, Graph, Guard, prune
from probad.ir.simplify import algebra, arrays, squares, sums  # noqa: F401
from probad.ir.simplify.builder import Builder

__all__ = ["Builder", "simplify"]


def simplify(graph: Graph) -> Graph:
    """The same program, simplified.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Graph
        Without nodes that nothing needs.
    """
    builder = Builder()
    number: dict[int, int] = {}

    def renumber(a: int) -> int:
        new = number.get(a)
        if new is None:  # a constant that is met for the first time
            new = number[a] = builder.constant(graph.value(a))
        return new

    with np.errstate(all="ignore"):
        for node, (op, args, params) in enumerate(zip(graph.ops, graph.args, graph.params, strict=True)):
            if op == INPUT:
                number[node] = builder.graph.add_input(graph.values[node])
            else:
                args = tuple([renumber(a) for a in args])
                number[node] = builder.make(op, args, params, graph.values[node])
    new = builder.graph
    new.outputs = [renumber(n) for n in graph.outputs]
    new.guards = [Guard(renumber(g.node), g.expected, g.where) for g in graph.guards]
    return prune(new)
