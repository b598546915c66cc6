"""The reverse sweep over a graph: a graph of the function becomes one of the function and its gradient.

The derivatives are those of the tape: the rules of the primitives are called on values that write down what the rules
do to them. A loop is swept as a whole: its iterations run backwards in a new loop, in which the cotangents of the
carried values are carried. Whatever else the new loop computes is left to `probad.ir.distribute` to take out again.
"""

from __future__ import annotations

import numpy as np

from probad.ad.box import Box
from probad.ad.core import PRIMITIVES
from probad.ad.kinds import OPERATIONS
from probad.errors import CaptureError
from probad.ir.capture import CALL, STOP, CaptureTrace, implementation
from probad.ir.graph import (
    CARRIED,
    COLUMN,
    ELEMENT,
    FIXED,
    INPUT,
    LAST,
    LOOP,
    NO_PARAMS,
    PULL,
    SLOT,
    Body,
    Carry,
    Graph,
    Guard,
    Operand,
    prune,
)

WHOLE_RULES = frozenset({"cholesky"})  # reverse rules with native code of their own


def adjoint(graph: Graph, *, careful: bool = False) -> Graph:
    """The graph of a value and its gradient.

    Parameters
    ----------
    graph : Graph
        With one output, a scalar.
    careful : bool
        Whether zero times infinity is zero in a derivative, at the price of looking for it: see
        `probad.ad.core.ReverseTrace.sweep`.

    Returns
    -------
    Graph
        With the outputs ``value, gradient of input 0, gradient of input 1, ...``.
    """
    if len(graph.outputs) != 1 or graph.shape(graph.outputs[0]) != ():
        raise CaptureError("A gradient needs a function that returns one number.")
    with CaptureTrace(_copy(graph)) as trace, np.errstate(all="ignore"):
        sweep = Sweep(trace, careful=careful)
        cotangents = sweep.run(graph.outputs[0], len(graph))
        new = trace.graph
        new.outputs = [new.outputs[0]]
        for node in new.inputs:
            g = cotangents.get(node)
            new.outputs.append(trace.number(np.zeros(new.shape(node)) if g is None else g))
    return prune(new)


class Sweep:
    """One reverse sweep, which appends to the graph of `trace`."""

    def __init__(self, trace: CaptureTrace, *, careful: bool):
        self.trace, self.graph, self.careful = trace, trace.graph, careful
        self.cotangents: dict = {}
        self.gathered: dict[int, tuple] = {}
        self.loops: dict[int, LoopCotangents] = {}
        # the nodes that read outputs of loops
        graph = self.graph
        self.projections = {
            (args[0], op, params["slot"]): node
            for node, (op, args, params) in enumerate(zip(graph.ops, graph.args, graph.params, strict=True))
            if op in (LAST, COLUMN)
        }

    def run(self, output: int, n_nodes: int) -> dict:
        """Cotangents of all inputs, by node."""
        self.credit(output, np.float64(1.0))
        for node in range(n_nodes - 1, -1, -1):
            if node in self.gathered:
                gather_fn, parts = self.gathered.pop(node)
                self.credit(node, gather_fn(parts))
            op = self.graph.ops[node]
            if op == LOOP:
                if node in self.loops:
                    self.loops.pop(node).sweep(self)
                continue
            if op == INPUT or node not in self.cotangents:
                continue
            self.node(node, op, self.cotangents.pop(node))
        return self.cotangents

    def credit(self, number: int, g) -> None:
        """Add to the cotangent of a node; constants have none."""
        if number >= 0 and g is not None:
            old = self.cotangents.get(number)
            self.cotangents[number] = g if old is None else old + g

    def node(self, node: int, op: str, g) -> None:
        """Hand the cotangent of a node on to what it was computed from."""
        graph, args, params = self.graph, self.graph.args[node], self.graph.params[node]
        if op in (LAST, COLUMN):
            kept = self.loops.setdefault(args[0], LoopCotangents(args[0]))
            cotangents = kept.last if op == LAST else kept.columns
            old = cotangents.get(params["slot"])
            cotangents[params["slot"]] = g if old is None else old + g
            return
        if op == STOP or op in OPERATIONS:
            return
        primitive = params["primitive"] if op == CALL else PRIMITIVES[op]
        values = [self.trace.box(a) if a >= 0 else graph.value(a) for a in args]
        if primitive.gather_fn is not None:
            if args[0] >= 0:
                parts = self.gathered.setdefault(args[0], (primitive.gather_fn, []))[1]
                parts.append((g, params, graph.shape(args[0])))
            return
        pull = (self.careful and primitive.careful_pull) or primitive.pull
        y = self.trace.box(node)
        for k, a in enumerate(args):
            if a < 0 or graph.value(a).dtype.kind != "f":
                continue
            if op in WHOLE_RULES and len(y.shape) == 2:
                self.credit(a, self.whole_rule(k, g, node))
            else:
                self.credit(a, pull(k, g, y, values, params))

    def whole_rule(self, k: int, g, node: int) -> Box:
        """A reverse rule as one operation."""
        graph, trace = self.graph, self.trace
        args = (trace.number(g), node, *graph.args[node])
        params = {"op": graph.ops[node], "k": k, "params": graph.params[node]}
        value = implementation(PULL, params)[0](*map(graph.value, args), **params)
        return trace.box(graph.add(PULL, args, params, value))


