"""Graphs as text: a listing of the operations, and runnable NumPy source of the same program.

The source is for reading: of what a derivative computes, and of what the passes have made of a function. It runs, so
that it can be checked and taken along.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from probad import numerics
from probad.ad.rules.indexing import is_basic
from probad.ir.capture import CALL, STOP, implementation
from probad.ir.graph import CARRIED, COLUMN, ELEMENT, FIXED, INPUT, LAST, LOOP, PULL, SLOT, Graph
from probad.scipy_special import special

OPERATORS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "remainder": "%",
             "matmul": "@",
             "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=",
             "logical_and": "&", "logical_or": "|", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
             "logical_xor": "^"}  # fmt: skip
PREFIXES = {"negative": "-", "logical_not": "~", "invert": "~"}
LINALG = frozenset({"cholesky", "solve", "inv", "det"})


def listing(graph: Graph) -> str:
    """One line for each node: its number, shape, operation and operands.

    Examples
    --------
    >>> from probad.ir.capture import capture
    >>> graph, _ = capture(lambda x: np.sum(np.exp(x) * 2.0), np.zeros(3))
    >>> print(listing(graph))
    %0 (3,) = input {'number': 0}
    %1 (3,) = exp %0
    %2 (3,) = multiply %1 2.0
    %3 () = sum %2 {'axis': None, 'keepdims': False}
    return %3
    """
    lines = []
    for node, (op, args, params) in enumerate(zip(graph.ops, graph.args, graph.params, strict=True)):
        operands = "".join(f" {_name(graph, a)}" for a in args)
        shown = {k: v for k, v in params.items() if k != "body"}
        tail = f" {_short(shown)}" if shown else ""
        lines.append(f"%{node} {np.shape(graph.values[node])} = {op}{operands}{tail}")
        if op == LOOP:
            body = params["body"]
            for slot, (inner, operands) in enumerate(zip(body.ops, body.args, strict=True)):
                lines.append(f"    .{slot} = {inner} {' '.join(f'{k}:{i}' for k, i in operands)}")
            for number, carry in enumerate(body.carries):
                lines.append(f"    carried {number}: starts as {carry.start}, next {carry.next[0]}:{carry.next[1]}")
    lines += [f"require {_name(graph, g.node)} == {_short(g.expected)}  # {g.where}" for g in graph.guards]
    return "\n".join([*lines, f"return {', '.join(_name(graph, n) for n in graph.outputs)}"])


def _name(graph: Graph, number: int) -> str:
    if number >= 0:
        return f"%{number}"
    value = graph.value(number)
    return _short(value) if np.shape(value) == () else f"data[{-number - 1}]{np.shape(value)}"


def _short(value: Any) -> str:
    if isinstance(value, np.generic):
        return repr(value.item())
    text = re.sub(r"\s+", " ", repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


class Source:
    """Runnable NumPy source of a graph.

    Attributes
    ----------
    text : str
        A function of the inputs of the graph; arrays of data are parameters with defaults of the name ``data``.
    """

    def __init__(self, graph: Graph, name: str = "program"):
        if not name.isidentifier() or keyword.iskeyword(name):
            name = "program"
        self.graph, self.name = graph, name
        self.data: list[np.ndarray] = []
        self.functions: dict[str, Callable] = {}
        self.lines: list[str] = []
        names = [self.value(node) for node in graph.inputs]
        for node in range(len(graph)):
            self.node(node)
        body = [*self.lines, f"return {', '.join(map(self.value, graph.outputs))}"]
        head = f"def {name}({', '.join(names)}):"
        self.text = "\n".join([head, *(f"    {line}" for line in body)])

    def function(self) -> Callable:
        """The function that the source defines."""
        scope = {"np": np, "special": special, "numerics": numerics, "data": self.data, **self.functions}
        exec(self.text, scope)
        return scope[self.name]

    # --- names --------------------------------------------------------------------------------------------------------
    def value(self, number: int) -> str:
        """The name of a node, or a constant as text."""
        if number >= 0:
            return f"z{self.graph.params[number]['number']}" if self.graph.ops[number] == INPUT else f"v{number}"
        return self.constant(self.graph.value(number))

    def constant(self, value: Any) -> str:
        """A scalar as it is written, an array by its place among the data."""
        if np.shape(value) == ():
            plain = np.asarray(value).item()
            if isinstance(plain, float):
                return {"inf": "np.inf", "-inf": "(-np.inf)", "nan": "np.nan"}.get(repr(plain)) or _bracketed(plain)
            return repr(plain)
        self.data.append(value)
        return f"data[{len(self.data) - 1}]"

    def index(self, index: Any) -> str:
        """An index as it is written between brackets."""
        if isinstance(index, tuple):
            return ", ".join(map(self.index, index)) + ("," if len(index) == 1 else "") if index else "()"
        if isinstance(index, slice):
            a, b, c = ("" if p is None else str(p) for p in (index.start, index.stop, index.step))
            return f"{a}:{b}" + (f":{c}" if c else "")
        if index is None or index is Ellipsis or isinstance(index, int | np.integer):
            return "..." if index is Ellipsis else str(index)
        return self.constant(np.asarray(index))

    # --- statements ---------------------------------------------------------------------------------------------------
    def node(self, node: int) -> None:
        """Write the statements of a node."""
        op, args, params = self.graph.ops[node], self.graph.args[node], self.graph.params[node]
        if op in (INPUT, LAST, COLUMN):
            return
        if op == LOOP:
            self.loop(node)
        elif op == "scatter":
            self.lines.append(f"v{node} = np.zeros({params['shape']})")
            for a, index in zip(args, params["indices"], strict=True):
                if is_basic(index):
                    self.lines.append(f"v{node}[{self.index(index)}] += {self.value(a)}")
                else:
                    self.lines.append(f"np.add.at(v{node}, np.s_[{self.index(index)}], {self.value(a)})")
        elif op == "index_set":
            self.lines.append(f"v{node} = np.array({self.value(args[0])})")
            self.lines.append(f"v{node}[{self.index(params['index'])}] = {self.value(args[1])}")
        else:
            self.lines.append(f"v{node} = {self.expression(op, [self.value(a) for a in args], params)}")

    def expression(self, op: str, values: list[str], params: dict) -> str:
        """The value of an operation, in one expression."""
        if op in OPERATORS:
            return f" {OPERATORS[op]} ".join(values)
        if op in PREFIXES:
            return f"{PREFIXES[op]}{values[0]}"
        if op == STOP:
            return values[0]
        if op == "select":
            return f"np.where({', '.join(values)})"
        if op == "where":
            return f"np.where({', '.join([self.constant(params['condition']), *values])})"
        if op == "scale":
            a, p = values
            return f"np.where(({a} == 0) | ({p} == 0), 0.0, {a} * {p})"
        if op == "index":
            return f"{values[0]}[{self.index(params['index'])}]"
        if op in ("concatenate", "stack"):
            return f"np.{op}([{', '.join(values)}], axis={params['axis']})"
        if op == "solve_triangular":
            return f"numerics.solve_triangular({', '.join(values)}, lower={params['lower']}, trans={params['trans']})"
        if op == "logsumexp":
            return f"numerics.logsumexp({values[0]}, axis={params['axis']}, keepdims={params['keepdims']})"
        if op in LINALG:
            return f"np.linalg.{op}({', '.join(values)})"
        modules = {"np": np, "special": special.load()}
        module = next((name for name, module in modules.items() if _is_plain(module, op, params)), None)
        if module is not None:
            given = [f"{k}={self.constant(v) if isinstance(v, np.ndarray) else v!r}" for k, v in params.items()]
            return f"{module}.{op}({', '.join([*values, *given])})"
        return self.other(op, values, params)

    def other(self, op: str, values: list[str], params: dict) -> str:
        """An operation that has no name in NumPy: a function that goes with the source."""
        impl, params = implementation(op, params)
        name = f"{'rule_of_' + params['op'] if op == PULL else 'call' if op == CALL else op}_{len(self.functions)}"
        self.functions[name] = lambda *x, impl=impl, params=params: impl(*x, **params)
        return f"{name}({', '.join(values)})"

    def loop(self, node: int) -> None:
        """Write a loop as one of Python's."""
        graph, params = self.graph, self.graph.params[node]
        body, args, n = params["body"], graph.args[node], params["n"]
        readers = [
            (other, graph.ops[other], graph.params[other]["slot"])
            for other in range(node + 1, len(graph))
            if graph.ops[other] in (LAST, COLUMN) and graph.args[other] == (node,)
        ]

        def operand(x):
            kind, k = x
            if kind == ELEMENT:
                return f"{self.value(args[k])}[i]"
            return {SLOT: f"s{k}", CARRIED: f"c{k}", FIXED: self.value(args[k]) if kind == FIXED else ""}[kind]

        for other, op, _ in readers:
            if op == COLUMN:
                self.lines.append(f"v{other} = np.empty({n})")
        for k, carry in enumerate(body.carries):
            self.lines.append(f"c{k} = {self.value(args[carry.start])}")
        self.lines.append(f"for i in {f'range({n - 1}, -1, -1)' if body.reverse else f'range({n})'}:")
        for slot, (op, operands) in enumerate(zip(body.ops, body.args, strict=True)):
            self.lines.append(f"    s{slot} = {self.expression(op, [operand(x) for x in operands], {})}")
        self.lines += [f"    v{other}[i] = s{slot}" for other, op, slot in readers if op == COLUMN]
        if body.carries:
            left = ", ".join(f"c{k}" for k in range(len(body.carries)))
            self.lines.append(f"    {left} = {', '.join(operand(c.next) for c in body.carries)}")
        self.lines += [f"v{other} = s{slot}" for other, op, slot in readers if op == LAST]


def _bracketed(x: float) -> str:
    return f"({x!r})" if x < 0 or str(x).startswith("-") else repr(x)


def _is_plain(module: Any, op: str, params: dict) -> bool:
    """Whether a function of that name in a module does what the operation does, with the same keywords."""
    function = getattr(module, op, None)
    if isinstance(function, np.ufunc):
        return not params
    return module is np and op in (
        "sum",
        "prod",
        "max",
        "min",
        "reshape",
        "transpose",
        "broadcast_to",
        "flip",
        "cumsum",
    )
