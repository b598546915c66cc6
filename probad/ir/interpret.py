"""The evaluator of graphs by NumPy: slow, plain, and what everything else is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from probad.errors import CaptureError, ShapeError
from probad.ir.capture import implementation
from probad.ir.graph import CARRIED, COLUMN, ELEMENT, FIXED, INPUT, LAST, LOOP, SLOT, Body, Graph, Guard


class GuardMissError(CaptureError):
    """A graph was evaluated where its conditions do not hold."""

    def __init__(self, guard: Guard, found: Any):
        super().__init__(f"The condition at {guard.where} is {found} here; the graph was captured where it is "
                         f"{guard.expected}.")  # fmt: skip
        self.guard = guard


def interpret(graph: Graph, *inputs: Any) -> list:
    """The outputs of a graph.

    Parameters
    ----------
    graph : Graph
    *inputs : array_like
        One for each input, of its shape.

    Returns
    -------
    list

    Raises
    ------
    GuardMissError
        If a condition of the graph does not hold.
    ShapeError
        If the inputs are not those of the graph.
    """
    if len(inputs) != len(graph.inputs):
        raise ShapeError(f"The graph takes {len(graph.inputs)} inputs; got {len(inputs)}.")
    values: list = []
    asked: dict[int, list[Guard]] = {}
    for guard in graph.guards:
        asked.setdefault(guard.node, []).append(guard)

    def get(number: int):
        return values[number] if number >= 0 else graph.constants[-number - 1]

    with np.errstate(all="ignore"):
        for node, (op, args, params) in enumerate(zip(graph.ops, graph.args, graph.params, strict=True)):
            if op == INPUT:
                values.append(_input(inputs[params["number"]], graph.shape(node), params["number"]))
            elif op == LOOP:
                values.append(run_loop(params["body"], params["n"], [get(a) for a in args]))
            elif op in (LAST, COLUMN):
                kept, last = values[args[0]]
                values.append(kept[params["slot"]][last] if op == LAST else kept[params["slot"]])
            else:
                impl, params = implementation(op, params)
                values.append(impl(*map(get, args), **params))
            for guard in asked.get(node, ()):  # at once: what follows may have no value where it does not hold
                if not np.array_equal(values[node], guard.expected):
                    raise GuardMissError(guard, values[node])
    return [get(number) for number in graph.outputs]


def _input(x: Any, shape: tuple[int, ...], number: int):
    value = np.array(x, dtype=float)[()]
    if value.shape != shape:
        raise ShapeError(f"Input {number} of the graph has the shape {shape}; got {value.shape}.")
    return value


def run_loop(body: Body, n: int, args: Sequence) -> tuple[list[np.ndarray], int]:
    """All iterations of a loop: the values of each slot, and the number of the iteration that ran last."""
    impls = [implementation(op, {})[0] for op in body.ops]
    columns: list[list] = [[None] * n for _ in body.ops]
    carried = [args[carry.start] for carry in body.carries]
    order = range(n - 1, -1, -1) if body.reverse else range(n)
    for i in order:
        slots: list = []

        def get(operand, i=i, slots=slots):
            kind, k = operand
            if kind == SLOT:
                return slots[k]
            if kind == CARRIED:
                return carried[k]
            return args[k] if kind == FIXED else args[k][i] if kind == ELEMENT else None

        for impl, operands in zip(impls, body.args, strict=True):
            slots.append(impl(*map(get, operands)))
        for column, value in zip(columns, slots, strict=True):
            column[i] = value
        carried = [get(carry.next) for carry in body.carries]
    return [np.array(column) for column in columns], order[-1]