class LoopCotangents:
    """What the sweep has learnt about the outputs of one loop: cotangents of last values and of columns, by slot."""

    def __init__(self, node: int):
        self.node = node
        self.last: dict = {}
        self.columns: dict = {}

    def sweep(self, sweep: Sweep) -> None:
        """Append the loop that runs backwards, and credit the arguments of this one."""
        graph = sweep.graph
        args, params = graph.args[self.node], graph.params[self.node]
        body, n = params["body"], params["n"]
        end = 0 if body.reverse else n - 1
        carried_last = {}
        for slot, g in self.last.items():
            carry = next((c for c, x in enumerate(body.carries) if x.next == (SLOT, slot)), None)
            if carry is None:  # a cotangent that only the last iteration has
                spread = PRIMITIVES["scatter"](g, indices=[end], shape=(n,))
                old = self.columns.get(slot)
                self.columns[slot] = spread if old is None else old + spread
            else:
                carried_last[carry] = g
        starts = [carried_last.get(c, np.float64(0.0)) for c in range(len(body.carries))]
        backward = Backward(sweep, self.node, body, args, n)
        operands, carried = backward.record(self.columns, starts)
        new = backward.loop(operands, carried, starts)
        for c, carry in enumerate(body.carries):
            if carried[c] is not None:
                sweep.credit(args[carry.start], backward.output(new, LAST, carried[c], starts[c]))
        for (kind, k), number in operands.items():
            column = backward.output(new, COLUMN, number, None)
            if kind == ELEMENT:
                sweep.credit(args[k], column)
            elif kind == FIXED:
                sweep.credit(args[k], np.sum(column))


