"""The structure of each primitive: which element of an argument an element of the output may depend on.

A structure is `SAME` (element by element), an array (for each output element, one input element), `Pairs` (of output
and input elements that belong together) or `Groups` (all outputs of a group depend on all inputs of it). A primitive
without a rule is one group: every output depends on every input, which is always safe.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from probad.ad.core import PRIMITIVES
from probad.ad.kinds import PARTIALS

SAME = "same"
STRUCTURES: dict[str, Callable] = {}


class Pairs:
    """Flat positions of output and input elements that belong together."""

    __slots__ = ("inputs", "outputs")

    def __init__(self, outputs, inputs):
        self.outputs, self.inputs = np.ravel(outputs), np.ravel(inputs)


class Groups:
    """The number of the group of each output element and of each input element."""

    __slots__ = ("inputs", "outputs")

    def __init__(self, outputs, inputs):
        self.outputs, self.inputs = np.ravel(outputs), np.ravel(inputs)


def structure(primitive, k: int, nodes, values, params, y):
    """How the output depends on argument `k`."""
    rule = STRUCTURES.get(primitive.name)
    if PRIMITIVES.get(primitive.name) is not primitive:
        rule = everything  # made for one call, such as a function with a custom derivative
    elif rule is None:
        rule = elementwise if primitive.name in PARTIALS else everything
    return rule(primitive, k, nodes, values, params, y)


def _structures(*names: str) -> Callable:
    def register(rule):
        for name in names:
            STRUCTURES[name] = rule
        return rule

    return register


@functools.lru_cache(maxsize=64)
def _board(shape: tuple) -> np.ndarray:
    """The flat positions of an array, in its shape."""
    board = np.arange(math.prod(shape)).reshape(shape)
    board.flags.writeable = False
    return board


def everything(primitive, k, nodes, values, params, y):
    """Every output element depends on every input element."""
    return Groups(np.zeros(y.size, dtype=int), np.zeros(values[k].size, dtype=int))


# --- elementwise ----------------------------------------------------------------------------------------------------
@_structures("scale", "where", "copy")
def elementwise(primitive, k, nodes, values, params, y):
    """NumPy's broadcasting; of a choice (`where`) both sides count, for the condition may change elsewhere."""
    shape = values[k].shape
    return SAME if shape == y.shape else np.broadcast_to(_board(shape), y.shape).ravel()


