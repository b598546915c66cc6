"""What a graph must keep to, whichever pass has made it: a table of rules that tests run between passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from probad.ad.core import PRIMITIVES
from probad.ad.kinds import OPERATIONS, PARTIALS
from probad.errors import GraphError
from probad.ir.capture import CALL, STOP
from probad.ir.graph import CARRIED, COLUMN, ELEMENT, FIXED, INPUT, LAST, LOOP, PULL, SLOT, STEPS, Graph

SPECIAL = frozenset({INPUT, LOOP, LAST, COLUMN, STOP, CALL, PULL})
IN_LOOPS = frozenset({"select", "scale", STOP})  # besides elementwise operations
RULES: list[tuple[str, Callable[[Graph, int], bool]]] = []


def verify(graph: Graph) -> Graph:
    """Check a graph against all rules, and return it.

    Raises
    ------
    GraphError
        If a rule is broken; names the node and the rule. It is an error of a pass, not of the captured function.
    """
    for node in range(len(graph)):
        for rule, holds in RULES:
            if not holds(graph, node):
                raise GraphError(
                    f"Node {node}, {graph.ops[node]!r}, breaks a rule of graphs: {rule}. This is a mistake in probad; "
                    "please report it with the function."
                )
    for rule, broken in _of_the_whole(graph):
        if broken:
            raise GraphError(f"The graph breaks a rule: {rule}. This is a mistake in probad; please report it.")
    return graph


def _rule(text: str):
    def enrol(holds: Callable[[Graph, int], bool]):
        RULES.append((text, holds))
        return holds

    return enrol


def _of_the_whole(graph: Graph) -> Iterator[tuple[str, bool]]:
    n, known = len(graph), range(-len(graph.constants), len(graph))
    yield "lists have one entry for each node", not n == len(graph.args) == len(graph.params) == len(graph.values)
    yield "outputs exist", any(number not in known for number in graph.outputs)
    yield (
        "inputs are input nodes, in order",
        [graph.params[node].get("number") for node in graph.inputs if graph.ops[node] == INPUT]
        != list(range(len(graph.inputs))),
    )
    yield (
        "guards ask about conditions, whole numbers or arrays of them",
        any(
            guard.node not in known or np.asarray(graph.value(guard.node)).dtype.kind not in "biu"
            for guard in graph.guards
        ),
    )


@_rule("its operation is known")
def _known(graph: Graph, node: int) -> bool:
    op = graph.ops[node]
    return op in PRIMITIVES or op in OPERATIONS or op in SPECIAL


@_rule("it reads constants and earlier nodes only")
def _ordered(graph: Graph, node: int) -> bool:
    return all(-len(graph.constants) <= a < node for a in graph.args[node])


@_rule("it has as many operands as its operation takes")
def _arity(graph: Graph, node: int) -> bool:
    op, n = graph.ops[node], len(graph.args[node])
    expected = {INPUT: 0, LAST: 1, COLUMN: 1, STOP: 1, "select": 3, "index": 1, "index_set": 2, "sum": 1}.get(op)
    return n == (len(PARTIALS[op]) if op in PARTIALS else n if expected is None else expected)


@_rule("its value is a double, a whole number or a condition, or an array of them")
def _kind(graph: Graph, node: int) -> bool:
    return graph.ops[node] == LOOP or np.asarray(graph.values[node]).dtype.kind in "fiub"


@_rule("it reads a loop through loop_last and loop_column only, and these read nothing else")
def _projections(graph: Graph, node: int) -> bool:
    is_projection = graph.ops[node] in (LAST, COLUMN)
    loops = [a for a in graph.args[node] if a >= 0 and graph.ops[a] == LOOP]
    return len(loops) == len(graph.args[node]) if is_projection else not loops


@_rule("an elementwise operation has the shape of its operands together")
def _shape(graph: Graph, node: int) -> bool:
    if graph.ops[node] not in PARTIALS and graph.ops[node] not in STEPS and graph.ops[node] != "select":
        return True
    shapes = [graph.shape(a) for a in graph.args[node]]
    return graph.shape(node) == np.broadcast_shapes(*shapes)


@_rule("the slot that it reads exists, and a column has the length of its loop")
def _slots(graph: Graph, node: int) -> bool:
    if graph.ops[node] not in (LAST, COLUMN):
        return True
    params = graph.params[graph.args[node][0]]
    there = 0 <= graph.params[node]["slot"] < len(params["body"].ops)
    return there and graph.shape(node) == ((params["n"],) if graph.ops[node] == COLUMN else ())


@_rule("the body of a loop is elementwise, and reads what is there: earlier slots, carried values, arguments")
def _bodies(graph: Graph, node: int) -> bool:
    if graph.ops[node] != LOOP:
        return True
    body, n, args = graph.params[node]["body"], graph.params[node]["n"], graph.args[node]
    limits = {SLOT: len(body.ops), CARRIED: len(body.carries), FIXED: len(args), ELEMENT: len(args)}

    def is_there(operand, n_slots: int) -> bool:
        kind, k = operand
        if kind not in limits or not 0 <= k < (n_slots if kind == SLOT else limits[kind]):
            return False
        if kind in (FIXED, ELEMENT):
            return graph.shape(args[k]) == (() if kind == FIXED else (n,))
        return True

    operations = all(op in PARTIALS or op in STEPS or op in IN_LOOPS for op in body.ops)
    operands = all(is_there(x, slot) for slot, xs in enumerate(body.args) for x in xs)
    carried = all(
        0 <= c.start < len(args) and graph.shape(args[c.start]) == () and is_there(c.next, len(body.ops))
        for c in body.carries
    )
    return n >= 1 and len(body.ops) == len(body.args) and operations and operands and carried
