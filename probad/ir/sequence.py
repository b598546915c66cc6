"""A graph as flat arrays, to be searched at the speed of NumPy: what can be part of a loop, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from probad.ad.kinds import PARTIALS
from probad.ir.capture import STOP
from probad.ir.graph import Graph

# Piecewise constant functions that work element by element and have no parameters.
STEPS = frozenset({"sign", "floor", "ceil", "trunc", "rint", "heaviside", "floor_divide", "signbit", "isfinite",
                   "isinf", "isnan", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
                   "logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and", "bitwise_or",
                   "bitwise_xor", "invert", "fix", "gammasgn", "isneginf", "isposinf"})  # fmt: skip
ELEMENTWISE = STEPS | {"select", "scale", STOP}
TYPES = {np.float64: 1, np.bool_: 2, np.int64: 3}  # of scalars; 0 is anything else
ELEMENT_TYPES = {np.dtype(scalar).char: code for scalar, code in TYPES.items()}

# The kind of an operand is 0 where there is none; for a node its type; for a constant its type and CONSTANT; for an
# element of an array that is read once more for every use, ARRAY and the number of the array.
CONSTANT, ARRAY = 4, 8
FEW = 64  # nodes: of fewer one at a time is found out about faster than of all at once


def is_elementwise(op: str) -> bool:
    """Whether an operation without parameters treats each element on its own."""
    return op in PARTIALS or op in ELEMENTWISE


@dataclass
class Sequence:
    """The live nodes of a graph in order, without those that only read one element of an array.

    Attributes
    ----------
    node : (s,) int array
        For each position the number of the node.
    op : (s,) int array
        A code for the operation; -1 where the node cannot be part of a loop.
    kind, ref : (k, s) int arrays
        For each operand of such a node its kind and what it refers to: a position, a constant's number, or a position
        in the flattened array.
    position : (n,) int array
        For each node of the graph its position.
    array, place : (n,) int arrays
        For nodes that read one element, which array and where; -1 for the others.
    element_type : dict
        The type of the elements of each array that is read so.
    """

    node: np.ndarray
    op: np.ndarray
    kind: np.ndarray
    ref: np.ndarray
    position: np.ndarray
    array: np.ndarray
    place: np.ndarray
    element_type: dict[int, int]

    def type(self, position: int) -> int:
        """The type of the result of a node that can be part of a loop."""
        return int(self.op[position]) % 4


def flatten(graph: Graph) -> Sequence:
    """Lay out a graph."""
    n = len(graph)
    flat, n_args = flat_args(graph)
    start = np.cumsum(n_args) - n_args
    codes = {op: code for code, op in enumerate(dict.fromkeys(graph.ops))}
    op = np.fromiter(map(codes.__getitem__, graph.ops), np.int64, n)
    kinds = np.fromiter(map(TYPES.get, map(type, graph.values), repeat(0)), np.int64, n)
    constants = np.fromiter(map(TYPES.get, map(type, graph.constants), repeat(0)), np.int64, len(graph.constants))
    types = np.concatenate([kinds, constants[::-1]])  # so that it can be indexed by numbers of constants, too
    live = live_nodes(graph, flat, n_args)
    array, place = _reads(graph, np.flatnonzero(live & (kinds > 0) & (op == codes.get("index", -1))))
    kept = live & (array < 0)
    node, position = np.flatnonzero(kept), np.cumsum(kept) - 1
    owner = np.repeat(np.arange(n), n_args)
    simple = np.fromiter(map(is_elementwise, codes), bool, len(codes))[op] if codes else np.zeros(0, bool)
    rolls = kept & simple & (kinds > 0) & ~np.fromiter(map(bool, graph.params), bool, n)
    rolls[owner[types[flat] == 0]] = False
    width = int(n_args[rolls].max(initial=0))
    kind, ref = np.zeros((width, len(node)), np.int64), np.zeros((width, len(node)), np.int64)
    for k in range(width):
        have = np.flatnonzero(rolls & (n_args > k))
        number = flat[start[have] + k]
        at = position[have]
        is_constant, of_node = number < 0, np.maximum(number, 0)
        is_read = ~is_constant & (array[of_node] >= 0)
        kind[k, at] = np.where(is_constant, CONSTANT + types[number],
                               np.where(is_read, ARRAY + array[of_node], types[number]))  # fmt: skip
        ref[k, at] = np.where(is_constant, number, np.where(is_read, place[of_node], position[of_node]))
    # the type of the result tells apart what would otherwise look the same
    op = np.where(rolls, 4 * op + kinds, -1)[node]
    element_type = {a: ELEMENT_TYPES.get(graph.value(a).dtype.char, 0) for a in distinct(array[array >= 0]).tolist()}
    return Sequence(node, op, kind, ref, position, array, place, element_type)


def flat_args(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """The arguments of all nodes in one array, and how many each has."""
    n_args = np.fromiter(map(len, graph.args), np.int64, len(graph))
    return np.fromiter(chain.from_iterable(graph.args), np.int64, int(n_args.sum())), n_args


def distinct(numbers) -> np.ndarray:
    """The different ones among some integers in order; `np.unique` imports `numpy.ma`, which takes 8 ms."""
    numbers = np.sort(numbers)
    return numbers[np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))]


def live_nodes(graph: Graph, flat, n_args) -> np.ndarray:
    """Which nodes something needs: the others are taken away in rounds, those that nothing reads first.

    A chain of which nothing reads the end goes one by one, for which NumPy is slow.
    """
    start = np.cumsum(n_args) - n_args
    uses = np.bincount(flat[flat >= 0], minlength=len(graph))
    roots = [a for a in (*graph.roots(), *graph.inputs) if a >= 0]
    uses[roots] += 1
    live = np.ones(len(graph), bool)
    dead = np.flatnonzero(uses == 0)
    while dead.size:
        if dead.size <= FEW:
            _bury(graph, dead.tolist(), live, uses)
            break
        live[dead] = False
        counts = n_args[dead]
        read = np.repeat(start[dead] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        args = flat[read]
        args = args[args >= 0]
        np.subtract.at(uses, args, 1)
        dead = distinct(args[uses[args] == 0])
    return live


def _bury(graph: Graph, dead: list[int], live, uses) -> None:
    """Mark some nodes that nothing reads, and whatever only they read, one after the other."""
    left: dict[int, int] = {}
    while dead:
        node = dead.pop()
        live[node] = False
        for a in graph.args[node]:
            if a >= 0:
                left[a] = left.get(a, int(uses[a])) - 1
                if not left[a]:
                    dead.append(a)


def _reads(graph: Graph, candidates) -> tuple[np.ndarray, np.ndarray]:
    """Which of the `index` nodes read one element of an array, by its place in the flattened array."""
    array, place = np.full(len(graph), -1), np.full(len(graph), -1)
    shapes: dict[int, tuple] = {}
    bases, places, found = [], [], []
    for node in candidates.tolist():
        (a,), index = graph.args[node], graph.params[node]["index"]
        if a < 0:
            continue
        if a not in shapes:
            shapes[a] = graph.shape(a)
        where = flat_place(index, shapes[a])
        if where is not None:
            found.append(node)
            bases.append(a)
            places.append(where)
    array[found], place[found] = bases, places
    return array, place


def flat_place(index, shape: tuple[int, ...]) -> int | None:
    """The place in a flattened array of the one element that an index picks; None if it is of another form."""
    if type(index) is int and len(shape) == 1:
        return index if index >= 0 else index + shape[0]
    parts = index if type(index) is tuple else (index,)
    if len(parts) != len(shape) or not all(isinstance(i, int | np.integer) and type(i) is not bool for i in parts):
        return None
    where = 0
    for i, n in zip(parts, shape, strict=True):
        where = where * n + int(i) % n
    return where
