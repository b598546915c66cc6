"""Matrices of derivatives and products with them: linearize, jacobian, hessian, hvp.

A function is run once and leaves its tape. The tape is replayed forwards for a product with the Jacobian, swept
backwards for one with its transpose; a whole matrix is a batch of products with unit vectors.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from probad.ad.batch import vmap
from probad.ad.box import is_foreign, raw
from probad.ad.rules import like
from probad.ad.transforms import (
    REVERSE,
    _check_argnums,
    _finish,
    _input,
    _match,
    _output,
    _own,
    by_name,
    grad,
    jvp,
    vjp,
)
from probad.errors import ArgumentError
from probad.tree import flatten

# A batch of products saves overhead while its arrays fit into the processor's cache: so many numbers in the largest of
# them, and so many products at least. Measured; beyond, one product after the other is as fast or faster.
BATCH_ELEMENTS = 2**16
BATCH_AT_LEAST = 4
MODES = ("auto", "forward", "reverse")
PAIRINGS = ("forward-reverse", "reverse-forward", "reverse-reverse")


class Tape:
    """One run of a function, kept for products with its Jacobian from either side.

    Parameters
    ----------
    f : callable
        Returns a number, an array or a nest of them.
    primals : sequence
        The arguments.
    """

    def __init__(self, f: Callable, primals: Sequence):
        leaves, self.rebuild = flatten(list(primals))
        with REVERSE.get()() as trace:
            self.inputs = [_input(leaf) for leaf in leaves]
            out_leaves, self.out_rebuild = flatten(f(*self.rebuild([trace.input(x) for x in self.inputs])))
            pairs = [_output(leaf, trace) for leaf in out_leaves]
        self.trace = trace
        self.outputs = [y for y, _ in pairs]
        self.nodes = [node for _, node in pairs]
        self._schedule: list | None = None

    @property
    def schedule(self) -> list:
        """The steps that an output depends on, first to last: place, record, and the places not needed after it."""
        if self._schedule is None:
            tape, found = self.trace.tape, set()
            waiting = {node for node in self.nodes if node is not None}
            last_use: dict[int, int] = {node: len(tape) for node in waiting}
            steps = []
            for i in range(max(waiting, default=-1), -1, -1):
                if i not in waiting or tape[i] is None:
                    continue
                done = []
                for node in tape[i][1]:
                    if node is not None and last_use.setdefault(node, i) == i and node not in found:
                        found.add(node)
                        done.append(node)
                    if node is not None:
                        waiting.add(node)
                steps.append((i, tape[i], done))
            self._schedule = steps[::-1]
        return self._schedule

    def push(self, tangents: Sequence) -> list:
        """Tangents of the outputs from those of the inputs."""
        known: dict[int, Any] = dict(enumerate(tangents))
        with np.errstate(all="ignore"):
            for i, (primitive, nodes, values, params, y), done in self.schedule:
                parts = [None if node is None else known.get(node) for node in nodes]
                if any(t is not None for t in parts):
                    known[i] = primitive.push(parts, y, values, params)
                for node in done:
                    known.pop(node, None)
        dy = [None if node is None else known.get(node) for node in self.nodes]
        return [_finish(t, y) for t, y in zip(dy, self.outputs, strict=True)]

    def pull(self, cotangents: Sequence) -> list:
        """Cotangents of the inputs from those of the outputs."""
        seeds = [(node, g) for node, g in zip(self.nodes, cotangents, strict=True) if node is not None]
        swept = self.trace.sweep(seeds, len(self.inputs))
        return [_finish(g, x) for g, x in zip(swept, self.inputs, strict=True)]

    def batch_width(self) -> int:
        """How many products are worth taking at once."""
        return batch_width(max((y.size for *_, y in filter(None, self.trace.tape)), default=1))


def linearize(f: Callable, *primals: Any) -> tuple[Any, Callable]:
    """Value of `f` and its derivative as a linear function: `f` runs once, each product with the Jacobian is cheap.

    Parameters
    ----------
    f : callable
        Returns a number, an array or a nest of them.
    *primals
        The arguments.

    Returns
    -------
    y
        ``f(*primals)``.
    f_jvp : callable
        ``f_jvp(*tangents)`` gives the directional derivative at `primals`; it may be called many times.

    Examples
    --------
    >>> import numpy as np
    >>> y, f_jvp = linearize(np.sin, 0.0)
    >>> f_jvp(1.0), f_jvp(3.0)
    (np.float64(1.0), np.float64(3.0))
    """
    tape = Tape(f, primals)

    def f_jvp(*tangents):
        """The directional derivative along `tangents`, one per argument."""
        directions, _ = flatten(list(tangents))
        if len(directions) != len(tape.inputs):
            raise ArgumentError(f"The derivative got {len(directions)} tangents for {len(tape.inputs)} arrays.")
        checked = [_match(t, x, "tangent", i) for i, (t, x) in enumerate(zip(directions, tape.inputs, strict=True))]
        return tape.out_rebuild(tape.push(checked))

    return tape.out_rebuild([_own(y) for y in tape.outputs]), f_jvp


def jacobian(f: Callable, argnums: int | str | Sequence[int | str] = 0, *, mode: str = "auto") -> Callable:
    """Make a function that returns the matrix of all first derivatives of `f`.

    Parameters
    ----------
    f : callable
        Takes and returns numbers, arrays or nests of them.
    argnums : int, str or sequence of them
        Which arguments to differentiate, by position or by name.
    mode : {"auto", "forward", "reverse"}
        By one product per input, or per output; "auto" takes the smaller number. Products are taken in batches.

    Returns
    -------
    callable
        For an output of shape ``s`` and an argument of shape ``t`` an array of shape ``s + t``; for nests, the
        structure of the output with that of the argument in place of each leaf.

    Examples
    --------
    >>> import numpy as np
    >>> jacobian(lambda x: np.stack([x[0] * x[1], x[0] + x[1]]))(np.array([2.0, 3.0]))
    array([[3., 2.],
           [1., 1.]])
    """
    if mode not in MODES:
        raise ArgumentError(f"jacobian knows mode={', '.join(map(repr, MODES))}; got {mode!r}.")
    several = not isinstance(argnums, int | str)
    numbers = tuple(argnums) if several else (argnums,)
    if any(isinstance(i, str) for i in numbers):
        return by_name(jacobian, f, argnums, mode=mode)

    @functools.wraps(f)
    def jacobian_of_f(*args, **kwargs):
        _check_argnums(f, numbers, args)

        def chosen(*new):
            new_args = list(args)
            for i, arg in zip(numbers, new, strict=True):
                new_args[i] = arg
            return f(*new_args, **kwargs)

        tape = Tape(chosen, [args[i] for i in numbers])
        blocks = _blocks(tape, mode)
        tape.trace.held = None
        rows = [tape.rebuild(row) for row in blocks]
        return tape.out_rebuild([tuple(row) if several else row[0] for row in rows])

    return jacobian_of_f


def hessian(f: Callable, argnums: int | str | Sequence[int | str] = 0, *, mode: str = "forward-reverse") -> Callable:
    """Make a function that returns the matrix of all second derivatives of the scalar function `f`.

    Parameters
    ----------
    f : callable
        Takes numbers, arrays or nests of them.
    argnums : int, str or sequence of them
        Which arguments to differentiate, by position or by name.
    mode : {"forward-reverse", "reverse-forward", "reverse-reverse"}
        The mode of the outer derivative and that of the inner one.

    Returns
    -------
    callable
        For an argument of shape ``t`` an array of shape ``t + t``; nests as in `jacobian`.

    Examples
    --------
    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    outer, inner = _pairing("hessian", mode)
    return jacobian(jacobian(f, argnums, mode=inner), argnums, mode=outer)