@_structures("select")
def _select(primitive, k, nodes, values, params, y):
    if k == 0:
        return Pairs(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    return elementwise(primitive, k, nodes, values, params, y)


# --- moving elements ------------------------------------------------------------------------------------------------
@_structures("reshape")
def _reshape(primitive, k, nodes, values, params, y):
    return SAME


@_structures("index", "transpose", "flip", "broadcast_to")
def _moved(primitive, k, nodes, values, params, y):
    """The operation itself says where each position goes."""
    return np.ravel(primitive.impl(_board(values[k].shape), **params))


@_structures("concatenate")
def _concatenate(primitive, k, nodes, values, params, y):
    axis = params["axis"] % len(y.shape)
    start = sum(v.shape[axis] for v in values[:k])
    window = (slice(None),) * axis + (slice(start, start + values[k].shape[axis]),)
    return Pairs(_board(y.shape)[window], _board(values[k].shape))


@_structures("stack")
def _stack(primitive, k, nodes, values, params, y):
    axis = params["axis"] % len(y.shape)
    return Pairs(_board(y.shape)[(slice(None),) * axis + (k,)], _board(values[k].shape))


def _written(index, v, y):
    """The positions that an assignment or an addition of `v` reaches, with the elements of `v`."""
    positions = _board(y.shape)[index]
    core = _board(v.shape)
    while core.ndim > np.ndim(positions):  # NumPy drops leading axes of length 1
        core = core[0]
    return Pairs(positions, np.broadcast_to(core, np.shape(positions)))


@_structures("index_set")
def _index_set(primitive, k, nodes, values, params, y):
    if k == 1:
        return _written(params["index"], values[1], y)
    kept = np.ones(y.shape, dtype=bool)
    kept[params["index"]] = False
    kept = np.flatnonzero(kept)
    return Pairs(kept, kept)


@_structures("scatter")
def _scatter(primitive, k, nodes, values, params, y):
    return _written(params["indices"][k], values[k], y)


# --- reductions and running operations ------------------------------------------------------------------------------
@_structures("sum", "prod", "max", "min", "logsumexp")
def _reduced(primitive, k, nodes, values, params, y):
    shape, axis = values[k].shape, params["axis"]
    axes = range(len(shape)) if axis is None else [a % len(shape) for a in np.atleast_1d(axis)]
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return Pairs(np.broadcast_to(_board(kept), shape), _board(shape))


@_structures("cumsum")
def _along(primitive, k, nodes, values, params, y):
    shape = values[k].shape
    axis = params["axis"] % len(shape)
    lines = np.broadcast_to(_board(tuple(1 if i == axis else n for i, n in enumerate(shape))), shape)
    return Groups(lines, lines)


# --- products -------------------------------------------------------------------------------------------------------
@_structures("einsum")
def _einsum(primitive, k, nodes, values, params, y):
    return _contraction(params["subscripts"], k, nodes, values, y)


@_structures("matmul")
def _matmul(primitive, k, nodes, values, params, y):
    a, b = (len(v.shape) for v in values)
    batch = "abcdefghijklmn"[: max(a, b, 2) - 2]
    if len({v.shape[:-2] for v in values if len(v.shape) > 2}) > 1 or len(batch) > 10:
        return everything(primitive, k, nodes, values, params, y)
    left = batch[len(batch) - (a - 2) :] + "xy" if a > 1 else "y"
    right = batch[len(batch) - (b - 2) :] + "yz" if b > 1 else "y"
    if a == 2:
        left = "xy"
    if b == 2:
        right = "yz"
    out = batch + ("x" if a > 1 else "") + ("z" if b > 1 else "")
    return _contraction(f"{left},{right}->{out}", k, nodes, values, y)


def _contraction(subscripts: str, k: int, nodes, values, y):
    """Elements belong together if they agree in the letters they share; zeros of a constant factor leave some out."""
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    mine = terms[k]
    sizes = {c: n for term, v in zip(terms, values, strict=True) for c, n in zip(term, v.shape, strict=True)}
    if len(terms) == 2 and nodes[1 - k] is None and type(values[1 - k]) is np.ndarray:
        factor = values[1 - k]
        if np.count_nonzero(factor) < 0.5 * factor.size:
            return _nonzero_contraction(mine, output, terms[1 - k], factor, sizes)
    shared = [c for c in mine if c in output]
    return Groups(_number(output, shared, sizes), _number(mine, shared, sizes))


def _number(term: str, letters, sizes) -> np.ndarray:
    """For each element of an array with the axes `term`, a number made of its indices for `letters` alone."""
    number = np.zeros(tuple(sizes[c] for c in term), dtype=int)
    for c in letters:
        along = np.arange(sizes[c]).reshape(tuple(-1 if d == c else 1 for d in term))
        number = number * sizes[c] + along
    return number


def _nonzero_contraction(mine: str, output: str, theirs: str, factor, sizes) -> Pairs:
    rest = [c for c in dict.fromkeys(mine + output) if c not in theirs]
    grid = np.indices(tuple(sizes[c] for c in rest)).reshape(len(rest), 1, -1) if rest else np.zeros((0, 1, 1), int)
    at = {c: i[:, None] for c, i in zip(theirs, np.nonzero(factor), strict=True)}
    at.update(zip(rest, grid, strict=True))

    def flat(term):
        number = 0
        for c in term:
            number = number * sizes[c] + at[c]
        return np.broadcast_to(number, (np.count_nonzero(factor), grid.shape[-1]))

    return Pairs(flat(output), flat(mine))


# --- matrices, each for itself --------------------------------------------------------------------------------------
@_structures("cholesky", "inv", "pinv", "det", "logabsdet", "eigh", "svd", "qr")
def _each_matrix(primitive, k, nodes, values, params, y):
    n = math.prod(values[k].shape[:-2])
    return Groups(np.repeat(np.arange(n), y.size // n), np.repeat(np.arange(n), values[k].size // n))
