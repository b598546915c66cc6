"""Follow single elements through arrays: programs over arrays that are filled in loops become programs over scalars.

Every array is either opaque, or known by its elements: then it is an int array of *codes*. The code of a scalar is its
number in the new graph; the codes from `LAZY` on stand for the elements of opaque arrays, which become `index` nodes
only when they are needed. Reading, writing and rearranging work on the codes, and an array is put together again where
something needs it as a whole.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from probad.ir.capture import STOP, implementation
from probad.ir.graph import INPUT, NO_PARAMS, Graph, Guard
from probad.ir.regions import periods
from probad.ir.sequence import flat_args, is_elementwise, live_nodes
from probad.ir.small import RULES, SMALL

LAZY = 1 << 40
WRITES = 8  # fewer assignments than this are left as they are
LONG = 96  # operations on small arrays: a program of fewer is left as it is
REARRANGING = frozenset({"index", "reshape", "transpose", "flip", "broadcast_to", "copy", "stack", "concatenate"})
FEW = 6  # elements: fewer are dealt with one by one
BUDGET = 8  # scalars in arrays put together, per node of the graph


def resolve_elements(graph: Graph) -> Graph:
    """The same program with reads of elements leading to where the element was computed.

    Operations on small arrays are written out if the program is long and repeats itself, so that `probad.ir.reroll`
    can find its loops.
    """
    graph = select_by_operands(graph)
    n_arrays = list(map(type, graph.values)).count(np.ndarray)
    if n_arrays == sum(type(graph.values[k]) is np.ndarray for k in graph.inputs):
        return graph  # nothing but scalars
    try:
        return Resolver(graph).run()
    except TooLongError:
        return graph


class TooLongError(Exception):
    """The program over scalars would be far longer than the one over arrays."""


def select_by_operands(graph: Graph) -> Graph:
    """The same program, known conditions of choices between scalars as constants, which may differ in a loop."""
    if "where" not in graph.ops:
        return graph
    nodes = [k for k, op in enumerate(graph.ops) if op == "where" and type(graph.values[k]) is not np.ndarray]
    if not nodes:
        return graph
    new = replace(graph, ops=list(graph.ops), args=list(graph.args), params=list(graph.params),
                  constants=list(graph.constants), _places=dict(graph._places))  # fmt: skip
    for k in nodes:
        condition = new.constant(np.bool_(graph.params[k]["condition"]))
        new.ops[k], new.args[k], new.params[k] = "select", (condition, *graph.args[k]), NO_PARAMS
    return new


def repeats(graph: Graph, nodes) -> bool:
    """Whether a program, of which some nodes are needed, works on small arrays over and over."""
    ops, args, values = graph.ops, graph.args, graph.values
    small = [type(values[k]) is np.ndarray and 0 < values[k].size <= SMALL and ops[k] != INPUT for k in nodes]
    if sum(small) < LONG:
        return False
    forms = [(ops[k], len(args[k]), np.shape(values[k])) for k in nodes]
    codes = {form: code for code, form in enumerate(dict.fromkeys(forms))}
    form = np.array([codes[f] for f in forms], np.uint64)
    tried = periods(form, np.zeros((0, len(form)), np.int64))
    return any(np.mean(form[p:] == form[:-p]) > 0.5 for p in tried)


class Scalars:
    """Appends operations on scalars to a graph; of constants they give constants."""

    def __init__(self, new: Graph):
        self.new = new
        self.impls: dict[str, Callable] = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}

    def constant(self, value: float) -> int:
        """The number of a constant."""
        return self.new.constant(np.float64(value))

    def impl(self, op: str) -> Callable:
        """The function that an operation stands for."""
        impl = self.impls.get(op)
        if impl is None:
            impl = self.impls[op] = implementation(op, NO_PARAMS)[0]
        return impl

    def scalar(self, op: str, *args: int) -> int:
        """Append one operation on numbers."""
        new = self.new
        values, constants = new.values, new.constants
        value = self.impl(op)(*[values[a] if a >= 0 else constants[-a - 1] for a in args])
        if min(args) < 0:
            if max(args) < 0:
                return args[0] if op == STOP else new.constant(value)
            if op == "multiply":
                one, x = args if args[0] < 0 else args[::-1]
                if constants[-one - 1] == 1 and type(values[x]) is type(value):
                    return x  # 1 * x = x
        new.ops.append(op)
        new.args.append(args)
        new.params.append(NO_PARAMS)
        new.values.append(value)
        return len(new.ops) - 1

    def __call__(self, op: str, *arrays) -> np.ndarray:
        """Append an operation for each element of arrays of numbers, which are broadcast."""
        new, shape = self.new, arrays[0].shape
        if len(arrays) > 1:
            shape = np.broadcast(*arrays).shape
            arrays = [a if a.shape == shape else a + np.zeros(shape, np.int64) for a in arrays]
        numbers = [a.ravel().tolist() for a in arrays]
        smallest = [min(row) for row in numbers]
        if len(numbers[0]) <= FEW or max(smallest) < 0 or (op == "multiply" and min(smallest) < 0):
            return np.array([self.scalar(op, *a) for a in zip(*numbers, strict=True)], np.int64).reshape(shape)
        values, constants = new.values, new.constants
        plain = [np.array([values[a] if a >= 0 else constants[-a - 1] for a in row]) for row in numbers]
        start, n = len(new.ops), len(numbers[0])
        new.ops.extend([op] * n)
        new.args.extend(zip(*numbers, strict=True))
        new.params.extend([NO_PARAMS] * n)
        new.values.extend(list(self.impl(op)(*plain)))
        return np.arange(start, start + n).reshape(shape)


class Resolver:
    """One pass over a graph, which writes a new one."""

    def __init__(self, graph: Graph):
        self.old = graph
        self.new = Graph(constants=list(graph.constants), _places=dict(graph._places))
        self.number: list[int | None] = [None] * len(graph)
        self.known: dict[int, np.ndarray] = {}  # codes of arrays that have not been put together
        self.lazy: dict[tuple, np.ndarray] = {}  # codes of arrays that are there
        self.starts: list[int] = []  # of the codes of each opaque array
        self.opaque: list[int] = []
        self.single: dict[int, int] = {}
        self.n_stacked = 0
        flat, n_args = flat_args(graph)
        live = live_nodes(graph, flat, n_args)
        self.nodes = np.flatnonzero(live).tolist()
        self.last_use = np.full(len(graph), -1)
        owner = np.repeat(np.arange(len(graph)), n_args)
        counts = (flat >= 0) & live[owner]
        self.last_use[flat[counts]] = owner[counts]  # in order, so that the last one stays
        self.last_use[[node for node in graph.roots() if node >= 0]] = len(graph)
        writes = [node for node in self.nodes if graph.ops[node] == "index_set"]
        self.written = {graph.args[node][0] for node in writes}
        self.follows_writes = len(writes) >= WRITES
        self.expands = repeats(graph, self.nodes)
        self.do = Scalars(self.new)

    def run(self) -> Graph:
        """Write everything."""
        graph, new, number = self.old, self.new, self.number
        with np.errstate(all="ignore"):
            for node in self.nodes:
                op, params, value = graph.ops[node], graph.params[node], graph.values[node]
                is_scalar = type(value) is not np.ndarray and op not in REARRANGING and not self.expands
                if is_scalar or not self.by_elements(node, op):
                    args = tuple([a if a < 0 else self.whole(a) for a in graph.args[node]])
                    number[node] = new.add(op, args, params, value)
        new.inputs = [self.whole(node) for node in graph.inputs]
        new.outputs = [self.whole(node) for node in graph.outputs]
        new.guards = [Guard(self.whole(g.node), g.expected, g.where) for g in graph.guards]
        return new

    def by_elements(self, node: int, op: str) -> bool:
        """Work a node out by its elements, if that is the way; says whether it was."""
        graph = self.old
        args, params, value = graph.args[node], graph.params[node], graph.values[node]
        is_array = type(value) is np.ndarray
        if op == INPUT or (not is_array and op not in REARRANGING and op not in RULES):
            return False
        codes = None
        if op == "index_set":
            codes = self.write(node) if self.follows_writes else None
        elif op in REARRANGING:
            is_small = self.expands and np.size(value) <= SMALL
            if not is_array or is_small or any(a in self.known for a in args):
                codes = self.rearranged(node)
        elif self.expands and self.is_small(node):
            codes = self.expanded(op, args, params)
        if codes is None:
            return False
        if is_array:
            self.known[node] = codes
        else:
            self.number[node] = self.resolve(int(codes))
        return True

    def is_small(self, node: int) -> bool:
        """Whether an operation is on small arrays alone."""
        return all(0 < self.old.value(a).size <= SMALL for a in (node, *self.old.args[node]))

    # --- codes --------------------------------------------------------------------------------------------------------
    def codes(self, number: int, dtype=None) -> np.ndarray | None:
        """The codes of a value of the old graph, which is not to be written to; None if its type is another one."""
        value = self.old.value(number)
        differs = dtype is not None and np.asarray(value).dtype != dtype
        if number >= 0 and differs:
            return None
        if number in self.known:
            return self.known[number]
        key = (number, dtype if differs else None)
        if key not in self.lazy:
            if number < 0 and differs:
                value = np.asarray(value).astype(dtype)[()]
            if type(value) is not np.ndarray:
                codes = np.array(self.new.constant(value) if number < 0 else self.number[number])
            elif number >= 0 and self.old.ops[number] in REARRANGING:
                codes = self.rearranged(number)
                codes = self.elements_of(self.number[number], value) if codes is None else codes
            else:
                codes = self.elements_of(self.new.constant(value) if number < 0 else self.number[number], value)
            self.lazy[key] = codes
        return self.lazy[key]

    def elements_of(self, number: int, value) -> np.ndarray:
        """Codes for the elements of an opaque array of the new graph."""
        start = LAZY if not self.starts else self.starts[-1] + self.new.value(self.opaque[-1]).size
        self.starts.append(start)
        self.opaque.append(number)
        return np.arange(start, start + value.size).reshape(value.shape)

    def rearranged(self, node: int) -> np.ndarray | None:
        """The codes of the result of an operation that moves elements about."""
        args = self.old.args[node]
        parts = [self.codes(a, np.asarray(self.old.values[node]).dtype) for a in args]
        if any(part is None for part in parts):
            return None
        impl, params = implementation(self.old.ops[node], self.old.params[node])
        return np.array(impl(*parts, **params))  # a copy, since arrays that are written to share nothing

    def write(self, node: int) -> np.ndarray | None:
        """The codes of an array after an assignment."""
        base, value = self.old.args[node]
        index, result = self.old.params[node]["index"], self.old.values[node]
        written = self.codes(value, result.dtype)
        if written is None or self.old.value(base)[index].size > SMALL:
            return None
        if base in self.known and self.last_use[base] == node:
            codes = self.known.pop(base)  # nothing reads it any more
        else:
            codes = self.codes(base).copy()
        codes[index] = written
        return codes

    def expanded(self, op: str, args: tuple[int, ...], params: dict) -> np.ndarray | None:
        """The codes of the result of an operation on small arrays."""
        parts = [self.codes(a) for a in args]
        if op == "where":
            types = {np.asarray(self.old.value(a)).dtype for a in args}
            return np.where(params["condition"], *parts) if len(types) == 1 else None
        numbers = [self.resolved(part) for part in parts]
        if op in RULES:
            return RULES[op](self.do, *numbers, **params)
        return self.do(op, *numbers) if is_elementwise(op) and not params else None

    def resolved(self, codes) -> np.ndarray:
        """The numbers of some elements."""
        flat = codes.ravel().tolist()
        if max(flat) < LAZY:
            return codes
        return np.array([self.resolve(c) for c in flat], np.int64).reshape(codes.shape)

    # --- from codes to numbers ----------------------------------------------------------------------------------------
    def resolve(self, code: int) -> int:
        """The number of an element."""
        if code < LAZY:
            return code
        if code not in self.single:
            k = bisect_right(self.starts, code) - 1
            number, place = self.opaque[k], code - self.starts[k]
            value = self.new.value(number)
            element = value.ravel()[place]
            if number < 0:
                self.single[code] = self.new.constant(element)
            else:
                index = place if value.ndim == 1 else tuple(int(i) for i in np.unravel_index(place, value.shape))
                self.single[code] = self.new.add("index", (number,), {"index": index}, element)
        return self.single[code]

    def whole(self, number: int) -> int:
        """The number of a value of the old graph, put together if need be."""
        if number < 0:
            return number
        if self.number[number] is None:
            self.number[number] = self.put_together(number)
        return self.number[number]

    def put_together(self, node: int) -> int:
        """An array from its elements, or from another one that holds them."""
        value, codes = self.old.values[node], self.known[node]
        op, args = self.old.ops[node], self.old.args[node]
        if op in REARRANGING and codes.size > SMALL and not any(a in self.known and a in self.written for a in args):
            numbers = tuple([self.whole(a) for a in args])
            return self.new.add(op, numbers, self.old.params[node], value)
        flat = codes.ravel()
        if not flat.size:
            return self.new.constant(value)
        if flat[0] >= LAZY and (np.diff(flat) == 1).all():
            k = bisect_right(self.starts, int(flat[0])) - 1
            source = self.new.value(self.opaque[k])
            first = int(flat[0]) - self.starts[k]
            if first + flat.size <= source.size:
                return self.window(self.opaque[k], first, value)
        self.n_stacked += flat.size
        if self.n_stacked > BUDGET * (len(self.old) + 1000):
            raise TooLongError
        numbers = tuple([self.resolve(code) for code in flat.tolist()])
        if max(numbers) < 0:
            return self.new.constant(value)
        line = self.new.add("stack", numbers, {"axis": 0}, value.ravel())
        return line if value.ndim == 1 else self.new.add("reshape", (line,), {"shape": value.shape}, value)

    def window(self, number: int, first: int, value) -> int:
        """Consecutive elements of an opaque array, as an array of the shape of `value`."""
        source = self.new.value(number)
        if source.shape == value.shape:
            return number
        if number < 0:
            return self.new.constant(value)
        if source.ndim > 1:
            number = self.new.add("reshape", (number,), {"shape": (source.size,)}, source.ravel())
        if value.size < source.size:
            part = {"index": slice(first, first + value.size)}
            number = self.new.add("index", (number,), part, value.ravel())
        if value.ndim != 1:
            number = self.new.add("reshape", (number,), {"shape": value.shape}, value)
        return number
