"""Rewrite graphs by algebra: a table of rules, each with its equation, applied wherever a node is made.

A graph is built anew from its inputs on, through a `Builder` that folds what is constant, finds what has been computed
already, and asks the rules of an operation whether they know something better. A rule must give the same value, up to
rounding, wherever the original is finite, and the same derivative; what is more stable is finite in more places.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from probad.ad.kinds import PARTIALS
from probad.ir.capture import CALL, implementation
from probad.ir.graph import COLUMN, INPUT, LAST, LOOP, NO_PARAMS, PULL, STEPS, Graph, Guard, prune

WHOLE = {"axis": None, "keepdims": False}
KEPT = frozenset({INPUT, LOOP, LAST, COLUMN, CALL, PULL})  # never folded
Rule = Callable[..., "int | None"]
RULES: dict[str, list[Rule]] = {}


def simplify(graph: Graph) -> Graph:
    """The same program, simplified.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Graph
        Without nodes that nothing needs.
    """
    builder = Builder()
    number: dict[int, int] = {}

    def renumber(a: int) -> int:
        return number[a] if a >= 0 else builder.constant(graph.value(a))

    with np.errstate(all="ignore"):
        for node, (op, args, params) in enumerate(zip(graph.ops, graph.args, graph.params, strict=True)):
            args = tuple([renumber(a) for a in args])
            if op == INPUT:
                number[node] = builder.graph.add_input(graph.values[node])
            else:
                number[node] = builder.make(op, args, params, graph.values[node])
    new = builder.graph
    new.outputs = [renumber(n) for n in graph.outputs]
    new.guards = [Guard(renumber(g.node), g.expected, g.where) for g in graph.guards]
    return prune(new)


class Builder:
    """A graph under construction, in which no value is computed twice."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._known: dict[tuple, int] = {}
        self._kept: list = []  # so that identities last

    # --- looking ------------------------------------------------------------------------------------------------------
    def op(self, number: int) -> str:
        """The operation of a node; of a constant, nothing."""
        return self.graph.ops[number] if number >= 0 else ""

    def args(self, number: int) -> tuple[int, ...]:
        """The operands of a node."""
        return self.graph.args[number] if number >= 0 else ()

    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of a value."""
        return self.graph.shape(number)

    def size(self, number: int) -> int:
        """The number of elements of a value."""
        return math.prod(self.shape(number))

    def scalar(self, number: int) -> float | None:
        """The value of a constant scalar."""
        if number >= 0:
            return None
        value = self.graph.value(number)
        return float(value) if np.shape(value) == () and np.asarray(value).dtype.kind in "fiu" else None

    def match(self, number: int, op: str) -> tuple[int, ...] | None:
        """The operands of a node, if it is of this kind."""
        return self.graph.args[number] if number >= 0 and self.graph.ops[number] == op else None

    # --- making -------------------------------------------------------------------------------------------------------
    def constant(self, value) -> int:
        """A constant."""
        return self.graph.constant(value)

    def __call__(self, op: str, *args: int, **params) -> int:
        """Make a node from a rule."""
        return self.make(op, args, params or NO_PARAMS, None)

    def make(self, op: str, args: tuple[int, ...], params: dict, value) -> int:
        """A node, or what is as good."""
        if op not in KEPT:
            if all(a < 0 for a in args) and args:
                impl, plain = implementation(op, params)
                return self.constant(impl(*map(self.graph.value, args), **plain))
            if op in PARTIALS or op in STEPS or op == "select":
                args = self.narrowed(args)
            for rule in RULES.get(op, ()):
                found = rule(self, *args, **params)
                if found is not None:
                    return found
        key = (op, args, _frozen(params, self._kept) if params else None)
        found = self._known.get(key)
        if found is None:
            if value is None:
                impl, plain = implementation(op, params)
                value = impl(*map(self.graph.value, args), **plain)
            found = self._known[key] = self.graph.add(op, args, params, value)
        return found

    def narrowed(self, args: tuple[int, ...]) -> tuple[int, ...]:
        """Operands of an elementwise operation, without repetition that broadcasting does by itself."""
        shape = np.broadcast_shapes(*map(self.shape, args))
        if shape == ():
            return args
        new = list(args)
        for k, a in enumerate(args):
            others = [self.shape(b) for j, b in enumerate(new) if j != k]
            if a < 0 and self.shape(a):
                value = self.graph.value(a)
                first = value.flat[0] if value.size else None
                if first is not None and shape in others and (value == first).all():
                    new[k] = self.constant(first)
            elif (
                self.op(a) == "broadcast_to"
                and others
                and np.broadcast_shapes(self.shape(self.args(a)[0]), *others) == shape
            ):
                new[k] = self.args(a)[0]
        return tuple(new)


def _frozen(x, kept: list):
    """A parameter as something to be compared; arrays are the same only if they are one object."""
    if isinstance(x, dict):
        return tuple((k, _frozen(v, kept)) for k, v in x.items())
    if isinstance(x, list | tuple):
        return (type(x).__name__, *(_frozen(v, kept) for v in x))
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


def _same(b: Builder, a: int, *others: int) -> bool:
    """Whether `a` has the shape of the result."""
    return b.shape(a) == np.broadcast_shapes(b.shape(a), *map(b.shape, others))


def _table(op: str, rows: list[tuple[str, Callable]]) -> None:
    """Rules in one line each: an equation, and a function that gives the right side or None."""
    for equation, rule in rows:
        rule.equation = equation
        RULES.setdefault(op, []).append(rule)


def _when(condition, make):
    return make() if condition else None


# --- sums and differences ---------------------------------------------------------------------------------------------
_table("add", [
    ("x + 0 = x", lambda b, x, y: _when(b.scalar(y) == 0, lambda: x)),
    ("x + x = 2 x", lambda b, x, y: _when(x == y, lambda: b("multiply", b.constant(2.0), x))),
    ("0 + x = x", lambda b, x, y: _when(b.scalar(x) == 0, lambda: y)),
    ("x + (-y) = x - y", lambda b, x, y: _when(b.match(y, "negative"), lambda: b("subtract", x, b.args(y)[0]))),
    ("(-x) + y = y - x", lambda b, x, y: _when(b.match(x, "negative"), lambda: b("subtract", y, b.args(x)[0]))),
])  # fmt: skip
_table("subtract", [
    ("x - 0 = x", lambda b, x, y: _when(b.scalar(y) == 0, lambda: x)),
    ("0 - x = -x", lambda b, x, y: _when(b.scalar(x) == 0 and _same(b, y, x), lambda: b("negative", y))),
    ("x - (-y) = x + y", lambda b, x, y: _when(b.match(y, "negative"), lambda: b("add", x, b.args(y)[0]))),
    ("exp(x) - 1 = expm1(x)",
     lambda b, x, y: _when(b.match(x, "exp") and b.scalar(y) == 1, lambda: b("expm1", b.args(x)[0]))),
])  # fmt: skip
_table("negative", [
    ("-(-x) = x", lambda b, x: _when(b.match(x, "negative"), lambda: b.args(x)[0])),
    ("-(x - y) = y - x", lambda b, x: _when(b.match(x, "subtract"), lambda: b("subtract", *b.args(x)[::-1]))),
    ("-(c x) = (-c) x", lambda b, x: _scaled_by(b, -1.0, x)),
        ("-(s x) = (-s) x for a scalar s and an array x", lambda b, x: _factored(b, x, lambda s: b("negative", s))),
])  # fmt: skip


def _scaled_by(b: Builder, c: float, x: int) -> int | None:
    """C times (d y), with constants c and d, as (c d) y."""
    args = b.match(x, "multiply")
    for d, y in (args, args[::-1]) if args else ():
        if b.scalar(d) is not None and math.isfinite(c * b.scalar(d)) and c * b.scalar(d) != 0 and _same(b, y, d):
            return b("multiply", b.constant(c * b.scalar(d)), y)
    return None


def _factored(b: Builder, x: int, of_scalar: Callable[[int], int]) -> int | None:
    """What is done to a scalar times an array, done to the scalar."""
    args = b.match(x, "multiply")
    for s, y in (args, args[::-1]) if args else ():
        if b.shape(s) == () and b.shape(y):
            return b("multiply", of_scalar(s), y)
    return None


# --- products ---------------------------------------------------------------------------------------------------------
_table("multiply", [
    ("1 x = x", lambda b, x, y: _when(b.scalar(x) == 1, lambda: y)),
    ("x 1 = x", lambda b, x, y: _when(b.scalar(y) == 1, lambda: x)),
    ("-1 x = -x", lambda b, x, y: _when(b.scalar(x) == -1, lambda: b("negative", y))),
    ("x (-1) = -x", lambda b, x, y: _when(b.scalar(y) == -1, lambda: b("negative", x))),
    ("(-x) (-y) = x y",
     lambda b, x, y: _when(b.match(x, "negative") and b.match(y, "negative"),
                           lambda: b("multiply", b.args(x)[0], b.args(y)[0]))),
    ("x x = square(x)", lambda b, x, y: _when(x == y, lambda: b("square", x))),
    ("c (d x) = (c d) x", lambda b, x, y: _when(b.scalar(x) is not None, lambda: _scaled_by(b, b.scalar(x), y))),
    ("(d x) c = (c d) x", lambda b, x, y: _when(b.scalar(y) is not None, lambda: _scaled_by(b, b.scalar(y), x))),
    ("c (-x) = (-c) x",
     lambda b, x, y: _when(b.scalar(x) is not None and b.match(y, "negative"),
                           lambda: b("multiply", b.constant(-b.scalar(x)), b.args(y)[0]))),
    ("(-x) c = (-c) x",
     lambda b, x, y: _when(b.scalar(y) is not None and b.match(x, "negative"),
                           lambda: b("multiply", b.constant(-b.scalar(y)), b.args(x)[0]))),
        (
            "s (t x) = (s t) x for scalars s and t and an array x",
            lambda b, x, y: _when(b.shape(x) == (), lambda: _factored(b, y, lambda s: b("multiply", x, s))),
        ),
        (
            "(t x) s = (s t) x for scalars s and t and an array x",
            lambda b, x, y: _when(b.shape(y) == (), lambda: _factored(b, x, lambda s: b("multiply", y, s))),
        ),
    ("x c = c x", lambda b, x, y: _when(b.scalar(y) is not None, lambda: b("multiply", y, x))),
])  # fmt: skip


def _is_power_of_two(c: float | None) -> bool:
    return (
        c is not None and c != 0 and math.isfinite(c) and abs(math.frexp(c)[0]) == 0.5 and abs(math.frexp(c)[1]) < 1000
    )


_table("divide", [
        (
            "(s x) / t = (s / t) x for scalars s and t and an array x",
            lambda b, x, y: _when(b.shape(y) == (), lambda: _factored(b, x, lambda s: b("divide", s, y))),
        ),
    ("x / 1 = x", lambda b, x, y: _when(b.scalar(y) == 1, lambda: x)),
    ("x / 2^k = 2^-k x",
     lambda b, x, y: _when(_is_power_of_two(b.scalar(y)), lambda: b("multiply", b.constant(1 / b.scalar(y)), x))),
    ("(-x) / y = -(x / y)",
     lambda b, x, y: _when(b.match(x, "negative"), lambda: b("negative", b("divide", b.args(x)[0], y)))),
    ("1 / (1 + exp(-x)) = expit(x)", lambda b, x, y: _when(b.scalar(x) == 1, lambda: _logistic(b, y))),
])  # fmt: skip


def _one_plus(b: Builder, number: int) -> int | None:
    """The x of 1 + x."""
    args = b.match(number, "add")
    for one, x in (args, args[::-1]) if args else ():
        if b.scalar(one) == 1:
            return x
    return None


def _logistic(b: Builder, number: int) -> int | None:
    """1 / number, if it is 1 + exp(x)."""
    x = _one_plus(b, number)
    args = b.match(x, "exp") if x is not None else None
    return b("expit", b("negative", args[0])) if args else None


# --- powers -----------------------------------------------------------------------------------------------------------
_table("power", [
    ("x^1 = x", lambda b, x, y: _when(b.scalar(y) == 1, lambda: x)),
    ("x^2 = square(x)", lambda b, x, y: _when(b.scalar(y) == 2, lambda: b("square", x))),
    ("x^3 = x^2 x", lambda b, x, y: _when(b.scalar(y) == 3, lambda: b("multiply", b("square", x), x))),
    ("x^4 = (x^2)^2", lambda b, x, y: _when(b.scalar(y) == 4, lambda: b("square", b("square", x)))),
    ("x^(-1) = 1 / x", lambda b, x, y: _when(b.scalar(y) == -1, lambda: b("divide", b.constant(1.0), x))),
    ("x^(-2) = 1 / x^2",
     lambda b, x, y: _when(b.scalar(y) == -2, lambda: b("divide", b.constant(1.0), b("square", x)))),
    ("x^(1/2) = sqrt(x), except at -inf", lambda b, x, y: _when(b.scalar(y) == 0.5, lambda: b("sqrt", x))),
])  # fmt: skip
_table("square", [("(-x)^2 = x^2", lambda b, x: _when(b.match(x, "negative"), lambda: b("square", b.args(x)[0])))])
_table("sqrt", [("sqrt(x^2) = |x|", lambda b, x: _when(b.match(x, "square"), lambda: b("absolute", b.args(x)[0])))])
_table("absolute", [("|-x| = |x|", lambda b, x: _when(b.match(x, "negative"), lambda: b("absolute", b.args(x)[0])))])
_table("reciprocal", [("reciprocal(x) = 1 / x", lambda b, x: b("divide", b.constant(1.0), x))])


# --- exponentials and logarithms: more stable ---------------------------------------------------------------------
def _log_of_sum(b: Builder, x: int) -> int | None:
    """log(1 + x) and log(exp(x) + exp(y))."""
    args = b.match(x, "add")
    if args is None:
        return None
    rest = _one_plus(b, x)
    if rest is not None:
        return b("log1p", rest)
    u, v = (b.match(a, "exp") for a in args)
    return b("logaddexp", u[0], v[0]) if u and v else None


_table("log", [
    ("log(exp(x)) = x", lambda b, x: _when(b.match(x, "exp"), lambda: b.args(x)[0])),
    ("log(1 + x) = log1p(x), log(exp(x) + exp(y)) = logaddexp(x, y)", _log_of_sum),
    ("log(1 - x) = log1p(-x)",
     lambda b, x: _when(b.match(x, "subtract") and b.scalar(b.args(x)[0]) == 1 and _same(b, b.args(x)[1]),
                        lambda: b("log1p", b("negative", b.args(x)[1])))),
    ("log(expit(x)) = log_expit(x)", lambda b, x: _when(b.match(x, "expit"), lambda: b("log_expit", b.args(x)[0]))),
    ("log(sum(exp(x))) = logsumexp(x)",
     lambda b, x: _when(b.match(x, "sum") and b.match(b.args(x)[0], "exp"),
                        lambda: b("logsumexp", *b.args(b.args(x)[0]), **b.graph.params[x]))),
])  # fmt: skip
_table("log1p", [
    ("log1p(exp(x)) = logaddexp(0, x)",
     lambda b, x: _when(b.match(x, "exp"), lambda: b("logaddexp", b.constant(0.0), b.args(x)[0]))),
])  # fmt: skip


# --- selection --------------------------------------------------------------------------------------------------------
def _select(b: Builder, c: int, x: int, y: int) -> int | None:
    """A condition that is known, or does not matter."""
    if x == y and _same(b, x, c):
        return x
    equal = b.match(c, "equal")
    if equal and b.scalar(x) is not None and y in equal and _same(b, y, c):
        other = equal[0] if equal[1] == y else equal[1]
        if b.scalar(other) == b.scalar(x):
            return y
    if c < 0:
        condition = np.asarray(b.graph.value(c))
        condition = condition if condition.dtype.kind == "b" else condition > 0.5
        for known, chosen in ((condition.all(), x), (not condition.any(), y)):
            if known and _same(b, chosen, c, x, y):
                return chosen
    return None


_table("select", [("select(true, x, y) = x = select(c, x, x), select(x == c, c, x) = x", _select)])


# --- shapes -----------------------------------------------------------------------------------------------------------
def _concatenated(b: Builder, x: int, *, axes) -> int | None:
    """Transpose of a transpose, and one that changes nothing."""
    order = tuple(range(len(b.shape(x))))[::-1] if axes is None else tuple(a % len(b.shape(x)) for a in axes)
    if order == tuple(range(len(order))):
        return x
    if b.match(x, "transpose"):
        inner = b.graph.params[x]["axes"]
        inner = tuple(range(len(order)))[::-1] if inner is None else tuple(a % len(order) for a in inner)
        return b("transpose", b.args(x)[0], axes=tuple(inner[a] for a in order))
    return None


def _element(b: Builder, x: int, *, index) -> int | None:
    """An element of what was stacked."""
    args = b.match(x, "stack")
    if args and type(index) is int and b.graph.params[x]["axis"] in (0, -len(b.shape(x))):
        return args[index]
    return None


def _scatter(b: Builder, *parts: int, indices, shape) -> int | None:
    """Parts that go to the same place are added up before."""
    places: dict = {}
    for part, index in zip(parts, indices, strict=True):
        places.setdefault(_frozen(index, b._kept), []).append((part, index))
    if len(places) == len(parts):
        return None
    new = []
    for group in places.values():
        total = group[0][0]
        for part, _ in group[1:]:
            total = b("add", total, part)
        new.append((total, group[0][1]))
    return b("scatter", *(p for p, _ in new), indices=[i for _, i in new], shape=shape)


_table(
    "broadcast_to", [("x to its own shape = x", lambda b, x, *, shape: _when(b.shape(x) == tuple(shape), lambda: x))]
)
_table("reshape", [
    ("x to its own shape = x", lambda b, x, *, shape: _when(b.shape(x) == tuple(shape), lambda: x)),
    ("reshape(reshape(x)) = reshape(x)",
     lambda b, x, *, shape: _when(b.match(x, "reshape"), lambda: b("reshape", b.args(x)[0], shape=shape))),
])  # fmt: skip
_table("transpose", [("transposes combine", _concatenated)])
_table("index", [("stack(x, y, ...)[i] = the i-th", _element)])
_table("scatter", [("scatter(x to i, y to i) = scatter(x + y to i)", _scatter)])
_table("copy", [("copy(x) = x", lambda b, x: x)])


# --- sums of arrays ---------------------------------------------------------------------------------------------------
def _sum(b: Builder, x: int, *, axis, keepdims) -> int | None:
    """Sums of everything: scalar factors and terms leave them, and data are summed beforehand."""
    if b.shape(x) == ():
        return x
    if axis is not None or keepdims:
        return None
    n, op, args = float(b.size(x)), b.op(x), b.args(x)
    if op == "negative":
        return b("negative", b("sum", args[0], **WHOLE))
    if op in ("multiply", "divide") and b.shape(args[1]) == ():
        return b(op, b("sum", args[0], **WHOLE), args[1])
    if op == "multiply" and b.shape(args[0]) == ():
        return b("multiply", args[0], b("sum", args[1], **WHOLE))
    if op == "broadcast_to" and b.shape(args[0]) == ():
        return b("multiply", b.constant(n), args[0])
    if op in ("add", "subtract"):
        return _sum_of_terms(b, op, args, n)
    return _sum_of_squares(b, args[0], n) if op == "square" else None


def _sum_of_terms(b: Builder, op: str, args, n: float) -> int | None:
    """sum(c + s) = n (mean + s) for data c, and sum(x + s) = sum(x) + n s for squares x.

    Of other arrays it is not done: where x and -s nearly cancel, their sums would lose digits that x + s has.
    """
    x, y = args
    for array, s, order in ((x, y, 1), (y, x, -1)):
        if b.shape(s) == () and b.shape(array):
            if array < 0:
                mean = b.constant(np.mean(b.graph.value(array)))
                return b("multiply", b.constant(n), b(op, *(mean, s)[::order]))
            if _is_square(b, array):
                return b(op, *(b("sum", array, **WHOLE), b("multiply", b.constant(n), s))[::order])
    return None


def _is_square(b: Builder, x: int) -> bool:
    """Whether an array is a square, or a scalar times a square."""
    while b.op(x) in ("negative", "multiply", "divide"):
        inner = [a for a in b.args(x) if b.shape(a)]
        if len(inner) != 1:
            return False
        x = inner[0]
    return b.op(x) == "square"


def _sum_of_squares(b: Builder, x: int, n: float) -> int | None:
    """sum((c - s)^2) = sum((c - mean)^2) + n (mean - s)^2 for data c; factors leave the square."""
    op, args = b.op(x), b.args(x)
    if op == "divide" and b.shape(args[1]) == () and b.shape(args[0]):
        return b("divide", b("sum", b("square", args[0]), **WHOLE), b("square", args[1]))
    if op == "subtract":
        for data, s in (args, args[::-1]):
            if data < 0 and b.shape(data) and b.shape(s) == ():
                values = b.graph.value(data)
                mean = np.mean(values)
                spread = b.constant(np.sum((values - mean) ** 2))
                about = b("square", b("subtract", b.constant(mean), s))
                return b("add", spread, b("multiply", b.constant(n), about))
    return None


_table("sum", [
    ("sum(c x) = c sum(x), sum(c + s) = n (mean + s), sum((c - s)^2) = S + n (mean - s)^2", _sum),
])  # fmt: skip
