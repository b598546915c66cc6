"""Functions that write into an array: put, place, copyto, fill_diagonal and their kin.

A traced array is given its new content as a whole; a plain array cannot take traced values in.
"""

from __future__ import annotations

import numpy as np

from probad.ad.box import Box, peel
from probad.ad.dispatch import METHODS, implements
from probad.ad.functions.operands import as_operand
from probad.ad.functions.shapes import ravel, reshape
from probad.ad.rules import indexing
from probad.ad.views import overwrite
from probad.errors import InPlaceError


def _target(a, name: str) -> Box:
    if type(a) is Box:
        return a
    raise InPlaceError(
        f"np.{name} cannot write a traced value into a plain array. Start from a traced array (np.zeros_like(x)), or "
        "collect the parts in a list and np.stack it."
    )


def _write(a: Box, index, values) -> None:
    overwrite(a, indexing.index_set(a, as_operand(values), index=index))


def _cycled(values, n: int):
    """The first `n` of the values, repeated as often as needed."""
    values = ravel(as_operand(values))
    return values[np.arange(n) % values.shape[0]]


def _flat_write(a: Box, positions, values) -> None:
    flat = indexing.index_set(ravel(a), values, index=positions)
    overwrite(a, reshape(flat, a.shape))


@implements(np.put)
def put(a, ind, v, mode="raise"):
    _target(a, "put")
    positions = np.ravel(ind)
    if mode != "raise":
        positions = positions % a.size if mode == "wrap" else np.clip(positions, 0, a.size - 1)
    if positions.size:
        _flat_write(a, positions, _cycled(v, positions.size))


@implements(np.put_along_axis)
def put_along_axis(arr, indices, values, axis):
    _target(arr, "put_along_axis")
    if axis is None:
        _flat_write(arr, np.asarray(indices), as_operand(values))
        return
    n = len(arr.shape)
    grid = [np.arange(k).reshape(tuple(-1 if j == i else 1 for j in range(n))) for i, k in enumerate(arr.shape)]
    grid[axis % n] = np.asarray(indices)
    _write(arr, tuple(grid), values)


@implements(np.place)
def place(arr, mask, vals):
    _target(arr, "place")
    positions = np.flatnonzero(peel(mask))
    if positions.size:
        _flat_write(arr, positions, _cycled(vals, positions.size))


@implements(np.putmask)
def putmask(a, mask, values):
    _target(a, "putmask")
    positions = np.flatnonzero(peel(mask))
    if positions.size:
        _flat_write(a, positions, _cycled(values, a.size)[positions])


@implements(np.copyto)
def copyto(dst, src, casting="same_kind", where=True):
    if isinstance(dst, np.ndarray) and dst.dtype.kind == "O":  # np.full(3, x): an object array of traced scalars
        for i in np.ndindex(dst.shape):
            dst[i] = np.broadcast_to(src, dst.shape)[i]
        return
    _target(dst, "copyto")
    mask = np.broadcast_to(peel(where), dst.shape)
    overwrite(dst, np.where(mask, np.broadcast_to(as_operand(src), dst.shape), dst))


@implements(np.fill_diagonal)
def fill_diagonal(a, val, wrap=False):
    _target(a, "fill_diagonal")
    marks = np.zeros(a.shape, dtype=bool)
    np.fill_diagonal(marks, True, wrap=wrap)
    positions = np.flatnonzero(marks)
    _flat_write(a, positions, _cycled(val, positions.size))


def add_at(a, index, values):
    """What np.add.at does: elements that are named several times are added to several times."""
    _target(a, "add.at")
    read = np.empty(a.shape)[index].shape
    values = np.broadcast_to(as_operand(values), read)
    overwrite(a, a + indexing.scatter(values, indices=[index], shape=a.shape))


METHODS["at"] = add_at