def hvp(f: Callable, x: Any, v: Any, *, mode: str = "forward-reverse") -> Any:
    """Product of the Hessian of the scalar function `f` at `x` with `v`, at the price of a few gradients.

    Parameters
    ----------
    f : callable
        Takes a number, an array or a nest of them, returns a scalar.
    x, v : array or nest
        The point, and a direction of the same structure.
    mode : {"forward-reverse", "reverse-forward", "reverse-reverse"}
        The mode of the outer derivative and that of the inner one.

    Examples
    --------
    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    _pairing("hvp", mode)
    if mode == "forward-reverse":
        return jvp(grad(f), (x,), (v,))[1]
    if mode == "reverse-forward":
        return grad(lambda x: jvp(f, (x,), (v,))[1])(x)
    return vjp(grad(f), x)[1](v)[0]


def _pairing(what: str, mode: str) -> list[str]:
    if mode not in PAIRINGS:
        raise ArgumentError(f"{what} knows mode={', '.join(map(repr, PAIRINGS))}; got {mode!r}.")
    return mode.split("-")


# --- whole matrices -------------------------------------------------------------------------------------------------
def _blocks(tape: Tape, mode: str) -> list[list]:
    """The Jacobian, a block for each output leaf (row) and input leaf (column)."""
    into, out = [x.shape for x in tape.inputs], [y.shape for y in tape.outputs]
    n_inputs, n_outputs = sum(map(math.prod, into)), sum(map(math.prod, out))
    units = functools.partial(unit_vectors, x=tape.inputs[0] if tape.inputs else None)
    if mode == "forward" or (mode == "auto" and n_inputs <= n_outputs):
        products = in_batches(tape.push, units, into, n_inputs, tape.batch_width())
        columns = [_cut(p, into) for p in products]
        return [
            [_shaped(np.moveaxis(part, 0, -1), s + t) for part, t in zip(parts, into, strict=True)]
            for parts, s in zip(columns, out, strict=True)
        ]
    products = in_batches(tape.pull, units, out, n_outputs, tape.batch_width())
    rows = [_cut(p, out) for p in products]
    return [[_shaped(parts[j], s + t) for parts, t in zip(rows, into, strict=True)] for j, s in enumerate(out)]


def _shaped(part, shape: tuple):
    """A block in its shape; a single number as a number."""
    block = np.reshape(part, shape)
    return block if shape else block[()]


def batch_width(largest: int) -> int:
    """How many products are worth taking at once if the largest array has so many elements."""
    width = BATCH_ELEMENTS // max(1, largest)
    return width if width >= 2 * BATCH_AT_LEAST else 1


def unit_vectors(low: int, high: int, n: int, x: Any = None) -> Any:
    """Rows `low` to `high` of the identity matrix of order `n`, of the array module of `x`."""
    if is_foreign(raw(x)):
        return (like.counts(x, high - low)[:, None] + low == like.counts(x, n)).astype(float)
    return np.eye(high - low, n, low)


def in_batches(product_fn: Callable, rows_fn: Callable, shapes: list[tuple], n: int, width: int) -> list:
    """Apply a linear function to `n` directions, `width` at a time.

    Parameters
    ----------
    product_fn : callable
        Takes a list of arrays of `shapes`, returns a list of arrays.
    rows_fn : callable
        ``rows_fn(low, high, size)`` gives directions `low` to `high`, one in each row, over all `shapes` in line.
    shapes : list of tuple
        Shapes of the parts of one direction.
    n, width : int
        How many directions, and how many at a time.

    Returns
    -------
    list of arrays
        What `product_fn` returns, with an axis of length `n` in front.
    """
    sizes = [math.prod(s) for s in shapes]
    bounds = np.cumsum([0, *sizes]).tolist()
    parts = []
    for low in range(0, n, width):
        rows = rows_fn(low, min(n, low + width), bounds[-1])
        split = [
            rows[:, lo:hi].reshape(len(rows), *s) for lo, hi, s in zip(bounds[:-1], bounds[1:], shapes, strict=True)
        ]
        if len(rows) < BATCH_AT_LEAST:
            single = [product_fn([d[i] for d in split]) for i in range(len(rows))]
            parts.append([np.stack(p) for p in zip(*single, strict=True)])
        else:
            parts.append(vmap(product_fn)(split))
    if not parts:
        return [np.zeros((0, *y.shape)) for y in product_fn([np.zeros(s) for s in shapes])]
    return [np.concatenate(p) if len(p) > 1 else p[0] for p in zip(*parts, strict=True)]


def _cut(products, shapes: list[tuple]) -> list:
    """Split along the first axis into a part for each shape."""
    bounds = np.cumsum([0, *map(math.prod, shapes)]).tolist()
    return [products[lo:hi] for lo, hi in itertools.pairwise(bounds)]
