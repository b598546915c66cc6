"""Powers with usual exponents as the operations they are, before loops hide which exponents are constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from probad.ir.graph import Graph

OPERATIONS = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}  # of the same values; a power takes ten times as long


def spell_powers(graph: Graph) -> Graph:
    """The same program without the powers that have an operation of their own."""
    if "power" not in graph.ops:
        return graph
    powers = [k for k, op in enumerate(graph.ops) if op == "power"]
    names: dict[int, str] = {}  # by the number of the exponent
    for exponent in {graph.args[k][1] for k in powers}:
        value = graph.value(exponent)
        if exponent < 0 and np.ndim(value) == 0 and float(value) in OPERATIONS:
            names[exponent] = OPERATIONS[float(value)]
    if not names:
        return graph
    ops, args = list(graph.ops), list(graph.args)
    for k in powers:
        base, exponent = args[k]
        if exponent in names:
            ops[k], args[k] = names[exponent], (base,)
    return replace(graph, ops=ops, args=args)
