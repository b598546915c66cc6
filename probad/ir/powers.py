"""Powers with usual exponents as the operations they are, before loops hide which exponents are constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from probad.ir.graph import Graph

OPERATIONS = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}  # of the same values; a power takes ten times as long


def spell_powers(graph: Graph) -> Graph:
    """The same program without the powers that have an operation of their own."""
    ops, args = list(graph.ops), list(graph.args)
    for node, op in enumerate(graph.ops):
        if op == "power" and (exponent := args[node][1]) < 0:
            value = graph.value(exponent)
            if np.ndim(value) == 0 and float(value) in OPERATIONS:
                ops[node], args[node] = OPERATIONS[float(value)], args[node][:1]
    return graph if ops == graph.ops else replace(graph, ops=ops, args=args)
