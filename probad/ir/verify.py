"""What a graph must keep to, whichever pass has made it: a table of rules that tests run between passes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from probad.ad.core import PRIMITIVES
from probad.ad.kinds import OPERATIONS, PARTIALS
from probad.errors import GraphError
from probad.ir.capture import CALL, STOP, implementation
from probad.ir.graph import CARRIED, COLUMN, ELEMENT, FIXED, INPUT, LAST, LOOP, PULL, SLOT, STEPS, Graph
from probad.ir.interpret import run_loop

SPECIAL = frozenset({INPUT, LOOP, LAST, COLUMN, STOP, CALL, PULL})
IN_LOOPS = frozenset({"select", "scale", STOP})  # besides elementwise operations
PARAMS = {INPUT: {"number"}, LOOP: {"body", "n"}, LAST: {"slot"}, COLUMN: {"slot"}}
RULES: list[tuple[str, Callable[[Graph, int], bool]]] = []


def verify(graph: Graph, *, values: bool = False) -> Graph:
    """Check a graph against all rules, and return it.

    Parameters
    ----------
    graph : Graph
    values : bool
        Whether also to compute each node from the values of its operands, and to compare. Where a pass has made
        finite what overflowed, or the graph has changed otherwise beyond rounding at the point of capture, they differ.

    Raises
    ------
    GraphError
        If a rule is broken; names the node and the rule. It is an error of a pass, not of the captured function.
    """
    n = len(graph)
    if not n == len(graph.args) == len(graph.params) == len(graph.values):
        raise _broken("The graph", "lists have one entry for each node")
    rules = [*RULES, ("its value follows from those of its operands", _follows)] if values else RULES
    for node in range(n):
        for rule, holds in rules:
            if not holds(graph, node):
                raise _broken(f"Node {node}, {graph.ops[node]!r},", rule)
    for rule, is_broken in _of_the_whole(graph):
        if is_broken:
            raise _broken("The graph", rule)
    return graph


def _broken(what: str, rule: str) -> GraphError:
    return GraphError(
        f"{what} breaks a rule of graphs: {rule}. This is a mistake in probad; please report it with the function."
    )


def _rule(text: str):
    def enrol(holds: Callable[[Graph, int], bool]):
        RULES.append((text, holds))
        return holds

    return enrol


def _of_the_whole(graph: Graph) -> Iterator[tuple[str, bool]]:
    known = range(-len(graph.constants), len(graph))
    yield (
        "constants are numbers, conditions, or arrays of them",
        any(np.asarray(c).dtype.kind not in "fiub" for c in graph.constants),
    )
    yield "outputs exist", any(number not in known for number in graph.outputs)
    yield "outputs are values, not loops", any(n >= 0 and graph.ops[n] == LOOP for n in graph.outputs)
    nodes = [node for node, op in enumerate(graph.ops) if op == INPUT]
    yield (
        "inputs are the input nodes, in order",
        sorted(graph.inputs) != nodes
        or [graph.params[n].get("number") for n in graph.inputs] != list(range(len(nodes))),
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


@cache
def _signature(impl: Callable) -> inspect.Signature:
    return inspect.signature(impl)


@cache
def _n_operands(op: str) -> int | None:
    """How many operands an elementwise operation has, if it is one."""
    if op in PARTIALS:
        return len(PARTIALS[op])
    if op in IN_LOOPS:
        return {"select": 3, "scale": 2, STOP: 1}[op]
    impl = OPERATIONS[op].impl if op in STEPS and op in OPERATIONS else None
    return impl.nin if isinstance(impl, np.ufunc) else None


@_rule("it has the operands and the parameters that its operation takes")
def _arity(graph: Graph, node: int) -> bool:
    op, n, params = graph.ops[node], len(graph.args[node]), graph.params[node]
    if op in PARAMS:
        kept = (
            params.keys() - {"seen"} if op == LOOP else params.keys()
        )  # what the search for loops tells the next pass
        return (op == LOOP or n == (op != INPUT)) and kept == PARAMS[op]
    if op == "sum":
        return n == 1 and params.keys() == {"axis", "keepdims"}
    if _n_operands(op) is not None:
        return n == _n_operands(op) and not params
    impl, plain = implementation(op, params)
    try:
        _signature(impl).bind(*graph.args[node], **plain)
    except TypeError:
        return False
    return True


@_rule("its value is a double, a whole number or a condition, or an array of them")
def _kind(graph: Graph, node: int) -> bool:
    dtype = np.asarray(graph.values[node]).dtype
    return graph.ops[node] == LOOP or dtype == np.float64 or dtype.kind in "iub"


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

    operations = all(
        (op in PARTIALS or op in STEPS or op in IN_LOOPS) and _n_operands(op) in (None, len(xs))
        for op, xs in zip(body.ops, body.args, strict=False)
    )
    operands = all(is_there(x, slot) for slot, xs in enumerate(body.args) for x in xs)
    carried = all(
        0 <= c.start < len(args) and graph.shape(args[c.start]) == () and is_there(c.next, len(body.ops))
        for c in body.carries
    )
    return n >= 1 and len(body.ops) == len(body.args) and operations and operands and carried


def _follows(graph: Graph, node: int) -> bool:
    """Whether a node computed anew has the shape, the type and, up to rounding, the value that it says it has."""
    op, params = graph.ops[node], graph.params[node]
    if op in (INPUT, LOOP):
        return True
    with np.errstate(all="ignore"):
        if op in (LAST, COLUMN):
            loop = graph.args[node][0]
            args = [graph.value(a) for a in graph.args[loop]]
            columns, last = run_loop(graph.params[loop]["body"], graph.params[loop]["n"], args)
            value = columns[params["slot"]][last] if op == LAST else columns[params["slot"]]
        else:
            impl, params = implementation(op, params)
            value = impl(*(graph.value(a) for a in graph.args[node]), **params)
    value, seen = np.asarray(value), np.asarray(graph.values[node])
    if value.shape != seen.shape or value.dtype != seen.dtype:
        return False
    scale = np.max(np.abs(seen), initial=0.0, where=np.isfinite(seen)) if seen.dtype.kind == "f" else 0.0
    return np.allclose(value, seen, rtol=1e-9, atol=1e-9 * scale, equal_nan=True)
