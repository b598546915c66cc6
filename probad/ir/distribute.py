"""Take out of loops what need not be in them: only true recurrences run one iteration after another.

What no iteration needs from an earlier one becomes operations on arrays, over all iterations at once. A running sum
whose intermediate values nothing reads becomes the sum of an array. The order of an addition may change; nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from probad.ir.capture import STOP, implementation
from probad.ir.graph import (
    CARRIED,
    COLUMN,
    ELEMENT,
    FIXED,
    LAST,
    LOOP,
    NO_PARAMS,
    SLOT,
    Body,
    Carry,
    Graph,
    Guard,
    Operand,
    prune,
)


def distribute(graph: Graph) -> Graph:
    """The same program with each loop split into array operations and the recurrences that are left.

    Recurrences that do not wait for each other's arrays stay together in one loop.
    """
    if LOOP not in graph.ops:
        return graph
    new = Graph(constants=list(graph.constants), _places=dict(graph._places))
    number: dict[int, int] = {}
    readers: dict[int, dict[tuple[str, int], object]] = {}
    for op, args, params, value in zip(graph.ops, graph.args, graph.params, graph.values, strict=True):
        if op in (LAST, COLUMN):
            readers.setdefault(args[0], {})[op, params["slot"]] = value
    splits: dict[int, Split] = {}
    with np.errstate(all="ignore"):
        for node, op in enumerate(graph.ops):
            args = graph.args[node]
            if op == LOOP:
                outer = [a if a < 0 else number[a] for a in args]
                splits[node] = Split(new, outer, graph.params[node], readers.get(node, {}))
                splits[node].run()
            elif op in (LAST, COLUMN):
                split, slot = splits[args[0]], graph.params[node]["slot"]
                number[node] = split.last(slot) if op == LAST else split.whole(split.operand((SLOT, slot)))
            else:
                renumbered = tuple([a if a < 0 else number[a] for a in args])
                number[node] = new.add(op, renumbered, graph.params[node], graph.values[node])
    new.inputs = [number[node] for node in graph.inputs]
    new.outputs = [number.get(node, node) for node in graph.outputs]
    new.guards = [Guard(number.get(g.node, g.node), g.expected, g.where) for g in graph.guards]
    return prune(new)


class Split:
    """What one loop becomes, appended to a graph.

    The slots and the carried values of the body are *vertices*: slot s is vertex s, carried value c is vertex m + c.

    Parameters
    ----------
    new : Graph
    outer : list of int
        The arguments of the loop.
    params : dict
        Of the loop.
    readers : dict
        For each ``(op, slot)`` that is read, the value that was seen.
    """

    def __init__(self, new: Graph, outer: list[int], params: dict, readers: dict):
        self.new, self.outer, self.readers = new, outer, readers
        self.body: Body = anchored(params["body"])
        self.n: int = params["n"]
        self.seen = params.get("seen")
        self.m = len(self.body.ops)
        self.slots: dict[int, int] = {}  # slot to array or, if it is the same in all iterations, scalar
        self.shifted: dict[int, int] = {}  # carried value to array
        self.lasts: dict[int, int] = {}
        self.loops: dict[int, tuple[int, int]] = {}  # slot of a recurrence to its loop and its slot there

    # --- analysis -----------------------------------------------------------------------------------------------------
    def reads(self, vertex: int) -> list[int]:
        """The vertices that a vertex is computed from."""
        body, m = self.body, self.m
        operands: Iterable[Operand]
        operands = body.args[vertex] if vertex < m else (body.carries[vertex - m].next,)
        return [k if kind == SLOT else m + k for kind, k in operands if kind in (SLOT, CARRIED)]

    def run(self) -> None:
        """Append everything in the order in which it can be computed."""
        groups = components(sorted({slot for _, slot in self.readers}), self.reads)
        stage: dict[int, int] = {}
        vectors: dict[int, list[int]] = {}
        recurrences: dict[int, list[int]] = {}
        sums: list[list[int]] = []
        in_loop: set[int] = set()
        n_readers = self.count_readers(groups)
        for group in groups:
            before = {r for v in group for r in self.reads(v)} - set(group)
            if len(group) == 1 and group[0] not in self.reads(group[0]):
                at = max((stage[r] + (r in in_loop) for r in before), default=0)
                vectors.setdefault(at, []).append(group[0])
            elif self.is_sum(group, n_readers):
                sums.append(group)
                continue
            else:
                at = max((stage[r] for r in before), default=0)
                recurrences.setdefault(at, []).extend(group)
                in_loop.update(group)
            stage.update(dict.fromkeys(group, at))
        for at in range(max([*vectors, *recurrences], default=-1) + 1):
            for vertex in vectors.get(at, ()):
                self.vector(vertex)
            if at in recurrences:
                self.recurrence(sorted(recurrences[at]))
        for group in sums:
            self.sum(group)

    def count_readers(self, groups: list[list[int]]) -> dict[int, int]:
        """By how many vertices and outputs each vertex is read."""
        n_readers: dict[int, int] = {}
        for vertex in [r for group in groups for v in group for r in self.reads(v)]:
            n_readers[vertex] = n_readers.get(vertex, 0) + 1
        for _, slot in self.readers:
            n_readers[slot] = n_readers.get(slot, 0) + 1
        return n_readers

    def is_sum(self, group: list[int], n_readers: dict[int, int]) -> bool:
        """Whether a cycle is a running sum of which nothing but the last value is read."""
        carries = [v - self.m for v in group if v >= self.m]
        if len(carries) != 1 or self.body.carries[carries[0]].next[0] != SLOT:
            return False
        last = self.body.carries[carries[0]].next[1]
        for vertex in group:
            is_last = vertex == last and (LAST, last) in self.readers
            if n_readers[vertex] != 1 + is_last:
                return False
            if vertex < self.m:
                inside = [r in group for r in map(self.vertex, self.body.args[vertex])]
                op = self.body.ops[vertex]
                if not (op == "add" and sum(inside) == 1) and not (op == "subtract" and inside == [True, False]):
                    return False
        return self.new.shape(self.outer[self.body.carries[carries[0]].start]) == ()

    def vertex(self, operand: Operand) -> int | None:
        """The vertex of an operand, if it is one."""
        kind, k = operand
        return k if kind == SLOT else self.m + k if kind == CARRIED else None

    # --- arrays -------------------------------------------------------------------------------------------------------
    def operation(self, op: str, args: tuple[int, ...], params: dict = NO_PARAMS) -> int:
        """Append an operation, with its value; of constants it is a constant."""
        impl, plain = implementation(op, params)
        value = np.asarray(impl(*map(self.new.value, args), **plain))[()]
        if all(a < 0 for a in args):
            return self.new.constant(value)
        return self.new.add(op, args, params, value)

    def operand(self, operand: Operand) -> int:
        """An operand in all iterations: an array, or a scalar that stands for itself in each."""
        kind, k = operand
        if kind == SLOT:
            if k not in self.slots:
                loop, slot = self.loops[k]
                self.slots[k] = self.new.add(COLUMN, (loop,), {"slot": slot}, self.column_value(k))
            return self.slots[k]
        if kind == CARRIED:
            if k not in self.shifted:
                self.shifted[k] = self.shift(self.body.carries[k])
            return self.shifted[k]
        return self.outer[k]

    def column_value(self, slot: int):
        """What was seen of a slot of a recurrence; placeholders of the right type where nothing was seen."""
        dtype = self.sample[slot].dtype
        value = self.readers.get((COLUMN, slot))
        if value is not None and value.dtype == dtype:
            return value
        if self.seen is not None:
            return self.seen[:, slot].astype(dtype)
        return np.full(self.n, np.nan if dtype.kind == "f" else 0, dtype)

    def whole(self, number: int) -> int:
        """An array for what may be a scalar."""
        if self.new.shape(number) == ():
            return self.operation("broadcast_to", (number,), {"shape": (self.n,)})
        return number

    def shift(self, carry: Carry) -> int:
        """A carried value in all iterations."""
        start = self.operation("reshape", (self.outer[carry.start],), {"shape": (1,)})
        if self.n == 1:
            return start
        part = slice(1, None) if self.body.reverse else slice(None, -1)
        rest = self.operation("index", (self.whole(self.operand(carry.next)),), {"index": part})
        return self.operation("concatenate", (rest, start) if self.body.reverse else (start, rest), {"axis": 0})

    def vector(self, vertex: int) -> None:
        """Append a slot as an operation on arrays; carried values are made when they are read."""
        if vertex < self.m:
            args = tuple([self.operand(x) for x in self.body.args[vertex]])
            self.slots[vertex] = self.operation(self.body.ops[vertex], args)

    def last(self, slot: int) -> int:
        """The value of a slot in the iteration that runs last."""
        if slot not in self.lasts:
            if slot in self.loops:
                loop, inner = self.loops[slot]
                self.lasts[slot] = self.new.add(LAST, (loop,), {"slot": inner}, self.readers[LAST, slot])
            elif self.new.shape(self.slots[slot]) == ():
                self.lasts[slot] = self.slots[slot]
            else:
                index = {"index": 0 if self.body.reverse else self.n - 1}
                self.lasts[slot] = self.operation("index", (self.slots[slot],), index)
        return self.lasts[slot]

    # --- recurrences --------------------------------------------------------------------------------------------------
    def recurrence(self, vertices: list[int]) -> None:
        """Append a loop of some of the slots and carried values."""
        place = {v: k for k, v in enumerate(v for v in vertices if v < self.m)}
        carried = {v: k for k, v in enumerate(v for v in vertices if v >= self.m)}
        args: dict[int, int] = {}

        def argument(number: int) -> int:
            return args.setdefault(number, len(args))

        def operand(x: Operand) -> Operand:
            vertex = self.vertex(x)
            if vertex in place:
                return (SLOT, place[vertex])
            if vertex in carried:
                return (CARRIED, carried[vertex])
            number = self.operand(x)
            return (ELEMENT if self.new.shape(number) else FIXED, argument(number))

        ops = tuple(self.body.ops[v] for v in place)
        operands = tuple(tuple(operand(x) for x in self.body.args[v]) for v in place)
        carries = [self.body.carries[v - self.m] for v in carried]
        carries = tuple(Carry(argument(self.outer[c.start]), operand(c.next)) for c in carries)
        body = Body(ops, operands, carries, self.body.reverse)
        self.sample = self.one_iteration()
        loop = self.new.add(LOOP, tuple(args), {"body": body, "n": self.n}, np.float64(np.nan))
        self.loops.update({v: (loop, k) for v, k in place.items()})

    def one_iteration(self) -> list:
        """Values of all slots in the first iteration, for their types."""
        values: list = []
        for op, args in zip(self.body.ops, self.body.args, strict=True):
            known = [self.example(x, values) for x in args]
            values.append(np.asarray(implementation(op, NO_PARAMS)[0](*known))[()])
        return values

    def example(self, operand: Operand, slots: list):
        """An operand in the first iteration."""
        kind, k = operand
        if kind == SLOT:
            return slots[k]
        if kind == CARRIED:
            return self.new.value(self.outer[self.body.carries[k].start])
        value = self.new.value(self.outer[k])
        return value[0] if kind == ELEMENT else value

    # --- sums ---------------------------------------------------------------------------------------------------------
    def sum(self, group: list[int]) -> None:
        """Append a running sum as one sum."""
        (carry,) = [self.body.carries[v - self.m] for v in group if v >= self.m]
        parts: dict[tuple[str, bool], int] = {}  # what is added and subtracted: arrays and scalars
        for vertex in sorted(v for v in group if v < self.m):
            (x,) = [x for x in self.body.args[vertex] if self.vertex(x) not in group]
            number = self.operand(x)
            key = (self.body.ops[vertex], bool(self.new.shape(number)))
            parts[key] = self.operation("add", (parts[key], number)) if key in parts else number
        total = self.outer[carry.start]
        if ("add", True) in parts and ("subtract", True) in parts:
            parts["add", True] = self.operation("subtract", (parts["add", True], parts.pop(("subtract", True))))
        for (op, is_array), part in parts.items():
            if is_array:
                part = self.operation("sum", (part,), {"axis": None, "keepdims": False})
            else:
                part = self.operation("multiply", (self.new.constant(float(self.n)), part))
            total = self.operation(op, (total, part))
        self.lasts[carry.next[1]] = total


def anchored(body: Body) -> Body:
    """The same body without circles of carried values that no slot is part of: each such value gets one, a copy."""
    ops, args, carries = list(body.ops), list(body.args), list(body.carries)
    for c in range(len(carries)):
        following, passed = carries[c].next, 0
        while following[0] == CARRIED and following[1] != c and passed < len(carries):
            following, passed = carries[following[1]].next, passed + 1
        if following == (CARRIED, c):
            ops.append(STOP)
            args.append((carries[c].next,))
            carries[c] = Carry(carries[c].start, (SLOT, len(ops) - 1))
    return Body(tuple(ops), tuple(args), tuple(carries), body.reverse)


def components(roots: list[int], reads_fn) -> list[list[int]]:
    """Strongly connected components of what can be reached, each after those that it reads.

    Parameters
    ----------
    roots : list of int
    reads_fn : callable
        The vertices that a vertex reads.

    Source
    ------
    Tarjan, Depth-first search and linear graph algorithms, 1972; without recursion.
    """
    found: list[list[int]] = []
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in roots:
        if root in index:
            continue
        work = [(root, iter(reads_fn(root)))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            vertex, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(reads_fn(other))))
                    break
                if other in on_stack:
                    low[vertex] = min(low[vertex], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[vertex])
                if low[vertex] == index[vertex]:
                    group = []
                    while not group or group[-1] != vertex:
                        group.append(stack.pop())
                        on_stack.discard(group[-1])
                    found.append(group)
    return found
