"""trace_table and graph: what a function computes, as the survey's table of values, tangents and adjoints, or drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from probad.ad.box import Box, raw
from probad.ad.core import ReverseTrace
from probad.ad.transforms import _finish, _input, _match, _output
from probad.errors import ArgumentError
from probad.tree import flatten

INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "matmul": "@", "remainder": "%"}
FORMATS = ("dot", "mermaid")


@dataclass(frozen=True)
class Row:
    """One variable of the table.

    Attributes
    ----------
    name : str
        ``v-1``, ``v0`` for inputs, ``v1`` and on for what is computed.
    operation : str
        Name of the primitive; empty for an input.
    expression : str
        How it is computed from other variables.
    parents : tuple of str
        Their names.
    value, tangent, adjoint : float or ndarray
        The value, its derivative along the direction, and the derivative of the output with respect to it.
    """

    name: str
    operation: str
    expression: str
    parents: tuple[str, ...]
    value: Any
    tangent: Any
    adjoint: Any


@dataclass(frozen=True)
class TraceTable:
    """The variables of a computation in their order; ``print`` it to see the table.

    Attributes
    ----------
    rows : list of Row
    outputs : list of str
        Names of the variables the function returned.
    """

    rows: list[Row]
    outputs: list[str]

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"the table has no variable {name!r}")

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        cells = [("variable", "value", "tangent", "adjoint")]
        for r in self.rows:
            cells.append((f"{r.name} = {r.expression}", *map(_short, (r.value, r.tangent, r.adjoint))))
        widths = [max(len(row[i]) for row in cells) for i in range(4)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in cells]
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], f"output: {', '.join(self.outputs)}"])


def trace_table(f: Callable, *x: Any, direction: Any = None) -> TraceTable:
    """Record every operation of ``f(*x)`` with its value, its tangent and its adjoint.

    Parameters
    ----------
    f : callable
        Function of numbers, arrays or nests of them, with an output of the same kind.
    *x
        The arguments.
    direction : sequence, optional
        A direction for each argument, for the tangents. The default is 1 for the first array and 0 for the others.

    Returns
    -------
    TraceTable
        The adjoints are those of the sum of all outputs.

    Notes
    -----
    Source: Baydin, Pearlmutter, Radul and Siskind, JMLR 18 (2018) 1, Tables 2 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> print(trace_table(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0))
    variable           value  tangent  adjoint
    ------------------------------------------
    v-1 = x1               2        1      5.5
    v0 = x2                5        0  1.71634
    v1 = log(v-1)   0.693147      0.5        1
    v2 = v-1 * v0         10        5        1
    v3 = v1 + v2     10.6931      5.5        1
    v4 = sin(v0)   -0.958924        0       -1
    v5 = v3 - v4     11.6521      5.5        1
    output: v5
    """
    leaves, rebuild = flatten(list(x))
    with ReverseTrace() as trace:
        plain = [_input(leaf) for leaf in leaves]
        out_leaves, _ = flatten(f(*rebuild([trace.input(v) for v in plain])))
        pairs = [_output(leaf, trace) for leaf in out_leaves]
    names = [f"v{k}" for k in range(1 - len(plain), len(trace.tape) - len(plain) + 1)]
    labels = [f"x{i}" for i in range(1, len(plain) + 1)]
    tangents, adjoints = _tangents(trace.tape, plain, direction), _adjoints(trace.tape, pairs)
    rows = []
    for i, entry in enumerate(trace.tape):
        value = plain[i] if entry is None else entry[4]
        operation, expression, parents = ("", labels[i], ()) if entry is None else _describe(entry, names)
        zero = np.zeros(value.shape)[()]
        tangent, adjoint = (zero if d is None else d for d in (tangents[i], adjoints[i]))
        rows.append(Row(names[i], operation, expression, parents, value, tangent, adjoint))
    outputs = [names[node] if node is not None else _short(value) for value, node in pairs]
    return TraceTable(rows, outputs)


def graph(f: Callable, *x: Any, format: str = "dot") -> str:
    """The computational graph of ``f(*x)`` as text for Graphviz or Mermaid.

    Parameters
    ----------
    f, *x
        As in `trace_table`.
    format : {"dot", "mermaid"}

    Returns
    -------
    str

    Examples
    --------
    >>> print(graph(lambda x: 2 * x, 1.0, format="mermaid"))
    flowchart LR
        n0(["v0 = x1"])
        n1["v1 = 2 * v0"]
        n0 --> n1
        n1 --> f(["f"])
    """
    if format not in FORMATS:
        raise ArgumentError(f"graph writes the formats {' and '.join(FORMATS)}; got {format!r}.")
    table = trace_table(f, *x)
    places = {row.name: f"n{i}" for i, row in enumerate(table.rows)}
    edges = [(places[p], places[row.name]) for row in table.rows for p in dict.fromkeys(row.parents)]
    ends = [(places[name], "f") for name in table.outputs if name in places]
    texts = [(places[row.name], f"{row.name} = {row.expression}".replace('"', "'"), row.parents) for row in table.rows]
    if format == "mermaid":
        nodes = [f'{n}["{text}"]' if parents else f'{n}(["{text}"])' for n, text, parents in texts]
        lines = [*nodes, *(f"{a} --> {b}" for a, b in edges), *(f'{a} --> {b}(["f"])' for a, b in ends)]
        return "\n".join(["flowchart LR", *(f"    {line}" for line in lines)])
    nodes = [f'{n} [label="{text}"{"" if parents else ", shape=box"}];' for n, text, parents in texts]
    lines = ["rankdir=LR;", *nodes, 'f [label="f", shape=box];', *(f"{a} -> {b};" for a, b in edges + ends)]
    return "\n".join(["digraph f {", *(f"    {line}" for line in lines), "}"])


def _tangents(tape: list, plain: list, direction) -> list:
    """Forward through the tape."""
    if direction is None:
        tangents = [np.ones(plain[0].shape)[()] if plain else None, *[None] * (len(plain) - 1)][: len(plain)]
    else:
        given, _ = flatten(list(direction))
        if len(given) != len(plain):
            raise ArgumentError(f"trace_table got {len(plain)} arrays and {len(given)} directions; they must match.")
        tangents = [_match(d, v, "direction", i) for i, (d, v) in enumerate(zip(given, plain, strict=True))]
    for primitive, nodes, values, params, y in tape[len(plain) :]:
        parts = [None if node is None else tangents[node] for node in nodes]
        moving = any(t is not None for t in parts)
        tangents.append(primitive.push(parts, y, values, params) if moving else None)
    return tangents


def _adjoints(tape: list, pairs: list) -> list:
    """Backward through the tape, every adjoint kept."""
    adjoints: list = [None] * len(tape)
    for value, node in pairs:
        if node is not None:
            one = np.ones(value.shape)[()]
            adjoints[node] = one if adjoints[node] is None else adjoints[node] + one
    with np.errstate(all="ignore"):
        for i in range(len(tape) - 1, -1, -1):
            if adjoints[i] is None or tape[i] is None:
                continue
            primitive, nodes, values, params, y = tape[i]
            pull = primitive.careful_pull or primitive.pull
            for k, node in enumerate(nodes):
                if node is not None:
                    part = _finish(pull(k, adjoints[i], y, values, params), values[k])
                    adjoints[node] = part if adjoints[node] is None else adjoints[node] + part
    return adjoints


def _describe(entry, names: list) -> tuple[str, str, tuple]:
    """Name, expression and parents of one operation on the tape."""
    primitive, nodes, values, params, _ = entry
    parents = tuple(names[node] for node in nodes if node is not None)
    terms = [_short(v) if node is None else names[node] for node, v in zip(nodes, values, strict=True)]
    if primitive.name in INFIX:
        return primitive.name, f" {INFIX[primitive.name]} ".join(terms), parents
    if primitive.name == "negative":
        return primitive.name, f"-{terms[0]}", parents
    if primitive.name == "index":
        return primitive.name, f"{terms[0]}[{_index(params['index'])}]", parents
    return primitive.name, f"{primitive.name}({', '.join(terms)})", parents


def _index(index) -> str:
    if isinstance(index, tuple):
        return ", ".join(map(_index, index))
    if isinstance(index, slice):
        bounds = [index.start, index.stop] + ([] if index.step is None else [index.step])
        return ":".join("" if b is None else str(b) for b in bounds)
    return "..." if index is Ellipsis else _short(index)


def _short(x) -> str:
    if type(x) is Box:
        x = raw(x)
    if x is None or isinstance(x, str | bool):
        return str(x)
    if np.ndim(x) == 0:
        return f"{x:.6g}"
    text = np.array2string(np.asarray(x), precision=4, threshold=6, edgeitems=2, separator=", ")
    return " ".join(text.split())
