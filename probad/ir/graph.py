"""The graph of a captured function: flat lists of operations over numbered values, with loops as operations.

A value is named by an integer: 0, 1, 2, ... are nodes in the order in which they are computed, -1, -2, ... are
constants. Constants are kept apart so that a program that repeats itself shows it in the numbers of its nodes, whatever
data each repetition reads. Every node carries the concrete value it had when it was captured, which gives its shape
and type.

An operation is the name of a primitive of `probad.ad` (or of one of its piecewise constant functions), with the
primitive's own parameters, or one of

- ``input``: an argument of the function; params ``{"number": k}``,
- ``loop``: all iterations of a `Body`; params ``{"body": body, "n": n}``, its args the values that the body reads,
- ``loop_last``, ``loop_column``: of a loop, the value of a slot in the last iteration, a scalar, or in all, an array
  of shape (n,); args ``(loop,)``, params ``{"slot": s}``,
- ``pull``: the reverse rule of a primitive as one operation, where it has native code of its own; params
  ``{"op": name, "k": k, "params": params}``, args the cotangent of the output, the output, and the arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

NO_PARAMS: dict = {}
SMALL = 4096  # bytes
INPUT, LOOP, LAST, COLUMN, PULL = "input", "loop", "loop_last", "loop_column", "pull"

# Piecewise constant functions that work element by element.
STEPS = frozenset({"sign", "floor", "ceil", "trunc", "rint", "heaviside", "floor_divide", "signbit", "isfinite",
                   "isinf", "isnan", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
                   "logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and", "bitwise_or",
                   "bitwise_xor", "invert", "astype", "fix", "gammasgn", "isneginf", "isposinf"})  # fmt: skip


@dataclass(frozen=True)
class Guard:
    """What must hold for a graph to say the same as the function: a node has the value that was seen.

    Attributes
    ----------
    node : int
        A condition, a whole number, or an array of them.
    expected : bool, int or array
    where : str
        File and line of the question.
    """

    node: int
    expected: object
    where: str


@dataclass
class Graph:
    """A program without branches.

    Attributes
    ----------
    ops : list of str
    args : list of tuple of int
        For each node the values it reads: nodes of smaller number, or constants.
    params : list of dict
    values : list
        What each node was at the point of capture: NumPy scalars and arrays.
    constants : list
        Values -1, -2, ... of the program are ``constants[0]``, ``constants[1]``, ...
    inputs : list of int
        The nodes that are arguments of the function, in their order.
    outputs : list of int
        Nodes or constants.
    guards : list of Guard
    """

    ops: list[str] = field(default_factory=list)
    args: list[tuple[int, ...]] = field(default_factory=list)
    params: list[dict] = field(default_factory=list)
    values: list = field(default_factory=list)
    constants: list = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    _places: dict = field(default_factory=dict, repr=False)  # of constants, by value or by identity

    def add(self, op: str, args: tuple[int, ...], params: dict, value) -> int:
        """Append a node and return its number."""
        self.ops.append(op)
        self.args.append(args)
        self.params.append(params)
        self.values.append(value)
        return len(self.ops) - 1

    def add_input(self, value) -> int:
        """Append an argument of the function."""
        node = self.add(INPUT, (), {"number": len(self.inputs)}, value)
        self.inputs.append(node)
        return node

    def constant(self, value) -> int:
        """The number of a constant: scalars and small arrays are told apart by their content, others by identity.

        A large array must not be written to as long as the graph lives.
        """
        if type(value) in (float, np.float64) and value:  # quickly; zeros have a sign, which equality does not see
            place = self._places.get(value)
            if place is None:
                self.constants.append(np.float64(value))
                place = self._places[value] = -len(self.constants)
            return place
        given = None
        if type(value) is int:  # looked up as it is; NumPy says what it is
            given = (int, value)
            if (place := self._places.get(given)) is not None:
                return place
        value = np.asarray(value)
        value = value if value.shape else value[()]
        if value.nbytes > SMALL:
            key = ("large", id(value))
        else:
            key = (value.dtype.str, value.shape, value.tobytes())
            value = value.copy()
        place = self._places.get(key)
        if place is None:
            self.constants.append(value)  # which keeps an array alive, so that its identity stays its own
            place = self._places[key] = -len(self.constants)
        if given is not None:
            self._places[given] = place
        return place

    def value(self, number: int):
        """The concrete value of a node or a constant."""
        return self.values[number] if number >= 0 else self.constants[-number - 1]

    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of a node or a constant."""
        return np.shape(self.value(number))

    def uses(self) -> list[int]:
        """How often each node is read by nodes, outputs and guards."""
        n_uses = [0] * len(self.ops)
        for args in self.args:
            for a in args:
                if a >= 0:
                    n_uses[a] += 1
        for node in self.roots():
            if node >= 0:
                n_uses[node] += 1
        return n_uses

    def roots(self) -> list[int]:
        """Everything that must be computed: outputs and the subjects of guards."""
        return [*self.outputs, *(guard.node for guard in self.guards)]

    def __len__(self) -> int:
        return len(self.ops)


# --- loops ------------------------------------------------------------------------------------------------------------
# Where an operand of a body comes from: a slot of the same iteration; a value carried over from the previous one; an
# argument of the loop, the same in all iterations; an argument of the loop that is an array, read at the iteration.
SLOT, CARRIED, FIXED, ELEMENT = "slot", "carried", "fixed", "element"
Operand = tuple[str, int]


@dataclass(frozen=True)
class Carry:
    """A value that a loop carries from one iteration to the next.

    Attributes
    ----------
    start : int
        The argument of the loop that gives its value in the first iteration.
    next : Operand
        What it becomes: a slot, or another carried value (whose value in this iteration is meant), or an element.
    """

    start: int
    next: Operand


@dataclass(frozen=True)
class Body:
    """One iteration of a loop: scalar operations, in order.

    The iterations run over 0, 1, ..., n - 1, or backwards if `reverse`; an ``element`` operand of argument `a` is
    ``a[i]`` in iteration `i` either way, and so is column `i` of an output. The last value of a slot is that of the
    iteration that runs last.

    Attributes
    ----------
    ops : tuple of str
        Elementwise primitives, piecewise constant functions and ``select``, all of scalars.
    args : tuple of tuple of Operand
    carries : tuple of Carry
    reverse : bool
    """

    ops: tuple[str, ...]
    args: tuple[tuple[Operand, ...], ...]
    carries: tuple[Carry, ...] = ()
    reverse: bool = False


def prune(graph: Graph) -> Graph:
    """The same graph without the nodes that nothing reads; inputs stay."""
    needed = bytearray(len(graph))
    for node in [*graph.roots(), *graph.inputs]:
        if node >= 0:
            needed[node] = 1
    for node in range(len(graph) - 1, -1, -1):
        if needed[node]:
            for a in graph.args[node]:
                if a >= 0:
                    needed[a] = 1
    return select_nodes(graph, [node for node in range(len(graph)) if needed[node]])


def select_nodes(graph: Graph, kept: Iterable[int]) -> Graph:
    """The graph of some of the nodes, which must hold all that they read; constants keep their numbers."""
    new = Graph(constants=graph.constants, _places=graph._places)
    number: dict[int, int] = {}
    for node in kept:
        args = tuple([a if a < 0 else number[a] for a in graph.args[node]])
        number[node] = new.add(graph.ops[node], args, graph.params[node], graph.values[node])
    new.inputs = [number[node] for node in graph.inputs]
    new.outputs = [number.get(node, node) for node in graph.outputs]
    new.guards = [Guard(number.get(g.node, g.node), g.expected, g.where) for g in graph.guards]
    return new
