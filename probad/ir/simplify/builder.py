"""A graph under construction, in which constants are folded, nothing is computed twice, and rules are applied."""

from __future__ import annotations

import numpy as np

from probad.ad.kinds import PARTIALS
from probad.ir.capture import CALL, implementation
from probad.ir.graph import COLUMN, INPUT, LAST, LOOP, NO_PARAMS, PULL, STEPS, Graph
from probad.ir.simplify.rules import (
    ARRAY,
    COMMUTATIVE,
    CONDITION,
    LITERALS,
    RULES,
    SCALAR,
    UNIFORM,
    candidates,
    literal_look,
)

KEPT = frozenset({INPUT, LOOP, LAST, COLUMN, CALL, PULL})  # never folded
ELEMENTWISE = STEPS | PARTIALS.keys() | {"select"}
FLOAT64 = np.dtype(np.float64)


class Builder:
    """Makes nodes, or finds what is as good."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._looks: list[str] = []  # of constants
        self._known: dict[tuple, int] = {}
        self.kept: list = []  # so that identities last

    # --- looking ------------------------------------------------------------------------------------------------------
    def look(self, number: int) -> str:
        """What a value looks like from outside: a node like its operation, a constant like its kind or its value."""
        if number >= 0:
            return self.graph.ops[number]
        looks, constants = self._looks, self.graph.constants
        while len(looks) < len(constants):
            looks.append(_look_of_constant(constants[len(looks)]))
        return looks[-number - 1]

    def op(self, number: int) -> str:
        """The operation of a node; of a constant, nothing."""
        return self.graph.ops[number] if number >= 0 else ""

    def args(self, number: int) -> tuple[int, ...]:
        """The operands of a node."""
        return self.graph.args[number] if number >= 0 else ()

    def params(self, number: int) -> dict:
        """The parameters of a node."""
        return self.graph.params[number]

    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of a value."""
        return (self.graph.values[number] if number >= 0 else self.graph.constants[-number - 1]).shape

    def size(self, number: int) -> int:
        """The number of elements of a value."""
        return (self.graph.values[number] if number >= 0 else self.graph.constants[-number - 1]).size

    def scalar(self, number: int) -> float | None:
        """The value of a constant scalar."""
        return float(self.graph.constants[-number - 1]) if number < 0 and self._is_scalar(number) else None

    def _is_scalar(self, number: int) -> bool:
        look = self.look(number)
        return look.startswith(SCALAR) and look not in (ARRAY, CONDITION)

    def data(self, number: int) -> np.ndarray | None:
        """The value of a constant array that is not empty and holds finite numbers only."""
        if number >= 0 or not self.shape(number):
            return None
        value = self.graph.constants[-number - 1]
        return value if value.size and value.dtype.kind in "fiu" and np.isfinite(value).all() else None

    # --- making -------------------------------------------------------------------------------------------------------
    def constant(self, value) -> int:
        """A constant."""
        return self.graph.constant(value)

    def __call__(self, op: str, *args: int, **params) -> int:
        """Make a node from a rule."""
        return self.make(op, args, params or NO_PARAMS, None)

    def make(self, op: str, args: tuple[int, ...], params: dict, value) -> int:
        """A node, or what is as good; `value` is what it was at capture, if that is known."""
        if op in KEPT:
            return self._node(op, args, params, value, self._key(op, args, params))
        if op in ELEMENTWISE and len(args) > 1:
            args = self._narrowed(args)
        key = self._key(op, args, params)
        found = self._known.get(key)
        if found is not None:
            return found
        if value is None:
            impl, plain = implementation(op, params)
            value = np.asarray(impl(*map(self.graph.value, args), **plain))[()]
        if args and max(args) < 0:
            found = self._known[key] = self.constant(value)
            return found
        if op in RULES:
            found = self._by_rule(op, args, params, value)
            if found is not None:
                self._known[key] = found
                return found
        return self._node(op, args, params, value, key)

    def _key(self, op: str, args: tuple[int, ...], params: dict) -> tuple:
        if op in COMMUTATIVE and args[0] > args[1]:
            args = args[::-1]
        return (op, args, frozen(params, self.kept)) if params else (op, args)

    def _node(self, op: str, args: tuple[int, ...], params: dict, value, key: tuple) -> int:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.graph.add(op, args, params, value)
        return found

    def _by_rule(self, op: str, args: tuple[int, ...], params: dict, value) -> int | None:
        """What the first rule that applies makes of a node.

        The result must have the shape and type of the node: what is true of numbers need not be of conditions.
        """
        looks = [self.look(a) for a in args[:2]]
        for rule in candidates(op, looks[0] if looks else "", looks[1] if len(looks) > 1 else ""):
            found = rule.apply_fn(self, args, params)
            if found is not None:
                other = self.graph.value(found)
                if other.dtype == value.dtype and other.shape == value.shape:
                    return found
        return None

    def _narrowed(self, args: tuple[int, ...]) -> tuple[int, ...]:
        """Operands of an elementwise operation, without repetition that broadcasting does by itself."""
        looks = [self.look(a) for a in args]
        if "broadcast_to" not in looks and UNIFORM not in looks:
            return args
        new = list(args)
        shape = np.broadcast_shapes(*map(self.shape, args))
        for k, (a, look) in enumerate(zip(args, looks, strict=True)):
            others = [self.shape(b) for j, b in enumerate(new) if j != k]
            if look == UNIFORM:
                if np.broadcast_shapes(*others) == shape:
                    new[k] = self.constant(self.graph.value(a).flat[0])
            elif look == "broadcast_to":
                (inner,) = self.args(a)
                if np.broadcast_shapes(self.shape(inner), *others) == shape:
                    new[k] = inner
        return tuple(new)


def _look_of_constant(value) -> str:
    kind = value.dtype.kind
    if value.shape:
        if not value.size:
            return ARRAY
        first = value.flat[0]
        if value.flat[-1] != first or (value != first).any():
            return ARRAY
        is_signed = kind == "f" and first == 0 and np.signbit(value).any() and not np.signbit(value).all()
        return ARRAY if is_signed else UNIFORM
    if kind not in "fiu":
        return CONDITION
    return literal_look(float(value)) if float(value) in LITERALS else SCALAR


def frozen(x, kept: list):
    """A parameter as something to be compared; large arrays are the same only if they are one object."""
    if isinstance(x, dict):
        return tuple([(k, frozen(v, kept)) for k, v in x.items()])
    if isinstance(x, list | tuple):
        return (type(x).__name__, *[frozen(v, kept) for v in x])
    if isinstance(x, slice):
        return ("slice", x.start, x.stop, x.step)
    if isinstance(x, np.ndarray):
        if x.nbytes <= 1024:
            return ("array", x.dtype.str, x.shape, x.tobytes())
        kept.append(x)
        return ("array", id(x))
    try:
        hash(x)
    except TypeError:
        kept.append(x)
        return ("object", id(x))
    return (type(x).__name__, x)