class Backward:
    """The body of a loop that sweeps another one: recorded as a graph of scalars, then made a `Body`."""

    def __init__(self, sweep: Sweep, node: int, body: Body, args, n: int):
        self.sweep, self.node, self.body, self.outer, self.n = sweep, node, body, args, n
        self.inner = CaptureTrace(Graph(), settles=True)
        self.sources: list[Operand] = []  # where each input of the inner graph comes from
        self.args: list[int] = []  # arguments of the new loop
        self.places: dict[tuple, int] = {}
        self.known: dict[Operand, Box] = {}

    # --- values of the forward loop -----------------------------------------------------------------------------------
    def argument(self, x) -> int:
        """The place among the arguments of the new loop of a value of the outer graph."""
        number = self.sweep.trace.number(x) if type(x) is not int else x
        if number not in self.places:
            self.places[number] = len(self.args)
            self.args.append(number)
        return self.places[number]

    def input(self, source: Operand, value) -> Box:
        """A scalar of the inner graph that stands for an operand of the new loop."""
        self.sources.append(source)
        return self.inner.input(value)

    def forward(self, operand: Operand) -> Box | np.float64:
        """The value that an operand of the forward body had in the iteration that is being swept."""
        if operand not in self.known:
            kind, k = operand
            graph = self.sweep.graph
            if kind == FIXED:
                number = self.outer[k]
                value = graph.value(number)
                if number < 0:
                    self.known[operand] = value  # a constant, which the rules may look at
                    return value
                self.known[operand] = self.input((FIXED, self.argument(number)), value)
            else:
                column = self.column(operand)
                value = np.asarray(column.value if type(column) is Box else column)
                self.known[operand] = self.input((ELEMENT, self.argument(column)), value[0])
        return self.known[operand]

    def column(self, operand: Operand):
        """The values of an operand in all iterations, as an array of the outer graph."""
        kind, k = operand
        trace = self.sweep.trace
        if kind == ELEMENT:
            return trace.box(self.outer[k])
        if kind == SLOT:
            return self.project(self.node, COLUMN, k, None)
        if kind == FIXED:
            return np.broadcast_to(trace.box(self.outer[k]), (self.n,))
        carry = self.body.carries[k]
        start = PRIMITIVES["reshape"](trace.box(self.outer[carry.start]), shape=(1,))
        before = self.column(carry.next)
        if self.n == 1:
            return start
        if self.body.reverse:
            return PRIMITIVES["concatenate"](before[1:], start, axis=0)
        return PRIMITIVES["concatenate"](start, before[:-1], axis=0)

    def project(self, loop: int, kind: str, slot: int, value) -> Box:
        """A node that reads an output of a loop; the one there is, if there is one."""
        graph = self.sweep.graph
        key = (loop, kind, slot)
        found = self.sweep.projections.get(key)
        if found is None:
            if value is None:
                value = np.full(self.n, np.nan) if kind == COLUMN else np.float64(np.nan)
            found = self.sweep.projections[key] = graph.add(kind, (loop,), {"slot": slot}, value)
        return self.sweep.trace.box(found)

    # --- the sweep of one iteration -----------------------------------------------------------------------------------
    def record(self, columns: dict, starts: list):
        """Sweep the forward body once.

        Returns
        -------
        operands : dict of Operand to int
            For elements and fixed arguments of the forward loop, the inner number of their cotangent.
        carried : list of (int or None)
            For each carried value, the inner number of its cotangent, to be carried on.
        """
        body, cotangents = self.body, {}

        def credit(operand, g):
            old = cotangents.get(operand)
            cotangents[operand] = g if old is None else old + g

        with self.inner:
            for slot, g in columns.items():
                credit((SLOT, slot), self.input((ELEMENT, self.argument(g)), np.float64(0.5)))
            for c, carry in enumerate(body.carries):
                credit(carry.next, self.input((CARRIED, c), np.float64(0.5)))
            for slot in range(len(body.ops) - 1, -1, -1):
                g = cotangents.pop((SLOT, slot), None)
                if g is not None:
                    self.operation(slot, g, credit)
            carried = [self.number(cotangents.pop((CARRIED, c), 0.0)) for c in range(len(body.carries))]
            operands = {operand: self.number(g) for operand, g in cotangents.items()}
        if self.inner.graph.guards:
            raise CaptureError("The derivative of an operation inside a loop depends on a condition on its values.")
        return operands, carried

    def operation(self, slot: int, g, credit) -> None:
        """Hand the cotangent of a slot on to its operands."""
        op, operands = self.body.ops[slot], self.body.args[slot]
        if op == STOP or op in OPERATIONS:
            return
        primitive = PRIMITIVES[op]
        values = [self.forward(operand) for operand in operands]
        y = self.forward((SLOT, slot))
        pull = (self.sweep.careful and primitive.careful_pull) or primitive.pull
        for k, operand in enumerate(operands):
            if operand[0] == FIXED and self.outer[operand[1]] < 0:
                continue
            if op == "select" and k == 0:
                continue
            credit(operand, pull(k, g, y, values, NO_PARAMS))

    def number(self, x) -> int:
        """The inner number of a value."""
        return self.inner.number(x)

    # --- the new loop -------------------------------------------------------------------------------------------------
    def loop(self, operands: dict, carried: list, starts: list) -> int:
        """Append the loop that runs backwards."""
        inner = self.inner.graph
        inner.outputs = [*operands.values(), *carried]
        slot_of: dict[int, int] = {}
        ops, args = [], []
        needed = _needed(inner)
        for node in range(len(inner)):
            if inner.ops[node] != INPUT and node in needed:
                if inner.params[node]:
                    raise CaptureError(f"{inner.ops[node]} inside a loop cannot be compiled.")
                args.append(tuple(self.operand(a, slot_of) for a in inner.args[node]))
                ops.append(inner.ops[node])
                slot_of[node] = len(ops) - 1
        # what is to be read from outside must be a slot
        for number in {*operands.values(), *carried}:
            if number not in slot_of:
                args.append((self.operand(number, slot_of),))
                ops.append(STOP)
                slot_of[number] = len(ops) - 1
        self.slot_of = slot_of
        carries = tuple(
            Carry(self.argument(start), (SLOT, slot_of[number])) for start, number in zip(starts, carried, strict=True)
        )
        body = Body(tuple(ops), tuple(args), carries, reverse=not self.body.reverse)
        return self.sweep.graph.add(LOOP, tuple(self.args), {"body": body, "n": self.n}, np.float64(np.nan))

    def operand(self, number: int, slot_of: dict) -> Operand:
        """A number of the inner graph as an operand of the new body."""
        if number in slot_of:
            return (SLOT, slot_of[number])
        if number < 0:
            return (FIXED, self.argument(self.inner.graph.value(number)))
        return self.sources[self.inner.graph.inputs.index(number)]

    def output(self, loop: int, kind: str, number: int, start) -> Box:
        """An output of the new loop."""
        return self.project(loop, kind, self.slot_of[number], None)


