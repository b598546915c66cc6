"""Prepare a graph for code generation: write operations that have no code of their own by those that have.

An expansion is a NumPy function of the operands: it is called on values that write down what it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from probad.ad.box import Box
from probad.ad.core import PRIMITIVES
from probad.codegen.schedule import EXP_BELOW_ONE, LOGS, ROWS_FROM
from probad.ir.capture import CALL, STOP, CaptureTrace
from probad.ir.graph import CARRIED, COLUMN, ELEMENT, LOOP, SLOT, Body, Carry, Graph, Guard, prune

# Products of up to so many multiplications are written out; larger ones are left to BLAS.
WRITTEN_OUT = 4096
SMALLEST = np.finfo(float).tiny
PRODUCTS_FROM = 64  # terms: from here on logarithms are taken of products


def expand(graph: Graph) -> Graph:
    """The same graph in fewer kinds of operations; conditions on arrays become conditions on one number."""
    with CaptureTrace(calls=False) as trace, np.errstate(all="ignore"):
        new, number = trace.graph, {}

        def renumber(a: int) -> int:
            return number[a] if a >= 0 else new.constant(graph.value(a))

        for node, op in enumerate(graph.ops):
            args = tuple(renumber(a) for a in graph.args[node])
            result = None
            if op in EXPANSIONS:
                result = EXPANSIONS[op](trace, *map(trace.box, args), **graph.params[node])
            if result is None:
                number[node] = new.add(op, args, graph.params[node], graph.values[node])
            else:
                number[node] = trace.number(result)
        new.inputs = [number[node] for node in graph.inputs]
        new.outputs = [renumber(node) for node in graph.outputs]
        new.guards = [_scalar_guard(trace, renumber(g.node), g) for g in [*graph.guards, *new.guards]]
    return prune(new)


def _scalar_guard(trace: CaptureTrace, node: int, guard: Guard) -> Guard:
    if node < 0 or trace.graph.shape(node) == ():
        return Guard(node, guard.expected, guard.where)
    differs = trace.box(node) != np.asarray(guard.expected)
    return Guard(trace.number(np.sum(np.where(differs, 1.0, 0.0))), 0.0, guard.where)


# --- the expansions ---------------------------------------------------------------------------------------------------
def _call(trace, *args, primitive, **params):
    return primitive.impl(*args, **params)


def _where(trace, a, b, *, condition):
    return PRIMITIVES["select"](condition, a, b)


def _logsumexp(trace, x, *, axis, keepdims):
    top = np.max(x, axis=axis, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    out = np.log(np.sum(np.exp(x - safe), axis=axis, keepdims=True)) + safe
    return out if keepdims else np.reshape(out, _reduced(x.shape, axis))


def _reduced(shape, axis):
    if axis is None:
        return ()
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _matmul(trace, a, b):
    if len(a.shape) == 1 and len(b.shape) == 1:
        return np.sum(a * b)
    if len(a.shape) > 2 or len(b.shape) > 2:
        return np.sum(_column(a) * _row(b), axis=-2) if len(a.shape) > 1 and len(b.shape) > 1 else None
    rows = len(b.shape) == 1 and a.node < 0 and a.shape[0] >= ROWS_FROM
    columns = len(a.shape) == 1 and b.node < 0 and b.shape[0] >= ROWS_FROM
    if rows or columns:
        return None
    if len(b.shape) == 1 and a.node < 0 and a.shape[1] >= ROWS_FROM:
        return PRIMITIVES["matmul"](b, _transposed(trace, a))  # the long axis is the one to run over
    if len(a.shape) == 1 and b.node < 0 and b.shape[1] >= ROWS_FROM:
        return PRIMITIVES["matmul"](_transposed(trace, b), a)
    if len(b.shape) == 1:
        return np.sum(a * b, axis=-1)
    if len(a.shape) == 1:
        return np.sum(a[:, None] * b, axis=0)
    if b.shape[1] == 1 or a.shape[0] == 1:  # a vector in the form of a matrix
        left = np.reshape(a, (-1,)) if a.shape[0] == 1 else a
        right = np.reshape(b, (-1,)) if b.shape[1] == 1 else b
        out = _matmul(trace, left, right)
        out = PRIMITIVES["matmul"](left, right) if out is None else out
        return np.reshape(out, (a.shape[0], b.shape[1]))
    small = math.prod(a.shape) * b.shape[1] <= WRITTEN_OUT
    return np.sum(a[:, :, None] * b[None, :, :], axis=1) if small else None


def _transposed(trace, a):
    return trace.box(trace.graph.constant(np.ascontiguousarray(a.value.T)))


def _column(a):
    return np.reshape(a, (*a.shape, 1))


def _row(b):
    return np.reshape(b, (*b.shape[:-2], 1, *b.shape[-2:]))


def _einsum(trace, *operands, subscripts):
    """All letters are axes of one product, which is summed over those that the output lacks."""
    inputs, output = subscripts.split("->")
    letters = inputs.split(",")
    if any(len(set(word)) < len(word) for word in letters) or "." in subscripts:
        return None
    order = output + "".join(sorted(set("".join(letters)) - set(output)))
    lengths = {c: n for word, x in zip(letters, operands, strict=True) for c, n in zip(word, x.shape, strict=True)}
    if math.prod(lengths.values()) > 64 * WRITTEN_OUT and len(operands) == 2:
        return None
    product = None
    for word, x in zip(letters, operands, strict=True):
        there = sorted(word, key=order.index)
        x = np.transpose(x, tuple(word.index(c) for c in there))
        x = np.reshape(x, tuple(lengths[c] if c in word else 1 for c in order))
        product = x if product is None else product * x
    product = np.broadcast_to(product, tuple(lengths[c] for c in order))
    summed = tuple(range(len(output), len(order)))
    return np.sum(product, axis=summed) if summed else product


def _cumsum(trace, x, *, axis):
    """A running sum along the only axis is a loop; along others it is left as it is."""
    if len(x.shape) != 1 or not x.shape[0]:
        return None
    body = Body(("add",), (((CARRIED, 0), (ELEMENT, 0)),), (Carry(1, (SLOT, 0)),))
    graph = trace.graph
    loop = graph.add(LOOP, (trace.number(x), graph.constant(0.0)), {"body": body, "n": x.shape[0]}, np.float64(0.0))
    return Box(np.cumsum(x.value), trace, graph.add(COLUMN, (loop,), {"slot": 0}, np.cumsum(x.value)))


def _sum(trace, x, *, axis, keepdims):
    """Sums of log(1 + exp(v)) = max(v, 0) + log(1 + exp(-|v|)): the logarithms are taken of products of many terms."""
    if axis is not None or keepdims or x.size < PRODUCTS_FROM:
        return None
    terms = _terms(trace.graph, x.node, x.shape, 1.0)
    if not any(kind for _, kind, _ in terms):
        return None
    rest = logs = None
    for sign, kind, number in terms:
        term = v = trace.box(number)
        if kind:
            # what is not a number is none in the logarithm either
            term = np.fmax(v, 0.0) if kind == "logaddexp" else -np.fmin(v, 0.0)
            factor = 1.0 + _exp_of_less_size(trace, v)
            value = np.sum(np.log(factor.value))
            node = trace.graph.add(LOGS, (trace.number(factor),), {"axis": None, "keepdims": False}, value)
            logs = _add(logs, sign, trace.box(node))
        rest = _add(rest, sign, term)
    return PRIMITIVES["sum"](rest, axis=None, keepdims=False) + logs


def _add(total, sign: float, term):
    """The total and a term; there may be no total yet."""
    if total is None:
        return term if sign > 0 else -term
    return total + term if sign > 0 else total - term


def _exp_of_less_size(trace: CaptureTrace, x):
    """exp(-|x|)."""
    size = -np.abs(x)
    return trace.box(trace.graph.add(EXP_BELOW_ONE, (trace.number(size),), {}, np.exp(size.value)))


def _terms(graph: Graph, number: int, shape, sign: float) -> list[tuple[float, str, int]]:
    """A sum as terms: sign, the kind of logarithm it is, if any, and of what."""
    op = graph.ops[number] if number >= 0 else ""
    args = graph.args[number] if number >= 0 else ()
    if graph.shape(number) == shape and op in ("add", "subtract", "negative"):
        signs = (sign, -sign if op == "subtract" else sign) if op != "negative" else (-sign,)
        return [term for a, s in zip(args, signs, strict=True) for term in _terms(graph, a, shape, s)]
    if op == "logaddexp" and graph.shape(number) == shape:
        for zero, v in (args, args[::-1]):
            if zero < 0 and graph.shape(zero) == () and graph.value(zero) == 0 and graph.shape(v) == shape:
                return [(sign, "logaddexp", v)]
    if op == "log_expit" and graph.shape(number) == shape:  # -log(1 + exp(-v))
        return [(-sign, "log_expit", args[0])]
    return [(sign, "", number)]


def _expit(trace, x):
    """With the exponential in sight, which sums of logarithms have as well."""
    if not x.shape:
        return None
    e = _exp_of_less_size(trace, x)
    return np.where(x >= 0.0, 1.0, e) / (1.0 + e)


def _divide(trace, a, b):
    """Division by data or a constant is multiplication by the reciprocals, where those lose no range."""
    if b.node >= 0:
        return None
    with np.errstate(all="ignore"):
        inverse = 1.0 / np.asarray(b.value, dtype=float)
    return a * inverse if np.isfinite(inverse).all() and (np.abs(inverse) > SMALLEST).all() else None


EXPANSIONS: dict[str, Callable] = {
    CALL: _call,
    "where": _where,
    "logsumexp": _logsumexp,
    "matmul": _matmul,
    "einsum": _einsum,
    "cumsum": _cumsum,
    "sum": _sum,
    "expit": _expit,
    "divide": _divide,
    STOP: lambda trace, x: x,
}
