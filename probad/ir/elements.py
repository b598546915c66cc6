"""Follow single elements through arrays: programs over arrays that are filled in loops become programs over scalars.

Every array is either opaque, or known by its elements: then it is an int array of *codes*. The code of a scalar is its
number in the new graph; the codes from `LAZY` on stand for the elements of opaque arrays, which become `index` nodes
only when they are needed. Reading, writing and rearranging work on the codes, and an array is put together again where
something needs it as a whole.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from probad.ir.capture import STOP, implementation
from probad.ir.graph import INPUT, NO_PARAMS, Graph, Guard, prune
from probad.ir.regions import periods
from probad.ir.sequence import is_elementwise
from probad.ir.small import RULES, SMALL, elementwise

LAZY = 1 << 40
WRITES = 8  # fewer assignments than this are left as they are
LONG = 96  # operations on small arrays: a program of fewer is left as it is
REARRANGING = frozenset({"index", "reshape", "transpose", "flip", "broadcast_to", "copy", "stack", "concatenate"})
BUDGET = 8  # scalars in arrays put together, per node of the graph


def resolve_elements(graph: Graph) -> Graph:
    """The same program with reads of elements leading to where the element was computed.

    Operations on small arrays are written out if the program is long and repeats itself, so that `probad.ir.reroll`
    can find its loops.
    """
    arrays = [k for k, value in enumerate(graph.values) if type(value) is np.ndarray]
    if len(arrays) == sum(type(graph.values[k]) is np.ndarray for k in graph.inputs):
        return graph  # nothing but scalars
    graph = prune(graph)
    try:
        return Resolver(graph).run()
    except TooLongError:
        return graph


class TooLongError(Exception):
    """The program over scalars would be far longer than the one over arrays."""


def repeats(graph: Graph) -> bool:
    """Whether a program works on small arrays over and over."""
    small = [
        type(value) is np.ndarray and 0 < value.size <= SMALL and op != INPUT
        for op, value in zip(graph.ops, graph.values, strict=True)
    ]
    if sum(small) < LONG:
        return False
    forms = [(op, len(args), np.shape(v)) for op, args, v in zip(graph.ops, graph.args, graph.values, strict=True)]
    codes = {form: code for code, form in enumerate(dict.fromkeys(forms))}
    form = np.array([codes[f] for f in forms], np.uint64)
    tried = periods(form, np.zeros((0, len(form)), np.int64))
    return any(np.mean(form[p:] == form[:-p]) > 0.5 for p in tried)


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
        self.last_use = [-1] * len(graph)
        for node, args in enumerate(graph.args):
            for a in args:
                if a >= 0:
                    self.last_use[a] = node
        for node in graph.roots():
            if node >= 0:
                self.last_use[node] = len(graph)
        self.written = {args[0] for op, args in zip(graph.ops, graph.args, strict=True) if op == "index_set"}
        self.follows_writes = graph.ops.count("index_set") >= WRITES
        self.expands = repeats(graph)

    def run(self) -> Graph:
        """Write everything."""
        graph, new = self.old, self.new
        with np.errstate(all="ignore"):
            for node, op in enumerate(graph.ops):
                if not self.by_elements(node, op):
                    args = tuple([self.whole(a) for a in graph.args[node]])
                    self.number[node] = new.add(op, args, graph.params[node], graph.values[node])
        new.inputs = [self.whole(node) for node in graph.inputs]
        new.outputs = [self.whole(node) for node in graph.outputs]
        new.guards = [Guard(self.whole(g.node), g.expected, g.where) for g in graph.guards]
        return new

    def by_elements(self, node: int, op: str) -> bool:
        """Work a node out by its elements, if that is the way; says whether it was."""
        graph = self.old
        args, params, value = graph.args[node], graph.params[node], graph.values[node]
        is_array = type(value) is np.ndarray
        if not is_array and op not in REARRANGING and not (self.expands and op in RULES):
            return False
        if op == INPUT:
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
        return all(0 < np.size(self.old.value(a)) <= SMALL for a in (node, *self.old.args[node]))

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
        numbers = [np.array([self.resolve(c) for c in p.ravel().tolist()], np.int64).reshape(p.shape) for p in parts]
        if op in RULES:
            return RULES[op](self.do, *numbers, **params)
        if is_elementwise(op) and not params:
            return elementwise(self.do, op, numbers)
        return None

    def do(self, op: str | None, *args) -> int:
        """Append an operation on scalars, or a constant."""
        new = self.new
        if op is None:
            return new.constant(np.float64(args[0]))
        if op == STOP and args[0] < 0:
            return args[0]
        value = implementation(op, NO_PARAMS)[0](*map(new.value, args))
        if op == "multiply":  # 1 * x = x
            for one, x in (args, args[::-1]):
                if one < 0 and new.value(one) == 1 and new.value(x).dtype == value.dtype:
                    return x
        if max(args) < 0:
            return new.constant(value)
        return new.add(op, args, NO_PARAMS, value)

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