def _needed(graph: Graph) -> set[int]:
    needed = {n for n in graph.outputs if n >= 0}
    for node in range(len(graph) - 1, -1, -1):
        if node in needed:
            needed.update(a for a in graph.args[node] if a >= 0)
    return needed


def _copy(graph: Graph) -> Graph:
    return Graph(
        ops=list(graph.ops), args=list(graph.args), params=list(graph.params), values=list(graph.values),
        constants=list(graph.constants), inputs=list(graph.inputs), outputs=list(graph.outputs),
        guards=list(graph.guards), _places=dict(graph._places),
    )  # fmt: skip


def inline_calls(graph: Graph) -> Graph:
    """The same graph with the insides of functions that have derivative rules of their own in place of their calls."""
    if CALL not in graph.ops:
        return graph
    with CaptureTrace(calls=False) as trace, np.errstate(all="ignore"):
        new = trace.graph
        number: dict[int, int] = {}

        def renumber(a: int) -> int:
            return number[a] if a >= 0 else new.constant(graph.value(a))

        for node, op in enumerate(graph.ops):
            args = tuple(renumber(a) for a in graph.args[node])
            if op == CALL:
                primitive = graph.params[node]["primitive"]
                rest = {k: v for k, v in graph.params[node].items() if k != "primitive"}
                number[node] = trace.number(primitive.impl(*(trace.box(a) for a in args), **rest))
            else:
                number[node] = new.add(op, args, graph.params[node], graph.values[node])
        new.inputs = [number[node] for node in graph.inputs]
        new.outputs = [renumber(node) for node in graph.outputs]
        new.guards = [Guard(renumber(g.node), g.expected, g.where) for g in graph.guards] + new.guards
    return new
