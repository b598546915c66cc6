"""vmap: run a function once over a whole batch of arguments, by a trace that hides the axis of the batch.

Inside, each box looks like one element of the batch; its content has the axis of the batch in front. A primitive is
carried out on all elements at once by its batching rule (`probad.ad.batching`), or element by element if it has none.
A batch is a level like the differentiations, and nests with them in any order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from probad.ad.batching import rule_for
from probad.ad.box import Box, peel
from probad.ad.core import LEAKED, Trace
from probad.ad.functions import as_operand
from probad.ad.rules import shapes
from probad.errors import ArgumentError, LeakedValueError, ShapeError
from probad.tree import flatten


class Batch:
    """The content of a batched box: an array whose first axis, that of the batch, does not show."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array

    shape = property(lambda self: self.array.shape[1:])
    ndim = property(lambda self: len(self.array.shape) - 1)
    size = property(lambda self: int(np.prod(self.array.shape[1:])))
    dtype = property(lambda self: self.array.dtype)


class BatchTrace(Trace):
    """One vmap in progress. Boxes whose content is not a `Batch` are the same for all elements."""

    __slots__ = ("size",)
    differentiates = False
    ambiguity = (
        "a batched value inside vmap has one answer for each element of the batch. Instead of `if condition:` write "
        "np.where(condition, a, b), or loop over the batch in plain Python."
    )

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def process(self, primitive, args, params):
        """Apply an operation to all elements of the batch."""
        if not self.alive:
            raise LeakedValueError(LEAKED)
        values, batched = [], []
        for a in args:
            inside = False
            if type(a) is Box:
                if a.view is not None:
                    a.view.refresh(a)
                if a.owner is not self:
                    a = Box(a.value, a.owner, a.node)  # a snapshot, as in Trace.process
                else:
                    inside = type(a.value) is Batch
                    a = a.value.array if inside else a.value
            values.append(a)
            batched.append(inside)
        if True in batched:
            y = rule_for(primitive)(primitive, self.size, values, batched, params)
            if not hasattr(y, "shape"):  # an answer about structure, the same for all elements
                return y
            box = Box(Batch(y), self, True)
        else:
            box = Box(primitive(*values, **params), self, None)
        if primitive.view_fn is not None and box.shape:
            box.view = primitive.view_fn(primitive, args[0], params, box)
        return box

    def inside(self, box: Box):
        """The content of a box with the axis of the batch in front."""
        return box.value.array if type(box.value) is Batch else box.value

    def peeled(self, box: Box):
        """The batched value under all levels of differentiation; a snapshot, for the box may be written to."""
        plain = peel(self.inside(box))
        return Box(Batch(plain), self, True) if type(box.value) is Batch else plain


def vmap(f: Callable, in_axes: Any = 0, out_axes: Any = 0) -> Callable:
    """Make a function that applies `f` to each element of a batch, all at once.

    Parameters
    ----------
    f : callable
        Written for one element, in plain NumPy. Takes and returns numbers, arrays or nests of them.
    in_axes : int, None or nest of them
        The axis of each positional argument that runs over the batch; None for an argument that is the same for all
        elements. One value stands for all arguments, a tuple has one entry per argument, an entry may be a nest like
        its argument. Keyword arguments are the same for all elements.
    out_axes : int, None or nest of them
        Where the axis of the batch goes in the results; None for a result that is the same for all elements.

    Returns
    -------
    callable
        Takes the batched arguments, returns the batched results.

    Raises
    ------
    ShapeError
        If an argument has no such axis, or the lengths of the axes differ.
    ConversionError
        If `f` asks for one truth value, one integer or one boolean mask where each element has its own.

    Examples
    --------
    >>> import numpy as np
    >>> from probad.ad import grad
    >>> vmap(np.dot, in_axes=(0, None))(np.eye(2), np.array([3.0, 4.0]))
    array([3., 4.])
    >>> vmap(grad(np.sin))(np.zeros(3))
    array([1., 1., 1.])
    """

    @functools.wraps(f)
    def f_over_the_batch(*args, **kwargs):
        leaves, rebuild = flatten(list(args))
        axes = _one_per_leaf(in_axes, list(args), "in_axes")
        given = list(zip(leaves, axes, strict=True))
        arrays = [x if axis is None else _in_front(x, axis, i) for i, (x, axis) in enumerate(given)]
        size = _batch_size([x.shape[0] for x, axis in zip(arrays, axes, strict=True) if axis is not None])
        with BatchTrace(size) as trace:
            boxes = [x if axis is None else Box(Batch(x), trace, True) for x, axis in zip(arrays, axes, strict=True)]
            out = f(*rebuild(boxes), **kwargs)
            out_leaves, out_rebuild = flatten(out)
            places = _one_per_leaf(out_axes, out, "out_axes")
            results = [_result(y, axis, trace) for y, axis in zip(out_leaves, places, strict=True)]
        return out_rebuild(results)

    return f_over_the_batch


# --- the way in and the way out -------------------------------------------------------------------------------------
def _one_per_leaf(axes, tree, what: str) -> list:
    """The axis of each leaf of `tree`, from one axis for all, or a nest that is a part of the tree."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(flatten(tree)[0])
    if isinstance(axes, list | tuple) and isinstance(tree, list | tuple) and len(axes) == len(tree):
        return [i for a, t in zip(axes, tree, strict=True) for i in _one_per_leaf(a, t, what)]
    if isinstance(axes, dict) and isinstance(tree, dict) and axes.keys() == tree.keys():
        return [i for key, t in tree.items() for i in _one_per_leaf(axes[key], t, what)]
    shown = f"{len(tree)} entries" if isinstance(tree, list | tuple) else type(tree).__name__
    raise ArgumentError(
        f"vmap got {what}={axes!r} for {shown}. Give one axis for all, or one entry (an axis, None, or a nest of "
        "them) for each."
    )


def _in_front(x, axis: int, position: int):
    """An argument with the axis of the batch first."""
    x = as_operand(x)
    if type(x) is Box and x.view is not None:
        x.view.refresh(x)
    if not -len(x.shape) <= axis < len(x.shape):
        raise ShapeError(
            f"vmap cannot run over axis {axis} of the argument at position {position}, which has shape {x.shape}. "
            "Use in_axes=None for an argument that is the same for all elements."
        )
    return Box(x.value, x.owner, x.node) if type(x) is Box and axis == 0 else np.moveaxis(x, axis, 0)


def _batch_size(sizes: list[int]) -> int:
    if not sizes:
        raise ArgumentError("vmap needs an argument to run over: in_axes are all None, or there are no arguments.")
    if len(set(sizes)) > 1:
        raise ShapeError(f"vmap got batches of different lengths: {', '.join(map(str, sizes))}.")
    if sizes[0] == 0:
        raise ShapeError("vmap got an empty batch; the shape of its result cannot be known.")
    return sizes[0]


def _result(y, axis, trace: BatchTrace):
    """A result with the axis of the batch where it is wanted."""
    y = as_operand(y)
    if type(y) is Box:
        if y.view is not None:
            y.view.refresh(y)
        if y.owner is trace:
            y, one_each = trace.inside(y), type(y.value) is Batch
            if one_each and axis is None:
                raise ArgumentError("vmap got out_axes=None for a result that differs from element to element.")
            if one_each:
                y = np.moveaxis(y, 0, axis) if axis else y
                return np.array(y) if isinstance(y, np.ndarray) else y
    if axis is None:
        return y
    y = np.moveaxis(shapes.broadcast_to(y, shape=(trace.size, *y.shape)), 0, axis)
    return np.array(y) if isinstance(y, np.ndarray) else y
